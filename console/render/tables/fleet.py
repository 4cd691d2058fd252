"""The Fleet table: one row a node."""

from __future__ import annotations

from dataclasses import dataclass

from console.model import Accelerator
from console.render import nodes, scheduling, units
from console.render.cells import Cell
from console.render.glyphs import NODE_SIGNS, SEVERITY_SIGNS, accelerator_sign
from console.render.spark import heat_style, mini_bars
from console.render.tables.base import Column, RowId, Table, by_name, natural_key
from console.render.view import View
from console.store import Changes, NodeView, Store


@dataclass(slots=True)
class FleetRow:
    """One node."""

    view: View
    node: NodeView

    @property
    def gpus(self) -> tuple[Accelerator, ...]:
        """Its accelerators as the probe saw them."""
        return nodes.accelerators(self.node)

    def measured(self, text: str, style: str = "text") -> Cell:
        """Return a measured number; `stale` when it is older than it should be."""
        if text == self.view.missing:
            return Cell(text, "muted")
        return Cell(text, "stale" if nodes.is_stale(self.view.store, self.node, self.view.now) else style)


def rows(store: Store) -> list[RowId]:
    """Return the keys of all nodes."""
    return list(by_name(store.nodes))


def row(view: View, row_id: RowId) -> FleetRow | None:
    """Return one node."""
    node = view.store.nodes.get(row_id) if isinstance(row_id, str) else None
    return None if node is None else FleetRow(view, node)


def changed(store: Store, changes: Changes) -> set[RowId]:
    """Return the nodes that changed and still exist."""
    return {key for key in changes.nodes if key in store.nodes}


def _node(row: FleetRow) -> Cell:
    return Cell(row.node.key, "name")


def _state(row: FleetRow) -> Cell:
    return row.view.glyphs.state(NODE_SIGNS[row.node.state])


def _old_words(row: FleetRow) -> bool:
    return nodes.silent_listing(row.view.store, row.node) is not None


def _state_word(row: FleetRow) -> str:
    return row.node.state.value


def _state_rank(row: FleetRow) -> float:
    return NODE_SIGNS[row.node.state].rank


def _bars(row: FleetRow) -> Cell:
    gpus = row.gpus
    if gpus:
        bars = mini_bars(
            [None if gpu.utilization_percent is None else gpu.utilization_percent / 100 for gpu in gpus],
            8 if len(gpus) <= 8 else 16,
            glyphs=row.view.glyphs,
            bad=[accelerator_sign(gpu.state).rank > 0 for gpu in gpus],
        )
        return Cell(bars.text, "stale") if nodes.is_stale(row.view.store, row.node, row.view.now) else bars
    count = nodes.accelerator_count(row.node)
    if count:
        return Cell(row.view.missing * min(count, 16), "muted")
    return Cell("" if count == 0 else row.view.missing, "muted")


def utilization(row: FleetRow) -> float | None:
    """Mean utilisation of its accelerators, percent."""
    return nodes.mean(gpu.utilization_percent for gpu in row.gpus)


def _util(row: FleetRow) -> Cell:
    value = utilization(row)
    return row.measured(units.percent(value, row.view.missing), heat_style(None if value is None else value / 100))


def memory_used(row: FleetRow) -> float | None:
    """Accelerator memory in use, bytes."""
    return nodes.total(gpu.memory_used_bytes for gpu in row.gpus)


def power(row: FleetRow) -> float | None:
    """Power of its accelerators, watts."""
    return nodes.total(gpu.power_w for gpu in row.gpus)


def temperature(row: FleetRow) -> float | None:
    """Hottest accelerator, °C."""
    return max(nodes.known(gpu.temperature_c for gpu in row.gpus), default=None)


def _temperature(row: FleetRow) -> Cell:
    value = temperature(row)
    style = "text" if value is None or value < 80 else "warn" if value < 88 else "bad"
    return row.measured(units.celsius(value, row.view.missing), style)


def _jobs(row: FleetRow) -> Cell:
    jobs = row.node.jobs
    if not jobs:
        return Cell(row.view.missing, "muted")
    more = f"+{len(jobs) - 1}" if len(jobs) > 1 else ""
    return Cell(jobs[0][1] + more)


def _job_text(row: FleetRow) -> str | None:
    return " ".join(job_id for _, job_id in row.node.jobs) or None


def users(row: FleetRow) -> str | None:
    """Who runs jobs on it, each once."""
    jobs = (row.view.store.jobs.get(key) for key in row.node.jobs)
    return " ".join(dict.fromkeys(job.user for job in jobs if job is not None and job.user)) or None


def allocated(row: FleetRow) -> float | None:
    """Accelerators that jobs hold."""
    return nodes.facet_number(row.node, "accelerators_allocated")


def _allocated(row: FleetRow) -> Cell:
    count = nodes.accelerator_count(row.node)
    if count is None:
        return Cell(row.view.missing, "muted")
    return Cell(f"{units.number(allocated(row), row.view.missing)}/{count}")


