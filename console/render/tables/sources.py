"""The Sources table: where every value comes from, and how that source is doing."""

from __future__ import annotations

from dataclasses import dataclass

from console.model import SourceStatus
from console.render import units
from console.render.cells import Cell
from console.render.glyphs import SOURCE_SIGNS
from console.render.tables.base import Column, RowId, Table, by_name, natural_key
from console.render.view import View
from console.store import Changes, NodeView, Store


@dataclass(slots=True)
class SourceRow:
    """One source."""

    view: View
    source: SourceStatus


def rows(store: Store) -> list[RowId]:
    """Return the names of all sources."""
    return list(by_name(store.sources))


def row(view: View, row_id: RowId) -> SourceRow | None:
    """Return one source."""
    source = view.store.sources.get(row_id) if isinstance(row_id, str) else None
    return None if source is None else SourceRow(view, source)


def changed(store: Store, changes: Changes) -> set[RowId]:
    """Return the sources that changed and still exist."""
    return {name for name in changes.sources if name in store.sources}


def age(row: SourceRow) -> float | None:
    """Seconds since its last good answer."""
    return None if row.source.observed_at is None else row.view.now - row.source.observed_at


def _nodes(row: SourceRow) -> tuple[NodeView, ...]:
    """Return the one node that it speaks for; none for a source that speaks for many."""
    source, store = row.source, row.view.store
    node = None if source.node is None else store.nodes.get(store.key(source.cluster, source.node))
    return () if node is None else (node,)


def next_try(row: SourceRow) -> float | None:
    """Seconds until it is asked again; 0 when that is due."""
    return None if row.source.next_try_at is None else max(row.source.next_try_at - row.view.now, 0.0)


def held(row: SourceRow) -> float | None:
    """Seconds that its state has held."""
    return None if row.source.since is None else row.view.now - row.source.since


def _age(row: SourceRow) -> Cell:
    value = age(row)
    late = value is not None and row.source.period_s is not None and value > 2 * row.source.period_s + 1
    return row.view.number(units.age(value, row.view.missing), "warn" if late else "text")


def _error(row: SourceRow) -> Cell:
    return Cell(row.source.error, "warn") if row.source.error else Cell("", "text")


def _word(row: SourceRow) -> str:
    return SOURCE_SIGNS[row.source.state].word


def _text(row: SourceRow) -> str:
    source = row.source
    parts = (source.name, source.kind, source.cluster, _word(row), source.error, source.hint, source.detail)
    return "\n".join(part for part in parts if part)


# fmt: off
COLUMNS: tuple[Column[SourceRow], ...] = (
    Column(
        "source", "SOURCE", 20, lambda row: Cell(row.source.name, "name"), lambda row: row.source.name,
        "its name", 1, order=lambda row: natural_key(row.source.name), align="middle", min_width=16, max_width=32,
        names=("name",),
    ),
    Column(
        "state", "STATE", 13, lambda row: row.view.glyphs.state(SOURCE_SIGNS[row.source.state]), _word,
        "live, late, unreachable, denied, unsupported, error; sorts by how bad", 2,
        order=lambda row: SOURCE_SIGNS[row.source.state].rank,
    ),
    Column("age", "AGE", 4, _age, age, "since its last good answer", 3, align="right", unit="seconds"),
    Column(
        "error", "ERROR", 24, _error, lambda row: row.source.error, "what happened", 4, min_width=16,
        max_width=60,
    ),
    Column(
        "period", "PERIOD", 6, lambda row: row.view.number(_seconds(row.source.period_s, row.view.missing)),
        lambda row: row.source.period_s, "how often it is asked", 6, align="right", unit="seconds",
    ),
    Column(
        "next", "NEXT", 4, lambda row: row.view.number(units.age(next_try(row), row.view.missing)), next_try,
        "when it is asked again", 5, align="right", unit="seconds",
    ),
    Column(
        "latency", "LAT ms", 6,
        lambda row: row.view.number(units.milliseconds(row.source.latency_s, row.view.missing)),
        lambda row: row.source.latency_s, "how long the last answer took, ms (filter in seconds)", 7,
        align="right", unit="seconds",
    ),
    Column(
        "requests", "REQ/m", 5,
        lambda row: row.view.number(units.decimal(row.source.requests_per_minute, 1, row.view.missing)),
        lambda row: row.source.requests_per_minute, "requests a minute, measured", 8, align="right",
        unit="number", names=("req",),
    ),
    Column(
        "cpu", "CPU%", 5,
        lambda row: row.view.number(units.decimal(row.source.cpu_percent, 2, row.view.missing)),
        lambda row: row.source.cpu_percent, "what it costs where it runs, percent of a core", 9,
        align="right", unit="percent", names=("cost",),
    ),
    Column(
        "bytes", "B/s", 5, lambda row: row.view.number(units.rate(row.source.bytes_per_s, row.view.missing)),
        lambda row: row.source.bytes_per_s, "what it sends, bytes/s", 10, align="right", unit="rate",
    ),
    Column(
        "since", "SINCE", 6, lambda row: row.view.number(units.duration(held(row), row.view.missing)), held,
        "how long it has been in this state", 11, align="right", unit="seconds",
    ),
    Column(
        "kind", "KIND", 10, lambda row: Cell(row.source.kind), lambda row: row.source.kind, "what kind it is",
        12,
    ),
    Column(
        "cluster", "CLUSTER", 10, lambda row: row.view.text(row.source.cluster, "muted"),
        lambda row: row.source.cluster, "the cluster that it speaks for", 13,
    ),
    Column(
        "detail", "HOW", 24, lambda row: row.view.text(row.source.detail, "muted"),
        lambda row: row.source.detail, "how it is read", 14, min_width=16, max_width=50, names=("how",),
    ),
    Column(
        "hint", "WHAT TO DO", 24, lambda row: Cell(row.source.hint or "", "info"),
        lambda row: row.source.hint, "what to do next", 15, min_width=16, max_width=60,
    ),
)
# fmt: on


def _seconds(value: float | None, missing: str) -> str:
    if value is not None and 0 < value < 10 and value != int(value):
        return f"{value:.1f}s"
    return units.duration(value, missing)


TABLE: Table[SourceRow] = Table(
    id="sources",
    title="Sources",
    noun="source",
    columns=COLUMNS,
    rows=rows,
    row=row,
    changed=changed,
    text=_text,
    nodes=_nodes,
    default_sort=("state", True),
    empty="no source yet",
)
