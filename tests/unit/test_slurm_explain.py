"""Why jobs wait, over what one real Slurm said about seventeen of them at one moment."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import BadAnswer
from console.model import Dependency, Explanation, Job, JobState, Limit, Node, NodeState, Reservation
from console.text import clean
from console.transport.base import Completed
from plugins.slurm import facts, fits, hostlist, parse, queueing, usage
from plugins.slurm.commands import HISTORY_FIELDS, MACHINE_FIELDS, OUTPUT_FIELDS
from plugins.slurm.details import FIELDS, Detail, choose, details, ended_with, history, job_id, rows
from plugins.slurm.explain import Surroundings, explanation
from plugins.slurm.jobs import JobReader
from plugins.slurm.limits import limit_code
from plugins.slurm.nodes import NodeReader, Place
from plugins.slurm.outputs import outputs
from plugins.slurm.states import job_state

ONE = Path(__file__).parent.parent / "fixtures" / "slurm" / "22.05.8" / "one"
NONCE = "q0123456789abcdef"


def finish(steps: Generator[None, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def said(name: str) -> bytes:
    return (ONE / f"{name}.out").read_bytes()


def completed(out: bytes = b"", err: bytes = b"", status: int = 0) -> Completed:
    return Completed(exit_status=status, stdout=out, stderr=err, seconds=0.01)


@pytest.fixture(scope="module")
def around() -> Surroundings:
    nodes = finish(NodeReader("lab", Place()).read(said("explain-nodes"))).nodes
    return Surroundings(
        nodes=nodes,
        queues=parse.partitions(said("explain-partitions"), "lab"),
        reservations=parse.reservations(said("explain-reservations"), "lab"),
    )


def detail(name: str, asked: str) -> Detail:
    wanted = job_id(asked)
    assert wanted is not None
    found = choose(details(said(f"job-{name}"), NONCE, FIELDS, JobReader("lab")), wanted)
    assert found is not None
    return found


def explained(name: str, asked: str, around: Surroundings) -> Explanation:
    found = detail(name, asked)
    listed = finish(JobReader("lab").read(said("explain-jobs"), NONCE, MACHINE_FIELDS)).jobs
    around = dataclasses.replace(around, company=finish(queueing.company(found.job, listed)))
    return explanation(found, asked, around)


# ---- jobs that wait


def test_a_job_that_waits_for_gpus(around: Surroundings) -> None:
    found = explained("resources", "3", around)
    assert found.state is JobState.PENDING
    assert [cause.code for cause in found.causes] == ["Resources", "fragmented"]
    assert found.causes[1].text == "2 GPUs are free on 2 nodes, on none of them 4 together"
    assert found.summary.startswith("It waits for 1 node with 4 a100 GPUs and 1 CPU: it is next")
    assert found.position == 1
    assert found.expected_start_at is not None
    assert found.estimate_source is not None
    assert "backfill" in found.estimate_source
    assert "planned on n" in found.estimate_source
    (fit,) = found.fits
    assert (fit.count, fit.nodes, fit.accelerators_free) == (2, "n[1-2]", 2)
    assert fit.why.startswith("fragmented")
    assert [event.text for event in found.events] == ["submitted by root to gpu", "looked at by the scheduler"]


def test_a_job_of_lower_priority_stands_behind(around: Surroundings) -> None:
    found = explained("nice", "10", around)
    assert found.causes[0].code == "Priority"
    assert found.position == 3  # after 3, and 15, whose node is away


def test_a_job_that_waits_for_another_cannot_be_told_lies_by_its_own_name(around: Surroundings) -> None:
    found = explained("dependency", "4", around)
    assert found.dependencies == (Dependency(id="1", condition="afterok", name="hog", state=JobState.RUNNING),)
    assert found.position is None
    assert "position" in found.missing
    assert found.state is JobState.PENDING
    job = detail("dependency", "4")
    assert job.facts["STDOUT"] == "/tmp/slurm-4.out"
    assert job.job.name == clean("evil\n99|x | JobId=5 StdOut=/etc/passwd")


def test_a_held_job(around: Surroundings) -> None:
    found = explained("held", "5", around)
    assert found.state is JobState.HELD
    assert found.summary == "It waits: its owner holds it."
    assert found.causes[0].next_step == "release it: scontrol release 5"
    assert found.expected_start_at is None
    assert "expected_start_at" in found.missing


def test_a_job_that_waits_for_a_reservation(around: Surroundings) -> None:
    found = explained("reservation", "6", around)
    assert found.causes[0].text.endswith("later on n2, inactive")
    assert found.expected_start_at == around.reservations[0].starts_at
    assert found.estimate_source == "the begin of reservation later"


def test_a_task_of_an_array_and_the_array_itself(around: Surroundings) -> None:
    for name, asked in (("array", "7"), ("task", "7_5")):
        found = explained(name, asked, around)
        assert found.job == asked
        assert found.causes[0].code == "JobArrayTaskLimit"
        assert found.limits == (Limit(scope="array 7", resource="tasks", used=1, limit=1.0),)
        assert found.causes[0].next_step.endswith("scontrol update JobId=7 ArrayTaskThrottle=N")


def test_a_job_over_the_time_of_its_partition(around: Surroundings) -> None:
    found = explained("timelimit", "8", around)
    assert found.summary.startswith("It cannot start: it asks for more time")
    assert found.limits == (Limit(scope="partition gpu", resource="minutes", limit=1440.0, asked=4320.0),)


def test_a_job_with_a_begin_time(around: Surroundings) -> None:
    found = explained("begin", "14", around)
    assert found.expected_start_at is not None
    assert found.estimate_source == "the earliest start that it was given"


def test_a_job_that_names_a_node_which_is_drained(around: Surroundings) -> None:
    found = explained("nodeaway", "15", around)
    first, second = found.causes
    assert first.code == "ReqNodeNotAvail, UnavailableNodes:n3"
    assert first.text.endswith(": n3 is drained (bad dimm)")
    assert first.nodes == 1
    assert second.code == "nodes away"
    assert [(fit.why, fit.nodes) for fit in found.fits] == [("drained", "n3")]


def test_a_job_that_waits_for_a_licence(around: Surroundings) -> None:
    found = facts.licenses(said("licenses"), detail("licenses", "13").facts["Licenses"])
    assert found == (
        Limit(scope="licence matlab", resource="license", used=1.0, limit=1.0, asked=1.0),
        Limit(scope="licence ansys", resource="license", used=0.0, limit=4.0, asked=2.0),
    )


def test_without_listings_it_says_what_is_missing() -> None:
    found = explanation(detail("resources", "3"), "3", Surroundings())
    assert found.position is None
    assert found.missing["position"] == "the jobs are not listed yet"
    assert found.missing["fits"] == "the nodes are not listed yet"


# ---- jobs that run, and that ended


def test_a_job_that_runs(around: Surroundings) -> None:
    found = explained("running", "1", around)
    assert (found.summary, found.causes, found.missing) == ("It runs on n1.", (), {})
    assert found.events[-1].text == "started on n1"


def test_a_job_that_failed(around: Surroundings) -> None:
    found = explained("failed", "9", around)
    assert found.state is JobState.FAILED
    assert found.summary == "Its program ended with an error of its own (exit code 3)."
    assert found.causes[0].next_step == "read the end of its output: qd logs 9"
    assert found.events[-1].text == "ended: failed, exit code 3"


def test_parts_of_a_heterogeneous_job(around: Surroundings) -> None:
    assert detail("het", "16").job.id == "16+0"
    assert detail("het", "16+1").job.nodes == "n1"
    assert explained("het", "16+1", around).summary == "It runs on n1."


@pytest.mark.parametrize(
    ("state", "status", "text"),
    [
        ("CANCELLED by 1000", "0", "It was cancelled."),
        ("FAILED", "9", "It failed (signal 9, SIGKILL)."),
        ("FAILED", "53", "It failed (exit code 0, Slurm's own error 53)."),
        ("OUT_OF_MEMORY", "0", "It used more memory than it had asked for."),
        ("COMPLETED", "0", "It ended well."),
        ("FAILED", "3:0", "It failed (exit code 3)."),
        ("NODE_FAIL", "256", "A node under it failed (exit code 1)."),
    ],
)
def test_how_jobs_end(state: str, status: str, text: str) -> None:
    record = Job(id="1", cluster="lab", scheduler_state=state, state=job_state(state, None))
    assert explanation(Detail(record, {"exit_code": status}), "1", Surroundings()).summary == text


def test_a_life_in_order() -> None:
    record = Job(
        id="1",
        cluster="lab",
        user="alice",
        queue="gpu",
        state=JobState.PREEMPTED,
        scheduler_state="PREEMPTED",
        nodes="n[1-2]",
        submitted_at=100.0,
        started_at=300.0,
        ends_at=900.0,
    )
    life = {"EligibleTime": "200", "RestartCnt": "2", "PreemptTime": "800", "exit_code": "15"}
    found = explanation(Detail(record, life), "1", Surroundings())
    assert [(event.at, event.text) for event in found.events] == [
        (100.0, "submitted by alice to gpu"),
        (200.0, "eligible to start"),
        (None, "put back 2 times"),
        (300.0, "started on n[1-2]"),
        (800.0, "told to make room for a more important job"),
        (900.0, "ended: preempted, signal 15, SIGTERM"),
    ]


# ---- what is read


@pytest.mark.parametrize("text", ["8812", "8812_7", "8812_[5-99]", "8812_[1,2,...]", "32+1"])
def test_ids(text: str) -> None:
    found = job_id(text)
    assert found is not None
    assert found.number == re.split(r"[_+]", text)[0]
    assert "[" not in found.ask


@pytest.mark.parametrize("text", ["", "foo", "1;2", "1 2", "-j1", "1_", "1+", "１２", "99999999999"])
def test_what_is_no_id(text: str) -> None:
    assert job_id(text) is None


def test_an_answer_of_another_shape_is_refused() -> None:
    for answer in (b"JobId=1 JobName=x\n", said("job-held")[:-30], said("job-held") + b"more\n"):
        with pytest.raises(BadAnswer):
            rows(answer, NONCE, len(FIELDS), "squeue")
    assert rows(b"", NONCE, len(FIELDS), "squeue") == []


def test_fields_that_an_older_squeue_lacks_are_unknown() -> None:
    value = dict(zip(FIELDS, rows(said("job-running"), NONCE, len(FIELDS), "squeue")[0], strict=True))
    kept = tuple(name for name in FIELDS if name not in ("BatchHost", "tres-per-job"))
    answer = (NONCE.join(value[name] for name in kept) + NONCE + "\n").encode()
    (found,) = details(answer, NONCE, kept, JobReader("lab"))
    assert found.job.id == "1"
    assert found.fact("BatchHost") is None


def recorded(**changed: str) -> bytes:
    value = {
        "JobID": "8812_7",
        "JobIDRaw": "8820",
        "State": "OUT_OF_MEMORY",
        "ExitCode": "0:125",
        "Reason": "None",
        "User": "alice",
        "Account": "research",
        "Partition": "gpu",
        "QOS": "normal",
        "NNodes": "2",
        "NCPUS": "8",
        "Submit": "100",
        "Eligible": "110",
        "Start": "200",
        "End": "300",
        "TimelimitRaw": "60",
        "AllocTRES": "billing=8,cpu=8,gres/gpu:a100=4,gres/gpu=4,mem=800M,node=2",
        "NodeList": "n[1-2]",
        "WorkDir": "/w",
        "JobName": "evil\n|x",
        "StdOut": "/w/%A_%a.log",
        **changed,
    }
    fields = (*HISTORY_FIELDS, *OUTPUT_FIELDS)
    return (NONCE.join(value.get(name, "") for name in fields) + NONCE + "\n").encode()


def test_a_job_out_of_accounting() -> None:
    (found,) = history(recorded(), NONCE, (*HISTORY_FIELDS, *OUTPUT_FIELDS), "lab")
    job = found.job
    assert (job.id, job.state, job.user, job.accelerators) == ("8812_7", JobState.FAILED, "alice", 4)
    assert (job.node_names, job.time_limit_s, job.ends_at) == (("n1", "n2"), 3600.0, 300.0)
    assert (found.number, found.recorded) == ("8820", True)
    assert (found.facts["ArrayJobID"], found.facts["ArrayTaskID"]) == ("8812", "7")
    assert ended_with(found) == (0, 125)
    assert explanation(found, "8812_7", Surroundings()).state is JobState.FAILED


NEW = ONE.parent.parent / "25.11.7" / "one"


def test_a_newer_release_says_some_things_in_another_way() -> None:
    wanted = job_id("9")
    assert wanted is not None
    found = choose(details((NEW / "job-running.out").read_bytes(), NONCE, FIELDS, JobReader("lab")), wanted)
    assert found is not None
    assert ended_with(found) == (0, 0)
    assert [one.path for one in outputs(found, "n4")] == ["/tmp/run/z-9_4294967294-4-9.log"]
    wanted = job_id("11+0")
    assert wanted is not None
    found = choose(details((NEW / "job-het.out").read_bytes(), NONCE, FIELDS, JobReader("lab")), wanted)
    assert found is not None
    assert [one.path for one in outputs(found, "n4")] == ["/tmp/slurm-11.out"]
    fields = (*HISTORY_FIELDS, *OUTPUT_FIELDS)
    (ended,) = history((NEW / "sacct-ended.out").read_bytes(), NONCE, fields, "lab")
    assert [(one.path, one.guessed) for one in outputs(ended, "n4")] == [("/tmp/run/x-6.log", False)]
    tasks = history((NEW / "sacct-array.out").read_bytes(), NONCE, fields, "lab")
    assert [one.path for task in tasks for one in outputs(task, "n4")] == ["/tmp/slurm-7_0.out", "/tmp/slurm-7_1.out"]
    limit = limit_code("QOSMaxJobsPerUserLimit")
    assert limit is not None
    job = Job(id="1", cluster="lab", user="root", account="research", qos="limited")
    (one,) = usage.limits((NEW / "limits-limited.out").read_bytes(), job, limit, uid="0")
    assert (one.scope, one.used, one.limit) == ("QOS limited, user root", 1, 1)


def test_what_a_real_accounting_says() -> None:
    (found,) = history(said("sacct-ended"), NONCE, HISTORY_FIELDS, "lab")
    assert (found.job.id, found.job.state, found.job.name) == ("6", JobState.FAILED, clean("evil\n9|x"))
    assert ended_with(found) == (3, 0)
    assert None not in (found.job.submitted_at, found.job.started_at, found.job.ends_at)
    tasks = history(said("sacct-array"), NONCE, HISTORY_FIELDS, "lab")
    assert [one.job.id for one in tasks] == ["7_0", "7_1"]
    for asked, meant in (("7_1", "7_1"), ("7_0", "7_0"), ("7", "7_1")):
        wanted = job_id(asked)
        assert wanted is not None
        chosen = choose(tasks, wanted)
        assert chosen is not None
        assert chosen.job.id == meant


def test_sprio(around: Surroundings) -> None:
    parts, why = facts.priority(completed(said("sprio")), "gpu")
    assert why is None
    assert {part.name: part.value for part in parts} == {"job size": 69.0, "partition": 200.0, "nice": -50.0}
    share = {part.name: part.share for part in parts}
    assert share["partition"] == 1.0
    assert sum(part.value for part in parts) == pytest.approx(218, abs=1.5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (completed(said("sprio-unknown")), "once it may start"),
        (completed(), "once it may start"),
        (
            completed(b"You are not running a supported priority plugin\n(priority/basic).\n", status=1),
            "priority/basic",
        ),
        (completed(err=b"sprio: error: no\n", status=1), "sprio has nothing of it: no"),
    ],
)
def test_sprio_without_an_answer(answer: Completed, words: str) -> None:
    parts, why = facts.priority(answer, "gpu")
    assert parts == ()
    assert why is not None
    assert words in why


# ---- nodes


def node(name: str, gpus: int = 4, used: int = 0, **values: Any) -> Node:
    known = {
        "cpus": 8,
        "cpus_allocated": used,
        "partitions": ("gpu",),
        "state": NodeState.UP,
        "accelerator_model": "a100",
    }
    return Node(name=name, cluster="lab", accelerators_total=gpus, accelerators_allocated=used, **{**known, **values})


WANTED = fits.Need(nodes=2, gpus=4, cpus=2, memory_bytes=0, partitions=frozenset(("gpu",)))


def grouped(wanted: fits.Need, *nodes: Node, reservations: tuple[Reservation, ...] = ()) -> dict[str, str | None]:
    return {fit.why: fit.nodes for fit in fits.fits(wanted, nodes, reservations)}


def test_nodes_by_why_they_do_not_take_it() -> None:
    assert grouped(
        WANTED,
        node("n1"),
        node("n2", used=4),
        node("n3", used=1),
        node("n4", used=3),
        node("n5", state=NodeState.DRAINED),
        node("n6", state=NodeState.DOWN),
        node("n7", cpus_allocated=7),
        node("n8", gpus=2),
        node("n9", partitions=("other",)),
        node("n10", state=NodeState.RESERVED, detail={"reservation": "maint"}),
    ) == {
        fits.FREE: "n1",
        fits.NARROW: "n7",
        fits.FRAGMENTED: "n[3-4]",
        fits.BUSY: "n2",
        "down": "n6",
        "drained": "n5",
        "reserved for maint": "n10",
    }


def test_a_reservation_keeps_its_nodes_from_others_only() -> None:
    held = Reservation(name="course", cluster="lab", state="ACTIVE", nodes="n[1-2]")
    later = Reservation(name="later", cluster="lab", state="INACTIVE", nodes="n3")
    nodes = (node("n1"), node("n2"), node("n3"))
    assert grouped(WANTED, *nodes, reservations=(held, later)) == {
        fits.FREE: "n3",
        "reserved for course": "n[1-2]",
    }
    own = dataclasses.replace(WANTED, reservation="course")
    assert grouped(own, *nodes, reservations=(held,)) == {fits.FREE: "n[1-3]"}


def test_models_features_and_named_nodes_narrow_the_choice() -> None:
    nodes = (node("n1", features=("nvme", "ib")), node("n2", accelerator_model="h100", features=("nvme",)), node("n3"))
    assert grouped(dataclasses.replace(WANTED, model="h100"), *nodes) == {fits.FREE: "n2"}
    both = dataclasses.replace(WANTED, features=(frozenset(("nvme",)), frozenset(("ib",))))
    assert grouped(both, *nodes) == {fits.FREE: "n1"}
    either = dataclasses.replace(WANTED, features=(frozenset(("nvme", "ib")),))
    assert grouped(either, *nodes) == {fits.FREE: "n[1-2]"}
    assert grouped(dataclasses.replace(WANTED, only=frozenset(("n3",))), *nodes) == {fits.FREE: "n3"}
    assert grouped(dataclasses.replace(WANTED, whole=True), node("n1", used=1), node("n2")) == {
        fits.FREE: "n2",
        fits.SHARED: "n1",
    }


@given(
    st.lists(
        st.builds(
            node,
            st.from_regex(r"n[0-9]{1,3}", fullmatch=True),
            st.integers(0, 8),
            st.integers(0, 8),
            state=st.sampled_from(NodeState),
        ),
        max_size=12,
        unique_by=lambda one: one.name,
    ),
    st.integers(0, 9),
)
def test_every_node_that_would_fit_is_told_once(nodes: list[Node], gpus: int) -> None:
    found = fits.fits(dataclasses.replace(WANTED, gpus=gpus), nodes, ())
    names = [name for fit in found for name in hostlist.expand(fit.nodes or "") or ()]
    assert sorted(names) == sorted(one.name for one in nodes if (one.accelerators_total or 0) >= gpus)
    assert sum(fit.count for fit in found) == len(names)


@given(st.lists(st.from_regex(r"[a-z]{0,3}[0-9]{0,4}", fullmatch=True).filter(bool), max_size=30))
def test_folded_names_unfold_to_themselves(names: list[str]) -> None:
    assert set(hostlist.expand(hostlist.fold(names)) or ()) == set(names)


# ---- the queue


def waiting(number: int, priority: int, reason: str = "Priority", **values: Any) -> Job:
    known = {"id": str(number), "queue": "gpu", "state": JobState.PENDING, "priority": priority, "reason": reason}
    return Job(cluster="lab", **{**known, **values})


def test_the_place_counts_those_that_compete() -> None:
    own = waiting(10, 100)
    others = [
        waiting(1, 200),
        waiting(2, 50),
        waiting(3, 100),
        waiting(11, 100),
        waiting(4, 300, "Dependency"),
        waiting(5, 300, "QOSMaxGRESPerUser"),
        waiting(6, 300, queue="cpu"),
        waiting(7, 300, queue="cpu,gpu"),
        waiting(8, 300, state=JobState.RUNNING),
    ]
    assert finish(queueing.company(own, [own, *others])).before == 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("afterok:1(unfulfilled)", [("afterok", "1")]),
        ("afterany:5_*(unfulfilled)?after:7+5(unfulfilled)", [("afterany", "5"), ("after", "7")]),
        ("afterok:1:2(failed),singleton(unfulfilled)", [("afterok", "1"), ("afterok", "2"), ("singleton", "")]),
        (None, []),
        ("rubbish 77 %", []),
    ],
)
def test_conditions(text: str | None, found: list[tuple[str, str]]) -> None:
    assert queueing.conditions(text) == found


def test_dependencies_by_name_and_state() -> None:
    jobs = [
        waiting(5, 1, id="5_1", name="sweep", state=JobState.FAILED),
        waiting(5, 1, id="5_[3-9]", name="sweep"),
        waiting(3, 1, name="twin", user="alice", submitted_at=1.0),
        waiting(4, 1, name="twin", user="bob", submitted_at=1.0),
    ]
    own = waiting(9, 1, name="twin", user="alice", submitted_at=2.0, dependency="afterany:5_*(unfulfilled),singleton")
    company = finish(queueing.company(own, [*jobs, own]))
    assert queueing.dependencies(own.dependency, company.needed, company.namesakes) == (
        Dependency(id="5", condition="afterany", name="sweep", state=JobState.PENDING),
        Dependency(id="3", condition="singleton", name="twin", state=JobState.PENDING),
    )
    task = waiting(9, 1, dependency="afterok:5_4(unfulfilled),afterok:77(unfulfilled)")
    company = finish(queueing.company(task, jobs))
    assert company.needed["5_4"].id == "5_[3-9]"
    assert queueing.unknown(task.dependency, company.needed) == ["77"]


def test_a_long_listing_is_looked_through_in_slices() -> None:
    jobs = [waiting(number, 5) for number in range(3 * queueing.SLICE_JOBS)]
    steps = queueing.company(waiting(10**6, 1), jobs)
    assert sum(1 for _ in steps) == 3


# ---- limits

_ASSOC = (
    "Current Association Manager state\n"
    "ClusterName=lab Account=research UserName= Partition= Priority=0 ID=3 GrpJobs=N(2) GrpJobsAccrue=N(0) "
    "GrpSubmitJobs=N(3) GrpWall=N(1.50) GrpTRES=cpu=N(4),mem=N(400),gres/gpu=8(6),gres/gpu:a100=N(6) "
    "GrpTRESMins=cpu=N(1),gres/gpu=1000(990) GrpTRESRunMins=cpu=N(240) MaxJobs= MaxSubmitJobs= MaxWallPJ= "
    "MaxTRESPJ= MaxTRESPN= MaxTRESMinsPJ= MinPrioThresh= Comment=GrpTRES=gres/gpu=1(1)\n"
    "ClusterName=lab Account=research UserName=alice(20001) Partition= Priority=0 ID=4 GrpJobs=N(2) "
    "GrpTRES=cpu=N(4),gres/gpu=N(6) MaxJobs=2(2) MaxSubmitJobs=5(3) MaxWallPJ=60 MaxTRESPJ=mem=1000 \n"
    "ClusterName=lab Account=research UserName=bob(20002) Partition= Priority=0 ID=5 GrpTRES=gres/gpu=1(1) MaxJobs=1(1)\n"
)
_QOS = (
    "QOS=normal(1) UsageRaw=0.0 GrpJobs=N(3) GrpTRES=cpu=4(4),gres/gpu=N(6) MaxWallPJ= MaxTRESPJ=gres/gpu=4 "
    "Account Limits= research={MaxJobsPA=N(3) MaxJobsAccruePA=N(0) MaxSubmitJobsPA=N(4) MaxTRESPA=gres/gpu=9(6)} "
    "User Limits= alice(20001)={MaxJobsPU=1(1) MaxSubmitJobsPU=N(2) MaxTRESPU=cpu=N(4),gres/gpu=4(4)} "
    "bob(20002)={MaxJobsPU=1(0) MaxTRESPU=gres/gpu=4(0)}\n"
)
_ASKS = Job(
    id="1",
    cluster="lab",
    user="alice",
    account="research",
    qos="normal",
    cpus=8,
    node_count=2,
    accelerators=4,
    memory_bytes=2000 << 20,
    time_limit_s=7200.0,
)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("AssocGrpGRES", [("account research", "gpu", 6, 8, 4)]),
        ("AssocGrpGRESMinutes", [("account research", "gpu minutes", 990, 1000, 480)]),
        ("AssocMaxJobsLimit", [("account research, user alice", "jobs", 2, 2, 1)]),
        ("AssocMaxSubmitJobLimit", [("account research, user alice", "jobs", 3, 5, 1)]),
        ("AssocMaxWallDurationPerJobLimit", [("account research, user alice", "minutes", None, 60, 120)]),
        ("AssocMaxMemPerJob", [("account research, user alice", "mem", None, 1000 << 20, 2000 << 20)]),
        ("QOSMaxGRESPerUser", [("QOS normal, user alice", "gpu", 4, 4, 4)]),
        ("QOSMaxJobsPerUserLimit", [("QOS normal, user alice", "jobs", 1, 1, 1)]),
        ("MaxGRESPerAccount", [("QOS normal, account research", "gpu", 6, 9, 4)]),
        ("QOSGrpCpuLimit", [("QOS normal", "cpu", 4, 4, 8)]),
        ("QOSMaxGRESPerJob", [("QOS normal", "gpu", None, 4, 4)]),
        ("QOSGrpNodeLimit", []),
    ],
)
def test_limits_with_their_usage(code: str, found: list[tuple[str, str, float, float, float]]) -> None:
    limit = limit_code(code)
    assert limit is not None
    told = usage.limits((_ASSOC + _QOS).encode(), _ASKS, limit)
    assert [(one.scope, one.resource, one.used, one.limit, one.asked) for one in told] == found


@pytest.mark.parametrize(
    ("answer", "code", "found"),
    [
        ("limited", "QOSMaxJobsPerUserLimit", ("QOS limited, user root", "jobs", 1, 1, 1)),
        ("small", "QOSMaxGRESPerUser", ("QOS small, user root", "gpu", 2, 4, 3)),
        ("research", "AssocGrpGRES", ("account research", "gpu", 6, 6, 3)),
    ],
)
def test_limits_of_a_real_cluster(answer: str, code: str, found: tuple[str, str, float, float, float]) -> None:
    job = Job(id="1", cluster="lab", user="root", account="research", qos=answer, accelerators=3, node_count=1)
    limit = limit_code(code)
    assert limit is not None
    (one,) = usage.limits(said(f"limits-{answer}"), job, limit, uid="0")
    assert (one.scope, one.resource, one.used, one.limit, one.asked) == found


@given(st.text(max_size=200))
def test_any_answer_about_limits_is_read_without_an_error(text: str) -> None:
    for code in ("AssocGrpGRES", "QOSMaxJobsPerUserLimit", "QOSGrpWallLimit"):
        limit = limit_code(code)
        assert limit is not None
        usage.limits(f"QOS=normal({text}\nClusterName=lab {text}".encode(), _ASKS, limit)
