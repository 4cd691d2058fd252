"""The one door to acting: makes plans, and carries out those that policy and a person have let pass."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from console.actions import ORDERS, blast, undo
from console.actions.execute import Execution, Limits, Progress
from console.actions.guard import stands_against
from console.actions.journal import Journal, new_id
from console.actions.policy import Person, Policy
from console.actions.reading import attempts
from console.actions.values import canonical
from console.actions.verify import seen_job, seen_node, unmet
from console.errors import NoSuchJob, SourceError, UsageError
from console.model import Actor, Attempt, Draft, Interrupt, Job, Order, Plan, Seen, StepOutcome
from console.nodeset import fold
from console.plugin import Adviser, Backend, Drainer, JobControl, Performer
from console.store import NodeView, Store
from console.text import clean

LOOK_AGAIN_S = (0.0, 0.3, 0.7, 1.5, 2.5, 5.0, 5.0)
"""Pauses before each look whether the promise of a plan holds: a job that is ended has ten seconds to end by itself."""
_WHAT_CAN = "qd doctor says what each backend can do"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who acts, and where it is kept."""

    person: Person
    actor: Actor
    policy: Policy
    journal: Journal


@dataclass(frozen=True, slots=True)
class Result:
    """How a plan went."""

    outcomes: tuple[StepOutcome, ...]
    unmet: Mapping[tuple[str, str], str]
    """(cluster, target) to why the plan's promise does not hold for it."""
    stopped: str = ""

    @property
    def verified(self) -> bool:
        """Whether everything became as the plan promised."""
        return not self.unmet and not self.stopped


@dataclass(slots=True)
class Part:
    """One order with what was found for it."""

    order: Order
    draft: Draft
    seen: tuple[Seen, ...]
    jobs: tuple[Job, ...]


