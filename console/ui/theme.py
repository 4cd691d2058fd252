"""From a theme's data to what Textual draws with: its own Theme, and one Rich style for each semantic style."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from rich.color import Color
from rich.style import Style
from textual.theme import Theme as TextualTheme

from console.errors import ConfigError
from console.logs import ansi
from console.render import themes
from console.render.themes import StyleSpec, Theme

VARIABLES: Mapping[str, str] = MappingProxyType({"qd-rule": "#3a4856"})
"""Names that styles.tcss may use besides Textual's own, with what they are before a theme is set."""

_ANSI_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "border-blurred": "ansi_default",
        "block-cursor-foreground": "ansi_default",
        "block-cursor-background": "ansi_default",
        "input-selection-foreground": "ansi_default",
        "screen-selection-background": "ansi_default",
        "screen-selection-foreground": "ansi_default",
    }
)
"""What Textual's own style sheet asks of a theme that uses the terminal's colours."""


def choose(wanted: str | None, environ: Mapping[str, str], color_system: str | None) -> str:
    """Return the name of the theme to start with.

    NO_COLOR (set to anything) means no colour whatever else is asked for; a terminal of sixteen colours gets the
    theme that uses its own, unless another one is asked for.
    """
    if "NO_COLOR" in environ:
        return "mono"
    if wanted:
        return wanted
    return "ansi" if color_system in ("standard", "windows") else themes.DEFAULT


def load(name: str, user_dir: Path | None) -> tuple[Theme, str | None]:
    """Return a theme, and a notice when another one had to stand in for it."""
    try:
        return themes.load(name, user_dir), None
    except ConfigError as error:
        return themes.load(themes.DEFAULT), f"{error.in_one_line}; the theme {themes.DEFAULT} is used"


def textual_theme(theme: Theme) -> TextualTheme:
    """Return it as Textual wants it. ConfigError when Textual cannot use one of its colours."""
    palette = theme.palette
    plain = "ansi_default"
    foreground, background = palette.foreground or plain, palette.background or plain
    made = TextualTheme(
        name=f"qd-{theme.name}",
        primary=palette.primary or plain,
        foreground=_css(foreground),
        background=_css(background),
        surface=_css(palette.surface or background),
        panel=_css(palette.panel or background),
        dark=theme.dark,
        ansi=theme.is_ansi,
        variables={
            **(_ANSI_VARIABLES if theme.is_ansi else {}),
            "qd-rule": _css(palette.border or plain),
            "input-cursor-background": _css(foreground),
            "input-cursor-foreground": _css(background),
            "input-cursor-text-style": "reverse" if theme.is_ansi else "none",
            "input-selection-background": _css(palette.cursor or plain),
        },
    )
    try:
        made.to_color_system().generate()
    except Exception as error:
        # Textual raises what it likes for a colour that it cannot read; one bad theme must not end the console.
        raise ConfigError(f"cannot be used: {error}", f"theme {theme.name}", "correct its colours") from error
    return made


def _css(colour: str) -> str:
    return "ansi_default" if colour == "default" else colour


def _rich(colour: str | None) -> Color | None:
    if colour is None or colour in ("default", "ansi_default"):
        return None
    return Color.parse(colour.removeprefix("ansi_"))


_MOST_STYLES = 4096
"""A log may use sixteen million colours; so many styles are kept made."""
_OF_LOGS: Mapping[int, str] = MappingProxyType({1: "bad", 2: "ok", 3: "warn", 4: "busy", 5: "simulated", 6: "info"})
"""The terminal's own colours, as a log has them, and what has that colour in a theme of RGB."""


_LEAST_CONTRAST = 48
"""Difference in brightness, of 255, below which text would not be seen."""


