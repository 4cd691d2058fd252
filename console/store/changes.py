"""Change sets: what a reader has not seen yet."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Changes:
    """Names of what changed since this reader last asked. `listed_*` tells that rows came or went."""

    nodes: set[str] = field(default_factory=set)
    """Keys of nodes that are new, changed or gone."""
    jobs: set[tuple[str, str]] = field(default_factory=set)
    """(cluster, id) of jobs that are new, changed or gone."""
    sources: set[str] = field(default_factory=set)
    other: bool = False
    """Clusters, queues, reservations or findings changed."""

    def __bool__(self) -> bool:
        return bool(self.nodes or self.jobs or self.sources or self.other)
