"""Widths, cutting, number formats, sparklines: nothing is ever wider than its place."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.render import units
from console.render.cells import Cell, cell_width, fit, fit_runs, join, line_text, wrap
from console.render.glyphs import (
    ACCELERATOR_SIGNS,
    ASCII,
    JOB_SIGNS,
    LINK_SIGNS,
    MOUNT_SIGNS,
    NODE_SIGNS,
    SEVERITY_SIGNS,
    SOURCE_SIGNS,
    UNICODE,
    Glyphs,
    Sign,
    link_sign,
)
from console.render.spark import bar, heat_style, mini_bars, sparkline
from console.render.themes import STYLES
from console.text import clean

CLEANED = st.text(max_size=60).map(clean)
NUMBERS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers())


@given(CLEANED, st.integers(min_value=0, max_value=40), st.sampled_from(["left", "right"]))
def test_fit_takes_exactly_its_width(text: str, width: int, align: str) -> None:
    fitted = fit(text, width, "right" if align == "right" else "left")
    assert cell_width(fitted) == width
    if cell_width(text) <= width:
        assert fitted.strip(" ") == text.strip(" ")
    elif width > 0:
        assert "…" in fitted


def test_wide_characters_are_not_halved() -> None:
    assert fit("模型训练", 5) == "模型…"
    assert fit("模型训练", 6) == "模型… "
    assert fit("模型训练", 8) == "模型训练"
    assert fit("模型训练", 1) == "…"
    assert fit("ab", 4, "right") == "  ab"
    assert fit("abcdef", 4, ellipsis="~") == "abc~"


@given(st.lists(st.tuples(CLEANED, st.sampled_from(["ok", "bad"])), max_size=6), st.integers(min_value=0, max_value=30))
def test_runs_take_exactly_their_width(runs: list[tuple[str, str]], width: int) -> None:
    cell = Cell("".join(text for text, _ in runs), "text", tuple(runs))
    fitted = fit_runs(cell, width, "right")
    assert sum(cell_width(text) for text, _ in fitted) == width
    assert {style for _, style in fitted} <= {"ok", "bad", "text"}


def test_join_keeps_styles() -> None:
    joined = join(Cell("a", "ok"), Cell("b", "bad"), sep=" ")
    assert joined.text == "a b"
    assert joined.parts == (("a", "ok"), (" ", "text"), ("b", "bad"))


@given(CLEANED, st.integers(min_value=2, max_value=30))
def test_wrap_loses_nothing_but_blanks(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cell_width(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_line_text_cuts() -> None:
    assert line_text((Cell("abc"), Cell("def")), 5) == "abcd…"


WIDTHS = [
    (units.size, 6),
    (units.rate, 6),
    (units.bits, 6),
    (units.watts, 6),
    (units.percent, 3),
    (units.age, 4),
]


@pytest.mark.parametrize(("form", "width"), WIDTHS)
@given(value=st.floats(min_value=-1e18, max_value=1e18))
def test_numbers_keep_their_width(form, width, value) -> None:  # type: ignore[no-untyped-def]
    assert len(form(value)) <= width
    assert len(form(abs(value))) <= max(width - 1, 3) or form is units.age


@pytest.mark.parametrize(
    "form",
    [
        units.size,
        units.rate,
        units.bits,
        units.watts,
        units.percent,
        units.celsius,
        units.number,
        units.decimal,
        units.milliseconds,
        units.duration,
        units.age,
    ],
)
def test_what_is_not_known_is_never_a_number(form) -> None:  # type: ignore[no-untyped-def]
    for value in (None, math.nan, math.inf, -math.inf):
        assert form(value) == "–"
        assert form(value, missing="-") == "-"


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (units.size(0), "0B"),
        (units.size(999), "999B"),
        (units.size(1000), "1.0K"),
        (units.size(71.2 * (1 << 30)), "71.2G"),
        (units.size(612 * (1 << 30)), "612G"),
        (units.size(1023 * (1 << 30)), "1.0T"),
        (units.size(99.96 * (1 << 30)), "100G"),
        (units.rate(0), "0"),
        (units.rate(0.04), "0.0"),
        (units.rate(3), "3.0"),
        (units.rate(48.1e9), "48.1G"),
        (units.rate(999.7e6), "1.0G"),
        (units.bits(400e9), "400G"),
        (units.bits(25e9), "25G"),
        (units.bits(2.5e9), "2.5G"),
        (units.watts(688.4), "688"),
        (units.watts(12_400), "12.4k"),
        (units.percent(96.6), "97"),
        (units.percent(-3), "0"),
        (units.milliseconds(0.0018), "1.8"),
        (units.milliseconds(61), "61.0k"),
        (units.duration(45), "45s"),
        (units.duration(754), "12m34s"),
        (units.duration(3 * 3600 + 300), "3h05m"),
        (units.duration(2 * 86400 + 3 * 3600), "2d03h"),
        (units.duration(123 * 86400), "123d"),
        (units.age(99), "99s"),
        (units.age(100), "1m"),
        (units.age(-5), "0s"),
        (units.age(10**9), "999d"),
        (units.number(99_999), "99999"),
        (units.number(123_456), "123k"),
    ],
)
def test_formats(shown: str, wanted: str) -> None:
    assert shown == wanted


@given(st.one_of(st.none(), st.floats()))
def test_times_never_fail(at: float | None) -> None:
    assert len(units.clock(at, 1_795_479_505.0)) <= 11
    stamp = units.iso(at)
    assert stamp is None or (len(stamp) == 20 and stamp.endswith("Z"))


def test_iso_is_utc() -> None:
    assert units.iso(1_795_479_505.0) == "2026-11-24T00:18:25Z"


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@given(values=st.lists(NUMBERS, max_size=50), width=st.integers(min_value=0, max_value=40))
def test_sparklines_are_as_wide_as_asked_and_show_gaps(glyphs: Glyphs, values: list[float | None], width: int) -> None:
    cell = sparkline(values, width, glyphs=glyphs)
    assert cell_width(cell.text) == width
    for value, char in zip(reversed(values), reversed(cell.text), strict=False):
        assert (char == " ") == (value is None or not math.isfinite(value))


def test_sparkline_levels() -> None:
    assert sparkline([0, 50, 100], 3, high=100).text == "▁▅█"
    assert sparkline([0, 100], 4, high=100, glyphs=ASCII).text == "  _#"
    assert sparkline([5, 5], 2, low=5).text == "▁▁"


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@given(fraction=st.one_of(st.none(), st.floats()), width=st.integers(min_value=0, max_value=30))
def test_bars_are_as_wide_as_asked(glyphs: Glyphs, fraction: float | None, width: int) -> None:
    assert cell_width(bar(fraction, width, glyphs=glyphs).text) == width


def test_bars() -> None:
    assert bar(0.5, 4).text == "██··"
    assert bar(0.0, 4).text == "····"
    assert bar(1.0, 4, glyphs=ASCII).text == "####"
    assert bar(None, 4).text == "–   "


def test_mini_bars_show_lost_and_unknown() -> None:
    cell = mini_bars([0.97, None, 0.0, 0.5], 8, bad=[False, False, False, True])
    assert cell.text == "█–▁✗"
    assert [style for _, style in cell.parts] == ["heat9", "muted", "heat0", "bad"]
    assert mini_bars([0.1, 0.9, 0.2, 0.3], 2).text == "█▃"
    assert mini_bars([0.97, None], 8, glyphs=ASCII, bad=[True, False]).text == "X-"


def test_heat_levels() -> None:
    assert [heat_style(value) for value in (None, math.nan, -1.0, 0.0, 0.55, 1.0, 7.0)] == [
        "muted",
        "muted",
        "heat0",
        "heat0",
        "heat5",
        "heat9",
        "heat9",
    ]


TABLES_OF_SIGNS = [NODE_SIGNS, JOB_SIGNS, SOURCE_SIGNS, LINK_SIGNS, MOUNT_SIGNS, SEVERITY_SIGNS, ACCELERATOR_SIGNS]


@pytest.mark.parametrize("signs", TABLES_OF_SIGNS)
def test_states_differ_by_glyph_word_and_rank_in_one_cell(signs: dict[str, Sign]) -> None:
    assert all(cell_width(sign.glyph) == 1 and sign.ascii.isascii() and len(sign.ascii) == 1 for sign in signs.values())
    for what in ("glyph", "ascii", "word", "rank"):
        assert len({getattr(sign, what) for sign in signs.values()}) == len(signs), what
    assert {sign.style for sign in signs.values()} <= set(STYLES)


def test_every_state_of_the_model_has_a_sign() -> None:
    from console.model import JobState, MountState, NodeState, Severity, SourceState

    for signs, states in (
        (NODE_SIGNS, NodeState),
        (JOB_SIGNS, JobState),
        (SOURCE_SIGNS, SourceState),
        (MOUNT_SIGNS, MountState),
        (SEVERITY_SIGNS, Severity),
    ):
        assert set(signs) == set(states)
    assert link_sign(None).word == link_sign("polling").word == "unknown"


def test_ascii_mode_is_ascii() -> None:
    for field in ("ellipsis", "missing", "sparks", "bar", "bar_rest", "shades", "mark", "cursor", "ascending",
                  "descending", "separator", "warning", "degree"):  # fmt: skip
        assert getattr(ASCII, field).isascii(), field
    assert ASCII.state(NODE_SIGNS["down"]).text == "X down"  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("slurm:production-east/nodes", 16, "slurm:p…st/nodes"),
        ("8812", 8, "8812    "),
        ("train-llm/job/llm-70b", 10, "trai…m-70b"),
        ("日本語のジョブ名", 9, "日本…ブ名"),
        ("ab", 1, "…"),
    ],
)
def test_names_are_cut_in_their_middle(text: str, width: int, shown: str) -> None:
    assert fit(text, width, "middle").rstrip() == shown.rstrip()
    assert cell_width(fit(text, width, "middle")) == width