class ActionDesk:
    """Plans actions and carries them out. In read-only it can do nothing: `able` is empty, `plan` is denied."""

    def __init__(
        self,
        backends: Sequence[Backend],
        store: Store,
        around: Surroundings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.around = around
        self._store = store
        self._clock = clock
        self._drainers: dict[str, Drainer] = {}
        self._controls: dict[str, JobControl] = {}
        if around.policy.read_only is None:
            for backend in backends:
                if isinstance(backend, Drainer):
                    self._drainers[backend.cluster] = backend
                if isinstance(backend, JobControl):
                    self._controls[backend.cluster] = backend

    # ---- what can be done

    def able(self, cluster: str) -> frozenset[str]:
        """Return the actions that can be done in a cluster."""
        drainer, control = self._drainers.get(cluster), self._controls.get(cluster)
        nodes = drainer.node_actions if drainer is not None else frozenset()
        if "drain" in nodes:
            nodes |= {"cordon"}
        return nodes | (control.job_actions if control is not None else frozenset())

    def node_orders(
        self, action: str, nodes: Sequence[NodeView], *, reason: str | None = None, value: str | None = None
    ) -> tuple[Order, ...]:
        """Return what is asked of each cluster that lists these nodes and can do this. UsageError when none can."""
        wanted: dict[str, list[str]] = {}
        left = []
        for view in nodes:
            able = [facet for facet in view.facets.values() if action in self.able(facet.cluster)]
            for facet in able:
                wanted.setdefault(facet.cluster, []).append(facet.name)
            if not able:
                left.append(view)
        if left:
            clusters = dict.fromkeys(facet.cluster for view in left for facet in view.facets.values())
            hints = filter(None, (self._instead(action, cluster) for cluster in clusters))
            names = fold([view.key for view in left])
            raise UsageError(f"no scheduler that lists it can {action}", names, next(hints, _WHAT_CAN))
        return self._orders(action, wanted, reason, value)

    def job_orders(
        self, action: str, jobs: Sequence[tuple[str, str]], *, reason: str | None = None, value: str | None = None
    ) -> tuple[Order, ...]:
        """Return what is asked of each cluster for these jobs, (cluster, id). UsageError when one cannot do this."""
        wanted: dict[str, list[str]] = {}
        for cluster, job in jobs:
            if action not in self.able(cluster):
                raise UsageError(f"{cluster} cannot {action} jobs", job, self._instead(action, cluster) or _WHAT_CAN)
            wanted.setdefault(cluster, []).append(job)
        return self._orders(action, wanted, reason, value)

    def _orders(
        self, action: str, wanted: Mapping[str, Sequence[str]], reason: str | None, value: str | None
    ) -> tuple[Order, ...]:
        by, value = self.around.person.user, canonical(action, value)
        # It is shown, journalled and given to schedulers that keep it in one line.
        reason = None if reason is None else clean(reason, limit=0)
        return tuple(
            Order(
                action=self._own_word(action, cluster),
                cluster=cluster,
                names=tuple(dict.fromkeys(names)),
                reason=reason,
                value=value,
                by=by,
            )
            for cluster, names in wanted.items()
        )

    def _instead(self, action: str, cluster: str) -> str:
        """Return what a cluster says to do instead of an action that it cannot; empty: it says nothing."""
        backend = self._controls.get(cluster) or self._drainers.get(cluster)
        return backend.instead.get(action, "") if isinstance(backend, Adviser) else ""

    def _own_word(self, action: str, cluster: str) -> str:
        """Return what a cluster calls an action: where jobs run on anyway a cordon is a drain."""
        drainer = self._drainers.get(cluster)
        same = action == "cordon" and drainer is not None and "cordon" not in drainer.node_actions
        return "drain" if same else action

    # ---- planning

    async def plan(self, orders: Sequence[Order], *, undoes: str | None = None, warnings: Sequence[str] = ()) -> Plan:
        """Return what would be done, checked against policy. Changes nothing.

        Raises Denied and UsageError (policy, reason, what is not there), SourceError when the world cannot be seen.
        """
        self.around.policy.check_writable()
        if not orders:
            raise UsageError("there is nothing to act on", hint="name nodes or jobs")
        parts = await asyncio.gather(*(self._part(order) for order in orders))
        now = self._clock()
        met: list[Interrupt] = []
        for part in parts:
            targets = part.order.names if ORDERS[part.order.action].of_nodes else ()
            met += blast.interrupts(part.jobs, part.draft.effects, now, targets)
        said = [*warnings, *(text for part in parts for text in self._warnings(part, now))]
        plan = Plan(
            id=new_id(now),
            action=orders[0].action if undoes is None else "undo",
            made_at=now,
            orders=tuple(orders),
            steps=tuple(step for part in parts for step in part.draft.steps),
            before=tuple(seen for part in parts for seen in part.seen),
            interrupts=tuple(met),
            blocked_by=tuple(text for part in parts for text in part.draft.blocked_by),
            warnings=(*said, *blast.broken_gangs(met)),
            unchanged=_unchanged(parts),
            free_at=blast.free_at(met),
            undoes=undoes,
        )
        local = dt.datetime.fromtimestamp(now).astimezone()
        for order in orders:
            one = msgspec.structs.replace(plan, action=order.action)
            self.around.policy.check(one, self.around.person, order.reason, local)
        return msgspec.structs.replace(plan, confirm=self.around.policy.typed(plan))

    async def undo_plan(self, attempt: Attempt) -> Plan:
        """Return the plan that brings back what was before an attempt. UsageError when that cannot be."""
        found = undo.undoing(attempt, self.around.person.user)
        orders = [
            msgspec.structs.replace(order, action=self._own_word(order.action, order.cluster)) for order in found.orders
        ]
        return await self.plan(orders, undoes=attempt.id, warnings=found.warnings)

    async def again(self, plan: Plan) -> tuple[Plan, tuple[str, ...]]:
        """Return the plan made anew, and in words how the world changed since; nothing: the old one still holds."""
        fresh = await self.plan(plan.orders, undoes=plan.undoes)
        said = list(undo.difference(plan.before, fresh.before))
        old, new = (
            {(one.cluster, one.job) for one in plan.interrupts},
            {(one.cluster, one.job) for one in fresh.interrupts},
        )
        said += [f"job {job} is there now" for _, job in sorted(new - old)]
        if [step.run for step in plan.steps] != [step.run for step in fresh.steps] and not said:
            said.append("other steps are needed now")
        return fresh, tuple(said)

    async def _part(self, order: Order) -> Part:
        if ORDERS[order.action].of_nodes:
            drainer = self._drainer(order)
            nodes = await drainer.look_nodes(order.names)
            _all_found(order, {node.name for node in nodes})
            jobs = () if ORDERS[order.action].spares_jobs else self._jobs_on(order)
            draft = await drainer.plan_nodes(order, nodes, jobs)
            return Part(order, draft, _seen(map(seen_node, nodes), draft), jobs)
        control = self._control(order)
        found = await control.look_jobs(order.names)
        _all_found(order, {job.id for job in found})
        draft = await control.plan_jobs(order, found)
        met = tuple(job for job in found if job.id in draft.effects)
        return Part(order, draft, _seen(map(seen_job, found), draft), met)

    def _jobs_on(self, order: Order) -> tuple[Job, ...]:
        keys = dict.fromkeys(
            key
            for name in order.names
            if (view := self._store.nodes.get(self._store.key(order.cluster, name))) is not None
            for key in view.jobs
            if key[0] == order.cluster
        )
        return tuple(self._store.jobs[key] for key in keys if key in self._store.jobs)

    def _warnings(self, part: Part, now: float) -> list[str]:
        order, said = part.order, list(part.draft.warnings)
        if not ORDERS[order.action].of_nodes:
            return said
        for name in order.names:
            view = self._store.nodes.get(self._store.key(order.cluster, name))
            if order.action == "resume" and view is not None and name not in part.draft.unchanged:
                said += [f"{name}: {text}" for text in stands_against(view)]
        if not ORDERS[order.action].spares_jobs:
            mine = [one for one in self._store.reservations.values() if one.cluster == order.cluster]
            said += blast.broken_reservations(mine, order.names, now)
        return said

    def _drainer(self, order: Order) -> Drainer:
        drainer = self._drainers.get(order.cluster)
        if drainer is None or order.action not in drainer.node_actions:
            raise UsageError(f"{order.cluster} cannot {order.action} nodes", hint="qd doctor says what it can do")
        return drainer

    def _control(self, order: Order) -> JobControl:
        control = self._controls.get(order.cluster)
        if control is None or order.action not in control.job_actions:
            raise UsageError(f"{order.cluster} cannot {order.action} jobs", hint="qd doctor says what it can do")
        return control

    # ---- carrying out

    def execution(
        self, plan: Plan, *, limits: Limits | None = None, report: Callable[[Progress], None] = lambda _progress: None
    ) -> Execution:
        """Return the attempt of a plan that somebody has confirmed. Raises Denied, UsageError when it may not run."""
        self.around.policy.check_writable()
        if plan.blocked_by:
            raise UsageError("the plan is blocked", "; ".join(plan.blocked_by), "mend that first, then plan anew")
        performers: dict[str, Performer] = {**self._controls, **self._drainers}
        reason = next((order.reason for order in plan.orders if order.reason), None)
        around = self.around
        return Execution(
            plan, performers, around.journal, around.actor,
            reason=reason, limits=limits, clock=self._clock, report=report,
        )  # fmt: skip

    async def carry_out(self, plan: Plan, execution: Execution) -> Result:
        """Run an attempt to its end and verify it. Raises JournalError before anything has run."""
        outcomes = await execution.run()
        after, missed = await self._verify(plan, outcomes)
        await execution.finish(after, {"/".join(key): why for key, why in missed.items()})
        return Result(outcomes, missed, execution.stopped)

    async def _verify(
        self, plan: Plan, outcomes: Sequence[StepOutcome]
    ) -> tuple[list[Seen], dict[tuple[str, str], str]]:
        """Look until the promise holds for every target, or patience ends."""
        after: list[Seen] = []
        missed: dict[tuple[str, str], str] = {}
        failed = {(one.cluster, one.target): one.detail for one in outcomes if one.state.value != "done"}
        for pause_s in LOOK_AGAIN_S:
            await asyncio.sleep(pause_s)
            looks = await asyncio.gather(*(self._missed(plan, order) for order in plan.orders))
            after = [seen for seen_now, _ in looks for seen in seen_now]
            missed = {key: why for _, unmet_now in looks for key, why in unmet_now.items()}
            if not missed.keys() - failed.keys():
                break
        return after, missed

    async def _missed(self, plan: Plan, order: Order) -> tuple[tuple[Seen, ...], dict[tuple[str, str], str]]:
        try:
            if ORDERS[order.action].of_nodes:
                seen = tuple(map(seen_node, await self._drainer(order).look_nodes(order.names)))
            else:
                seen = tuple(map(seen_job, await self._control(order).look_jobs(order.names)))
        except NoSuchJob:
            seen = ()
        except SourceError as error:
            return (), {(order.cluster, name): f"cannot be looked at: {error}" for name in order.names}
        now = {one.name: one for one in seen}
        before = {one.name: one for one in plan.before if one.cluster == order.cluster}
        same = plan.unchanged.get(order.cluster, {})
        missed = {
            (order.cluster, name): why
            for name in order.names
            if name not in same and (why := unmet(order, before.get(name), now.get(name))) is not None
        }
        return seen, missed

    # ---- the journal

    async def attempts(self) -> dict[str, Attempt]:
        """Return every attempt that the journal knows, by id, the oldest first. Raises JournalError."""
        return await asyncio.to_thread(lambda: attempts(self.around.journal.entries()))


def _seen(targets: Iterable[Seen], draft: Draft) -> tuple[Seen, ...]:
    return tuple(msgspec.structs.replace(one, former=draft.former.get(one.name, "")) for one in targets)


def _unchanged(parts: Sequence[Part]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        if part.draft.unchanged:
            found.setdefault(part.order.cluster, {}).update(part.draft.unchanged)
    return found


def _all_found(order: Order, found: set[str]) -> None:
    left = [name for name in order.names if name not in found]
    if left:
        what = "nodes" if ORDERS[order.action].of_nodes else "jobs"
        raise UsageError(f"{order.cluster} knows no such {what}", fold(left), f"qd {what} lists them")
