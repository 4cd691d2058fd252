"""From a key to its outcome: what is meant, the plan of it, the yes, and how it went. No widget stands here."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from console.actions import ORDERS
from console.errors import ConfigError, QuarterdeckError, UsageError
from console.model import Attention, Order, OutcomeState, Plan
from console.render.plan import named

if TYPE_CHECKING:
    from console.actions.desk import ActionDesk, Result
    from console.actions.execute import Execution
    from console.ui.actions import Action
    from console.ui.app import QuarterdeckApp
    from console.ui.live import LiveSession

HEALTH_S = 5.0
"""How long nodes have to show how they are before they are resumed."""


class Stage(enum.Enum):
    """How far an intent is."""

    PLANNING = "planning"
    READY = "ready"
    """There is a plan, and somebody may say yes."""
    RUNNING = "running"
    ENDED = "ended"


class Intent:
    """What somebody wants, on its way: planned, confirmed, carried out. `changed` is called at every step."""

    def __init__(self, title: str, session: LiveSession, make: Callable[[ActionDesk], Awaitable[Plan]]) -> None:
        self.title = title
        """`drain gpu[001-003]`"""
        self.stage = Stage.PLANNING
        self.attention = Attention()
        """The nodes that are looked at meanwhile."""
        self.plan: Plan | None = None
        self.changes: tuple[str, ...] = ()
        """How the world changed while the plan was read."""
        self.error: QuarterdeckError | None = None
        """Why there is no plan, or why it did not run."""
        self.execution: Execution | None = None
        self.result: Result | None = None
        self._session = session
        self._make = make

    async def look(self) -> None:
        """Make the plan; what keeps it from being made is `error`."""
        try:
            if self.attention.visible:
                self._session.attend(self.attention)
                await self._session.settle(HEALTH_S)
            self.plan = await self._make(self._session.actions)
            self.stage = Stage.READY
        except QuarterdeckError as error:
            self.error = error
            self.stage = Stage.ENDED

    @property
    def runnable(self) -> bool:
        """Whether there is a plan that may run."""
        plan = self.plan
        return self.stage is Stage.READY and plan is not None and bool(plan.steps) and not plan.blocked_by

    async def carry_out(self) -> None:
        """Do what was confirmed, unless the world changed meanwhile: then there is another plan to read."""
        plan, desk = self.plan, self._session.actions
        if plan is None:
            return
        self.stage = Stage.PLANNING
        try:
            fresh, self.changes = await desk.again(plan)
            if self.changes:
                self.plan, self.stage = fresh, Stage.READY
                return
            self.execution = desk.execution(plan)
            self.stage = Stage.RUNNING
            self.result = await desk.carry_out(plan, self.execution)
        except QuarterdeckError as error:
            self.error = error
        if self.execution is not None:
            self._session.look_again({order.cluster for order in plan.orders})
        self.stage = Stage.ENDED

    def stop(self) -> None:
        """Begin no further step."""
        if self.execution is not None and self.stage is Stage.RUNNING:
            self.execution.stop()

    def in_words(self) -> tuple[str, str]:
        """Return how it ended in one line, and its style."""
        if self.error is not None:
            return f"{self.title}: {self.error.in_one_line}", "bad"
        if self.result is None:
            return f"{self.title}: nothing was changed", "muted"
        failed = [one for one in self.result.outcomes if one.state is not OutcomeState.DONE]
        if failed:
            return f"{self.title}: {len(failed)} of {len(self.result.outcomes)} not done: {failed[0].detail}", "bad"
        if not self.result.verified:
            why = self.result.stopped or next(iter(self.result.unmet.values()), "")
            return f"{self.title}: done, but not as planned: {why}", "warn"
        return f"{self.title}: done and verified", "ok"


class Acting:
    """Begins intents, and knows those that are carried out now."""

    def __init__(self, app: QuarterdeckApp) -> None:
        self._app = app
        self.running: list[Intent] = []
        self._broken: str | None = None

    # ---- what can be done

    def able(self, cluster: str) -> frozenset[str]:
        """Return the actions that can be done in a cluster: none while the policy file cannot be read."""
        try:
            return self._app.session.actions.able(cluster)
        except ConfigError as error:
            if self._broken != error.in_one_line:
                self._broken = error.in_one_line
                self._app.messages.notice(f"nothing can be changed: {error.in_one_line}", "bad")
            return frozenset()

    def offers(self, order: str) -> bool:
        """Whether this can be done to what is marked or under the cursor; with nothing there, anywhere."""
        clusters = self._clusters(order) or self._app.session.store.clusters
        return any(order in self.able(cluster) for cluster in clusters)

    def _clusters(self, order: str) -> set[str]:
        """Return the clusters of what is marked, else under the cursor."""
        screen, nodes = self._app.base, self._app.session.store.nodes
        if not screen.is_mounted:
            return set()  # there is no cursor yet
        if not ORDERS[order].of_nodes:
            return {cluster for cluster, _ in screen.meant_jobs()}
        views = [nodes[key] for key in screen.meant_nodes() if key in nodes]
        return {facet.cluster for view in views for facet in view.facets.values()}

    def why_not(self, order: str) -> str | None:
        """Return why this cannot be done here and now; None: it can be planned."""
        try:
            self._app.session.actions.around.policy.check_writable()
        except QuarterdeckError as error:
            return error.in_one_line
        if not self._app.session.store.clusters:
            return f"{order}: nothing is connected yet"
        if not self.offers(order):
            names = ", ".join(self._clusters(order) or self._app.session.store.clusters)
            return f"{names} cannot {order} {'nodes' if ORDERS[order].of_nodes else 'jobs'}; qd doctor says what it can"
        return None

    def meant(self, order: str) -> str:
        """Return what an action would be about, in words: `gpu[001-003] (3 nodes)`."""
        screen = self._app.base
        if order not in ORDERS or ORDERS[order].of_nodes:
            names, what = screen.meant_nodes(), "node"
        else:
            names, what = [job for _, job in screen.meant_jobs()], "job"
        return named(names, what)

    # ---- from a key to a plan

    def begin(self, action: Action, argument: str) -> None:
        """Plan an action for what is marked, else for what is under the cursor. UsageError."""
        desk = self._app.session.actions
        kind = ORDERS[action.order]
        value, reason = (argument, None) if kind.needs_value else (None, argument or None)
        if kind.of_nodes:
            orders = self._node_orders(desk, action.order, reason)
        else:
            jobs = self._app.base.meant_jobs()
            if not jobs:
                raise UsageError("there is no job under the cursor", hint="2 shows the jobs; space marks several")
            orders = desk.job_orders(action.order, jobs, reason=reason, value=value)
        intent = Intent(f"{action.order} {self.meant(action.order)}", self._app.session, lambda door: door.plan(orders))
        if action.order == "resume":
            intent.attention = self._nodes_of(orders)
        self._open(intent)

    def undo(self) -> None:
        """Plan what takes back the attempt that is meant. UsageError when there is none, Denied in read-only."""
        self._app.session.actions.around.policy.check_writable()
        attempt = self._app.base.meant_attempt()
        if attempt is None:
            raise UsageError("nothing was done here that could be undone", hint="7 shows what was done")
        intent = Intent(f"undo {attempt.id}", self._app.session, lambda door: door.undo_plan(attempt))
        self._open(intent)

    def _node_orders(self, desk: ActionDesk, order: str, reason: str | None) -> tuple[Order, ...]:
        nodes = self._app.session.store.nodes
        views = [nodes[key] for key in self._app.base.meant_nodes() if key in nodes]
        if not views:
            raise UsageError("there is no node under the cursor", hint="1 shows the nodes; space marks several")
        return desk.node_orders(order, views, reason=reason)

    def _nodes_of(self, orders: Sequence[Order]) -> Attention:
        key = self._app.session.store.key
        return Attention(visible=tuple(sorted({key(one.cluster, name) for one in orders for name in one.names})))

    def _open(self, intent: Intent) -> None:
        from console.ui.screens.plan import PlanScreen

        screen = PlanScreen(intent)
        self._app.push_screen(screen)
        self._app.run_worker(self._look(intent), name="planning", group="acting", exit_on_error=False)

    async def _look(self, intent: Intent) -> None:
        await intent.look()
        self._app.tick()

    # ---- from yes to the outcome

    def carry_out(self, intent: Intent) -> None:
        """Carry a confirmed plan out in the background: the page may be left meanwhile."""
        self.running.append(intent)
        self._app.run_worker(self._carry_out(intent), name=intent.title, group="acting", exit_on_error=False)

    async def _carry_out(self, intent: Intent) -> None:
        try:
            await intent.carry_out()
        finally:
            self.running.remove(intent)
        if intent.changes:
            self._app.say(f"{intent.title}: the world changed meanwhile: read the plan again", "warn")
        else:
            self._app.say(*intent.in_words())
        self._app.tick()

    def stop(self) -> bool:
        """Begin no further step of anything; whether something runs that was not stopped before."""
        fresh = [one for one in self.running if one.execution is not None and not one.execution.stopped]
        for intent in fresh:
            intent.stop()
        return bool(fresh)
