"""The Jobs table: one row a job or a folded array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from console.model import Job, JobState, SourceState, source_name
from console.render import nodes, units
from console.render.cells import Cell
from console.render.glyphs import JOB_SIGNS
from console.render.spark import heat_style
from console.render.tables.base import Column, RowId, Table, natural_key
from console.render.view import View
from console.store import Changes, NodeView, Store

_ACTIVE = (JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED)


@dataclass(slots=True)
class JobRow:
    """One job."""

    view: View
    job: Job


def rows(store: Store) -> list[RowId]:
    """Return (cluster, id) of all jobs, as their sources listed them."""
    return list(store.jobs)


def row(view: View, row_id: RowId) -> JobRow | None:
    """Return one job."""
    job = view.store.jobs.get(row_id) if isinstance(row_id, tuple) and len(row_id) == 2 else None
    return None if job is None else JobRow(view, job)


def changed(store: Store, changes: Changes) -> set[RowId]:
    """Return the jobs that changed and still exist."""
    return {key for key in changes.jobs if key in store.jobs}


def elapsed(row: JobRow) -> float | None:
    """Seconds that it has run; None while it waits."""
    job = row.job
    if job.started_at is None or job.state in (JobState.PENDING, JobState.HELD):
        return None
    if job.state.ended:
        return None if job.ends_at is None else max(job.ends_at - job.started_at, 0.0)
    return max(row.view.now - job.started_at, 0.0)


def left(row: JobRow) -> float | None:
    """Seconds until its limit; None unless it runs under one."""
    job = row.job
    if job.state not in _ACTIVE:
        return None
    if job.ends_at is not None:
        return max(job.ends_at - row.view.now, 0.0)
    if job.started_at is None or job.time_limit_s is None:
        return None
    return max(job.started_at + job.time_limit_s - row.view.now, 0.0)


def waited(row: JobRow) -> float | None:
    """Seconds between its submission and its start, or now."""
    job = row.job
    if job.submitted_at is None:
        return None
    return max((job.started_at or row.view.now) - job.submitted_at, 0.0)


def start(row: JobRow) -> float | None:
    """When it started, or is expected to."""
    return row.job.started_at or row.job.expected_start_at


def _ago(row: JobRow, at: float | None) -> float | None:
    return None if at is None else row.view.now - at


def job_nodes(row: JobRow) -> list[NodeView]:
    """Return the nodes that it runs on, as far as the store knows them, in the job's own (rank) order."""
    if row.job.state not in _ACTIVE:
        return []
    store = row.view.store
    found: list[NodeView] = []
    for name in row.job.node_names:
        node = store.nodes.get(store.key(row.job.cluster, name))
        if node is not None:
            found.append(node)
    return found


def _all_nodes(row: JobRow) -> Iterator[NodeView]:
    """Yield the nodes that it runs or ran on; of one that the store does not list no more than its name is known."""
    store = row.view.store
    for name in row.job.node_names:
        key = store.key(row.job.cluster, name)
        yield store.nodes.get(key) or NodeView(key)


def utilization(row: JobRow) -> float | None:
    """Mean utilisation of all GPUs of its nodes, percent; asked for visible rows only on large jobs."""
    return nodes.mean(gpu.utilization_percent for node in job_nodes(row) for gpu in nodes.accelerators(node))


def cpu_used(row: JobRow) -> float | None:
    """CPU time used of the CPU time held, percent; known of ended jobs, from accounting."""
    return None if row.job.usage is None else row.job.usage.cpu_percent


def _state(row: JobRow) -> Cell:
    return row.view.glyphs.state(JOB_SIGNS[row.job.state])


def _old_words(row: JobRow) -> bool:
    """Whether the source that lists this job does not answer now."""
    store = row.view.store
    cluster = store.clusters.get(row.job.cluster)
    status = store.sources.get(source_name(cluster.kind.value, cluster.name, "jobs")) if cluster else None
    return status is not None and status.state not in (SourceState.OK, SourceState.CONNECTING)


