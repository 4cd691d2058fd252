"""What many nodes answered: equal answers folded, differences between the groups; as lines, text and plain data."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from console.model import Answer, Group, OutcomeState
from console.nodeset import fold
from console.render.cells import Cell, Line, line_text

DIFF_LINES = 20_000
"""Longer outputs are not compared line by line: that takes time in the square of their length."""
MARK = "! "
"""What leads each line of standard error."""


class Numbers(NamedTuple):
    """How far a run is."""

    done: int
    total: int
    rate: float
    """Answers a second."""
    seconds: float
    running: tuple[str, ...]
    """Nodes, the one that takes longest first."""


def fold_answers(answers: Iterable[Answer]) -> tuple[Group, ...]:
    """Return the answers folded by equality: output, standard error and how it ended; the largest group first.

    Those of one size come in the order of the answers.
    """
    same: dict[tuple[object, ...], list[Answer]] = {}
    for one in answers:
        key = (one.state, one.exit_status, one.detail, one.output, one.errors)
        same.setdefault(key, []).append(one)
    groups = [Group(nodes=tuple(one.node for one in found), answer=found[0]) for found in same.values()]
    return tuple(sorted(groups, key=lambda group: -len(group.nodes)))


def reference(groups: Sequence[Group]) -> Group | None:
    """Return the group that the others are compared with: the largest that is done, else that said anything."""
    for group in groups:
        if group.answer.state is OutcomeState.DONE:
            return group
    return next((group for group in groups if group.answer.output or group.answer.errors), None)


def diff_lines(base: Group, other: Group) -> list[str]:
    """Return one group's output as a unified diff against another's; nothing: they are equal."""
    old, new = _lines(base.answer), _lines(other.answer)
    if len(old) + len(new) > DIFF_LINES:
        return [f"[{len(old):,} and {len(new):,} lines: too long to be compared]"]
    return list(difflib.unified_diff(old, new, fold(base.nodes), fold(other.nodes), lineterm="", n=2))


def _lines(answer: Answer) -> list[str]:
    lines = answer.output.split("\n") if answer.output else []
    return lines + [f"{MARK}{line}" for line in answer.errors.split("\n") if answer.errors]


def head(group: Group) -> str:
    """Return who they are, how many, and how it went when that is not just done: `gpu[03,07] (2): exit 2`."""
    name = f"{fold(group.nodes)} ({len(group.nodes)})" if len(group.nodes) > 1 else group.nodes[0]
    return f"{name}: {group.answer.detail}" if group.answer.detail else name


def head_lines(group: Group) -> list[Line]:
    """Return a group's head, and what to do about how it went."""
    answer = group.answer
    style = "title" if answer.state is OutcomeState.DONE else "bad" if answer.state is OutcomeState.FAILED else "warn"
    lines: list[Line] = [(Cell(head(group), style),)]
    return [*lines, (Cell(f"  {answer.hint}", "muted"),)] if answer.hint else lines


def output_lines(group: Group, base: Group | None = None) -> list[Line]:
    """Return a group's output, standard error marked; with `base` what differs from that one's."""
    if base is None or base is group:
        return [(Cell(text, "warn" if text.startswith(MARK) else "text"),) for text in _lines(group.answer)]
    found = diff_lines(base, group)[2:] or ["(the same output)"]
    return [(Cell(text, _diff_style(text)),) for text in found]


def _diff_style(text: str) -> str:
    return {"+": "ok", "-": "bad", "@": "info"}.get(text[:1], "muted")


def groups_text(groups: Sequence[Group], *, diff: bool = False) -> str:
    """Return the groups as text: rules, the nodes, rules, their output; with `diff` against the reference."""
    base = reference(groups) if diff else None
    ordered = groups if base is None else [base, *(group for group in groups if group is not base)]
    parts = []
    for group in ordered:
        above = [line_text(line) for line in head_lines(group)]
        rule = "-" * min(max(len(above[0]), 15), 79)
        below = [line_text(line) for line in output_lines(group, base)]
        parts.append("\n".join((rule, *above, rule, *below)) + "\n")
    return "".join(parts)


def failures(groups: Iterable[Group]) -> list[str]:
    """Return the nodes on which it is not done, folded, each with why: `gpu[03,07]: exit 2`."""
    same: dict[str, list[str]] = {}
    for group in groups:
        if group.answer.state is not OutcomeState.DONE:
            same.setdefault(group.answer.detail, []).extend(group.nodes)
    return [f"{fold(nodes)}: {why}" for why, nodes in same.items()]


def progress_text(now: Numbers, width: int) -> str:
    """Return how far it is in one line: counts, rate, and who is still at it."""
    text = f"{now.done} of {now.total}, {now.rate:.0f}/s, {now.seconds:.0f} s"
    if now.running:
        text += f", still running: {fold(now.running)}"
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def groups_json(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return plain data of the groups."""
    return [
        {
            "nodes": fold(group.nodes),
            "count": len(group.nodes),
            "state": group.answer.state.value,
            "exit": group.answer.exit_status,
            "detail": group.answer.detail,
            "output": group.answer.output,
            "errors": group.answer.errors,
        }
        for group in groups
    ]


def outcomes_json(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Return plain data of the answers, one a node."""
    return [
        {
            "target": one.node,
            "cluster": one.cluster,
            "state": one.state.value,
            "detail": one.detail,
            "exit": one.exit_status,
            "seconds": round(one.seconds, 3),
        }
        for one in answers
    ]


def counts(groups: Iterable[Group]) -> Mapping[OutcomeState, int]:
    """Return how many nodes are in each state."""
    found = dict.fromkeys(OutcomeState, 0)
    for group in groups:
        found[group.answer.state] += len(group.nodes)
    return found
