"""One machine, two truths."""

from __future__ import annotations

from typing import Any

from console.render.lines import Section
from console.render.node_page import node_sections
from console.render.nodes import conflicts
from console.render.view import View
from console.store import NodeView, Store
from tests.unit.records import gpu, listing, measured, node

GIB = 1 << 30


def merged(slurm: dict[str, Any], kubernetes: dict[str, Any], *gpus: Any) -> tuple[Store, NodeView]:
    store = Store()
    store.apply(listing("slurm:lab/nodes", node("gpu01", **slurm)))
    store.apply(listing("kubernetes:k8s/nodes", node("gpu01.dc1.local", cluster="k8s", **kubernetes)))
    if gpus:
        store.apply(measured("gpu01", 1000.0, *gpus))
    assert list(store.nodes) == ["gpu01"], "one machine is one row"
    return store, store.nodes["gpu01"]


def words(store: Store) -> str:
    sections: list[Section] = node_sections(View(store, 1000.0), "gpu01", 100)
    return "\n".join("".join(cell.text for cell in line) for section in sections for line in section.lines)


def test_what_two_schedulers_say_differently_is_shown() -> None:
    store, one = merged(
        {"accelerators_total": 8, "cpus": 128, "memory_total_bytes": 1000 * GIB, "accelerator_model": "h100"},
        {
            "accelerators_total": 7,
            "cpus": 128,
            "memory_total_bytes": 960 * GIB,
            "accelerator_model": "NVIDIA-H100-80GB",
        },
    )
    assert conflicts(one) == [("gpus", [("lab", 8), ("k8s", 7)])]
    assert "lab 8, k8s 7: they do not agree" in words(store)


def test_what_is_the_same_or_not_known_is_no_conflict() -> None:
    store, one = merged({"accelerators_total": 8}, {"cpus": 4})
    assert conflicts(one) == []
    assert "do not agree" not in words(store)


def test_a_gpu_that_the_probe_does_not_see_is_a_conflict() -> None:
    store, _ = merged({"accelerators_total": 2}, {"accelerators_total": 2}, gpu(0))
    assert "lab 2, k8s 2, measured 1: they do not agree" in words(store)


def test_parts_of_a_divided_gpu_are_counted_otherwise() -> None:
    _, one = merged({"accelerators_total": 14}, {"accelerators_total": 14}, gpu(0, mig=True), gpu(1, mig=True))
    assert conflicts(one) == []


def test_memory_that_is_far_off_is_a_conflict() -> None:
    store, _ = merged({"memory_total_bytes": 512 * GIB}, {"memory_total_bytes": 256 * GIB})
    assert "lab 512G, k8s 256G: they do not agree" in words(store)
