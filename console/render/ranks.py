"""The accelerators of one job: rank by rank, as a map, and the one that falls behind the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from console.model import Accelerator, Job
from console.render import nodes, units
from console.render.cells import Align, Cell, Line
from console.render.gpus import gpu_note
from console.render.heat import HeatMetric, heat_layout, heat_line, node_cells
from console.render.lines import Section, grid, paragraph
from console.render.spark import bar, heat_style
from console.render.tables.jobs import JobRow, job_nodes
from console.render.view import View
from console.store import NodeView

SLOW = 0.8
"""A rank below this share of the median utilisation is marked as slow."""
FEWEST = 4
"""Measured ranks from which on one of them can be told from the others."""
BEYOND = 6.0
"""Robust deviations from the median from which on a rank stands out."""
LISTED_RANKS = 128
"""Ranks that are listed one by one: of a larger job those that matter."""
LISTED_NODES = 32
"""Nodes up to which each has its own line of the map."""
_ALIGNS: tuple[Align, ...] = ("right", "left", "right", "left", "right", "right", "right", "right", "right", "left")
_TITLES = ("RANK", "NODE", "GPU", "UTIL", "%", "MEMORY", "W", "°C", "MHz", "")
_MAPS = ((HeatMetric.UTILIZATION, "UTIL"), (HeatMetric.POWER, "POWER"), (HeatMetric.MEMORY, "MEMORY"))


@dataclass(frozen=True, slots=True)
class Rank:
    """One accelerator of a job; None: of a node that nobody measures."""

    number: int
    node: NodeView
    gpu: Accelerator | None


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks of a job, in the order of its node list, as launchers count them."""

    ranks: tuple[Rank, ...]
    nodes: tuple[NodeView, ...]
    shared: tuple[str, ...]
    """Nodes of which all accelerators are shown, because nobody knows which are the job's."""
    unlisted: int
    """Nodes of the job that are not known here."""


def ranks_of(row: JobRow) -> Ranks:
    """Return the ranks of a job.

    A rank is one accelerator of its nodes. On a node that it shares with other jobs the accelerators are its own only
    where their processes say so; else all of the node are shown, and that is said.
    """
    found = tuple(job_nodes(row))
    pairs: list[tuple[NodeView, Accelerator | None]] = []
    shared: list[str] = []
    for node in found:
        gpus, sure = own_gpus(node, row.job)
        if not sure:
            shared.append(node.key)
        pairs += [(node, gpu) for gpu in gpus] or [(node, None)]
    numbered = tuple(Rank(number, node, gpu) for number, (node, gpu) in enumerate(pairs))
    return Ranks(numbered, found, tuple(shared), len(row.job.node_names) - len(found))


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


def map_section(row: JobRow, found: Ranks, width: int) -> Section | None:
    """Return one line a node with a cell for each GPU: utilisation, power and memory; None when there is nothing.

    Of many nodes only utilisation, several nodes a line.
    """
    view = row.view
    if not any(rank.gpu for rank in found.ranks):
        return None
    if len(found.nodes) > LISTED_NODES:
        layout = heat_layout(view, [node.key for node in found.nodes], width)
        lines = tuple(heat_line(view, layout, at, HeatMetric.UTILIZATION) for at in range(len(layout.lines)))
        return Section("utilisation of each GPU", lines)
    cells = max(min(nodes.accelerator_count(node) or 1, 16) for node in found.nodes)
    per_map = max(cells, 6)
    name = min(max(len(node.key) for node in found.nodes), 24)
    maps = _MAPS if name + 3 * (per_map + 2) + 18 <= width else _MAPS[:1]
    heads = [f"{title:<{per_map}}" for _, title in maps]
    head: Line = (
        Cell(f"{'NODE':<{name}}  ", "header"),
        Cell("  ".join(heads), "header"),
        Cell("     %      W   NET/s", "header"),
    )
    lines = (
        head,
        *(_map_line(view, node, [metric for metric, _ in maps], name, cells, per_map) for node in found.nodes),
    )
    return Section("GPUs", lines, (None, *(("node", node.key) for node in found.nodes)))


def _map_line(view: View, node: NodeView, maps: Sequence[HeatMetric], name: int, cells: int, per_map: int) -> Line:
    line: list[Cell] = [Cell(f"{node.key:<{name}}"[:name] + "  ", "name")]
    for metric in maps:
        line += [*node_cells(view, node, metric, cells), Cell(" " * (per_map - cells + 2))]
    gpus = nodes.accelerators(node)
    stale = nodes.is_stale(view.store, node, view.now)
    mean = nodes.mean([gpu.utilization_percent for gpu in gpus])
    values = (
        f"{units.percent(mean, view.missing):>4}",
        f"{units.watts(nodes.total([gpu.power_w for gpu in gpus]), view.missing):>7}",
        f"{units.rate(nodes.traffic(node), view.missing):>8}",
    )
    return (*line, *(Cell(text, "stale" if stale else "text") for text in values))


