"""Running one command on many nodes: planned, checked against policy, journalled; each answer as it comes."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from console.actions.desk import Surroundings
from console.actions.errand import Errand, shown, sudo_refusal
from console.actions.gathering import Gathered
from console.actions.journal import JournalError, new_id
from console.errors import ConnectionLost, Denied, QuarterdeckError, SourceError, Unreachable, UsageError
from console.model import Answer, Call, Entry, Order, OutcomeState, Plan, Seen, Step, StepOutcome
from console.nodeset import fold
from console.store import NodeView
from console.text import clean
from console.transport.base import Streaming
from console.transport.ending import Overran

FAN_OUT = 64
"""Nodes at a time."""
JOURNAL_S = 0.5
"""How often what has ended meanwhile is written down."""

Reach = Callable[[str], Streaming]
"""Address to machine. Raises UsageError, SourceError."""
Heard = Callable[[str, int, bytes], None]
"""Takes a node, 1 or 2 (its standard output or error), and what it printed just now."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One node that a command goes to."""

    cluster: str
    name: str
    address: str | None
    """As the transports name it; None: no way there is known."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A plan with what carries it out."""

    plan: Plan
    errand: Errand
    nodes: tuple[Bound, ...]


class RunDesk:
    """Plans runs and carries them out. In read-only every plan is denied."""

    def __init__(self, reach: Reach, around: Surroundings, clock: Callable[[], float] = time.time) -> None:
        self.around = around
        self._reach = reach
        self._clock = clock

    def plan(self, nodes: Sequence[NodeView], errand: Errand, reason: str | None = None) -> RunPlan:
        """Return what would run where, checked against policy. Raises Denied, UsageError. Touches no node."""
        policy = self.around.policy
        policy.check_writable()
        errand.check()
        bound = tuple(map(_bound, nodes))
        if not bound:
            raise UsageError("there is no node to run it on", hint="name nodes")
        now = self._clock()
        reason = None if reason is None else clean(reason, limit=0)
        clusters: dict[str, list[str]] = {}
        for one in bound:
            clusters.setdefault(one.cluster, []).append(one.name)
        by = self.around.person.user
        lost = [one.name for one in bound if one.address is None]
        plan = Plan(
            id=new_id(now),
            action="run",
            made_at=now,
            orders=tuple(
                Order(action="run", cluster=cluster, names=tuple(names), reason=reason, by=by)
                for cluster, names in clusters.items()
            ),
            steps=tuple(
                Step(
                    cluster=cluster,
                    names=tuple(names),
                    run=Call(argv=shown(errand.remote)),
                    text=errand.text,
                    where=fold(names),
                    timeout_s=errand.timeout_s or 0.0,
                )
                for cluster, names in clusters.items()
            ),
            before=tuple(Seen(cluster=one.cluster, name=one.name, state="") for one in bound),
            warnings=(f"no way to {fold(lost)} is known: it does not run there",) if lost else (),
        )
        policy.check(plan, self.around.person, reason, dt.datetime.fromtimestamp(now).astimezone())
        return RunPlan(msgspec.structs.replace(plan, confirm=policy.typed(plan)), errand, bound)

    def run(
        self,
        planned: RunPlan,
        *,
        fan_out: int = FAN_OUT,
        ended: Callable[[Answer], None] = lambda _answer: None,
        heard: Heard | None = None,
    ) -> Run:
        """Return a run that has not begun. Raises Denied."""
        self.around.policy.check_writable()
        return Run(planned, self._reach, self.around, self._clock, fan_out=fan_out, ended=ended, heard=heard)


def _bound(view: NodeView) -> Bound:
    """Return how a node is reached: by the first source that knows a way, as its probe is."""
    first = view.primary
    cluster = "" if first is None else first.cluster
    address = next((facet.address for facet in view.facets.values() if facet.address is not None), None)
    return Bound(cluster, view.key, address)


