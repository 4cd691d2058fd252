"""Nodes out of the dashboard's summary: one record a machine, however many of Ray's processes it has. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from console.model import Node, NodeState
from console.text import clean
from plugins.ray import held, resources
from plugins.ray.resources import Amount, Resources
from plugins.ray.settings import AddressRule
from plugins.ray.wire import NodeListing, NodeRow, Raylet

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
_ON_PURPOSE = ("EXPECTED_TERMINATION", "AUTOSCALER_DRAIN_IDLE")
_WORK = ("CPU", "memory", *resources.ACCELERATORS)
"""What work holds; a node of which none is held is free."""
_QUIET = ("node:", "accelerator_type:", "acceleratorType:", "bundle")
_NO_USAGE = "Ray's autoscaler does not tell what is in use"
_ID_CHARS = 12
_LABELS = 8
"""How many labels of a node are shown."""


@dataclass(slots=True, frozen=True)
class Machine:
    """What is left of a node for whoever asks where work would fit."""

    name: str
    total: Resources
    free: Resources | None
    """None: not known."""


@dataclass(slots=True)
class Cluster:
    """All nodes of one answer."""

    nodes: tuple[Node, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    """Ray node id, of the dead too, to the name of its record."""
    machines: tuple[Machine, ...] = ()
    """Those that are alive."""
    alive: dict[str, str] = field(default_factory=dict)
    """Ray node id of those that are alive to the name of its record."""
    sessions: dict[str, str] = field(default_factory=dict)
    """Ray node id to the directory of its logs and sockets, where it is told."""
    left: int = 0
    """How many left on purpose; they are not shown."""
    unreadable: int = 0


@dataclass(slots=True, frozen=True)
class _Process:
    """One raylet."""

    row: NodeRow
    usage: dict[str, Amount]

    @property
    def raylet(self) -> Raylet:
        return self.row.raylet

    @property
    def draining(self) -> bool:
        snapshot = self.raylet.state_snapshot
        return snapshot is not None and snapshot.state == "DRAINING"

    @property
    def totals(self) -> Resources:
        told = _totals(self.raylet)
        # The autoscaler rounds memory; the raylet's own amount is exact, but not under every resource's own name.
        return {name: told.get(name, amount.total) for name, amount in self.usage.items()} if self.usage else told


def read(listing: NodeListing, cluster: str, rule: AddressRule, known: Mapping[str, str] | None = None) -> Cluster:
    """Return the nodes of one answer. Processes that share a host are one machine, their resources summed up.

    `known`: `names` of the answer before. Ray forgets the host name of a node that died.
    """
    found = Cluster(unreadable=listing.nodes.unreadable)
    alive: dict[str, list[_Process]] = {}
    dead: dict[str, Raylet] = {}
    for row in listing.nodes.rows:
        raylet = row.raylet
        name = _name(row, known or {})
        if raylet.node_id:
            found.names[raylet.node_id] = name
        if raylet.state == "ALIVE":
            usage = resources.usage(listing.usage.get(raylet.node_id or "", ""))
            alive.setdefault(name, []).append(_Process(row, usage))
            if raylet.node_id:
                found.alive[raylet.node_id] = name
            if raylet.node_id and raylet.session_dir:
                found.sessions[raylet.node_id] = clean(raylet.session_dir, limit=1024)
        elif (raylet.death_info or {}).get("reason") in _ON_PURPOSE:
            found.left += 1
        elif name not in dead or (raylet.end_time_ms or 0) > (dead[name].end_time_ms or 0):
            dead[name] = raylet
    nodes = [_alive(name, cluster, processes, rule) for name, processes in alive.items()]
    nodes += [_dead(name, cluster, raylet, rule) for name, raylet in dead.items() if name not in alive]
    found.nodes = tuple(sorted(nodes, key=lambda node: node.name))
    found.machines = tuple(_machine(name, processes) for name, processes in sorted(alive.items()))
    return found


def _name(row: NodeRow, known: Mapping[str, str]) -> str:
    """Return the host name; the name or address that Ray has for it where it does not know any."""
    raylet = row.raylet
    hosts = (raylet.node_manager_hostname, row.hostname, known.get(raylet.node_id or ""))
    names = (*hosts, raylet.node_name, raylet.node_manager_address, (raylet.node_id or "")[:_ID_CHARS])
    return next((name for each in names if each and (name := clean(each, limit=256).strip())), "unknown")


def _totals(raylet: Raylet) -> Resources:
    return {name: total for name, total in (raylet.resources_total or {}).items() if math.isfinite(total)}


def _machine(name: str, processes: Sequence[_Process]) -> Machine:
    total: Resources = {}
    free: Resources = {}
    for process in processes:
        resources.add(total, process.totals)
        if process.usage:
            resources.add(free, {key: each - process.usage[key].used for key, each in process.totals.items()})
    return Machine(name, total, free if all(process.usage for process in processes) else None)


def _alive(name: str, cluster: str, processes: Sequence[_Process], rule: AddressRule) -> Node:
    first = max(processes, key=lambda process: process.raylet.is_head_node)
    machine = _machine(name, processes)
    used = None
    if machine.free is not None:
        used = {key: total - machine.free[key] for key, total in machine.total.items()}
    draining = any(process.draining for process in processes)
    busy = used is not None and any(used.get(key, 0.0) > 0 for key in _WORK)
    missing: dict[str, str] = {}
    if used is None:
        missing |= dict.fromkeys(("cpus_allocated", "memory_allocated_bytes", "accelerators_allocated"), _NO_USAGE)
    address, why_not = _address(first.raylet, name, rule)
    if why_not:
        missing["address"] = why_not
    memory = machine.total.get("memory")
    if memory is None:
        missing["memory_total_bytes"] = "Ray counts no memory of this node"
    return Node(
        name=name,
        cluster=cluster,
        state=NodeState.DRAINING if draining else NodeState.BUSY if busy else NodeState.UP,
        scheduler_state="DRAINING" if draining else "ALIVE",
        features=("head",) if any(process.raylet.is_head_node for process in processes) else (),
        cpus=resources.whole(machine.total.get("CPU", 0.0)),
        cpus_allocated=None if used is None else resources.whole(used.get("CPU", 0.0)),
        memory_total_bytes=None if memory is None else round(memory),
        memory_allocated_bytes=None if used is None or memory is None else round(used.get("memory", 0.0)),
        accelerators_total=resources.whole(resources.accelerators(machine.total)),
        accelerators_allocated=None if used is None else resources.whole(resources.accelerators(used)),
        accelerator_model=resources.model(machine.total),
        booted_at=first.row.boot_time,
        address=address,
        detail=_detail(processes, first, machine, used),
        missing=missing,
    )


def _dead(name: str, cluster: str, raylet: Raylet, rule: AddressRule) -> Node:
    missing = dict.fromkeys(("cpus_allocated", "memory_allocated_bytes", "accelerators_allocated"), "it is dead")
    address, why_not = _address(raylet, name, rule)
    if why_not:
        missing["address"] = why_not
    totals = _totals(raylet)
    if not totals:
        missing |= dict.fromkeys(("cpus", "accelerators_total"), "Ray keeps no resources of a dead node")
    return Node(
        name=name,
        cluster=cluster,
        state=NodeState.DOWN,
        scheduler_state=clean(raylet.state or "DEAD", limit=64),
        reason=clean(raylet.state_message, limit=1000) if raylet.state_message else None,
        reason_at=_seconds(raylet.end_time_ms),
        features=("head",) if raylet.is_head_node else (),
        cpus=resources.whole(totals.get("CPU", 0.0)) if totals else None,
        accelerators_total=resources.whole(resources.accelerators(totals)) if totals else None,
        accelerator_model=resources.model(totals),
        address=address,
        detail=_facts(raylet),
        missing=missing,
    )


def _address(raylet: Raylet, name: str, rule: AddressRule) -> tuple[str | None, str | None]:
    """Return how our probe would reach the node, or why it should not try."""
    if rule is AddressRule.NONE:
        return None, 'address = "none" for this cluster: set it to "hostname" or "ip" to sample these nodes over SSH'
    chosen = name if rule is AddressRule.HOSTNAME else raylet.node_manager_address or name
    return (f"ssh:{chosen}", None) if _HOST.fullmatch(chosen) else (None, "a name that no host can have")


def _seconds(milliseconds: float | None) -> float | None:
    return milliseconds / 1000 if milliseconds and math.isfinite(milliseconds) else None


def _facts(raylet: Raylet) -> dict[str, str]:
    """Return what Ray knows of one process beside its resources."""
    labels = {clean(key, limit=128): clean(str(value), limit=128) for key, value in (raylet.labels or {}).items()}
    labels.pop("ray.io/node-id", None)
    facts = (
        ("Ray node", raylet.node_id),
        ("address", raylet.node_manager_address),
        ("node type", raylet.node_type_name),
        ("instance", raylet.instance_id),
        ("held by", held.holder(labels)),
        ("labels", ", ".join(f"{key}={value}" for key, value in sorted(labels.items())[:_LABELS])),
    )
    return {label: clean(text, limit=512) for label, text in facts if text}


def _detail(
    processes: Sequence[_Process], first: _Process, machine: Machine, used: Mapping[str, float] | None
) -> dict[str, str]:
    found = _facts(first.raylet)
    if len(processes) > 1:
        names = sorted(clean(process.raylet.node_name or "?", limit=64) for process in processes)
        found["Ray processes"] = f"{len(processes)}: {', '.join(names)}"
    shown = [name for name in sorted(machine.total) if not name.startswith(_QUIET)]
    for name in ("object_store_memory", *(name for name in shown if name not in (*_WORK, "object_store_memory"))):
        total = machine.total.get(name)
        if total is None:
            continue
        amount = resources.figure(total, name)
        if used is not None:
            amount = f"{resources.figure(max(used.get(name, 0.0), 0.0), name)} of {amount}"
        found[clean(name.replace("_", " "), limit=64)] = amount
    fractional = used is not None and resources.accelerators(used) % 1
    if fractional and used is not None:
        found["accelerators in use"] = f"{resources.accelerators(used):.3g}"
    return found
