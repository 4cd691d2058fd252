"""The journal for people and as plain data: one line an attempt, or one attempt whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from console.model import Attempt, OutcomeState, Seen
from console.nodeset import fold
from console.render import units
from console.render.cells import Align, Cell, Line, line_text
from console.render.lines import grid, pair, paragraph
from console.render.plan import outcome_lines, plan_json, plan_text
from console.render.view import View

_STYLES: Mapping[str, str] = MappingProxyType(
    {"done": "ok", "failed": "bad", "unfinished": "bad", "running": "info"}
)  # everything else is a warning
_TITLES = ("ID", "WHEN", "WHO", "ACTION", "TARGETS", "OUTCOME", "REASON")
_WIDTHS = (16, 11, 12, 10, 30, 12)


def verdict(attempt: Attempt, running: Collection[str]) -> str:
    """Return how an attempt went: done, partly, failed, unverified, interrupted, running or unfinished.

    `running`: the ids whose console still lives.
    """
    if attempt.ended_at is None:
        return "running" if attempt.id in running else "unfinished"
    done = sum(1 for one in attempt.outcomes if one.state is OutcomeState.DONE)
    if attempt.ended not in ("", "done"):
        return "interrupted"
    if done < len(attempt.outcomes):
        return "partly" if done else "failed"
    return "unverified" if attempt.unmet else "done"


def journal_text(view: View, attempts: Sequence[Attempt], running: Collection[str], width: int) -> str:
    """Return one line an attempt, the newest last."""
    if not attempts:
        return "nothing was done yet\n"
    rows: list[Sequence[Cell]] = [[Cell(title, "label") for title in _TITLES]]
    rows += [_row(view, attempt, running) for attempt in attempts]
    widths = [min(max(len(row[at].text) for row in rows), most) for at, most in enumerate(_WIDTHS)]
    widths.append(max(width - sum(widths) - len(widths), 10))
    aligns: Sequence[Align] = ["left"] * len(widths)
    return "".join(f"{line_text(line).rstrip()}\n" for line in grid(rows, widths, aligns, view))


def _row(view: View, attempt: Attempt, running: Collection[str]) -> Sequence[Cell]:
    word = verdict(attempt, running)
    names = [name for order in attempt.plan.orders for name in order.names]
    return (
        Cell(attempt.id),
        Cell(units.clock(attempt.started_at, view.now, view.missing)),
        view.text(_who(attempt)),
        Cell(attempt.plan.action),
        Cell(fold(names)),
        Cell(word, _STYLES.get(word, "warn")),
        view.text(attempt.reason),
    )


def _who(attempt: Attempt) -> str:
    if attempt.by is None:
        return ""
    return f"{attempt.by.sudo_user} as {attempt.by.user}" if attempt.by.sudo_user else attempt.by.user


def attempt_text(view: View, attempt: Attempt, running: Collection[str], width: int) -> str:
    """Return one attempt whole: who, what, how it went, and what is in doubt."""
    lines: list[Line] = [pair("attempt", attempt.id, view)]
    word = verdict(attempt, running)
    lines.append(pair("outcome", Cell(word, _STYLES.get(word, "warn")), view))
    lines.append(pair("when", units.iso(attempt.started_at), view))
    if (by := attempt.by) is not None:
        parts = [_who(attempt), f"on {by.host}", by.tty and f"at {by.tty}", by.origin and f"from {by.origin}"]
        lines.append(pair("who", " ".join(part for part in parts if part), view))
    if attempt.plan.undoes:
        lines.append(pair("undoes", attempt.plan.undoes, view))
    if attempt.ended_at is None and word == "unfinished":
        text = f"the console ended within it: qd journal --undo {attempt.id} takes back what was done"
        lines += paragraph("unfinished", text, view, width, "bad")
        for step in attempt.in_doubt:
            lines += paragraph("in doubt", attempt.plan.steps[step].text, view, width, "bad")
    unmet = {(key.partition("/")[0], key.partition("/")[2]): why for key, why in attempt.unmet.items()}
    lines += outcome_lines(view, attempt.outcomes, unmet, width)
    head = "".join(f"{line_text(line).rstrip()}\n" for line in lines)
    return f"{head}\n{plan_text(view, attempt.plan, width)}"


def attempt_json(attempt: Attempt, running: Collection[str]) -> dict[str, Any]:
    """Return one attempt as plain data: its plan with outcomes, who did it, and what was before and after."""
    unmet = {(key.partition("/")[0], key.partition("/")[2]): why for key, why in attempt.unmet.items()}
    by = attempt.by
    return {
        "id": attempt.id,
        "outcome": verdict(attempt, running),
        "started_at": units.iso(attempt.started_at),
        "ended_at": units.iso(attempt.ended_at),
        "by": None
        if by is None
        else {
            "user": by.user, "sudo_user": by.sudo_user, "host": by.host, "tty": by.tty, "from": by.origin, "pid": by.pid
        },
        "reason": attempt.reason,
        "plan": plan_json(attempt.plan, attempt.outcomes, unmet),
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
