"""Reservations and partitions: which node and which job they concern, and what is said of them."""

from __future__ import annotations

import msgspec
import pytest

from console.model import JobState, Queue, Reservation, SourceState
from console.render import scheduling
from console.render.cells import cell_width, line_text
from console.render.details import details
from console.render.job_page import job_sections
from console.render.node_page import node_sections
from console.render.tables import TABLES, fleet
from console.render.tables.fleet import FleetRow
from console.render.view import View
from console.store import Store
from tests.unit.records import batch, job, listing, node, queue, status

NOW = 1_795_479_505.0
HOUR = 3600.0
NODES = "slurm:lab/nodes"

HELD = Reservation(
    name="maint", cluster="lab", state="ACTIVE", nodes="gpu[1-2]", node_names=("gpu1", "gpu2"),
    starts_at=NOW - HOUR, ends_at=NOW + 2 * HOUR, users=("root",), flags=("MAINT", "IGNORE_JOBS"),
)  # fmt: skip
TO_COME = Reservation(
    name="class", cluster="lab", state="INACTIVE", nodes="gpu2", node_names=("gpu2",),
    starts_at=NOW + 24 * HOUR, ends_at=NOW + 26 * HOUR, accounts=("research",),
)  # fmt: skip
QUEUES = (
    Queue(name="gpu", cluster="lab", state="UP", default=True, nodes_total=3, time_limit_s=4 * 24 * HOUR),
    Queue(name="all", cluster="lab", state="UP", nodes_total=9, missing={"time_limit_s": "unlimited"}),
    Queue(name="old", cluster="lab", state="DOWN", nodes_total=1),
)


def lab(*reservations: Reservation) -> Store:
    """Three nodes in two partitions."""
    store = Store()
    nodes = tuple(node(f"gpu{number}", partitions=("gpu", "all")) for number in (1, 2, 3))
    store.apply(
        batch(
            NODES,
            nodes=nodes,
            queues=QUEUES,
            reservations=reservations,
            complete=("nodes", "queues", "reservations"),
        )
    )
    return store


def set_aside(store: Store, *reservations: Reservation) -> set[str]:
    """List these; return the nodes that are to be drawn again."""
    changes = store.subscribe()
    store.apply(batch(NODES, reservations=reservations, complete=("reservations",)))
    return changes.take().nodes


def names_on(store: Store, key: str) -> list[str]:
    """The reservations of a node."""
    return [item.name for item in store.nodes[key].reservations]


def text_of(view: View, key: str, width: int = 78) -> str:
    """The Node page as text."""
    return "\n".join(line_text(line) for section in node_sections(view, key, width) for line in section.lines)


def test_reservations_come_to_their_nodes_and_go() -> None:
    store = lab()
    assert set_aside(store, HELD, TO_COME) == {"gpu1", "gpu2"}
    assert [names_on(store, key) for key in ("gpu1", "gpu2", "gpu3")] == [["maint"], ["maint", "class"], []]
    assert set_aside(store, HELD, TO_COME) == set(), "nothing changed"
    moved = msgspec.structs.replace(HELD, nodes="gpu3", node_names=("gpu3",))
    assert set_aside(store, moved, TO_COME) == {"gpu1", "gpu2", "gpu3"}
    assert [names_on(store, key) for key in ("gpu1", "gpu2", "gpu3")] == [[], ["class"], ["maint"]]
    assert set_aside(store) == {"gpu2", "gpu3"}
    assert store.reservations == {}


def test_a_node_that_is_listed_later_has_its_reservation_too() -> None:
    store = Store()
    store.apply(batch(NODES, reservations=(HELD,), complete=("reservations",)))
    store.apply(listing(NODES, node("gpu1.dc1.local")))
    assert names_on(store, "gpu1") == ["maint"]


@pytest.mark.parametrize("width", [40, 78, 158])
def test_the_node_page_says_what_holds_and_what_is_to_come(width: int) -> None:
    view = View(lab(HELD, TO_COME), NOW)
    (section,) = [each for each in node_sections(view, "gpu2", width) if each.title == "reservations"]
    assert all(cell_width(line_text(line)) <= width for line in section.lines)
    text = " ".join(" ".join(line_text(line).split()) for line in section.lines)
    for words in ("now maint (ACTIVE)", "2h left", "users root", "flags MAINT,IGNORE_JOBS", "coming class (INACTIVE)",
                  "begins in 24h", "accounts research"):  # fmt: skip
        assert words in text
    assert text.index("maint") < text.index("class")
    assert "reservations" not in [each.title for each in node_sections(view, "gpu3", width)]


def test_fleet_and_details_say_it_of_a_node() -> None:
    store = lab(HELD, TO_COME)
    view = View(store, NOW)
    assert fleet.note(FleetRow(view, store.nodes["gpu2"])) == ("reserved: maint, 2h left", "info")
    assert fleet.note(FleetRow(view, store.nodes["gpu3"])) == ("", "text")
    set_aside(store, TO_COME)
    assert fleet.note(FleetRow(view, store.nodes["gpu2"]))[0] == "to be reserved: class, begins in 24h"
    row = TABLES["fleet"].row(view, "gpu2")
    assert "to be reserved: class" in "\n".join(map(line_text, details(row, view, 78)))
    store.apply(batch(NODES, nodes=(node("gpu2", reason="burnt"),)))
    assert fleet.note(FleetRow(view, store.nodes["gpu2"])) == ("burnt", "warn"), "what is wrong comes first"


