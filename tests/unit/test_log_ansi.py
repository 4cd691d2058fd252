"""Colours of logs: kept as styles, and nothing else of what a stranger wrote."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.logs import ansi
from console.logs.ansi import MOST_SPANS, PLAIN, Sgr, Span
from console.model import LogChunk
from console.render.log import LONGEST, Lines, LogBuffer
from console.render.themes import BUILT_IN_DIR, load
from console.text import clean
from console.ui.theme import Styles, log_style

OURS = re.compile(r"\x1b\[[0-9;]+m")
HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            *("\x1b[31m", "\x1b[0m", "\x1b[38;5;200m", "\x1b[48;2;1;2;3m", "\x1b[38:2::9:8:7m", "\x9b1m", "\x1b[m"),
            *("\x1b[2J", "\x1b]52;c;eA==\x07", "\x1b]0;title", "\x1bP1$q\x1b\\", "\x1b[?1049h", "\x1b[999A", "\x1b"),
            *("\x1b[38;5m", "\x1b[38m", "\x1b[38;2;300;1;1m", "\x1b[99999999999999999999m", "\x1b[1;", "\x9b", "\r"),
            *("e\u0301", "\u202e", "\x00", "\x07", "\ud83d\ude00", "\t", "\x85"),
        ]
    ),
)


@pytest.mark.parametrize(
    ("raw", "text", "spans"),
    [
        ("plain", "plain", ()),
        ("a\x1b[31mb\x1b[0mc", "abc", (Span(1, 2, "sgr:31"),)),
        ("\x1b[1;4;31;42mx", "x", (Span(0, 1, "sgr:1;4;31;42"),)),
        ("\x1b[38;5;208mx\x1b[39my", "xy", (Span(0, 1, "sgr:38;5;208"),)),
        ("\x1b[38;2;10;20;30;1mx", "x", (Span(0, 1, "sgr:1;38;2;10;20;30"),)),
        ("\x1b[38:2::10:20:30mx", "x", (Span(0, 1, "sgr:38;2;10;20;30"),)),
        ("\x1b[38:5:9mx", "x", (Span(0, 1, "sgr:38;5;9"),)),
        ("\x1b[94;107mx", "x", (Span(0, 1, "sgr:94;107"),)),
        ("\x1b[4:3mx\x1b[4:0my", "xy", (Span(0, 1, "sgr:4"),)),
        ("\x1b[1;2;3;7;9mx\x1b[22;23;27;29my", "xy", (Span(0, 1, "sgr:1;2;3;7;9"),)),
        ("\x1b[31mx\x1b[1m\x1b[2Ky", "xy", (Span(0, 1, "sgr:31"), Span(1, 2, "sgr:1;31"))),
        ("\x1b[31mx\x1b[31my", "xy", (Span(0, 2, "sgr:31"),)),
        ("\x1b[5;8mhidden", "hidden", ()),
        ("\x1b[38;5;300mx\x1b[38;9mx\x1b[777mx", "xxx", ()),
    ],
)
def test_what_the_sequences_mean(raw: str, text: str, spans: tuple[Span, ...]) -> None:
    assert ansi.read(raw)[:2] == (text, spans)


def test_a_style_goes_on_until_it_is_ended() -> None:
    lines = Lines()
    assert [line.spans for line in lines.take(b"\x1b[33mone\ntwo\n\x1b[mthree\n")] == [
        (Span(0, 3, "sgr:33"),),
        (Span(0, 3, "sgr:33"),),
        (),
    ]
    (bar,) = lines.take(b"\x1b[32m 10%\r 50%\x1b[0m\r100%\n")
    assert (bar.text, bar.spans) == ("100%", ()), "what nobody sees counts for what follows it"


@given(st.lists(HOSTILE, max_size=20))
def test_nothing_but_our_own_sequences_comes_out(parts: list[str]) -> None:
    raw = "".join(parts)
    text, spans, state = ansi.read(raw)
    assert text == clean(text), "cleaned once is clean"
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    again = ansi.read("next", state)[1]
    assert again == ((Span(0, 4, state.style),) if state != PLAIN else ())
    for colours in (0, 16, 256, 1 << 24):
        bare = OURS.sub("", ansi.painted(text, spans, colours))
        assert bare == text
        assert clean(bare) == bare
    assert "".join(part for part, _ in ansi.cut(text, spans, "text", 0, len(text))) == text


@given(st.lists(HOSTILE, max_size=20), st.integers(0, 60), st.integers(0, 60))
def test_any_part_of_a_line_can_be_cut_out(parts: list[str], start: int, length: int) -> None:
    text, spans, _ = ansi.read("".join(parts))
    cut = list(ansi.cut(text, spans, "text", start, start + length))
    assert "".join(part for part, _ in cut) == text[start : start + length]
    moved = ansi.moved(spans, start, max(len(text) - start, 0))
    assert list(ansi.cut(text[start:], moved, "text", 0, length)) == cut


def test_thousands_of_sequences_in_a_line_are_bounded() -> None:
    raw = "".join(f"\x1b[38;2;{at % 256};{at // 256};1mx" for at in range(20_000))
    text, spans, state = ansi.read(raw)
    assert len(text) == 20_000
    assert len(spans) <= MOST_SPANS
    assert spans[-1].end == 20_000
    assert state == Sgr(fg=f"38;2;{19_999 % 256};{19_999 // 256};1"), "the state is that of the last one"
    many = Lines().take(b"\x1b[1m\x1b[0m" * 200_000 + b"\n")
    assert "".join(line.text for line in many) == ""


def test_a_megabyte_in_one_line_is_cut() -> None:
    buffer = LogBuffer()
    buffer.restart(LogChunk(data=(b"\x1b[31m" + b"x" * 1000) * 1000 + b"\n", start=0))
    assert all(len(line) <= LONGEST for line in buffer.lines)
    assert sum(map(len, buffer.lines)) >= 990_000
    assert buffer.shown(3).spans[0].style == "sgr:31"


@pytest.mark.parametrize(
    ("style", "colours", "parameters"),
    [
        ("sgr:1;38;2;255;0;0", 1 << 24, "1;38;2;255;0;0"),
        ("sgr:1;38;2;255;0;0", 256, "1;38;5;196"),
        ("sgr:1;38;2;255;0;0", 16, "1;91"),
        ("sgr:48;5;16", 16, "40"),
        ("sgr:38;5;9;48;5;3", 256, "91;43"),
        ("sgr:97;100", 16, "97;100"),
        ("sgr:48;5;244", 256, "48;5;244"),
    ],
)
def test_colours_are_those_that_the_terminal_has(style: str, colours: int, parameters: str) -> None:
    assert ansi.limited(style, colours) == parameters


def test_what_the_environment_says_of_the_terminal() -> None:
    assert ansi.depth({"TERM": "xterm-256color"}) == 256
    assert ansi.depth({"TERM": "xterm", "COLORTERM": "truecolor"}) == 1 << 24
    assert ansi.depth({"TERM": "linux"}) == 16
    for none in ({}, {"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": ""}):
        assert ansi.depth(none) == 0


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN_DIR.glob("*.toml")))
def test_every_theme_shows_them_readably(name: str) -> None:
    theme = load(name)
    for style in ("sgr:30", "sgr:37;47", "sgr:38;2;15;20;25", "sgr:38;5;231", "sgr:41", "sgr:1;35", "sgr:31;41"):
        spec = log_style(theme, style)
        assert spec.fg is None or spec.fg != spec.bg
        if theme.is_colourless:
            assert spec.fg is spec.bg is None
        if not theme.is_ansi:
            assert spec.fg is not None
            assert spec.fg != (spec.bg or theme.palette.background), "never on its own colour"
    assert log_style(theme, "sgr:1;4;31").bold
    assert log_style(theme, "sgr:1;4;31").underline
    on = Styles(theme).on()
    for at in range(10_000):
        assert on[f"sgr:38;2;{at % 256};{at // 256};0"] is not None
    assert len(on) < 5000, "a log of all colours costs no memory"
