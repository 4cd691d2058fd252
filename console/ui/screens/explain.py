"""Why one job waits or failed."""

from __future__ import annotations

from collections.abc import Sequence

from console.errors import QuarterdeckError
from console.model import Explanation
from console.render.cells import Cell, Line, wrap
from console.render.explanation import explanation_sections
from console.render.lines import Section
from console.ui.screens.pages import PageScreen


class Asking:
    """What only this screen does."""

    def __init__(self, screen: ExplainScreen) -> None:
        self._screen = screen

    def act_explain(self, argument: str) -> None:
        """Ask again."""
        self._screen.ask_again()


class ExplainScreen(PageScreen):
    """Asks the backend of a job once, when it is opened, and when it is asked to again."""

    kind = "explain"

    def __init__(self, key: tuple[str, str]) -> None:
        super().__init__(key)
        self._key = key
        self._found: Explanation | None = None
        self._error: QuarterdeckError | None = None
        self.handlers = (Asking(self), *self.handlers)

    def job(self) -> tuple[str, str]:
        """Return the job that it is about."""
        return self._key

    def on_mount(self) -> None:
        """Ask."""
        self.ask_again()

    def ask_again(self) -> None:
        """Ask; what was answered before stays meanwhile."""
        self.run_worker(self._ask(), name="asking why", group="explain", exclusive=True, exit_on_error=False)

    async def _ask(self) -> None:
        self._error = None
        try:
            self._found = await self.console_app.session.desk.explain(self._key)
        except QuarterdeckError as error:
            self._error = error
        self.tick()

    def sections(self, width: int) -> Sequence[Section]:
        """Return the answer, what went wrong, or that it is being asked for."""
        view = self.console_app.view
        sections: list[Section] = []
        if self._error is not None:
            lines: list[Line] = [(Cell(line, "bad"),) for line in wrap(str(self._error), width)]
            lines += [(Cell(line, "info"),) for line in wrap(self._error.hint, width) if line]
            sections.append(Section("no answer", tuple(lines)))
        if self._found is not None:
            return [*sections, *explanation_sections(view, self._found, width)]
        if self._error is None:
            sections.append(Section("why", ((Cell(f"asking {self._key[0]} ...", "muted"),),)))
        return sections
