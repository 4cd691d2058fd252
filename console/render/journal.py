"""The journal for people and as plain data: one line an attempt, or one attempt whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from console.model import Attempt, OutcomeState, Seen
from console.nodeset import fold
from console.render import units
from console.render.cells import Align, Cell, Line, line_text
from console.render.lines import Section, grid, pair, paragraph
from console.render.plan import outcome_lines, plan_json, plan_sections, plan_text
from console.render.view import View

VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "done": "ok", "running": "info", "interrupted": "warn", "unverified": "warn", "partly": "warn", "failed": "bad",
        "unfinished": "bad",
    }
)  # fmt: skip
"""How an attempt may have gone, the best first, each with its style."""
_TITLES = ("ID", "WHEN", "WHO", "ACTION", "TARGETS", "OUTCOME", "REASON")
_WIDTHS = (16, 11, 12, 10, 30, 12)


def verdict(attempt: Attempt) -> str:
    """Return how an attempt went: done, partly, failed, unverified, interrupted, running or unfinished."""
    if attempt.ended_at is None:
        return "running" if attempt.alive else "unfinished"
    done = sum(1 for one in attempt.outcomes if one.state is OutcomeState.DONE)
    if attempt.ended not in ("", "done"):
        return "interrupted"
    if done < len(attempt.outcomes):
        return "partly" if done else "failed"
    return "unverified" if attempt.unmet else "done"


def verdict_cell(attempt: Attempt) -> Cell:
    """Return how it went, in its colour."""
    word = verdict(attempt)
    return Cell(word, VERDICTS[word])


def who(attempt: Attempt) -> str:
    """Return who did it, and as whom."""
    if attempt.by is None:
        return ""
    return f"{attempt.by.sudo_user} as {attempt.by.user}" if attempt.by.sudo_user else attempt.by.user


def journal_text(view: View, attempts: Sequence[Attempt], width: int) -> str:
    """Return one line an attempt, the newest last."""
    if not attempts:
        return "nothing was done yet\n"
    rows: list[Sequence[Cell]] = [[Cell(title, "label") for title in _TITLES]]
    rows += [_row(view, attempt) for attempt in attempts]
    widths = [min(max(len(row[at].text) for row in rows), most) for at, most in enumerate(_WIDTHS)]
    widths.append(max(width - sum(widths) - len(widths), 10))
    aligns: Sequence[Align] = ["left"] * len(widths)
    return "".join(f"{line_text(line).rstrip()}\n" for line in grid(rows, widths, aligns, view))


def _row(view: View, attempt: Attempt) -> Sequence[Cell]:
    names = [name for order in attempt.plan.orders for name in order.names]
    return (
        Cell(attempt.id),
        Cell(units.clock(attempt.started_at, view.now, view.missing)),
        view.text(who(attempt)),
        Cell(attempt.plan.action),
        Cell(fold(names)),
        verdict_cell(attempt),
        view.text(attempt.reason),
    )


def attempt_lines(view: View, attempt: Attempt, width: int) -> list[Line]:
    """Return who, when, how it went, and what is in doubt."""
    lines: list[Line] = [pair("attempt", attempt.id, view), pair("outcome", verdict_cell(attempt), view)]
    lines.append(pair("when", units.iso(attempt.started_at), view))
    if (by := attempt.by) is not None:
        parts = [who(attempt), f"on {by.host}", by.tty and f"at {by.tty}", by.origin and f"from {by.origin}"]
        lines.append(pair("who", " ".join(part for part in parts if part), view))
    lines += paragraph("reason", attempt.reason, view, width)
    if attempt.plan.undoes:
        lines.append(pair("undoes", attempt.plan.undoes, view))
    if verdict(attempt) == "unfinished":
        text = f"the console ended within it: qd journal --undo {attempt.id} takes back what was done"
        lines += paragraph("unfinished", text, view, width, "bad")
        for step in attempt.in_doubt:
            lines += paragraph("in doubt", attempt.plan.steps[step].text, view, width, "bad")
    ended = attempt.ended_at is not None
    return lines + outcome_lines(view, attempt.outcomes, _unmet(attempt), width, verified=ended)


def attempt_sections(view: View, attempt: Attempt, width: int) -> list[Section]:
    """Return one attempt whole, its plan below how it went."""
    went = Section(attempt.plan.action, tuple(attempt_lines(view, attempt, width)))
    return [went, *plan_sections(view, attempt.plan, width)]


def attempt_text(view: View, attempt: Attempt, width: int) -> str:
    """Return one attempt whole as text."""
    head = "".join(f"{line_text(line).rstrip()}\n" for line in attempt_lines(view, attempt, width))
    return f"{head}\n{plan_text(view, attempt.plan, width)}"


def _unmet(attempt: Attempt) -> dict[tuple[str, str], str]:
    return {(key.partition("/")[0], key.partition("/")[2]): why for key, why in attempt.unmet.items()}


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """Return one attempt as plain data: its plan with outcomes, who did it, and what was before and after."""
    by = attempt.by
    return {
        "id": attempt.id,
        "outcome": verdict(attempt),
        "started_at": units.iso(attempt.started_at),
        "ended_at": units.iso(attempt.ended_at),
        "by": None
        if by is None
        else {
            "user": by.user, "sudo_user": by.sudo_user, "host": by.host, "tty": by.tty, "from": by.origin, "pid": by.pid
        },
        "reason": attempt.reason,
        "plan": plan_json(attempt.plan, attempt.outcomes, _unmet(attempt)),
        "before": [_seen(one) for one in attempt.plan.before],
        "after": [_seen(one) for one in attempt.after],
        "in_doubt": [attempt.plan.steps[step].text for step in attempt.in_doubt if step < len(attempt.plan.steps)],
    }  # fmt: skip


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "cluster": seen.cluster,
        "target": seen.name,
        "state": seen.state,
        "scheduler_state": seen.scheduler_state,
        "reason": seen.reason,
        "reason_by": seen.reason_by,
        "reason_at": units.iso(seen.reason_at),
        "values": dict(seen.values),
    }
