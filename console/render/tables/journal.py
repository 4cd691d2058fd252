"""The Journal table: what was tried, by whom, and how it went."""

from __future__ import annotations

from dataclasses import dataclass

from console.model import Attempt
from console.nodeset import fold
from console.render import units
from console.render.cells import Cell
from console.render.journal import VERDICTS, verdict, verdict_cell, who
from console.render.tables.base import Column, RowId, Table
from console.render.view import View
from console.store import Changes, NodeView, Store


@dataclass(slots=True)
class AttemptRow:
    """One attempt."""

    view: View
    attempt: Attempt


def rows(store: Store) -> list[RowId]:
    """Return the ids of all attempts, the oldest first."""
    return list(store.attempts)


def row(view: View, row_id: RowId) -> AttemptRow | None:
    """Return one attempt."""
    attempt = view.store.attempts.get(row_id) if isinstance(row_id, str) else None
    return None if attempt is None else AttemptRow(view, attempt)


def changed(store: Store, changes: Changes) -> set[RowId]:
    """Return the attempts that are new or went on."""
    return {name for name in changes.attempts if name in store.attempts}


def targets(row: AttemptRow) -> str:
    """Return what it acts on, folded; jobs as they are."""
    return fold([name for order in row.attempt.plan.orders for name in order.names])


def _clusters(row: AttemptRow) -> str:
    return ", ".join(dict.fromkeys(order.cluster for order in row.attempt.plan.orders))


def _nodes(row: AttemptRow) -> tuple[NodeView, ...]:
    store = row.view.store
    found = (
        store.nodes.get(store.key(order.cluster, name)) for order in row.attempt.plan.orders for name in order.names
    )
    return tuple(view for view in found if view is not None)


def _text(row: AttemptRow) -> str:
    attempt = row.attempt
    parts = (attempt.id, attempt.plan.action, targets(row), who(attempt), attempt.reason, verdict(attempt))
    return "\n".join(part for part in (*parts, _clusters(row)) if part)


def _held(row: AttemptRow) -> float:
    return row.view.now - row.attempt.started_at


# fmt: off
COLUMNS: tuple[Column[AttemptRow], ...] = (
    Column(
        "when", "WHEN", 11, lambda row: Cell(units.clock(row.attempt.started_at, row.view.now, row.view.missing)),
        _held, "when it began; filters and sorts by how long ago that is", 2, unit="seconds", names=("age",),
    ),
    Column(
        "action", "ACTION", 9, lambda row: Cell(row.attempt.plan.action, "name"), lambda row: row.attempt.plan.action,
        "what was done", 1, max_width=11,
    ),
    Column(
        "targets", "TARGETS", 18, lambda row: Cell(targets(row)), targets, "nodes or jobs", 3, min_width=12,
        max_width=44, names=("nodes", "jobs"),
    ),
    Column(
        "outcome", "OUTCOME", 11, lambda row: verdict_cell(row.attempt), lambda row: verdict(row.attempt),
        "done, partly, failed, unverified, interrupted, running, unfinished; sorts by how bad", 4,
        order=lambda row: list(VERDICTS).index(verdict(row.attempt)), names=("state",),
    ),
    Column(
        "who", "WHO", 10, lambda row: row.view.text(who(row.attempt)), lambda row: who(row.attempt), "who did it", 5,
        min_width=8, max_width=20, names=("user",),
    ),
    Column(
        "reason", "REASON", 20, lambda row: row.view.text(row.attempt.reason), lambda row: row.attempt.reason, "why", 6,
        min_width=12, max_width=80,
    ),
    Column(
        "cluster", "CLUSTER", 10, lambda row: Cell(_clusters(row), "muted"), _clusters, "where", 7, max_width=24,
    ),
    Column(
        "id", "ID", 16, lambda row: Cell(row.attempt.id, "muted"), lambda row: row.attempt.id,
        "its id, for qd journal", 8,
    ),
)
# fmt: on


TABLE: Table[AttemptRow] = Table(
    id="journal",
    title="Journal",
    noun="attempt",
    columns=COLUMNS,
    rows=rows,
    row=row,
    changed=changed,
    text=_text,
    nodes=_nodes,
    default_sort=("when", False),
    empty="nothing was done yet",
)
