"""The server itself, its queues and its reservations, out of qstat -B, qstat -Q and pbs_rstat. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from console.errors import BadAnswer
from console.model import Queue, Reservation
from console.text import clean
from plugins.pbs import answers, values

_DECODER: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_VERSION = re.compile(rb'"pbs_version"\s*:\s*"([^"\\]{1,64})"')
_RSTAT = re.compile(r"([A-Za-z_][\w.]*) = (.*)", re.ASCII)
_NO_NAME = "NULL"


@dataclass(slots=True, frozen=True)
class Counters:
    """What of the server changes when jobs come, start and go. It counts what is, not what was: two changes between
    two looks may cancel each other, so lists are asked for anew now and then whatever stands here."""

    total_jobs: int | None = None
    states: str = ""
    assigned: tuple[tuple[str, str], ...] = ()
    """Resources that running jobs hold."""
    scheduling: bool | None = None


@dataclass(slots=True, frozen=True)
class Server:
    """The server at one moment."""

    name: str
    state: str | None = None
    """Active, Idle, Scheduling, Terminating, …"""
    version: str | None = None
    counters: Counters = field(default_factory=Counters)
    private: bool = False
    """Users may see their own jobs only."""
    history: bool = False
    """Jobs that are over can be asked for."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """All of it, as printed."""


def _table(answer: bytes, table: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, piece in answers.entries(answer, table, "qstat"):
        attributes = answers.decode(piece, _DECODER)
        if attributes is None:
            raise BadAnswer(f"qstat gave {name} in a form that cannot be read", clean(piece[:120]), "run it by hand")
        found.setdefault(name, attributes)
    return found


def server(answer: bytes) -> Server:
    """Read `qstat -B -f -F json`. BadAnswer when it names no server."""
    for name, attributes in _table(answer, "Server").items():
        assigned = attributes.get("resources_assigned")
        version = _VERSION.search(answer)
        return Server(
            name=name,
            state=values.text(attributes.get("server_state")),
            version=values.text(attributes.get("pbs_version")) or (clean(version[1]) if version else None),
            counters=Counters(
                total_jobs=values.count(attributes.get("total_jobs")),
                states=values.text(attributes.get("state_count")) or "",
                assigned=tuple(sorted((str(key), str(value)) for key, value in assigned.items()))
                if isinstance(assigned, dict)
                else (),
                scheduling=values.yes(attributes.get("scheduling")),
            ),
            private=values.yes(attributes.get("query_other_jobs")) is False,
            history=values.yes(attributes.get("job_history_enable")) is True,
            attributes=attributes,
        )
    raise BadAnswer("qstat -B named no server", clean(answer[:120]), "run it by hand")


def queue_attributes(answer: bytes) -> dict[str, dict[str, Any]]:
    """Return what `qstat -Q -f -F json` says of each queue, as printed."""
    return _table(answer, "Queue")


def queues(attributes: dict[str, dict[str, Any]], cluster: str, default: str | None) -> tuple[Queue, ...]:
    """Return the queues; `default`: where a job goes that names none."""
    return tuple(_queue(name, each, cluster, name == default) for name, each in attributes.items())


def _queue(name: str, attributes: dict[str, Any], cluster: str, default: bool) -> Queue:
    longest = attributes.get("resources_max")
    seconds = values.duration_s(longest.get("walltime")) if isinstance(longest, dict) else None
    return Queue(
        name=name,
        cluster=cluster,
        state=queue_state(attributes),
        default=default,
        time_limit_s=seconds,
        priority=values.whole(attributes.get("Priority")),
        missing={} if seconds is not None else {"time_limit_s": "unlimited"},
    )


def queue_state(attributes: dict[str, Any]) -> str:
    """Return `route to gpu`, `stopped`, `disabled`, both, or `started`: it takes jobs and starts them."""
    words = []
    if (values.text(attributes.get("queue_type")) or "").lower().startswith("r"):
        words.append(f"route to {values.text(attributes.get('route_destinations')) or 'nowhere'}")
    if values.yes(attributes.get("enabled")) is False:
        words.append("disabled")
    if values.yes(attributes.get("started")) is False:
        words.append("stopped")
    return ", ".join(words) or "started"


def reservations(answer: bytes, cluster: str) -> tuple[Reservation, ...]:
    """Return the reservations of `pbs_rstat -F`; each is also a queue, by whose name jobs are submitted to it."""
    found: list[Reservation] = []
    for block in re.split(r"(?m)^Resv ID: ", answer.decode("utf-8", "replace"))[1:]:
        name, _, rest = block.partition("\n")
        value: dict[str, str] = {}
        for line in rest.splitlines():
            if match := _RSTAT.fullmatch(line.strip()):
                value.setdefault(match[1], match[2])
        found.append(_reservation(clean(name.strip(), limit=256), value, cluster))
    if not found and answer.strip():
        raise BadAnswer("pbs_rstat printed something else", clean(answer[:160]), "run it by hand: pbs_rstat -F")
    return tuple(found)


def _reservation(job_id: str, value: dict[str, str], cluster: str) -> Reservation:
    hosts = tuple(dict.fromkeys(name.partition("[")[0] for name, _ in values.vnodes(value.get("resv_nodes"))))
    title = value.get("Reserve_Name", _NO_NAME)
    flags = [f"queue {value['queue']}"] if "queue" in value else []
    flags += [title] if title != _NO_NAME else []
    return Reservation(
        name=job_id,
        cluster=cluster,
        state=clean(value.get("reserve_state", "").removeprefix("RESV_").lower()) or None,
        nodes=values.fold(hosts),
        node_names=hosts if "excl" in value.get("Resource_List.place", "") else (),
        starts_at=values.time_at(value.get("reserve_start")),
        ends_at=values.time_at(value.get("reserve_end")),
        users=_people(value.get("Authorized_Users", value.get("Reserve_Owner", ""))),
        accounts=_people(value.get("Authorized_Groups", "")),
        flags=tuple(clean(flag, limit=256) for flag in flags),
    )


def _people(text: str) -> tuple[str, ...]:
    names = (clean(part.strip().partition("@")[0], limit=128) for part in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))
