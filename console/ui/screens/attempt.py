"""One attempt of the journal."""

from __future__ import annotations

from collections.abc import Sequence

from console.model import Attempt
from console.render.cells import Cell
from console.render.journal import attempt_sections
from console.render.lines import Section
from console.ui.screens.pages import PageScreen


class AttemptScreen(PageScreen):
    """Who did what, how it went, and what was planned."""

    kind = "attempt"

    def sections(self, width: int) -> Sequence[Section]:
        """Return what the journal holds of it now."""
        attempt = self.meant_attempt()
        if attempt is None:
            return [Section("journal", ((Cell("it is gone", "muted"),),))]
        return attempt_sections(self.console_app.view, attempt, width)

    def meant_attempt(self) -> Attempt | None:
        """Return it."""
        return self.console_app.view.store.attempts.get(str(self.row_id))
