"""Which files a job writes. The names are those that Slurm 22.05 gave to real files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.model import Job, JobState
from plugins.slurm.details import Detail
from plugins.slurm.outputs import MOST_RANKS, has_begun, outputs, resolve, why_none


def job(job_id: str = "12", state: JobState = JobState.RUNNING, **facts: str) -> Detail:
    known = {"BatchFlag": "1", "WorkDir": "/runs", "Name": "my job", "NumTasks": "1", "RestartCnt": "0", **facts}
    number = facts.pop("JobID", "")
    detail = {"job id": number} if number else {}
    return Detail(Job(id=job_id, cluster="lab", user="alice", state=state, detail=detail), known)


ALONE = job("5")
TASK = job("1_0", JobID="12", ArrayJobID="1", ArrayTaskID="0")


@pytest.mark.parametrize(
    ("pattern", "detail", "path"),
    [
        ("/w/a-%A_%a-%N-%s-%J-%t-%4n.log", TASK, "/w/a-1_0-vm-batch-12-0-0000.log"),
        ("/w/na-%A_%a.log", ALONE, "/w/na-5_4294967294.log"),
        ("/w/%x-%u-%j.log", ALONE, "/w/my job-alice-5.log"),
        ("/w/p%%j-%5j-%z-%q.log", ALONE, "/w/p%j-00005-%z-%q.log"),
        ("/w/%12j.log", ALONE, "/w/0000000005.log"),
        ("/w/\\%j-x.log", ALONE, "/w/%j-x.log"),
        ("/w/100%", ALONE, "/w/100%"),
        ("/w/%5x.log", ALONE, "/w/my job.log"),
    ],
)
def test_names_are_those_of_the_files(pattern: str, detail: Detail, path: str) -> None:
    assert resolve(pattern, detail, "vm") == path


def test_a_place_that_nobody_knows_stays() -> None:
    assert resolve("/w/%N-%j.log", ALONE, None) == "/w/%N-5.log"


@given(st.text(max_size=60))
def test_any_pattern_is_resolved_without_an_error(pattern: str) -> None:
    resolve(pattern, TASK, "vm")


def test_without_a_name_a_job_writes_slurms_own() -> None:
    (only,) = outputs(job("5", STDOUT="/runs/slurm-5.out", STDERR="/runs/slurm-5.out"), "n1")
    assert (only.name, only.path, only.guessed) == ("stdout", "/runs/slurm-5.out", False)


def test_without_a_name_a_task_of_an_array_writes_another_one_than_squeue_says() -> None:
    task = job(
        "7_3", JobID="7", ArrayJobID="7", ArrayTaskID="3", STDOUT="/runs/slurm-7.out", STDERR="/runs/slurm-7.out"
    )
    (only,) = outputs(task, "n1")
    assert only.path == "/runs/slurm-7_3.out"


def test_a_relative_name_lies_in_the_working_directory() -> None:
    found = outputs(job("5", STDOUT="slurm-%j.out", STDERR="err/%j"), "n1")
    assert [output.path for output in found] == ["/runs/slurm-5.out", "/runs/err/5"]


def test_errors_are_another_output_when_they_go_to_another_file() -> None:
    found = outputs(job("5", STDOUT="/w/o-%j", STDERR="/w/e-%j"), "n1")
    assert [(output.name, output.path) for output in found] == [("stdout", "/w/o-5"), ("stderr", "/w/e-5")]
    assert len(outputs(job("5", STDOUT="/w/o-%j", STDERR="/w/o-5"), "n1")) == 1


def test_ranks_have_files_of_their_own_where_the_name_has_a_place_for_them() -> None:
    found = outputs(job("5", STDOUT="/w/%j-%2t", STDERR="/w/err", NumTasks="3"), "n1")
    assert [(output.name, output.path, output.rank) for output in found] == [
        ("stdout", "/w/5-00", 0),
        ("stderr", "/w/err", None),
        ("rank 1", "/w/5-01", 1),
        ("rank 2", "/w/5-02", 2),
    ]
    assert len(outputs(job("5", STDOUT="/w/%t", NumTasks="999999"), "n1")) == MOST_RANKS
    assert len(outputs(job("5", STDOUT="/w/%%t", NumTasks="3"), "n1")) == 1


def test_a_job_without_a_script_writes_to_a_terminal() -> None:
    interactive = job("5", BatchFlag="0", STDOUT="/runs/slurm-5.out")
    assert outputs(interactive, "n1") == ()
    assert "terminal" in why_none(interactive)


def test_a_job_that_writes_to_nowhere_says_so() -> None:
    silent = job("5", STDOUT="/dev/null", STDERR="/dev/null")
    assert outputs(silent, "n1") == ()
    assert why_none(silent) == "it writes to /dev/null"
    assert [output.name for output in outputs(job("5", STDOUT="/dev/null", STDERR="/w/e"), "n1")] == ["stderr"]


def test_of_a_forgotten_job_the_name_is_a_guess() -> None:
    (only,) = outputs(Detail(job("5").job, {"WorkDir": "/runs", "STDOUT": "", "STDERR": ""}, recorded=True), "n1")
    assert (only.path, only.guessed) == ("/runs/slurm-5.out", True)
    assert outputs(Detail(job("5").job, {"STDOUT": ""}, recorded=True), "n1") == ()


@pytest.mark.parametrize(
    ("state", "restarts", "begun"),
    [
        (JobState.PENDING, "0", False),
        (JobState.HELD, "", False),
        (JobState.PENDING, "2", True),
        (JobState.RUNNING, "0", True),
        (JobState.FAILED, "0", True),
    ],
)
def test_what_has_begun(state: JobState, restarts: str, begun: bool) -> None:
    assert has_begun(job("5", state, RestartCnt=restarts)) is begun
