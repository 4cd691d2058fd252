"""What a table is: columns over rows of one kind, and the arithmetic of layout and order."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from console.errors import UsageError
from console.render.cells import Align, Cell
from console.render.view import View
from console.store import Changes, NodeView, Store
from console.suggest import nearest

Value = str | float | None
"""What a filter compares and a sort orders: text, a number in the column's unit, or not known."""

RowId = str | tuple[str, ...]
"""Stable while the thing exists: a node's key, (cluster, job id), (node, link), …"""

Unit = Literal["text", "number", "bytes", "rate", "percent", "seconds"]
R = TypeVar("R")

GAP = 1
"""Cells between two columns."""
ESSENTIAL = 10
"""Columns of this priority or before are squeezed rather than left out."""


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column. `cell` is asked for visible rows only; `value` and `sort` may be asked for every row."""

    id: str
    title: str
    width: int
    """Cells it wants. It may be drawn from `min_width` (default: `width`) to `max_width` (default: `width`)
    wide."""
    cell: Callable[[R], Cell]
    value: Callable[[R], Value]
    """What a filter compares: text as shown, a number in the unit of `unit` (bytes, per second, seconds,
    percent)."""
    help: str
    priority: int
    """1 stays longest when the terminal is narrow."""
    align: Align = "left"
    unit: Unit = "text"
    order: Callable[[R], Value] | None = None
    """What to sort by when it is not the value; all of one type."""
    min_width: int | None = None
    max_width: int | None = None
    names: tuple[str, ...] = ()
    """Other names that a filter may call it by."""
    own_age: bool = False
    """Its cells say themselves when they are old: they do not come from the source that lists the row."""
    loud: bool = False
    """It keeps its style in a row that is over."""

    def sort(self, row: R) -> Value:
        """Return the key of this row: a float or a str, the same type in every row; None sorts last."""
        key = (self.order or self.value)(row)
        if isinstance(key, str):
            return key.casefold() or None
        return None if key is None or math.isnan(key) else key

    @property
    def least(self) -> int:
        """The narrowest it is drawn."""
        return self.width if self.min_width is None else self.min_width

    @property
    def most(self) -> int:
        """The widest it is drawn."""
        return self.width if self.max_width is None else self.max_width


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """A kind of rows and its columns, in the order they are drawn."""

    id: str
    title: str
    noun: str
    """What one row is, for counts: `node`."""
    columns: tuple[Column[R], ...]
    rows: Callable[[Store], list[RowId]]
    """All row ids in their natural order."""
    row: Callable[[View, RowId], R | None]
    """The row, or None when it is gone. Cheap; the row is a snapshot and is not kept over a change."""
    changed: Callable[[Store, Changes], set[RowId]]
    """Ids of the rows that a change set touches, as far as they still exist; gone ones are those whose `row`
    is None."""
    text: Callable[[R], str]
    """All its text columns, joined by newlines: what a plain word is searched in."""
    nodes: Callable[[R], Iterable[NodeView]]
    """The nodes that a row is about or runs on: what NODES in a filter choose by."""
    default_sort: tuple[str, bool]
    """(column, descending)."""
    empty: str
    """What an empty table says."""
    old_words: Callable[[R], bool] | None = None
    """Whether the source that lists the row does not answer now, so that its words are old ones; None: never."""
    over: Callable[[R], bool] | None = None
    """Whether nothing more comes of the row, so that it is dimmed; None: never."""
    lists: str | None = None
    """What the sources of its rows list, as the end of their names has it: `nodes`, `jobs`."""
    by_id: Mapping[str, Column[R]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names: dict[str, Column[R]] = {}
        for column in self.columns:
            for name in (column.id, *column.names):
                if name in names:
                    raise ValueError(f"two columns of {self.id} are called {name}")
                names[name] = column
        object.__setattr__(self, "by_id", names)

    def cells(self, row: R, columns: Iterable[Column[R]]) -> list[Cell]:
        """Return the cells of a row; the old words of a silent source are `stale`, what is over is dimmed."""
        if self.old_words is None or not self.old_words(row):
            if self.over is None or not self.over(row):
                return [column.cell(row) for column in columns]
            return [column.cell(row) if column.loud else Cell(column.cell(row).text, "muted") for column in columns]
        return [column.cell(row) if column.own_age else Cell(column.cell(row).text, "stale") for column in columns]

    def column(self, name: str) -> Column[R]:
        """Return a column by its id or another of its names. UsageError names the nearest that exists."""
        found = self.by_id.get(name.lower())
        if found is None:
            ids = [column.id for column in self.columns]
            close = nearest(name.lower(), list(self.by_id))
            hint = f"did you mean {close}? " if close else ""
            raise UsageError(f"{self.title} has no column {name}", hint=f"{hint}columns: {', '.join(ids)}")
        return found


@dataclass(frozen=True, slots=True)
class Placed(Generic[R]):
    """A column at its place on the line."""

    column: Column[R]
    x: int
    width: int


def layout(
    table: Table[R], width: int, chosen: Sequence[str] | None = None, *, gap: int = GAP
) -> tuple[Placed[R], ...]:
    """Return the columns that fit into `width` cells, from left to right.

    The result depends on nothing but its arguments, so that columns never move while rows come and go. Columns
    enter by priority until one does not fit: the essential ones at their least width, the others only when all can
    have the width they want. Then, by priority, each grows to that width, and at last to its most. With `chosen`
    (ids; UsageError for one that does not exist) only those enter, in that order, all of them essential.
    """
    columns = [table.column(name) for name in chosen] if chosen else list(table.columns)
    columns = list(dict.fromkeys(columns))
    by_priority = list(range(len(columns)))
    if not chosen:
        by_priority.sort(key=lambda index: columns[index].priority)
    widths: dict[int, int] = {}
    room = wanted = width
    for index in by_priority:
        column = columns[index]
        between = gap if widths else 0
        room -= column.least + between
        wanted -= column.width + between
        if room < 0 or (wanted < 0 and column.priority > ESSENTIAL and not chosen):
            room += column.least + between
            break
        widths[index] = column.least
    if not widths and columns and width > 0:
        widths[by_priority[0]] = width
        room = 0
    for bound in ("width", "most"):
        for index in by_priority:
            if index in widths and room > 0:
                more = min(room, max(getattr(columns[index], bound) - widths[index], 0))
                widths[index] += more
                room -= more
    placed: list[Placed[R]] = []
    x = 0
    for index in sorted(widths):
        placed.append(Placed(columns[index], x, widths[index]))
        x += widths[index] + gap
    return tuple(placed)


def order(
    keyed: Iterable[tuple[RowId, Value]], descending: bool = False, natural: Mapping[RowId, int] | None = None
) -> list[RowId]:
    """Return ids sorted by their keys; None last whichever way; equal keys in natural order, or as given."""
    known: list[tuple[Any, RowId]] = []
    unknown: list[RowId] = []
    for row_id, key in keyed:
        if key is None:
            unknown.append(row_id)
        else:
            known.append((key, row_id))
    if natural is not None:
        known.sort(key=lambda item: natural.get(item[1], 0))
        unknown.sort(key=lambda row_id: natural.get(row_id, 0))
    known.sort(key=lambda item: item[0], reverse=descending)
    return [row_id for _, row_id in known] + unknown


_DIGITS = re.compile(r"\d+")


def natural_key(name: str) -> str:
    """Return a text that sorts `gpu2` before `gpu10`."""
    return _DIGITS.sub(lambda match: match[0].lstrip("0").rjust(12, "0"), name.casefold())


def by_name(names: Iterable[str]) -> list[str]:
    """Return names in natural order."""
    return sorted(names, key=natural_key)