def note(row: FleetRow) -> tuple[str, str]:
    """Return what is to be known of it in one line, with its style: a finding, a reason, a source that fails, a GPU,
    a reservation; the first of them."""
    glyphs = row.view.glyphs
    finding = nodes.worst_finding(row.node.findings)
    if finding is not None:
        sign = SEVERITY_SIGNS[finding.severity]
        return f"{glyphs.glyph(sign)} {finding.title}", sign.style
    reason = nodes.facet_text(row.node, "reason")
    if reason:
        return reason, "stale" if _old_words(row) else "warn"
    status = nodes.probe_status(row.view.store, row.node)
    if status is not None and status.error:
        return f"{status.state.value}: {status.error}", "warn"
    broken = next((gpu for gpu in row.gpus if gpu.state != "ok"), None)
    if broken is not None:
        return f"{glyphs.warning} gpu{broken.index} {broken.state}", "bad"
    reserved = scheduling.note(row.node.reservations, row.view.now) if row.node.reservations else None
    return (reserved, "stale" if _old_words(row) else "info") if reserved else ("", "text")


def _age(row: FleetRow) -> Cell:
    seen = nodes.observed_at(row.view.store, row.node)
    value = None if seen is None else row.view.now - seen
    view, node = row.view, row.node
    stale = nodes.is_stale(view.store, node, view.now) or nodes.silent_listing(view.store, node) is not None
    return Cell(units.age(value, view.missing), "warn" if stale else "muted")


def _age_value(row: FleetRow) -> float | None:
    seen = nodes.observed_at(row.view.store, row.node)
    return None if seen is None else row.view.now - seen


def clusters(node: NodeView) -> str:
    """Return the clusters that list a node, each once."""
    return " ".join(dict.fromkeys(facet.cluster for facet in node.facets.values()))


def queues(node: NodeView) -> list[tuple[str, str]]:
    """Return (cluster, name) of its partitions or labels over all that list it."""
    return [(facet.cluster, name) for facet in node.facets.values() for name in facet.partitions]


def partitions(node: NodeView) -> str:
    """Return the names of its partitions or labels, each once."""
    return ",".join(dict.fromkeys(name for _, name in queues(node)))


def cpu_percent(row: FleetRow) -> float | None:
    """Busy share of its cores, percent."""
    return None if row.node.sample is None or row.node.sample.host is None else row.node.sample.host.cpu_percent


def load1(row: FleetRow) -> float | None:
    """Load of the last minute."""
    return None if row.node.sample is None or row.node.sample.host is None else row.node.sample.host.load1


def memory_percent(row: FleetRow) -> float | None:
    """Memory of the machine in use, percent."""
    host = None if row.node.sample is None else row.node.sample.host
    if host is None or host.memory_available_bytes is None or not host.memory_total_bytes:
        return None
    return 100 * (1 - host.memory_available_bytes / host.memory_total_bytes)


def uptime(row: FleetRow) -> float | None:
    """Seconds since it booted."""
    host = None if row.node.sample is None else row.node.sample.host
    if host is not None and host.uptime_s is not None:
        return host.uptime_s
    booted = nodes.facet_number(row.node, "booted_at")
    return None if booted is None else row.view.now - booted


def model(row: FleetRow) -> str | None:
    """What its accelerators are."""
    seen = next((gpu.model for gpu in row.gpus if gpu.model), None)
    return nodes.short_model(seen) if seen else nodes.facet_text(row.node, "accelerator_model")


def _model(row: FleetRow) -> Cell:
    listed = not any(gpu.model for gpu in row.gpus)
    return row.view.text(model(row), "stale" if listed and _old_words(row) else "text")


def _source_word(row: FleetRow) -> str | None:
    status = nodes.probe_status(row.view.store, row.node)
    return None if status is None else ("live" if status.state.value == "ok" else status.state.value)


def _memory_style(row: FleetRow) -> str:
    value = memory_percent(row)
    return "text" if value is None or value < 90 else "warn" if value < 97 else "bad"


def _text(row: FleetRow) -> str:
    parts = (
        row.node.key,
        _state_word(row),
        nodes.facet_text(row.node, "scheduler_state"),
        _job_text(row),
        users(row),
        note(row)[0],
        clusters(row.node),
        partitions(row.node),
        model(row),
        _source_word(row),
        nodes.facet_text(row.node, "rack"),
    )
    return "\n".join(part for part in parts if part)


def _finding(row: FleetRow) -> Cell:
    return Cell(*note(row))


