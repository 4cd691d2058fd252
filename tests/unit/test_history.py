"""The rings: what they keep, for how long, in how much memory."""

from __future__ import annotations

import math
import sys
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.model import Disk, Host, Mount
from console.store import Store
from console.store.digest import ACCELERATOR_SERIES, FLEET_SERIES, LINK_SERIES, NODE_SERIES, Layout
from console.store.history import BUDGET_BYTES, POINTS, History, Ring
from tests.unit.records import gpu, listing, measured, node, port, status

HOSTS = status("ssh:hosts/nodes", kind="ssh")


def stocked(*names: str, history_bytes: int = BUDGET_BYTES) -> Store:
    store = Store(history_bytes=history_bytes)
    store.apply(listing(HOSTS, *map(node, names)))
    return store


def numbers(values: array[float]) -> list[float | None]:
    """Return what a ring holds, None for what is not known."""
    return [None if math.isnan(value) else round(value, 3) for value in values]


@given(st.lists(st.floats(-1e6, 1e6), max_size=40), st.integers(1, 5), st.integers(1, 12))
def test_a_ring_is_the_last_rows_in_order(values: list[float], width: int, points: int) -> None:
    ring = Ring(width, points)
    for at, value in enumerate(values):
        ring.add(float(at), array("f", [value + column for column in range(width)]))
    last = list(enumerate(values))[-points:]
    assert list(ring.times()) == [float(at) for at, _ in last]
    for column in range(width):
        assert list(ring.column(column)) == list(array("f", [value + column for _, value in last]))


def test_a_ring_holds_at_least_120_points() -> None:
    assert POINTS >= 120


def test_series_of_node_accelerators_and_links() -> None:
    store = stocked("n1")
    for tick in range(3):
        store.apply(
            measured(
                "n1",
                1000.0 + 2 * tick,
                gpu(0, 10.0 * tick, temperature_c=60.0),
                gpu(3, None),
                host=Host(cpu_percent=5.0 + tick, memory_total_bytes=100, memory_available_bytes=25, power_w=100.0),
                links=(port("mlx5_0/1", rx_bytes_per_s=1e9 if tick else None, tx_bytes_per_s=1.0),),
                disks=(Disk(name="a", read_bytes_per_s=1.0), Disk(name="b", read_bytes_per_s=2.0)),
                mounts=(
                    Mount(path="/h", source="s:/h", type="nfs4", network=True, rtt_s=0.5),
                    Mount(path="/g", source="s:/g", type="nfs4", network=True, rtt_s=0.25),
                ),
            )
        )
    assert numbers(store.history("n1", "cpu_percent")) == [5.0, 6.0, 7.0]
    assert numbers(store.history("n1", "memory_percent")) == [75.0] * 3
    assert numbers(store.history("n1", "power_w")) == [1500.0] * 3
    assert numbers(store.history("n1", "utilization_percent")) == [0.0, 10.0, 20.0]
    assert numbers(store.history("n1", "utilization_percent", 0)) == [0.0, 10.0, 20.0]
    assert numbers(store.history("n1", "utilization_percent", 3)) == [None] * 3
    assert numbers(store.history("n1", "temperature_c", 0)) == [60.0] * 3
    assert numbers(store.history("n1", "rx_bytes_per_s", "mlx5_0/1")) == [None, 1e9, 1e9]
    assert numbers(store.history("n1", "read_bytes_per_s")) == [3.0] * 3
    assert numbers(store.history("n1", "write_bytes_per_s")) == [None] * 3
    assert numbers(store.history("n1", "nfs_rtt_s")) == [0.5] * 3
    assert list(store.rings.times("n1")) == [1000.0, 1002.0, 1004.0]


@pytest.mark.parametrize(
    ("name", "series", "index"),
    [("n1", "nonsense", None), ("n1", "power_w", 7), ("n1", "rx_bytes_per_s", "eth9"), ("nobody", "cpu_percent", None)],
)
def test_what_is_not_known_is_empty(name: str, series: str, index: int | str | None) -> None:
    store = stocked("n1")
    store.apply(measured("n1", 1.0, gpu()))
    assert len(store.history(name, series, index)) == 0


