"""Why a job waits or ended: as sections of lines, as text, and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from console.model import Event, Explanation, Limit
from console.render import units
from console.render.cells import Cell, Line, cell_width, line_text
from console.render.glyphs import JOB_SIGNS
from console.render.lines import LABEL, Section, grid, pair, paragraph, reasons
from console.render.view import View

SCHEMA = "quarterdeck/explanation/1"


def explanation_sections(view: View, found: Explanation, width: int) -> list[Section]:
    """Return what is known, the most wanted first; sections without content are left out."""
    sections = [Section("why", tuple(_why(view, found, width)))]
    rows = (
        ("limits", _limits(view, found)),
        ("nodes that would fit", _fits(view, found, width)),
        ("waits for", _dependencies(view, found)),
        ("priority", _priority(view, found, width)),
        ("what happened", event_lines(view, found.events, width)),
        ("not known", reasons(found.missing, view, width)),
    )
    return [*sections, *(Section(title, tuple(lines)) for title, lines in rows if lines)]


def explanation_text(view: View, found: Explanation, width: int) -> str:
    """Return the sections as text, each under its title."""
    parts = []
    for section in explanation_sections(view, found, width):
        lines = [line_text(line).rstrip() for line in section.lines]
        parts.append("\n".join((section.title, *(f"  {line}" for line in lines))) + "\n")
    return "\n".join(parts)


def explanation_json(found: Explanation) -> dict[str, Any]:
    """Return plain data: the fields of `Explanation` under `schema`, times as ISO-8601 in UTC, unknown ones null."""
    values: dict[str, Any] = {"schema": SCHEMA}
    for field in msgspec.structs.fields(Explanation):
        values[field.name] = msgspec.to_builtins(_whole(getattr(found, field.name)))
    values["expected_start_at"] = units.iso(found.expected_start_at)
    for event in values["events"]:
        event["at"] = units.iso(event["at"])
    return values


def _whole(value: object) -> object:
    """Return records as dictionaries with all their fields; the records themselves leave out what is unset."""
    if isinstance(value, tuple):
        return [_whole(item) for item in value]
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else value


def _why(view: View, found: Explanation, width: int) -> list[Line]:
    state = view.glyphs.state(JOB_SIGNS[found.state])
    lines: list[Line] = [pair("job", f"{found.cluster}/{found.job}", view), pair("state", state, view)]
    lines += paragraph("in words", found.summary, view, width)
    for cause in found.causes:
        count = "" if cause.nodes is None else f" ({units.number(cause.nodes)} nodes)"
        code = cause.code or view.missing
        if cell_width(code) >= LABEL:
            lines.append((Cell(code, "label"),))
            code = ""
        lines += paragraph(code, f"{cause.text}{count}", view, width, "warn")
        lines += paragraph("", cause.next_step, view, width, "info")
    if found.expected_start_at is not None:
        at = units.clock(found.expected_start_at, view.now)
        lines += paragraph("starts", f"{at}, says {found.estimate_source or 'the scheduler'}", view, width)
    if found.position is not None:
        lines.append(pair("place", f"{found.position:,} in its queue", view))
    return lines


def _amount(limit: Limit, value: float | None, view: View) -> Cell:
    form = units.size if limit.resource.startswith("mem") else units.number
    return view.number(form(value, view.missing))


def _limits(view: View, found: Explanation) -> list[Line]:
    if not found.limits:
        return []
    head = [Cell(title, "header") for title in ("OF", "WHAT", "USED", "ASKED", "LIMIT")]
    rows: list[Sequence[Cell]] = [head]
    for limit in found.limits:
        amounts = (_amount(limit, value, view) for value in (limit.used, limit.asked, limit.limit))
        rows.append([Cell(limit.scope), Cell(limit.resource), *amounts])
    return grid(rows, (32, 14, 8, 8, 8), ("left", "left", "right", "right", "right"), view)


def _fits(view: View, found: Explanation, width: int) -> list[Line]:
    if not found.fits:
        return []
    rows: list[Sequence[Cell]] = [[Cell(title, "header") for title in ("NODES", "GPUS FREE", "WHY NOT NOW", "")]]
    for fit in found.fits:
        free = view.number(units.number(fit.accelerators_free, view.missing))
        rows.append([view.number(units.number(fit.count)), free, Cell(fit.why), Cell(fit.nodes or "", "muted")])
    return grid(rows, (6, 9, 40, max(width - 58, 12)), ("right", "right", "left", "left"), view)


def _dependencies(view: View, found: Explanation) -> list[Line]:
    rows: list[Sequence[Cell]] = []
    for needed in found.dependencies:
        state = Cell(view.missing, "muted") if needed.state is None else view.glyphs.state(JOB_SIGNS[needed.state])
        rows.append([Cell(needed.condition, "label"), Cell(needed.id, "name"), state, Cell(needed.name or "")])
    return grid(rows, (14, 12, 14, 30), ("left", "left", "left", "left"), view)


def _priority(view: View, found: Explanation, width: int) -> list[Line]:
    rows: list[Sequence[Cell]] = []
    for part in found.priority:
        share = "" if part.share is None else f"{part.share:.2f}"
        value = view.number(units.number(round(part.value)))
        rows.append([Cell(part.name, "label"), value, Cell(share, "muted"), Cell(part.note, "muted")])
    return grid(rows, (14, 12, 6, max(width - 35, 0)), ("left", "right", "right", "left"), view)


def event_lines(view: View, events: Sequence[Event], width: int) -> list[Line]:
    """Return what happened in order; what is told again and again stands once, with how often and until when."""
    same: dict[str, list[float | None]] = {}
    for event in events:
        same.setdefault(event.text, []).append(event.at)
    lines: list[Line] = []
    for text, times in same.items():
        if len(times) > 1:
            text = f"{text}  ({len(times)} times, last {units.clock(times[-1], view.now, view.missing)})"
        lines += paragraph(units.clock(times[0], view.now, view.missing), text, view, width)
    return lines