def odd_one(found: Ranks) -> tuple[Rank, str] | None:
    """Return the rank that stands out most from the others, and by what; None when none does.

    By the median and the median deviation of each measure over all ranks: one rank that is wrong moves neither. What
    is not known stands out by nothing.
    """
    worst: tuple[float, Rank, str] | None = None
    for label, measure, floor in _MEASURES:
        known = [(rank, value) for rank in found.ranks if rank.gpu and (value := measure(rank.gpu)) is not None]
        if len(known) < FEWEST:
            continue
        median = _middle([value for _, value in known])
        spread = max(1.4826 * _middle([abs(value - median) for _, value in known]), floor * max(median, 1.0))
        rank, value = min(known, key=lambda pair: pair[1])
        beyond = (median - value) / spread
        if beyond > BEYOND and median > 0 and (worst is None or beyond > worst[0]):
            unit = label.split()[1]
            worst = beyond, rank, f"{label.format(value)} while the median of {len(known)} is {median:.0f} {unit}"
    return None if worst is None else (worst[1], worst[2])


_MEASURES: tuple[tuple[str, Callable[[Accelerator], float | None], float], ...] = (
    ("{:.0f} % utilisation", lambda gpu: gpu.utilization_percent, 0.03),
    ("{:.0f} MHz", lambda gpu: gpu.clock_mhz, 0.02),
    ("{:.0f} W", lambda gpu: gpu.power_w, 0.04),
)
"""What is compared, and the share of the median that is taken for ordinary where the ranks are all alike."""


def odd_lines(row: JobRow, found: Ranks, width: int) -> list[Line]:
    """Return which rank falls behind, on what evidence; nothing where none does."""
    odd = odd_one(found)
    if odd is None or odd[0].gpu is None:
        return []
    rank, why = odd
    gpu = rank.gpu
    assert gpu is not None
    slowed = [reason for reason in gpu.throttle if "idle" not in reason]
    note = f"; it says {', '.join(slowed)}" if slowed else ""
    text = f"rank {rank.number}, GPU {gpu.index} of {rank.node.key}: {why}{note}"
    return paragraph("falls behind", text, row.view, width, "warn")


def rank_section(row: JobRow, found: Ranks, width: int) -> Section:
    """Return one line a rank under a header, each opening its node, and before that what must be said."""
    view, job = row.view, row.job
    if not found.nodes:
        why = "it runs nowhere now" if not job.node_names else "none of its nodes is known here"
        return Section("ranks", ((Cell(f"{view.missing} {why}", "muted"),),))
    ranks = found.ranks
    median = _median([rank.gpu.utilization_percent for rank in ranks if rank.gpu is not None])
    widths = _widths(width)
    rows: list[Sequence[Cell]] = [[Cell(title.replace("°", view.glyphs.degree), "header") for title in _TITLES]]
    notes = _notes(view, job, found)
    if len(ranks) > LISTED_RANKS:
        words = f"{LISTED_RANKS} of {len(ranks):,} ranks, the least busy first"
        notes.append((Cell(words, "muted"),))
        ranks = tuple(sorted(ranks, key=_busy)[:LISTED_RANKS])
    rows += [_rank(view, rank.number, rank.node, rank.gpu, median, widths) for rank in ranks]
    lines = (*notes, *grid(rows, widths, _ALIGNS, view))
    opens = (*[None] * (len(notes) + 1), *(("node", rank.node.key) for rank in ranks))
    return Section("ranks", lines, opens)


def _busy(rank: Rank) -> float:
    """Return what the least busy ranks have least of; those that are not measured come last."""
    value = None if rank.gpu is None else rank.gpu.utilization_percent
    return value if value is not None else float("inf")


def _notes(view: View, job: Job, found: Ranks) -> list[Line]:
    notes: list[Line] = []
    count = len(found.ranks)
    if found.shared:
        words = f"{view.glyphs.warning} shared with other jobs, all GPUs shown: {', '.join(found.shared)}"
        notes.append((Cell(words, "warn"),))
    elif job.accelerators is not None and count != job.accelerators and all(rank.gpu for rank in found.ranks):
        notes.append((Cell(f"{count} GPUs seen, {job.accelerators} held by the job", "muted"),))
    if found.unlisted > 0:
        notes.append((Cell(f"{view.missing} {found.unlisted} of its nodes are not known here", "muted"),))
    return notes


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


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
