"""Hosts out of what pbsnodes lists: the vnodes of one host are folded into it."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from console.errors import BadAnswer
from console.model import Node, NodeState
from console.text import clean
from plugins.pbs import answers, values
from plugins.pbs.authors import unsigned
from plugins.pbs.settings import AddressRule
from plugins.pbs.states import asleep, host_state, node_state

SLICE = 60
"""Vnodes, or hosts, between two breaths of the event loop: some milliseconds."""
SHOWN_VNODES = 64
_MODELS = ("accelerator_model", "gpu_model", "gpu_type")
_NO_FEATURES = frozenset(("arch", "host", "vnode", "hpcbp", "Qlist", "queue", *_MODELS))
_WELL = frozenset((NodeState.UP, NodeState.BUSY, NodeState.RESERVED))
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
_TASK = re.compile(r"(\d+\[)\d+(\].*)", re.ASCII)
_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|::1|localhost(?:\..*)?", re.ASCII)
_NOTHING: dict[str, Any] = {}


class Row(msgspec.Struct, gc=False):
    """One vnode as pbsnodes prints it; anything may stand anywhere."""

    mom: Any = msgspec.field(default=None, name="Mom")
    state: Any = None
    jobs: Any = None
    available: Any = msgspec.field(default=None, name="resources_available")
    assigned: Any = msgspec.field(default=None, name="resources_assigned")
    comment: Any = None
    queue: Any = None
    partition: Any = None
    sharing: Any = None
    changed_at: Any = msgspec.field(default=None, name="last_state_change_time")
    resv: Any = None


_DECODER = msgspec.json.Decoder(Row)


@dataclass(slots=True, frozen=True)
class Place:
    """From where the cluster is looked at: what decides how a probe would reach a host."""

    rule: AddressRule = AddressRule.MOM
    hostname: str | None = None
    """Short name of the host that the commands run on; None when unknown."""
    here: str = "local"
    """Address of that host itself: `local`, or `ssh:login1`."""


@dataclass(slots=True)
class NodeListing:
    """One answer of pbsnodes, against the one before."""

    nodes: tuple[Node, ...]
    changed: tuple[Node, ...]
    gone: tuple[str, ...]


@dataclass(slots=True)
class _Vnode:
    name: str
    row: Row
    state: str
    jobs: tuple[str, ...]
    available: Mapping[str, Any]
    assigned: Mapping[str, Any]
    gpus: int | None

    @property
    def bears(self) -> bool:
        """Whether there is anything to run on: the vnode of a host with others often has nothing itself."""
        return bool(values.count(self.available.get("ncpus")) or self.gpus)

    @property
    def told(self) -> NodeState:
        return node_state(self.state, bool(self.jobs))


@dataclass(slots=True)
class _Host:
    name: str
    vnodes: list[_Vnode] = field(default_factory=list)


class NodeReader:
    """Turns answers of pbsnodes into the hosts of one cluster, remembering those it read before."""

    def __init__(self, cluster: str, place: Place, gpus: tuple[str, ...] = ("ngpus",)) -> None:
        self.cluster = cluster
        self.place = place
        self._gpus = gpus
        self._known: dict[str, Node] = {}
        self.arrays: dict[str, tuple[str, ...]] = {}
        """Hosts on which tasks of an array run, by the id of the array: `3[].pbs01`."""

    def anew(self) -> NodeReader:
        """Return a reader of the same cluster that remembers nothing."""
        return NodeReader(self.cluster, self.place, self._gpus)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What the last answer came to."""
        return tuple(self._known.values())

    def addresses(self) -> dict[str, str]:
        """Return how the hosts of the last answer are reached, those that are."""
        return {node.name: node.address for node in self._known.values() if node.address is not None}

    def read(self, answer: bytes) -> Generator[None, None, NodeListing]:
        """Read one answer: yields between slices, returns the listing. BadAnswer when these are not vnodes."""
        hosts: dict[str, _Host] = {}
        counted = False
        for index, (vnode_name, piece) in enumerate(answers.entries(answer, "nodes", "pbsnodes")):
            if index % SLICE == SLICE - 1:
                yield
            vnode = self._vnode(vnode_name, piece)
            counted = counted or vnode.gpus is not None
            name = _host_of(vnode)
            hosts.setdefault(name, _Host(name)).vnodes.append(vnode)
        known: dict[str, Node] = {}
        changed: list[Node] = []
        for index, host in enumerate(hosts.values()):
            if index % SLICE == SLICE - 1:
                yield
            node = self._node(host, counted)
            if (old := self._known.get(node.name)) == node and old is not None:
                node = old
            else:
                changed.append(node)
            known[node.name] = node
        gone = tuple(sorted(self._known.keys() - known.keys()))
        self._known, self.arrays = known, _arrays(hosts)
        return NodeListing(tuple(known.values()), tuple(changed), gone)

    def _vnode(self, name: str, piece: bytes) -> _Vnode:
        row = answers.decode(piece, _DECODER)
        state = values.text(row.state) if row is not None else None
        if row is None or state is None:
            what = f"pbsnodes gave a vnode that cannot be read: {name}"
            raise BadAnswer(what, clean(piece[:120]), f"look at it: pbsnodes -v {name}")
        available = row.available if isinstance(row.available, dict) else _NOTHING
        return _Vnode(
            name=name,
            row=row,
            state=state,
            jobs=_jobs(row.jobs),
            available=available,
            assigned=row.assigned if isinstance(row.assigned, dict) else _NOTHING,
            gpus=values.total(available, self._gpus),
        )

    def _node(self, host: _Host, counted: bool) -> Node:
        bearing = [vnode for vnode in host.vnodes if vnode.bears] or host.vnodes
        state = host_state([vnode.told for vnode in bearing])
        total, used = self._accelerators(host.vnodes, counted)
        missing: dict[str, str] = {}
        if total is None:
            names = " or ".join(self._gpus)
            missing["accelerators_total"] = f"no vnode has the resource {names}: set gpus in the configuration"
            missing["accelerators_allocated"] = missing["accelerators_total"]
        address, why_not = self._address(host, bearing)
        if address is None and why_not:
            missing["address"] = why_not
        memory = _sum([values.size_bytes(vnode.available.get("mem")) for vnode in host.vnodes])
        if memory is None:
            missing["memory_total_bytes"] = "no MoM has told it to PBS yet"
        reason, by = unsigned(_reason(host, bearing, state))
        return Node(
            name=host.name,
            cluster=self.cluster,
            state=state,
            scheduler_state=" + ".join(dict.fromkeys(vnode.state for vnode in bearing)),
            reason=reason,
            reason_by=by,
            reason_at=_changed_at(bearing) if reason is not None and state not in _WELL else None,
            partitions=_queues(host.vnodes),
            features=_features(host.vnodes, self._gpus),
            cpus=_sum([values.count(vnode.available.get("ncpus")) for vnode in host.vnodes]),
            cpus_allocated=_sum([values.count(vnode.assigned.get("ncpus")) for vnode in host.vnodes]) or 0,
            memory_total_bytes=memory,
            memory_allocated_bytes=_sum([values.size_bytes(vnode.assigned.get("mem")) for vnode in host.vnodes]) or 0,
            accelerators_total=total,
            accelerators_allocated=used,
            accelerator_model=_model(host.vnodes),
            address=address,
            detail=self._detail(host),
            missing=missing,
        )

    def _accelerators(self, vnodes: list[_Vnode], counted: bool) -> tuple[int | None, int | None]:
        """Return how many the host has and how many are held; a host without any, where others have some, has 0."""
        total = _sum([vnode.gpus for vnode in vnodes])
        if total is None and not counted:
            return None, None
        return total or 0, _sum([values.total(vnode.assigned, self._gpus) for vnode in vnodes]) or 0

    def _address(self, host: _Host, bearing: list[_Vnode]) -> tuple[str | None, str | None]:
        """Return how our probe would reach the host, or why it should not try."""
        rule = self.place.rule
        if rule is AddressRule.NONE:
            return None, 'address = "none" for this cluster'
        if all(asleep(vnode.state) for vnode in bearing):
            return None, "switched off to save power"
        mom = (values.text(host.vnodes[0].row.mom) or "").partition(",")[0]
        chosen = host.name if rule is AddressRule.NAME or not mom else mom
        if _LOOPBACK.fullmatch(chosen) or (self.place.hostname and chosen.partition(".")[0] == self.place.hostname):
            return self.place.here, None
        return (f"ssh:{chosen}", None) if _HOST.fullmatch(chosen) else (None, "a name that no host can have")

    def _detail(self, host: _Host) -> dict[str, str]:
        first = host.vnodes[0].row
        facts = {
            "MoM": values.text(first.mom) if values.text(first.mom) != host.name else None,
            "architecture": values.text(host.vnodes[0].available.get("arch")),
            "sharing": values.text(first.sharing) if first.sharing != "default_shared" else None,
            "reservation": ", ".join(
                dict.fromkeys(name for each in host.vnodes if (name := values.text(each.row.resv)))
            ),
            "partition": values.text(first.partition),
        }
        found = {label: text for label, text in facts.items() if text}
        said = dict.fromkeys(text for each in host.vnodes if (text := values.text(each.row.comment, values.LIMIT)))
        if said:
            found["comment"] = "; ".join(said)
        if len(host.vnodes) > 1:
            found["vnodes"] = str(len(host.vnodes))
            for vnode in host.vnodes[:SHOWN_VNODES]:
                found[f"vnode {vnode.name}"] = self._vnode_line(vnode)
        return found

    def _vnode_line(self, vnode: _Vnode) -> str:
        parts = [vnode.state]
        for name in ("ncpus", *self._gpus):
            total = values.count(vnode.available.get(name))
            if total:
                parts.append(f"{values.count(vnode.assigned.get(name)) or 0} of {total} {name}")
        if vnode.jobs:
            parts.append(f"jobs {', '.join(vnode.jobs[:8])}{', …' if len(vnode.jobs) > 8 else ''}")
        if comment := values.text(vnode.row.comment):
            parts.append(comment)
        return "; ".join(parts)


