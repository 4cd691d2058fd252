"""A command on many nodes: its answers folded, live while it runs; one group whole; differences."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from console.model import Group
from console.render.answers import Numbers, head_lines, output_lines, progress_text, reference
from console.render.cells import Cell, Line, line_text, wrap
from console.render.lines import Section, paragraph
from console.ui.prompt import Prompt
from console.ui.running import Trip
from console.ui.screens.pages import PageScreen

SHOWN_LINES = 12
"""Lines of each group; `enter` shows all of them."""


class RunKeys:
    """What only this screen does."""

    def __init__(self, screen: RunScreen) -> None:
        self._screen = screen

    def act_open(self, argument: str) -> None:
        """Open the answer under the cursor; or ask again whether to run it."""
        self._screen.choose()

    def act_differences(self, argument: str) -> None:
        """Show differences, or whole answers again."""
        self._screen.differences = not self._screen.differences

    def act_back(self, argument: str) -> None:
        """Leave; what runs goes on."""
        screen = self._screen
        app = screen.console_app
        screen.app.pop_screen()
        if screen.trip.running:
            app.say(f"{screen.trip.command} goes on; {app.key_for('last-run')} shows its answers", "info")


class RunScreen(PageScreen):
    """One command and what the nodes answered."""

    kind = "run"

    def __init__(self, trip: Trip) -> None:
        super().__init__(trip.command)
        self.trip = trip
        self.differences = False
        self.handlers = (RunKeys(self), *self.handlers)

    def on_mount(self) -> None:
        """Ask for a yes, unless it was said."""
        super().on_mount()
        if self.trip.run is None and self.trip.error is None:
            self._question()

    def _question(self) -> None:
        confirm = self.trip.planned.plan.confirm
        what = f"type {confirm} to run it" if confirm else f"run it on {self.trip.where}? y/N"
        self.ask(Prompt(what, "", []), lambda text: self._heard(confirm, text))

    def _heard(self, wanted: str | None, text: str) -> None:
        if text == wanted if wanted else text.lower() in ("y", "yes"):
            self.console_app.runs.carry_out(self.trip)
        else:
            self.console_app.say(f"{self.trip.command}: nothing was run", "muted")

    def choose(self) -> None:
        """Open the answer under the cursor; ask again where nothing runs yet."""
        target = self.target()
        if target is not None:
            group = self.trip.groups[int(str(target[1]))]
            base = reference(self.trip.groups) if self.differences else None
            self.app.push_screen(AnswerScreen(group, base))
        elif self.trip.run is None and self.trip.error is None:
            self._question()

    def sections(self, width: int) -> Sequence[Section]:
        """Return what was asked, how far it is, and the groups."""
        view, trip = self.console_app.view, self.trip
        head = paragraph("command", trip.command, view, width, "name")
        head += paragraph("on", trip.where, view, width)
        head += [line for text in trip.planned.plan.warnings for line in paragraph("beware", text, view, width, "warn")]
        head += self._state(width)
        return [Section("run", tuple(head)), *self._groups(width)]

    def _state(self, width: int) -> list[Line]:
        view, trip, key = self.console_app.view, self.trip, self.console_app.key_for
        if trip.error is not None:
            return paragraph("it did not run", trip.error.in_one_line, view, width, "bad")
        run = trip.run
        if run is None:
            return paragraph("", f"{key('open')} asks for a yes, {key('back')} leaves it", view, width, "info")
        if trip.ended:
            return paragraph("ended", trip.in_words()[0], view, width, trip.in_words()[1])
        slowest = tuple(sorted(run.running, key=run.running.__getitem__))
        now = Numbers(len(run.answers), run.total, run.rate, time.monotonic() - run.began, slowest)
        lines = paragraph("done", progress_text(now, max(width - 20, 20)), view, width, "accent")
        text = f"{run.stopped}: what runs is ended" if run.stopped else f"{key('quit')} ends what runs there"
        return lines + paragraph("", text, view, width, "warn" if run.stopped else "muted")

    def _groups(self, width: int) -> list[Section]:
        groups = self.trip.groups
        base = reference(groups) if self.differences else None
        ordered = list(enumerate(groups))
        if base is not None:
            ordered.sort(key=lambda pair: pair[1] is not base)
        return [self._group(number, group, base, width) for number, group in ordered]

    def _group(self, number: int, group: Group, base: Group | None, width: int) -> Section:
        title, *hints = head_lines(group)
        lines = output_lines(group, base)
        shown = lines[:SHOWN_LINES]
        if rest := len(lines) - len(shown):
            shown.append((Cell(f"{rest:,} more lines: {self.console_app.key_for('open')}", "muted"),))
        if not lines:
            shown.append((Cell("(nothing)", "dim"),))
        body = (*hints, *shown)
        return Section(line_text(title), body, (("answer", str(number)),) * len(body))

    def unavailable(self) -> Collection[str]:
        """There are no differences within one answer."""
        return (*super().unavailable(), *(() if len(self.trip.groups) > 1 else ("differences",)))


class AnswerScreen(PageScreen):
    """One answer whole."""

    kind = "answer"

    def __init__(self, group: Group, base: Group | None) -> None:
        self._title = line_text(head_lines(group)[0])
        super().__init__(self._title)
        self._group = group
        self._base = base
        self._made: tuple[int, Section] | None = None

    def sections(self, width: int) -> Sequence[Section]:
        """Return all lines, made once for a width: there may be a million."""
        if self._made is None or self._made[0] != width:
            _, *hints = head_lines(self._group)
            lines: list[Line] = list(hints)
            for line in output_lines(self._group, self._base):
                (cell,) = line
                lines += [(Cell(text, cell.style),) for text in wrap(cell.text, width)] or [line]
            self._made = (width, Section(self._title, tuple(lines)))
        return [self._made[1]]