def test_a_gpu_that_falls_off_the_bus_keeps_the_history_of_the_others() -> None:
    store = stocked("n1")
    store.apply(measured("n1", 1.0, gpu(0, 1.0), gpu(1, 2.0)))
    store.apply(measured("n1", 2.0, gpu(1, 3.0)))
    store.apply(measured("n1", 3.0, gpu(0, 4.0), gpu(1, 5.0)))
    assert numbers(store.history("n1", "utilization_percent", 1)) == [2.0, 3.0, 5.0]
    assert numbers(store.history("n1", "utilization_percent", 0)) == [None, None, 4.0]
    assert numbers(store.history("n1", "cpu_percent")) == [10.0] * 3


def test_layout_names_every_column_once() -> None:
    layout = Layout((0, 2), ("a", "b"))
    names = layout.names()
    assert [layout.column(*name) for name in names] == list(range(layout.width))
    assert layout.width == len(NODE_SERIES) + 2 * len(ACCELERATOR_SERIES) + 2 * len(LINK_SERIES)


def test_memory_stays_within_the_budget_and_is_what_it_says() -> None:
    width = Layout(tuple(range(8)), tuple(f"l{index}" for index in range(10))).width
    one = Ring(width).full_bytes
    assert one == (13 + 32 + 20) * 4 * 150 + 8 * 150
    assert BUDGET_BYTES // one >= 1250
    history = History(budget_bytes=3 * one)
    layout = Layout(tuple(range(8)), tuple(f"l{index}" for index in range(10)))
    row = array("f", [1.0]) * width
    for tick in range(POINTS + 5):
        for name in "abcde":
            history.add(name, float(tick), layout, row)
    assert history.used_bytes == 3 * one
    kept = [name for name in "abcde" if history.layout(name) is not None]
    assert len(kept) == 3
    real = sum(sys.getsizeof(history.series(name, "load1")) for name in kept) * width
    assert real < 1.3 * 3 * one


def test_past_the_budget_who_is_looked_at_takes_the_place_of_who_is_not() -> None:
    one = Ring(Layout((), ()).width).full_bytes
    names = [f"n{index}" for index in range(6)]
    store = stocked(*names, history_bytes=3 * one)

    def tick(at: float) -> None:
        for name in names:
            store.apply(measured(name, at))

    tick(1.0)
    assert [len(store.history(name, "cpu_percent")) for name in ("n0", "n1")] == [1, 1]
    assert len(store.history("n5", "cpu_percent")) == 0
    tick(2.0)
    tick(3.0)
    assert len(store.history("n5", "cpu_percent")) == 2, "asked for, so kept from then on"
    assert len(store.history("n1", "cpu_percent")) == 3
    assert store.rings.layout("n2") is None, "nobody has looked at it"
    assert store.rings.used_bytes <= 3 * one


def test_a_node_dearer_than_the_whole_budget_has_no_history_and_hurts_nobody() -> None:
    store = stocked("n1", history_bytes=100)
    store.apply(measured("n1", 1.0, gpu()))
    assert len(store.history("n1", "cpu_percent")) == 0
    store.apply(measured("n1", 2.0, gpu()))
    assert len(store.history("n1", "cpu_percent")) == 0
    assert store.rings.used_bytes == 0


def test_the_fleet_has_a_history_at_its_own_pace() -> None:
    store = stocked("n1", "n2")
    for tick in range(10):
        for name in ("n1", "n2"):
            store.apply(measured(name, 1000.0 + tick, gpu(0, 10.0 * tick)))
    points = store.fleet_history("utilization_percent")
    assert len(points) == 5
    assert points[-1] == pytest.approx(75.0), "one of two has ticked"
    assert all(len(store.fleet_history(series)) == 5 for series in FLEET_SERIES)
