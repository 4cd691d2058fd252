"""Which theme and which characters a terminal gets when nobody says it."""

from __future__ import annotations

import pytest

from console.render.glyphs import ASCII, UNICODE, Glyphs, fitting
from console.ui.theme import Styles, choose, load


@pytest.mark.parametrize(
    ("wanted", "environ", "colours", "name"),
    [
        (None, {}, "truecolor", "dark"),
        (None, {}, "256", "dark"),
        (None, {}, "standard", "ansi"),
        (None, {}, "windows", "ansi"),
        (None, {}, None, "dark"),
        ("light", {}, "standard", "light"),
        ("light", {}, "truecolor", "light"),
        (None, {"NO_COLOR": "1"}, "truecolor", "mono"),
        ("light", {"NO_COLOR": ""}, "truecolor", "mono"),
    ],
)
def test_theme(wanted: str | None, environ: dict[str, str], colours: str | None, name: str) -> None:
    assert choose(wanted, environ, colours) == name


@pytest.mark.parametrize(
    ("wanted", "term", "utf8", "glyphs"),
    [
        (None, "xterm-256color", True, UNICODE),
        (None, "xterm-256color", False, ASCII),
        (None, "linux", True, ASCII),
        (None, "linux-16color", True, UNICODE),
        (False, "linux", True, UNICODE),
        (False, "vt100", False, UNICODE),
        (True, "xterm-256color", True, ASCII),
    ],
)
def test_characters(wanted: bool | None, term: str, utf8: bool, glyphs: Glyphs) -> None:
    assert fitting(wanted, {"TERM": term}, utf8) is glyphs
    assert fitting(None, {}, True) is UNICODE


def test_styles_on_each_ground_are_made_once() -> None:
    styles = Styles(load("dark", None)[0])
    assert styles.get("bad") is styles.on()["bad"]
    assert styles.get("bad") != styles.get("bad", "selected")
    assert styles.get("no such style") == styles.get("text").without_color + styles.get("no such style")
