"""Themes: what a semantic style looks like, read from TOML. Pure data; the screen turns it into its own
objects.

A theme file, `NAME.toml` (docs/themes.md explains it to users):

    summary = "one line"
    extends = "dark"              # what it does not say is as there; built-in themes may leave it out
    dark = true                   # whether the background is dark
    [palette]                     # the surfaces: background, surface, panel, foreground, primary, border,
    cursor, … background = "#101418" [styles.bad]                  # one of STYLES fg = "#ff6b6b"
    # #rrggbb, ansi_NAME, or default bold = true

Every error names file, line and key, and the nearest valid key. One bad theme never keeps the others from
loading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

import themes as built_in
from console import toml_source
from console.errors import ConfigError
from console.suggest import nearest
from console.text import clean

STYLES: Mapping[str, str] = MappingProxyType(
    {
        "text": "plain text",
        "muted": "missing values, units, what is of little weight",
        "dim": "the empty part of a bar, rules",
        "label": "the label before a value",
        "name": "what a row is called: node, job, source",
        "title": "titles of panes and sections",
        "header": "column titles",
        "sorted": "the title of the column that is sorted by",
        "accent": "what is in focus",
        "key": "a key in the help and the footer",
        "link": "a name that opens something",
        "info": "worth knowing: pending, reserved",
        "ok": "good: up, live",
        "busy": "at work",
        "warn": "needs a look: draining, late, slow",
        "bad": "wrong: down, lost, hung",
        "stale": "a measured value that is older than it should be",
        "spark": "sparklines",
        "match": "the part of a text that a filter found",
        "marked": "a marked row",
        "selected": "the row under the cursor",
        "simulated": "the word SIMULATED",
        **{f"heat{level}": f"{level * 10}–{level * 10 + 10} % of a heat map or bar" for level in range(10)},
    }
)
"""Every semantic style and what it is for."""

ANSI_NAMES = frozenset(
    f"ansi_{bright}{name}"
    for bright in ("", "bright_")
    for name in ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
)

_HEX = re.compile(r"#[0-9a-fA-F]{6}\Z")
BUILT_IN_DIR = Path(built_in.__file__).parent
DEFAULT = "dark"


class StyleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One style. A colour is `#rrggbb`, `ansi_NAME`, or None or `default`: that of what it stands on."""

    fg: str | None = None
    bg: str | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False
    strike: bool = False


