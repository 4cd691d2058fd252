"""What a scheduler has set for nodes and jobs: reservations, and partitions or queues."""

from __future__ import annotations

from collections.abc import Iterable

from console.model import Queue, Reservation
from console.render import units
from console.render.cells import Cell, Line
from console.render.lines import pair, paragraph
from console.render.view import View


def in_order(reservations: Iterable[Reservation]) -> list[Reservation]:
    """Return them by their start, those without one first."""
    return sorted(reservations, key=lambda item: (item.starts_at or 0.0, item.name))


def coming(reservation: Reservation, now: float) -> bool:
    """Whether it has not begun."""
    return reservation.starts_at is not None and reservation.starts_at > now


def when(reservation: Reservation, now: float) -> str:
    """Return how near it is: `2h left`, `begins in 45m`, `without an end`."""
    if reservation.starts_at is not None and reservation.starts_at > now:
        return f"begins in {units.age(reservation.starts_at - now)}"
    if reservation.ends_at is None:
        return "without an end"
    left = reservation.ends_at - now
    return f"{units.age(left)} left" if left > 0 else "over"


def note(reservations: Iterable[Reservation], now: float) -> str | None:
    """Return the reservation of a node that holds now, else the next one, in some words; None: it has none."""
    ordered = in_order(reservations)
    chosen = next((item for item in ordered if not coming(item, now)), None) or next(iter(ordered), None)
    if chosen is None:
        return None
    return f"{'to be reserved' if coming(chosen, now) else 'reserved'}: {chosen.name}, {when(chosen, now)}"


def reservation_lines(view: View, reservations: Iterable[Reservation], width: int) -> list[Line]:
    """Return each reservation in a few lines: since when or from when, for whom, what for, which nodes."""
    lines: list[Line] = []
    now, missing = view.now, view.missing
    for item in in_order(reservations):
        label, style = ("coming", "warn") if coming(item, now) else ("now", "info")
        state = f" ({item.state})" if item.state else ""
        span = f"{units.clock(item.starts_at, now, missing)} to {units.clock(item.ends_at, now, missing)}"
        lines += paragraph(label, f"{item.name}{state}  {span}, {when(item, now)}", view, width, style)
        holders = [
            f"{what} {','.join(names)}"
            for what, names in (("users", item.users), ("accounts", item.accounts), ("flags", item.flags))
            if names
        ]
        lines += paragraph("", "  ".join(holders), view, width)
        lines += paragraph("", item.nodes, view, width, "muted")
    return lines


def queue_words(queue: Queue) -> str:
    """Return a partition or queue in some words: `gpu (UP, default, limit 4d00h, 128 nodes)`."""
    why = queue.missing.get("time_limit_s")
    limit = f"limit {units.duration(queue.time_limit_s)}" if queue.time_limit_s is not None else None
    if limit is None and why:
        limit = "no limit" if why == "unlimited" else f"limit {why}"
    facts = (
        queue.state,
        "default" if queue.default else None,
        limit,
        None if queue.nodes_total is None else f"{queue.nodes_total} node{'s' * (queue.nodes_total != 1)}",
    )
    said = ", ".join(fact for fact in facts if fact)
    return f"{queue.name} ({said})" if said else queue.name


def queue_lines(view: View, label: str, keys: Iterable[tuple[str, str]], width: int) -> list[Line]:
    """Return the partitions or queues (cluster, name) of a thing in words; one that is not up makes it a warning."""
    names = dict.fromkeys(keys)
    known = {key: queue for key in names if (queue := view.store.queues.get(key)) is not None}
    if not known:
        return paragraph(label, ",".join(dict.fromkeys(name for _, name in names)), view, width)
    words = [queue_words(known[key]) if key in known else key[1] for key in names]
    closed = any(queue.state is not None and queue.state.upper() != "UP" for queue in known.values())
    return paragraph(label, ", ".join(words), view, width, "warn" if closed else "text")


def unknown_reservation(view: View, name: str) -> Line:
    """Return what is said of a reservation that the scheduler does not show."""
    return pair("", Cell(f"{view.missing} {name}: not shown to us, or over", "muted"), view)
