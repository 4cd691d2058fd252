"""Nodes of a cluster out of what Slurm tells of them, with a memory of what was read before. Pure.

scontrol prints `Key=value` words with no quoting. What stands in a fixed place is read by its first appearance, and
everything from the first free text on (`Reason=`, `Comment=`, `Extra=`) is read as text only, so that an operator's
words cannot change a state.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from console.errors import BadAnswer
from console.model import Node
from console.text import clean
from plugins.slurm import gres, times
from plugins.slurm.jobs import LIMIT_FREE
from plugins.slurm.parse import known, records, several, words
from plugins.slurm.settings import AddressRule
from plugins.slurm.states import asleep, hidden, node_state

SLICE_LINES = 100
_FREE = re.compile(r" (Reason|Comment|Extra)=")
_OS = re.compile(r" OS=(.*) +(?=RealMemory=\d+ AllocMem=)")
_BY = re.compile(r" ?\[([^\[\]@]+)@([^\[\]@]+)\]")
_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|::1|localhost(?:\..*)?", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)

Row = TypeVar("Row")


@dataclass(slots=True, frozen=True)
class Place:
    """From where the cluster is looked at: what decides how a probe would reach a node."""

    rule: AddressRule = AddressRule.HOSTNAME
    hostname: str | None = None
    """Short name of the host that the commands run on; None when unknown."""
    here: str = "local"
    """Address of that host itself: `local`, or `ssh:login1`."""


class NodeReader:
    """Turns what Slurm tells of nodes into records of one cluster, remembering what it read before."""

    def __init__(self, cluster: str, place: Place, gres_names: tuple[str, ...] = ("gpu",)) -> None:
        self.cluster = cluster
        self.place = place
        self._gres_names = gres_names
        self._rows: dict[Hashable, Node] = {}
        self._names: frozenset[str] = frozenset()
        self.twice: tuple[str, ...] = ()
        """Names that the last answer listed more than once: a forged line, or a broken Slurm."""

    @property
    def listed(self) -> Iterable[Node]:
        """The nodes of the last listing."""
        return self._rows.values()

    def read(self, answer: bytes) -> Generator[None, None, NodeListing]:
        """Read an answer of scontrol: yields between slices, returns the listing. BadAnswer: these are not nodes."""
        lines = records(answer.decode("utf-8", "replace"), "NodeName=")
        return self.take(((_VOLATILE.sub("", line), line) for line in lines), described)

    def take(
        self, rows: Iterable[tuple[Hashable, Row]], describe: Callable[[Row], Described]
    ) -> Generator[None, None, NodeListing]:
        """Take all nodes, however they came: each with a key that is the same as long as its record is.

        Yields between slices, returns the listing. BadAnswer as `describe` raises it; nothing is remembered then.
        """
        known: dict[Hashable, Node] = {}
        nodes: dict[str, Node] = {}
        changed: list[Node] = []
        twice: list[str] = []
        for index, (key, row) in enumerate(rows):
            if index % SLICE_LINES == SLICE_LINES - 1:
                yield
            node = self._rows.get(key)
            if node is None:
                node = self.node(describe(row))
                if node is None:
                    continue
            if node.name in nodes:
                twice.append(node.name)
                continue
            if key not in self._rows:
                changed.append(node)
            known[key] = nodes[node.name] = node
        names = frozenset(nodes)
        gone = tuple(sorted(self._names - names))
        self._rows, self._names, self.twice = known, names, tuple(twice)
        return NodeListing(tuple(nodes.values()), tuple(changed), gone)

    def node(self, told: Described) -> Node | None:
        """Return one node; None for one that exists in the configuration only."""
        value, tail = told.value, told.tail
        name, state = value["NodeName"], value["State"]
        if hidden(state):
            return None
        total, used = self._accelerators(value)
        missing: dict[str, str] = {}
        if total is None:
            missing["accelerators_total"] = "Slurm counts no GRES of this node"
        if used is None:
            missing["accelerators_allocated"] = "Slurm does not tell the GRES in use"
        address, why_not = self._address(value, state)
        if address is None and why_not:
            missing["address"] = why_not
        configured = gres.counts(value.get("Gres", ""), self._gres_names)
        return Node(
            name=clean(name, limit=256),
            cluster=self.cluster,
            state=node_state(state),
            scheduler_state=clean(state, limit=256),
            reason=tail.reason,
            reason_by=tail.reason_by,
            reason_at=tail.reason_at,
            partitions=several(value.get("Partitions")),
            features=several(value.get("ActiveFeatures") or value.get("AvailableFeatures")),
            cpus=gres.number(value.get("CPUTot", "")),
            cpus_allocated=gres.number(value.get("CPUAlloc", "")),
            memory_total_bytes=gres.memory_bytes(value.get("RealMemory", "")),
            memory_allocated_bytes=gres.memory_bytes(value.get("AllocMem", "")),
            accelerators_total=total,
            accelerators_allocated=used,
            accelerator_model=gres.models(configured) or gres.models(self._tres(value, "CfgTRES")),
            booted_at=times.epoch(value.get("BootTime", "")),
            address=address,
            detail=_detail(told),
            missing=missing,
        )

    def _tres(self, value: Mapping[str, str], key: str) -> dict[str, int]:
        return gres.counts(value.get(key, ""), self._gres_names)

    def _accelerators(self, value: Mapping[str, str]) -> tuple[int | None, int | None]:
        """Return how many the node has and how many are allocated. Slurm's own counts first, TRES where they lack."""
        if "Gres" not in value and "CfgTRES" not in value:
            return None, None
        total = gres.total(gres.counts(value.get("Gres", ""), self._gres_names))
        total = total or gres.total(self._tres(value, "CfgTRES"))
        if total == 0:
            return 0, 0
        used = value.get("GresUsed")
        if used is not None:
            return total, gres.total(gres.counts(used, self._gres_names))
        held = self._tres(value, "AllocTRES")
        if held or not gres.tres(value.get("AllocTRES", "")):
            return total, gres.total(held)
        counted = "gres/" in value.get("CfgTRES", "")
        return total, 0 if counted else None

    def _address(self, value: Mapping[str, str], state: str) -> tuple[str | None, str | None]:
        """Return how our probe would reach the node, or why it should not try."""
        rule = self.place.rule
        if rule is AddressRule.NONE:
            return None, 'address = "none" for this cluster'
        if asleep(state):
            return None, "switched off to save power"
        name, host, at = value["NodeName"], value.get("NodeHostName", ""), value.get("NodeAddr", "")
        if _LOOPBACK.fullmatch(at) or (self.place.hostname and host.partition(".")[0] == self.place.hostname):
            return self.place.here, None
        chosen = {AddressRule.NAME: name, AddressRule.ADDR: at}.get(rule, host) or name
        return (f"ssh:{chosen}", None) if _HOST.fullmatch(chosen) else (None, "a name that no host can have")