def test_what_is_not_known_of_a_reservation() -> None:
    bare = Reservation(name="r", cluster="lab", node_names=("gpu1",))
    view = View(lab(bare), NOW)
    assert scheduling.when(bare, NOW) == "without an end"
    assert "r  – to –, without an end" in text_of(view, "gpu1")
    assert scheduling.when(msgspec.structs.replace(bare, ends_at=NOW - 1), NOW) == "over"
    assert scheduling.note((), NOW) is None


def test_partitions_tell_state_limit_default_and_nodes() -> None:
    store = lab()
    view = View(store, NOW)
    said = " ".join(text_of(view, "gpu1").split())
    assert "partitions gpu (UP, default, limit 4d00h, 3 nodes), all (UP, no limit, 9 nodes)" in said
    store.apply(batch(NODES, nodes=(node("gpu1", partitions=("old", "secret")),)))
    line = next(
        line for section in node_sections(view, "gpu1", 78) for line in section.lines if "old" in line_text(line)
    )
    assert "old (DOWN, 1 node), secret" in line_text(line)
    assert line[-1].style == "warn"
    store.apply(batch(NODES, nodes=(node("gpu1", partitions=("a", "b")),)))
    assert "a,b" in text_of(view, "gpu1"), "where the partitions are hidden, their names stay"


def job_text(view: View, job_id: str) -> str:
    """The Job page as text with single blanks."""
    lines = [line_text(line) for section in job_sections(view, ("lab", job_id), 78) for line in section.lines]
    return " ".join(" ".join(lines).split())


def test_the_job_page_tells_its_reservation_and_its_partitions() -> None:
    store = lab(HELD, TO_COME)
    store.apply(
        queue(
            "slurm:lab/jobs",
            job("1", queue="gpu,old", reservation="class,gone", state=JobState.PENDING),
            job("2", queue="gpu"),
        )
    )
    view = View(store, NOW)
    text = job_text(view, "1")
    assert "gpu (UP, default, limit 4d00h, 3 nodes), old (DOWN, 1 node)" in text
    assert "coming class (INACTIVE)" in text
    assert "accounts research" in text
    assert "gone: not shown to us, or over" in text
    assert "maint" not in text
    assert "reservation" not in [section.title for section in job_sections(view, ("lab", "2"), 78)]


# ---- old words


def drawn(store: Store, name: str, row_id: str | tuple[str, ...]) -> dict[str, str]:
    """The styles in which a row is drawn, by column."""
    table = TABLES[name]
    row = table.row(View(store, NOW), row_id)
    return {column.id: cell.style for column, cell in zip(table.columns, table.cells(row, table.columns), strict=True)}


def silence(store: Store, name: str, age_s: float = 120.0) -> None:
    """Let a source fall silent."""
    store.apply(batch(status(name, state=SourceState.UNREACHABLE, error="no answer", observed_at=NOW - age_s)))


def test_the_words_of_a_silent_scheduler_are_old_and_live_measures_are_not() -> None:
    from tests.unit import render_data

    store = render_data.lab()
    before = drawn(store, "fleet", "gpu01")
    silence(store, NODES)
    after = drawn(store, "fleet", "gpu01")
    words = ("node", "state", "job", "alloc", "partition", "user", "cluster", "scheduler", "rack")
    assert [after[name] for name in words] == ["stale"] * len(words)
    measured = ("util", "mem", "power", "temp", "net", "cpu", "ram", "load", "gpu", "model")
    assert [after[name] for name in measured] == [before[name] for name in measured]
    assert "stale" not in [after[name] for name in measured]
    assert after["finding"] == "bad", "a finding is not the scheduler's"
    assert drawn(store, "fleet", "gpu10")["finding"] == "stale", "the reason is"


def test_all_words_of_a_job_are_old_when_its_scheduler_is_silent() -> None:
    from tests.unit import render_data

    store = render_data.lab()
    assert "stale" not in drawn(store, "jobs", ("lab", "8812")).values()
    silence(store, "slurm:lab/jobs")
    after = drawn(store, "jobs", ("lab", "8812"))
    assert {name for name, style in after.items() if style != "stale"} == {"util"}
    assert "stale" not in drawn(store, "fleet", "gpu2").values(), "its nodes are still listed"


def test_bars_of_a_probe_that_is_dead_are_old_too() -> None:
    from tests.unit import render_data

    store = render_data.lab()
    store.apply(batch(status("ssh:gpu01", kind="ssh", node="gpu01", state=SourceState.UNREACHABLE)))
    assert drawn(store, "fleet", "gpu01")["gpu"] == "stale"
    assert drawn(store, "fleet", "gpu01")["state"] == "busy"