def _host_of(vnode: _Vnode) -> str:
    """Return the name of the host that a vnode is a part of."""
    name = values.text(vnode.available.get("host"), limit=256)
    return name or vnode.name.partition("[")[0] or vnode.name


def _jobs(value: Any) -> tuple[str, ...]:
    """Return the ids of the jobs on a vnode, each once; older releases print one text, with a slot before each."""
    words = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else ()
    ids = (clean(word.strip().rpartition("/")[2], limit=256) for word in words if isinstance(word, str))
    return tuple(dict.fromkeys(job for job in ids if job))


def _arrays(hosts: Mapping[str, _Host]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for host in hosts.values():
        for vnode in host.vnodes:
            for job in vnode.jobs:
                if match := _TASK.fullmatch(job):
                    found.setdefault(match[1] + match[2], {})[host.name] = None
    return {array: tuple(names) for array, names in found.items()}


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _reason(host: _Host, bearing: list[_Vnode], state: NodeState) -> str | None:
    """Return the comments on a host, and which of its vnodes are out of order while others work."""
    parts: list[str] = []
    if state in _WELL and len(bearing) > 1:
        out = [f"{vnode.name} {vnode.state}" for vnode in bearing if vnode.told not in _WELL]
        if out:
            parts.append("; ".join(out[:8]))
    comments = dict.fromkeys(text for each in host.vnodes if (text := values.text(each.row.comment, values.LIMIT)))
    parts += comments
    return clean("; ".join(parts)) or None


def _changed_at(bearing: list[_Vnode]) -> float | None:
    times = [at for vnode in bearing if (at := values.time_at(vnode.row.changed_at)) is not None]
    return max(times, default=None)


def _queues(vnodes: list[_Vnode]) -> tuple[str, ...]:
    """Return the queues that a host serves alone: by its `queue`, or by the resource Qlist that many sites use."""
    found: dict[str, None] = {}
    for vnode in vnodes:
        for value in (vnode.row.queue, vnode.available.get("Qlist")):
            for name in (values.text(value) or "").split(","):
                if name.strip():
                    found[name.strip()] = None
    return tuple(found)


def _features(vnodes: list[_Vnode], gpus: tuple[str, ...]) -> tuple[str, ...]:
    """Return what can be asked for and is not counted: `ib_fabric=ib0`, and booleans that are true by their name."""
    found: dict[str, None] = {}
    for vnode in vnodes:
        for name, value in vnode.available.items():
            if name in _NO_FEATURES or name in gpus:
                continue
            word = clean(name, limit=128)
            if values.yes(value):
                found[word] = None
            elif isinstance(value, str) and values.yes(value) is None and values.size_bytes(value) is None and value:
                found[f"{word}={clean(value, limit=128)}"] = None
    return tuple(found)


def _model(vnodes: list[_Vnode]) -> str | None:
    found = dict.fromkeys(
        text for vnode in vnodes for name in _MODELS if (text := values.text(vnode.available.get(name), limit=128))
    )
    return "+".join(found) or None
