"""Bytes of scontrol and sdiag to records: partitions, reservations, configuration, ping, counters. Pure.

scontrol prints `Key=value` words with no quoting; a word is read by its first appearance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from console.errors import BadAnswer
from console.model import Queue, Reservation
from console.text import clean
from plugins.slurm import gres, hostlist, times

Named = TypeVar("Named", Queue, Reservation)
_CONFIG = re.compile(r"(\S[^=]*?)\s*=\s?(.*)")
_PING = re.compile(r"Slurmctld\(([^)]*)\) at (\S+) is (UP|DOWN)")


def words(line: str) -> dict[str, str]:
    """Return the `Key=value` words of a line, each key's first appearance; words without `=` belong to nobody."""
    found: dict[str, str] = {}
    for word in line.split(" "):
        key, equals, value = word.partition("=")
        if equals and key not in found:
            found[key] = value
    return found


def known(text: str | None, limit: int = 512) -> str | None:
    """Return a cleaned word; None for the ways in which Slurm says that there is none."""
    return None if text is None or text in gres.NOTHING or text == "n/a" else clean(text, limit=limit)


def several(text: str | None) -> tuple[str, ...]:
    """Return the words of a list with commas."""
    return tuple(clean(part, limit=256) for part in text.split(",") if part) if known(text) and text else ()


def records(text: str, start: str) -> Iterator[str]:
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
    lines = records(answer.decode("utf-8", "replace"), "PartitionName=")
    return unique(partition(words(line), cluster) for line in lines)


def reservations(answer: bytes, cluster: str) -> tuple[Reservation, ...]:
    """Return the reservations of `scontrol -o show reservation`."""
    lines = records(answer.decode("utf-8", "replace"), "ReservationName=")
    return unique(reservation(words(line), cluster) for line in lines)


def unique(found: Iterable[Named]) -> tuple[Named, ...]:
    """Return them in order; of two with one name the first counts."""
    kept: dict[str, Named] = {}
    for each in found:
        kept.setdefault(each.name, each)
    return tuple(kept.values())


def partition(value: Mapping[str, str], cluster: str) -> Queue:
    """Return one partition, by the words of scontrol."""
    seconds, why = times.limit(value.get("MaxTime", ""))
    return Queue(
        name=clean(value["PartitionName"], limit=256),
        cluster=cluster,
        state=known(value.get("State")),
        default=value.get("Default") == "YES",
        nodes_total=gres.number(value.get("TotalNodes", "")),
        nodes=known(value.get("Nodes")),
        time_limit_s=seconds,
        priority=gres.number(value.get("PriorityTier", "")),
        missing={} if why is None else {"time_limit_s": why},
    )


def reservation(value: Mapping[str, str], cluster: str) -> Reservation:
    """Return one reservation, by the words of scontrol."""
    return Reservation(
        name=clean(value["ReservationName"], limit=256),
        cluster=cluster,
        state=known(value.get("State")),
        nodes=known(value.get("Nodes")),
        node_names=tuple([clean(each) for each in hostlist.expand(value.get("Nodes", "")) or ()]),
        starts_at=times.epoch(value.get("StartTime", "")),
        ends_at=times.epoch(value.get("EndTime", "")),
        users=several(value.get("Users")),
        accounts=several(value.get("Accounts")),
        flags=several(value.get("Flags")),
    )


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
        cluster_name=known(found.get("ClusterName")),
        version=known(found.get("SLURM_VERSION")),
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
