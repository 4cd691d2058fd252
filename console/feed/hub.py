"""The live feed: every capability of every backend, and the probes of the nodes that they list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from console.feed.base import Sink
from console.feed.finished import Finished
from console.feed.gate import Gate
from console.feed.pace import Budget
from console.feed.polled import PolledWorker
from console.feed.probing import Opener, ProbeWorker
from console.feed.roster import Roster, Target
from console.feed.status import CrashReport, SourceTracker
from console.model import Attention, Records, SourceStatus, source_name
from console.model.identity import Identity, NameRule
from console.plugin import Accounting, Announcer, Backend, Inventory, Queue, Telemetry

TICK_S = 1.0
CLOSE_S = 1.0
ALLOT_DELAY_S = 0.05


@dataclass(frozen=True, slots=True)
class Feeding:
    """One backend and how its nodes are probed."""

    backend: Backend
    telemetry: str = "visible"
    """all | visible | off"""


@dataclass(frozen=True, slots=True)
class ProbePace:
    """How fast and how many."""

    attended_s: float = 2.0
    """What is on screen, marked or selected."""
    others_s: float | None = None
    """The rest where telemetry is `all`; None: by their number."""
    all_fast: int = 256
    """Fleets up to this size are watched whole at the fast pace: 200 hosts cost a twentieth of a core."""
    linger_s: float = 30.0
    """How long a probe stays open that was open for attention only."""
    limit: int = 1024
    """Open probes."""
    starting: int = 32
    """Probes that connect at the same time."""

    def others(self, count: int, fast_s: float) -> float:
        """Return the period of what nobody looks at: a small fleet is cheap to watch whole."""
        if self.others_s is not None:
            return max(self.others_s, fast_s)
        return fast_s if count <= self.all_fast else max(10.0 if count <= 512 else 30.0, fast_s)


@dataclass(slots=True)
class _Probed:
    worker: ProbeWorker
    target: Target
    task: asyncio.Future[None]
    attended_at: float = field(default=float("-inf"))
    """Loop time at which somebody looked at it last."""


class Hub:
    """A feed of live sources. Failures become batches; nothing that a plugin does ends it."""

    def __init__(
        self,
        backends: Iterable[Feeding],
        opener: Opener,
        *,
        node_key: NameRule | None = None,
        pace: ProbePace | None = None,
        now: Callable[[], float] = time.time,
        report: CrashReport = lambda _error, _where: "",
    ) -> None:
        self._feedings = list(backends)
        self._opener = opener
        self._identity = Identity(node_key)
        self._roster = Roster(self._identity)
        self._pace = pace or ProbePace()
        self._now = now
        self._report = report
        self._gate = Gate(self._pace.starting)
        self._attention = Attention()
        self._attended: dict[str, None] = {}
        self._refresh_s: float | None = None
        self._paused = False
        self._resumed_at = 0.0
        """Unix seconds; who was not asked before is not late."""
        self._polled: list[PolledWorker] = []
        self._slow: list[PolledWorker] = []
        """Of these, those that nobody waits for longer than a moment: accounting."""
        self._probes: dict[str, _Probed] = {}
        self._names: dict[str, str] = {}
        """Address to the one node whose source bears its name; two nodes may be reached by one address."""
        self._tasks: set[asyncio.Future[None]] = set()
        self._allotting: asyncio.Handle | None = None
        self._sink: Sink = lambda _batch: None

    # ---- the feed

    async def run(self, sink: Sink) -> None:
        """Emit batches until cancelled."""
        self._sink = sink
        try:
            for feeding in self._feedings:
                self._start_backend(feeding)
            while True:
                await asyncio.sleep(TICK_S)
                self._tick()
        finally:
            await self._stop()

    def attend(self, attention: Attention) -> None:
        """Say what somebody looks at now; the probes follow at the next turn of the loop."""
        self._attention = attention
        selected = (attention.selected,) if attention.selected else ()
        self._attended = dict.fromkeys((*selected, *attention.visible, *attention.marked))
        self._allot_soon()

    def pause(self, paused: bool) -> None:
        """Stop asking, or go on."""
        if self._paused and not paused:
            self._resumed_at = self._now()
        self._paused = paused
        for polled in self._polled:
            polled.pause(paused)
        for probed in self._probes.values():
            probed.worker.pause(paused)

    def set_refresh(self, period_s: float | None) -> None:
        """Override the pace of what is looked at; None: each source's own."""
        self._refresh_s = period_s
        for polled in self._polled:
            polled.set_refresh(period_s)
        self._allot_soon()

    def look_again(self, clusters: Collection[str]) -> None:
        """Ask the schedulers of these clusters soon: somebody changed something there."""
        _wake(polled for polled in self._polled if polled.tracker.status.cluster in clusters)

    @property
    def settled(self) -> bool:
        """Whether every source has answered or failed, the probes that are wanted now included."""
        return (
            bool(self._polled or not self._feedings)
            and all(polled.tracker.answered for polled in self._polled if polled not in self._slow)
            and self._allotting is None
            and all(probed.worker.settled for probed in self._probes.values())
        )

    @property
    def all_told(self) -> bool:
        """Whether those have answered too that nobody waits for long."""
        return all(polled.tracker.answered for polled in self._slow)

    @property
    def targets(self) -> Mapping[str, Target]:
        """What can be probed, by node key."""
        return self._roster.targets

    # ---- backends

    def _start_backend(self, feeding: Feeding) -> None:
        backend = feeding.backend
        budget = Budget(backend.requests_per_minute)
        capabilities: list[tuple[str, float, Callable[[], Awaitable[Records]]]] = []
        if isinstance(backend, Inventory):
            capabilities.append(("nodes", backend.inventory_period_s, backend.inventory))
        if isinstance(backend, Queue):
            capabilities.append(("jobs", backend.jobs_period_s, backend.jobs))
        if isinstance(backend, Telemetry):
            capabilities.append(("telemetry", backend.telemetry_period_s, partial(self._telemetry, backend)))
        workers = [
            self._start_polled(feeding, what, ask, period_s, budget, len(capabilities))
            for what, period_s, ask in capabilities
        ]
        if isinstance(backend, Accounting):
            period_s = backend.accounting_period_s
            ask = Finished(backend, self._now).ask
            # Another service than the one that lists answers, so it takes nothing of that one's budget.
            self._slow.append(self._start_polled(feeding, "history", ask, period_s, Budget(None), 1))
        if isinstance(backend, Announcer):
            backend.announce(lambda: _wake(workers))

    def _start_polled(
        self,
        feeding: Feeding,
        what: str,
        ask: Callable[[], Awaitable[Records]],
        period_s: float,
        budget: Budget,
        askers: int,
    ) -> PolledWorker:
        backend = feeding.backend
        name = source_name(backend.kind.value, backend.cluster, what)
        status = SourceStatus(name=name, kind=backend.kind.value, cluster=backend.cluster, period_s=period_s)
        worker = PolledWorker(
            SourceTracker(status, self._sink, self._now, self._report),
            ask,
            period_s=period_s,
            budget=budget,
            askers=askers,
            on_records=partial(self._listed, name, feeding.telemetry),
        )
        worker.set_refresh(self._refresh_s)
        worker.pause(self._paused)
        self._polled.append(worker)
        self._keep(worker.run())
        return worker

    async def _telemetry(self, backend: Telemetry) -> Records:
        return await backend.telemetry(self._attention)

    def _listed(self, source: str, mode: str, records: Records) -> None:
        if mode == "off" or not (records.nodes or records.gone_nodes or "nodes" in records.complete):
            return
        if self._roster.update(source, records, mode):
            self._follow_roster()

    # ---- probes

    def _follow_roster(self) -> None:
        """Let go of probes whose machine is gone or is reached otherwise now, and allot anew."""
        targets = self._roster.targets
        for key, probed in list(self._probes.items()):
            target = targets.get(key)
            if target is None or target.address != probed.target.address:
                self._let_go(key)
        self._allot()

    def _allot_soon(self) -> None:
        """Allot once for many calls."""
        if self._allotting is None and self._roster.targets:
            self._allotting = asyncio.get_running_loop().call_later(ALLOT_DELAY_S, self._allot)

    def _allot(self) -> None:
        """Decide which nodes are probed at which pace: the attended first, then the open, then the rest."""
        if self._allotting is not None:
            self._allotting.cancel()
            self._allotting = None
        now = asyncio.get_running_loop().time()
        wanted = self._wanted(now)
        for key, period_s in wanted.items():
            probed = self._probes.get(key)
            if probed is None:
                probed = self._probes[key] = self._open(self._roster.targets[key])
            probed.worker.attended = key in self._attended
            if probed.worker.attended:
                probed.attended_at = now
            probed.worker.set_pace(period_s)
        for key, probed in self._probes.items():
            if key not in wanted:
                probed.worker.attended = False
                probed.worker.set_pace(None)

    def _wanted(self, now: float) -> dict[str, float]:
        """Return the nodes to probe, the most wanted first, with their periods."""
        pace, targets = self._pace, self._roster.targets
        always = [key for key, target in targets.items() if target.mode == "all"]
        fast = pace.attended_s if self._refresh_s is None else self._refresh_s
        slow = pace.others(min(len(always), pace.limit), fast)
        wanted = dict.fromkeys((key for key in self._attended if key in targets), fast)
        for key, probed in self._probes.items():
            lingers = probed.target.mode == "all" or now - probed.attended_at < pace.linger_s
            if lingers and key in targets:
                wanted.setdefault(key, slow)
        for key in always:
            wanted.setdefault(key, slow)
        return wanted if len(wanted) <= pace.limit else dict(islice(wanted.items(), pace.limit))

    def _open(self, target: Target) -> _Probed:
        kind = "local" if target.address == "local" else "ssh"
        holder = self._names.setdefault(target.address, target.key)
        name = target.address if holder == target.key else f"{target.address} ({target.key})"
        status = SourceStatus(name=name, kind=kind, cluster=target.cluster, node=target.name)
        tracker = SourceTracker(status, self._sink, self._now, self._report)
        worker = ProbeWorker(tracker, target.address, self._opener, self._gate)
        worker.pause(self._paused)
        return _Probed(worker, target, self._keep(worker.run()))

    def _let_go(self, key: str) -> None:
        probed = self._probes.pop(key)
        probed.worker.set_pace(None)
        probed.task.cancel()
        probed.worker.tracker.end()

    # ---- time

    def _tick(self) -> None:
        """Once a second: who is late, who is no longer looked at."""
        if not self._paused:
            now = self._now()
            for polled in self._polled:
                polled.tracker.check_late(now, self._resumed_at)
            for probed in self._probes.values():
                probed.worker.tracker.check_late(now, self._resumed_at)
        idle = [key for key, probed in self._probes.items() if probed.worker.idle]
        for key in idle:
            self._let_go(key)
        if any(probed.target.mode != "all" and not probed.worker.attended for probed in self._probes.values()):
            self._allot()

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error, "a worker of the feed")

    async def _stop(self) -> None:
        if self._allotting is not None:
            self._allotting.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)


def _wake(workers: Iterable[PolledWorker]) -> None:
    for worker in workers:
        worker.wake()
