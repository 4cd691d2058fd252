"""What sacct, sshare and sdiag tell besides the lists: parsed, whole or torn, friendly or not."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import BadAnswer
from console.model import JobState, JobUsage
from console.transport.base import Completed
from plugins.slurm.accounting import FIELDS, clock, ended, usage
from plugins.slurm.facts import share_note
from plugins.slurm.weather import Weather, asks_most, by_user

T = TypeVar("T")
NONCE = "q0123456789abcdef"
SDIAG = Path(__file__).parents[1] / "fixtures" / "slurm"


def told(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


def row(**values: str) -> str:
    return "".join(f"{values.get(field, '')}{NONCE}" for field in FIELDS) + "\n"


JOB = {
    "JobID": "8812", "JobIDRaw": "8812", "State": "COMPLETED", "ExitCode": "0:0", "User": "alice", "Account": "lab",
    "Partition": "gpu", "NNodes": "2", "NCPUS": "16", "Submit": "1790000000", "Start": "1790000100",
    "End": "1790003700", "TimelimitRaw": "120", "AllocTRES": "billing=16,cpu=16,gres/gpu=8,mem=128G,node=2",
    "NodeList": "gpu[001-002]", "JobName": "pretrain", "TotalCPU": "04:00:00", "CPUTimeRAW": "57600",
}  # fmt: skip
BATCH = {"JobID": "8812.batch", "State": "COMPLETED", "MaxRSS": "2048K", "TRESUsageInTot": "cpu=00:00:01,fs/disk=100"}
STEP = {
    "JobID": "8812.0", "State": "COMPLETED", "MaxRSS": "64.50G", "ConsumedEnergyRaw": "3600000",
    "TRESUsageInAve": "cpu=01:00:00,gres/gpumem=30G,gres/gpuutil=87", "TRESUsageInMax": "gres/gpumem=71G,mem=64G",
    "TRESUsageInTot": "fs/disk=10M", "TRESUsageOutTot": "fs/disk=20M",
}  # fmt: skip


def test_a_job_and_its_steps_are_one() -> None:
    answer = (row(**JOB) + row(**BATCH) + row(**STEP)).encode()
    (job,) = told(ended(answer, NONCE, "lab"))
    assert (job.id, job.state, job.accelerators, job.nodes) == ("8812", JobState.COMPLETED, 8, "gpu[001-002]")
    assert job.usage == JobUsage(
        cpu_percent=25.0,
        memory_peak_bytes=int(64.5 * 2**30),
        accelerator_percent=87.0,
        accelerator_memory_peak_bytes=71 << 30,
        read_bytes=(10 << 20) + 100,
        written_bytes=20 << 20,
        energy_j=3_600_000.0,
    )


def test_what_was_not_recorded_is_not_zero() -> None:
    bare = {**JOB, "TotalCPU": "00:00:00", "CPUTimeRAW": "0"}
    (job,) = told(ended((row(**bare) + row(JobID="8812.batch", MaxRSS="0")).encode(), NONCE, "lab"))
    assert job.usage is None


def test_what_runs_on_and_what_has_no_end_are_left_out() -> None:
    answer = row(**{**JOB, "State": "RUNNING", "End": "Unknown"}) + row(**{**JOB, "JobID": "9", "End": "Unknown"})
    assert told(ended(answer.encode(), NONCE, "lab")) == ()


def test_arrays_steps_without_a_job_and_hostile_names() -> None:
    task = {**JOB, "JobID": "77_3", "JobName": "x\x1b[31m\u202e", "State": "CANCELLED by 1000"}
    answer = row(**task) + row(JobID="77_3.extern") + row(JobID="5.0", MaxRSS="1G")
    (job,) = told(ended(answer.encode(), NONCE, "lab"))
    assert (job.id, job.state) == ("77_3", JobState.CANCELLED)
    assert "\x1b" not in job.name
    assert "\u202e" not in job.name


def test_a_torn_answer_is_no_empty_day() -> None:
    answer = row(**JOB).encode()
    with pytest.raises(BadAnswer):
        told(ended(answer[: len(answer) // 2], NONCE, "lab"))
    assert told(ended(b"", NONCE, "lab")) == ()


@given(st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=40).filter(lambda text: NONCE not in text)))
def test_nothing_that_stands_in_a_field_breaks_it(values: dict[str, str]) -> None:
    told(ended(row(**values).encode("utf-8", "replace"), NONCE, "lab"))
    usage(values, [values])


def test_times_are_asked_for_in_utc() -> None:
    assert clock(1_790_000_000.0) == "2026-09-21T14:13:20"


def test_fair_share_in_words() -> None:
    line = b"lab|alice|5|0.333333|0.800000|0.200000|0.416667\n"
    done = Completed(exit_status=0, stdout=b"lab||10|1|0.8|||\n" + line, stderr=b"", seconds=0.1)
    assert share_note(done, "lab", "alice") == "of account lab alice may have 33 % and used 80 %, level 0.42"
    assert share_note(done, "lab", "bob") == ""


@pytest.mark.parametrize("release", ["22.05.8", "24.11.5"])
def test_the_weather_of_every_release(release: str) -> None:
    weather = Weather()
    weather.read((SDIAG / release / "sdiag.out").read_bytes(), 0.0)
    assert weather.words["threads"].endswith("at work")
    assert "messages to slurmdbd" in weather.words["waiting"]
    assert "of 6 jobs" in weather.words["backfill"]
    assert "asks most" not in weather.words


def test_who_asks_most_is_told_once_a_minute() -> None:
    text = (SDIAG / "24.11.5" / "sdiag.out").read_text()
    weather = Weather()
    weather.read(text.encode(), 0.0)
    storm = text.replace("count:58 ", "count:658 ")
    weather.read(storm.encode(), 30.0)
    assert "asks most" not in weather.words
    weather.read(storm.encode(), 120.0)
    assert weather.words["asks most"] == "alice 300 a minute"
    assert by_user(text)["alice"] == 58
    assert asks_most({"a": 1}, {"a": 5}, 60.0) == {}


def test_what_was_cancelled_while_it_waited_never_started() -> None:
    waited = {**JOB, "State": "CANCELLED", "NodeList": "None assigned", "Start": JOB["End"]}
    (job,) = told(ended(row(**waited).encode(), NONCE, "lab"))
    assert (job.started_at, job.nodes) == (None, None)
