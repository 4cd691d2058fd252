"""What is drawn anew, how much of it is repainted, and that keys never wait for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from textual.events import Key
from textual.strip import Strip

from console.model import NodeState
from console.ui import table as tables
from console.ui.canvas import changed_span
from tests.ui.harness import NOW, Console, many, press, running, settle
from tests.unit.records import batch, job, node, queue

STYLES = (Style(bold=True), Style(italic=True), Style())
SEGMENTS = st.lists(st.builds(Segment, st.text("ab█模", max_size=4), st.sampled_from(STYLES), st.none()), max_size=5)


def cells_of(strip: Strip) -> list[tuple[str, Style | None]]:
    """Every cell with its style; a wide character stands in both of its cells."""
    return [
        (char, segment.style)
        for segment in strip
        for char in segment.text
        for _ in range(Segment(char).cell_length)
    ]  # fmt: skip


@given(SEGMENTS, SEGMENTS)
def test_what_lies_outside_the_repainted_cells_is_unchanged(one: list[Segment], other: list[Segment]) -> None:
    old, new = Strip(one), Strip(other)
    width = max(old.cell_length, new.cell_length, 1)
    old, new = (strip.adjust_cell_length(width, Style()) for strip in (old, new))
    before, after = cells_of(old), cells_of(new)
    span = changed_span(old, new)
    if span is None:
        assert before == after
        return
    start, stop = span
    assert 0 <= start < stop <= width
    assert before[:start] == after[:start]
    assert before[stop:] == after[stop:]


def test_one_digit_that_changed_is_one_cell() -> None:
    style = Style(bold=True)
    old, new = (Strip([Segment("gpu01  "), Segment(text, style)]) for text in ("  97  688  64", "  97  698  64"))
    assert changed_span(old, new) == (14, 15)


async def test_what_follows_in_one_style_is_one_segment() -> None:
    app = Console()
    async with running(app):
        table = app.table_screen.table
        strip = table.strip([("a", "text"), ("", "bad"), ("b", "text"), ("c", "bad")], 3)
        assert [segment.text for segment in strip] == ["ab", "c"]


def rows_drawn(app: Console, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The ids of the rows that are drawn from now on."""
    drawn: list[object] = []
    table = app.table_screen.table
    original = table._row

    def noted(row_id: Any, over: str, sign: str) -> Strip:
        drawn.append(row_id)
        return original(row_id, over, sign)

    monkeypatch.setattr(table, "_row", noted)
    return drawn


async def test_a_key_draws_two_rows_whatever_else_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = many(60)
    app = Console(store)
    async with running(app, (160, 48)):
        drawn = rows_drawn(app, monkeypatch)
        changed = (node(f"n{at:04}", state=NodeState.DOWN, reason="burnt") for at in range(1, 61))
        store.apply(batch("slurm:big/nodes", nodes=tuple(changed)))
        app.perform("down")
        assert drawn == ["n0001", "n0002"]
        app.tick()
        assert set(drawn) >= {f"n{at:04}" for at in range(3, 30)}
        assert "burnt" in app.lines[20]


async def test_old_rows_are_drawn_in_slices_and_keys_may_move_everything_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "SLICE_S", -1.0)
    store = many(200)
    app = Console(store)
    async with running(app, (160, 48)) as pilot:
        table = app.table_screen.table
        changed = (node(f"n{at:04}", state=NodeState.DOWN, reason="burnt") for at in range(1, 201))
        store.apply(batch("slurm:big/nodes", nodes=tuple(changed)))
        steps = app.base.steps()
        seen = [0]
        for count, _ in enumerate(steps):
            seen.append(sum("burnt" in line for line in app.lines))
            if count == 8:
                app.perform("bottom")
            if count == 12:
                app.perform("top")
        assert 0 in seen[1:4], "the first steps draw nothing"
        assert any(0 < count < 20 for count in seen), "all were drawn at a stretch"
        app.tick()
        await settle(pilot, app)
        assert sum("burnt" in line for line in app.lines) >= table.rows_high


async def test_rows_that_were_scrolled_away_are_not_kept() -> None:
    app = Console(many(2000))
    async with running(app, (80, 24)) as pilot:
        await press(pilot, app, *["pagedown"] * 20)
        table = app.table_screen.table
        assert len(table._cache) == table.rows_high


async def test_ages_move_on_without_new_records() -> None:
    store = many(0)
    store.apply(queue("slurm:lab/jobs", job("7", node_names=("n1",), started_at=NOW - 60)))
    app = Console(store, screen="jobs")
    async with running(app, (160, 48)) as pilot:
        assert " 1m00s " in app.lines[4] or " 60s " in app.lines[4]
        app.at = NOW + 3540
        await settle(pilot, app)
        assert " 1h00m " in app.lines[4] or " 60m " in app.lines[4]


async def test_details_follow_the_cursor() -> None:
    app = Console(many(60))
    async with running(app, (160, 48)) as pilot:
        for name in ("n0002", "n0003"):
            await pilot.press("j")
            for _ in range(100):
                await pilot.pause(0.01)
                if name in app.lines[34]:
                    break
            assert name in "".join(app.lines[30:])


async def test_a_key_goes_its_way_at_once_and_the_next_waits_for_it() -> None:
    app = Console(many(60))
    async with running(app, (80, 24)) as pilot:
        delivered: list[str] = []
        original = app.typeahead._deliver

        async def noted(event: Any) -> None:
            delivered.append(event.key)
            await original(event)

        app.typeahead._deliver = noted
        await app.typeahead.add(Key("j", "j"))
        assert delivered == ["j"]
        await app.typeahead.add(Key("slash", "/"))
        await app.typeahead.add(Key("x", "x"))
        assert delivered == ["j"], "the screen has not taken the first one yet"
        await settle(pilot, app)
        assert delivered == ["j", "slash", "x"]
        assert app.table_screen.filter_text == "x", "the line was open when its letter came"
