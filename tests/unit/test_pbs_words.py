"""What PBS says, in plain words: comments, limits, hosts that would fit, failures, and where the output of jobs is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import CommandFailed, ConnectionLost, Denied, NoSuchJob, SourceError, Unreachable, Unsupported
from console.model import Dependency, Explanation, Job, JobState, LogStream, Node, NodeState, Reservation
from plugins.pbs import comments, failures, fits, layout, logs, rows
from plugins.pbs.depend import Other, dependencies, resolved
from plugins.pbs.explain import Situation, explanation, reservation
from plugins.pbs.jobs import JobReader
from plugins.pbs.layout import Server
from plugins.pbs.lookup import Found
from plugins.pbs.nodes import NodeReader, Place
from tests.unit.pbs_recordings import completed, recording, run

SERVER = layout.server(recording("03_mixed/qstat_B_f_json.json"))
QUEUES = layout.queue_attributes(recording("03_mixed/qstat_Q_f_json.json"))


def found(name: str, job_id: str) -> Found:
    """Return one job of a recording."""
    table = json.loads(recording(name).decode("utf-8", "replace"), strict=False)["Jobs"]
    return made(job_id, table[job_id])


def made(job_id: str, fields: dict[str, Any]) -> Found:
    row = rows.decode(json.dumps(fields).encode())
    assert row is not None
    return Found(job_id, row)


def all_jobs() -> tuple[Job, ...]:
    return run(JobReader("lab").read(recording("03_mixed/qstat_f_json.json"))).jobs


def all_nodes() -> tuple[Node, ...]:
    return run(NodeReader("lab", Place()).read(recording("03_mixed/pbsnodes_av_json.json"))).nodes


def explained(job: Found, **more: Any) -> Explanation:
    record = JobReader("lab").job(job.id, job.row)
    jobs = all_jobs()
    known = {each.id: Other(each.name, each.state) for each in jobs}
    settings: dict[str, Any] = {
        "server": SERVER,
        "queue": QUEUES.get(record.queue or "", {}),
        "nodes": all_nodes(),
        "jobs": jobs,
        "dependencies": tuple(resolved(each, known) for each in dependencies(record)),
        **more,
    }
    return explanation(Situation(job=record, row=job.row, **settings))


# ---- comments

SENTENCES = [
    ("Not Running: Insufficient amount of resource: ngpus (R: 8 A: 0 T: 48)", "it asks for 8, 0 of 48 are free"),
    ("Not Running: Insufficient amount of resource: ngpus ", "not enough ngpus is free"),
    ("Not Running: Insufficient amount of resource: host (gpu001 != gpu002)", "another host than it asks for"),
    ("Not Running: Insufficient amount of server resource: lic (R: 2 A: 1 T: 4)", "lic on the server"),
    ("Not Running: Queue not started.", "its queue is stopped"),
    ("Not Running: Not enough free nodes available", "not enough hosts that fit it are free"),
    ("Can Never Run: Not enough total nodes available", "not enough hosts that fit it, busy or free"),
    ("Not Running: Queue gpu per-user limit reached on resource ngpus", "of its user for use of ngpus in queue gpu"),
    ("Not Running: Queue gpu job limit has been reached.", "of all jobs together for running jobs in queue gpu"),
    ("Not Running: User has reached queue gpu running job limit.", "of its user for running jobs in queue gpu"),
    ("Not Running: Project has reached queue gpu's running limit.", "of its project for running jobs in queue gpu"),
    ("Not Running: Server job limit reached for group hep", "of its group for running jobs on the whole server"),
    ("Not Running: would exceed user ann's limit on resource ncpus in queue gpu", "use of ncpus in queue gpu"),
    ("Not Running: would exceed overall limit on resource ncpus in complex", "all jobs together for use of ncpus"),
    ("Not Running: Job would conflict with reservation or top job", "run into a reservation"),
    ("Not Running: Job would cross dedicated time boundary", "dedicated time"),
    ("Not Running: Node is in an ineligible state: offline", "out of service: offline"),
    ("Not Running: Number of concurrent running subjobs limit reached", "as many tasks of this array"),
    ("Not Running: PBS Error: No such user", "failed: No such user"),
    ("Not Running: host set r1 has too few free resources", "the group of hosts r1"),
    ("Job held by root on Mon Nov 23 22:58:39 2026", "root holds it since Mon Nov 23"),
]


@pytest.mark.parametrize(("comment", "words"), SENTENCES)
def test_sentences_of_the_scheduler_are_put_in_plain_words(comment: str, words: str) -> None:
    cause = comments.read(comment).cause
    assert words in cause.text
    assert cause.next_step
    assert cause.code in comment


def test_what_can_never_run_says_so() -> None:
    cause = comments.read("Can Never Run: Insufficient amount of resource: ngpus (R: 9 A: 4 T: 8)").cause
    assert "never" in cause.next_step
    assert "at most 8" in cause.next_step


@given(st.text(max_size=200))
def test_unknown_sentences_are_shown_as_they_are(comment: str) -> None:
    cause = comments.read(f"Zz {comment}").cause
    assert cause.text == cause.code == f"Zz {comment}".strip()


def test_a_limit_is_named() -> None:
    hit = comments.read("Not Running: Queue gpu per-user limit reached on resource ngpus").hit
    assert hit == comments.Hit(queue="gpu", who="user", resource="ngpus")
    assert comments.read("Not Running: Server job limit has been reached.").hit == comments.Hit(None, "all", None)


# ---- explanations


def test_a_job_that_waits_for_gpus() -> None:
    told = explained(found("03_mixed/qstat_f_json.json", "6.pbs01"))
    assert told.state is JobState.PENDING
    assert told.summary == "It waits: not enough ngpus: it asks for 8, 0 of 48 are free."
    assert [fit.why for fit in told.fits] == [fits.BUSY, "down"]
    assert told.fits[0].nodes == "gpu[001-004,006]"
    assert told.fits[0].accelerators_free == 0
    assert told.expected_start_at is None
    assert "backfill_depth" in told.missing["expected_start_at"]
    assert "50" in told.missing["priority"]
    assert [event.text for event in told.events] == ["submitted", "queued in gpu", "eligible to run"]


def test_a_job_that_asks_for_more_hosts_than_there_are() -> None:
    told = explained(found("03_mixed/qstat_f_json.json", "5.pbs01"))
    assert any("and it wants 16" in cause.text for cause in told.causes)
    large = made("9.pbs01", {"job_state": "Q", "Resource_List": {"ngpus": 9, "select": "1:ngpus=9"}})
    assert any("large enough" in cause.text and cause.nodes == 0 for cause in explained(large).causes)


def test_tasks_that_wait_while_others_run() -> None:
    told = explained(found("03_mixed/qstat_f_json.json", "3[].pbs01"))
    assert told.summary == "It runs; 2 of its 6 tasks wait until there is room for one more."
    told = explained(found("03_mixed/qstat_f_json.json", "4[].pbs01"))
    assert "as it allows itself" in told.causes[0].text
    assert "max_run_subjobs" in told.causes[0].next_step


def test_a_job_in_a_stopped_queue_has_one_cause() -> None:
    told = explained(found("03_mixed/qstat_f_json.json", "10.pbs01"))
    assert [cause.code for cause in told.causes] == ["Queue not started."]
    assert "qstart" in told.causes[0].next_step


def test_held_jobs_say_who_may_release_them() -> None:
    told = explained(found("03_mixed/qstat_f_json.json", "7.pbs01"))
    assert told.summary.startswith("It is held: held by its owner")
    assert told.causes[0].next_step == "qrls -h u 7.pbs01"
    told = explained(found("05_control/qstat_held_system.json", "6.pbs01"))
    assert told.causes[0].code == "Hold_Types=s"
    assert "managers" in told.causes[0].text


def test_a_dependency_is_resolved_to_its_name_and_state() -> None:
    told = explained(found("03_mixed/qstat_f_json.json", "9.pbs01"))
    assert told.dependencies == (
        Dependency(id="0.pbs01", condition="afterok", name="train_70b", state=JobState.RUNNING),
    )
    assert told.summary == "It is held: it waits for job 0.pbs01 (train_70b) to end well, which is running."
    assert len(told.causes) == 1, "PBS holds it itself; that is no cause of its own"


def test_a_dependency_that_cannot_come_true_is_said_so() -> None:
    job = made("9.s", {"job_state": "H", "Hold_Types": "s", "depend": "afterok:1.s@s:2.s@s,beforeany:3.s@s"})
    record = JobReader("lab").job(job.id, job.row)
    named = dependencies(record)
    assert [each.id for each in named] == ["1.s", "2.s"], "others wait for it, not it for them"
    others = {"1.s": Other("a", JobState.FAILED), "2.s": Other("b", JobState.COMPLETED)}
    told = explained(job, dependencies=tuple(resolved(each, others) for each in named))
    assert "never" in told.causes[0].next_step
    assert "never" not in told.causes[1].next_step


def test_a_limit_is_told_with_what_is_used_of_it() -> None:
    fields = {
        "job_state": "Q",
        "queue": "gpu",
        "Job_Owner": "alice@pbs01",
        "Resource_List": {"ngpus": 8, "ncpus": 1, "select": "1:ngpus=8"},
        "comment": "Not Running: Queue gpu per-user limit reached on resource ngpus",
    }
    queue = {**QUEUES["gpu"], "max_run_res": {"ngpus": "[u:PBS_GENERIC=40],[u:bob=99]"}}
    (limit,) = explained(made("99.pbs01", fields), queue=queue).limits
    assert (limit.scope, limit.resource) == ("queue gpu, user alice", "ngpus")
    # Sixteen of train_70b, four tasks of four, two tasks of one.
    assert (limit.limit, limit.used, limit.asked) == (40, 34, 8)
    (unknown,) = explained(made("99.pbs01", fields)).limits
    assert unknown.limit is None


def test_limits_of_groups_and_of_all() -> None:
    def limit(comment: str, attributes: dict[str, Any], server: Server = SERVER) -> Any:
        fields = {"job_state": "Q", "queue": "gpu", "Job_Owner": "alice@pbs01", "comment": f"Not Running: {comment}"}
        return explained(made("99.pbs01", fields), queue=attributes, server=server).limits[0]

    group = limit("Queue gpu per-group limit reached on resource ncpus", {"max_run_res": {"ncpus": "[g:hep=8]"}})
    assert (group.scope, group.limit, group.used) == ("queue gpu, each group", None, None)
    everybody = limit("Queue gpu job limit has been reached.", {"max_run": "[o:PBS_ALL=3]"})
    assert (everybody.scope, everybody.resource, everybody.limit) == ("queue gpu, all jobs", "jobs", 3)
    assert everybody.used == 8, "train_70b, vnodejob, and four and two tasks of arrays"


def test_a_job_with_a_start_time_of_its_own() -> None:
    told = explained(found("03_mixed/qstat_f_json.json", "8.pbs01"))
    assert told.causes[0].code == "Execution_Time"
    assert told.expected_start_at == 1795481820
    assert told.estimate_source is not None
    assert "qsub -a" in told.estimate_source


def test_an_estimate_of_the_scheduler_is_told_with_its_source() -> None:
    fields = {"job_state": "Q", "estimated": {"start_time": "Tue Nov 24 01:00:00 2026"}, "comment": "Not Running: x"}
    told = explained(made("1.s", fields))
    assert told.expected_start_at == 1795482000
    assert "scheduler" in (told.estimate_source or "")


def test_a_job_of_a_reservation_waits_for_its_beginning() -> None:
    known = (Reservation(name="R9.pbs01", cluster="lab", state="confirmed", starts_at=1795490000.0),)
    job = made("1.s", {"job_state": "Q", "queue": "R9", "comment": "Not Running: Queue not started."})
    told = explained(job, queue={"started": "False"}, reservation=reservation("R9", known))
    assert [cause.code for cause in told.causes] == ["reservation R9.pbs01"]
    assert told.expected_start_at == 1795490000
    assert reservation("gpu", known) is None


def test_nothing_starts_while_scheduling_is_off() -> None:
    off = Server(name="pbs01", counters=layout.Counters(scheduling=False))
    told = explained(made("1.s", {"job_state": "Q"}), server=off)
    assert told.causes[0].code == "scheduling = False"


def test_a_job_that_nobody_looked_at_yet() -> None:
    told = explained(made("1.s", {"job_state": "Q", "queue": "gpu"}))
    assert told.causes[0].code == "no comment"


def test_what_runs_and_what_is_over() -> None:
    assert explained(found("03_mixed/qstat_f_json.json", "0.pbs01")).summary == "It runs on gpu[001-002]."
    assert explained(found("05_control/qstat_suspended.json", "1.pbs01")).summary.startswith("It is suspended")
    over = {"job_state": "F", "Exit_status": 265, "comment": "Job run at x and failed", "run_count": 2}
    told = explained(made("1.s", {**over, "stime": "Tue Nov 24 01:00:00 2026"}))
    assert told.summary == "It was ended by signal 9."
    assert told.fits == ()
    assert "2. time" in told.events[-1].text
    assert "deleted" in explained(made("1.s", {"job_state": "F"})).summary
    assert explained(made("1.s", {"job_state": "F", "Exit_status": 0})).summary == "It ended well."
    assert "signal 9" in explained(made("1.s", {"job_state": "F", "Exit_status": 137})).summary


# ---- hosts that fit


def node(name: str, total: int, used: int = 0, **fields: Any) -> Node:
    state = fields.pop("state", NodeState.BUSY if used else NodeState.UP)
    return Node(name=name, cluster="lab", state=state, accelerators_total=total, accelerators_allocated=used, **fields)


def test_hosts_are_grouped_by_why_they_do_not_take_a_chunk() -> None:
    job = made("1.s", {"Resource_List": {"select": "2:ngpus=4:ib_fabric=ib0"}})
    hosts = (
        node("a1", 8, 2),
        node("a2", 8, 6),
        node("a3", 8, 8),
        node("a4", 8, 0, state=NodeState.DRAINED),
        node("a5", 2),
        node("a6", 8, 0, features=("ib_fabric=ib1",)),
        node("a7", 8, 0, features=("ib_fabric=ib0",), scheduler_state="job-exclusive"),
    )
    groups = {fit.why: (fit.nodes, fit.accelerators_free) for fit in fits.fits(job.row, hosts, ("ngpus",))}
    assert groups == {
        fits.FREE: ("a1", 6),
        fits.FRAGMENTED: ("a2", 2),
        fits.BUSY: ("a[3,7]", 8),
        "offline": ("a4", 8),
    }


def test_a_chunk_on_a_named_host() -> None:
    job = made("1.s", {"Resource_List": {"select": "1:ngpus=1:vnode=a1[0]"}})
    assert [fit.nodes for fit in fits.fits(job.row, (node("a1", 8), node("a2", 8)), ("ngpus",))] == ["a1"]
    assert fits.none_fits(made("1.s", {}).row, (node("a1", 8),), ("ngpus",)) is None


# ---- logs

PLACES = logs.Places(Place(hostname="pbs01"), {"gpu001": "ssh:gpu001.dc1"}, "/var/spool/pbs")
RUNNING = {
    "Job_Name": "train",
    "job_state": "R",
    "exec_host": "gpu001/0*4+gpu002/0*4",
    "Output_Path": "pbs01:/home/ann/train.o7",
    "Error_Path": "pbs01:/home/ann/train.e7",
    "Join_Path": "n",
    "Keep_Files": "n",
    "jobdir": "/home/ann",
    "Variable_List": {"PBS_O_HOME": "/home/ann"},
}


def streams(job_id: str = "7.pbs01", **changes: Any) -> tuple[LogStream, ...]:
    return logs.streams(job_id, made(job_id, {**RUNNING, **changes}).row, PLACES)


def test_output_of_a_running_job_is_spooled_on_its_first_host() -> None:
    out, err = streams()
    assert (out.name, out.path, out.hosts) == ("stdout", "/var/spool/pbs/spool/7.pbs01.OU", ("ssh:gpu001.dc1",))
    assert err.path == "/var/spool/pbs/spool/7.pbs01.ER"


def test_output_of_a_job_that_is_over_is_where_it_was_copied_or_still_where_it_could_not_be() -> None:
    out, _ = streams(job_state="F")
    assert (out.path, out.hosts) == ("/home/ann/train.o7", ("local", "ssh:gpu001.dc1"))
    assert out.key == {"undelivered": "/var/spool/pbs/undelivered/7.pbs01.OU", "undelivered_on": "ssh:gpu001.dc1"}


@pytest.mark.parametrize(
    ("changes", "path", "first"),
    [
        ({"Keep_Files": "oed"}, "/home/ann/train.o7", "local"),
        ({"Keep_Files": "doe", "Output_Path": "nfs1:/scratch/"}, "/scratch/7.pbs01.OU", "local"),
        ({"Keep_Files": "oe", "Output_Path": "pbs01:/elsewhere"}, "/home/ann/train.o7", "local"),
        ({"Keep_Files": "e"}, "/var/spool/pbs/spool/7.pbs01.OU", "ssh:gpu001.dc1"),
        ({"sandbox": "PRIVATE", "jobdir": "/scratch/pbs.7"}, "/scratch/pbs.7/7.pbs01.OU", "ssh:gpu001.dc1"),
    ],
)
def test_where_output_is_kept(changes: dict[str, Any], path: str, first: str) -> None:
    out = streams(**changes)[0]
    assert (out.path, out.hosts[0]) == (path, first)


def test_joined_outputs_are_one() -> None:
    assert [stream.name for stream in streams(Join_Path="oe")] == ["stdout"]
    assert [stream.name for stream in streams(Join_Path="eo")] == ["stderr"]


def test_tasks_have_their_index_in_the_name() -> None:
    (out, _) = streams("3[5].pbs01", job_state="X", Output_Path="pbs01:/home/ann/s.o3.^array_index^")
    assert (out.name, out.rank, out.path) == ("task 5 stdout", 5, "/home/ann/s.o3.5")
    (kept, _) = streams("3[5].pbs01", Keep_Files="oe")
    assert kept.path == "/home/ann/train.o3.5"


def test_a_job_that_has_not_started_has_no_output() -> None:
    assert streams(job_state="Q", exec_host=None) == ()
    assert streams(job_state="F", exec_host=None) == ()


@given(st.dictionaries(st.sampled_from(sorted(RUNNING)), st.none() | st.integers() | st.text(max_size=20)))
def test_any_values_give_streams_with_absolute_paths(changes: dict[str, Any]) -> None:
    for stream in streams(**changes):
        assert stream.path is not None
        assert stream.path.startswith("/")


def test_the_tasks_that_run_are_shown_first_and_none_that_never_ran() -> None:
    table = json.loads(recording("05_control/qstat_array_t_after.json"))["Jobs"]
    tasks = [made(job_id, fields) for job_id, fields in table.items() if "[]" not in job_id]
    shown = logs.shown_tasks(tasks)
    assert {task.row.state for task in shown} <= {"R", "X"}
    assert [task.row.state for task in shown] == sorted((task.row.state for task in shown), key="RX".index)


# ---- failures


@pytest.mark.parametrize(
    ("program", "name", "kind"),
    [
        ("qstat", "07_errors/qstat_bad_server_refused.txt", Unreachable),
        ("qstat", "07_errors/qstat_bad_server_host.txt", Unreachable),
        ("pbsnodes", "08_indented/down_pbsnodes.txt", Unreachable),
        ("pbs_rstat", "08_indented/down_rstat.txt", Unreachable),
        ("qstat", "08_indented/iff_qstat.txt", Denied),
        ("pbsnodes", "08_indented/iff_pbsnodes.txt", Denied),
        ("qstat", "07_errors/no_conf.txt", Unsupported),
        ("qstat", "07_errors/qstat_unknown_json.txt", NoSuchJob),
        ("qstat", "07_errors/qstat_unknown_queue.txt", CommandFailed),
        ("pbsnodes", "08_indented/no_nodes.txt", failures.NoNodes),
    ],
)
def test_what_a_failed_command_means(program: str, name: str, kind: type[SourceError]) -> None:
    done = completed(name)
    error = failures.failure(program, done.exit_status, done.stderr, "login1")
    assert type(error) is kind
    assert error.where == "login1"
    assert error.hint


@pytest.mark.parametrize(
    ("status", "stderr", "kind"),
    [
        (127, b"env: 'qstat': No such file or directory\n", failures.NoProgram),
        (159, b"qstat: Unauthorized Request \n", Denied),
        (1, b"qstat: End of File\n", ConnectionLost),
        (2, b"qstat: invalid option -- 'F'\nusage: qstat\n", Unsupported),
        (7, b"\x1b[31mwhat\x07", CommandFailed),
        (255, b"", CommandFailed),
    ],
)
def test_words_decide_what_a_failure_is(status: int, stderr: bytes, kind: type[SourceError]) -> None:
    error = failures.failure("qstat", status, stderr, "here")
    assert type(error) is kind
    assert error.what.isprintable()


def test_who_keeps_no_history_says_so_and_claims_success() -> None:
    done = completed("08_indented/no_history.txt")
    assert done.exit_status == 0
    assert failures.no_history(done.stderr)
