"""A simulated cluster, for trying the console, for pictures and for measuring it: `qd --simulate 1024:7`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from console.errors import ConfigError
from console.plugin import API_VERSION, Detection, Settings, Site
from plugins.simulated.backend import SimulatedBackend
from plugins.simulated.world import World

__all__ = ["SimulatedSettings", "plugin"]

JOBS_PER_NODE = 10


class SimulatedSettings(Settings):
    """A `[[cluster]]` of kind `simulated`."""

    nodes: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    seed: int = 1
    """The same seed shows the same cluster."""
    gpus_per_node: Annotated[int, msgspec.Meta(ge=1, le=16)] = 8
    jobs: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    """How many jobs are listed at a time; None: ten for every node."""
    speed: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0
    """How much faster than life jobs and faults come and go."""


class SimulatedPlugin:
    """Opens simulated clusters; never found by itself."""

    api_version = API_VERSION
    name = "simulated"
    summary = "a simulated cluster that exists nowhere"
    settings_type: type[Settings] = SimulatedSettings

    async def detect(self, site: Site) -> list[Detection]:
        """Return nothing: a simulation is asked for, not found."""
        return []

    def open(self, settings: Settings, site: Site) -> SimulatedBackend:
        """Return the backend; the cluster is made when it is first asked about."""
        if not isinstance(settings, SimulatedSettings):
            raise ConfigError("settings of another plugin", "simulated", "this is a bug of the caller")
        jobs = settings.nodes * JOBS_PER_NODE if settings.jobs is None else settings.jobs
        world = World(settings.nodes, settings.gpus_per_node, jobs, settings.seed, settings.speed)
        return SimulatedBackend(site.cluster, world, site.now)


plugin = SimulatedPlugin()
