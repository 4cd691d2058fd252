"""Everything about one thing, as lines: the details pane under each table.

What a table cuts with an ellipsis stands here whole. A value that is not known says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from console.model import Finding
from console.render import nodes, units
from console.render.cells import Align, Cell, Line, cell_width, fit_runs, wrap
from console.render.glyphs import JOB_SIGNS, MOUNT_SIGNS, NODE_SIGNS, SEVERITY_SIGNS, SOURCE_SIGNS, link_sign
from console.render.tables import fleet, jobs, network, sources, storage
from console.render.view import View

LABEL = 14
"""Cells of the labels, one blank included."""


@dataclass(frozen=True, slots=True)
class Section:
    """A title and the lines under it."""

    title: str
    lines: tuple[Line, ...]


def pair(label: str, value: Cell | str | None, view: View, why: str | None = None) -> Line:
    """Return `label   value`; for a value that is not known, why."""
    name = Cell(f"{label:<{LABEL - 1}} ", "label")
    if value is None or value == "":
        return (name, Cell(f"{view.missing} {why}" if why else view.missing, "muted"))
    return (name, Cell(value) if isinstance(value, str) else value)


def paragraph(label: str, text: str | None, view: View, width: int, style: str = "text") -> list[Line]:
    """Return a long text whole, wrapped under its label; nothing when there is none."""
    if not text:
        return []
    first, *rest = wrap(text, max(width - LABEL, 10))
    lines: list[Line] = [pair(label, Cell(first, style), view)]
    lines += [(Cell(" " * LABEL), Cell(line, style)) for line in rest]
    return lines


def grid(rows: Iterable[Sequence[Cell]], widths: Sequence[int], aligns: Sequence[Align], view: View) -> list[Line]:
    """Return rows of cells as lines, every column at its width; a width of 0 leaves its column out."""
    lines: list[Line] = []
    for row in rows:
        line: list[Cell] = []
        for cell, width, align in zip(row, widths, aligns, strict=True):
            if width <= 0:
                continue
            if line:
                line.append(Cell(" "))
            line += [Cell(text, style) for text, style in fit_runs(cell, width, align, view.glyphs.ellipsis)]
        lines.append(tuple(line))
    return lines


def columns(lines: Sequence[Line], width: int, least: int = 44) -> list[Line]:
    """Return lines side by side where the width has room for two; short things only, nothing is cut."""
    half = (width - 2) // 2
    longest = max((sum(cell_width(cell.text) for cell in line) for line in lines), default=0)
    if half < least or longest > half or len(lines) < 4:
        return list(lines)
    split = -(-len(lines) // 2)
    joined: list[Line] = []
    for index in range(split):
        left = lines[index]
        if index + split >= len(lines):
            joined.append(left)
            continue
        gap = half + 2 - sum(cell_width(cell.text) for cell in left)
        joined.append((*left, Cell(" " * gap), *lines[index + split]))
    return joined


def reasons(missing: Mapping[str, str], view: View, width: int) -> list[Line]:
    """Return why values are missing, one line a value."""
    lines: list[Line] = []
    for field, why in missing.items():
        lines += paragraph(field, f"{view.missing} {why}", view, width, "muted")
    return lines


def age_line(label: str, at: float | None, view: View) -> Line:
    """Return when something was seen, and how long ago that is."""
    if at is None:
        return pair(label, None, view, "never")
    text = f"{units.clock(at, view.now)} ({units.age(view.now - at)} ago)"
    return pair(label, text, view)


def finding_lines(findings: Iterable[Finding], view: View, width: int) -> list[Line]:
    """Return findings whole: title, evidence, cause, action."""
    lines: list[Line] = []
    for finding in findings:
        sign = SEVERITY_SIGNS[finding.severity]
        lines += paragraph(finding.severity.value, f"{view.glyphs.glyph(sign)} {finding.title}", view, width, sign.style)
        lines += paragraph("evidence", finding.evidence, view, width)
        lines += paragraph("cause", finding.cause, view, width)
        lines += paragraph("action", finding.action, view, width, "info")
    return lines


def details(table: str, row: object, view: View, width: int) -> list[Line]:
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
    raise TypeError(f"{table} has no details for {type(row).__name__}")


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
    lines += finding_lines(node.findings, view, width)
    lines += gpu_lines(row, width)
    lines += paragraph("jobs", ", ".join(map(_job_words(view), node.jobs)), view, width)
    lines += paragraph("clusters", fleet.clusters(node), view, width)
    lines += paragraph("partitions", fleet.partitions(node), view, width)
    lines.append(age_line("seen", nodes.observed_at(view.store, node), view))
    status = nodes.probe_status(view.store, node)
    if status is not None:
        lines.append(pair("source", view.glyphs.state(SOURCE_SIGNS[status.state]), view))
        lines += paragraph("error", status.error, view, width, "warn")
        lines += paragraph("what to do", status.hint, view, width, "info")
    if node.sample is not None:
        lines += reasons(node.sample.missing, view, width)
    return lines


def _job_words(view: View):  # type: ignore[no-untyped-def]
    raise NotImplementedError


def gpu_lines(row: fleet.FleetRow, width: int) -> list[Line]:
    """Return one line for each accelerator, as far as the width goes."""
    raise NotImplementedError
