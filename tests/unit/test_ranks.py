"""The ranks of a job: as a map, and the one that falls behind."""

from __future__ import annotations

import random
from typing import Any

import pytest

from console.model import Event, Explanation, JobState, Mount, MountState
from console.render.cells import line_text
from console.render.job_page import job_sections
from console.render.ranks import odd_one, ranks_of
from console.render.tables.jobs import JobRow
from console.render.view import View
from console.store import Store
from tests.unit.records import gpu, job, listing, measured, node, queue

AT = 1_790_000_000.0
KEY = ("lab", "7")


def store_of(utilization: list[list[float | None]], **more: Any) -> Store:
    """Return a store with job 7 on one node for each list, one GPU for each value."""
    store = Store()
    names = tuple(f"gpu{at:02}" for at in range(1, len(utilization) + 1))
    fields: dict[str, Any] = {
        "state": JobState.RUNNING,
        "node_names": names,
        "started_at": AT - 600,
        "time_limit_s": 3600.0,
        **more,
    }
    store.apply(listing("slurm:lab/nodes", *(node(name) for name in names)))
    store.apply(queue("slurm:lab/jobs", job("7", **fields)))
    for name, values in zip(names, utilization, strict=True):
        store.apply(measured(name, AT, *(gpu(at, value) for at, value in enumerate(values))))
    return store


def odd(store: Store) -> tuple[int, str] | None:
    found = odd_one(ranks_of(JobRow(View(store, AT), store.jobs[KEY])))
    return None if found is None else (found[0].number, found[1])


def page(store: Store, width: int = 100, found: Explanation | None = None) -> str:
    sections = job_sections(View(store, AT), KEY, width, found)
    return "\n".join("\n".join((one.title, *(line_text(line).rstrip() for line in one.lines))) for one in sections)


def test_the_rank_that_falls_behind_is_named_with_its_evidence() -> None:
    store = store_of([[97.0] * 8, [97.0, 96.0, 98.0, 97.0, 41.0, 97.0, 96.0, 97.0]])
    assert odd(store) == (12, "41 % utilisation while the median of 16 is 97 %")
    assert "rank 12, GPU 4 of gpu02: 41 % utilisation" in " ".join(page(store).split())


@pytest.mark.parametrize(
    "utilization",
    [
        [[97.0, 30.0]],  # too few to tell which is the odd one
        [[0.0] * 8],  # nothing works: nobody is slow
        [[None] * 8],
        [[97.0] * 7 + [None]],  # not known is not slow
        [[90.0, 95.0, 97.0, 92.0, 96.0, 91.0, 94.0, 93.0]],
    ],
)
def test_nobody_is_named_without_evidence(utilization: list[list[float | None]]) -> None:
    assert odd(store_of(utilization)) is None


def test_ordinary_noise_names_nobody() -> None:
    rng = random.Random(7)
    named = sum(odd(store_of([[min(rng.gauss(92, 3), 100.0) for _ in range(8)] for _ in range(8)])) is not None
                for _ in range(200))  # fmt: skip
    assert named <= 4


def test_of_few_nodes_each_has_a_line_and_of_many_only_utilisation() -> None:
    few = page(store_of([[50.0] * 4] * 3))
    assert "UTIL" in few
    assert few.count("gpu02") >= 2
    many = page(store_of([[50.0] * 4] * 40))
    assert "utilisation of each GPU" in many


def test_files_are_summed_over_the_nodes_and_shared_nodes_are_said() -> None:
    store = store_of([[50.0]] * 2)
    for name in ("gpu01", "gpu02"):
        mount = Mount(path="/data", source="nfs1:/x", type="nfs4", network=True, state=MountState.SLOW, rtt_s=0.25,
                      read_bytes_per_s=3e6, write_bytes_per_s=1e6)  # fmt: skip
        still = Mount(path="/home", source="nfs1:/h", type="nfs4", network=True, state=MountState.OK)
        store.apply(measured(name, AT, gpu(0, 50.0), mounts=(still, mount)))
    text = page(store)
    assert text.index("/data") < text.index("/home")
    line = next(line for line in text.splitlines() if "/data" in line)
    assert line.split()[2:4] == ["6.0M", "2.0M"]
    assert "slow" in line
    assert "other jobs run there too" not in text
    store.apply(queue("slurm:lab/jobs", store.jobs[KEY], job("8", state=JobState.RUNNING, node_names=("gpu01",))))
    assert "other jobs run there too" in page(store)


def test_what_happened_is_in_order_and_what_repeats_stands_once() -> None:
    store = store_of([[50.0]], submitted_at=AT - 900, user="alice", state=JobState.FAILED, ends_at=AT - 10, exit_code=2)
    events = (
        Event(at=AT - 899.5, text="submitted by alice to train"),
        Event(at=None, text="put back into the queue once"),
        *(Event(at=AT - 800 + at, text="FailedCreate: quota exceeded") for at in range(5)),
    )
    found = Explanation(cluster="lab", job="7", state=JobState.FAILED, summary="It failed.", events=events)
    text = page(store, found=found)
    happened = text[text.index("what happened") : text.index("all that its scheduler says")]
    assert happened.count("submitted") == 1
    assert happened.count("FailedCreate") == 1
    assert "(5 times, last" in happened
    assert happened.index("submitted") < happened.index("put back") < happened.index("FailedCreate")
    assert happened.index("submitted") < happened.index("FailedCreate") < happened.index("started")
    assert "ended: failed, exit code 2" in happened


def test_time_used_and_left() -> None:
    assert "10m00s of 1h00m, 50m00s left" in page(store_of([[50.0]]))
    assert "without a limit" in page(store_of([[50.0]], time_limit_s=None))
