"""Bytes of scontrol and sdiag to records: nodes, partitions, reservations, configuration, ping, counters. Pure.

scontrol prints `Key=value` words with no quoting. What stands in a fixed place is read by its first appearance, and
everything from the first free text on (`Reason=`, `Comment=`, `Extra=`) is read as text only, so that an operator's
words cannot change a state.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

from console.errors import BadAnswer
from console.model import Node, Queue, Reservation
from console.text import clean
from plugins.slurm import gres, hostlist, times
from plugins.slurm.jobs import LIMIT_FREE
from plugins.slurm.settings import AddressRule
from plugins.slurm.states import asleep, hidden, node_state

SLICE_LINES = 100
_FREE = re.compile(r" (Reason|Comment|Extra)=")
_OS = re.compile(r" OS=(.*) +(?=RealMemory=\d+ AllocMem=)")
_BY = re.compile(r" ?\[([^\[\]@]+)@([^\[\]@]+)\]")
_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|::1|localhost(?:\..*)?", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
_CONFIG = re.compile(r"(\S[^=]*?)\s*=\s?(.*)")
_PING = re.compile(r"Slurmctld\(([^)]*)\) at (\S+) is (UP|DOWN)")


@dataclass(slots=True, frozen=True)
class Place:
    """From where the cluster is looked at: what decides how a probe would reach a node."""

    rule: AddressRule = AddressRule.HOSTNAME
    hostname: str | None = None
    """Short name of the host that the commands run on; None when unknown."""
    here: str = "local"
    """Address of that host itself: `local`, or `ssh:login1`."""


def words(line: str) -> dict[str, str]:
    """Return the `Key=value` words of a line, each key's first appearance; words without `=` belong to nobody."""
    found: dict[str, str] = {}
    for word in line.split(" "):
        key, equals, value = word.partition("=")
        if equals and key not in found:
            found[key] = value
    return found


def _known(text: str | None, limit: int = 512) -> str | None:
    return None if text is None or text in gres.NOTHING or text == "n/a" else clean(text, limit=limit)


def _several(text: str | None) -> tuple[str, ...]:
    return tuple(clean(part, limit=256) for part in text.split(",") if part) if _known(text) and text else ()


class NodeReader:
    """Turns answers of `scontrol show node` into nodes of one cluster, remembering the lines it read before."""

    def __init__(self, cluster: str, place: Place, gres_names: tuple[str, ...] = ("gpu",)) -> None:
        self.cluster = cluster
        self.place = place
        self._gres_names = gres_names
        self._lines: dict[str, Node] = {}
        self._names: frozenset[str] = frozenset()
        self.twice: tuple[str, ...] = ()
        """Names that the last answer listed more than once: a forged line, or a broken Slurm."""

    @property
    def listed(self) -> Iterable[Node]:
        """The nodes of the last listing."""
        return self._lines.values()

    def read(self, answer: bytes) -> Generator[None, None, NodeListing]:
        """Read one answer: yields between slices, returns the listing. BadAnswer when these are not nodes."""
        text = answer.decode("utf-8", "replace")
        known: dict[str, Node] = {}
        nodes: dict[str, Node] = {}
        changed: list[Node] = []
        twice: list[str] = []
        for index, line in enumerate(_records(text, "NodeName=")):
            if index % SLICE_LINES == SLICE_LINES - 1:
                yield
            key = _VOLATILE.sub("", line)
            node = self._lines.get(key)
            if node is None:
                node = self._node(line)
                if node is None:
                    continue
            if node.name in nodes:
                twice.append(node.name)
                continue
            if key not in self._lines:
                changed.append(node)
            known[key] = nodes[node.name] = node
        names = frozenset(nodes)
        gone = tuple(sorted(self._names - names))
        self._lines, self._names, self.twice = known, names, tuple(twice)
        return NodeListing(tuple(nodes.values()), tuple(changed), gone)

    def _node(self, line: str) -> Node | None:
        fixed, free = line, ""
        if match := _FREE.search(line):
            fixed, free = line[: match.start()], line[match.start() :]
        system = None
        if match := _OS.search(fixed):
            system = clean(match[1], limit=256)
            fixed = fixed[: match.start()] + " " + fixed[match.end() :]
        value = words(fixed)
        name, state = value["NodeName"], value.get("State")
        if state is None:
            raise BadAnswer("scontrol gave a node without a state", clean(line, limit=120), "it is asked again soon")
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
        tail = _Tail(free)
        configured = gres.counts(value.get("Gres", ""), self._gres_names)
        return Node(
            name=clean(name, limit=256),
            cluster=self.cluster,
            state=node_state(state),
            scheduler_state=clean(state, limit=256),
            reason=tail.reason,
            reason_by=tail.reason_by,
            reason_at=tail.reason_at,
            partitions=_several(value.get("Partitions")),
            features=_several(value.get("ActiveFeatures") or value.get("AvailableFeatures")),
            cpus=gres.number(value.get("CPUTot", "")),
            cpus_allocated=gres.number(value.get("CPUAlloc", "")),
            memory_total_bytes=gres.memory_bytes(value.get("RealMemory", "")),
            memory_allocated_bytes=gres.memory_bytes(value.get("AllocMem", "")),
            accelerators_total=total,
            accelerators_allocated=used,
            accelerator_model=gres.models(configured) or gres.models(self._tres(value, "CfgTRES")),
            booted_at=times.epoch(value.get("BootTime", "")),
            address=address,
            detail=_detail(value, system, tail),
            missing=missing,
        )

    def _tres(self, value: dict[str, str], key: str) -> dict[str, int]:
        return gres.counts(value.get(key, ""), self._gres_names)

    def _accelerators(self, value: dict[str, str]) -> tuple[int | None, int | None]:
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

    def _address(self, value: dict[str, str], state: str) -> tuple[str | None, str | None]:
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