def log_style(theme: Theme, name: str) -> StyleSpec:
    """Return how a style of `console.logs.ansi` looks in a theme: readable, without hue where the theme has none."""
    look = ansi.look(name)
    fg = bg = None
    if theme.is_ansi and not theme.is_colourless:
        fg, bg = (None if colour is None else _own(colour) for colour in (look.fg, look.bg))
        bg = None if fg == bg else bg
    elif not theme.is_colourless:
        fg, bg = _of_log(theme, look.fg), _of_log(theme, look.bg)
        ground = bg or theme.palette.background or "#000000"
        if ((bg or fg) and abs(_brightness(fg or "#808080") - _brightness(ground)) < _LEAST_CONTRAST) or (
            bg and not fg
        ):
            fg = "#000000" if _brightness(ground) > 128 else "#ffffff"
    return StyleSpec(
        fg=fg,
        bg=bg,
        bold="1" in look.attributes,
        dim="2" in look.attributes,
        italic="3" in look.attributes,
        underline="4" in look.attributes,
        reverse="7" in look.attributes,
        strike="9" in look.attributes,
    )


def _own(colour: ansi.Colour) -> str:
    """Return a colour for a terminal that shows its own."""
    return f"color({colour})" if isinstance(colour, int) else "#{:02x}{:02x}{:02x}".format(*colour)


def _of_log(theme: Theme, colour: ansi.Colour | None) -> str | None:
    """Return a colour as `#rrggbb`; of the terminal's own sixteen what the theme uses for that hue."""
    if colour is None:
        return None
    if not isinstance(colour, int) or colour > 15:
        return "#{:02x}{:02x}{:02x}".format(*ansi.rgb(colour))
    if colour % 8 in _OF_LOGS:
        style = theme.styles[_OF_LOGS[colour % 8]]
        found = style.bg or style.fg
    else:
        found = theme.styles["text" if colour % 8 else "dim"].fg
    return found if found and found.startswith("#") else "#{:02x}{:02x}{:02x}".format(*ansi.rgb(colour))


def _brightness(colour: str) -> float:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


class Styles:
    """Rich styles by semantic name, alone and on a row that is selected or marked."""

    def __init__(self, theme: Theme) -> None:
        self.theme = theme
        self._made: dict[tuple[str, str], _Made] = {}

    def on(self, over: str = "", surface: str = "background") -> Mapping[str, Style]:
        """Return the styles by name; `over` is "", "selected" or "marked"; `surface` names a colour of the palette."""
        key = (over, surface)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = _Made(self.theme, over, surface)
        return found

    def get(self, name: str, over: str = "", surface: str = "background") -> Style:
        """Return one style of `on`."""
        return self.on(over, surface)[name]


class _Made(dict[str, Style]):
    """The styles on one ground, each made when it is first asked for."""

    def __init__(self, theme: Theme, over: str, surface: str) -> None:
        super().__init__()
        self._theme, self._over, self._surface = theme, over, surface

    def __missing__(self, name: str) -> Style:
        made = self._make(name)
        if len(self) < _MOST_STYLES:
            self[name] = made
        return made

    def _make(self, name: str) -> Style:
        theme, over, surface = self._theme, self._over, self._surface
        of_log = name.startswith(ansi.PREFIX)
        spec = log_style(theme, name) if of_log else theme.styles.get(name, StyleSpec())
        ground: str | None = getattr(theme.palette, surface)
        if over:
            on = theme.styles[over]
            if on.reverse:
                # Reversed, every hue of a row would become a background of its own.
                return Style(bold=spec.bold or on.bold, reverse=True)
            ground = on.bg or ground
            spec = StyleSpec(
                fg=on.fg or spec.fg,
                bg=spec.bg,
                bold=spec.bold or on.bold,
                dim=spec.dim,
                italic=spec.italic,
                underline=spec.underline or on.underline,
                reverse=spec.reverse,
                strike=spec.strike,
            )
        return Style(
            color=_rich(spec.fg or theme.palette.foreground),
            bgcolor=_rich(spec.bg or ground),
            bold=spec.bold or None,
            dim=spec.dim or None,
            italic=spec.italic or None,
            underline=spec.underline or None,
            reverse=spec.reverse or None,
            strike=spec.strike or None,
        )
