"""The Job screen: one job whole, from its time limit to the accelerators of its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from console.errors import QuarterdeckError
from console.model import Event, Explanation, Job, JobState, Mount
from console.render import nodes, units
from console.render.cells import Align, Cell, Line, wrap
from console.render.details import job_lines
from console.render.explanation import event_lines, explanation_sections
from console.render.glyphs import JOB_SIGNS, MOUNT_SIGNS
from console.render.lines import Section, columns, grid, pair, paragraph
from console.render.ranks import Ranks, map_section, odd_lines, rank_section, ranks_of
from console.render.scheduling import reservation_lines, unknown_reservation
from console.render.spark import bar
from console.render.tables.jobs import JobRow, elapsed, reason
from console.render.view import View
from console.store import JobKey

_PLAIN = frozenset({JobState.RUNNING, JobState.COMPLETING, JobState.COMPLETED})
"""Where nobody asks why."""
_NEAR_END = 0.9


def job_sections(
    view: View, key: JobKey, width: int, found: Explanation | None = None, error: QuarterdeckError | None = None
) -> list[Section]:
    """Return the sections of the Job screen; one that says so when the job is gone.

    `found`: what its backend says of it; `error`: why it does not.
    """
    job = view.store.jobs.get(key)
    if job is None:
        return [Section("gone", ((Cell(f"the scheduler lists {key[0]}/{key[1]} no longer", "warn"),),))]
    row = JobRow(view, job)
    ranks = ranks_of(row)
    sections = [Section("job", (*_head(row, width), *_time_left(row, width), *odd_lines(row, ranks, width)))]
    sections += _why(view, job, width, found, error)
    if (mapped := map_section(row, ranks, width)) is not None:
        sections.append(mapped)
    if job.reservation:
        sections.append(Section("reservation", tuple(_reservations(view, job, width))))
    if files := _files(row, ranks):
        sections.append(Section("files, by mount", tuple(files)))
    sections.append(Section("what happened", tuple(event_lines(view, _events(job, found), width))))
    sections.append(Section("all that its scheduler says", tuple(columns(job_lines(row, view, width), width, 60))))
    return [*sections, rank_section(row, ranks, width)]


def _head(row: JobRow, width: int) -> list[Line]:
    """Return what it is, whose, and what it holds or asks for."""
    job, view = row.job, row.view
    state = view.glyphs.state(JOB_SIGNS[job.state])
    lines = [pair("state", Cell(f"{state.text}  {job.name}", state.style), view)]
    lines += paragraph("reason", reason(job), view, width, "warn")
    owner = (job.user, job.account and f"account {job.account}", job.queue, job.qos and f"qos {job.qos}")
    lines += paragraph("owner", "  ".join(part for part in owner if part), view, width)
    amounts = (("GPU", job.accelerators), ("node", job.node_count), ("CPU", job.cpus))
    parts = [f"{value} {what}{'' if value == 1 else 's'}" for what, value in amounts if value is not None]
    parts += [units.size(job.memory_bytes)] if job.memory_bytes is not None else []
    where = f": {job.nodes}" if job.nodes else ""
    label = "asks for" if job.started_at is None else "held" if job.state.ended else "holds"
    return lines + paragraph(label, f"{', '.join(parts)}{where}" if parts or where else "", view, width)


def _time_left(row: JobRow, width: int) -> list[Line]:
    """Return how much of its time limit is used, as a bar; nothing where it has none or does not run."""
    job, view = row.job, row.view
    spent = elapsed(row)
    if job.started_at is None or spent is None or job.state.ended:
        return []
    if not job.time_limit_s:
        return [pair("time", f"{units.duration(spent)}, without a limit", view)]
    share = spent / job.time_limit_s
    style = "warn" if share > _NEAR_END else "accent"
    left = units.duration(max(job.time_limit_s - spent, 0.0))
    text = f"  {units.duration(spent)} of {units.duration(job.time_limit_s)}, {left} left"
    line = pair("time", bar(share, min(max(width - 50, 10), 40), glyphs=view.glyphs, style=style), view)
    return [(*line, Cell(text, style if share > _NEAR_END else "text"))]


def _why(view: View, job: Job, width: int, found: Explanation | None, error: QuarterdeckError | None) -> list[Section]:
    if error is not None and job.state not in _PLAIN:
        lines: list[Line] = [(Cell(text, "warn"),) for text in wrap(str(error), width)]
        lines += [(Cell(text, "info"),) for text in wrap(error.hint, width) if text]
        return [Section("why", tuple(lines))]
    if found is None or (job.state in _PLAIN and not found.causes):
        return []
    return [one for one in explanation_sections(view, found, width) if one.title != "what happened"]


def _reservations(view: View, job: Job, width: int) -> list[Line]:
    names = (job.reservation or "").split(",")
    known = [found for name in names if (found := view.store.reservations.get((job.cluster, name))) is not None]
    shown = {reservation.name for reservation in known}
    unknown = [unknown_reservation(view, name) for name in names if name not in shown]
    return [*reservation_lines(view, known, width), *unknown]


# ---- files

_FILE_TITLES = ("MOUNT", "FROM", "READ/s", "WRITE/s", "OPS/s", "RTT ms", "")
_FILE_ALIGNS: tuple[Align, ...] = ("left", "left", "right", "right", "right", "right", "left")


def _files(row: JobRow, found: Ranks) -> list[Line]:
    """Return what the nodes of a job read and write, one line a file system, the busiest first."""
    view = row.view
    mounts: dict[tuple[str, str], list[Mount]] = {}
    disks: list[tuple[float | None, float | None]] = []
    for node in found.nodes:
        if node.sample is None or nodes.is_stale(view.store, node, view.now):
            continue
        disks += [(disk.read_bytes_per_s, disk.write_bytes_per_s) for disk in node.sample.disks]
        for mount in node.sample.mounts:
            if mount.network:
                mounts.setdefault((mount.path, mount.source), []).append(mount)
    lines = [_mount_row(view, path, source, seen) for (path, source), seen in mounts.items()]
    lines.sort(key=lambda pair: -pair[0])
    rows: list[Sequence[Cell]] = [line for _, line in lines]
    if any(read is not None or written is not None for read, written in disks):
        read, written = nodes.total([one[0] for one in disks]), nodes.total([one[1] for one in disks])
        numbers = (view.number(units.rate(value, view.missing)) for value in (read, written))
        rows.append([Cell("local disks", "name"), Cell(""), *numbers, Cell(""), Cell(""), Cell("")])
    if not rows:
        return []
    note: list[Line] = []
    if any(len(node.jobs) > 1 for node in found.nodes):
        note = [(Cell("of the whole nodes: other jobs run there too", "muted"),)]
    head: Sequence[Cell] = [Cell(title, "header") for title in _FILE_TITLES]
    return [*note, *grid([head, *rows], (20, 28, 7, 7, 7, 7, 10), _FILE_ALIGNS, view)]


def _mount_row(view: View, path: str, source: str, seen: Sequence[Mount]) -> tuple[float, list[Cell]]:
    read = nodes.total([mount.read_bytes_per_s for mount in seen])
    written = nodes.total([mount.write_bytes_per_s for mount in seen])
    operations = nodes.total([mount.ops_per_s for mount in seen])
    slowest = max(nodes.known([mount.rtt_s for mount in seen]), default=None)
    worst = max((mount.state for mount in seen), key=lambda state: MOUNT_SIGNS[state].rank)
    cells = [
        Cell(path, "name"),
        Cell(source, "muted"),
        view.number(units.rate(read, view.missing)),
        view.number(units.rate(written, view.missing)),
        view.number(units.rate(operations, view.missing)),
        view.number(units.milliseconds(slowest, view.missing)),
        view.glyphs.state(MOUNT_SIGNS[worst]),
    ]
    return (read or 0.0) + (written or 0.0), cells


# ---- what happened


def _events(job: Job, found: Explanation | None) -> list[Event]:
    """Return the life of a job in order: what its record says, and what its backend adds to that."""
    told = list(found.events) if found is not None else []
    own = [Event(at=at, text=text) for at, text in _own_events(job) if at is not None]
    own = [one for one in own if not any(_same(one, other) for other in told)]
    placed: list[tuple[float, Event]] = [(event.at or 0.0, event) for event in own]
    at = 0.0
    for event in told:
        at = event.at if event.at is not None else at  # one without a time stands behind the one before it
        placed.append((at, event))
    return [event for _, event in sorted(placed, key=lambda pair: pair[0])]


def _own_events(job: Job) -> Iterable[tuple[float | None, str]]:
    yield job.submitted_at, f"submitted by {job.user}" if job.user else "submitted"
    yield job.started_at, f"started on {job.nodes}" if job.nodes else "started"
    if job.state.ended:
        code = f", exit code {job.exit_code}" if job.exit_code else ""
        yield job.ends_at, f"ended: {job.state}{code}"


def _same(one: Event, other: Event) -> bool:
    first = one.text.split(maxsplit=1)[0].rstrip(":")
    return other.at is not None and abs((one.at or 0.0) - other.at) < 2.0 and first in other.text.lower()
