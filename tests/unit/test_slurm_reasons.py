"""Slurm's reason codes in words: every one has a text and a next step, and what nobody knows is shown as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.text import clean
from plugins.slurm.limits import limit_code
from plugins.slurm.reasons import Kind, codes, ending, meaning
from plugins.slurm.usage import key

FIXTURES = Path(__file__).parent.parent / "fixtures" / "slurm"
KNOWN = (FIXTURES / "reasons.txt").read_text().split()


@pytest.mark.parametrize("code", sorted({*KNOWN, *codes()}))
def test_every_reason_has_a_text_and_a_next_step(code: str) -> None:
    means = meaning(code, "8812_7")
    assert means.code == code
    assert means.kind is not Kind.UNKNOWN
    assert len(means.text.split()) >= 4
    assert means.next_step
    for text in (means.text, means.next_step):
        assert text == clean(text)
        assert not set(text) & set("{}")
        assert not text.endswith(".")


def test_there_are_as_many_codes_as_slurm_has() -> None:
    assert len(KNOWN) > 180


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        ("Resources", Kind.QUEUE, "it is next"),
        ("RaisedSignal:9(Killed)", Kind.ENDED, "ended by a signal"),
        ("(Priority)", Kind.QUEUE, "higher priority"),
        ("ReqNodeNotAvail, UnavailableNodes:n6", Kind.QUEUE, "cannot do without"),
        (
            "Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved_for_jobs_in_higher_priority_partitions",
            Kind.QUEUE,
            "too few nodes",
        ),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
            Kind.QUEUE,
            "too few nodes",
        ),
        ("JobHeldUser", Kind.WAIT, "owner holds it"),
        ("DependencyNeverSatisfied", Kind.STUCK, "ended in another way"),
        ("QOSMaxGRESPerUser", Kind.LIMIT, "its owner within its QOS would hold more GPUs"),
        ("AssocGrpGRES", Kind.LIMIT, "its account (or one above it) would hold more GPUs"),
        ("QOSMaxJobsPerUserLimit", Kind.LIMIT, "would have more running jobs"),
        ("QOSGrpSubmitJobsLimit", Kind.LIMIT, "waiting ones included"),
        ("AssocGrpCPUMinutesLimit", Kind.LIMIT, "has used up its CPU minutes"),
        ("QOSGrpGRESRunMinutes", Kind.LIMIT, "may still use"),
        ("QOSMaxWallDurationPerJobLimit", Kind.STUCK, "more wall-clock time than its QOS allows one job"),
        ("AssocMaxGRESPerNode", Kind.STUCK, "allows one node"),
        ("QOSMinGRES", Kind.STUCK, "demands more GPUs"),
        ("MaxGRESPerAccount", Kind.LIMIT, "its account within its QOS"),
    ],
)
def test_what_reasons_mean(reason: str, kind: Kind, words: str) -> None:
    means = meaning(reason, "12")
    assert means.kind is kind
    assert words in means.text


def test_the_jobs_own_id_stands_in_the_next_step() -> None:
    assert meaning("JobHeldUser", "8812_7").next_step == "release it: scontrol release 8812_7"
    assert "JobId=8812 ArrayTaskThrottle" in meaning("JobArrayTaskLimit", "8812_7").next_step
    assert ending("FAILED", "12")[1] == "read the end of its output: qd logs 12"


@pytest.mark.parametrize("reason", ["MaxSomethingNew", "Weather, wet", "GrpCpuLimit", "QOSMaxLuckPerUser"])
def test_unknown_codes_are_shown_as_they_are(reason: str) -> None:
    means = meaning(reason)
    assert means.kind is Kind.UNKNOWN
    assert means.text == reason
    assert means.next_step == ""


def test_a_limit_of_a_release_to_come_is_read_from_its_parts() -> None:
    means = meaning("QOSMaxGRESPerAccount")
    assert means.kind is Kind.LIMIT
    assert "its account within its QOS" in means.text


def test_states_in_which_jobs_end() -> None:
    assert ending("CANCELLED by 1000") == ("it was cancelled", "")
    assert ending("TIMEOUT")[0] == "it ran until its time limit"
    assert ending("NEVER_SEEN") == ("NEVER_SEEN", "")


@given(st.text())
def test_any_reason_gives_clean_words(reason: str) -> None:
    means = meaning(reason, "1")
    for text in (means.code, means.text, means.next_step):
        assert text == clean(text)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("QOSMaxGRESPerUser", "MaxTRESPU"),
        ("QOSMaxJobsPerUserLimit", "MaxJobsPU"),
        ("QOSMaxSubmitJobPerUserLimit", "MaxSubmitJobsPU"),
        ("MaxJobsPerAccount", "MaxJobsPA"),
        ("MaxGRESPerAccount", "MaxTRESPA"),
        ("QOSGrpGRES", "GrpTRES"),
        ("AssocGrpGRESMinutes", "GrpTRESMins"),
        ("AssocGrpCPURunMinutesLimit", "GrpTRESRunMins"),
        ("AssocGrpJobsLimit", "GrpJobs"),
        ("AssocMaxJobsLimit", "MaxJobs"),
        ("AssocMaxSubmitJobLimit", "MaxSubmitJobs"),
        ("AssocMaxWallDurationPerJobLimit", "MaxWallPJ"),
        ("QOSGrpWallLimit", "GrpWall"),
        ("QOSMaxCpuPerJobLimit", "MaxTRESPJ"),
        ("AssocMaxGRESPerNode", "MaxTRESPN"),
        ("AssocMaxCpuMinutesPerJobLimit", "MaxTRESMinsPJ"),
        ("QOSMinGRES", "MinTRESPJ"),
    ],
)
def test_where_slurmctld_shows_a_limit(code: str, word: str) -> None:
    limit = limit_code(code)
    assert limit is not None
    assert key(limit) == word
