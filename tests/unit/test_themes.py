"""Themes: complete, legible, and every mistake named with file, line and key."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import pytest

from console.errors import ConfigError
from console.render import themes
from console.render.themes import STYLES, Palette, StyleSpec, Theme, load, load_all

RGB = ["dark", "light", "high-contrast", "colour-blind"]
GRAPHIC = {"dim", *(f"heat{level}" for level in range(10)), "spark"}
"""Not read letter by letter: WCAG asks for 3:1."""
STATES = ["ok", "busy", "warn", "bad"]

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
DEFICIENCIES = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.01182, 0.04294, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.3039),
    ),
}

Vector = tuple[float, float, float]


def linear(colour: str) -> Vector:
    """sRGB `#rrggbb` as linear RGB 0–1."""

    def channel(text: str) -> float:
        value = int(text, 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    return channel(colour[1:3]), channel(colour[3:5]), channel(colour[5:7])


def luminance(colour: str) -> float:
    """WCAG relative luminance."""
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio, 1–21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: Vector) -> Vector:
    """Linear RGB (clipped) as CIE L*a*b*, D65."""
    red, green, blue = (min(max(value, 0.0), 1.0) for value in rgb)

    def f(value: float) -> float:
        return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116

    x = f((0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047)
    y = f(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    z = f((0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour: str, deficiency: str | None) -> Vector:
    """What is seen of a colour, in Lab."""
    rgb = linear(colour)
    if deficiency is None:
        return lab(rgb)
    rows = DEFICIENCIES[deficiency]
    red, green, blue = (sum(weight * value for weight, value in zip(row, rgb, strict=True)) for row in rows)
    return lab((red, green, blue))


def distance(one: Vector, other: Vector) -> float:
    """CIE76 colour difference; 2.3 is just noticeable."""
    return math.dist(one, other)


def foreground(theme: Theme, style: str) -> str:
    """The text colour of a style, the theme's own when the style has none."""
    return theme.styles[style].fg or str(theme.palette.foreground)


def test_all_built_in_themes_load_and_are_complete() -> None:
    loaded, failed = load_all()
    assert failed == []
    assert set(loaded) == {"dark", "light", "high-contrast", "colour-blind", "ansi", "mono"}
    for theme in loaded.values():
        assert set(theme.styles) == set(STYLES)
        assert theme.summary


@pytest.mark.parametrize("name", sorted(RGB))
def test_text_is_legible_on_every_surface(name: str) -> None:
    theme = load(name)
    palette = theme.palette
    for style in STYLES:
        spec = theme.styles[style]
        enough = 3.0 if style in GRAPHIC else 4.5
        if spec.bg is not None:
            assert contrast(foreground(theme, style), spec.bg) >= enough, style
            continue
        for surface in (palette.background, palette.surface, palette.panel, palette.cursor, palette.marked):
            assert surface is not None
            assert contrast(foreground(theme, style), surface) >= enough, (style, surface)


def test_high_contrast_is_higher() -> None:
    theme = load("high-contrast")
    for style in set(STYLES) - GRAPHIC:
        assert contrast(foreground(theme, style), theme.styles[style].bg or str(theme.palette.background)) >= 7


@pytest.mark.parametrize("name", sorted(RGB))
def test_states_are_told_apart(name: str) -> None:
    theme = load(name)
    for one, other in combinations(STATES, 2):
        apart = distance(seen(foreground(theme, one), None), seen(foreground(theme, other), None))
        assert apart >= 20, (one, other, apart)


@pytest.mark.parametrize("deficiency", sorted(DEFICIENCIES))
def test_states_are_told_apart_with_deficient_colour_vision(deficiency: str) -> None:
    theme = load("colour-blind")
    for one, other in combinations(STATES, 2):
        apart = distance(seen(foreground(theme, one), deficiency), seen(foreground(theme, other), deficiency))
        assert apart >= 20, (one, other, apart)
    heat = [seen(foreground(theme, f"heat{level}"), deficiency)[0] for level in range(10)]
    assert heat == sorted(heat)


def test_ansi_and_mono_carry_no_rgb() -> None:
    assert load("ansi").is_ansi
    assert load("mono").is_ansi
    assert all(spec.fg is None and spec.bg is None for spec in load("mono").styles.values())
    assert not load("dark").is_ansi