def _id(row: JobRow) -> Cell:
    return Cell(row.job.id, "name")


def _gpus(row: JobRow) -> Cell:
    return row.view.number(units.number(row.job.accelerators, row.view.missing))


def _left(row: JobRow) -> Cell:
    value = left(row)
    return row.view.number(
        units.duration(value, row.view.missing), "warn" if value is not None and value < 600 else "text"
    )


def reason(job: Job) -> str | None:
    """Return why it waits or ended; nothing for a job that simply runs."""
    if job.reason and job.reason.lower() not in ("none", "(null)"):
        return job.reason
    return f"exit code {job.exit_code}" if job.state is JobState.FAILED and job.exit_code else None


def where(job: Job) -> str | None:
    """Return its nodes folded, or why it has none."""
    return job.nodes or None


def _util(row: JobRow) -> Cell:
    value = utilization(row)
    return row.view.number(units.percent(value, row.view.missing), heat_style(None if value is None else value / 100))


def _start(row: JobRow) -> Cell:
    at = start(row)
    text = units.clock(at, row.view.now, row.view.missing)
    if at is not None and row.job.started_at is None:
        return Cell(text, "info")
    return row.view.number(text)


def _text(row: JobRow) -> str:
    job = row.job
    parts = (
        job.id, job.name, job.user, job.account, job.state.value, job.scheduler_state, job.queue, job.qos,
        job.reason, job.nodes, job.cluster, job.comment, job.reservation, job.accelerator_model,
    )  # fmt: skip
    return "\n".join(part for part in parts if part)


