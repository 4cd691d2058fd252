"""The plan of one action: read whole before anybody says yes, then its progress, then how it went."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from console.errors import UsageError
from console.model import Attempt, Attention, Plan
from console.render.cells import Cell, Line, wrap
from console.render.lines import Section
from console.render.plan import outcome_lines, plan_sections, progress_lines
from console.ui.acting import Intent, Stage
from console.ui.prompt import Prompt
from console.ui.screens.pages import PageScreen

KEPT_S = 30.0
"""How long the lines of a plan are kept: they say how far away its ends are."""


class Deciding:
    """What only this screen does."""

    def __init__(self, screen: PlanScreen) -> None:
        self._screen = screen

    def act_carry_out(self, argument: str) -> None:
        """Ask once more, then do it. UsageError when there is nothing to do."""
        self._screen.decide()

    def act_back(self, argument: str) -> None:
        """Leave; what runs goes on."""
        screen = self._screen
        intent = screen.intent
        screen.app.pop_screen()
        if intent.stage is Stage.RUNNING:
            screen.console_app.say(
                f"{intent.title} goes on; how it ends is said here, and stands in the journal", "info"
            )
        elif intent.stage is Stage.READY:
            screen.console_app.say(f"{intent.title}: nothing was changed", "muted")


class PlanScreen(PageScreen):
    """One intent."""

    kind = "plan"

    def __init__(self, intent: Intent) -> None:
        super().__init__(intent.title)
        self.intent = intent
        self._drawn: tuple[str, int, float, Sequence[Section]] | None = None
        """Plan, width and time that its lines were made for, and these."""
        self.handlers = (Deciding(self), *self.handlers)

    def attention(self) -> Attention:
        """The nodes whose health stands in the plan."""
        return self.intent.attention

    def sections(self, width: int) -> Sequence[Section]:
        """Return what is to be done, being done, or was done, the newest first."""
        view, intent = self.console_app.view, self.intent
        head: list[Section] = []
        if intent.error is not None:
            lines: list[Line] = [(Cell(line, "bad"),) for line in wrap(str(intent.error), width)]
            lines += [(Cell(line, "info"),) for line in wrap(intent.error.hint, width) if line]
            head.append(Section("no plan" if intent.plan is None else "it did not run", tuple(lines)))
        if intent.changes:
            changed = tuple((Cell(line, "warn"),) for text in intent.changes for line in wrap(text, width))
            head.append(Section("meanwhile the world changed: read it again", changed))
        if intent.result is not None:
            went = outcome_lines(view, intent.result.outcomes, intent.result.unmet, width)
            head.append(Section("how it went", tuple(went)))
        elif intent.execution is not None and intent.stage is Stage.RUNNING:
            progress = progress_lines(view, intent.execution.progress, intent.execution.stopped, width)
            head.append(Section("it runs", tuple(progress)))
        if intent.plan is None:
            what = "looking how the nodes are" if intent.attention.visible else "planning"
            return head or [Section(intent.title, ((Cell(f"{what} ...", "muted"),),))]
        return [*head, *self._whole(intent.plan, width), *self._next()]

    def _whole(self, plan: Plan, width: int) -> Sequence[Section]:
        """Return the plan; one of thousands of jobs takes a quarter of a second to draw, and rarely changes."""
        view = self.console_app.view
        if self._drawn is None or self._drawn[:2] != (plan.id, width) or view.now - self._drawn[2] > KEPT_S:
            self._drawn = plan.id, width, view.now, plan_sections(view, plan, width)
        return self._drawn[3]

    def _next(self) -> list[Section]:
        """Say which keys go on from here."""
        key, intent = self.console_app.key_for, self.intent
        match intent.stage:
            case Stage.READY if intent.runnable:
                text = f"{key('carry-out')} carries it out, {key('back')} leaves it, {key('write')} writes it to a file"
            case Stage.READY:
                text = f"nothing would run; {key('back')} goes back"
            case Stage.RUNNING:
                text = f"{key('quit')} begins nothing more; {key('back')} leaves this page, and it goes on"
            case Stage.ENDED if intent.result is not None:
                text = f"{key('undo')} plans what takes it back; {key('screen-journal')} is the journal"
            case _:
                text = "looking whether it still holds ..."
        return [Section("what next", ((Cell(text, "info"),),))]

    # ---- saying yes

    def decide(self) -> None:
        """Ask for the yes that the plan needs. UsageError when there is nothing that could run."""
        plan, stage = self.intent.plan, self.intent.stage
        if stage is Stage.READY and plan is not None and plan.blocked_by:
            raise UsageError("the plan is blocked", plan.blocked_by[0], "mend that first, then plan anew")
        if plan is None or not self.intent.runnable:
            raise UsageError("there is nothing to carry out", hint="it is the case already, or was done")
        what = f"type {plan.confirm} to {plan.action}" if plan.confirm else f"{self.intent.title}? y/N"
        self.ask(Prompt(what, "", []), lambda text: self._heard(plan.confirm, text))

    def _heard(self, wanted: str | None, text: str) -> None:
        yes = text == wanted if wanted else text.lower() in ("y", "yes")
        if yes:
            self.console_app.acting.carry_out(self.intent)
        else:
            self.console_app.say(f"{self.intent.title}: nothing was changed", "muted")

    def unavailable(self) -> Collection[str]:
        """Nothing is carried out that is not ready, nothing undone that was not done."""
        return (*super().unavailable(), *(() if self.intent.runnable else ("carry-out",)))

    def meant_attempt(self) -> Attempt | None:
        """Return what the journal holds of it; None while it did not run."""
        plan = self.intent.plan
        return None if plan is None else self.console_app.session.store.attempts.get(plan.id)
