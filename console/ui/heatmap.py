"""The heat map: one cell a GPU, with a cursor and the facts of the GPU under it."""

from __future__ import annotations

from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.strip import Strip

from console.render.cells import Cell, Run
from console.render.heat import HeatLayout, HeatMetric, describe, heat_layout, heat_legend, heat_line
from console.render.tables import RowId
from console.ui.canvas import Canvas
from console.ui.model import RowModel

METRICS = tuple(HeatMetric)
LEGEND = 2
"""Lines under the map: the scale, and the GPU under the cursor."""


@dataclass(slots=True)
class _Place:
    node: RowId
    position: int


class HeatMap(Canvas):
    """The nodes of a `RowModel`, in its order, as cells."""

    class Moved(Message):
        """The cursor is on another node."""

    class Opened(Message):
        """A cell was clicked twice."""

    def __init__(self, model: RowModel) -> None:
        super().__init__(id="heat")
        self._model = model
        self.metric = HeatMetric.UTILIZATION
        self.by_rack = False
        self._map: HeatLayout | None = None
        self._keys: list[RowId] = []
        self._place: _Place | None = None
        self._top = 0

    # ---- where things are

    @property
    def cursor(self) -> RowId | None:
        """The node under the cursor."""
        return None if self._place is None else self._place.node

    @property
    def index(self) -> int:
        """The line of the cursor."""
        spot = self._spot()
        return spot[0] if spot is not None else 0

    @property
    def count(self) -> int:
        """Lines of the whole map."""
        return len(self._map.lines) if self._map is not None else 0

    @property
    def page(self) -> int:
        """Lines on screen."""
        return max(self.size.height - LEGEND, 1)

    @property
    def layout_shown(self) -> HeatLayout | None:
        """Where the nodes stand."""
        return self._map

    def visible_nodes(self) -> list[str]:
        """Return the nodes on screen."""
        if self._map is None:
            return []
        lines = self._map.lines[self._top : self._top + self.page]
        return [node for line in lines for node in line.nodes]

    def _spot(self) -> tuple[int, int] | None:
        if self._map is None or self._place is None:
            return None
        return self._map.place(str(self._place.node), self._place.position)

    # ---- data

    def update(self, cursor: RowId | None = None) -> None:
        """Show what the model says now; `cursor` puts the cursor on a node."""
        if not self.size:
            return
        keys = self._model.shown.window(0, len(self._model))
        if self._map is None or keys != self._keys:
            self._keys = keys
            self._map = heat_layout(self._model.view, [str(key) for key in keys], self.size.width - 2, self.by_rack)
        if cursor is not None and cursor != self.cursor:
            self._place = _Place(cursor, 0)
        if self._spot() is None:
            first = next((line.nodes[0] for line in self._map.lines if line.nodes), None)
            self._place = None if first is None else _Place(first, 0)
        self._keep_in_view()
        self.sync()

    def relayout(self) -> None:
        """Lay the map out anew."""
        self._map = None
        self.update()
        self.redraw()

    def resized(self) -> None:
        """Lay the map out for the new size."""
        self._map = None
        self.update()

    def _keep_in_view(self) -> None:
        line = self.index
        self._top = min(self._top, line)
        self._top = max(self._top, line - self.page + 1)
        self._top = max(min(self._top, self.count - self.page), 0)

    # ---- cursor

    def move(self, by: int) -> None:
        """Move the cursor by lines."""
        self.go(self.index + by)

    def go(self, index: int) -> None:
        """Move the cursor to a line, keeping its column as far as the line has it."""
        spot = self._spot()
        if self._map is None or spot is None:
            return
        line = min(max(index, 0), self.count - 1)
        self._put(line, spot[1])

    def sideways(self, by: int) -> None:
        """Move the cursor to the next cell, over the end of a line to the next one."""
        spot = self._spot()
        if self._map is None or spot is None:
            return
        line, x = spot
        while 0 <= line < self.count:
            x += by
            if x < 0 or x > self._map.origin + len(self._map.lines[line].nodes) * self._map.pitch:
                line += by
                if not 0 <= line < self.count:
                    return
                x = -1 if by > 0 else self._map.origin + len(self._map.lines[line].nodes) * self._map.pitch + 1
                continue
            found = self._map.node_at(line, x)
            if found is not None and self._map.place(*found) == (line, x):
                self._set(_Place(*found))
                return

    def _put(self, line: int, x: int) -> None:
        """Take the last cell of a line at or before x."""
        if self._map is None:
            return
        for candidate in (*range(x, -1, -1), *range(x, self.size.width)):
            found = self._map.node_at(line, candidate)
            if found is not None and self._map.place(*found) is not None:
                self._set(_Place(*found))
                return

    def _set(self, place: _Place) -> None:
        moved = self._place is None or place.node != self._place.node
        self._place = place
        self._keep_in_view()
        self.sync()
        if moved:
            self.post_message(self.Moved())

    # ---- drawing

    def draw(self, y: int) -> Strip:
        """Return a line of the map, the legend, or the GPU under the cursor."""
        view, height = self._model.view, self.size.height
        if y == height - 2:
            return self.cells((Cell("  "), *heat_legend(self.metric, view.glyphs)))
        if y == height - 1:
            if self._place is None:
                return self.blank()
            return self.cells((Cell("  "), *describe(view, str(self._place.node), self._place.position)))
        line = self._top + y
        if self._map is None or line >= self.count:
            text = "no node with GPUs" if not y and not self.count and not self._model.busy else ""
            return self.strip([(f"  {text}", "muted")])
        runs: list[Run] = [("  ", "text")]
        for cell in heat_line(view, self._map, line, self.metric):
            runs.extend(cell.parts)
        strip = self.strip(runs)
        spot = self._spot()
        if spot is not None and spot[0] == line and self._place is not None:
            strip = self._with_cursor(strip, spot[1] + 2, self._place.position, self._map.per_node)
        return strip

    def _with_cursor(self, strip: Strip, x: int, position: int, width: int) -> Strip:
        """Return the line with brackets around the node and its cell at x reversed: seen without any colour."""
        styles = self.console_app.styles_of_theme
        start, end, total = x - position, x - position + width, strip.cell_length
        bracket = styles.get("accent", "", self.surface)
        cell = strip.crop(x, x + 1).apply_style(Style(reverse=True, bold=True))
        parts = [
            strip.crop(0, start - 1),
            Strip([Segment("[", bracket)], 1),
            strip.crop(start, x),
            cell,
            strip.crop(x + 1, end),
            Strip([Segment("]", bracket)], 1),
            strip.crop(end + 1, total),
        ]
        return Strip.join(parts).adjust_cell_length(total)

    # ---- mouse

    def on_click(self, event: Click) -> None:
        """Go to a cell, open its node at the second click."""
        if self._map is None or event.y >= self.page:
            return
        found = self._map.node_at(self._top + event.y, event.x - 2)
        if found is not None:
            self._set(_Place(*found))
            if event.chain == 2:
                self.post_message(self.Opened())

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Scroll."""
        event.stop()
        self.move(3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Scroll."""
        event.stop()
        self.move(-3)
