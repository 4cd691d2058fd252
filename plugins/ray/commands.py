"""The requests that are made, and nothing else: pure, no I/O. All are GET but the one that stops a job."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from console.transport.http import Query

LIST_LIMIT = 10_000
"""More rows the dashboard gives nobody (RAY_MAX_LIMIT_FROM_API_SERVER)."""
TASK_LIMIT = 1_000
"""Tasks of one job that are looked at to say what it waits for, or what went wrong."""


@dataclass(slots=True, frozen=True)
class Request:
    """One question: a quoted path, its query, and how many bytes of answer are taken."""

    path: str
    query: Query = ()
    limit_bytes: int = 64 << 20


VERSION = Request("/api/version", limit_bytes=1 << 20)
NODES = Request("/nodes", (("view", "summary"), ("nocache", 1)), limit_bytes=128 << 20)
"""Every node with its host name, its state and what is in use; the dashboard's own page asks this every few seconds.
Seven kilobytes a node. Its cache gives whoever asks rarely what was true when somebody asked last, so it is passed by.
"""
JOBS = Request("/api/jobs/", limit_bytes=128 << 20)
"""Jobs of the jobs API and drivers that connected by themselves; failed ones bring the end of their log along."""
STATUS = Request("/api/cluster_status", limit_bytes=16 << 20)
"""What the autoscaler sees and does."""


def job(job_id: str) -> Request:
    """One job, by its submission id or its job id."""
    return Request(f"/api/jobs/{quote(job_id, safe='')}", limit_bytes=4 << 20)


def stop(job_id: str) -> str:
    """Return the path that a POST stops a job by; drivers that connected by themselves have none."""
    return f"/api/jobs/{quote(job_id, safe='')}/stop"


def groups() -> Request:
    """All placement groups that Ray remembers, with their bundles."""
    return _listing("placement_groups", LIST_LIMIT)


def actors(*, state: str | None = None, job: str | None = None) -> Request:
    """Actors with what they need: in one state, or of one job (its Ray job id, hexadecimal)."""
    return _listing("actors", LIST_LIMIT, state=state, job_id=job)


def tasks(state: str, *, job: str | None = None) -> Request:
    """Tasks in one state, of one job or of all, with what they need."""
    return _listing("tasks", TASK_LIMIT if job else LIST_LIMIT, job_id=job, state=state)


def task_counts(job: str) -> Request:
    """Tasks of one job, counted by function and state where they are kept."""
    return Request("/api/v0/tasks/summarize", _filters(job_id=job), limit_bytes=16 << 20)


def log_files(node: str, glob: str) -> Request:
    """Names of log files on one node (its Ray node id)."""
    return Request("/api/v0/logs", (("node_id", node), ("glob", glob), ("timeout", 10)), limit_bytes=8 << 20)


def log(node: str, file: str, lines: int, *, follow: bool) -> Request:
    """The last lines of a log file on one node and, when followed, what is written from then on, looked at each second.

    `lines` is at least 1: the dashboard takes 0 for a thousand.
    """
    query: Query = (("node_id", node), ("filename", file), ("lines", lines))
    return Request("/api/v0/logs/stream", (*query, ("interval", 1))) if follow else Request("/api/v0/logs/file", query)


def _listing(what: str, limit: int, **wanted: str | None) -> Request:
    return Request(f"/api/v0/{what}", (*_filters(**wanted), ("limit", limit), ("detail", "1")))


def _filters(**wanted: str | None) -> Query:
    return tuple(
        pair
        for key, value in wanted.items()
        if value is not None
        for pair in (("filter_keys", key), ("filter_predicates", "="), ("filter_values", value))
    )
