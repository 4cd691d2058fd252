"""What it means that a command of PBS failed, in words that help. Pure.

pbs_server refuses connections      Unreachable
its host has no name, or no route   Unreachable
it takes them, says nothing         TimedOut
it hangs up                         ConnectionLost
who asks is not known there         Denied
this user may not see it            Denied
no such job                         NoSuchJob
no pbs.conf, no such program        Unsupported
anything else                       CommandFailed, with PBS's own words

The exit status decides, never the output: with the server down qstat prints valid JSON, the same as for a cluster
without jobs, and ends with 255. It is the number of PBS's error, its lowest eight bits.
"""

from __future__ import annotations

import re

from console.errors import (
    CommandFailed,
    ConnectionLost,
    Denied,
    NoSuchJob,
    SourceError,
    TimedOut,
    Unreachable,
    Unsupported,
)
from console.text import clean

UNKNOWN_JOB = 15001 & 255
"""Exit status of qstat for a job that PBS does not know."""
_NO_HISTORY = b"not configured to maintain job history"
_NO_NODES = "Server has no node list"
_NAME = re.compile(r"^[a-z_]+: ", re.ASCII)
_NO_PROGRAM = re.compile(r"(?:No such file or directory|command not found|not found)\s*$", re.MULTILINE)

DOWN_HINT = "look on its host: systemctl status pbs; then: qstat -B"
HUNG_HINT = "look on its host: is pbs_server stopped, or out of CPU, disk or memory? server_logs tell"
CONF_HINT = "set pbs_conf in the configuration, or PBS_CONF_FILE"
NAME_HINT = "PBS_SERVER in pbs.conf, and the names that this host can look up"
HISTORY_HINT = "a manager of PBS turns it on: qmgr -c 'set server job_history_enable = True'"
TRUST_HINT = "pbs_iff must be setuid root (chmod 4755), or munge run on both; the host must be known to the server"


def words(stderr: bytes) -> str:
    """Return what a command said last, in one clean line without its name."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return clean(_NAME.sub("", lines[-1]), limit=300) if lines else ""


def failure(program: str, status: int, stderr: bytes, where: str) -> SourceError:
    """Return the error that a failed command stands for; `where` is the host that it ran on."""
    text = stderr.decode("utf-8", "replace")
    said = words(stderr)
    lower = text.lower()
    if status in (126, 127) and ("env:" in text or _NO_PROGRAM.search(text)):
        return no_program(program, where)
    if _NO_NODES in text:
        return NoNodes("the server has no nodes", where, "add some: qmgr -c 'create node NAME'")
    if "pbsconf error" in text or "pbs conf variables not found" in text:
        return Unsupported("no pbs.conf, or it says too little", where, CONF_HINT)
    if "Unknown Host" in text or "unknown host" in lower or "name resolution" in lower:
        return Unreachable(f"the host of pbs_server has no known name: {said}", where, NAME_HINT)
    if "Connection refused" in text:
        return Unreachable("pbs_server does not run: connection refused", where, DOWN_HINT)
    if "No route to host" in text or "Network is unreachable" in text or "Connection timed out" in text:
        return Unreachable(f"the host of pbs_server cannot be reached: {said}", where, DOWN_HINT)
    if "Unauthorized Request" in text or "No Permission" in text:
        return Denied(f"pbs_server does not show this to this user: {said}", where, "ask its operators")
    if "pbs_iff" in text or "invalid credential" in lower or "authenticat" in lower or "munge" in lower:
        return Denied(f"pbs_server does not believe who asks: {said}", where, TRUST_HINT)
    if status == UNKNOWN_JOB and "Unknown Job Id" in text:
        return NoSuchJob(said, where, "ended jobs are kept only while the history of PBS has them")
    if "End of File" in text or "Premature end" in text or "Connection reset" in text or "Broken pipe" in text:
        return ConnectionLost("pbs_server hung up: is it starting anew?", where, "it is asked again soon")
    if "cannot connect to server" in text:
        return Unreachable(f"pbs_server does not answer: {said}", where, DOWN_HINT)
    if "nvalid option" in text or "usage:" in lower:
        return Unsupported(f"this {program} does not know what it is asked: {said}", where, "newer client commands")
    return CommandFailed(f"{program} ended with status {status}: {said or 'no word'}", where, "run it by hand there")


def no_history(stderr: bytes) -> bool:
    """Whether jobs that are over cannot be asked for here; qstat then shows none at all, and ends with 0."""
    return _NO_HISTORY in stderr


class NoNodes(CommandFailed):
    """The server has no nodes, which pbsnodes takes for an error."""


class NoProgram(Unsupported):
    """That one command is not there; others may be."""


def no_program(program: str, where: str) -> NoProgram:
    """Return that the command is not there."""
    hint = "install PBS's client commands there, or set bin in the configuration (often /opt/pbs/bin)"
    return NoProgram(f"no such program: {clean(program)}", where, hint)


def no_answer(seconds: float, where: str) -> TimedOut:
    """Return that a small question got no answer."""
    return TimedOut(f"pbs_server takes connections and answers nothing within {seconds:g} s", where, HUNG_HINT)


def slow_answer(program: str, seconds: float, where: str) -> TimedOut:
    """Return that a listing took too long, of a server that answered just before."""
    return TimedOut(f"pbs_server answers, but not {program} within {seconds:g} s", where, "raise timeout_s")
