"""Listings of schedulers read from bytes to records: qstat of 10,000 jobs, squeue of 100,000."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any

from benchmarks.report import Part, Row
from plugins.pbs.jobs import JobReader as PbsReader
from plugins.slurm.commands import MACHINE_FIELDS
from plugins.slurm.jobs import JobReader as SlurmReader
from tests.unit.test_pbs_parse import many_jobs
from tests.unit.test_slurm_parse import NONCE, row

QSTAT, SQUEUE = 10_000, 100_000


def cost(steps: Generator[None, None, Any]) -> tuple[float, float]:
    """Return the CPU seconds of reading, and of its longest slice."""
    began, worst = time.process_time(), 0.0
    while True:
        at = time.process_time()
        try:
            next(steps)
        except StopIteration:
            return time.process_time() - began, max(worst, time.process_time() - at)
        worst = max(worst, time.process_time() - at)


def squeue(count: int) -> bytes:
    """Return an answer of so many jobs, each a little different."""
    return "".join(
        row(str(number), f"job-{number % 500}", State="PENDING", Priority=str(number), UserName=f"user{number % 90}")
        for number in range(count)
    ).encode()


def run(quick: bool = False) -> Part:
    """Read each answer twice: all of it new, then all of it known."""
    jobs, many = (1000, 10_000) if quick else (QSTAT, SQUEUE)
    part = Part(f"qstat of {jobs:,} jobs and squeue of {many:,}, read to records")
    answer, reader = many_jobs(jobs), PbsReader("lab")
    began = time.process_time()
    json.loads(answer)
    plain = time.process_time() - began
    first, worst = cost(reader.read(answer))
    again, worst_again = cost(reader.read(answer))
    limit = jobs / 100_000
    part.rows += [
        Row("qstat, all new", first, "s CPU", "json.loads alone", plain, limit=limit),
        Row("qstat, nothing new", again, "s CPU", "json.loads alone", plain, limit=limit),
        Row("the loop held at the most", 1000 * max(worst, worst_again), "ms", limit=20),
    ]
    text, slurm = squeue(many), SlurmReader("lab")
    first, worst = cost(slurm.read(text, NONCE, MACHINE_FIELDS))
    again, worst_again = cost(slurm.read(text, NONCE, MACHINE_FIELDS))
    limit = many / 100_000
    part.rows += [
        Row("squeue, all new", first, "s CPU", limit=limit),
        Row("squeue, nothing new", again, "s CPU", limit=limit),
        Row("the loop held at the most", 1000 * max(worst, worst_again), "ms", limit=20),
    ]
    part.notes.append("All is new once, when the console opens; from then on a listing is mostly what is known.")
    return part
