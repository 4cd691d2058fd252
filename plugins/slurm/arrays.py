"""Waiting tasks of one array in one row, as squeue folds them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Told = dict[str, str]
"""One job by the names of MACHINE_FIELDS and FREE_FIELDS."""
_SPAN = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?", re.ASCII)
_MOST_TASKS = 1 << 20
"""MaxArraySize is less than four million, and a million by default at most."""


def spans(listed: str) -> Iterable[range]:
    """Yield the tasks that `1,3,5-9,10-20:5` names; what is none is passed over."""
    for part in listed.split(","):
        if match := _SPAN.fullmatch(part):
            first, last = int(match[1]), int(match[2] or match[1])
            yield range(first, last + 1, max(int(match[3] or 1), 1))


def folded(jobs: Iterable[Told]) -> list[Told]:
    """Return jobs with the waiting tasks of an array in the row of those that slurmctld keeps together.

    It keeps a task by itself once something of it was changed. squeue puts it back to the others of its name and
    partition, and names every reason that they have.
    """
    rows = list(jobs)
    masters: dict[tuple[str, str, str], tuple[Told, list[Told]]] = {}
    for row in rows:
        if row["JobArrayID"].endswith("]") and row["State"] == "PENDING":
            masters[_kin(row)] = (row, [])
    if not masters:
        return rows
    kept = []
    for row in rows:
        master = masters.get(_kin(row)) if row["State"] == "PENDING" else None
        if master is None or not row["JobArrayID"].rpartition("_")[2].isdecimal():
            kept.append(row)
        else:
            master[1].append(row)
    for master_row, tasks in masters.values():
        if tasks:
            master_row |= _together(master_row, tasks)
    return kept


def _kin(row: Told) -> tuple[str, str, str]:
    """Return what tasks have in common that share a row."""
    return row["JobArrayID"].partition("_")[0], row["Name"], row["Partition"]


def _together(master: Mapping[str, str], tasks: list[Told]) -> Told:
    array, _, listed = master["JobArrayID"].partition("_")
    listed, percent, at_once = listed.strip("[]").partition("%")
    numbers = {int(task["JobArrayID"].rpartition("_")[2]) for task in tasks}
    for span in spans(listed):
        numbers.update(span[:_MOST_TASKS])
    reasons = dict.fromkeys([master["Reason"], *(task["Reason"] for task in tasks)])
    return {"JobArrayID": f"{array}_[{_listed(sorted(numbers))}{percent}{at_once}]", "Reason": ",".join(reasons)}


def _listed(numbers: list[int]) -> str:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
