"""Which files a job writes: Slurm's file name patterns resolved. Pure.

squeue gives the pattern as it was submitted; older releases make it absolute, and say `slurm-JOBID.out` where none was
given, which is not what the tasks of an array write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from console.model import JobState
from console.text import clean
from plugins.slurm import gres
from plugins.slurm.details import Detail

NO_TASK = 4294967294
"""What Slurm writes for `%a` outside of arrays."""
MOST_RANKS = 4096
_PLACE = re.compile(r"%(?:%|(\d*)([A-Za-z]))", re.ASCII)
_WIDEST = 10


@dataclass(slots=True, frozen=True)
class Output:
    """One file that a job writes, or will."""

    name: str
    path: str
    rank: int | None = None
    guessed: bool = False
    """Nobody keeps its name any more: this is the one that Slurm takes when none is given."""


def waits(detail: Detail) -> bool:
    """Whether the job has not started, or not again."""
    return detail.job.state in (JobState.PENDING, JobState.HELD)


def has_begun(detail: Detail) -> bool:
    """Whether the job may have written something."""
    return not waits(detail) or detail.facts.get("RestartCnt", "0") not in ("", "0")


def outputs(detail: Detail, host: str | None) -> tuple[Output, ...]:
    """Return the files of a batch job, standard output first; `host` is the short name of its first node.

    Empty for a job that wrote to a terminal (salloc, srun).
    """
    if detail.facts.get("BatchFlag", "1") == "0":
        return ()
    pattern, guessed = _pattern(detail, "STDOUT")
    if pattern is None:
        return ()
    found = list(_ranks(detail, pattern, host, guessed))
    errors, _ = _pattern(detail, "STDERR")
    if errors is not None and not guessed:
        path = resolve(errors, detail, host)
        if path != found[0].path:
            found.insert(1, Output("stderr", path))
    return tuple(output for output in found if not output.path.startswith("/dev/"))


def why_none(detail: Detail) -> str:
    """Return why `outputs` of a job are empty."""
    if detail.facts.get("BatchFlag", "1") == "0":
        return "it is no batch job: what it writes goes to the terminal that started it"
    if detail.fact("STDOUT") is None:
        return "nothing is kept of where it wrote to"
    return f"it writes to {clean(detail.facts['STDOUT'], limit=200)}"


def _pattern(detail: Detail, name: str) -> tuple[str | None, bool]:
    """Return the pattern of a file, and whether it is only what Slurm takes when none is given."""
    pattern = detail.fact(name)
    place = detail.facts.get("WorkDir", "").rstrip("/")
    unnamed = pattern == f"{place}/slurm-{detail.number}.out" or pattern is None
    if not unnamed and pattern is not None:
        return pattern if pattern.startswith("/") else f"{place}/{pattern}", False
    if pattern is None and (name == "STDERR" or not detail.facts.get("WorkDir")):
        return None, False
    task = gres.number(detail.facts.get("ArrayTaskID", ""))
    return f"{place}/slurm-%A_%a.out" if task is not None else f"{place}/slurm-%j.out", pattern is None


def _ranks(detail: Detail, pattern: str, host: str | None, guessed: bool) -> Iterator[Output]:
    """Yield the output, and where its name has a place for the rank, those of all ranks."""
    tasks = gres.number(detail.facts.get("NumTasks", "")) or 1
    several = tasks > 1 and any(match[2] == "t" for match in _PLACE.finditer(pattern))
    yield Output("stdout", resolve(pattern, detail, host), 0 if several else None, guessed=guessed)
    if several:
        for rank in range(1, min(tasks, MOST_RANKS)):
            yield Output(f"rank {rank}", resolve(pattern, detail, host, rank), rank)


def resolve(pattern: str, detail: Detail, host: str | None, rank: int = 0) -> str:
    """Return a file's name out of its pattern; a place that is not known stays as it is.

    A pattern with a backslash is taken as it stands, without the backslash.
    """
    if "\\" in pattern:
        return pattern.replace("\\", "")
    facts = detail.facts
    own = detail.number
    task = gres.number(facts.get("ArrayTaskID", ""))
    values = {
        "j": own,
        "J": own,
        "A": own if task is None else facts.get("ArrayJobID", own),
        "a": str(NO_TASK if task is None else task),
        "b": str((NO_TASK if task is None else task) % 10),
        "x": facts.get("Name", ""),
        "u": detail.job.user,
        "N": host,
        "n": "0",
        "s": "batch",
        "t": str(rank),
    }

    def put(match: re.Match[str]) -> str:
        if match[2] is None:
            return "%"
        value = values.get(match[2])
        if value is None:
            return match[0]
        return value.zfill(min(int(match[1] or 0), _WIDEST)) if value.isdigit() else value

    return _PLACE.sub(put, pattern)
