"""The simulated cluster as a whole: built in slices, moved tick by tick."""

from __future__ import annotations

import random
from collections.abc import Iterator

from plugins.simulated.faults import Faults
from plugins.simulated.layout import Place, Pool, places, pools
from plugins.simulated.scheduler import Scheduler
from plugins.simulated.state import Changes, SimJob, SimNode

TICK_S = 1.0


class World:
    """Everything that is so at one tick. The same arguments and as many steps give the same world."""

    def __init__(self, nodes: int, gpus: int, jobs: int, seed: int, speed: float) -> None:
        rng = random.Random(f"world:{nodes}:{gpus}:{jobs}:{seed}:{speed}")
        self.seed = seed
        self.gpus = gpus
        self.tick = 0
        self.built = False
        self.pools: tuple[Pool, ...] = pools(nodes)
        self.machines: list[Place] = []
        self.nodes: list[SimNode] = []
        self.by_name: dict[str, int] = {}
        self.changes = Changes()
        self._count = nodes
        self._rng = rng
        self._jobs = jobs
        self._speed = speed
        self.scheduler: Scheduler
        self.faults: Faults

    def build(self) -> Iterator[None]:
        """Make tick 0; yields at least every fraction of a millisecond of work."""
        if self.built:
            return
        for place in places(self._count, self.seed, self.pools):
            self.machines.append(place)
            booted = -self._rng.randrange(3600, 90 * 86400)
            self.nodes.append(SimNode(place, (None,) * self.gpus, self.gpus, booted))
            self.by_name[place.name] = place.index
            yield
        self.scheduler = Scheduler(
            self.nodes, self.pools, jobs=self._jobs, rng=self._rng, speed=self._speed, changes=self.changes
        )
        self.faults = Faults(self.nodes, self.scheduler, rng=self._rng, speed=self._speed, changes=self.changes)
        for node in self.nodes:
            self.scheduler.release(node)
            yield
        self.faults.build(0.5)
        yield from self.scheduler.build()
        self.faults.build(0.5)
        self.built = True

    def step(self) -> None:
        """Move on by one tick."""
        self.tick += 1
        self.faults.step(self.tick)
        self.scheduler.step(self.tick)

    def take_nodes(self) -> tuple[dict[int, None], bool]:
        """Return indices of nodes that changed since the last call, and whether reservations did."""
        nodes, self.changes.nodes = self.changes.nodes, {}
        reservations, self.changes.reservations = self.changes.reservations, False
        return nodes, reservations

    def take_jobs(self) -> tuple[dict[int, SimJob], dict[str, None]]:
        """Return jobs that changed since the last call, and ids of those that are gone."""
        jobs, self.changes.jobs = self.changes.jobs, {}
        gone, self.changes.gone = self.changes.gone, {}
        return jobs, gone
