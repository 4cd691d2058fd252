"""The Fleet screen: every node, as a table or a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from console.model import Attention
from console.render.cells import line_text
from console.render.tables import RowId
from console.ui.screens.handlers import Pane
from console.ui.screens.listing import ListScreen
from console.ui.table import RecordTable

if TYPE_CHECKING:
    from console.ui.heatmap import HeatMap


class Mapping:
    """The heat map's own actions."""

    def __init__(self, screen: FleetScreen) -> None:
        self._screen = screen

    def act_map(self, argument: str) -> None:
        """Go from the table through the measures of the heat map, and back."""
        from console.ui.heatmap import METRICS

        screen = self._screen
        heat = screen.heat
        if not screen.mapped:
            heat.metric = METRICS[0]
            screen.set_mapped(True)
        elif heat.metric is METRICS[-1]:
            screen.set_mapped(False)
        else:
            heat.metric = METRICS[METRICS.index(heat.metric) + 1]
            heat.redraw()

    def act_racks(self, argument: str) -> None:
        """Group the map by rack, or not."""
        heat = self._screen.heat
        heat.by_rack = not heat.by_rack
        if self._screen.mapped:
            heat.relayout()
        else:
            self._screen.set_mapped(True)


class FleetScreen(ListScreen):
    """The table of nodes and its heat map; both show the same nodes in the same order."""

    def __init__(self, columns: Sequence[str] | None) -> None:
        super().__init__("fleet", columns)
        self._heat: HeatMap | None = None
        self.mapped = False
        self.handlers = (Mapping(self), *self.handlers)

    @property
    def heat(self) -> HeatMap:
        """The heat map, made when it is first asked for."""
        if self._heat is None:
            from console.ui.heatmap import HeatMap

            self._heat = HeatMap(self.model)
            self._heat.display = False
            self.mount(self._heat, after=self.table)
        return self._heat

    @property
    def main_pane(self) -> RecordTable | HeatMap:
        """What stands over the details."""
        return self.heat if self.mapped else self.table

    @property
    def pane(self) -> Pane:
        """What the keys for moving move."""
        if self.mapped and not (self.in_details and self.details_open):
            return self.heat
        return super().pane

    def set_mapped(self, mapped: bool) -> None:
        """Show the heat map or the table; the cursor stays on its node."""
        self.mapped = mapped
        if mapped:
            self.heat.update(self.table.cursor)
        self.table.display = not mapped
        self.heat.display = mapped
        self.rearrange()

    def cursor_id(self) -> RowId | None:
        """Return the node under the cursor."""
        return self.heat.cursor if self.mapped else super().cursor_id()

    def show_rows(self) -> None:
        """Show what the model says now."""
        super().show_rows()
        if self.mapped:
            self.heat.update()

    def on_heat_map_moved(self) -> None:
        """Take the table's cursor along, and show the details of another node."""
        if self.heat.cursor is not None:
            self.table.put(self.heat.cursor)

    def on_heat_map_opened(self) -> None:
        """Open a node that was clicked twice."""
        self.console_app.perform("open")

    def picture(self) -> Iterator[str]:
        """Yield the heat map whole, or the table."""
        from console.render.heat import heat_line

        layout = self.heat.layout_shown if self.mapped else None
        if layout is None:
            yield from super().picture()
            return
        metric, view = self.heat.metric, self.console_app.view
        yield f"{metric.value} of each GPU"
        for at in range(len(layout.lines)):
            yield line_text(heat_line(view, layout, at, metric)).rstrip()

    def attention(self) -> Attention:
        """Return the nodes on screen."""
        if not self.mapped:
            return super().attention()
        return self.meaning.attention(self.cursor_id(), self.heat.visible_nodes())
