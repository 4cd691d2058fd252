"""The Node screen: everything about one machine, and where each value comes from."""

from __future__ import annotations

from collections.abc import Sequence

from console.model import Host, SourceStatus
from console.render import nodes, units
from console.render.cells import Align, Cell, Line
from console.render.details import finding_lines, history_lines, job_words
from console.render.glyphs import JOB_SIGNS, MOUNT_SIGNS, NODE_SIGNS, SOURCE_SIGNS, link_sign
from console.render.gpus import gpu_lines, gpu_reasons
from console.render.lines import Section, Target, age_line, columns, grid, pair, paragraph, reasons
from console.render.scheduling import queue_lines, reservation_lines
from console.render.spark import bar, heat_style, mini_bars
from console.render.tables import fleet, network, storage
from console.render.view import View
from console.store import NodeView

CLOCK_TOLERANCE_S = 2.0
"""A sample that travelled slowly looks like a clock that is a little behind."""
_HISTORY = (
    ("cpu", "cpu_percent"),
    ("memory", "memory_percent"),
    ("power", "power_w"),
    ("received", "rx_bytes_per_s"),
    ("sent", "tx_bytes_per_s"),
    ("read", "read_bytes_per_s"),
    ("written", "write_bytes_per_s"),
)


def node_sections(view: View, key: str, width: int) -> list[Section]:
    """Return the sections of the Node screen; one that says so when the node is gone. Empty sections are left out."""
    node = view.store.nodes.get(key)
    if node is None:
        return [Section("gone", ((Cell(f"no source lists {key} any more", "warn"),),))]
    sections = [
        Section("state", tuple(_state(view, node, width))),
        Section("reservations", tuple(reservation_lines(view, node.reservations, width))),
        Section("findings", tuple(finding_lines(node.findings, view, width))),
        Section("accelerators", tuple(_accelerators(view, node, width))),
        Section("processes on accelerators", tuple(_processes(view, node, width))),
        _jobs(view, node, width),
        Section("machine", tuple(_machine(view, node, width))),
        Section("history", tuple(history_lines(key, _HISTORY, view, width))),
        Section("links", tuple(_links(view, node, width))),
        Section("mounts", tuple(_mounts(view, node, width))),
        Section("disks", tuple(_disks(view, node, width))),
        Section("where this comes from", tuple(_provenance(view, node, width))),
    ]
    return [section for section in sections if section.lines]


def _state(view: View, node: NodeView, width: int) -> list[Line]:
    text = nodes.facet_text
    lines = [pair("state", view.glyphs.state(NODE_SIGNS[node.state]), view)]
    lines += [
        pair(facet.cluster, facet.scheduler_state, view) for facet in node.facets.values() if facet.scheduler_state
    ]
    for label, told in nodes.conflicts(node):
        form = units.size if label == "memory" else units.number
        says = (f"{who} {value if isinstance(value, str) else form(value)}" for who, value in told)
        lines += paragraph(label, f"{view.glyphs.warning} {', '.join(says)}: they do not agree", view, width, "warn")
    lines += paragraph("reason", text(node, "reason"), view, width, "warn")
    by, at = text(node, "reason_by"), nodes.facet_number(node, "reason_at")
    if by or at is not None:
        lines.append(pair("set by", f"{by or view.missing}  {units.clock(at, view.now, view.missing)}", view))
    lines += paragraph("clusters", fleet.clusters(node), view, width)
    lines += queue_lines(view, "partitions", fleet.queues(node), width)
    features = ",".join(dict.fromkeys(name for facet in node.facets.values() for name in facet.features))
    lines += paragraph("features", features, view, width)
    allocated = [
        _of(view, "cpus held", nodes.facet_number(node, "cpus_allocated"), nodes.facet_number(node, "cpus")),
        _of(view, "gpus held", nodes.facet_number(node, "accelerators_allocated"), nodes.accelerator_count(node)),
    ]
    lines += [line for line in allocated if line is not None]
    for facet in node.facets.values():
        for label, value in facet.detail.items():
            lines += paragraph(label, value, view, width)
    return lines


