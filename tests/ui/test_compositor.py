"""Only the cells that changed go to the terminal, and the screen is the same as if all had gone."""

from __future__ import annotations

import io

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console as Terminal
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from console.ui.canvas import changed_span
from console.ui.compositor import NarrowUpdate
from tests.ui.harness import Console, running

WIDTH = 24
TERMINAL = Terminal(file=io.StringIO(), force_terminal=True, width=WIDTH, color_system="truecolor")
STYLES = (Style.parse("red"), Style.parse("bold blue on white"), Style.null())
TEXTS = st.lists(st.tuples(st.text("ab 12モ…", min_size=1, max_size=6), st.sampled_from(STYLES)), max_size=5)


def strip(parts: list[tuple[str, Style]]) -> Strip:
    return Strip([Segment(text, style) for text, style in parts]).adjust_cell_length(WIDTH)


def update(strips: list[Strip], spans: list[tuple[int, int, int]]) -> bytes:
    made = NarrowUpdate([{0: line} for line in strips], spans, [[WIDTH]] * len(strips))
    return made.render_segments(TERMINAL).encode()


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_the_screen_is_as_if_everything_had_been_sent(lines: list[tuple[list[tuple[str, Style]], ...]]) -> None:
    old, new = [strip(one) for one, _ in lines], [strip(other) for _, other in lines]
    narrow, whole = pyte.Screen(WIDTH, len(lines)), pyte.Screen(WIDTH, len(lines))
    everything = [(y, 0, WIDTH) for y in range(len(lines))]
    pyte.ByteStream(narrow).feed(update(old, everything))
    found = [(y, changed_span(one, other)) for y, (one, other) in enumerate(zip(old, new, strict=True))]
    spans = [(y, *span) for y, span in found if span is not None]
    if spans:
        pyte.ByteStream(narrow).feed(update(new, spans))
    pyte.ByteStream(whole).feed(update(new, everything))
    assert narrow.display == whole.display
    assert [[narrow.buffer[y][x] for x in range(WIDTH)] for y in range(len(lines))] == [
        [whole.buffer[y][x] for x in range(WIDTH)] for y in range(len(lines))
    ]


async def test_a_second_costs_a_few_bytes_a_line() -> None:
    app = Console()
    async with running(app, (160, 40)) as pilot:
        app.screen._compositor.render_update(full=True)
        app.at += 1
        app.tick()
        await pilot.pause()
        found = app.screen._compositor
        app.at += 1
        app.tick()
        for canvas in app.screen.query("RecordTable, HeaderBar, StatusBar"):
            found.update_widgets({canvas})
        made = found.render_partial_update()
        assert isinstance(made, NarrowUpdate)
        assert made.spans
        assert len(made.render_segments(TERMINAL)) < 60 * len(made.spans)
