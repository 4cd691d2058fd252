"""The header: what this is, how fresh, and the fleet in numbers."""

from __future__ import annotations

import time

from console.model import Cluster, JobState, SourceState
from console.render import units
from console.render.cells import Cell, Line, cell_width, fit
from console.render.glyphs import SOURCE_SIGNS
from console.render.view import View
from console.store import Totals

SIMULATED = "SIMULATED"


def title_line(view: View, width: int, *, paused: bool = False) -> Line:
    """Return the first line: name, clusters, SIMULATED; and at the right the time and how fresh it all is."""
    fresh = freshness(view, paused=paused)
    clock = time.strftime("%H:%M:%S", time.localtime(view.now))
    right: Line = (Cell(f"{clock} ", "muted"), fresh)
    left: list[Cell] = [Cell("quarterdeck", "title")]
    if view.simulated:
        left += [Cell(" "), Cell(f" {SIMULATED} ", "simulated")]
    if _width(left) + _width(right) >= width:
        right = (fresh,)
    room = width - _width(left) - _width(right) - 4
    names = f" {view.glyphs.separator} ".join(map(cluster_name, view.store.clusters.values()))
    if names and room > 4:
        left.append(Cell("  " + fit(names, min(room, cell_width(names)), ellipsis=view.glyphs.ellipsis), "text"))
    gap = max(width - _width(left) - _width(right), 1)
    return (*left, Cell(" " * gap), *right)


def cluster_name(cluster: Cluster) -> str:
    """Return `prod (slurm 24.11)`; a lone host or the local machine needs no version."""
    about = " ".join(part for part in (cluster.kind.value, cluster.version) if part)
    return cluster.name if about == cluster.name else f"{cluster.name} ({about})"


def freshness(view: View, *, paused: bool = False) -> Cell:
    """Return `● live`, or how many sources are, how bad the worst of the others is, and how old its last word."""
    glyphs = view.glyphs
    if paused:
        return Cell("= paused" if glyphs.ascii else "‖ paused", "warn")
    totals = view.store.totals
    worst = totals.worst_source
    if worst is None and view.failure is not None:
        return glyphs.state(SOURCE_SIGNS[SourceState.ERROR], "failed")
    if worst is None:
        return glyphs.state(SOURCE_SIGNS[SourceState.CONNECTING])
    states = totals.source_states
    failing = len(view.store.sources) - states[SourceState.OK] - states[SourceState.UNSUPPORTED]
    if failing == 0:
        return glyphs.state(SOURCE_SIGNS[SourceState.OK])
    sign = SOURCE_SIGNS[worst]
    silent = [status.observed_at for status in view.store.sources.values() if status.state is worst]
    seen = [at for at in silent if at is not None]
    since = f" {units.age(view.now - min(seen), view.missing)}" if seen else ""
    return Cell(
        f"{glyphs.glyph(sign)} {states[SourceState.OK]}/{len(view.store.sources)} live, {sign.word}{since}", sign.style
    )


def old_words(view: View, lists: str | None) -> Cell | None:
    """Return `slurm lab: 2m old` of the source that lists `lists` (nodes, jobs) and has been silent the longest.

    None while all of them answer, or have never answered: then there is no table to be old.
    """
    silent = [
        (status.observed_at, status)
        for status in view.store.sources.values()
        if status.node is None
        and status.observed_at is not None
        and status.name.endswith(f"/{lists}")
        and status.state not in (SourceState.OK, SourceState.CONNECTING)
    ]
    if not silent:
        return None
    seen, oldest = min(silent, key=lambda pair: pair[0])
    name = oldest.cluster if oldest.cluster == oldest.kind else f"{oldest.kind} {oldest.cluster}"
    name = fit(name, min(cell_width(name), 16), ellipsis=view.glyphs.ellipsis)
    return Cell(f"{name}: {units.age(view.now - seen):>3} old", "warn")


def _width(cells: list[Cell] | Line) -> int:
    return sum(cell_width(cell.text) for cell in cells)


def _group(label: str, *cells: Cell) -> Line:
    return (Cell(f"{label} ", "label"), *cells)


def groups(view: View, totals: Totals) -> list[Line]:
    """Return the totals, the most important first; those of which nothing is known are left out."""
    dot = " . " if view.glyphs.ascii else " · "
    missing = view.missing
    found: list[Line] = []
    if totals.nodes:
        usable = totals.nodes_usable
        style = "ok" if usable == totals.nodes else "warn"
        found.append(_group("nodes", Cell(f"{usable}/{totals.nodes}", style), Cell(" up")))
    if totals.gpus:
        sick = (Cell(dot, "muted"), Cell(f"{totals.gpus_sick} sick", "bad")) if totals.gpus_sick else ()
        found.append(_group("gpus", Cell(f"{totals.gpus_busy}/{totals.gpus}", "busy"), Cell(" busy"), *sick))
    if totals.utilization_percent is not None:
        found.append(_group("util", Cell(f"{units.percent(totals.utilization_percent):>3}%")))
    jobs = totals.job_states
    if view.store.jobs:
        held = (Cell(f" {jobs[JobState.HELD]} held", "warn"),) if jobs[JobState.HELD] else ()
        found.append(
            _group(
                "jobs",
                Cell(f"{jobs[JobState.RUNNING]}", "busy"),
                Cell(" run "),
                Cell(f"{jobs[JobState.PENDING]}", "info"),
                Cell(" wait"),
                *held,
            )
        )
    if totals.power_w is not None:
        found.append(_group("power", Cell(f"{units.rate(totals.power_w, missing)}W")))
    if totals.traffic is not None:
        down = (Cell(dot, "muted"), Cell(f"{totals.links_down} down", "warn")) if totals.links_down else ()
        found.append(_group("net", Cell(f"{units.rate(totals.traffic, missing)}B/s"), *down))
    if totals.mounts_bad:
        found.append(_group("mounts", Cell(f"{totals.mounts_bad} slow or hung", "bad")))
    return found


def totals_lines(view: View, totals: Totals, width: int, height: int = 2) -> list[Line]:
    """Return the totals in at most `height` lines of `width`; what does not fit is left out, the least
    important first."""
    lines: list[list[Cell]] = [[]]
    for group in groups(view, totals):
        size = _width(group)
        used = _width(lines[-1])
        if used and used + 3 + size > width:
            if len(lines) == height:
                break
            lines.append([])
            used = 0
        if size > width:
            break
        if used:
            lines[-1].append(Cell("   "))
        lines[-1].extend(group)
    return [tuple(line) for line in lines if line][:height]
