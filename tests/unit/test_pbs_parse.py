"""What qstat, pbsnodes and pbs_rstat print, as a real OpenPBS printed it, and as nobody should."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import BadAnswer
from console.model import JobState, Node, NodeState
from plugins.pbs import answers, layout, rows, values
from plugins.pbs.jobs import JobReader
from plugins.pbs.nodes import NodeReader, Place
from plugins.pbs.settings import AddressRule
from plugins.pbs.states import holds, job_state, node_state
from tests.unit.pbs_recordings import FIXTURES, recording, run

ANY = msgspec.json.Decoder()
LISTINGS = sorted(
    str(path.relative_to(FIXTURES))
    for path in FIXTURES.glob("*/*.json")
    if b'"Jobs"' in path.read_bytes() or b'"nodes"' in path.read_bytes()
)


def job_reader(name: str) -> JobReader:
    reader = JobReader("lab")
    run(reader.read(recording(name)))
    return reader


def nodes(answer: bytes, place: Place | None = None) -> dict[str, Node]:
    listing = run(NodeReader("lab", place or Place()).read(answer))
    return {node.name: node for node in listing.nodes}


# ---- answers


@pytest.mark.parametrize("name", LISTINGS)
def test_entries_are_those_that_a_json_reader_sees(name: str) -> None:
    answer = recording(name)
    table = "Jobs" if b'"Jobs"' in answer else "nodes"
    found = dict(answers.entries(answer, table, "qstat"))
    try:
        expected = json.loads(answer.decode("utf-8", "replace"))[table]
    except ValueError:
        expected = json.loads(answer.decode("utf-8", "replace"), strict=False)[table]
    assert list(found) == list(expected)
    for entry, piece in found.items():
        # A user's bytes that are not UTF-8 may come out as another number of replacement characters.
        assert str(answers.decode(piece, ANY)).replace("\ufffd", "") == str(expected[entry]).replace("\ufffd", "")


def test_entries_of_compact_json_are_the_same() -> None:
    table = json.loads(recording("03_mixed/qstat_tf_json.json"))
    compact = json.dumps(table, separators=(",", ":")).encode()
    assert [name for name, _ in answers.entries(compact, "Jobs", "qstat")] == list(table["Jobs"])


def test_an_answer_without_the_table_has_no_entries() -> None:
    for name in ("01_empty/qstat_f_json.json", "07_errors/qstat_unknown_json.txt", "08_indented/server_empty.txt"):
        assert list(answers.entries(recording(name), "Jobs", "qstat")) == []


def test_an_empty_table_has_no_entries() -> None:
    for answer in (b'{\n\t"Jobs":\t{\n\t}\n}', b'{"Jobs":{}}', b'{\n    "Jobs":{ }\n}'):
        assert list(answers.entries(answer, "Jobs", "qstat")) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_an_answer_that_ends_in_the_middle_is_refused(share: float) -> None:
    answer = recording("03_mixed/qstat_f_json.json").rstrip()
    with pytest.raises(BadAnswer, match="middle"):
        list(answers.entries(answer[: int(len(answer) * share)], "Jobs", "qstat"))


@pytest.mark.parametrize("answer", [b"", b"Job id   Name\n------\n", b"qstat: illegal option\n", b"\xff\xfe"])
def test_what_is_no_json_is_refused_with_its_words(answer: bytes) -> None:
    with pytest.raises(BadAnswer, match="qstat printed"):
        list(answers.entries(answer, "Jobs", "qstat"))


def test_a_table_for_people_before_the_json_is_left_out() -> None:
    answer = b"\nVMa: \n  Req'd  Req'd   Elap\n2000.VMa amehm5 workq\n" + recording("03_mixed/qstat_f_json.json")
    assert len(list(answers.entries(answer, "Jobs", "qstat"))) == 13


def test_the_table_opened_anew_before_each_job_is_one_table() -> None:
    """As releases of 2018 print several jobs."""
    answer = b"""{
    "timestamp":1,
    "Jobs":{
        "1.s":{
            "Job_Name":"a"
        },
    "Jobs":{
        "2.s":{
            "Job_Name":"b"
        }
    }
}"""
    assert [name for name, _ in answers.entries(answer, "Jobs", "qstat")] == ["1.s", "2.s"]


BROKEN = r"""{
    "Job_Name":"q"uo",
    "leading":005,
    "nan":nan,
    "huge":1e400,
    "escapes":"it\'s a\,b\n \\ \u00e9",
    "Variable_List":{
        "lines":"one
two",
        "tab":"a	b",
        "end":"back\"
    },
    "jobs":["1.s", "2.s"],
    "number":-3.5e2
}"""


def test_json_that_pbs_broke_is_mended() -> None:
    assert answers.decode(BROKEN.encode(), ANY) == {
        "Job_Name": 'q"uo',
        "leading": "005",
        "nan": "nan",
        "huge": "1e400",
        "escapes": "it's a,b\n \\ é",
        "Variable_List": {"lines": "one\ntwo", "tab": "a\tb", "end": "back"},
        "jobs": ["1.s", "2.s"],
        "number": -350,
    }


def test_control_characters_that_a_real_qstat_left_in_a_string_do_not_cost_the_job() -> None:
    answer = recording("08_indented/qstat_f.json")
    with pytest.raises(ValueError, match="control character"):
        json.loads(answer.decode("utf-8", "replace"))
    jobs = {job.id: job for job in job_reader("08_indented/qstat_f.json").jobs}
    account = jobs["11.pbs01"].account
    assert account is not None
    assert account.startswith("proj ")
    assert account.isprintable()


def test_a_job_beyond_repair_is_shown_as_such_and_the_others_as_they_are() -> None:
    answer = recording("03_mixed/qstat_f_json.json").replace(b'"Job_Name":\t"held"', b'"Job_Name":\t{"a" b}')
    reader = JobReader("lab")
    listing = run(reader.read(answer))
    jobs = {job.id: job for job in listing.jobs}
    assert len(jobs) == 13
    assert jobs["7.pbs01"].state is JobState.UNKNOWN
    assert "cannot be read" in jobs["7.pbs01"].missing["state"]
    assert jobs["6.pbs01"].name == "pend"
    assert reader.unreadable == 1


def test_an_entry_that_is_no_job_is_refused() -> None:
    answer = recording("03_mixed/qstat_f_json.json").replace(b'"7.pbs01":\t{', b'"--flag":\t{')
    with pytest.raises(BadAnswer, match="without a job id"):
        run(JobReader("lab").read(answer))


text = st.text(max_size=30)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
FIELDS = [field.encode_name for field in msgspec.structs.fields(rows.Row)]


@given(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=12))
def test_any_value_in_any_field_gives_a_job_of_plain_clean_data(fields: dict[str, Any]) -> None:
    answer = json.dumps({"Jobs": {"1.s": {"job_state": "Q", **fields}}}, indent=4).encode()
    (job,) = run(JobReader("lab").read(answer)).jobs
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(job), type=type(job)) == job
    for value in (job.name, job.user, job.reason, job.comment, job.work_dir, *job.detail.values()):
        assert value is None or value.isprintable()


@given(st.binary(max_size=60))
def test_any_bytes_in_a_value_cost_nobody_else_anything(junk: bytes) -> None:
    junk = junk.replace(b'"', b"'").replace(b"\\", b"/").replace(b"\n", b" ")
    answer = recording("03_mixed/qstat_f_json.json").replace(b'"Job_Name":\t"held"', b'"Job_Name":\t"' + junk + b'"')
    jobs = {job.id: job for job in run(JobReader("lab").read(answer)).jobs}
    assert len(jobs) == 13
    assert jobs["7.pbs01"].state is JobState.HELD


VNODE_FIELDS = ["Mom", "jobs", "resources_available", "resources_assigned", "comment", "queue", "sharing", "resv"]


@given(st.dictionaries(st.sampled_from(VNODE_FIELDS), anything, max_size=8))
def test_any_value_in_any_field_of_a_vnode_gives_a_host(fields: dict[str, Any]) -> None:
    answer = json.dumps({"nodes": {"gpu1": {"state": "free", **fields}}}, indent=4).encode()
    (node,) = nodes(answer).values()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(node), type=Node) == node
    assert node.name.isprintable()


# ---- values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1tb", 1 << 40),
        ("64gb", 64 << 30),
        ("24684084kb", 24684084 << 10),
        ("0b", 0),
        ("10mw", 80 << 20),
        (512, 512),
        ("16GB", 16 << 30),
        ("many", None),
        ("-1kb", None),
        (True, None),
        (1.5, None),
        (None, None),
        ("99999999999999999tb", None),
    ],
)
def test_sizes(value: Any, expected: int | None) -> None:
    assert values.size_bytes(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("02:00:00", 7200), ("720:00:00", 2592000), ("10:30", 630), (90, 90), ("90", 90), ("1:2:3:4", None), ("", None)],
)
def test_durations(value: Any, expected: float | None) -> None:
    assert values.duration_s(value) == expected


def test_times_are_read_as_utc_whatever_the_zone_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert values.time_at("Mon Nov 23 22:57:08 2026") == 1795474628
        assert values.time_at("Mon Nov  2 22:57:08 2026") == 1793660228
    finally:
        monkeypatch.undo()
        time.tzset()
    assert values.time_at(1795474560) == 1795474560
    nonsense: Any
    for nonsense in ("Mon Foo 23 22:57:08 2026", "Mon Feb 31 22:57:08 2026", "soon", -5, True, None, {}):
        assert values.time_at(nonsense) is None


def test_chunks_and_vnodes() -> None:
    assert values.chunks("2:ncpus=4:ngpus=8+ncpus=1:host=a") == [
        (2, {"ncpus": "4", "ngpus": "8"}),
        (1, {"ncpus": "1", "host": "a"}),
    ]
    assert values.chunks('1:ncpus=1:model="a+b:c"') == [(1, {"ncpus": "1", "model": "a+b:c"})]
    assert values.chunks(None) == []
    held = list(values.vnodes("(gpu001:ncpus=4:ngpus=8)+(gpu006[1]:ncpus=32+gpu006[0]:ngpus=2:mem=1kb)"))
    assert held == [
        ("gpu001", {"ncpus": "4", "ngpus": "8"}),
        ("gpu006[1]", {"ncpus": "32"}),
        ("gpu006[0]", {"ngpus": "2", "mem": "1kb"}),
    ]
    assert values.hosts("gpu001/0*4+gpu002/1+gpu001/2") == ("gpu001", "gpu002")


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ((), None),
        (("login",), "login"),
        (("gpu003", "gpu001", "gpu002", "gpu007"), "gpu[001-003,007]"),
        (("gpu1", "gpu01", "login"), "gpu1,gpu01,login"),
        (("r1n1-ib", "r1n2-ib"), "r1n[1-2]-ib"),
        (("a", "b[0]"), "a,b[0]"),
    ],
)
def test_names_are_folded(names: tuple[str, ...], folded: str | None) -> None:
    assert values.fold(names) == folded


# ---- hosts


def test_vnodes_of_one_host_are_folded_into_it() -> None:
    found = nodes(recording("03_mixed/pbsnodes_av_json.json"))
    assert list(found) == ["pbs01", "gpu001", "gpu002", "gpu003", "gpu004", "gpu005", "gpu006", "gpu099"]
    host = found["gpu006"]
    assert host.state is NodeState.BUSY
    assert host.scheduler_state == "free + job-busy"
    assert (host.cpus, host.cpus_allocated) == (64, 36)
    assert (host.accelerators_total, host.accelerators_allocated) == (8, 8)
    assert host.memory_total_bytes == 1 << 40
    assert host.detail["vnode gpu006[1]"] == "job-busy; 32 of 32 ncpus; 4 of 4 ngpus; jobs 2.pbs01"


def test_states_and_amounts_of_real_hosts() -> None:
    found = nodes(recording("03_mixed/pbsnodes_av_json.json"))
    assert (found["gpu005"].state, found["gpu005"].accelerators_total) == (NodeState.UP, 0)
    assert found["gpu001"].state is NodeState.BUSY
    assert found["gpu001"].features == ("ib_fabric=ib0",)
    gone = found["gpu099"]
    assert (gone.state, gone.scheduler_state) == (NodeState.DOWN, "state-unknown,down")
    assert gone.reason == "RMA 2026-11: GPU 3 fell off the bus (Xid 79)"
    assert gone.memory_total_bytes is None
    assert "memory_total_bytes" in gone.missing


def test_offline_with_jobs_drains_and_says_why() -> None:
    (node,) = nodes(recording("06_nodes/pbsnodes_v_offline.json")).values()
    assert (node.state, node.reason) == (NodeState.DRAINING, "ECC errors GPU 5, ticket HW-1234")
    assert node.reason_at == 1795474729
    (node,) = nodes(recording("06_nodes/pbsnodes_v_comment.json")).values()
    assert (node.state, node.reason) == (NodeState.BUSY, 'naïve comment: "quoted", tab and \\ backslash')
    assert node.reason_at is None


def test_comments_of_hosts_are_cleaned() -> None:
    (node,) = nodes(answer_of(a=vnode("a", comment="two\nlines \x1b]0;x\x07 and a bell\x07"))).values()
    assert node.reason == "two lines  and a bell"


def test_reservations_of_vnodes_are_told() -> None:
    assert nodes(recording("08_indented/pbsnodes_av.json"))["gpu001"].detail["reservation"] == "R9.pbs01"


@pytest.mark.parametrize(
    ("state", "busy", "expected"),
    [
        ("free", False, NodeState.UP),
        ("free", True, NodeState.BUSY),
        ("job-busy", True, NodeState.BUSY),
        ("job-exclusive,resv-exclusive", True, NodeState.BUSY),
        ("busy", False, NodeState.BUSY),
        ("resv-exclusive", False, NodeState.RESERVED),
        ("offline", False, NodeState.DRAINED),
        ("offline,job-busy", True, NodeState.DRAINING),
        ("down,offline", False, NodeState.DRAINED),
        ("offline_by_mom", False, NodeState.DRAINED),
        ("state-unknown,down", False, NodeState.DOWN),
        ("down", True, NodeState.DOWN),
        ("Stale", False, NodeState.DOWN),
        ("unresolvable", False, NodeState.UNREACHABLE),
        ("state-unknown", False, NodeState.UNKNOWN),
        ("maintenance", True, NodeState.MAINTENANCE),
        ("wait-provisioning", False, NodeState.MAINTENANCE),
        ("sleep", False, NodeState.UP),
        ("something-new", False, NodeState.UNKNOWN),
        ("", False, NodeState.UNKNOWN),
    ],
)
def test_states_of_vnodes(state: str, busy: bool, expected: NodeState) -> None:
    assert node_state(state, busy) is expected


def vnode(host: str, **fields: Any) -> dict[str, Any]:
    available = {"host": host, "ncpus": 4, **fields.pop("available", {})}
    return {"Mom": f"{host}.dc1", "state": "free", "resources_available": available, **fields}


def answer_of(**vnodes: dict[str, Any]) -> bytes:
    named = {re.sub(r"_(\d)", r"[\1]", name): each for name, each in vnodes.items()}
    return json.dumps({"nodes": named}, indent=4).encode()


def test_a_host_of_which_one_vnode_is_offline_works_and_says_so() -> None:
    answer = answer_of(a_0=vnode("a", state="offline", comment="bad dimm"), a_1=vnode("a"))
    (node,) = nodes(answer).values()
    assert node.state is NodeState.UP
    assert node.reason == "a[0] offline; bad dimm"


def test_without_the_resource_anywhere_gpus_are_not_known() -> None:
    (node,) = nodes(answer_of(a=vnode("a"))).values()
    assert node.accelerators_total is None
    assert "ngpus" in node.missing["accelerators_total"]


def test_addresses_follow_the_rule() -> None:
    answer = answer_of(a=vnode("a"), b=vnode("b", state="sleep"), c=vnode("-oProxyCommand=x", Mom="-oProxyCommand=x"))
    found = nodes(answer)
    assert found["a"].address == "ssh:a.dc1"
    assert (found["b"].address, found["b"].missing["address"]) == (None, "switched off to save power")
    assert found["-oProxyCommand=x"].address is None
    assert nodes(answer, Place(rule=AddressRule.NAME))["a"].address == "ssh:a"
    assert nodes(answer, Place(rule=AddressRule.NONE))["a"].address is None
    assert nodes(answer, Place(hostname="a"))["a"].address == "local"


def test_an_entry_that_is_no_vnode_is_refused() -> None:
    with pytest.raises(BadAnswer, match="nosuch"):
        nodes(recording("06_nodes/v_unknown_json.txt"))


def test_only_hosts_that_changed_are_told_again() -> None:
    reader = NodeReader("lab", Place())
    first = run(reader.read(recording("01_empty/pbsnodes_av_json.json")))
    assert len(first.changed) == 8
    second = run(reader.read(recording("03_mixed/pbsnodes_av_json.json")))
    assert [node.name for node in second.changed] == ["gpu001", "gpu002", "gpu003", "gpu004", "gpu006"]
    third = run(reader.read(answer_of(gpu001=vnode("gpu001"))))
    assert third.gone == ("gpu002", "gpu003", "gpu004", "gpu005", "gpu006", "gpu099", "pbs01")


# ---- jobs


def test_real_jobs() -> None:
    jobs = {job.id: job for job in job_reader("03_mixed/qstat_f_json.json").jobs}
    train = jobs["0.pbs01"]
    assert (train.name, train.user, train.queue, train.state) == ("train_70b", "alice", "gpu", JobState.RUNNING)
    assert (train.nodes, train.node_names) == ("gpu[001-002]", ("gpu001", "gpu002"))
    assert (train.node_count, train.cpus, train.accelerators, train.time_limit_s) == (2, 8, 16, 7200)
    assert (train.submitted_at, train.started_at, train.ends_at) == (1795474628, 1795474628, 1795481828)
    assert train.work_dir == "/home/alice"
    assert train.reason is None
    assert jobs["2.pbs01"].accelerators == 4
    assert jobs["2.pbs01"].missing == {"time_limit_s": "no walltime was asked for"}
    assert jobs["1.pbs01"].memory_bytes == 64 << 30
    waits = jobs["5.pbs01"]
    assert (waits.state, waits.accelerators, waits.started_at) == (JobState.PENDING, 128, None)
    assert waits.reason == "Insufficient amount of resource: ngpus (R: 8 A: 0 T: 48)"
    assert jobs["7.pbs01"].state is JobState.HELD
    assert jobs["7.pbs01"].reason == "held by its owner, who may release it (qrls)"
    assert jobs["8.pbs01"].reason == "not before Tue Nov 24 00:57:00 2026 UTC"
    assert jobs["9.pbs01"].reason == "depends on afterok:0.pbs01@pbs01"
    assert jobs["12.pbs01"].account == "proj α/β"


def test_an_array_is_one_job_with_counts_and_the_hosts_of_its_tasks() -> None:
    reader = JobReader("lab")
    hosts = {"3[].pbs01": ("gpu003", "gpu004", "gpu006")}
    jobs = {job.id: job for job in run(reader.read(recording("03_mixed/qstat_f_json.json"), hosts)).jobs}
    sweep = jobs["3[].pbs01"]
    assert sweep.array is not None
    assert (sweep.array.tasks, sweep.array.running, sweep.array.pending) == (6, 4, 2)
    assert sweep.state is JobState.RUNNING
    assert sweep.accelerators == 16
    assert sweep.nodes == "gpu[003-004,006]"
    moved = run(reader.read(recording("03_mixed/qstat_f_json.json"), {"3[].pbs01": ("gpu001",)}))
    assert [job.id for job in moved.changed] == ["3[].pbs01"], "pbsnodes tells where tasks are, not the bytes of qstat"


@pytest.mark.parametrize(
    ("indices", "tasks"), [("1-6:1", 6), ("0-7", 8), ("1-9:4", 3), ("5", 1), ("1,3,5-9", 7), ("9-1", 0), ("x", 0)]
)
def test_the_tasks_of_an_array_are_those_submitted(indices: str, tasks: int) -> None:
    row = {"job_state": "B", "array_indices_submitted": indices, "array_state_count": "Queued:-1 Running:2 Expired:0"}
    (job,) = run(JobReader("lab").read(json.dumps({"Jobs": {"3[].s": row}}, indent=4).encode())).jobs
    assert job.array is not None
    assert (job.array.tasks, job.array.running, job.array.pending) == (tasks or 2, 2, 0)


def test_tasks_of_an_array_are_parts_of_it() -> None:
    jobs = {job.id: job for job in job_reader("03_mixed/qstat_tf_json.json").jobs}
    task = jobs["3[1].pbs01"]
    assert task.array is not None
    assert (task.array.id, task.array.running, task.nodes) == ("3[].pbs01", 1, "gpu003")
    assert jobs["3[5].pbs01"].state is JobState.PENDING
    assert jobs["3[5].pbs01"].reason is None


def test_hosts_of_tasks_come_from_pbsnodes() -> None:
    reader = NodeReader("lab", Place())
    run(reader.read(recording("03_mixed/pbsnodes_av_json.json")))
    assert reader.arrays == {"3[].pbs01": ("gpu003", "gpu004", "gpu006"), "4[].pbs01": ("gpu003",)}


def test_jobs_that_are_over() -> None:
    answer = recording("07_errors/fail_exit.txt")
    jobs = {job.id: job for job in run(JobReader("lab").read(answer[answer.index(b"{") :])).jobs}
    assert (jobs["24.pbs01"].state, jobs["24.pbs01"].exit_code) == (JobState.COMPLETED, 0)
    assert (jobs["37.pbs01"].state, jobs["37.pbs01"].exit_code) == (JobState.FAILED, 3)
    assert (jobs["38.pbs01"].state, jobs["38.pbs01"].exit_code) == (JobState.FAILED, 137)
    assert jobs["0.pbs01"].state is JobState.CANCELLED
    assert jobs["0.pbs01"].ends_at == 1795474734
    assert jobs["7.pbs01"].state is JobState.CANCELLED, "deleted before it ran"


@pytest.mark.parametrize(
    ("letter", "status", "comment", "expected"),
    [
        ("F", 271, "Job run at x and exceeded resource walltime", JobState.TIMEOUT),
        ("F", -29, "", JobState.TIMEOUT),
        ("F", 271, "Job run at x and terminated by alice", JobState.CANCELLED),
        ("F", 271, "Job run at x and failed", JobState.FAILED),
        ("F", 0, "", JobState.COMPLETED),
        ("F", -1, "", JobState.FAILED),
        ("E", None, "", JobState.COMPLETING),
        ("S", None, "", JobState.SUSPENDED),
        ("U", None, "", JobState.SUSPENDED),
        ("T", None, "", JobState.PENDING),
        ("B", None, "", JobState.PENDING),
        ("X", None, "", JobState.COMPLETED),
        ("M", None, "", JobState.UNKNOWN),
        ("?", None, "", JobState.UNKNOWN),
    ],
)
def test_states_of_jobs(letter: str, status: int | None, comment: str, expected: JobState) -> None:
    assert job_state(letter, exit_status=status, comment=comment) is expected


def test_who_holds_a_job() -> None:
    assert holds("n") == ()
    assert len(holds("us")) == 2
    assert "operator" in holds("o")[0]
    held = job_reader("05_control/qstat_held_system.json").get("6.pbs01")
    assert held is not None
    assert held.reason == "Job held by root on Mon Nov 23 22:58:39 2026"
    assert "manager" in held.detail["holds"]


def test_odd_names_and_values_stay_what_they_are() -> None:
    jobs = {job.id: job for job in job_reader("04_odd/qstat_f_json.json").jobs}
    assert [jobs[f"{number}.pbs01"].name for number in (13, 14, 15)] == ["12345", "1e5", "007"]
    assert jobs["15.pbs01"].account == "0012"
    assert jobs["22.pbs01"].detail["project"] == "llm 70b"
    assert len(jobs["17.pbs01"].name) == 230
    assert jobs["23.pbs01"].state is JobState.HELD, "its environment is not UTF-8"


def test_only_jobs_that_changed_are_told_again() -> None:
    reader = JobReader("lab")
    run(reader.read(recording("03_mixed/qstat_f_json.json")))
    again = run(reader.read(recording("03_mixed/qstat_f_json.json")))
    assert (again.changed, again.gone) == ((), ())
    later = recording("03_mixed/qstat_f_json.json").replace(b'"cput":\t"00:00:00"', b'"cput":\t"00:09:00"')
    assert run(reader.read(later)).changed == (), "what no record holds is no change"
    after = run(reader.read(recording("07_errors/qstat_mixed_json.json")))
    assert [job.id for job in after.changed] == ["5.pbs01"]
    assert set(after.gone) == {f"{n}.pbs01" for n in (0, 1, 2, 6, 7, 8, 9, 10, 11, 12)} | {"3[].pbs01", "4[].pbs01"}


def test_an_estimate_is_the_expected_start() -> None:
    answer = recording("03_mixed/qstat_f_json.json").replace(
        b'"Job_Name":\t"pend",',
        b'"Job_Name":\t"pend",\n\t\t\t"estimated":\t{"start_time":\t"Tue Nov 24 01:00:00 2026"},',
    )
    (job,) = (job for job in run(JobReader("lab").read(answer)).jobs if job.id == "6.pbs01")
    assert job.expected_start_at == 1795482000


# ---- server, queues, reservations


def test_the_server() -> None:
    server = layout.server(recording("03_mixed/qstat_B_f_json.json"))
    assert (server.name, server.version, server.state) == ("pbs01", "23.06.06", "Active")
    assert server.counters.total_jobs == 19
    assert server.counters != layout.server(recording("01_empty/qstat_B_f_json.json")).counters
    assert (server.private, server.history, server.counters.scheduling) == (False, True, True)
    with pytest.raises(BadAnswer, match="no server"):
        layout.server(recording("01_empty/qstat_f_json.json"))


def test_queues() -> None:
    attributes = layout.queue_attributes(recording("03_mixed/qstat_Q_f_json.json"))
    queues = {queue.name: queue for queue in layout.queues(attributes, "lab", "workq")}
    assert queues["workq"].default
    assert [queues[name].state for name in ("workq", "gpu", "long", "route")] == [
        *("started", "started", "stopped", "route to gpu"),
    ]
    assert queues["gpu"].priority == 50
    assert layout.queue_state({"enabled": "False", "started": "False"}) == "disabled, stopped"


def test_reservations() -> None:
    (found,) = layout.reservations(recording("08_indented/pbs_rstat.txt"), "lab")
    assert (found.name, found.state, found.nodes, found.users) == ("R9.pbs01", "degraded", "gpu001", ("alice",))
    assert found.ends_at is not None
    assert found.starts_at is not None
    assert found.ends_at - found.starts_at == 3600
    assert found.flags == ("queue R9", "maint")
    assert found.node_names == (), "it holds one GPU of its host"
    whole = recording("08_indented/pbs_rstat.txt").replace(b"place = free", b"place = scatter:excl")
    assert layout.reservations(whole, "lab")[0].node_names == ("gpu001",)
    assert layout.reservations(b"", "lab") == ()
    with pytest.raises(BadAnswer):
        layout.reservations(b"Usage: pbs_rstat\n", "lab")


# ---- cost


def many_jobs(count: int) -> bytes:
    """Return an answer of so many jobs like those of the recording, each a little different."""
    head, _, body = recording("03_mixed/qstat_f_json.json").decode().partition('\t"Jobs":\t{\n')
    found = json.loads(recording("03_mixed/qstat_f_json.json"))["Jobs"]
    pieces = [body[body.index(f'"{name}":') :].partition("\n\t\t}")[0] for name in found if "[" not in name]
    entries = []
    for index in range(count):
        _, _, fields = pieces[index % len(pieces)].partition(":")
        fields = fields.replace("22:57:08", f"22:{index // 60 % 60:02}:{index % 60:02}")
        entries.append(f'\t\t"{index}.pbs01":{fields}\n\t\t}}')
    return (head + '\t"Jobs":\t{\n' + ",\n".join(entries) + "\n\t}\n}\n").encode()


def test_ten_thousand_jobs_never_hold_the_event_loop() -> None:
    """The slowest slice counts in CPU time, so that a busy machine cannot fail it; it takes about 4 ms."""
    answer = many_jobs(10_000)
    reader = JobReader("lab")
    for _ in range(2):
        worst, began = 0.0, time.process_time()
        steps = reader.read(answer)
        jobs = ()
        while not jobs:
            slice_began = time.process_time()
            try:
                next(steps)
            except StopIteration as end:
                jobs = end.value.jobs
            worst = max(worst, time.process_time() - slice_began)
        assert len(jobs) == 10_000
        assert worst < 0.02, f"{worst * 1000:.1f} ms"
        assert time.process_time() - began < 5
