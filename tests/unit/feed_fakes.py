"""A sink that remembers, and backends and probes that do what a test wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from console.errors import SourceError, TimedOut
from console.feed.status import SourceTracker
from console.model import Attention, Batch, ClusterKind, Records, Sample, SourceState, SourceStatus
from console.plugin import Check
from tests.unit.records import sample


class Sent(list[Batch]):
    """Every batch that a feed sent."""

    def states(self, source: str) -> list[SourceState]:
        """Return the states of a source, each change once; a source that was let go ends in nothing."""
        found: list[SourceState] = []
        for batch in self:
            if batch.status.name == source and (not found or found[-1] is not batch.status.state):
                found.append(batch.status.state)
        return found

    def last(self, source: str) -> SourceStatus:
        """Return the last status of a source, an empty one before it said anything."""
        nothing = SourceStatus(name=source, kind="", cluster="")
        return next((batch.status for batch in reversed(self) if batch.status.name == source), nothing)

    def samples(self, node: str) -> int:
        """Return how many samples of a node came."""
        return sum(
            1 for batch in self if batch.records is not None for seen in batch.records.samples if seen.node == node
        )

    def names(self) -> set[str]:
        """Return the sources that are there: begun and not let go."""
        there: set[str] = set()
        for batch in self:
            (there.discard if batch.ended else there.add)(batch.status.name)
        return there


class Reports(list[tuple[BaseException, str]]):
    """Every crash that was reported."""

    def __call__(self, error: BaseException, where: str) -> str:
        self.append((error, where))
        return "/tmp/crash.txt"


def tracker(sent: Sent, reports: Reports, name: str = "slurm:lab/nodes", **fields: object) -> SourceTracker:
    """A tracker whose batches end in `sent`."""
    kind = name.partition(":")[0]
    status = SourceStatus(name=name, kind=kind, cluster="lab", **fields)  # type: ignore[arg-type]
    return SourceTracker(status, sent.append, time.time, reports)


class FakeBackend:
    """A backend whose capabilities are whatever it is given."""

    def __init__(
        self,
        *,
        kind: ClusterKind = ClusterKind.SLURM,
        cluster: str = "lab",
        requests_per_minute: float | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.cluster = cluster
        self.kind = kind
        self.requests_per_minute = requests_per_minute
        self.closed = 0
        self._close = close

    async def doctor(self) -> list[Check]:
        return []

    async def close(self) -> None:
        self.closed += 1
        if self._close is not None:
            await self._close()


class ListingBackend(FakeBackend):
    """Gives `self.records` as inventory; raises it when it is an error."""

    inventory_period_s = 0.02

    def __init__(self, records: Records | BaseException, **fields: object) -> None:
        super().__init__(**fields)  # type: ignore[arg-type]
        self.records = records
        self.asked = 0

    async def inventory(self) -> Records:
        self.asked += 1
        if isinstance(self.records, BaseException):
            raise self.records
        return self.records


class SamplingBackend(FakeBackend):
    """Answers telemetry with a sample of what has attention."""

    telemetry_period_s = 0.02

    async def telemetry(self, attention: Attention) -> Records:
        return Records(samples=tuple(sample(name) for name in attention.visible))


class FakeProbe:
    """A probe that ticks every `tick_s` until it is told to rest, fail, hang or end."""

    def __init__(self, node: str, period_s: float, tick_s: float = 0.01) -> None:
        self.node = node
        self.periods = [period_s]
        self.error: BaseException | None = None
        self.hang_closing = False
        self.closed = False
        self.pauses: list[bool] = []
        """What it was told, each change once."""
        self.waits = 0
        """How often somebody waited for a sample."""
        self._tick_s = tick_s

    async def next(self, timeout_s: float) -> Sample:
        self.waits += 1
        await asyncio.sleep(self._tick_s)
        if self.pauses and self.pauses[-1] and self.error is None:
            raise TimedOut("paused", self.node)
        if self.error is not None:
            raise self.error
        return sample(self.node, time.time())

    async def set_period(self, period_s: float) -> None:
        if period_s != self.periods[-1]:
            self.periods.append(period_s)

    async def pause(self, paused: bool) -> None:
        if paused != (self.pauses[-1] if self.pauses else False):
            self.pauses.append(paused)

    async def close(self) -> None:
        if self.hang_closing:
            await asyncio.sleep(3600)
        self.closed = True


class FakeOpener:
    """Opens fake probes; `errors` says for which node it fails, `slow` which never say hello."""

    def __init__(self) -> None:
        self.errors: dict[str, BaseException] = {}
        self.slow: set[str] = set()
        self.opened: list[FakeProbe] = []
        self.tried: list[str] = []
        self.addresses: list[str] = []

    async def __call__(self, address: str, period_s: float, node: str) -> FakeProbe:
        self.tried.append(node)
        self.addresses.append(address)
        if node in self.slow:
            await asyncio.sleep(3600)
        if node in self.errors:
            raise self.errors[node]
        probe = FakeProbe(node, period_s)
        self.opened.append(probe)
        return probe

    def of(self, node: str) -> list[FakeProbe]:
        """Return the probes of a node, in their order."""
        return [probe for probe in self.opened if probe.node == node]

    @property
    def open(self) -> set[str]:
        """Return the nodes with an open probe."""
        return {probe.node for probe in self.opened if not probe.closed}


def known(error: SourceError, hint: str) -> SourceError:
    """Give an error a hint."""
    error.hint = hint
    return error