def _of(view: View, label: str, part: float | None, whole: float | None) -> Line | None:
    if part is None and whole is None:
        return None
    return pair(label, f"{units.number(part, view.missing)} of {units.number(whole, view.missing)}", view)


def _unmeasured(view: View, node: NodeView, sensor: str) -> list[Line]:
    """Return why a sensor shows nothing, where that needs saying."""
    if node.sample is not None:
        why = node.sample.missing.get(sensor)
        return [(Cell(f"{view.missing} {why}", "muted"),)] if why else []
    status = nodes.probe_status(view.store, node)
    if status is None:
        return [(Cell(f"{view.missing} no source measures this node", "muted"),)]
    why = status.error or f"the probe is {SOURCE_SIGNS[status.state].word}"
    return [(Cell(f"{view.missing} not measured: {why}", "muted"),)]


def _accelerators(view: View, node: NodeView, width: int) -> list[Line]:
    lines = gpu_lines(view, node, width, title=True)
    if not lines:
        return _unmeasured(view, node, "accelerators")
    return lines + gpu_reasons(view, nodes.accelerators(node), width)


def _processes(view: View, node: NodeView, width: int) -> list[Line]:
    widths = (3, 8, 12, 14, 6, max(width - 48, 10))
    aligns: tuple[Align, ...] = ("right", "right", "left", "left", "right", "left")
    rows: list[Sequence[Cell]] = [
        [
            Cell(str(gpu.index), "name"),
            Cell(str(process.pid)),
            view.text(process.user),
            view.text(process.job),
            view.number(units.size(process.memory_bytes, view.missing)),
            view.text(process.command),
        ]
        for gpu in nodes.accelerators(node)
        for process in gpu.processes
    ]
    titles = [Cell(title, "header") for title in ("GPU", "PID", "USER", "JOB", "MEMORY", "COMMAND")]
    return grid([titles, *rows], widths, aligns, view) if rows else []


def _jobs(view: View, node: NodeView, width: int) -> Section:
    lines: list[Line] = []
    opens: list[Target | None] = []
    for key in node.jobs:
        job = view.store.jobs.get(key)
        sign = view.glyphs.state(JOB_SIGNS[job.state]) if job is not None else Cell("")
        gpus = "" if job is None else f"  {units.number(job.accelerators, view.missing)} gpus"
        words = paragraph(sign.text, job_words(view, key) + gpus, view, width)
        lines += words
        opens += [("job", key)] * len(words)
    return Section("jobs", tuple(lines), tuple(opens))


def _machine(view: View, node: NodeView, width: int) -> list[Line]:
    host = None if node.sample is None else node.sample.host
    if host is None:
        return _unmeasured(view, node, "host")
    lines = _host_facts(view, host)
    lines = columns(lines, width)
    if host.cores_percent:
        lines += _cores(view, host, width)
    return lines + reasons(host.missing, view, width)