class Palette(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The surfaces that styles stand on."""

    background: str | None = None
    surface: str | None = None
    """Behind inputs and the details pane."""
    panel: str | None = None
    """Behind header and footer."""
    foreground: str | None = None
    primary: str | None = None
    """Focus, active tab."""
    border: str | None = None
    cursor: str | None = None
    """Background of the row under the cursor."""
    marked: str | None = None
    """Background of a marked row."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    summary: str = ""
    extends: str | None = None
    dark: bool | None = None
    palette: Palette = Palette()
    styles: dict[str, StyleSpec] = {}


class Theme(msgspec.Struct, frozen=True):
    """A theme with every style of STYLES."""

    name: str
    summary: str
    dark: bool
    palette: Palette
    styles: dict[str, StyleSpec]

    @property
    def is_ansi(self) -> bool:
        """Whether it uses the terminal's own sixteen colours, or none: no RGB anywhere."""
        return not any(colour.startswith("#") for colour in _colours(self))

    @property
    def is_colourless(self) -> bool:
        """Whether it has no colour at all."""
        return not _colours(self)


def _colours(theme: Theme) -> list[str]:
    """Return all colours that are not the terminal's own."""
    palette = msgspec.structs.asdict(theme.palette).values()
    styles = [colour for spec in theme.styles.values() for colour in (spec.fg, spec.bg)]
    return [colour for colour in (*palette, *styles) if colour is not None and colour != "default"]


def load(name: str, user_dir: Path | None = None) -> Theme:
    """Return a theme by name; a user's theme stands before a built-in one of the same name.

    Raises ConfigError naming file, line and key; for an unknown name, the nearest that exists.
    """
    return _load(name, user_dir, ())


def names(user_dir: Path | None = None) -> list[str]:
    """Return the names of all themes, without reading them."""
    return sorted(_files(user_dir))


def load_all(user_dir: Path | None = None) -> tuple[dict[str, Theme], list[ConfigError]]:
    """Return (those that load, one error for each that does not)."""
    loaded: dict[str, Theme] = {}
    failed: list[ConfigError] = []
    for name in names(user_dir):
        try:
            loaded[name] = load(name, user_dir)
        except ConfigError as error:
            failed.append(error)
    return loaded, failed


def _files(user_dir: Path | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for directory in (BUILT_IN_DIR, user_dir):
        if directory is None:
            continue
        try:
            entries = sorted(directory.iterdir())
        except OSError:
            # No directory, or one that may not be read: then there are no themes in it.
            continue
        found.update({path.stem: path for path in entries if path.suffix == ".toml"})
    return found


def _load(name: str, user_dir: Path | None, below: tuple[str, ...]) -> Theme:
    files = _files(user_dir)
    path = files.get(name)
    if path is None:
        raise ConfigError(f"no theme is called {clean(name)}", hint=_instead(name, files))
    document, parsed = _read(path)
    is_own = path == BUILT_IN_DIR / path.name
    base_name = parsed.extends or (None if is_own else DEFAULT)
    if base_name is None:
        base = Theme(name=name, summary="", dark=True, palette=Palette(), styles={})
    elif base_name == name and not is_own:
        # A user's theme over the built-in one of its own name.
        base = _load(name, None, ())
    elif base_name == name or base_name in below:
        circle = " > ".join((*below, name, base_name))
        what = f"themes extend one another in a circle: {circle}"
        raise document.error(("extends",), what, "one of them must extend a built-in theme, or none")
    elif base_name not in files:
        hint = _instead(base_name, files)
        raise document.error(("extends",), f"no theme is called {base_name}", hint)
    else:
        base = _load(base_name, user_dir, (*below, name))
    return Theme(
        name=name,
        summary=clean(parsed.summary),
        dark=base.dark if parsed.dark is None else parsed.dark,
        palette=_over(base.palette, parsed.palette),
        styles={style: _style(parsed.styles.get(style), base.styles.get(style)) for style in STYLES},
    )


def _instead(name: str, files: Mapping[str, Path]) -> str:
    close = nearest(name, files)
    meant = f"did you mean {close}? " if close else ""
    return f"{meant}themes: {', '.join(sorted(map(clean, files)))}"


def _style(own: StyleSpec | None, base: StyleSpec | None) -> StyleSpec:
    return own or base or StyleSpec()


def _over(base: Palette, own: Palette) -> Palette:
    said = {key: colour for key, colour in msgspec.structs.asdict(own).items() if colour is not None}
    return msgspec.structs.replace(base, **said)


def _read(path: Path) -> tuple[toml_source.Document, _File]:
    """Return the checked file."""
    try:
        document = toml_source.read(path)
    except FileNotFoundError:
        raise ConfigError("is gone", clean(str(path)), "it was there a moment ago; try again") from None
    styles = document.values.get("styles")
    for style in styles if isinstance(styles, dict) else ():
        if style not in STYLES:
            close = nearest(style, STYLES)
            hint = f"did you mean {close}?" if close else f"valid: {', '.join(STYLES)}"
            raise document.error(("styles", style), "unknown key", hint)
    parsed = toml_source.convert(document, (), document.values, _File)
    for style, spec in parsed.styles.items():
        _check_colour(document, ("styles", style, "fg"), spec.fg)
        _check_colour(document, ("styles", style, "bg"), spec.bg)
    for key, colour in msgspec.structs.asdict(parsed.palette).items():
        _check_colour(document, ("palette", key), colour)
    return document, parsed


def _check_colour(document: toml_source.Document, key: toml_source.KeyPath, colour: str | None) -> None:
    if colour is None or colour == "default" or colour in ANSI_NAMES or _HEX.match(colour):
        return
    close = nearest(colour, ANSI_NAMES)
    hint = f"did you mean {close}?" if close else "for example #ff8800 or ansi_red"
    raise document.error(key, f"{colour!r} is not a colour (#rrggbb, ansi_NAME or default)", hint)