class _Tail:
    """The free text at the end of a node's line."""

    def __init__(self, text: str) -> None:
        parts: dict[str, str] = {}
        matches = list(_FREE.finditer(text))
        for index, match in enumerate(matches):
            end = matches[index + 1].start() if index + 1 < len(matches) else len(text)
            parts.setdefault(match[1], text[match.end() : end])
        self.reservation: str | None = None
        last = matches[-1][1] if matches else ""
        if last in parts:
            body, found, name = parts[last].rpartition(" ReservationName=")
            if found:
                parts[last], self.reservation = body, _known(name.strip())
        self.comment = _known(parts.get("Comment", "").strip(), LIMIT_FREE)
        self.extra = _known(parts.get("Extra", "").strip(), LIMIT_FREE)
        self.reason, self.reason_by, self.reason_at = _reason(parts.get("Reason", ""))


def _reason(text: str) -> tuple[str | None, str | None, float | None]:
    """Split `bad dimm [root@1795478125]`; who and when stand at the end of the first line of a longer text."""
    found = list(_BY.finditer(text))
    by = at = None
    if found:
        match = found[-1]
        by, at = clean(match[1], limit=128), times.epoch(match[2])
        text = text[: match.start()] + " " + text[match.end() :]
    text = re.sub(r" {2,}", " ", clean(text, limit=LIMIT_FREE).strip())
    return text or None, by, at


def _detail(value: dict[str, str], system: str | None, tail: _Tail) -> dict[str, str]:
    facts = (
        ("slurmd", value.get("Version")),
        ("OS", system),
        ("architecture", value.get("Arch")),
        ("GRES", value.get("Gres")),
        ("GRES in use", value.get("GresUsed")),
        ("GRES drained", value.get("GresDrain")),
        ("NodeAddr", value.get("NodeAddr") if value.get("NodeAddr") != value["NodeName"] else None),
        ("owner", value.get("Owner")),
        ("reservation", tail.reservation or value.get("ReservationName")),
    )
    detail = {label: shown for label, text in facts if (shown := _known(text)) is not None}
    free = (("comment", tail.comment), ("extra", tail.extra))
    return detail | {label: text for label, text in free if text is not None}


def _records(text: str, start: str) -> Iterator[str]:
    """Yield the records of a one-line listing: a line that does not begin one belongs to the one before.

    BadAnswer when the text begins with something else.
    """
    current = ""
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end]
        position = end + 1
        if line.startswith(start):
            if current:
                yield current
            current = line
        elif current:
            current += " " + line
        elif line.strip() and not line.startswith("No "):
            raise BadAnswer(
                f"scontrol printed something else: {clean(line, limit=160)}",
                "scontrol",
                "is scontrol replaced by a wrapper here? it must print what Slurm prints",
            )
    if current:
        yield current


def partitions(answer: bytes, cluster: str) -> tuple[Queue, ...]:
    """Return the partitions of `scontrol -o show partition`."""
    found: dict[str, Queue] = {}
    for line in _records(answer.decode("utf-8", "replace"), "PartitionName="):
        value = words(line)
        seconds, why = times.limit(value.get("MaxTime", ""))
        name = clean(value["PartitionName"], limit=256)
        found.setdefault(
            name,
            Queue(
                name=name,
                cluster=cluster,
                state=_known(value.get("State")),
                default=value.get("Default") == "YES",
                nodes_total=gres.number(value.get("TotalNodes", "")),
                nodes=_known(value.get("Nodes")),
                time_limit_s=seconds,
                priority=gres.number(value.get("PriorityTier", "")),
                missing={} if why is None else {"time_limit_s": why},
            ),
        )
    return tuple(found.values())


