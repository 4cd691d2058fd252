"""A table of any length on the Line API."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.strip import Strip

from console.render.cells import Run, cell_width, fit, fit_runs, wrap
from console.render.tables import Column, Placed, RowId, layout
from console.ui.canvas import Canvas
from console.ui.model import RowModel

GUTTER = 2
"""Cells at the left of each row: the cursor, or the mark."""
SLICE_S = 0.003
"""How long old rows are drawn anew at a stretch: keys come in between."""


class RecordTable(Canvas):
    """Rows of a `RowModel`: cursor, marks, columns; all of them by id, so that they survive every refresh.

    The first line is the header. The cursor is always on screen, and stays on its line while rows come, go and are
    sorted anew around it, unless it has not been moved yet: then it stays on the first row.
    """

    class Moved(Message):
        """The cursor is on another row."""

    class Opened(Message):
        """A row was clicked twice."""

    class SortAsked(Message):
        """The title of a column was clicked."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    def __init__(self, model: RowModel, columns: Sequence[str] | None) -> None:
        super().__init__(id="table")
        self.model = model
        self.chosen: tuple[str, ...] | None = tuple(columns) if columns else None
        """Ids of the columns to show; None: all, by priority."""
        self.shift = 0
        """Columns scrolled away on the left, after the first one."""
        self.marks: set[RowId] = set()
        self.range_start: RowId | None = None
        """Where a range began."""
        self.cursor: RowId | None = None
        self.active = True
        self.note: Sequence[Run] = ()
        """What an empty table says."""
        self._moved = False
        self._index = 0
        self._top = 0
        self._placed: tuple[Placed[Any], ...] = ()
        self._cache: dict[RowId, tuple[tuple[str, str], Strip]] = {}
        self._old: set[RowId] = set()
        """Rows whose strip in the cache is to be made anew; until `renew` does, it stands."""
        self._titles: tuple[object, Strip] | None = None
        self._cached_at = 0
        self._window: list[RowId] = []
        self._range: set[RowId] = set()

    # ---- where things are

    @property
    def rows_high(self) -> int:
        """Rows that fit."""
        return max(self.size.height - 1, 0)

    @property
    def index(self) -> int:
        """The row under the cursor, counted from 0."""
        return self._index

    @property
    def count(self) -> int:
        """Rows that the filter lets through."""
        return len(self.model)

    @property
    def page(self) -> int:
        """Rows on screen."""
        return self.rows_high

    @property
    def top(self) -> int:
        """The first row on screen."""
        return self._top

    @property
    def placed(self) -> tuple[Placed[Any], ...]:
        """The columns on screen."""
        if not self._placed:
            self._placed = self._place()
        return self._placed

    def visible_ids(self) -> list[RowId]:
        """Return the ids of the rows on screen."""
        return self.model.shown.window(self._top, self._top + self.rows_high)

    def _place(self) -> tuple[Placed[Any], ...]:
        width = self.size.width - GUTTER
        table = self.model.table
        full = layout(table, width, self.chosen)
        if not self.shift:
            return full
        columns = [table.column(name) for name in self.chosen] if self.chosen else list(table.columns)
        first, rest = columns[0], columns[1:]
        self.shift = min(self.shift, max(len(rest) - 1, 0))
        kept = [first.id]
        room = width - first.least
        for column in rest[self.shift :]:
            if column.least + 1 > room:
                break
            room -= column.least + 1
            kept.append(column.id)
        return layout(table, width, kept)

    def sideways(self, by: int) -> None:
        """Scroll the columns sideways; the first one stays."""
        columns = self.chosen or tuple(column.id for column in self.model.table.columns)
        last_seen = bool(self.placed) and self.placed[-1].column.id == self.model.table.column(columns[-1]).id
        if by > 0 and last_seen and (self.shift or len(self.placed) == len(columns)):
            return
        self.shift = max(self.shift + by, 0)
        self.relayout()

    def relayout(self) -> None:
        """Place the columns anew."""
        self._placed = ()
        self.redraw()

    def resized(self) -> None:
        """Place the columns for the new width, and keep the cursor on screen."""
        self._placed = ()
        self._keep_in_view()

    # ---- data

    def forget(self, ids: set[RowId]) -> None:
        """Draw these rows anew at the next `renew`."""
        self._old.update(self._cache.keys() & ids)

    def renew(self) -> Iterator[None]:
        """Draw the rows on screen anew that are old, a few milliseconds at a time, the one under the cursor first."""
        second = int(self.model.view.now)
        if second != self._cached_at:
            # Ages and times left change without the record.
            self._cached_at = second
            self._old.update(self._cache)
        shown = set(self._window)
        for row_id in self._cache.keys() - shown:
            del self._cache[row_id]
        self._old &= shown
        began = time.perf_counter()
        for y in sorted(range(1, len(self._window) + 1), key=lambda y: self._top + y - 1 != self._index):
            # Keys may have moved everything since the last slice.
            if y <= len(self._window) and self._window[y - 1] in self._old:
                self._cache.pop(self._window[y - 1], None)
                self.sync_line(y)
                if time.perf_counter() - began > SLICE_S:
                    yield
                    began = time.perf_counter()

    def update(self) -> None:
        """Show where the model's rows stand now; the row under the cursor stays on its line."""
        line = self._index - self._top
        found = None if self.cursor is None else self.model.shown.index(self.cursor)
        if not self._moved:
            self._index = self._top = 0
        elif found is not None:
            self._index = found
            self._top = found - line
        self._settle()
        self.sync()

    def _settle(self) -> None:
        """Keep index and first line within what there is, and take the id under the cursor."""
        count = len(self.model)
        self._index = min(max(self._index, 0), max(count - 1, 0))
        self._keep_in_view()
        ids = self.model.shown.window(self._index, self._index + 1)
        new = ids[0] if ids else None
        if new != self.cursor and (new is not None or not self.model.busy):
            self.cursor = new
            self.post_message(self.Moved())

    def _keep_in_view(self) -> None:
        high = max(self.rows_high, 1)
        count = len(self.model)
        self._top = min(self._top, self._index)
        self._top = max(self._top, self._index - high + 1)
        self._top = max(min(self._top, count - high), 0)

    # ---- cursor and marks

    def move(self, by: int) -> None:
        """Move the cursor by rows."""
        self.go(self._index + by)

    def go(self, index: int) -> None:
        """Move the cursor to a row."""
        self._moved = True
        self._index = index
        self._settle()
        self.sync()

    def put(self, row_id: RowId) -> None:
        """Move the cursor to a row by its id, if it is shown."""
        index = self.model.shown.index(row_id)
        if index is not None:
            self.go(index)

    def wheel(self, by: int) -> None:
        """Scroll; the cursor comes along when it would leave the screen."""
        high = max(self.rows_high, 1)
        self._moved = True
        self._top = max(min(self._top + by, len(self.model) - high), 0)
        self._index = min(max(self._index, self._top), self._top + high - 1)
        self._settle()
        self.sync()

    def range_ids(self) -> list[RowId]:
        """Return the rows of the open range."""
        start = None if self.range_start is None else self.model.shown.index(self.range_start)
        if start is None:
            return []
        low, high = sorted((start, self._index))
        return self.model.shown.window(low, high + 1)

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor and go on to the next; an open range is marked as a whole."""
        if self.range_start is not None:
            self.end_range()
            return
        if self.cursor is not None:
            self.marks ^= {self.cursor}
            self.go(self._index + 1)

    def toggle_range(self) -> None:
        """Begin a range, or mark it."""
        if self.range_start is None:
            self.range_start = self.cursor
        else:
            self.end_range()
        self.sync()

    def end_range(self) -> None:
        """Mark the rows of the open range."""
        self.marks.update(self.range_ids())
        self.range_start = None
        self.sync()

    def toggle_all(self) -> None:
        """Mark all rows that the filter shows; none when all of them are marked already."""
        shown = set(self.model.shown.window(0, len(self.model)))
        self.marks = self.marks - shown if shown <= self.marks else self.marks | shown
        self.sync()

    def clear_marks(self) -> None:
        """Unmark everything."""
        self.marks.clear()
        self.range_start = None
        self.sync()

    def chosen_ids(self) -> list[RowId]:
        """Return what an action is about: the marked rows that still exist, else the one under the cursor."""
        model = self.model
        marked = [row_id for row_id in self.marks if model.table.row(model.view, row_id) is not None]
        if marked:
            places = {row_id: model.shown.index(row_id) for row_id in marked}
            far = len(model)
            return sorted(marked, key=lambda row_id: far if places[row_id] is None else places[row_id] or 0)
        return [] if self.cursor is None else [self.cursor]

    # ---- drawing

    def sync(self) -> None:
        """Draw what changed."""
        self._range = set(self.range_ids()) if self.range_start is not None else set()
        self._window = self.visible_ids()
        super().sync()

    def redraw(self) -> None:
        """Draw everything anew."""
        self._cache.clear()
        self._titles = None
        self._range = set(self.range_ids()) if self.range_start is not None else set()
        self._window = self.visible_ids()
        super().redraw()

    def draw(self, y: int) -> Strip:
        """Return the header (0) or a row."""
        if y == 0:
            return self._header()
        if y - 1 >= len(self._window):
            return self._empty(y)
        row_id = self._window[y - 1]
        glyphs = self.model.view.glyphs
        here = self._top + y - 1 == self._index
        marked = row_id in self.marks or row_id in self._range
        over = "selected" if here else "marked" if marked else ""
        sign = glyphs.mark if marked else glyphs.cursor if here and self.active else " "
        cached = self._cache.get(row_id)
        if cached is not None and cached[0] == (over, sign):
            return cached[1]
        strip = self._row(row_id, over, sign)
        self._cache[row_id] = ((over, sign), strip)
        self._old.discard(row_id)
        return strip

    def _row(self, row_id: RowId, over: str, sign: str) -> Strip:
        model = self.model
        row = model.table.row(model.view, row_id)
        if row is None:
            return self.strip([], over=over)
        ellipsis = model.view.glyphs.ellipsis
        runs: list[Run] = [(f"{sign} ", "accent")]
        end = GUTTER
        cells = model.table.cells(row, [place.column for place in self.placed])
        for place, cell in zip(self.placed, cells, strict=True):
            start = GUTTER + place.x
            if start > end:
                runs.append((" " * (start - end), "text"))
            runs.extend(fit_runs(cell, place.width, place.column.align, ellipsis))
            end = start + place.width
        return self.strip(runs, over=over)

    def _header(self) -> Strip:
        told = (self.model.column, self.model.descending)
        if self._titles is None or self._titles[0] != told:
            self._titles = (told, self._draw_header())
        return self._titles[1]

    def _draw_header(self) -> Strip:
        model, glyphs = self.model, self.model.view.glyphs
        runs: list[Run] = [(" " * GUTTER, "header")]
        end = GUTTER
        for place in self.placed:
            start = GUTTER + place.x
            runs.append((" " * (start - end), "header"))
            column: Column[Any] = place.column
            title, style = title_of(column, glyphs.ascii), "header"
            if column.id == model.column.id:
                style = "sorted"
                arrow = glyphs.descending if model.descending else glyphs.ascending
                if cell_width(title) < place.width:
                    title = arrow + title if column.align == "right" else title + arrow
            text = fit(title, place.width, column.align, glyphs.ellipsis)
            body = text.strip(" ")
            lead = len(text) - len(text.lstrip(" "))
            runs += [(" " * lead, "header"), (body, style), (" " * (len(text) - lead - len(body)), "header")]
            end = start + place.width
        return self.strip(runs)

    def _empty(self, y: int) -> Strip:
        if self._window or y < 2 or not self.note:
            return self.blank()
        lines: list[Run] = []
        for text, style in self.note:
            lines += [(line, style) for line in wrap(text, max(self.size.width - 2 * GUTTER, 8))]
        if y - 2 >= len(lines):
            return self.blank()
        return self.strip([(" " * GUTTER, "text"), lines[y - 2]])

    # ---- mouse

    def on_click(self, event: Click) -> None:
        """Go to a row, open it at the second click, sort by a column."""
        if event.y == 0:
            for place in self.placed:
                if place.x <= event.x - GUTTER < place.x + place.width:
                    self.post_message(self.SortAsked(place.column.id))
            return
        if event.y - 1 < len(self._window):
            self.go(self._top + event.y - 1)
            if event.chain == 2:
                self.post_message(self.Opened())

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Scroll by three rows."""
        event.stop()
        self.wheel(3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Scroll by three rows."""
        event.stop()
        self.wheel(-3)


def title_of(column: Column[Any], plain: bool) -> str:
    """Return the title of a column, in ASCII when that is all that there is."""
    return column.title if not plain or column.title.isascii() else column.title.replace("°", "")
