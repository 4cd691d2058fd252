"""Running a command on what is marked: from the line that is typed to the answers. No widget stands here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from console.actions.errand import Errand
from console.errors import QuarterdeckError, UsageError
from console.model import Answer, Group, OutcomeState
from console.render.answers import fold_answers
from console.render.plan import named

if TYPE_CHECKING:
    from console.actions.running import Run, RunPlan
    from console.ui.app import QuarterdeckApp


class Trip:
    """One command and its way to the nodes."""

    def __init__(self, planned: RunPlan) -> None:
        self.planned = planned
        self.command = planned.errand.text
        self.where = named([node.name for node in planned.nodes], "node")
        self.run: Run | None = None
        """None until somebody has said yes."""
        self.error: QuarterdeckError | None = None
        """Why it did not run."""
        self.ended = False
        self._place = {(node.cluster, node.name): at for at, node in enumerate(planned.nodes)}
        self._folded: tuple[int, tuple[Group, ...]] = (0, ())

    @property
    def answers(self) -> Sequence[Answer]:
        """The answers so far, as they came."""
        return () if self.run is None else self.run.answers

    @property
    def groups(self) -> tuple[Group, ...]:
        """The answers so far, folded by equality."""
        if self._folded[0] != len(self.answers):
            ordered = sorted(self.answers, key=lambda one: self._place[one.cluster, one.node])
            self._folded = (len(ordered), fold_answers(ordered))
        return self._folded[1]

    @property
    def running(self) -> bool:
        """Whether it is on its way."""
        return self.run is not None and not self.ended

    def in_words(self) -> tuple[str, str]:
        """Return how it ended in a few words, and their style."""
        if self.error is not None:
            return self.error.in_one_line, "bad"
        failed = [one for one in self.answers if one.state is not OutcomeState.DONE]
        groups = "all answered the same" if len(self.groups) == 1 else f"{len(self.groups)} different answers"
        if failed:
            return f"{len(failed)} of {len(self.answers)} not done: {failed[0].detail}", "bad"
        return f"done on {self.where}, {groups}", "ok"


class Running:
    """Begins trips, and knows those that are on their way."""

    def __init__(self, app: QuarterdeckApp) -> None:
        self._app = app
        self.trips: list[Trip] = []
        """Those on their way."""
        self.last: Trip | None = None

    def act_run(self, argument: str) -> None:
        """Run a command line on what is marked, else on what is under the cursor. UsageError, Denied."""
        from console.ui.screens.run import RunScreen

        nodes = self._app.session.store.nodes
        views = [nodes[key] for key in self._app.base.meant_nodes() if key in nodes]
        if not views:
            raise UsageError("there is no node under the cursor", hint="1 shows the nodes; space marks several")
        self.last = Trip(self._app.session.runner.plan(views, Errand(argv=(argument,))))
        self._app.push_screen(RunScreen(self.last))

    def act_last_run(self, argument: str) -> None:
        """Show the answers of the last run again. UsageError when there is none."""
        from console.ui.screens.run import RunScreen

        if self.last is None:
            raise UsageError("nothing was run yet", hint="x runs a command on the marked nodes")
        self._app.push_screen(RunScreen(self.last))

    @property
    def allowed(self) -> bool:
        """Whether anything may be changed here."""
        try:
            self._app.session.actions.around.policy.check_writable()
        except QuarterdeckError:
            return False
        return True

    def carry_out(self, trip: Trip) -> None:
        """Run it in the background: the page may be left meanwhile."""
        try:
            trip.run = self._app.session.runner.run(trip.planned)
        except QuarterdeckError as error:
            trip.error, trip.ended = error, True
            return
        self.trips.append(trip)
        self._app.run_worker(self._carry_out(trip, trip.run), name=trip.command, group="run", exit_on_error=False)

    async def _carry_out(self, trip: Trip, run: Run) -> None:
        try:
            await run.run()
        except QuarterdeckError as error:
            trip.error = error
        finally:
            trip.ended = True
            self.trips.remove(trip)
        text, style = trip.in_words()
        self._app.say(f"{trip.command}: {text}", style)
        self._app.tick()

    def stop(self) -> bool:
        """End everything that runs; whether something runs that was not stopped before."""
        fresh = [trip.run for trip in self.trips if trip.run is not None and not trip.run.stopped]
        for run in fresh:
            run.stop()
        return bool(fresh)
