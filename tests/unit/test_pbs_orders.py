"""What PBS is told to do for an order: pure plans, with what takes them back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import CommandFailed, Denied, SourceError, UsageError
from console.model import Call, Draft, Effect, Job, JobState, Node, NodeState, Order, Step
from console.transport.base import Completed
from plugins.pbs.acting import Acting
from plugins.pbs.authors import left_after, signed, unsigned, with_former
from plugins.pbs.client import Client
from plugins.pbs.commands import Commands
from plugins.pbs.jobs import JobReader
from plugins.pbs.nodes import NodeReader, Place
from plugins.pbs.orders import JOB_ACTIONS, MAX_COMMENT_BYTES, Planner
from plugins.pbs.settings import PbsSettings
from plugins.pbs.states import HOLDS
from tests.unit.test_pbs_backend import Script

HEAD = ("env", "LC_ALL=C", "TZ=UTC")


def planner() -> Planner:
    return Planner("lab", Commands(PbsSettings()), "local")


def node(name: str = "gpu001", state: NodeState = NodeState.UP, comment: str = "", told: str = "free") -> Node:
    reason, by = unsigned(comment or None)
    detail = {"comment": comment} if comment else {}
    return Node(name=name, cluster="lab", state=state, scheduler_state=told, reason=reason, reason_by=by, detail=detail)


def job(job_id: str = "8.pbs01", state: JobState = JobState.PENDING, told: str = "Q", holds: str = "") -> Job:
    detail = {"holds": "; ".join(HOLDS[letter] for letter in holds)} if holds else {}
    return Job(id=job_id, cluster="lab", state=state, scheduler_state=told, queue="workq", priority=0, detail=detail)


def order(action: str, reason: str | None = None, value: str | None = None, by: str = "ann") -> Order:
    return Order(action=action, cluster="lab", names=("x",), reason=reason, value=value, by=by)


def drained(*nodes: Node, reason: str = "INC-1") -> Draft:
    return planner().nodes(order("drain", reason), nodes)


def words(call: Call | None) -> tuple[str, ...]:
    """Return what runs, without the environment."""
    assert call is not None
    assert call.argv[:3] == HEAD
    return call.argv[3:]


# ---- hosts


def test_hosts_are_marked_together_with_who_and_why() -> None:
    (step,) = drained(node("gpu001"), node("gpu002")).steps
    assert words(step.run) == ("pbsnodes", "-C", "INC-1 (by ann)", "-o", "gpu001", "gpu002")
    assert words(step.undo) == ("pbsnodes", "-C", "", "-r", "gpu001", "gpu002")
    assert step.names == ("gpu001", "gpu002")


def test_a_comment_that_somebody_wrote_is_kept_behind_and_comes_back() -> None:
    draft = drained(node("gpu001", comment="fan 3"), node("gpu002"))
    first, second = draft.steps
    assert words(first.run)[2] == "INC-1 (before: fan 3) (by ann)"
    assert words(first.undo) == ("pbsnodes", "-C", "fan 3", "-r", "gpu001")
    assert words(second.run)[2] == "INC-1 (by ann)"
    assert "kept behind yours: fan 3" in draft.warnings[0]
    out = node("gpu001", NodeState.DRAINED, words(first.run)[2], "offline")
    back = planner().nodes(order("resume"), [out])
    assert words(back.steps[0].run) == ("pbsnodes", "-C", "fan 3", "-r", "gpu001")
    assert words(back.steps[0].undo) == ("pbsnodes", "-C", words(first.run)[2], "-o", "gpu001")
    assert any("comes back: fan 3" in text for text in back.warnings)


def test_a_comment_without_room_is_said_to_be_lost() -> None:
    draft = drained(node(comment="x" * 70))
    assert words(draft.steps[0].run)[2] == "INC-1 (by ann)"
    assert "is lost" in draft.warnings[0]
    assert "x" * 70 in draft.warnings[0]


def test_words_that_nobody_signed_stay_and_are_not_written_again() -> None:
    draft = planner().nodes(order("resume"), [node(state=NodeState.DRAINED, comment="ask bob", told="offline")])
    assert words(draft.steps[0].run) == ("pbsnodes", "-r", "gpu001")
    assert words(draft.steps[0].undo) == ("pbsnodes", "-o", "gpu001")
    assert any("stays: ask bob" in text for text in draft.warnings)
    again = drained(node(comment="ask bob"), reason="ask bob")
    assert words(again.steps[0].run) == ("pbsnodes", "-o", "gpu001")


def test_what_is_so_already_is_left_out() -> None:
    draft = drained(node(state=NodeState.DRAINED, comment="Xid 79 (by bob)", told="offline"))
    assert draft.steps == ()
    assert draft.unchanged == {"gpu001": "is drained already: Xid 79 (bob)"}
    assert "is not offline (free)" in planner().nodes(order("resume"), [node()]).unchanged["gpu001"]


def test_vnodes_that_are_offline_already_are_told() -> None:
    draft = drained(node(told="free + offline"))
    assert "vnodes are offline already" in draft.warnings[0]


@pytest.mark.parametrize("reason", ["x" * 5000, "ü" * 40])
def test_a_reason_that_pbsnodes_would_cut_off_is_refused(reason: str) -> None:
    with pytest.raises(UsageError, match="bytes that pbsnodes keeps") as error:
        drained(node(), reason=reason)
    assert error.value.hint


@given(st.text(alphabet=st.characters(exclude_categories=["C"]), min_size=1, max_size=40))
def test_any_reason_is_one_argument_that_is_read_back(reason: str) -> None:
    if len(signed(reason, "ann").encode()) > MAX_COMMENT_BYTES:
        return
    (step,) = drained(node(), reason=reason).steps
    assert step.run.argv[5] == f"{reason} (by ann)"
    assert unsigned(step.run.argv[5]) == (reason, "ann")


@given(st.text(max_size=20), st.text(max_size=20))
def test_what_stood_there_before_is_found_again(reason: str, former: str) -> None:
    if " (before: " not in reason:
        assert left_after(signed(with_former(reason, former), "ann")) == former


# ---- jobs


@pytest.mark.parametrize(
    ("action", "value", "seen", "run", "undo"),
    [
        ("hold", None, job(), ("qhold", "-h", "u"), ("qrls", "-h", "u")),
        ("release", None, job(state=JobState.HELD, holds="u"), ("qrls", "-h", "u"), ("qhold", "-h", "u")),
        ("release", None, job(state=JobState.HELD, holds="us"), ("qrls", "-h", "us"), ("qhold", "-h", "us")),
        ("release", None, job(state=JobState.HELD), ("qrls", "-h", "u"), ("qhold", "-h", "u")),
        ("requeue", None, job(state=JobState.RUNNING), ("qrerun",), None),
        ("cancel", None, job(), ("qdel",), None),
        ("suspend", None, job(state=JobState.RUNNING), ("qsig", "-s", "suspend"), ("qsig", "-s", "resume")),
        ("continue", None, job(state=JobState.SUSPENDED), ("qsig", "-s", "resume"), ("qsig", "-s", "suspend")),
        ("timelimit", "5400", job(), ("qalter", "-l", "walltime=01:30:00"), None),
        ("priority", "-1024", job(), ("qalter", "-p", "-1024"), ("qalter", "-p", "0")),
        ("move", "gpu", job(), ("qmove", "gpu"), ("qmove", "workq")),
    ],
)
def test_jobs_are_told_one_by_one(
    action: str, value: str | None, seen: Job, run: tuple[str, ...], undo: tuple[str, ...] | None
) -> None:
    (step,) = planner().jobs(order(action, value=value), [seen]).steps
    assert words(step.run) == (*run, seen.id)
    assert (None if step.undo is None else words(step.undo)) == (None if undo is None else (*undo, seen.id))
    assert "force" not in step.run.argv


def test_a_limit_that_was_set_comes_back() -> None:
    limited = msgspec.structs.replace(job(), time_limit_s=90061.0)
    (step,) = planner().jobs(order("timelimit", value="60"), [limited]).steps
    assert words(step.undo) == ("qalter", "-l", "walltime=25:01:01", "8.pbs01")


def test_holds_of_others_are_released_only_with_a_word() -> None:
    draft = planner().jobs(order("release"), [job(state=JobState.HELD, holds="uo")])
    assert draft.warnings == (f"8.pbs01 is {HOLDS['o']}",)
    assert planner().jobs(order("release"), [job(state=JobState.HELD, holds="u")]).warnings == ()


@pytest.mark.parametrize("action", sorted(JOB_ACTIONS - {"cancel", "requeue", "suspend", "continue"}))
def test_parts_of_arrays_are_not_asked_what_pbs_refuses_for_them(action: str) -> None:
    value = {"timelimit": "60", "priority": "1", "move": "gpu"}.get(action)
    draft = planner().jobs(order(action, value=value), [job("3[7].pbs01", JobState.HELD, "H")])
    assert draft.steps == ()
    assert "3[].pbs01" in draft.unchanged["3[7].pbs01"]


def test_parts_of_arrays_are_ended_by_their_own_names() -> None:
    draft = planner().jobs(order("cancel"), [job("3[7].pbs01", JobState.RUNNING, "R")])
    assert words(draft.steps[0].run) == ("qdel", "3[7].pbs01")
    assert draft.effects == {"3[7].pbs01": Effect.ENDED}


@pytest.mark.parametrize(
    ("action", "seen", "why"),
    [
        ("cancel", job(state=JobState.COMPLETED, told="F"), "has ended already"),
        ("hold", job(state=JobState.HELD, told="H"), "is held already"),
        ("hold", job(state=JobState.RUNNING, told="R"), "has begun"),
        ("release", job(), "is not held"),
        ("requeue", job(), "does not run"),
        ("suspend", job(), "does not run"),
        ("suspend", job("3[].pbs01", JobState.RUNNING, "B"), "name its parts, 3[N].pbs01"),
        ("continue", job(state=JobState.RUNNING, told="R"), "is not suspended"),
        ("move", job(state=JobState.RUNNING, told="R"), "stays in its queue"),
        ("move", job("3[].pbs01", JobState.PENDING, "B"), "stays in its queue"),
    ],
)
def test_what_pbs_would_refuse_is_said_instead(action: str, seen: Job, why: str) -> None:
    draft = planner().jobs(order(action, value="gpu" if action == "move" else None), [seen])
    assert draft.steps == ()
    assert why in draft.unchanged[seen.id]


def test_an_array_of_which_parts_run_can_be_held() -> None:
    assert planner().jobs(order("hold"), [job("3[].pbs01", JobState.RUNNING, "B")]).steps


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("timelimit", "unlimited"),
        ("timelimit", "1:00:00 -W x"),
        ("priority", "1024x"),
        ("priority", "1024"),
        ("priority", "-1025"),
        ("move", "-W"),
        ("move", "gpu; rm"),
        ("move", ""),
    ],
)
def test_values_that_pbs_would_read_as_something_else(action: str, value: str) -> None:
    with pytest.raises(UsageError) as error:
        planner().jobs(order(action, value=value), [job()])
    assert error.value.hint


# ---- what PBS answers


def acting(stderr: bytes, status: int) -> Acting:
    script = Script()
    script.answers = {
        "env LC_ALL": Completed(exit_status=status, stdout=b"", stderr=stderr, seconds=0.01),
    }
    client = Client(Commands(PbsSettings()), script, 5.0)
    return Acting("lab", client, NodeReader("lab", Place()), JobReader("lab"))


@pytest.mark.parametrize(
    ("words_run", "status", "stderr", "kind", "hint"),
    [
        (("pbsnodes", "-o"), 1, "Error marking node gpu001 - Unauthorized Request", Denied, "operator or manager"),
        (("qsig", "-s", "suspend"), 159, "qsig: Unauthorized Request  5.pbs01", Denied, "suspending takes an operator"),
        (("qrls", "-h", "s"), 159, "qrls: Unauthorized Request  4.pbs01", Denied, "released by who may set it"),
        (("qdel",), 159, "qdel: Unauthorized Request  4.pbs01", Denied, "job's owner"),
        (("qmove", "nope"), 170, "qmove: Unknown queue 4.pbs01", CommandFailed, "qstat -Q"),
        (("qrerun",), 190, "qrerun: job is not rerunnable 7.pbs01", CommandFailed, "qsub -r n"),
        (("qmove", "gpu"), 168, "qmove: Request invalid for state of job 5.pbs01", CommandFailed, "tells its state"),
        (("pbsnodes", "-r"), 1, "Error marking node nonode - Unknown node", CommandFailed, "pbsnodes -av"),
        (("qalter",), 1, "", CommandFailed, "qstat -f"),
    ],
)
async def test_refusals_are_told_in_the_words_of_pbs_with_what_to_do(
    words_run: tuple[str, ...], status: int, stderr: str, kind: type[SourceError], hint: str
) -> None:
    step = Step(cluster="lab", names=("x",), run=Call(argv=(*HEAD, *words_run, "x")))
    with pytest.raises(kind) as error:
        await acting(stderr.encode(), status).perform(step)
    assert hint in error.value.hint
    assert stderr.partition(": ")[2] in str(error.value)
