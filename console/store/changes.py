"""Change sets: what a reader has not seen yet."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Changes:
    """Names of what changed since this reader last took them."""

    nodes: set[str] = field(default_factory=set)
    """Keys of nodes that are new, changed or gone."""
    jobs: set[tuple[str, str]] = field(default_factory=set)
    """(cluster, id) of jobs that are new, changed or gone."""
    sources: set[str] = field(default_factory=set)
    attempts: set[str] = field(default_factory=set)
    """Ids of attempts of the journal that are new or went on."""
    other: bool = False
    """Clusters, queues, reservations or findings changed."""

    def add(self, more: Changes) -> None:
        """Take all that another change set holds."""
        self.nodes |= more.nodes
        self.jobs |= more.jobs
        self.sources |= more.sources
        self.attempts |= more.attempts
        self.other |= more.other

    def take(self) -> Changes:
        """Return what is in here and begin anew."""
        taken = Changes(self.nodes, self.jobs, self.sources, self.attempts, self.other)
        self.nodes, self.jobs, self.sources, self.attempts, self.other = set(), set(), set(), set(), False
        return taken

    def __bool__(self) -> bool:
        return bool(self.nodes or self.jobs or self.sources or self.attempts or self.other)
