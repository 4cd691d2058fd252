"""A screen of one table: rows, filter line, details under it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from textual.widget import Widget

from console.errors import UsageError
from console.model import Attempt, Attention
from console.render.cells import Cell, Run, fit
from console.render.header import old_words
from console.render.tables import TABLES, Column, RowId
from console.ui.model import RowModel
from console.ui.panes import LinesPane, Row, Rule
from console.ui.screens.base import BaseScreen
from console.ui.screens.handlers import Arranging, Filtering, Marking, Motions, Pane
from console.ui.screens.meaning import TableMeaning
from console.ui.table import RecordTable

if TYPE_CHECKING:
    from console.ui.heatmap import HeatMap

SLICE_S = 0.003
"""How long rows are sorted at a stretch."""
ROOM_FOR_DETAILS = 32
"""Lines from which on the details are shown without being asked for."""


class ListScreen(BaseScreen):
    """One table of `console.render.tables`."""

    def __init__(self, kind: str, columns: Sequence[str] | None) -> None:
        super().__init__(kind)
        self._columns = columns
        self.filter_text = ""
        self.filter_error: UsageError | None = None
        self.filter_history: list[str] = []
        self.wants_details: bool | None = None
        """What the user said; None: by the room."""
        self.zoomed = False
        self.in_details = False
        self._working = False
        self._details_due = False
        self._details_shown: tuple[object, ...] = ()
        self.handlers = (Motions(self), Marking(self), Arranging(self), Filtering(self))

    def body(self) -> Iterable[Widget]:
        """Yield the table, and the details under a rule."""
        app = self.console_app
        self.model = RowModel(TABLES[self.kind], app.view)
        self.table = RecordTable(self.model, self._columns)
        self.rule = Rule()
        self.details = LinesPane("details", "surface")
        yield self.table
        yield self.rule
        yield self.details

    def on_mount(self) -> None:
        """Begin to sort."""
        self.work()

    # ---- rows

    def steps(self) -> Iterator[None]:
        """Take what the store changed, and show it."""
        model = self.model
        touched = model.pull()
        self.table.forget(touched)
        model.refresh_keys()
        yield
        self.work()
        self._show_table()
        yield
        super().show()
        yield
        yield from self.table.renew()
        if self.cursor_id() in touched or self._details_wanted() != self._details_shown:
            self._show_details()

    def show(self) -> None:
        """Show what an action did; the details follow when that is on the screen."""
        self.work()
        self._show_table()
        super().show()
        self._details_later()

    def _show_table(self) -> None:
        self.table.note = self._note()
        self.show_rows()
        self.header.place = self._place()

    def show_rows(self) -> None:
        """Show where the model's rows stand now."""
        self.table.update()

    def cursor_id(self) -> RowId | None:
        """Return the row under the cursor."""
        return self.table.cursor

    def work(self) -> None:
        """Go on sorting in the background until all is in order."""
        if self.model.busy:
            self.model.step(SLICE_S)
        if self.model.busy and not self._working:
            self._working = True
            self.run_worker(self._work(), name="sorting", group="sort", exit_on_error=False)

    async def _work(self) -> None:
        try:
            shown = 0
            while self.model.busy:
                changed = self.model.step(SLICE_S)
                shown += 1
                if changed and (shown % 8 == 0 or not self.model.busy):
                    self.show_rows()
                    self.header.place = self._place()
                    self.header.sync()
                await self.console_app.rest()
        finally:
            self._working = False

    def _note(self) -> Sequence[Run]:
        """Say why there is nothing to see, in one or more lines."""
        app = self.console_app
        store, back = app.view.store, app.key_for("back")
        if self.model.busy:
            return (("reading ...", "muted"),)
        if self.filter_error is not None:
            return ((self.filter_error.in_one_line, "bad"), (f"{back} clears the filter", "muted"))
        if self.filter_text and self.model.total:
            from console.render.plain import NO_OWNERS, nobody_owns

            unowned = self.kind == "jobs" and "user" in self.filter_text and nobody_owns(store)
            return (
                (f"no {self.model.table.noun} matches {self.filter_text}", "warn"),
                *(((NO_OWNERS, "info"),) if unowned else ()),
                (f"{back} clears the filter", "muted"),
            )
        lines: list[Run] = []
        for status in list(store.sources.values())[: max(self.table.rows_high // 2, 1)]:
            style = "muted" if status.state.value in ("connecting", "ok") else "warn"
            text = f"{status.name}: {status.state.value}"
            lines.append((f"{text}: {status.error}" if status.error else text, style))
            if status.hint:
                lines.append((f"  {status.hint}", "info"))
        if not lines:
            return self._nothing_yet()
        return ((self.model.table.empty, "muted"), *lines)

    def _nothing_yet(self) -> Sequence[Run]:
        """Say why no source has said a word."""
        failure = self.console_app.view.failure
        if failure is None:
            return (("connecting ...", "muted"),)
        return (("nothing is shown, for the session could not start", "warn"), (failure, "bad"))

    def _place(self) -> tuple[Cell, ...]:
        model, table = self.model, self.table
        count, total = len(model), model.total
        old = old_words(model.view, model.table.lists)
        cells: list[Cell] = [] if old is None else [old, Cell("  ")]
        progress = model.progress
        if progress is not None:
            cells.append(Cell(f"sorting {progress:4.0%}  ", "info"))
        if table.range_start is not None:
            cells.append(Cell(f"range {len(table.range_ids())}  ", "accent"))
        if table.marks:
            cells.append(Cell(f"{len(table.marks)} marked  ", "accent"))
        if self.filter_text:
            text = fit(self.filter_text, min(24, len(self.filter_text)))
            cells.append(Cell(f"/{text}  ", "bad" if self.filter_error else "warn"))
        of = f"{count:,} of {total:,}" if count != total else f"{total:,}"
        at = f"{table.index + 1:,}/" if count else ""
        cells.append(Cell(f"{at}{of}", "muted"))
        return tuple(cells)

    # ---- panes

    @property
    def details_open(self) -> bool:
        """Whether the details are shown."""
        if self.zoomed:
            return self.in_details
        if self.wants_details is not None:
            return self.wants_details
        return self.size.height >= ROOM_FOR_DETAILS

    def share_room(self, width: int, height: int) -> None:
        """Share the height between table and details."""
        opened = self.details_open
        alone = self.zoomed and self.in_details
        self.details.display = self.rule.display = opened
        self.main_pane.display = not alone
        self.rule.display = opened
        self.details.styles.height = "1fr" if alone else max(5, min(14, height // 4))

    @property
    def main_pane(self) -> RecordTable | HeatMap:
        """What stands over the details."""
        return self.table

    def _details_later(self) -> None:
        if not self._details_due:
            self._details_due = True
            self.call_after_refresh(self._show_details)

    def _details_wanted(self) -> tuple[object, ...]:
        """Return what the details hang on, besides the record itself."""
        return self.cursor_id(), int(self.model.view.now), self.details.size, self.details_open

    def _show_details(self) -> None:
        self._details_due = False
        self._details_shown = self._details_wanted()
        if not self.details_open or not self.is_attached:
            return
        self.rule.title = self.detail_title()
        self.rule.sync()
        self.details.show(self.detail_rows())

    def detail_title(self) -> tuple[Cell, ...]:
        """Return the title of the details."""
        row_id = self.cursor_id()
        if row_id is None:
            return ()
        name = row_id if isinstance(row_id, str) else " ".join(row_id)
        return (Cell(name, "title"),)

    def detail_rows(self) -> list[Row]:
        """Return the lines about the row under the cursor."""
        from console.render.details import details

        row_id = self.cursor_id()
        if row_id is None:
            return []
        view = self.model.view
        row = self.model.table.row(view, row_id)
        if row is None:
            return [Row((Cell("it is gone", "muted"),))]
        return [Row(line) for line in details(row, view, max(self.details.size.width - 3, 20))]

    def on_record_table_moved(self) -> None:
        """Show the details of another row from their beginning."""
        self.details.rewind()
        self._details_later()
        self.header.place = self._place()
        self.header.sync()

    def on_record_table_opened(self) -> None:
        """Open a row that was clicked twice."""
        self.console_app.perform("open")

    def on_record_table_sort_asked(self, event: RecordTable.SortAsked) -> None:
        """Sort by a title that was clicked; again: the other way."""
        if event.column == self.model.column.id:
            self.sort(self.model.column, not self.model.descending)
        else:
            self.sort_by(event.column)

    @property
    def pane(self) -> Pane:
        """What the keys for moving move."""
        return self.details if self.in_details and self.details_open else self.main_pane

    def sort(self, column: Column[Any], descending: bool) -> None:
        """Sort by a column."""
        self.model.sort_by(column, descending)
        self.table.redraw()
        self.work()

    def sort_by(self, name: str) -> None:
        """Sort by a column by its name: numbers from the greatest, text from A. UsageError when there is none."""
        column = self.model.table.column(name)
        numbers = column.unit != "text" or (column.order is not None and column.id == "state")
        self.sort(column, numbers)

    def set_filter(self, text: str) -> None:
        """Show only what matches; an error in it is shown, and the filter before stays."""
        from console.render.filter import compile_filter

        self.filter_text = text
        try:
            predicate = compile_filter(text, self.model.table, self.model.view.store) if text.strip() else None
        except UsageError as error:
            self.filter_error = error
            return
        self.filter_error = None
        self.model.filter_by(predicate)
        self.work()

    def rearrange(self) -> None:
        """Share the height again after a pane was opened, closed or zoomed."""
        self.share_room(self.size.width, self.size.height)
        self.table.active = not (self.in_details and self.details_open)
        self.details.active = not self.table.active
        self.refresh(layout=True)
        self.call_after_refresh(self._show_details)
        self.call_after_refresh(self.repaint)

    def set_columns(self, names: tuple[str, ...] | None) -> None:
        """Show these columns; empty: by the room; None: leave them as they are."""
        if names is not None:
            self.table.chosen = names or None
            self.table.shift = 0
            self.table.relayout()

    # ---- the filter line

    def typed(self, sign: str, text: str) -> None:
        """Filter while it is typed."""
        if sign != "/":
            super().typed(sign, text)
            return
        self.set_filter(text)
        error = self.filter_error
        hint = "words, field:value, field>80, !word, ~regex~, gpu[01-16], @drained"
        self.console_app.explain((Cell(error.in_one_line, "bad") if error else Cell(hint, "muted"),))
        self.tick()

    def entered(self, sign: str, text: str) -> None:
        """Keep the filter; one that cannot be read stays open to be mended."""
        if sign != "/":
            super().entered(sign, text)
            return
        if text != self.filter_text.strip():
            # Enter overtook the last letters.
            self.typed(sign, text)
        if self.filter_error is None:
            self.console_app.explain(None)
            self.close_prompt()

    def left(self, sign: str) -> None:
        """Give up the filter."""
        if sign == "/":
            self.set_filter("")
        super().left(sign)

    # ---- what others ask

    @property
    def meaning(self) -> TableMeaning:
        """What cursor and marks are about."""
        return TableMeaning(self.kind, self.table, self.model.view.store)

    def target(self) -> tuple[str, RowId] | None:
        """Return the page of the row under the cursor."""
        return self.meaning.page(self.cursor_id())

    def job(self) -> tuple[str, str] | None:
        """Return the job under the cursor, in the table of jobs."""
        return self.meaning.job(self.cursor_id())

    def meant_nodes(self) -> Sequence[str]:
        """Return the nodes of the marked rows, else of the one under the cursor."""
        return self.meaning.nodes()

    def meant_jobs(self) -> Sequence[tuple[str, str]]:
        """Return the marked jobs, else the one under the cursor."""
        return self.meaning.jobs()

    def meant_attempt(self) -> Attempt | None:
        """Return the attempt under the cursor, in the journal."""
        return self.meaning.attempt(self.cursor_id())

    def picture(self) -> Iterator[str]:
        """Yield all rows that the filter shows, with the columns on screen."""
        from console.render.plain import text_lines

        table, view = self.model.table, self.model.view
        found = (table.row(view, row_id) for row_id in self.model.shown.window(0, len(self.model)))
        rows = (row for row in found if row is not None)
        chosen = [place.column.id for place in self.table.placed]
        return text_lines(table, rows, self.table.size.width, chosen=chosen, ellipsis=view.glyphs.ellipsis)

    def clip(self) -> str:
        """Return the names of the marked rows, else of the one under the cursor, one a line."""
        return self.meaning.clip(self.cursor_id())

    def attention(self) -> Attention:
        """Return the nodes of the rows on screen; of a job, those it runs on."""
        return self.meaning.attention(self.cursor_id(), self.table.visible_ids())
