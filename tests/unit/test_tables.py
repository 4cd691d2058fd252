"""Tables: columns that stand still, sorting with the unknown last, rows that come and go."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from console.errors import UsageError
from console.model import Batch, Job, JobState, Node, NodeState, Records
from console.render import header
from console.render.cells import cell_width, fit_runs, line_text
from console.render.glyphs import ASCII
from console.render.plain import snapshot_text, sorted_rows, table_text
from console.render.tables import TABLES, Table, layout, natural_key, order
from console.render.tables.jobs import reason
from console.render.themes import STYLES
from console.render.view import View
from console.store import Changes, Store
from tests.unit.render_data import NOW, lab, source

NAMES = sorted(TABLES)


@pytest.fixture(scope="module")
def store() -> Store:
    return lab()


@pytest.fixture
def view(store: Store) -> View:
    return View(store, NOW)


def all_rows(table: Table[Any], view: View) -> list[Any]:
    return [table.row(view, row_id) for row_id in table.rows(view.store)]


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_of_every_row_is_drawn(name: str, view: View) -> None:
    table = TABLES[name]
    rows = all_rows(table, view)
    assert rows
    for row in rows:
        for column in table.columns:
            cell = column.cell(row)
            assert {style for _, style in cell.parts} <= set(STYLES)
            assert "".join(text for text, _ in cell.parts) == cell.text
            assert "None" not in cell.text
            assert "nan" not in cell.text


@pytest.mark.parametrize("name", NAMES)
def test_numbers_fit_their_columns(name: str, view: View) -> None:
    table = TABLES[name]
    for row in all_rows(table, view):
        for column in table.columns:
            if column.unit != "text":
                assert cell_width(column.cell(row).text) <= column.most, column.id


@pytest.mark.parametrize("name", NAMES)
def test_ascii_mode_shows_ascii_of_its_own(name: str, store: Store) -> None:
    view = View(store, NOW, ASCII)
    table = TABLES[name]
    for row in all_rows(table, view):
        for column in table.columns:
            text = column.cell(row).text.replace("模", "")
            assert text.isascii(), (column.id, text)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [0, 1, 5, 20, 40, 60, 78, 80, 100, 120, 158, 160, 198, 250, 400])
def test_columns_fit_the_line_and_do_not_overlap(name: str, width: int) -> None:
    placed = layout(TABLES[name], width)
    end = 0
    for place in placed:
        assert place.x >= end
        assert 0 < place.width <= max(place.column.most, width)
        end = place.x + place.width
    assert end <= width
    assert bool(placed) == (width > 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_wider_line_never_loses_a_column(name: str) -> None:
    before: set[str] = set()
    for width in range(1, 320):
        now = {place.column.id for place in layout(TABLES[name], width)}
        assert before <= now, width
        before = now
    assert before == {column.id for column in TABLES[name].columns}


def test_what_matters_most_is_there_at_80() -> None:
    def ids(name: str) -> list[str]:
        return [place.column.id for place in layout(TABLES[name], 78)]

    assert {"node", "state", "gpu", "util", "power", "finding", "job"} <= set(ids("fleet"))
    assert {"id", "name", "user", "state", "gpus", "time", "reason"} <= set(ids("jobs"))
    assert {"node", "link", "state", "rx", "tx", "errors"} <= set(ids("network"))
    assert {"node", "path", "state", "used", "rtt"} <= set(ids("storage"))
    assert {"source", "state", "age", "error", "next"} <= set(ids("sources"))


def test_chosen_columns_stand_as_chosen() -> None:
    placed = layout(TABLES["fleet"], 60, ["state", "NODE", "reason"])
    assert [place.column.id for place in placed] == ["state", "node", "finding"]
    with pytest.raises(UsageError) as caught:
        layout(TABLES["fleet"], 60, ["nodes"])
    assert "did you mean node" in caught.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_sort_keys_are_of_one_type_and_the_unknown_is_last(name: str, view: View) -> None:
    table = TABLES[name]
    ids = table.rows(view.store)
    for column in table.columns:
        keys = {row_id: column.sort(row) for row_id, row in zip(ids, all_rows(table, view), strict=True)}
        kinds = {type(key) is str for key in keys.values() if key is not None}
        assert len(kinds) <= 1, column.id
        for descending in (False, True):
            result = order(list(keys.items()), descending)
            assert sorted(map(str, result)) == sorted(map(str, ids))
            known = [keys[row_id] is not None for row_id in result]
            assert known == sorted(known, reverse=True), column.id


def test_order_is_stable_in_natural_order() -> None:
    natural: dict[Any, int] = {"a": 0, "b": 1, "c": 2, "d": 3}
    keyed: list[Any] = [("d", 1.0), ("c", None), ("b", 1.0), ("a", 2.0)]
    assert order(keyed, natural=natural) == ["b", "d", "a", "c"]
    assert order(keyed, True, natural) == ["a", "b", "d", "c"]


def test_natural_order_of_names() -> None:
    names = ["gpu10", "gpu2", "GPU1", "cpu01", "gpu02x"]
    assert sorted(names, key=natural_key) == ["cpu01", "GPU1", "gpu2", "gpu02x", "gpu10"]


def cells(name: str, row_id: Any, view: View) -> dict[str, str]:
    table = TABLES[name]
    row = table.row(view, row_id)
    return {column.id: column.cell(row).text for column in table.columns}


def test_fleet_row_of_a_measured_node(view: View) -> None:
    shown = cells("fleet", "gpu01", view)
    assert shown["gpu"] == "██████▁✗"
    assert shown["util"] == "85"
    assert shown["power"] == "4128"
    assert shown["job"] == "8812"
    assert shown["user"] == "alice"
    assert shown["finding"] == "✗ GPU 7 is lost"
    assert shown["net"] == "78.0G"
    assert shown["model"] == "H100 80GB HBM3"
    assert shown["source"] == "live"


def test_fleet_row_of_a_node_that_nobody_measures(view: View) -> None:
    shown = cells("fleet", "gpu2", view)
    assert shown["gpu"] == "––––––––"
    assert shown["finding"] == "denied: Permission denied (publickey)"
    for column in ("util", "mem", "power", "temp", "net", "cpu", "ram", "load", "uptime"):
        assert shown[column] == "–", column
    assert cells("fleet", "cpu01", view)["gpu"] == ""
    assert cells("fleet", "gpu10", view)["finding"] == "bad nvlink [x] 模"


def test_old_values_are_stale_and_their_age_grows(store: Store) -> None:
    view = View(store, NOW)
    table = TABLES["fleet"]
    row = table.row(view, "gpu01")
    assert table.column("power").cell(row).style == "text"
    view.now = NOW + 60
    assert table.column("power").cell(row).style == "stale"
    assert table.column("age").cell(row) == ("61s", "warn", ())


def test_jobs(view: View) -> None:
    running = cells("jobs", ("lab", "8812"), view)
    assert (running["time"], running["left"], running["util"]) == ("1h00m", "5m00s", "85")
    assert running["where"] == "gpu01"
    waiting = cells("jobs", ("lab", "8813_[1-9]"), view)
    assert (waiting["time"], waiting["left"], waiting["reason"]) == ("–", "–", "Resources")
    assert waiting["limit"] == "–"
    assert cells("jobs", ("lab", "9000"), view)["time"] == "1m40s"
    assert cells("jobs", ("lab", "8814"), view)["name"] == "–"


def test_network_and_storage_are_worst_first(view: View) -> None:
    links = sorted_rows(TABLES["network"], view)
    assert links[:2] == [("gpu01", "mlx5_1/1"), ("gpu01", "eth0")]
    mounts = sorted_rows(TABLES["storage"], view)
    assert mounts[:2] == [("gpu01", "mount", "/home"), ("gpu01", "mount", "/")]
    sources = sorted_rows(TABLES["sources"], view)
    assert sources[:2] == ["ssh:gpu2", "ssh:gpu10"]


def test_rows_that_go_are_none_and_changes_name_rows() -> None:
    store = lab()
    view = View(store, NOW)
    changes = store.subscribe()
    store.apply(Batch(status=source("slurm:lab/nodes"), records=Records(
        nodes=(Node(name="gpu2", cluster="lab", state=NodeState.DOWN),), gone_nodes=("cpu01",))))  # fmt: skip
    taken = changes.take()
    assert TABLES["fleet"].changed(store, taken) == {"gpu2"}
    assert TABLES["fleet"].row(view, "cpu01") is None
    assert cells("fleet", "gpu2", view)["state"] == "✗ down"
    assert TABLES["network"].row(view, ("gpu01", "gone0")) is None
    assert TABLES["storage"].row(view, ("gpu01", "disk", "gone")) is None
    assert TABLES["jobs"].row(view, ("lab", "1")) is None
    assert TABLES["sources"].row(view, "nobody") is None
    both = Changes(nodes={"gpu01"}, jobs={("lab", "8812"), ("lab", "gone")}, sources={"ssh:gpu01", "gone"})
    assert TABLES["network"].changed(store, both) == {
        ("gpu01", name) for name in ("eth0", "mlx5_0/1", "ib0", "mlx5_1/1")
    }
    assert TABLES["storage"].changed(store, both) == {
        ("gpu01", "mount", "/"), ("gpu01", "mount", "/home"), ("gpu01", "disk", "nvme0n1")}  # fmt: skip
    assert TABLES["jobs"].changed(store, both) == {("lab", "8812")}
    assert TABLES["sources"].changed(store, both) == {"ssh:gpu01"}


@pytest.mark.parametrize("name", NAMES)
def test_text_tables_are_straight(name: str, view: View) -> None:
    for width in (40, 80, 160):
        lines = table_text(view, name, width).splitlines()
        assert len(lines) == 1 + len(TABLES[name].rows(view.store))
        assert all(cell_width(line) <= width for line in lines)
    table = TABLES[name]
    placed = layout(table, 100)
    for row in all_rows(table, view):
        for place in placed:
            runs = fit_runs(place.column.cell(row), place.width, place.column.align)
            assert sum(cell_width(text) for text, _ in runs) == place.width


def test_an_empty_store_says_so() -> None:
    view = View(Store(), NOW)
    for name in NAMES:
        assert table_text(view, name, 80) == TABLES[name].empty + "\n"
    assert "connecting" in line_text(header.title_line(view, 80))
    assert header.totals_lines(view, view.store.totals, 80) == []


def test_snapshot_text_names_what_fails(view: View) -> None:
    text = snapshot_text(view, 120)
    assert "nodes 2/4 up" in text
    assert "Permission denied" in text
    assert "ssh:gpu10" in text
    assert "ssh:gpu01" not in text


@pytest.mark.parametrize("width", [10, 30, 50, 80, 160])
def test_header_fits(width: int, store: Store) -> None:
    view = View(store, NOW, simulated=True)
    lines = header.totals_lines(view, store.totals, width, 2)
    assert len(lines) <= 2
    assert all(cell_width(line_text(line)) <= width for line in lines)
    if width >= 50:
        title = line_text(header.title_line(view, width))
        assert cell_width(title) == width
        assert "SIMULATED" in title
        assert "3/5 live, denied" in title
        assert "paused" in line_text(header.title_line(view, width, paused=True))


def test_a_job_that_failed_says_with_what() -> None:
    failed = Job(id="1", cluster="lab", state=JobState.FAILED, exit_code=3)
    assert reason(failed) == "exit code 3"
    assert reason(msgspec.structs.replace(failed, reason="NonZeroExitCode")) == "NonZeroExitCode"
    assert reason(Job(id="2", cluster="lab", state=JobState.COMPLETED, exit_code=0)) is None