@dataclass(slots=True)
class NodeListing:
    """One answer of scontrol, against the one before."""

    nodes: tuple[Node, ...]
    changed: tuple[Node, ...]
    gone: tuple[str, ...]


_VOLATILE = re.compile(r" (?:CPULoad|FreeMem|LastBusyTime|CurrentWatts|AveWatts)=\S*")
"""What no record holds and changes all the time."""


@dataclass(slots=True, frozen=True)
class Tail:
    """What people wrote about a node."""

    reason: str | None = None
    reason_by: str | None = None
    reason_at: float | None = None
    comment: str | None = None
    extra: str | None = None
    reservation: str | None = None


@dataclass(slots=True, frozen=True)
class Described:
    """One node in the words of scontrol; `value` has NodeName and State at least."""

    value: Mapping[str, str]
    system: str | None = None
    tail: Tail = Tail()


def described(line: str) -> Described:
    """Read one line of `scontrol -o show node`. BadAnswer when it has no state."""
    fixed, tail = line, ""
    if match := _FREE.search(line):
        fixed, tail = line[: match.start()], line[match.start() :]
    system = None
    if match := _OS.search(fixed):
        system = clean(match[1].strip(), limit=256)
        fixed = fixed[: match.start()] + " " + fixed[match.end() :]
    value = words(fixed)
    if "State" not in value:
        raise BadAnswer("scontrol gave a node without a state", clean(line, limit=120), "it is asked again soon")
    return Described(value, system, _tail(tail))


def _tail(text: str) -> Tail:
    """Read the free text at the end of a node's line."""
    parts: dict[str, str] = {}
    matches = list(_FREE.finditer(text))
    for index, match in enumerate(matches):
        end = matches[index + 1].start() if index + 1 < len(matches) else len(text)
        parts.setdefault(match[1], text[match.end() : end])
    reservation: str | None = None
    last = matches[-1][1] if matches else ""
    if last in parts:
        body, found, name = parts[last].rpartition(" ReservationName=")
        if found:
            parts[last], reservation = body, known(name.strip())
    reason, by, at = _reason(parts.get("Reason", ""))
    comment, extra = free(parts.get("Comment", "")), free(parts.get("Extra", ""))
    return Tail(reason, by, at, comment, extra, reservation)


def free(text: str) -> str | None:
    """Return what somebody wrote, whole, in one line."""
    return known(text.replace("\n", " ").strip(), LIMIT_FREE)


def plain_reason(text: str) -> str | None:
    """Return a reason without who gave it."""
    return re.sub(r" {2,}", " ", clean(text.replace("\n", " "), limit=LIMIT_FREE).strip()) or None


def _reason(text: str) -> tuple[str | None, str | None, float | None]:
    """Split `bad dimm [root@1795478125]`; who and when stand at the end of the first line of a longer text."""
    found = list(_BY.finditer(text))
    by = at = None
    if found:
        match = found[-1]
        by, at = clean(match[1], limit=128), times.epoch(match[2])
        text = text[: match.start()] + " " + text[match.end() :]
    return plain_reason(text), by, at


def _detail(told: Described) -> dict[str, str]:
    value, tail = told.value, told.tail
    facts = (
        ("slurmd", value.get("Version")),
        ("OS", told.system),
        ("architecture", value.get("Arch")),
        ("GRES", value.get("Gres")),
        ("GRES in use", value.get("GresUsed")),
        ("GRES drained", value.get("GresDrain")),
        ("NodeAddr", value.get("NodeAddr") if value.get("NodeAddr") != value["NodeName"] else None),
        ("owner", value.get("Owner")),
        ("reservation", tail.reservation or value.get("ReservationName")),
    )
    detail = {label: shown for label, text in facts if (shown := known(text)) is not None}
    written = (("comment", tail.comment), ("extra", tail.extra))
    return detail | {label: text for label, text in written if text is not None}
