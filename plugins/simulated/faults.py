"""What goes wrong on the simulated cluster, for how long, and what it does to nodes and jobs."""

from __future__ import annotations

import heapq
import random

import msgspec

from plugins.simulated.cast import ADMINS, DRAIN_REASONS
from plugins.simulated.layout import bus_id
from plugins.simulated.scheduler import Scheduler
from plugins.simulated.state import Changes, Drain, Fault, FaultKind, SimNode

PORTS = 8
"""InfiniBand ports of a node."""


class _Habit(msgspec.Struct, frozen=True):
    """How often a fault is there and how long it stays."""

    share: float
    """Of the nodes that have it at a time, on average."""
    least: float
    """On average at a time on a small cluster."""
    seconds: tuple[int, int]


HABITS = {
    FaultKind.GPU_LOST: _Habit(0.0010, 0.15, (120, 900)),
    FaultKind.ECC: _Habit(0.0010, 0.15, (200, 1200)),
    FaultKind.SLOW_GPU: _Habit(0.0020, 0.35, (90, 600)),
    FaultKind.STUCK_RANK: _Habit(0.0006, 0.15, (60, 240)),
    FaultKind.LINK_FLAP: _Habit(0.0015, 0.25, (60, 300)),
    FaultKind.LINK_ERRORS: _Habit(0.0020, 0.25, (120, 900)),
    FaultKind.LINK_DEGRADED: _Habit(0.0010, 0.15, (300, 1800)),
    FaultKind.NFS_STALL: _Habit(0.0, 0.20, (45, 180)),
    FaultKind.NODE_DOWN: _Habit(0.0030, 0.25, (90, 900)),
    FaultKind.DRAIN: _Habit(0.0060, 0.25, (300, 2400)),
    FaultKind.RESERVATION: _Habit(0.0, 0.8, (600, 3600)),
}

STALLED_ROWS = 1
"""Rows of racks that share the storage gateway which stalls."""