class Run:
    """One command on its way to many nodes."""

    def __init__(
        self,
        planned: RunPlan,
        reach: Reach,
        around: Surroundings,
        clock: Callable[[], float],
        *,
        fan_out: int,
        ended: Callable[[Answer], None],
        heard: Heard | None,
    ) -> None:
        self.plan = planned.plan
        self.total = len(planned.nodes)
        self.answers: list[Answer] = []
        """In the order in which they came."""
        self.running: dict[str, float] = {}
        """Node to when it began there, on the monotonic clock."""
        self.began = time.monotonic()
        self.stopped = ""
        """Why nothing more begins; empty: nothing stopped it."""
        self._errand = planned.errand
        self._nodes = planned.nodes
        self._reach = reach
        self._around = around
        self._clock = clock
        self._fan_out = max(1, fan_out)
        self._ended = ended
        self._heard = heard
        self._texts: dict[bytes, str] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._seq = 0
        self._noted = 0
        """Answers that the journal has."""

    @property
    def rate(self) -> float:
        """Answers a second so far."""
        return len(self.answers) / max(time.monotonic() - self.began, 1e-3)

    def stop(self, why: str = "interrupted") -> None:
        """Begin nothing more, and end what runs: told first, made to after two seconds."""
        if not self.stopped:
            self.stopped = why
            for worker in self._workers:
                worker.cancel()

    async def run(self) -> tuple[Answer, ...]:
        """Run it everywhere and return one answer a node, in the order of the nodes.

        Raises JournalError before anything has run. Cancelled, it waits for nothing more.
        """
        await self._note("start", by=self._around.actor, plan=self.plan, reason=self.plan.orders[0].reason)
        for number in range(len(self.plan.steps)):
            await self._note("begin", sync=False, step=number)
        self.began = time.monotonic()
        left = iter(self._nodes)
        count = min(self._fan_out, self.total)
        self._workers = [asyncio.create_task(self._work(left)) for _ in range(0 if self.stopped else count)]
        noting = asyncio.create_task(self._keep_noting())
        try:
            if self._workers:
                await asyncio.wait(self._workers)
            for one in left:
                detail = f"{self.stopped} before it began"
                skipped = Answer(cluster=one.cluster, node=one.name, state=OutcomeState.SKIPPED, detail=detail)
                self._end(one, skipped)
            for worker in self._workers:
                if not worker.cancelled() and (fault := worker.exception()) is not None:
                    raise fault
        finally:
            self.stopped = self.stopped or ("interrupted" if len(self.answers) < self.total else "")
            noting.cancel()
            for worker in self._workers:
                worker.cancel()
        await self._note_answers()
        for number in range(len(self.plan.steps)):
            await self._note("outcome", sync=False, step=number)
        await self._note("end", ended=self.stopped or "done")
        place = {(one.cluster, one.name): at for at, one in enumerate(self._nodes)}
        return tuple(sorted(self.answers, key=lambda one: place[one.cluster, one.node]))

    # ---- one node

    async def _work(self, left: Iterator[Bound]) -> None:
        for one in left:
            self.running[one.name] = time.monotonic()
            try:
                answer = await self._ask(one)
            finally:
                began = self.running.pop(one.name)
            self._end(one, answer, time.monotonic() - began)
            if self.stopped:
                return

    def _end(self, one: Bound, answer: Answer, seconds: float = 0.0) -> None:
        answer = msgspec.structs.replace(answer, seconds=seconds)
        self.answers.append(answer)
        self._ended(answer)

    async def _ask(self, one: Bound) -> Answer:
        outputs = (Gathered(), Gathered())

        def took(stream: int, data: bytes) -> None:
            outputs[stream - 1].take(data)
            if self._heard is not None:
                self._heard(one.name, stream, data)

        def answer(state: OutcomeState, exit_status: int | None = None, **fields: object) -> Answer:
            texts = [output.text(self._texts) for output in outputs]
            return Answer(
                cluster=one.cluster,
                node=one.name,
                state=state,
                exit_status=exit_status,
                output=texts[0],
                errors=texts[1],
                **fields,  # type: ignore[arg-type]
            )

        if one.address is None:
            hint = "list it under hosts in the configuration, or name it by --hosts"
            return answer(OutcomeState.FAILED, detail="no way there is known", hint=hint, unreachable=True)
        errand = self._errand
        try:
            machine = self._reach(one.address)
            status = await machine.stream(
                errand.remote, output=took, timeout_s=errand.timeout_s, stdin=errand.input, leader=errand.leader
            )
        except asyncio.CancelledError:
            return answer(OutcomeState.FAILED, detail=f"{self.stopped or 'interrupted'}: it was ended there")
        except SourceError as error:
            lost = isinstance(error, Unreachable) and not isinstance(error, ConnectionLost | Overran)
            denied = isinstance(error, Denied)
            return answer(OutcomeState.FAILED, detail=error.what, hint=error.hint, denied=denied, unreachable=lost)
        except QuarterdeckError as error:
            return answer(OutcomeState.FAILED, detail=error.what, hint=error.hint)
        if status == 0:
            return answer(OutcomeState.DONE, 0)
        if errand.user is not None:
            said = answer(OutcomeState.FAILED, status)
            refusal = sudo_refusal(errand.user, status, said.output, said.errors)
            if refusal is not None:
                return answer(OutcomeState.FAILED, status, detail=refusal[0], hint=refusal[1], denied=True)
        return answer(OutcomeState.FAILED, status, detail=f"exit {status}")

    # ---- the journal

    async def _keep_noting(self) -> None:
        while True:
            await asyncio.sleep(JOURNAL_S)
            try:
                await self._note_answers()
            except JournalError as error:
                self.stop(str(error))
                return

    async def _note_answers(self) -> None:
        fresh = self.answers[self._noted :]
        if fresh:
            self._noted += len(fresh)
            outcomes = tuple(
                StepOutcome(cluster=one.cluster, target=one.node, state=one.state, detail=one.detail, denied=one.denied)
                for one in fresh
            )
            await self._note("outcome", outcomes=outcomes)

    async def _note(self, kind: str, *, sync: bool = True, **fields: object) -> None:
        self._seq += 1
        entry = Entry(kind=kind, attempt=self.plan.id, seq=self._seq, at=self._clock(), **fields)  # type: ignore[arg-type]
        await asyncio.to_thread(self._around.journal.append, entry, sync=sync)