def reservations(answer: bytes, cluster: str) -> tuple[Reservation, ...]:
    """Return the reservations of `scontrol -o show reservation`."""
    found: dict[str, Reservation] = {}
    for line in _records(answer.decode("utf-8", "replace"), "ReservationName="):
        value = words(line)
        name = clean(value["ReservationName"], limit=256)
        found.setdefault(
            name,
            Reservation(
                name=name,
                cluster=cluster,
                state=_known(value.get("State")),
                nodes=_known(value.get("Nodes")),
                node_names=tuple([clean(each) for each in hostlist.expand(value.get("Nodes", "")) or ()]),
                starts_at=times.epoch(value.get("StartTime", "")),
                ends_at=times.epoch(value.get("EndTime", "")),
                users=_several(value.get("Users")),
                accounts=_several(value.get("Accounts")),
                flags=_several(value.get("Flags")),
            ),
        )
    return tuple(found.values())


@dataclass(slots=True, frozen=True)
class Controller:
    """One slurmctld as `scontrol ping` saw it."""

    role: str
    """primary | backup | backup1 | …"""
    host: str
    up: bool


def controllers(answer: bytes) -> tuple[Controller, ...]:
    """Return the controllers of `scontrol ping` (and of the end of `scontrol show config`)."""
    text = answer.decode("utf-8", "replace")
    return tuple(
        Controller(role=clean(match[1]), host=clean(match[2]), up=match[3] == "UP") for match in _PING.finditer(text)
    )


@dataclass(slots=True, frozen=True)
class Config:
    """What matters here of slurmctld's configuration."""

    cluster_name: str | None = None
    version: str | None = None
    private: frozenset[str] = frozenset()
    """Words of PrivateData: jobs, nodes, reservations, …"""
    controllers: tuple[Controller, ...] = ()
    booted_at: float | None = None


def config(answer: bytes) -> Config:
    """Read `scontrol show config`. BadAnswer when it is something else."""
    found: dict[str, str] = {}
    for line in answer.decode("utf-8", "replace").splitlines():
        if match := _CONFIG.fullmatch(line.rstrip()):
            found.setdefault(match[1], match[2])
    if "SLURM_VERSION" not in found and "ClusterName" not in found:
        raise BadAnswer("scontrol show config printed no configuration", "scontrol", "run it by hand")
    private = found.get("PrivateData", "none")
    return Config(
        cluster_name=_known(found.get("ClusterName")),
        version=_known(found.get("SLURM_VERSION")),
        private=frozenset(part.strip() for part in private.split(",") if part.strip() not in ("", "none")),
        controllers=controllers(answer),
        booted_at=times.epoch(found.get("BOOT_TIME", "")),
    )


def conf_cluster_name(text: str) -> str | None:
    """Return ClusterName out of the text of a slurm.conf, whose keys know no case."""
    match = re.search(r"(?im)^\s*ClusterName\s*=\s*\"?([^\s#\"]+)", text)
    return clean(match[1], limit=64) if match else None


@dataclass(slots=True, frozen=True)
class Counters:
    """What slurmctld counted since it started, by sdiag."""

    since: int | None = None
    jobs: dict[str, int] = field(default_factory=dict)
    """submitted, started, completed, canceled, failed"""
    requests: dict[str, int] = field(default_factory=dict)
    """Message type to how many came."""


_SINCE = re.compile(r"^Data since .*\((\d+)\)", re.MULTILINE)
_JOBS = re.compile(r"^Jobs (submitted|started|completed|canceled|failed):\s*(\d+)", re.MULTILINE)
_REQUESTS = re.compile(r"^\s+([A-Z][A-Z0-9_]+|[0-9]+)\s+\(\s*\d+\)\s+count:(\d+)", re.MULTILINE)


def counters(answer: bytes) -> Counters:
    """Read sdiag. BadAnswer when it is something else."""
    text = answer.decode("utf-8", "replace")
    jobs = {match[1]: int(match[2]) for match in _JOBS.finditer(text)}
    if "submitted" not in jobs:
        raise BadAnswer("sdiag printed no counters", clean(text, limit=120), "run sdiag by hand")
    since = _SINCE.search(text)
    by_type = text.partition("by message type")[2].partition("by user")[0]
    return Counters(
        since=int(since[1]) if since else None,
        jobs=jobs,
        requests={match[1]: int(match[2]) for match in _REQUESTS.finditer(by_type)},
    )


_UNKNOWN_FIELD = re.compile(r"Invalid job format specification: (\S+)")


def unknown_fields(stderr: bytes) -> tuple[str, ...]:
    """Return the fields that squeue says it does not know; it leaves them out and goes on."""
    return tuple(clean(name) for name in _UNKNOWN_FIELD.findall(stderr.decode("utf-8", "replace")))
