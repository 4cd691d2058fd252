"""Clusters, their nodes and queues, as the source that lists them sees them."""

from __future__ import annotations

import enum

from console.model.base import Record


class ClusterKind(enum.StrEnum):
    """What a cluster is run by."""

    SLURM = "slurm"
    PBS = "pbs"
    KUBERNETES = "kubernetes"
    RAY = "ray"
    SSH = "ssh"
    LOCAL = "local"
    SIMULATED = "simulated"


class Cluster(Record, frozen=True):
    """A set of nodes under one name."""

    name: str
    kind: ClusterKind
    version: str | None = None


class NodeState(enum.StrEnum):
    """One vocabulary for every scheduler; the scheduler's own words stand in `Node.scheduler_state`."""

    UP = "up"
    """Takes work and has none."""
    BUSY = "busy"
    """Some or all of it is allocated."""
    DRAINING = "draining"
    """Takes no new work; old work still runs."""
    DRAINED = "drained"
    DOWN = "down"
    """Its scheduler, or itself, says that it is out of order."""
    UNREACHABLE = "unreachable"
    """Nobody who should reach it does."""
    UNKNOWN = "unknown"
    RESERVED = "reserved"
    MAINTENANCE = "maintenance"


class Node(Record, frozen=True):
    """A node as one inventory source sees it. The store merges the views of several sources by short host name."""

    name: str
    cluster: str
    state: NodeState = NodeState.UNKNOWN
    scheduler_state: str | None = None
    """As the scheduler says it, flags included: `MIXED+DRAIN`, `DOWN*`."""
    reason: str | None = None
    reason_by: str | None = None
    reason_at: float | None = None
    partitions: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    cpus: int | None = None
    cpus_allocated: int | None = None
    memory_total_bytes: int | None = None
    memory_allocated_bytes: int | None = None
    accelerators_total: int | None = None
    accelerators_allocated: int | None = None
    accelerator_model: str | None = None
    """As the scheduler names it: `a100`."""
    rack: str | None = None
    booted_at: float | None = None
    address: str | None = None
    """How a probe reaches it: `local`, `ssh:NAME` (NAME as the user's ssh would take it), or None: not by probe."""
    detail: dict[str, str] = {}
    """Further facts of this backend for the Node screen, label to text."""
    missing: dict[str, str] = {}


class Queue(Record, frozen=True):
    """A Slurm partition, PBS queue or Kubernetes queue."""

    name: str
    cluster: str
    state: str | None = None
    """As the scheduler says it: UP, DOWN, DRAIN, INACTIVE."""
    default: bool = False
    nodes_total: int | None = None
    nodes: str | None = None
    """Folded."""
    time_limit_s: float | None = None
    """None: unlimited or unknown; `missing` tells which."""
    priority: int | None = None
    missing: dict[str, str] = {}


class Reservation(Record, frozen=True):
    """Nodes set aside for somebody, for some time."""

    name: str
    cluster: str
    state: str | None = None
    nodes: str | None = None
    """Folded."""
    node_names: tuple[str, ...] = ()
    """The same, one by one, as the node records of this cluster are named; empty where it holds no whole nodes."""
    starts_at: float | None = None
    ends_at: float | None = None
    users: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
