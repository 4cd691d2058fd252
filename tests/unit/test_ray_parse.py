"""Ray's answers, word by word: amounts, names, rows that do not fit, and where two pieces of a log meet."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.errors import BadAnswer
from plugins.ray import held, holdings, hosts, resources, wire
from plugins.ray.joint import Joint
from plugins.ray.resources import Amount
from plugins.ray.wire import ActorRow, Bundle, GroupRow, GroupStats, JobRow, NodeRow, TaskRow


def test_usage_counts_what_placement_groups_hold() -> None:
    text = (
        "1.0/4.0 CPU\n0.5/8.0 GPU (0.5 used of 4.0 reserved in placement groups)\n"
        "0B/1.50GiB memory\n0.0/1.0 accelerator_type:H100\n0/2 a custom (odd) one\nnonsense\nx/y GPU\n-1.0/1.0 TPU"
    )
    assert resources.usage(text) == {
        "CPU": Amount(4.0, 1.0),
        "GPU": Amount(8.0, 4.0),
        "memory": Amount(1.5 * (1 << 30), 0.0),
        "accelerator_type:H100": Amount(1.0, 0.0),
        "a custom (odd) one": Amount(2.0, 0.0),
        "TPU": Amount(1.0, 0.0),
    }
    assert resources.usage("nan/4.0 GPU\n1.0/inf CPU") == {}


def test_what_is_wanted_has_its_own_name_inside_of_a_placement_group() -> None:
    group = "4bd2a9" * 6
    wanted = {f"GPU_group_0_{group}": 1.0, f"GPU_group_{group}": 1.0, f"bundle_group_{group}": 0.001, "CPU": 0.0}
    assert resources.plain(wanted) == {"GPU": 1.0}
    assert resources.plain(None) == {}
    assert resources.plain({"GPU": float("nan"), "node:10.0.0.1": 1.0}) == {}


def test_words_for_people() -> None:
    assert resources.words({"CPU": 1.0, "GPU": 0.5, "memory": 1 << 30}) == "0.5 GPU, 1 CPU, 1 GiB memory"
    assert resources.counted([{"GPU": 8.0}, {"GPU": 8.0}, {}]) == "2 × (8 GPU) + nothing"
    assert resources.model(["CPU", "accelerator_type:H100"]) == "H100"
    assert resources.model(["acceleratorType:A100"]) == "A100"
    assert resources.whole(0.30000000000000004) == 1
    assert resources.whole(2.0000000001) == 2


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ((), ""),
        (("gpu01",), "gpu01"),
        (("head", "gpu03", "gpu01", "gpu02", "gpu10"), "gpu[01-03,10],head"),
        (("n9", "n10", "n1"), "n[1,9-10]"),
        (("n09", "n10", "n9"), "n9,n[09-10]"),
        (("10.0.0.1",), "10.0.0.1"),
    ],
)
def test_folded_hosts(names: tuple[str, ...], folded: str) -> None:
    assert hosts.fold(names) == folded


def test_who_holds_it() -> None:
    assert held.holder(None, {"SLURM_JOB_ID": "8812"}) == "Slurm job 8812"
    assert held.holder({"slurmJobId": 7}) == "Slurm job 7"
    assert held.holder({"ray.io/cluster": "lla\x1b[31mma"}) == "RayCluster llama"
    assert held.holder({"job": "8812", "SLURM_JOB_ID": ""}) is None


def test_json_that_python_writes_and_others_do_not_read() -> None:
    assert wire.loads(b'{"a": NaN, "b": "x\\udcff"}', "x") == {"a": None, "b": "x\udcff"}
    for data in (b"", b"<html>", b"[" * 100_000, b"\xff\xfe"):
        with pytest.raises(BadAnswer, match="something else than x"):
            wire.loads(data, "x")


def test_a_row_that_does_not_fit_is_left_out_and_counted() -> None:
    rows: list[Any] = [{"submission_id": "a", "status": "RUNNING", "new_field": {}}, {"submission_id": []}, 7, None]
    found = wire.jobs(json.dumps(rows).encode())
    assert [row.id for row in found.rows] == ["a"]
    assert found.unreadable == 3
    for other in (b"{}", b"7", b'"x"'):
        with pytest.raises(BadAnswer):
            wire.jobs(other)


@pytest.mark.parametrize(
    "data", [b"{}", b'{"data": 1}', b'{"data": {}}', b'{"data": {"result": {"result": 7}}}', b"[]"]
)
def test_an_answer_that_is_another_one_is_bad(data: bytes) -> None:
    for read in (
        wire.nodes,
        wire.task_counts,
        wire.log_files if b"result" not in data else wire.nodes,
        lambda data: wire.state_rows(data, ActorRow, "actors"),
        lambda data: wire.one(data, wire.Version, "its version"),
    ):
        with pytest.raises(BadAnswer):
            read(data)


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_whatever_a_row_holds_nothing_breaks(value: Any) -> None:
    for kind in (JobRow, NodeRow, ActorRow, GroupRow):
        rows = wire.rows([value, {"raylet": value, "job_id": value}], kind, "x")
        assert len(rows.rows) + rows.unreadable == 2


def test_truncated_listings_say_so() -> None:
    result = {"total": 12_000, "num_after_truncation": 10_000, "result": [{"state": "ALIVE"}]}
    assert wire.state_rows(json.dumps({"data": {"result": result}}).encode(), ActorRow, "actors").total == 12_000


def test_the_words_of_a_failure() -> None:
    assert wire.message('{"result": false, "msg": "no GCS"}') == "no GCS"
    assert wire.message("KeyError: 'x'") == "KeyError: 'x'"


def test_what_jobs_hold_is_added_up_once() -> None:
    groups = (
        GroupRow(
            creator_job_id="01",
            state="CREATED",
            bundles=(
                Bundle(unit_resources={"GPU": 2.0, "CPU": 1.0}, node_id="a"),
                Bundle(unit_resources={"GPU": 2.0}, node_id="b"),
            ),
        ),
        GroupRow(
            creator_job_id="01",
            name="big",
            state="PENDING",
            stats=GroupStats(scheduling_state="INFEASIBLE"),
            bundles=(Bundle(unit_resources={"GPU": 16.0}, node_id=""),),
        ),
        GroupRow(creator_job_id="01", state="REMOVED", bundles=(Bundle(unit_resources={"GPU": 99.0}, node_id="a"),)),
        GroupRow(state="PENDING"),
    )
    actors = (
        ActorRow(job_id="01", state="ALIVE", node_id="a", placement_group_id="g", required_resources={"GPU": 2.0}),
        ActorRow(job_id="01", state="ALIVE", node_id="c", required_resources={"GPU": 1.0}, num_restarts=2),
        ActorRow(job_id="01", state="PENDING_CREATION", class_name="T", required_resources={"GPU": 4.0}),
        ActorRow(job_id="02", state="DEAD", node_id="z"),
        ActorRow(state="ALIVE"),
    )
    tasks = (
        TaskRow(job_id="01", node_id="d", required_resources={"GPU": 0.5}),
        TaskRow(job_id="01", node_id="a", required_resources={"GPU": 2.0}, placement_group_id="g"),
        TaskRow(job_id="01", required_resources={"GPU": 9.0}),
    )
    found = holdings.add_up(groups, actors, tasks)
    one = found["01"]
    assert one.held == {"GPU": 5.5, "CPU": 1.0}
    assert one.nodes == {"a", "b", "c", "d"}
    assert [(want.what, want.bundles, want.verdict) for want in one.wants] == [
        ("placement group big", ({"GPU": 16.0},), "INFEASIBLE"),
        ("actor T", ({"GPU": 4.0},), None),
    ]
    assert one.restarts == 2
    assert holdings.sentence(one.actors) == "2 alive, 1 pending creation"
    assert found["02"].nodes == set()


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 60), st.lists(st.integers(1, 9), max_size=12))
def test_a_joint_loses_nothing_where_the_end_is_met_once(
    before: bytes, after: bytes, back: int, cuts: list[int]
) -> None:
    """Whatever the pieces are: what was read before, then what the joint lets pass, is the whole file."""
    before = b"<" + before.replace(b"<", b"-").replace(b">", b"-") + b">"
    after = after.replace(b"<", b"-").replace(b">", b"-")
    whole = before + after
    stream = whole[max(0, len(before) - back - 1) :]
    joint = Joint(before)
    passed = b""
    for cut in cuts:
        passed += joint.feed(stream[:cut])
        stream = stream[cut:]
    passed += joint.feed(stream) if stream else b""
    passed += joint.flush()
    assert before + passed == whole


def test_a_joint_that_is_opened_anew_goes_on_where_it_was() -> None:
    joint = Joint(b"one\n")
    assert joint.feed(b"one\ntwo\n") == b"two\n"
    assert joint.feed(b"three\n") == b"three\n"
    joint.restart()
    assert joint.feed(b"one\ntwo\nth") == b""
    assert joint.feed(b"ree\nfour\n") == b"four\n"


def test_a_joint_that_meets_nothing_lets_everything_pass() -> None:
    joint = Joint(b"long ago\n")
    assert joint.feed(b"now\n") == b""
    assert joint.flush() == b"now\n"
    assert Joint(b"").feed(b"first\n") == b"first\n"