def _host_facts(view: View, host: Host) -> list[Line]:
    missing = view.missing
    why = host.missing.get
    busy = host.cpu_percent
    free = nodes.fraction(host.memory_available_bytes, host.memory_total_bytes)
    used = None if free is None else 1 - free
    load = " ".join(units.decimal(value, 2, missing) for value in (host.load1, host.load5, host.load15))
    size = units.size(host.memory_total_bytes, missing)
    cpu = bar(None if busy is None else busy / 100, 12, glyphs=view.glyphs)
    memory = bar(used, 12, glyphs=view.glyphs)
    pressure = host.pressure
    pressed = (
        None
        if pressure is None
        else "  ".join(
            f"{name} {units.decimal(value, 1, missing)}%"
            for name, value in (("cpu", pressure.cpu), ("memory", pressure.memory), ("io", pressure.io))
        )
    )
    swap = nodes.fraction(host.swap_free_bytes, host.swap_total_bytes)
    percent = None if used is None else used * 100
    return [
        (
            *pair("cpu", cpu, view)[:1],
            *_parts(cpu),
            Cell(f" {units.percent(busy, missing)}% of {units.number(host.cpus, missing)}"),
        ),
        (*pair("memory", memory, view)[:1], *_parts(memory), Cell(f" {units.percent(percent, missing)}% of {size}")),
        pair("load", load, view),
        pair("pressure", pressed, view, why("pressure")),
        pair(
            "swap",
            None if swap is None else f"{100 * (1 - swap):.0f}% of {units.size(host.swap_total_bytes)}",
            view,
            "none",
        ),
        pair("power", None if host.power_w is None else f"{units.watts(host.power_w)} W", view, why("power_w")),
        pair("uptime", None if host.uptime_s is None else units.duration(host.uptime_s), view, why("uptime_s")),
        pair("kernel", host.kernel, view, why("kernel")),
        pair("system", host.os, view, why("os")),
    ]


def _parts(cell: Cell) -> tuple[Cell, ...]:
    return tuple(Cell(text, style) for text, style in cell.parts)


def _cores(view: View, host: Host, width: int) -> list[Line]:
    """Return every core as one character, wrapped."""
    room = max(width - 14, 16)
    lines: list[Line] = []
    for start in range(0, len(host.cores_percent), room):
        part = host.cores_percent[start : start + room]
        cell = mini_bars([core / 100 for core in part], len(part), glyphs=view.glyphs)
        label = pair("cores" if start == 0 else "", "", view)[0]
        lines.append((label, *_parts(cell)))
    return lines


def _links(view: View, node: NodeView, width: int) -> list[Line]:
    if node.sample is None or not node.sample.links:
        return _unmeasured(view, node, "links")
    widths = (12, 10, 10, 5, 7, 7, 5, 6, 6, max(width - 78, 0))
    aligns: tuple[Align, ...] = ("left", "left", "left", "right", "right", "right", "right", "right", "right", "left")
    titles = ("LINK", "KIND", "STATE", "RATE", "RX B/s", "TX B/s", "LOAD%", "ERR/s", "DROP/s", "DEVICE")
    rows: list[Sequence[Cell]] = [[Cell(title, "header") for title in titles]]
    missing = view.missing
    for link in node.sample.links:
        load = network.load(network.LinkRow(view, node, link))
        rows.append(
            [
                Cell(link.name, "name"),
                Cell(link.kind.value),
                view.glyphs.state(link_sign(link.state)),
                view.number(units.bits(link.rate_bits_per_s, missing)),
                view.number(units.rate(link.rx_bytes_per_s, missing)),
                view.number(units.rate(link.tx_bytes_per_s, missing)),
                view.number(units.percent(load, missing), heat_style(None if load is None else load / 100)),
                view.number(units.rate(link.errors_per_s, missing), "bad" if link.errors_per_s else "text"),
                view.number(units.rate(link.drops_per_s, missing), "warn" if link.drops_per_s else "text"),
                Cell(link.device or "", "muted"),
            ]
        )
    return grid(rows, widths, aligns, view)


