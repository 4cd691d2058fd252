"""The ways to the records of one cluster, and which of them is taken."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from plugins.slurm.facts import Layout
from plugins.slurm.jobs import Listing
from plugins.slurm.nodes import NodeListing
from plugins.slurm.parse import Config, Controller, Counters
from plugins.slurm.weather import Reading

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Answer(Generic[T]):
    """What was asked for, in hand but not read yet: reading takes time, and is remembered as told."""

    read: Callable[[], Generator[None, None, T]]
    """Yields between slices, returns the listing. Raises BadAnswer."""
    requests: int
    """How many slurmctld has had for it."""


@dataclass(slots=True, frozen=True)
class Pulse:
    """What slurmctld counted, and how it is doing."""

    counters: Counters
    weather: Reading


class Way(Protocol):
    """One way to ask. Every question raises SourceError with the truest kind that can be known."""

    @property
    def failures(self) -> int:
        """How many questions failed since the start: what was known before one may be old news after it."""

    def words(self, what: str, version: str | None) -> str:
        """Return how `jobs` or `nodes` are read, for people; `version` is Slurm's."""

    async def pulse(self) -> Pulse:
        """Return the counters that tell whether something changed: one request."""

    async def config(self) -> tuple[Config, int]:
        """Return what matters of the configuration, and how many requests that took."""

    async def ping(self) -> tuple[Controller, ...]:
        """Return which controllers answer; empty: none said anything in time."""

    async def nodes(self) -> Answer[NodeListing]:
        """List all nodes."""

    async def jobs(self) -> Answer[Listing]:
        """List all jobs that have not ended."""

    async def layout(self) -> tuple[Layout, int]:
        """List partitions and reservations, and how many requests that took."""

    async def close(self) -> None:
        """Let go of everything. Never raises."""


class Further(Way, Protocol):
    """A way beside the commands."""

    async def try_it(self) -> str:
        """Return in words for `qd doctor` that it works and what it is. Raises SourceError."""
