"""Carrying a plan out: bounded fan-out, one outcome a target, each written down, safe to interrupt at any moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from console.actions.journal import Journal, JournalError
from console.errors import Denied, QuarterdeckError
from console.model import Actor, Entry, OutcomeState, Plan, Seen, Step, StepOutcome
from console.plugin import Performer
from console.text import clean

FAN_OUT = 16
_UNKNOWN = "interrupted: whether it happened is not known"


@dataclass(slots=True)
class Progress:
    """How far it is; the same object all the time."""

    total: int
    """Targets times steps."""
    outcomes: list[StepOutcome] = field(default_factory=list)
    running: dict[int, Step] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Outcomes a second so far."""
        return len(self.outcomes) / max(time.monotonic() - self.began, 1e-3)

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at this rate; None before the first outcome."""
        return (self.total - len(self.outcomes)) / self.rate if self.outcomes else None


@dataclass(frozen=True, slots=True)
class Limits:
    """How boldly a plan is carried out."""

    fan_out: int = FAN_OUT
    canary: int = 0
    """Steps of the first phase that run alone before all others; when one fails nothing else runs."""
    most_failures: int | None = None
    """After more failed targets than this no further step begins."""


class Execution:
    """One attempt: a plan on its way."""

    def __init__(
        self,
        plan: Plan,
        performers: Mapping[str, Performer],
        journal: Journal,
        actor: Actor,
        *,
        reason: str | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        report: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:
        self._plan = plan
        self._performers = performers
        self._journal = journal
        self._actor = actor
        self._reason = reason
        self._limits = limits or Limits()
        self._clock = clock
        self._report = report
        self._seq = 0
        self._stopped = ""
        self._failed: set[tuple[str, str]] = set()
        self.progress = Progress(sum(len(step.names) for step in plan.steps))

    def stop(self, why: str = "interrupted") -> None:
        """Begin no further step; what runs is waited for."""
        self._stopped = self._stopped or why

    @property
    def stopped(self) -> str:
        """Why no further step begins; empty: nothing stopped it."""
        return self._stopped

    async def run(self) -> tuple[StepOutcome, ...]:
        """Carry the plan out and return one outcome for each target of each step.

        Raises JournalError before anything has run when the journal cannot be written. Cancelled, it ends what runs,
        notes that it is in doubt, and lets the cancellation through.
        """
        await self._note("start", by=self._actor, plan=self._plan, reason=self._reason)
        numbered = sorted(enumerate(self._plan.steps), key=lambda pair: pair[1].phase)
        first = True
        for _, group in groupby(numbered, key=lambda pair: pair[1].phase):
            steps = list(group)
            if first and self._limits.canary and len(steps) > self._limits.canary:
                await self._together(steps[: self._limits.canary])
                if self._failed:
                    self.stop("the canary failed")
                steps = steps[self._limits.canary :]
            first = False
            await self._together(steps)
        return tuple(self.progress.outcomes)

    async def finish(self, after: Sequence[Seen], unmet: Mapping[str, str]) -> None:
        """Write down how the world looked afterwards. Raises JournalError."""
        await self._note("end", after=tuple(after), unmet=dict(unmet), ended=self._stopped or "done")

    async def _together(self, steps: Sequence[tuple[int, Step]]) -> None:
        gate = asyncio.Semaphore(self._limits.fan_out)

        async def guarded(number: int, step: Step) -> None:
            async with gate:
                await self._step(number, step)

        async with asyncio.TaskGroup() as group:
            for number, step in steps:
                group.create_task(guarded(number, step))

    async def _step(self, number: int, step: Step) -> None:
        left = [name for name in step.names if (step.cluster, name) not in self._failed]
        why = self._stopped or ("" if len(left) == len(step.names) else "an earlier step failed")
        if why:
            await self._end(number, step, OutcomeState.SKIPPED, why)
            return
        try:
            await self._note("begin", sync=False, step=number)
        except JournalError as error:
            self.stop(str(error))
            await self._end(number, step, OutcomeState.SKIPPED, str(error))
            return
        self.progress.running[number] = step
        try:
            async with asyncio.timeout(step.timeout_s):
                await self._performers[step.cluster].perform(step)
        except TimeoutError:
            what = f"no answer within {step.timeout_s:g} s: whether it happened is not known"
            await self._end(number, step, OutcomeState.FAILED, what)
        except QuarterdeckError as error:
            await self._end(number, step, OutcomeState.FAILED, str(error), error.hint, isinstance(error, Denied))
        except asyncio.CancelledError:
            self.stop()
            self._write_end(number, step, OutcomeState.FAILED, _UNKNOWN)
            raise
        except Exception as error:  # noqa: BLE001 - a plugin's own fault costs its step, not the others
            what = clean(f"the plugin broke ({type(error).__name__}: {error}): whether it happened is not known")
            await self._end(number, step, OutcomeState.FAILED, what, "report it to whoever wrote the plugin")
        else:
            await self._end(number, step, OutcomeState.DONE)
        finally:
            self.progress.running.pop(number, None)

    async def _end(
        self, number: int, step: Step, state: OutcomeState, detail: str = "", hint: str = "", denied: bool = False
    ) -> None:
        outcomes = self._take(step, state, detail, hint, denied)
        try:
            await self._note("outcome", step=number, outcomes=outcomes)
        except JournalError as error:
            self.stop(str(error))
        self._report(self.progress)

    def _write_end(self, number: int, step: Step, state: OutcomeState, detail: str) -> None:
        """Write an outcome without waiting: this task is being cancelled."""
        outcomes = self._take(step, state, detail)
        try:
            self._journal.append(self._entry("outcome", step=number, outcomes=outcomes))
        except JournalError:
            return

    def _take(
        self, step: Step, state: OutcomeState, detail: str, hint: str = "", denied: bool = False
    ) -> tuple[StepOutcome, ...]:
        outcomes = tuple(
            StepOutcome(cluster=step.cluster, target=name, state=state, detail=detail, hint=hint, denied=denied)
            for name in step.names
        )
        self.progress.outcomes.extend(outcomes)
        if state is OutcomeState.FAILED:
            self._failed.update((step.cluster, name) for name in step.names)
            most = self._limits.most_failures
            if most is not None and len(self._failed) > most:
                self.stop(f"more than {most} targets failed")
        return outcomes

    async def _note(self, kind: str, *, sync: bool = True, **fields: object) -> None:
        entry = self._entry(kind, **fields)
        # In a thread: a disk may take its time, and the screen goes on.
        await asyncio.to_thread(self._journal.append, entry, sync=sync)

    def _entry(self, kind: str, **fields: object) -> Entry:
        self._seq += 1
        return Entry(kind=kind, attempt=self._plan.id, seq=self._seq, at=self._clock(), **fields)  # type: ignore[arg-type]
