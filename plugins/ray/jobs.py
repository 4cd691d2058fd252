"""Jobs out of the jobs API, with what they hold. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from console.model import Job, JobState
from console.text import clean
from plugins.ray import held, holdings, hosts, resources
from plugins.ray.holdings import Holding
from plugins.ray.wire import JobRow

STATES = {
    "PENDING": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "SUCCEEDED": JobState.COMPLETED,
    "FAILED": JobState.FAILED,
    "STOPPED": JobState.CANCELLED,
}
CONNECTED = "driver that connected by itself"
"""What a job is that nobody submitted."""
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_LOG = re.compile(r"[,.]? *last available logs.*", re.DOTALL | re.IGNORECASE)
_NOT_IN_RAY = {
    "user": "Ray knows no users",
    "queue": "Ray has no queues",
    "priority": "Ray has no priorities",
    "time_limit_s": "Ray has no time limits",
}
_METADATA = 8
"""How much of a job's metadata is shown."""
_OWN_METADATA = ("job_submission_id", "job_name")


@dataclass(slots=True, frozen=True)
class World:
    """What is known beside the jobs themselves."""

    cluster: str
    names: Mapping[str, str]
    """Ray node id to the name of its record."""
    holdings: Mapping[str, Holding] | None
    """None: this Ray does not tell."""
    why_no_holdings: str = ""


def job_id(row: JobRow) -> str | None:
    """Return the id that the record has; None: a row that is no job."""
    return clean(text, limit=256) if (text := row.id) else None


def read(row: JobRow, world: World) -> Job | None:
    """Return one job; None for a row without an id."""
    identity = job_id(row)
    if identity is None:
        return None
    state = STATES.get(row.status or "", JobState.UNKNOWN)
    holding, why_not = _holding(row, state, world)
    nodes = _nodes(row, holding, world) if state is not JobState.PENDING else ()
    missing = dict(_NOT_IN_RAY)
    memory = None if holding is None else round(holding.held.get("memory", 0.0)) or None
    if holding is None:
        missing |= dict.fromkeys(("accelerators", "cpus", "memory_bytes"), why_not)
    elif memory is None:
        missing["memory_bytes"] = "it asked Ray for no memory, and takes what it takes"
    if not nodes:
        missing["nodes"] = "no place yet" if state is JobState.PENDING else "Ray does not tell where it ran"
    submitted, ended = _seconds(row.start_time), _seconds(row.end_time)
    return Job(
        id=identity,
        cluster=world.cluster,
        name=clean(row.entrypoint or "", limit=4096),
        state=state,
        scheduler_state=clean(row.status, limit=64) if row.status else None,
        reason=reason(row, holding),
        nodes=hosts.fold(nodes) or None,
        node_names=nodes,
        node_count=len(nodes) or None,
        cpus=None if holding is None else resources.whole(holding.held.get("CPU", 0.0)),
        memory_bytes=memory,
        accelerators=None if holding is None else resources.whole(resources.accelerators(holding.held)),
        submitted_at=submitted,
        started_at=submitted if state is not JobState.PENDING else None,
        ends_at=ended,
        exit_code=row.driver_exit_code,
        detail=_detail(row, holding, world),
        missing=missing,
    )


def ended_before(row: JobRow, when: float) -> bool:
    """Whether a job ended, and before that moment."""
    ended = _seconds(row.end_time)
    return row.status in _ENDED and ended is not None and ended < when


def reason(row: JobRow, holding: Holding | None) -> str | None:
    """Return why it waits or how it ended, in one line; of one that runs: what of it still has no place."""
    if row.status == "RUNNING":
        if holding is None or not holding.wants:
            return None
        return "waits for room: " + "; ".join(
            f"{f'{count} × ' if count > 1 else ''}{want.what} ({resources.counted(want.bundles)})"
            for want, count in holdings.merged(holding.wants)[:3]
        )
    if row.status == "SUCCEEDED":
        return None
    said = _LOG.sub("", clean(row.message or "", limit=4096)).strip()
    if row.error_type and row.error_type != "JOB_ENTRYPOINT_COMMAND_ERROR":
        kind = clean(row.error_type, limit=64)
        said = f"{kind}: {said}" if said else kind
    return clean(said, limit=400) or None


def _holding(row: JobRow, state: JobState, world: World) -> tuple[Holding | None, str]:
    """Return what it holds, or None and why that is not known."""
    if state is not JobState.RUNNING:
        return None, "Ray tells what a job holds only while it runs"
    if world.holdings is None:
        return None, world.why_no_holdings
    return world.holdings.get(row.job_id or "", Holding()), ""


def _nodes(row: JobRow, holding: Holding | None, world: World) -> tuple[str, ...]:
    """Return where it runs or where its driver ran, as the node records are named."""
    ids = set(holding.nodes) if holding else set()
    if row.driver_node_id:
        ids.add(row.driver_node_id)
    return tuple(sorted({world.names[node] for node in ids if node in world.names}))


def _seconds(milliseconds: float | None) -> float | None:
    return milliseconds / 1000 if milliseconds and math.isfinite(milliseconds) else None


def _detail(row: JobRow, holding: Holding | None, world: World) -> dict[str, str]:
    environment = (row.runtime_env or {}).get("env_vars")
    driver = row.driver_info
    metadata = {
        key: clean(str(value), limit=128) for key, value in (row.metadata or {}).items() if key not in _OWN_METADATA
    }
    host = world.names.get(row.driver_node_id or "")
    where = host or (driver.node_ip_address if driver else None)
    facts: list[tuple[str, str | None]] = [
        ("kind", CONNECTED if row.type == "DRIVER" else "submitted"),
        ("Ray job", row.job_id),
        ("held by", held.holder(row.metadata, environment if isinstance(environment, dict) else None)),
        ("driver", f"{where}, process {driver.pid}" if driver and driver.pid and where else where),
        ("metadata", ", ".join(f"{key}={value}" for key, value in sorted(metadata.items())[:_METADATA])),
    ]
    if holding is not None:
        held_now = {name: amount for name, amount in holding.held.items() if amount > 0}
        facts += [
            ("holds", resources.words(held_now) if held_now else None),
            ("placement groups", holdings.sentence(holding.groups)),
            ("actors", holdings.sentence(holding.actors)),
            ("actor restarts", str(holding.restarts) if holding.restarts else None),
        ]
    return {label: clean(text, limit=512) for label, text in facts if text}