def _mounts(view: View, node: NodeView, width: int) -> list[Line]:
    if node.sample is None or not node.sample.mounts:
        return _unmeasured(view, node, "mounts")
    rest = max(width - 54, 12)
    widths = (min(rest, 30), 12, 8, 4, 5, 6, 6, 6, max(rest - 31, 0))
    aligns: tuple[Align, ...] = ("left", "left", "left", "right", "right", "right", "right", "right", "left")
    titles = ("PATH", "STATE", "TYPE", "USE%", "FREE", "RTT ms", "READ/s", "WRT/s", "SOURCE")
    rows: list[Sequence[Cell]] = [[Cell(title, "header") for title in titles]]
    missing = view.missing
    for mount in node.sample.mounts:
        used = storage.used_percent(storage.StorageRow(view, node, mount, None))
        style = "text" if used is None or used < 90 else "warn" if used < 97 else "bad"
        rows.append(
            [
                Cell(mount.path, "name"),
                view.glyphs.state(MOUNT_SIGNS[mount.state]),
                Cell(mount.type),
                view.number(units.percent(used, missing), style),
                view.number(units.size(mount.free_bytes, missing)),
                view.number(units.milliseconds(mount.rtt_s, missing)),
                view.number(units.rate(mount.read_bytes_per_s, missing)),
                view.number(units.rate(mount.write_bytes_per_s, missing)),
                Cell(mount.source, "muted"),
            ]
        )
    return grid(rows, widths, aligns, view)


def _disks(view: View, node: NodeView, width: int) -> list[Line]:
    if node.sample is None or not node.sample.disks:
        return _unmeasured(view, node, "disks")
    widths = (12, 6, 7, 7, 5, max(width - 42, 0))
    aligns: tuple[Align, ...] = ("left", "right", "right", "right", "right", "left")
    titles = ("DISK", "SIZE", "READ/s", "WRT/s", "BUSY%", "MODEL")
    rows: list[Sequence[Cell]] = [[Cell(title, "header") for title in titles]]
    missing = view.missing
    rows += [
        [
            Cell(disk.name, "name"),
            view.number(units.size(disk.size_bytes, missing)),
            view.number(units.rate(disk.read_bytes_per_s, missing)),
            view.number(units.rate(disk.write_bytes_per_s, missing)),
            view.number(units.percent(disk.busy_percent, missing)),
            Cell(disk.model or "", "muted"),
        ]
        for disk in node.sample.disks
    ]
    return grid(rows, widths, aligns, view)


def _provenance(view: View, node: NodeView, width: int) -> list[Line]:
    """Return each source that says something about this node: what, how, how old."""
    lines: list[Line] = []
    for source in node.facets:
        lines += _source(view, "listed by", view.store.sources.get(source), source, width)
    status = nodes.probe_status(view.store, node)
    if status is not None:
        lines += _source(view, "measured by", status, status.name, width)
    sample = node.sample
    if sample is not None:
        lines.append(age_line("sample", sample.observed_at, view))
        offset = sample.clock_offset_s
        if offset is not None and abs(offset) >= CLOCK_TOLERANCE_S:
            side = "ahead of" if offset > 0 else "behind"
            words = f"{units.duration(round(abs(offset)))} {side} this one"
            lines.append(pair("its clock", Cell(f"{view.glyphs.warning} {words}", "warn"), view))
        if sample.cost is not None:
            cost = sample.cost
            read = f"accelerators by {cost.accelerators}" if cost.accelerators else ""
            how = ", ".join(part for part in (f"python {cost.python}" if cost.python else "", read) if part)
            lines += paragraph("read with", how, view, width)
            core = units.decimal(cost.cpu_percent, 2, view.missing)
            spent = f"{core}% of a core, {units.rate(cost.bytes_per_s, view.missing)}B/s"
            lines.append(pair("probe costs", spent, view))
        lines += reasons(sample.missing, view, width)
    return lines


def _source(view: View, label: str, status: SourceStatus | None, name: str, width: int) -> list[Line]:
    if status is None:
        return [pair(label, f"{name} (ended)", view)]
    sign = SOURCE_SIGNS[status.state]
    at = status.observed_at
    age = "never answered" if at is None else f"{units.age(view.now - at)} ago"
    line = pair(label, Cell(f"{status.name}  {view.glyphs.glyph(sign)} {sign.word}, {age}", sign.style), view)
    lines = [line]
    lines += paragraph("", status.detail, view, width, "muted")
    lines += paragraph("error", status.error, view, width, "warn")
    return lines + paragraph("what to do", status.hint, view, width, "info")
