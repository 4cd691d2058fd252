"""From a theme's data to what Textual draws with: its own Theme, and one Rich style for each semantic style."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from rich.color import Color
from rich.style import Style
from textual.theme import Theme as TextualTheme

from console.errors import ConfigError
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
        made = self[name] = self._make(name)
        return made

    def _make(self, name: str) -> Style:
        theme, over, surface = self._theme, self._over, self._surface
        spec = theme.styles.get(name, StyleSpec())
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
