"""Where the output of a job is, while it runs and after. What `streams` says is pure.

While a job runs, its output grows in a file of pbs_mom on the first of its hosts (`PBS_HOME/spool/12.pbs01.OU`), which
is copied to Output_Path when the job is over. With `-k d` it is written there from the start; with `-k oe` alone it
stays in the home directory on that host; with `-W sandbox=private` it is in a directory of the job's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from console.errors import NoSuchFile
from console.model import LogStream
from console.plugin import LogReader
from console.transport.base import Transport
from console.transport.files import find_file
from plugins.pbs import values
from plugins.pbs.lookup import Found
from plugins.pbs.nodes import Place
from plugins.pbs.rows import Row, Variables

SHOWN_TASKS = 32
"""Of so many tasks of an array the outputs are listed."""
_RUNS = ("R", "E", "S", "U")
_OVER = ("F", "X", "M")
_INDEX = "^array_index^"
_TASK = re.compile(r"(\d+)\[(\d+)\]", re.ASCII)
_WANTED_FIRST = {letter: place for place, letter in enumerate((*_RUNS, *_OVER))}
_LOST, _LOST_ON = "undelivered", "undelivered_on"


@dataclass(slots=True, frozen=True)
class Places:
    """Where files of jobs may lie."""

    place: Place
    addresses: Mapping[str, str]
    """Host to how it is reached, of those that are known."""
    mom_home: str

    def address(self, host: str) -> str:
        """Return how a host is reached."""
        if self.place.hostname is not None and host.partition(".")[0] == self.place.hostname:
            return self.place.here
        return self.addresses.get(host) or self.addresses.get(host.partition(".")[0]) or f"ssh:{host}"


@dataclass(slots=True, frozen=True)
class _Output:
    """One of the two outputs of a job."""

    name: str
    letter: str
    """o | e, as in Join_Path and Keep_Files."""
    suffix: str
    path: str | None
    """host:path, as PBS has it."""


def shown_tasks(tasks: Sequence[Found]) -> list[Found]:
    """Return the tasks of an array whose outputs are worth listing: those that run first, none that never ran."""
    ran = [task for task in tasks if task.row.state in _WANTED_FIRST and task.row.exec_host]
    return sorted(ran, key=lambda task: _WANTED_FIRST[task.row.state])[:SHOWN_TASKS]


def streams(job_id: str, row: Row, places: Places) -> tuple[LogStream, ...]:
    """Return the outputs of one job or one task; none while it has not started."""
    hosts = values.hosts(row.exec_host)
    if row.state not in _WANTED_FIRST or not hosts:
        return ()
    join = values.text(row.join) or "n"
    outputs = [
        _Output("stdout", "o", "OU", values.text(row.output_path, values.LIMIT)),
        _Output("stderr", "e", "ER", values.text(row.error_path, values.LIMIT)),
    ]
    if join in ("oe", "eo"):
        outputs = [output for output in outputs if output.letter == join[0]]
    found = (_stream(job_id, row, output, hosts[0], places) for output in outputs)
    return tuple(stream for stream in found if stream is not None)


def _stream(job_id: str, row: Row, output: _Output, first: str, places: Places) -> LogStream | None:
    keep = values.text(row.keep) or "n"
    kept = output.letter in keep
    runs = row.state in _RUNS
    task = _TASK.match(job_id)
    final = _final(job_id, output, task)
    hosts = [first]
    if kept and "d" not in keep:
        path, detail = _kept(row, output, job_id, task), f"kept in the home directory on {first}"
    elif runs and not kept:
        path, detail = _spooled(job_id, row, output, places), f"spooled on {first} until the job is over"
    elif final is not None:
        path, detail = final[1], f"written by PBS to {final[0]}:{final[1]}"
        hosts.insert(0, final[0])
    else:
        path, detail = None, ""
    if path is None:
        return None
    addresses = [places.address(host) for host in hosts if host]
    if kept or not runs:
        # Home and project directories are mostly on a file system that the host of the commands has too.
        addresses.insert(0, places.place.here)
    lost = f"{places.mom_home.rstrip('/')}/undelivered/{job_id}.{output.suffix}"
    return LogStream(
        name=f"task {task[2]} {output.name}" if task else output.name,
        path=path,
        hosts=tuple(dict.fromkeys(addresses)),
        rank=int(task[2]) if task else None,
        detail=detail,
        key={} if kept or runs else {_LOST: lost, _LOST_ON: places.address(first)},
    )


def _final(job_id: str, output: _Output, task: re.Match[str] | None) -> tuple[str, str] | None:
    """Return (host, path) of Output_Path or Error_Path; a directory gets the name that pbs_mom gives."""
    host, colon, path = (output.path or "").partition(":")
    if not colon:
        host, path = "", output.path or ""
    if not path.startswith("/"):
        return None
    if task is not None:
        path = path.replace(_INDEX, task[2])
    return host, f"{path}{job_id}.{output.suffix}" if path.endswith("/") else path


def _spooled(job_id: str, row: Row, output: _Output, places: Places) -> str:
    """Return the file that pbs_mom writes while the job runs."""
    folder = f"{places.mom_home.rstrip('/')}/spool"
    own = values.text(row.job_dir, values.LIMIT)
    if (values.text(row.sandbox) or "").upper() == "PRIVATE" and own and own.startswith("/"):
        folder = own.rstrip("/")
    return f"{folder}/{job_id}.{output.suffix}"


def _kept(row: Row, output: _Output, job_id: str, task: re.Match[str] | None) -> str | None:
    """Return the file of `-k`: NAME.oSEQUENCE in the owner's home directory, whatever was asked for."""
    home = values.text(row.variables.home, values.LIMIT) if isinstance(row.variables, Variables) else None
    name = values.text(row.name, values.LIMIT)
    if not home or not home.startswith("/") or not name or "/" in name:
        return None
    number = f"{task[1]}.{task[2]}" if task else job_id.partition(".")[0]
    return f"{home.rstrip('/')}/{name}.{output.letter}{number}"


async def open_first(stream: LogStream, reach: Callable[[str], Transport]) -> LogReader:
    """Return the file of a stream on the first host that has it. Raises SourceError.

    What could not be copied when the job ended stays with pbs_mom; it is looked for there when nobody else has it.
    """
    try:
        return await find_file((reach(host) for host in stream.hosts), stream.path or "")
    except NoSuchFile:
        if _LOST not in stream.key:
            raise
        with suppress(NoSuchFile):
            return await find_file((reach(stream.key[_LOST_ON]),), stream.key[_LOST])
        raise