class Faults:
    """Begins and ends faults. The world's `nodes` carry them."""

    def __init__(
        self,
        nodes: list[SimNode],
        scheduler: Scheduler,
        *,
        rng: random.Random,
        speed: float,
        changes: Changes,
    ) -> None:
        self.active: dict[int, Fault] = {}
        self.stalls: dict[int, Fault] = {}
        """Row to the storage stall that hits it."""
        self.reservations: dict[str, Fault] = {}
        self._nodes = nodes
        self._scheduler = scheduler
        self._rng = rng
        self._speed = speed
        self._changes = changes
        self._ends: list[tuple[int, int]] = []
        self._next = 1
        self._rates: list[tuple[FaultKind, float]] = []
        self._wanted: list[tuple[FaultKind, float]] = []
        for kind, habit in HABITS.items():
            wanted = max(habit.least, habit.share * len(nodes))
            mean = sum(habit.seconds) / 2 / speed
            self._wanted.append((kind, wanted))
            self._rates.append((kind, wanted / mean))

    def build(self, share: float) -> None:
        """Begin as if it had always run: a share of as many faults as there always are."""
        for kind, most in self._wanted:
            wanted = most * share
            count = int(wanted) + (self._rng.random() < wanted % 1)
            for _ in range(count):
                self._begin(kind, 0, self._rng.random())

    def step(self, tick: int) -> None:
        """End what is over, begin what happens now."""
        while self._ends and self._ends[0][0] <= tick:
            _, number = heapq.heappop(self._ends)
            self._finish(self.active[number], tick)
        for kind, rate in self._rates:
            chances = rate
            while chances > 0:
                if self._rng.random() < min(chances, 1.0):
                    self._begin(kind, tick, 0.0)
                chances -= 1.0

    # ---- inside

    def _begin(self, kind: FaultKind, tick: int, over: float) -> None:
        if not self._nodes:
            return
        rng = self._rng
        low, high = HABITS[kind].seconds
        length = max(10, int((low + (high - low) * rng.random()) / self._speed))
        start = tick - int(over * length)
        index = rng.randrange(len(self._nodes))
        part = rng.randrange(1 << 16)
        nodes: tuple[int, ...] = (index,)
        if kind is FaultKind.NFS_STALL:
            row = self._nodes[index].at.row
            if row in self.stalls:
                return
            nodes = ()
        elif kind is FaultKind.RESERVATION:
            nodes = self._apart(index)
            if not nodes:
                return
        elif self._nodes[index].faults or not self._nodes[index].schedulable:
            return
        fault = Fault(self._next, kind, start, start + length, nodes, part)
        self._next += 1
        self.active[fault.number] = fault
        heapq.heappush(self._ends, (max(fault.end, tick + 1), fault.number))
        if kind is FaultKind.NFS_STALL:
            self.stalls[self._nodes[index].at.row] = fault
        for place in nodes:
            node = self._nodes[place]
            node.faults = (*node.faults, fault)
            node.version += 1
            self._strike(node, fault, tick)

    def _apart(self, index: int) -> tuple[int, ...]:
        """Return up to one rack's worth of idle nodes from here on, for a reservation."""
        count = max(1, min(4, len(self._nodes) // 32))
        if len(self._nodes) < 8 or len(self.reservations) >= 3:
            return ()
        near = self._nodes[index : index + count * 8]
        idle = [node.at.index for node in near if node.schedulable and node.free == len(node.slots) and not node.faults]
        return tuple(idle[:count])

    def _strike(self, node: SimNode, fault: Fault, tick: int) -> None:
        gpu = fault.part % len(node.slots)
        rng = self._rng
        if fault.kind is FaultKind.GPU_LOST:
            self._drain(
                node,
                f"Xid 79: GPU {gpu} ({bus_id(gpu)[4:].lower()}) has fallen off the bus",
                "healthcheck",
                fault.start,
            )
            self._fail(node, gpu, tick)
        elif fault.kind is FaultKind.ECC:
            xid, words = (
                (48, "double bit ECC error"),
                (95, "uncontained ECC error"),
                (94, "contained ECC error"),
            )[fault.part % 3]
            self._fail(node, gpu, tick)
            if xid != 94:
                self._drain(node, f"Xid {xid}: {words}, GPU {gpu}", "healthcheck", fault.start)
        elif fault.kind is FaultKind.NODE_DOWN:
            node.down = True
            self._scheduler.take_away(node)
            for job in node.jobs():
                self._scheduler.fail(job, tick, "NodeFail", 1)
        elif fault.kind is FaultKind.DRAIN:
            self._drain(node, rng.choice(DRAIN_REASONS), rng.choice(ADMINS), fault.start)
        elif fault.kind is FaultKind.RESERVATION:
            name = f"{'maint' if fault.part % 2 else 'workshop'}-{fault.number}"
            self.reservations[name] = fault
            self._changes.reservations = True
            node.reserved = name
            self._scheduler.take_away(node)

    def _drain(self, node: SimNode, reason: str, by: str, tick: int) -> None:
        node.drain = Drain(reason, by, tick)
        self._scheduler.take_away(node)

    def _fail(self, node: SimNode, gpu: int, tick: int) -> None:
        job = node.slots[gpu]
        if job is not None:
            self._scheduler.fail(job, tick, "NonZeroExitCode", 134)

    def _finish(self, fault: Fault, tick: int) -> None:
        drained = fault.kind in (FaultKind.GPU_LOST, FaultKind.ECC, FaultKind.DRAIN) and any(
            self._nodes[index].drain for index in fault.nodes
        )
        if drained and any(self._nodes[index].free < len(self._nodes[index].slots) for index in fault.nodes):
            # Whoever repairs it waits until the last job has left.
            heapq.heappush(self._ends, (tick + 30, fault.number))
            return
        del self.active[fault.number]
        self.stalls = {row: stall for row, stall in self.stalls.items() if stall is not fault}
        over = [name for name, reservation in self.reservations.items() if reservation is fault]
        for name in over:
            del self.reservations[name]
            self._changes.reservations = True
        for index in fault.nodes:
            node = self._nodes[index]
            node.faults = tuple([other for other in node.faults if other is not fault])
            if drained:
                node.drain = None
            if fault.kind is FaultKind.NODE_DOWN or (drained and fault.kind is not FaultKind.DRAIN):
                node.down = False
                node.booted = tick - 60
            if fault.kind is FaultKind.RESERVATION:
                node.reserved = None
            self._scheduler.release(node)
