"""Everything about one thing, as lines: the details pane under each table.

What a table cuts with an ellipsis stands here whole. A value that is not known says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from console.model import Finding, Job
from console.render import nodes, units
from console.render.cells import Cell, Line
from console.render.glyphs import JOB_SIGNS, MOUNT_SIGNS, NODE_SIGNS, SEVERITY_SIGNS, SOURCE_SIGNS, link_sign
from console.render.gpus import gpu_lines
from console.render.journal import attempt_lines
from console.render.lines import LABEL, age_line, columns, pair, paragraph, reasons
from console.render.scheduling import note, queue_lines
from console.render.spark import sparkline
from console.render.tables import fleet, jobs, journal, network, sources, storage
from console.render.usage import usage_lines
from console.render.view import View
from console.store import JobKey


def finding_lines(findings: Iterable[Finding], view: View, width: int) -> list[Line]:
    """Return findings whole: title, evidence, cause, action."""
    lines: list[Line] = []
    for finding in findings:
        sign = SEVERITY_SIGNS[finding.severity]
        lines += paragraph(
            finding.severity.value, f"{view.glyphs.glyph(sign)} {finding.title}", view, width, sign.style
        )
        lines += paragraph("evidence", finding.evidence, view, width)
        lines += paragraph("cause", finding.cause, view, width)
        lines += paragraph("action", finding.action, view, width, "info")
    return lines


def details(row: object, view: View, width: int) -> list[Line]:
    """Return the lines of the details pane for a row of one of TABLES."""
    if isinstance(row, fleet.FleetRow):
        return node_lines(row, view, width)
    if isinstance(row, jobs.JobRow):
        return job_lines(row, view, width)
    if isinstance(row, network.LinkRow):
        return link_lines(row, view, width)
    if isinstance(row, storage.StorageRow):
        return storage_lines(row, view, width)
    if isinstance(row, sources.SourceRow):
        return source_lines(row, view, width)
    if isinstance(row, journal.AttemptRow):
        return attempt_lines(view, row.attempt, width)
    raise TypeError(f"no table has rows of {type(row).__name__}")


def node_lines(row: fleet.FleetRow, view: View, width: int) -> list[Line]:
    """Return a node in some lines: state and why, findings, GPUs one by one, jobs, freshness."""
    node = row.node
    text = nodes.facet_text
    state = view.glyphs.state(NODE_SIGNS[node.state])
    words = text(node, "scheduler_state")
    told = Cell(f"{state.text}  ({words})" if words else state.text, state.style)
    lines = [pair("state", told, view)]
    lines += paragraph("reason", text(node, "reason"), view, width, "warn")
    by, at = text(node, "reason_by"), nodes.facet_number(node, "reason_at")
    if by or at is not None:
        lines.append(pair("set by", f"{by or view.missing}  {units.clock(at, view.now, view.missing)}", view))
    lines += paragraph("reservation", note(node.reservations, view.now), view, width, "info")
    lines += finding_lines(node.findings, view, width)
    lines += gpu_lines(view, node, width)
    lines += paragraph("jobs", ", ".join(job_words(view, key) for key in node.jobs), view, width)
    lines += paragraph("clusters", fleet.clusters(node), view, width)
    lines += queue_lines(view, "partitions", fleet.queues(node), width)
    lines.append(age_line("seen", nodes.observed_at(view.store, node), view))
    status = nodes.probe_status(view.store, node)
    if status is not None:
        lines.append(pair("source", view.glyphs.state(SOURCE_SIGNS[status.state]), view))
        lines += paragraph("error", status.error, view, width, "warn")
        lines += paragraph("what to do", status.hint, view, width, "info")
    if node.sample is not None:
        lines += reasons(node.sample.missing, view, width)
    return lines


def job_words(view: View, key: JobKey) -> str:
    """Return `8812 alice train-llm` of a job, as far as it is known."""
    job = view.store.jobs.get(key)
    return key[1] if job is None else " ".join(part for part in (job.id, job.user, job.name) if part)


def job_lines(row: jobs.JobRow, view: View, width: int) -> list[Line]:
    """Return all that the scheduler says of a job; every text whole."""
    job = row.job
    state = view.glyphs.state(JOB_SIGNS[job.state])
    if job.scheduler_state and job.scheduler_state.lower() != job.state.value:
        state = Cell(f"{state.text}  ({job.scheduler_state})", state.style)
    lines = [pair("job", Cell(f"{job.cluster}/{job.id}", "name"), view), pair("state", state, view)]
    lines += paragraph("reason", jobs.reason(job), view, width, "warn")
    lines += paragraph("name", job.name, view, width)
    owner = " ".join(f"{label} {value}" for label, value in _owners(job) if value)
    lines += paragraph("owner", owner, view, width)
    queues = [(job.cluster, name) for name in (job.queue or "").split(",") if name]
    if any(key in view.store.queues for key in queues):
        lines += queue_lines(view, "queue", queues, width)
    array = job.array
    if array is not None:
        text = f"{array.id}: {array.tasks} tasks, {array.running} running, {array.pending} pending"
        lines += paragraph("array", text, view, width)
    lines += [
        pair("gpus", _counted(job.accelerators, job.accelerator_model), view, job.missing.get("accelerators")),
        pair("nodes", _counted(job.node_count, None), view, job.missing.get("node_count")),
    ]
    lines += paragraph("where", job.nodes, view, width)
    lines += [
        pair("cpus", _counted(job.cpus, None), view, job.missing.get("cpus")),
        pair("memory", None if job.memory_bytes is None else units.size(job.memory_bytes), view),
        *_job_times(row),
        pair("priority", _counted(job.priority, None), view, job.missing.get("priority")),
    ]
    for label, value in (
        ("reservation", job.reservation),
        ("depends on", job.dependency),
        ("directory", job.work_dir),
        ("comment", job.comment),
        *job.detail.items(),
    ):
        lines += paragraph(label, value, view, width)
    if job.exit_code is not None:
        lines.append(pair("exit code", str(job.exit_code), view))
    return [*lines, *usage_lines(view, job)]


def _owners(job: Job) -> tuple[tuple[str, str | None], ...]:
    return (("", job.user), ("account", job.account), ("queue", job.queue), ("qos", job.qos))


def _counted(value: float | None, what: str | None) -> str | None:
    return None if value is None else f"{value:.0f} {what}" if what else f"{value:.0f}"


def _job_times(row: jobs.JobRow) -> list[Line]:
    job, view = row.job, row.view
    lines = [age_line("submitted", job.submitted_at, view)]
    if job.started_at is not None:
        lines.append(age_line("started", job.started_at, view))
        lines.append(pair("runs for", units.duration(jobs.elapsed(row), view.missing), view))
    elif job.expected_start_at is not None:
        away = job.expected_start_at - view.now
        text = f"{units.clock(job.expected_start_at, view.now)} (in {units.duration(max(away, 0))}, estimated)"
        lines.append(pair("starts", Cell(text, "info"), view))
    else:
        lines.append(pair("starts", None, view, "no estimate yet"))
    limit = None if job.time_limit_s is None else units.duration(job.time_limit_s)
    lines.append(pair("time limit", limit, view, job.missing.get("time_limit_s")))
    if jobs.left(row) is not None:
        lines.append(pair("left", units.duration(jobs.left(row)), view))
    return lines


def link_lines(row: network.LinkRow, view: View, width: int) -> list[Line]:
    """Return a link: what it is, its rates, its counters."""
    link = row.link
    missing = view.missing
    lines = [
        pair("link", Cell(f"{row.node.key} {link.name}", "name"), view),
        pair("state", view.glyphs.state(link_sign(link.state)), view),
        pair("kind", " ".join(part for part in (link.kind.value, link.device) if part), view),
        pair(
            "rate",
            _with_unit(link.rate_bits_per_s, units.bits, "bit/s"),
            view,
            link.missing.get("rate_bits_per_s"),
        ),
        pair(
            "received",
            _with_unit(link.rx_bytes_per_s, units.rate, "B/s"),
            view,
            link.missing.get("rx_bytes_per_s"),
        ),
        pair(
            "sent",
            _with_unit(link.tx_bytes_per_s, units.rate, "B/s"),
            view,
            link.missing.get("tx_bytes_per_s"),
        ),
        pair("errors", _since_boot(link.errors_per_s, link.errors, missing), view),
        pair("drops", _since_boot(link.drops_per_s, link.drops, missing), view),
        pair("mtu", _counted(link.mtu, "bytes"), view, link.missing.get("mtu")),
    ]
    lines = columns(lines, width)
    lines += history_lines(
        row.node.key, (("received", "rx_bytes_per_s"), ("sent", "tx_bytes_per_s")), view, width, link.name
    )
    return [*lines, age_line("seen", nodes.observed_at(view.store, row.node), view)]


def _with_unit(value: float | None, form: Callable[[float | None], str], unit: str) -> str | None:
    return None if value is None else f"{form(value)} {unit}"


def _since_boot(per_second: float | None, count: int | None, missing: str) -> str:
    return f"{units.rate(per_second, missing)}/s, {units.number(count, missing)} since boot"


_UNITS = (("_percent", "%"), ("_bytes_per_s", "B/s"), ("_w", "W"))


def history_lines(
    node: str, series: Sequence[tuple[str, str]], view: View, width: int, index: int | str | None = None
) -> list[Line]:
    """Return a sparkline for each (label, series) of which there is a history."""
    lines: list[Line] = []
    for label, name in series:
        values = view.store.history(node, name, index)
        top = max(nodes.known(values), default=None)
        if top is None:
            continue
        high = 100.0 if name.endswith("_percent") else None
        line = sparkline(values, max(min(width - LABEL - 14, len(values)), 1), high=high, glyphs=view.glyphs)
        unit = next((unit for end, unit in _UNITS if name.endswith(end)), "")
        peak = f"{units.percent(top) if high else units.rate(top)}{unit}"
        lines.append((Cell(f"{label:<{LABEL - 1}} ", "label"), line, Cell(f" max {peak}", "muted")))
    return lines


def storage_lines(row: storage.StorageRow, view: View, width: int) -> list[Line]:
    """Return a mount or a disk."""
    if row.mount is None:
        return _disk_lines(row, view, width)
    mount = row.mount
    why = mount.missing.get
    used = storage.used_percent(row)
    full = (
        None if used is None else f"{used:.1f}% of {units.size(mount.total_bytes)}, {units.size(mount.free_bytes)} free"
    )
    lines = [
        pair("mount", Cell(f"{row.node.key} {mount.path}", "name"), view),
        pair("state", view.glyphs.state(MOUNT_SIGNS[mount.state]), view),
        *paragraph("from", f"{mount.source} ({mount.type})", view, width),
        pair("used", full, view, why("total_bytes") or why("free_bytes")),
        pair("read", _with_unit(mount.read_bytes_per_s, units.rate, "B/s"), view, why("read_bytes_per_s")),
        pair("written", _with_unit(mount.write_bytes_per_s, units.rate, "B/s"), view, why("write_bytes_per_s")),
    ]
    if mount.network:
        lines += [
            pair("round trip", _with_unit(mount.rtt_s, units.milliseconds, "ms"), view, why("rtt_s")),
            pair("requests", _with_unit(mount.ops_per_s, units.rate, "/s"), view, why("ops_per_s")),
            pair(
                "sent again",
                _with_unit(mount.retransmits_per_s, units.rate, "/s"),
                view,
                why("retransmits_per_s"),
            ),
        ]
    return [*lines, age_line("seen", nodes.observed_at(view.store, row.node), view)]


def _disk_lines(row: storage.StorageRow, view: View, width: int) -> list[Line]:
    disk = row.disk
    if disk is None:
        return []
    why = disk.missing.get
    return [
        pair("disk", Cell(f"{row.node.key} {disk.name}", "name"), view),
        *paragraph("model", disk.model, view, width),
        pair("size", None if disk.size_bytes is None else units.size(disk.size_bytes), view, why("size_bytes")),
        pair("read", _with_unit(disk.read_bytes_per_s, units.rate, "B/s"), view, why("read_bytes_per_s")),
        pair("written", _with_unit(disk.write_bytes_per_s, units.rate, "B/s"), view, why("write_bytes_per_s")),
        pair("busy", _with_unit(disk.busy_percent, units.percent, "%"), view, why("busy_percent")),
        age_line("seen", nodes.observed_at(view.store, row.node), view),
    ]


def source_lines(row: sources.SourceRow, view: View, width: int) -> list[Line]:
    """Return a source: state, error and what to do, pace and cost."""
    source = row.source
    missing = view.missing
    due = sources.next_try(row)
    lines = [
        pair("source", Cell(source.name, "name"), view),
        pair("state", view.glyphs.state(SOURCE_SIGNS[source.state]), view),
    ]
    lines += paragraph("error", source.error, view, width, "warn")
    lines += paragraph("what to do", source.hint, view, width, "info")
    lines += paragraph("how", source.detail, view, width)
    for label, words in source.facts.items():
        lines += paragraph(label, words, view, width)
    facts = [
        pair("kind", f"{source.kind}, cluster {source.cluster}", view),
        pair("since", units.clock(source.since, view.now, missing), view),
        age_line("last answer", source.observed_at, view),
        pair("next try", None if due is None else f"in {units.age(due)}", view),
        pair("period", None if source.period_s is None else f"{source.period_s:g} s", view),
        pair("answers in", _with_unit(source.latency_s, units.milliseconds, "ms"), view),
        pair("requests", _with_unit(source.requests_per_minute, _one_place, "a minute"), view),
        pair("costs", _with_unit(source.cpu_percent, _two_places, "% of a core there"), view),
        pair("sends", _with_unit(source.bytes_per_s, units.rate, "B/s"), view),
    ]
    return lines + columns(facts, width)


def _one_place(value: float | None) -> str:
    return units.decimal(value, 1)


def _two_places(value: float | None) -> str:
    return units.decimal(value, 2)
