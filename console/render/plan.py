"""Plans and their outcomes: for people before they say yes, as text, and as plain data for JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from console.model import Call, Interrupt, OutcomeState, Plan, Step, StepOutcome
from console.nodeset import fold
from console.render import units
from console.render.cells import Align, Cell, Line, line_text
from console.render.lines import Section, grid, pair, paragraph
from console.render.view import View

SCHEMA = "quarterdeck/plan/1"
SHOWN_RUNNING = 8
"""Steps under way that are named; there are as many as the fan-out."""


class Progress(Protocol):
    """How far an attempt is; `console.actions.execute.Progress` is the real one."""

    total: int
    outcomes: list[StepOutcome]
    running: dict[int, Step]

    @property
    def rate(self) -> float:
        """Outcomes a second so far."""

    @property
    def left_s(self) -> float | None:
        """Seconds until the end; None: not known yet."""


_OUTCOME_STYLES: Mapping[OutcomeState, str] = MappingProxyType(
    {OutcomeState.DONE: "ok", OutcomeState.FAILED: "bad", OutcomeState.SKIPPED: "warn"}
)


def call_text(call: Call) -> str:
    """Return what runs as one line: a shell line of the argument vector, or the request with its body."""
    if call.argv:
        return shlex.join(call.argv)
    return " ".join(part for part in (call.method, call.path, call.body) if part)


def named(names: Sequence[str], what: str) -> str:
    """Return what an action is about in a few words: `gpu[001-003] (3 nodes)`."""
    return "".join(names) if len(names) < 2 else f"{fold(names)} ({len(names)} {what}s)"


def plan_sections(view: View, plan: Plan, width: int) -> list[Section]:
    """Return a plan, who is hurt first; sections without content are left out."""
    sections = (
        ("plan", _head(view, plan, width)),
        ("blocked", [line for text in plan.blocked_by for line in paragraph("blocked", text, view, width, "bad")]),
        (f"jobs on it ({len(plan.interrupts)})", _interrupts(view, plan)),
        ("beware", [line for text in plan.warnings for line in paragraph("", text, view, width, "warn")]),
        ("nothing to do", _unchanged(view, plan, width)),
        ("what runs", _steps(view, plan.steps, width)),
    )
    return [Section(title, tuple(lines)) for title, lines in sections if lines]


def plan_text(view: View, plan: Plan, width: int) -> str:
    """Return the sections as text, each under its title."""
    parts = []
    for section in plan_sections(view, plan, width - 2):
        lines = [line_text(line).rstrip() for line in section.lines]
        parts.append("\n".join((section.title, *(f"  {line}" for line in lines))) + "\n")
    return "\n".join(parts)


def _head(view: View, plan: Plan, width: int) -> list[Line]:
    lines = paragraph("action", plan.action, view, width)
    for order in plan.orders:
        what = f"{order.action} " if plan.undoes else ""
        lines += paragraph(order.cluster, f"{what}{fold(order.names)}  ({len(order.names)})", view, width)
        lines += paragraph("reason", order.reason, view, width)
        lines += paragraph("to", order.value, view, width)
    hurt = [one for one in plan.interrupts if one.effect.hurts]
    if hurt:
        hours = sum(one.accelerator_hours or 0.0 for one in hurt)
        jobs = "1 job" if len(hurt) == 1 else f"{len(hurt)} jobs"
        text = f"{jobs} of {', '.join(sorted({one.user or '?' for one in hurt}))}: {hours:.1f} GPU hours"
        lines += paragraph("hurts", text, view, width, "bad")
    if plan.free_at is not None:
        left = units.duration(plan.free_at - view.now)
        text = f"{units.clock(plan.free_at, view.now, view.missing)} (in {left}), when the last job has ended by itself"
        lines += paragraph("free", text, view, width)
    return lines


def _interrupts(view: View, plan: Plan) -> list[Line]:
    if not plan.interrupts:
        return []
    titles = ("JOB", "", "USER", "NAME", "GPUS", "GPU-H", "ENDS BY", "NODES")
    rows: list[Sequence[Cell]] = [[Cell(title, "label") for title in titles]]
    rows += [_interrupt(view, one) for one in plan.interrupts]
    widths = [max(len(row[at].text) for row in rows) for at in range(len(titles))]
    widths = [min(width, most) for width, most in zip(widths, (24, 9, 12, 20, 5, 7, 11, 40), strict=True)]
    aligns: Sequence[Align] = ("left", "left", "left", "left", "right", "right", "left", "left")
    return grid(rows, widths, aligns, view)


def _interrupt(view: View, one: Interrupt) -> Sequence[Cell]:
    hours = view.missing if one.accelerator_hours is None else f"{one.accelerator_hours:.1f}"
    return (
        Cell(one.job),
        Cell(one.effect.value, "bad" if one.effect.hurts else "muted"),
        view.text(one.user),
        view.text(one.name),
        view.number(units.number(one.accelerators, view.missing)),
        view.number(hours),
        view.number(units.clock(one.ends_at, view.now, view.missing)),
        view.text(one.nodes),
    )


def _unchanged(view: View, plan: Plan, width: int) -> list[Line]:
    same: dict[str, list[str]] = {}
    for targets in plan.unchanged.values():
        for name, why in targets.items():
            same.setdefault(why, []).append(name)
    return [line for why, names in same.items() for line in paragraph("", f"{fold(names)} {why}", view, width, "muted")]


def _steps(view: View, steps: Sequence[Step], width: int) -> list[Line]:
    lines: list[Line] = []
    for number, step in enumerate(steps, 1):
        where = f"  ({step.where})" if step.where else ""
        lines += paragraph(str(number), f"{step.text}{where}", view, width, "muted")
        lines += paragraph("", call_text(step.run), view, width)
        if step.undo is not None:
            lines += paragraph("undo", call_text(step.undo), view, width, "muted")
    return lines


def outcome_lines(
    view: View,
    outcomes: Sequence[StepOutcome],
    unmet: Mapping[tuple[str, str], str],
    width: int,
    *,
    verified: bool = True,
) -> list[Line]:
    """Return how it went: equal outcomes folded, then what does not hold although it was done.

    `verified`: it has ended, and somebody looked whether it became as planned.
    """
    same: dict[tuple[OutcomeState, str, str], list[str]] = {}
    for one in outcomes:
        same.setdefault((one.state, one.detail, one.hint), []).append(one.target)
    lines: list[Line] = []
    for (state, detail, hint), names in same.items():
        text = f"{fold(names)}: {detail}" if detail else fold(names)
        lines += paragraph(state.value, text, view, width, _OUTCOME_STYLES[state])
        lines += paragraph("", hint, view, width, "muted")
    failed = {(one.cluster, one.target) for one in outcomes if one.state is not OutcomeState.DONE}
    for key, why in unmet.items():
        if key not in failed:
            lines += paragraph("not verified", f"{key[1]}: {why}", view, width, "warn")
    if outcomes and not unmet and not failed and verified:
        lines.append(pair("verified", Cell("it became as planned", "ok"), view))
    return lines


def progress_lines(view: View, progress: Progress, stopped: str, width: int) -> list[Line]:
    """Return how far it is: counts, rate, time left, what runs now, and how it went so far."""
    done, total = len(progress.outcomes), progress.total
    left = "" if progress.left_s is None else f", {progress.left_s:.0f} s left"
    lines = paragraph("done", f"{done} of {total}, {progress.rate:.1f}/s{left}", view, width, "accent")
    lines += paragraph("stopping", f"{stopped}: nothing else begins" if stopped else "", view, width, "warn")
    for step in list(progress.running.values())[:SHOWN_RUNNING]:
        lines += paragraph("runs", step.text or call_text(step.run), view, width, "info")
    return lines + outcome_lines(view, progress.outcomes, {}, width, verified=False)


def call_json(call: Call | None) -> list[str] | dict[str, str] | None:
    """Return an argument vector as a list, a request as an object."""
    if call is None:
        return None
    if call.argv:
        return list(call.argv)
    return {"method": call.method, "path": call.path, "body": call.body}


def plan_json(
    plan: Plan, outcomes: Sequence[StepOutcome] | None = None, unmet: Mapping[tuple[str, str], str] | None = None
) -> dict[str, Any]:
    """Return plain data; `outcomes`, `verified` and `unmet` only after it ran."""
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "id": plan.id,
        "action": plan.action,
        "made_at": units.iso(plan.made_at),
        "targets": [name for order in plan.orders for name in order.names],
        "orders": [
            {"cluster": order.cluster, "action": order.action, "targets": fold(order.names), "value": order.value}
            for order in plan.orders
        ],
        "reason": next((order.reason for order in plan.orders if order.reason), None),
        "steps": [
            {
                "target": fold(step.names),
                "cluster": step.cluster,
                "text": step.text,
                "where": step.where,
                "phase": step.phase,
                "run": call_json(step.run),
                "undo": call_json(step.undo),
            }
            for step in plan.steps
        ],
        "interrupts": [_interrupt_json(one) for one in plan.interrupts],
        "blocked_by": list(plan.blocked_by),
        "warnings": list(plan.warnings),
        "unchanged": {name: why for targets in plan.unchanged.values() for name, why in targets.items()},
        "free_at": units.iso(plan.free_at),
        "confirm": plan.confirm,
        "undoes": plan.undoes,
    }
    if outcomes is not None:
        found["outcomes"] = [
            {"target": one.target, "cluster": one.cluster, "state": one.state.value, "detail": one.detail}
            for one in outcomes
        ]
        missed = unmet or {}
        found["verified"] = not missed
        found["unmet"] = [{"cluster": key[0], "target": key[1], "why": why} for key, why in missed.items()]
    return found


def _interrupt_json(one: Interrupt) -> dict[str, Any]:
    hours = one.accelerator_hours
    return {
        "job": one.job,
        "cluster": one.cluster,
        "name": one.name,
        "user": one.user,
        "effect": one.effect.value,
        "nodes": one.nodes,
        "accelerators": one.accelerators,
        "accelerator_hours": None if hours is None else round(hours, 3),
        "ends_at": units.iso(one.ends_at),
    }