# fmt: off
COLUMNS: tuple[Column[FleetRow], ...] = (
    Column(
        "node", "NODE", 14, _node, lambda row: row.node.key, "short host name", 1,
        order=lambda row: natural_key(row.node.key), min_width=10, max_width=24, names=("name", "host"),
    ),
    Column(
        "state", "STATE", 13, _state, _state_word, "up, busy, draining, drained, down, …; sorts by how bad",
        2, order=_state_rank, min_width=10,
    ),
    Column(
        "gpu", "GPU", 8, _bars, utilization, "one bar a GPU: its utilisation; ✗ a GPU that is lost", 3,
        unit="percent", max_width=16, names=("gpus",), own_age=True,
    ),
    Column(
        "util", "UTL%", 4, _util, utilization, "mean GPU utilisation, percent", 4, align="right",
        unit="percent", names=("utilization",), own_age=True,
    ),
    Column(
        "mem", "GMEM", 5, lambda row: row.measured(units.size(memory_used(row), row.view.missing)),
        memory_used, "GPU memory in use, all GPUs", 6, align="right", unit="bytes", names=("gmem",), own_age=True,
    ),
    Column(
        "power", "PWR W", 5, lambda row: row.measured(units.watts(power(row), row.view.missing)), power,
        "power of its GPUs, W", 7, align="right", unit="number", names=("pwr",), own_age=True,
    ),
    Column(
        "temp", "TEMP", 4, _temperature, temperature, "hottest GPU, °C", 9, align="right", unit="number",
        names=("temperature",), own_age=True,
    ),
    Column(
        "net", "NET/s", 5, lambda row: row.measured(units.rate(nodes.traffic(row.node), row.view.missing)),
        lambda row: nodes.traffic(row.node), "received plus sent over all links, bytes/s", 10, align="right",
        unit="rate", own_age=True,
    ),
    Column(
        "job", "JOBS", 10, _jobs, _job_text, "jobs that run on it", 8, min_width=8, max_width=14,
        names=("jobs",),
    ),
    Column(
        "finding", "FINDING", 24, _finding, lambda row: note(row)[0] or None,
        "the worst finding, else the scheduler's reason, else why it is not measured, else its reservation", 5,
        min_width=16,
        max_width=60, names=("reason", "note"), own_age=True,
    ),
    Column(
        "age", "AGE", 4, _age, _age_value, "how old the values are", 11, align="right", unit="seconds",
        own_age=True,
    ),
    Column(
        "cpu", "CPU%", 4, lambda row: row.measured(units.percent(cpu_percent(row), row.view.missing)),
        cpu_percent, "busy share of all cores", 12, align="right", unit="percent", own_age=True,
    ),
    Column(
        "ram", "RAM%", 4,
        lambda row: row.measured(units.percent(memory_percent(row), row.view.missing), _memory_style(row)),
        memory_percent, "memory of the machine in use", 13, align="right", unit="percent", names=("memory",),
        own_age=True,
    ),
    Column(
        "load", "LOAD", 6, lambda row: row.measured(units.decimal(load1(row), 1, row.view.missing)), load1,
        "load of the last minute", 14, align="right", unit="number", own_age=True,
    ),
    Column(
        "alloc", "ALLOC", 5, _allocated, allocated, "GPUs that jobs hold, of all it has", 15, align="right",
        unit="number", names=("allocated",),
    ),
    Column(
        "partition", "PARTITION", 12, lambda row: row.view.text(partitions(row.node)),
        lambda row: partitions(row.node) or None, "partitions, queues or labels", 16, max_width=20,
        names=("part", "partitions", "queue"),
    ),
    Column(
        "user", "USER", 10, lambda row: row.view.text(users(row)), users, "who runs jobs on it", 17,
        names=("users",),
    ),
    Column(
        "cluster", "CLUSTER", 10, lambda row: row.view.text(clusters(row.node), "muted"),
        lambda row: clusters(row.node) or None, "the clusters that list it", 18, names=("clusters",),
    ),
    Column(
        "model", "MODEL", 12, _model, model, "what its GPUs are", 19,
        max_width=24, own_age=True,
    ),
    Column(
        "source", "SOURCE", 11, lambda row: row.view.text(_source_word(row), "muted"), _source_word,
        "how the probe that measures it is doing", 20, own_age=True,
    ),
    Column(
        "scheduler", "SCHEDULER", 14,
        lambda row: row.view.text(nodes.facet_text(row.node, "scheduler_state")),
        lambda row: nodes.facet_text(row.node, "scheduler_state"), "the state as the scheduler says it", 21,
        max_width=22, names=("scheduler_state",),
    ),
    Column(
        "rack", "RACK", 8, lambda row: row.view.text(nodes.facet_text(row.node, "rack")),
        lambda row: nodes.facet_text(row.node, "rack"), "where it stands", 22,
    ),
    Column(
        "uptime", "UPTIME", 6, lambda row: row.view.number(units.duration(uptime(row), row.view.missing)),
        uptime, "since it booted", 23, align="right", unit="seconds", own_age=True,
    ),
)
# fmt: on

TABLE: Table[FleetRow] = Table(
    id="fleet",
    title="Fleet",
    noun="node",
    columns=COLUMNS,
    rows=rows,
    row=row,
    changed=changed,
    text=_text,
    nodes=lambda row: (row.node,),
    default_sort=("node", False),
    empty="no nodes yet",
    old_words=_old_words,
    lists="nodes",
)