# fmt: off
COLUMNS: tuple[Column[JobRow], ...] = (
    Column(
        "id", "JOB", 10, _id, lambda row: row.job.id, "the scheduler's own id; an array is one row", 1,
        order=lambda row: natural_key(row.job.id), align="middle", min_width=8, max_width=24, names=("job",),
    ),
    Column(
        "name", "NAME", 16, lambda row: row.view.text(row.job.name), lambda row: row.job.name or None,
        "job name", 4, min_width=11, max_width=36,
    ),
    Column(
        "user", "USER", 10, lambda row: row.view.text(row.job.user), lambda row: row.job.user, "owner", 3,
        min_width=8, max_width=14, names=("owner",),
    ),
    Column(
        "state", "STATE", 12, _state, lambda row: row.job.state.value, "running, pending, held, …", 2,
        order=lambda row: JOB_SIGNS[row.job.state].rank, min_width=10, loud=True,
    ),
    Column(
        "gpus", "GPUS", 5, _gpus, lambda row: row.job.accelerators, "GPUs that it holds, or asks for", 5,
        align="right", unit="number", names=("gpu", "accelerators"),
    ),
    Column(
        "nodes", "NODES", 5, lambda row: row.view.number(units.number(row.job.node_count, row.view.missing)),
        lambda row: row.job.node_count, "how many nodes", 9, align="right", unit="number",
        names=("node_count",),
    ),
    Column(
        "time", "TIME", 6, lambda row: row.view.number(units.duration(elapsed(row), row.view.missing)),
        elapsed, "how long it has run", 6, align="right", unit="seconds", names=("elapsed",),
    ),
    Column("left", "LEFT", 6, _left, left, "until its limit", 8, align="right", unit="seconds"),
    Column(
        "queue", "QUEUE", 9, lambda row: row.view.text(row.job.queue), lambda row: row.job.queue,
        "partition or queue", 10, min_width=8, max_width=14, names=("partition", "part"),
    ),
    Column(
        "reason", "REASON", 20, lambda row: row.view.text(reason(row.job)), lambda row: reason(row.job),
        "why it waits or ended", 7, min_width=12, max_width=40,
    ),
    Column(
        "where", "NODELIST", 18, lambda row: row.view.text(where(row.job)), lambda row: where(row.job),
        "where it runs, folded", 11, min_width=12, max_width=40, names=("nodelist", "node"),
    ),
    Column(
        "util", "UTL%", 4, _util, utilization, "mean utilisation of the GPUs of its nodes", 12, align="right",
        unit="percent", names=("utilization",), own_age=True,
    ),
    Column(
        "start", "START", 11, _start, lambda row: _ago(row, start(row)),
        "when it started, or is expected to (filter: how long ago)", 13, align="right", unit="seconds", order=start,
    ),
    Column(
        "limit", "LIMIT", 6,
        lambda row: row.view.number(units.duration(row.job.time_limit_s, row.view.missing)),
        lambda row: row.job.time_limit_s, "time limit", 14, align="right", unit="seconds",
        names=("timelimit",),
    ),
    Column(
        "priority", "PRIORITY", 9, lambda row: row.view.number(_priority(row)), lambda row: row.job.priority,
        "the scheduler's priority", 15, align="right", unit="number", names=("prio",),
    ),
    Column(
        "account", "ACCOUNT", 10, lambda row: row.view.text(row.job.account), lambda row: row.job.account,
        "account or project", 16, max_width=16, names=("project",),
    ),
    Column(
        "cpus", "CPUS", 5, lambda row: row.view.number(units.number(row.job.cpus, row.view.missing)),
        lambda row: row.job.cpus, "CPUs that it holds, or asks for", 17, align="right", unit="number",
    ),
    Column(
        "memory", "MEM", 5, lambda row: row.view.number(units.size(row.job.memory_bytes, row.view.missing)),
        lambda row: row.job.memory_bytes, "memory that it holds, or asks for", 18, align="right",
        unit="bytes", names=("mem",),
    ),
    Column(
        "wait", "WAITED", 6, lambda row: row.view.number(units.duration(waited(row), row.view.missing)),
        waited, "between submission and start, or now", 19, align="right", unit="seconds", names=("waited",),
    ),
    Column(
        "submitted", "SUBMITTED", 11,
        lambda row: row.view.number(units.clock(row.job.submitted_at, row.view.now, row.view.missing)),
        lambda row: _ago(row, row.job.submitted_at), "when it was submitted (filter: how long ago)", 20,
        align="right", unit="seconds", order=lambda row: row.job.submitted_at, names=("submit",),
    ),
    Column(
        "qos", "QOS", 8, lambda row: row.view.text(row.job.qos), lambda row: row.job.qos,
        "quality of service", 21,
    ),
    Column(
        "cluster", "CLUSTER", 10, lambda row: row.view.text(row.job.cluster, "muted"),
        lambda row: row.job.cluster, "the cluster that it belongs to", 22,
    ),
    Column(
        "scheduler", "SCHEDULER", 14, lambda row: row.view.text(row.job.scheduler_state),
        lambda row: row.job.scheduler_state, "the state as the scheduler says it", 23, max_width=22,
        names=("scheduler_state",),
    ),
    Column(
        "efficiency", "EFF%", 4, lambda row: row.view.number(units.percent(cpu_used(row), row.view.missing)),
        cpu_used, "CPU time used of the CPU time held, once it has ended", 24, align="right",
        unit="percent", names=("eff",),
    ),
)
# fmt: on


def _priority(row: JobRow) -> str:
    value = row.job.priority
    if value is None:
        return row.view.missing
    return str(value) if abs(value) < 10**9 else units.rate(value)


TABLE: Table[JobRow] = Table(
    id="jobs",
    title="Jobs",
    noun="job",
    columns=COLUMNS,
    rows=rows,
    row=row,
    changed=changed,
    text=_text,
    nodes=_all_nodes,
    default_sort=("state", True),
    empty="no jobs",
    old_words=_old_words,
    over=lambda row: row.job.state.ended,
    lists="jobs",
)
