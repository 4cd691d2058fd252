"""Help and notices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from textual.widget import Widget

from console.render.cells import Cell, fit, line_text, wrap
from console.ui.keymap import show_key
from console.ui.panes import LinesPane, Row
from console.ui.screens.base import BaseScreen
from console.ui.screens.handlers import Motions

KEYS = 16
TITLE = 22


class TextScreen(BaseScreen):
    """Lines that scroll."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = LinesPane("lines")
        self.lines.active = True
        self.handlers = (Motions(self),)

    def body(self) -> Iterable[Widget]:
        """Yield the lines."""
        yield self.lines

    @property
    def pane(self) -> LinesPane:
        """What the keys for moving move."""
        return self.lines

    def rows(self, width: int) -> Sequence[Row]:
        """Return the lines for a width."""
        raise NotImplementedError

    def steps(self) -> Iterator[None]:
        """Show the lines as they are now."""
        if self.lines.size:
            self.lines.show(self.rows(max(self.lines.size.width - 3, 20)))
        yield
        yield from super().steps()

    def way_back(self) -> Cell:
        """Return which key leads back."""
        return Cell(f"   {self.console_app.key_for('back')} goes back", "muted")

    def picture(self) -> Iterator[str]:
        """Yield all lines as text."""
        for row in self.lines.rows:
            yield line_text(row.line).rstrip()

    def clip(self) -> str:
        """Return the line under the cursor."""
        row = self.lines.current
        return "" if row is None else line_text(row.line).strip()

    def on_lines_pane_opened(self) -> None:
        """Open a line that was clicked twice."""
        self.console_app.perform("open")


class HelpScreen(TextScreen):
    """Keys and actions of the screen that it was asked from, made from the registry."""

    kind = "help"

    def __init__(self, of: str) -> None:
        super().__init__()
        self._of = of

    def rows(self, width: int) -> Sequence[Row]:
        """Return the actions by group, with their keys as they are mapped."""
        keymap = self.console_app.keymap
        rows: list[Row] = [Row((Cell(f"Keys of {self._of}", "title"), self.way_back()))]
        offered = self.console_app.offered(self._of)
        for group in dict.fromkeys(action.group for action in offered):
            rows += [Row(()), Row((Cell(group, "header"),))]
            for action in offered:
                if action.group != group:
                    continue
                keys = "  ".join(show_key(key) for key in keymap.keys[action.id])
                name = f":{action.id}" + (f" {action.argument}" if action.argument else "")
                about = action.help if width >= 70 else action.title
                first, *rest = wrap(about, max(width - KEYS - TITLE, 10))
                rows.append(Row((Cell(fit(keys, KEYS), "key"), Cell(fit(name, TITLE), "name"), Cell(first))))
                rows += [Row((Cell(" " * (KEYS + TITLE)), Cell(line))) for line in rest]
        rows += [Row(()), Row((Cell("Filter", "header"),))]
        rows += [
            Row((Cell(fit(example, KEYS + TITLE), "key"), Cell(about)))
            for example, about in (
                ("gpu0 alice", "both words somewhere in the row"),
                ("state:drained", "a field that has this in it"),
                ("util>80  mem<=100G  age<5m", "numbers, sizes, times"),
                ("!idle", "not this"),
                ("~^gpu0[12]~", "a regular expression"),
                ("gpu[01-16,20]", "these nodes, or what is on them"),
                ("@drained @partition:gpu @job:8812", "the nodes of a group, or what is on them"),
            )
        ]
        return rows


class NoticesScreen(TextScreen):
    """All notices since the start."""

    kind = "notices"

    def rows(self, width: int) -> Sequence[Row]:
        """Return the notices, each whole."""
        rows = [Row((Cell("Notices", "title"), self.way_back())), Row(())]
        for text, style in self.console_app.messages.notices:
            rows += [Row((Cell(line, style),)) for line in wrap(text, width)]
        if len(rows) == 2:
            rows.append(Row((Cell("none since the start", "muted"),)))
        return rows
