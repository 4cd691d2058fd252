"""One job as qstat prints it, and what it asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from plugins.pbs import answers, values

_NOTHING: dict[str, Any] = {}


class Variables(msgspec.Struct, gc=False):
    """What is read of a job's environment; all else in it is skipped unread."""

    work_dir: Any = msgspec.field(default=None, name="PBS_O_WORKDIR")
    home: Any = msgspec.field(default=None, name="PBS_O_HOME")


_Whatever = str | int | float | bool | list[Any] | None


class Row(msgspec.Struct, gc=False):
    """One job as qstat prints it; anything may stand anywhere."""

    name: Any = msgspec.field(default=None, name="Job_Name")
    owner: Any = msgspec.field(default=None, name="Job_Owner")
    account: Any = msgspec.field(default=None, name="Account_Name")
    state: Any = msgspec.field(default=None, name="job_state")
    queue: Any = None
    project: Any = None
    priority: Any = msgspec.field(default=None, name="Priority")
    asked: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"{}"), name="Resource_List")
    """As bytes: thousands of jobs ask for the same."""
    used: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"{}"), name="resources_used")
    exec_host: Any = None
    exec_vnode: Any = None
    ctime: Any = None
    qtime: Any = None
    etime: Any = None
    stime: Any = None
    mtime: Any = None
    obittime: Any = None
    not_before: Any = msgspec.field(default=None, name="Execution_Time")
    estimated: Any = None
    depend: Any = None
    holds: Any = msgspec.field(default=None, name="Hold_Types")
    comment: Any = None
    exit_status: Any = msgspec.field(default=None, name="Exit_status")
    run_count: Any = None
    array_state: Any = msgspec.field(default=None, name="array_state_count")
    array_indices: Any = msgspec.field(default=None, name="array_indices_submitted")
    at_once: Any = msgspec.field(default=None, name="max_run_subjobs")
    output_path: Any = msgspec.field(default=None, name="Output_Path")
    error_path: Any = msgspec.field(default=None, name="Error_Path")
    join: Any = msgspec.field(default=None, name="Join_Path")
    keep: Any = msgspec.field(default=None, name="Keep_Files")
    sandbox: Any = None
    job_dir: Any = msgspec.field(default=None, name="jobdir")
    variables: Variables | _Whatever = msgspec.field(default=None, name="Variable_List")

    def resources(self) -> Mapping[str, Any]:
        """Return Resource_List."""
        found = answers.decode(bytes(self.asked), _RESOURCES)
        return _NOTHING if found is None else found

    def resources_used(self) -> Mapping[str, Any]:
        """Return resources_used; empty for a job that never ran."""
        found = answers.decode(bytes(self.used), _RESOURCES)
        return _NOTHING if found is None else found


_ROW = msgspec.json.Decoder(Row)
_RESOURCES: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def decode(piece: bytes) -> Row | None:
    """Return one entry of `Jobs`; None when it cannot be read at all."""
    return answers.decode(piece, _ROW)


@dataclass(slots=True, frozen=True)
class Asked:
    """What a job asks for, all of it together."""

    walltime_s: float | None
    hosts: int | None
    cpus: int | None
    memory_bytes: int | None
    gpus: int
    select: str | None
    place: str | None


def asked_for(resources: Mapping[str, Any], gpus: tuple[str, ...]) -> Asked:
    """Read a Resource_List; what is asked for in each chunk only stands in `select`."""
    total = values.total(resources, gpus)
    if total is None:
        chunks = values.chunks(resources.get("select"))
        total = sum(number * (values.total(each, gpus) or 0) for number, each in chunks)
    return Asked(
        walltime_s=values.duration_s(resources.get("walltime")),
        hosts=values.count(resources.get("nodect")),
        cpus=values.count(resources.get("ncpus")),
        memory_bytes=values.size_bytes(resources.get("mem")),
        gpus=total,
        select=values.text(resources.get("select"), values.LIMIT),
        place=values.text(resources.get("place")),
    )


def held_gpus(exec_vnode: Any, gpus: tuple[str, ...]) -> int:
    """Return how many accelerators a running job holds on all its vnodes."""
    return sum(values.total(held, gpus) or 0 for _, held in values.vnodes(exec_vnode))
