"""Rows in order, whatever happens to them: always the same as sorting and filtering everything anew."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from console.model import Job, NodeState
from console.render.filter import compile_filter
from console.render.tables import TABLES
from console.render.view import View
from console.store import Store
from console.ui.model import RowModel
from console.ui.sortedids import Entry, SortedIds
from tests.unit.records import batch, gpu, job, listing, measured, node, port, queue

NOW = 1000.0


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=300))
def test_sorted_ids_are_sorted(steps: list[tuple[int, bool]]) -> None:
    ids, numbers = SortedIds(), count()
    expected: list[Entry] = []
    for key, add in steps:
        if add or not expected:
            entry: Entry = (key, next(numbers), str(key))
            ids.add(entry)
            expected.append(entry)
            expected.sort()
        else:
            ids.remove(expected.pop(key % len(expected)))
        assert len(ids) == len(expected)
    assert ids.slice(0, len(expected)) == expected
    for at, wanted in enumerate(expected):
        assert ids.index(wanted) == at
        assert ids.slice(at, at + 3) == expected[at : at + 3]


def test_sorted_ids_in_many_chunks() -> None:
    ids = SortedIds()
    for number in range(0, 20_000, 2):
        ids.add((number % 9_973, number, str(number)))
    everything = ids.slice(0, 10_000)
    assert everything == sorted(everything)
    assert ids.slice(4_000, 7_000) == everything[4_000:7_000]
    for entry in everything[1_000:9_000]:
        ids.remove(entry)
    assert ids.slice(0, 99_999) == everything[:1_000] + everything[9_000:]


def finish(model: RowModel) -> list[object]:
    """Let the model take everything in; return what it shows."""
    model.pull()
    while model.busy:
        model.step(1.0)
    return list(model.shown.window(0, len(model)))


CHANGES = st.lists(
    st.tuples(
        st.sampled_from([f"n{number}" for number in range(12)]),
        st.sampled_from(["gone", *NodeState]),
        st.one_of(st.none(), st.sampled_from([0.0, 50.0, 99.0])),
    ),
    max_size=40,
)


@given(CHANGES, st.sampled_from(["node", "state", "util"]), st.booleans(), st.sampled_from(["", "state:down", "!n1"]))
def test_incremental_order_is_the_order_of_everything(
    changes: list[tuple[str, object, float | None]], column: str, descending: bool, text: str
) -> None:
    table, store = TABLES["fleet"], Store()
    model = RowModel(table, View(store, NOW))
    listed: dict[str, object] = {}
    for step, (name, state, percent) in enumerate(changes):
        if state == "gone":
            listed.pop(name, None)
        else:
            listed[name] = node(name, state=state)
        store.apply(listing("slurm:lab/nodes", *listed.values()))  # type: ignore[arg-type]
        if name in listed:
            store.apply(measured(name, NOW + step, gpu(0, percent)))
        if step == len(changes) // 2:
            model.sort_by(table.column(column), descending)
            model.filter_by(compile_filter(text, table) if text else None)
        if step % 3 == 0:
            model.pull()
            model.step(0.0)
    model.sort_by(table.column(column), descending)
    model.filter_by(compile_filter(text, table) if text else None)
    shown = finish(model)
    fresh = RowModel(table, View(store, NOW))
    fresh.sort_by(table.column(column), descending)
    fresh.filter_by(compile_filter(text, table) if text else None)
    wanted = finish(fresh)
    assert set(shown) == set(wanted)
    assert model.total == len(store.nodes)

    def key(row_id: object) -> object:
        row = table.row(model.view, row_id)  # type: ignore[arg-type]
        return table.column(column).sort(row)

    assert [key(row_id) for row_id in shown] == [key(row_id) for row_id in wanted]
    assert [model.shown.index(row_id) for row_id in shown] == list(range(len(shown)))  # type: ignore[arg-type]


def test_unknown_comes_last_both_ways() -> None:
    store = Store()
    store.apply(listing("slurm:lab/nodes", node("a"), node("b"), node("c")))
    store.apply(measured("b", NOW, gpu(0, 10.0)))
    store.apply(measured("c", NOW, gpu(0, 90.0)))
    table = TABLES["fleet"]
    model = RowModel(table, View(store, NOW))
    for descending, order in ((True, ["c", "b", "a"]), (False, ["b", "c", "a"])):
        model.sort_by(table.column("util"), descending)
        assert finish(model) == order


def test_equal_rows_keep_their_natural_order_both_ways() -> None:
    store = Store()
    store.apply(queue("slurm:lab/jobs", *(job_of(number) for number in range(9))))
    table = TABLES["jobs"]
    model = RowModel(table, View(store, NOW))
    for descending in (True, False):
        model.sort_by(table.column("user"), descending)
        assert [row_id[1] for row_id in finish(model)] == [str(number) for number in range(9)]  # type: ignore[index]


def job_of(number: int) -> Job:
    """A job of one user."""
    return job(str(number), user="alice")


def test_rows_of_a_node_go_with_it() -> None:
    store = Store()
    store.apply(listing("slurm:lab/nodes", node("a"), node("b")))
    store.apply(measured("a", NOW, links=(port("eth0"), port("eth1"))))
    store.apply(measured("b", NOW, links=(port("eth0"),)))
    model = RowModel(TABLES["network"], View(store, NOW))
    assert len(finish(model)) == 3
    store.apply(measured("a", NOW + 1, links=(port("eth1"),)))
    assert ("a", "eth0") not in finish(model)
    assert model.total == 2
    store.apply(listing("slurm:lab/nodes", node("b")))
    assert finish(model) == [("b", "eth0")]


def test_a_new_order_is_shown_when_it_is_complete() -> None:
    store = Store()
    store.apply(listing("slurm:lab/nodes", *(node(f"n{number:04}", cpus=number) for number in range(500))))
    table = TABLES["fleet"]
    model = RowModel(table, View(store, NOW))
    before = finish(model)
    model.filter_by(compile_filter("n00", table))
    model.step(0.0)
    assert list(model.shown.window(0, len(model))) == before
    store.apply(batch("slurm:lab/nodes", nodes=(node("n0000", state=NodeState.DOWN),), gone_nodes=("n0001",)))
    shown = finish(model)
    assert "n0001" not in shown
    assert len(shown) == 99


def test_keys_of_the_clock_are_computed_again() -> None:
    store = Store()
    store.apply(queue("slurm:lab/jobs", *(running(str(number), NOW - number) for number in range(3))))
    table = TABLES["jobs"]
    model = RowModel(table, View(store, NOW))
    model.sort_by(table.column("time"), True)
    finish(model)
    model.view.now = NOW + 100
    model.refresh_keys()
    assert model.busy
    assert [row_id[1] for row_id in finish(model)] == ["2", "1", "0"]  # type: ignore[index]
    model.sort_by(table.column("user"), True)
    finish(model)
    model.view.now = NOW + 200
    model.refresh_keys()
    assert not model.busy


def running(job_id: str, started_at: float) -> Job:
    """A job that runs."""
    return job(job_id, user="alice", node_names=("a",), started_at=started_at)
