"""The Job screen: one job, and the accelerators of its nodes rank by rank."""

from __future__ import annotations

from collections.abc import Sequence

from console.model import Accelerator, Job
from console.render import nodes, units
from console.render.cells import Align, Cell, Line
from console.render.details import job_lines
from console.render.gpus import gpu_note
from console.render.lines import Section, columns, grid
from console.render.scheduling import reservation_lines, unknown_reservation
from console.render.spark import bar, heat_style
from console.render.tables.jobs import JobRow, job_nodes
from console.render.view import View
from console.store import JobKey, NodeView

SLOW = 0.8
"""A rank below this share of the median utilisation is marked as slow."""
_ALIGNS: tuple[Align, ...] = ("right", "left", "right", "left", "right", "right", "right", "right", "right", "left")
_TITLES = ("RANK", "NODE", "GPU", "UTIL", "%", "MEMORY", "W", "°C", "MHz", "")


def job_sections(view: View, key: JobKey, width: int) -> list[Section]:
    """Return the sections of the Job screen; one that says so when the job is gone."""
    job = view.store.jobs.get(key)
    if job is None:
        return [Section("gone", ((Cell(f"the scheduler lists {key[0]}/{key[1]} no longer", "warn"),),))]
    row = JobRow(view, job)
    sections = [Section("job", tuple(columns(job_lines(row, view, width), width, 60)))]
    if job.reservation:
        sections.append(Section("reservation", tuple(_reservations(view, job, width))))
    return [*sections, rank_section(row, width)]


def _reservations(view: View, job: Job, width: int) -> list[Line]:
    names = (job.reservation or "").split(",")
    known = [found for name in names if (found := view.store.reservations.get((job.cluster, name))) is not None]
    shown = {reservation.name for reservation in known}
    unknown = [unknown_reservation(view, name) for name in names if name not in shown]
    return [*reservation_lines(view, known, width), *unknown]


def rank_section(row: JobRow, width: int) -> Section:
    """Return one line a rank under a header, each opening its node, and before that what must be said.

    A rank is one accelerator of the job's nodes, counted in the order of its node list, as launchers count them. On
    a node that it shares with other jobs the accelerators are its own only where their processes say so; else all of
    the node are shown, and that is said.
    """
    view, job = row.view, row.job
    found = job_nodes(row)
    if not found:
        why = "it runs nowhere now" if not job.node_names else "none of its nodes is known here"
        return Section("ranks", ((Cell(f"{view.missing} {why}", "muted"),),))
    ranks: list[tuple[NodeView, Accelerator | None]] = []
    shared: list[str] = []
    for node in found:
        gpus, sure = own_gpus(node, job)
        if not sure:
            shared.append(node.key)
        ranks += [(node, gpu) for gpu in gpus] or [(node, None)]
    median = _median([gpu.utilization_percent for _, gpu in ranks if gpu is not None])
    widths = _widths(width)
    rows: list[Sequence[Cell]] = [[Cell(title.replace("°", view.glyphs.degree), "header") for title in _TITLES]]
    for rank, (node, gpu) in enumerate(ranks):
        rows.append(_rank(view, rank, node, gpu, median, widths))
    notes: list[Line] = []
    known = len(ranks) if shared == [] else None
    if shared:
        words = f"{view.glyphs.warning} shared with other jobs, all GPUs shown: {', '.join(shared)}"
        notes.append((Cell(words, "warn"),))
    elif job.accelerators is not None and known != job.accelerators and all(gpu for _, gpu in ranks):
        notes.append((Cell(f"{known} GPUs seen, {job.accelerators} held by the job", "muted"),))
    unlisted = len(job.node_names) - len(found)
    if unlisted > 0:
        notes.append((Cell(f"{view.missing} {unlisted} of its nodes are not known here", "muted"),))
    lines = (*notes, *grid(rows, widths, _ALIGNS, view))
    opens = (*[None] * (len(notes) + 1), *(("node", node.key) for node, _ in ranks))
    return Section("ranks", lines, opens)


def own_gpus(node: NodeView, job: Job) -> tuple[tuple[Accelerator, ...], bool]:
    """Return (the accelerators of a node that belong to a job, whether that is sure).

    On a shared node it is sure only where the processes of every accelerator are known.
    """
    gpus = nodes.accelerators(node)
    base = job.id.split("_", 1)[0].split("+", 1)[0]
    own = tuple(gpu for gpu in gpus if any(process.job in (job.id, base) for process in gpu.processes))
    if len(node.jobs) <= 1:
        return gpus, True
    known = not any("processes" in gpu.missing for gpu in gpus)
    return (own, True) if own and known else (gpus, not gpus)


def _median(values: Sequence[float | None]) -> float | None:
    found = sorted(nodes.known(values))
    return found[len(found) // 2] if found else None


def _widths(width: int) -> tuple[int, ...]:
    name, meter = (24, 20) if width >= 120 else (14, 8)
    used = 5 + name + 3 + meter + 3 + 12 + 5 + 3 + 5 + 9
    return (5, name, 3, meter, 3, 12, 5, 3, 5, max(width - used, 0))


def _rank(
    view: View, rank: int, node: NodeView, gpu: Accelerator | None, median: float | None, widths: Sequence[int]
) -> list[Cell]:
    if gpu is None:
        blanks = [Cell(view.missing, "muted") for _ in range(7)]
        return [Cell(str(rank), "name"), Cell(node.key), *blanks, Cell("not measured", "muted")]
    missing = view.missing
    value = gpu.utilization_percent
    stale = nodes.is_stale(view.store, node, view.now)
    style = "stale" if stale else "text"
    share = None if value is None else value / 100
    slow = value is not None and median is not None and median >= 20 and value < SLOW * median
    note = gpu_note(view, gpu)
    if slow and note.style not in ("bad", "warn"):
        note = Cell(f"{view.glyphs.warning} slow: median is {units.percent(median)}%", "warn")
    return [
        Cell(str(rank), "name"),
        Cell(node.key),
        Cell(str(gpu.index)),
        bar(share, widths[3], glyphs=view.glyphs, style="stale" if stale else None),
        view.number(units.percent(value, missing), style if stale else heat_style(share)),
        Cell(f"{units.size(gpu.memory_used_bytes, missing)}/{units.size(gpu.memory_total_bytes, missing)}", style),
        view.number(units.watts(gpu.power_w, missing), style),
        view.number(units.celsius(gpu.temperature_c, missing), style),
        view.number(units.number(gpu.clock_mhz, missing), style),
        note,
    ]