def test_mono_tells_states_by_weight_and_cursor_by_reverse() -> None:
    mono = load("mono")
    assert mono.styles["selected"].reverse
    assert mono.styles["bad"] != mono.styles["ok"]
    assert mono.styles["bad"].bold


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_user_theme_says_only_what_it_changes(tmp_path: Path) -> None:
    write(tmp_path, "mine", '[styles.bad]\nfg = "#ff0000"\nbold = true\n')
    write(tmp_path, "pale", 'extends = "light"\n[palette]\ncursor = "#dddddd"\n')
    mine = load("mine", tmp_path)
    assert mine.styles["bad"].fg == "#ff0000"
    assert mine.styles["ok"] == load("dark").styles["ok"]
    pale = load("pale", tmp_path)
    assert (pale.dark, pale.palette.cursor) == (False, "#dddddd")
    assert pale.palette.background == load("light").palette.background


def test_user_theme_may_take_the_name_of_a_built_in_one(tmp_path: Path) -> None:
    write(tmp_path, "light", 'extends = "light"\n[styles.ok]\nfg = "#004400"\n')
    light = load("light", tmp_path)
    assert light.styles["ok"].fg == "#004400"
    assert not light.dark


@pytest.mark.parametrize(
    ("text", "where", "what", "hint"),
    [
        ("[styles.baad]\nfg = '#ff0000'\n", ":1: styles.baad", "unknown key", "did you mean bad?"),
        ("summary = 'x'\n\n[styles.bad]\nfont = 'big'\n", ":4: styles.bad.font", "unknown key", "valid: bg"),
        ("colour = 'x'\n", ":1: colour", "unknown key", "valid: dark"),
        ("[palette]\npanle = '#000000'\n", ":2: palette.panle", "unknown key", "did you mean panel?"),
        ("[styles.ok]\nfg = '#ff00'\n", ":2: styles.ok.fg", "'#ff00' is not a colour", ""),
        ("[styles.ok]\nfg = 'ansi_gren'\n", ":2: styles.ok.fg", "not a colour", "did you mean ansi_green?"),
        ("[styles.ok]\nbold = 'yes'\n", ":2: styles.ok.bold", "must be true or false, not text", ""),
        ("styles = 3\n", ":1: styles", "must be a table", ""),
        ("[styles]\nok = '#ff0000'\n", ":2: styles.ok", "must be a table", ""),
        ("dark = 'no'\n", ":1: dark", "must be true or false", ""),
        ("extends = 'drak'\n", ":1: extends", "no theme is called drak", "did you mean dark?"),
        ("[palette]\ncursor = '#12345g'\n", ":2: palette.cursor", "is not a colour", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, where: str, what: str, hint: str) -> None:
    path = write(tmp_path, "mine", text)
    with pytest.raises(ConfigError) as caught:
        load("mine", tmp_path)
    assert caught.value.where == f"{path}{where}"
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_bad_toml_names_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", 'summary = "x"\n[styles.ok\n')
    with pytest.raises(ConfigError) as caught:
        load("mine", tmp_path)
    assert caught.value.where == f"{path}:2"
    assert "is not TOML" in caught.value.what


def test_circle_of_themes_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a", 'extends = "b"\n')
    write(tmp_path, "b", 'extends = "a"\n')
    with pytest.raises(ConfigError, match="circle"):
        load("a", tmp_path)


def test_unreadable_files_are_config_errors(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"summary = '\xff'")
    (tmp_path / "folder.toml").mkdir()
    for name in ("bytes", "folder"):
        with pytest.raises(ConfigError):
            load(name, tmp_path)


def test_one_bad_theme_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, "broken", "=")
    write(tmp_path, "fine", "")
    loaded, failed = load_all(tmp_path)
    assert {"fine", "dark"} <= set(loaded)
    assert [error.where for error in failed] == [f"{tmp_path / 'broken.toml'}:1"]


def test_unknown_theme_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        load("high_contrast")
    assert "did you mean high-contrast?" in caught.value.hint
    assert "colour-blind" in caught.value.hint


def test_missing_user_directory_is_fine(tmp_path: Path) -> None:
    assert themes.names(tmp_path / "absent") == themes.names()


def test_the_page_about_themes_names_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "themes.md").read_text(encoding="utf-8")
    keys = {*STYLES, *Palette.__struct_fields__, *StyleSpec.__struct_fields__, *themes.names()}
    keys -= {f"heat{level}" for level in range(1, 9)}
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
