"""What it means that a command of Slurm failed, in words that help. Pure.

slurmctld refuses connections       Unreachable
slurmctld takes them, says nothing  TimedOut
munged does not run here            Unreachable
keys or clocks differ               Denied
this user may not see it            Denied
no configuration, no such program   Unsupported
releases that do not fit            Unsupported
anything else                       CommandFailed, with Slurm's own words
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from console.errors import CommandFailed, ConnectionLost, Denied, SourceError, TimedOut, Unreachable, Unsupported
from console.text import clean
from plugins.slurm.parse import Controller

_NOISE = re.compile(r"^(?:[a-z]+: )?(?:error: |fatal: |warning: )?", re.ASCII)
_RETRY = re.compile(r"cannot stat file (\S+): .*|[Cc]ould not establish a configuration source|DNS SRV lookup failed")
_NO_PROGRAM = re.compile(r"(?:No such file or directory|command not found|not found)\s*$", re.MULTILINE)

MUNGE_HINT = "start munged on {where} (systemctl start munge) and try: munge -n | unmunge"
KEY_HINT = "compare /etc/munge/munge.key and the clocks of {where} and of the host of slurmctld"
CONF_HINT = "set slurm_conf in the configuration, or SLURM_CONF"
DOWN_HINT = "look on the host of slurmctld: systemctl status slurmctld; then: scontrol ping"
HUNG_HINT = "look on the host of slurmctld: is it out of CPU, disk or memory? sdiag tells what it is busy with"


def words(stderr: bytes) -> str:
    """Return what a command said last, in one clean line without its name and level."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return clean(_NOISE.sub("", lines[-1]), limit=300) if lines else ""


def failure(program: str, status: int, stderr: bytes, where: str) -> SourceError:
    """Return the error that a failed command stands for; `where` is the host that it ran on."""
    text = stderr.decode("utf-8", "replace")
    said = words(stderr)
    if status in (126, 127) and ("env:" in text or _NO_PROGRAM.search(text)):
        return no_program(program, where)
    if (known := told(program, text, where)) is not None:
        return known
    return CommandFailed(f"{program} ended with status {status}: {said or 'no word'}", where, "run it by hand there")


def told(program: str, text: str, where: str) -> SourceError | None:
    """Return the error that Slurm's words stand for, whoever passes them on; None for words that are not known."""
    said = words(text.encode())
    if "Munge encode failed" in text or "Did you start munged" in text:
        return Unreachable("munged does not run", where, MUNGE_HINT.format(where=where))
    if (found := _RETRY.search(text)) is not None:
        path = clean(found[1]) if found[1] else ""
        what = f"no slurm.conf at {path}" if path else "no Slurm configuration"
        return Unsupported(what, where, CONF_HINT)
    if "Unable to process configuration file" in text or "Parsing error" in text:
        first = next((line for line in text.splitlines() if "arsing error" in line), said)
        return CommandFailed(
            f"slurm.conf is broken: {words(first.encode())}", where, "mend it, or restore the last one"
        )
    if "Unable to contact slurm controller" in text or "Connection refused" in text:
        return Unreachable("slurmctld does not answer: no connection", where, DOWN_HINT)
    if "standby mode" in text:
        return Unreachable("only the backup slurmctld answers, and it is in standby", where, DOWN_HINT)
    if "Socket timed out" in text or "Connection timed out" in text:
        return TimedOut("slurmctld takes connections and does not answer", where, HUNG_HINT)
    if "Incompatible versions" in text or "Unsupported version" in text or "protocol version" in text.lower():
        return Unsupported(
            f"{program} and slurmctld are of releases that do not fit: {said}", where, "use the cluster's own client"
        )
    if "authentication" in text or "Invalid auth" in text or "Munge decode failed" in text or "credential" in text:
        return Denied(f"slurmctld refuses this host's credential: {said}", where, KEY_HINT.format(where=where))
    if "Zero Bytes were transmitted" in text:
        what = "slurmctld closed the connection without a word: is it starting anew?"
        return ConnectionLost(what, where, "it is asked again soon")
    if "permission denied" in text.lower() or "Invalid user id" in text:
        return Denied(
            f"slurmctld does not show this to this user: {said}", where, "PrivateData in slurm.conf; ask its operators"
        )
    return None


def refused(where: str) -> Denied:
    """Return what a connection that is closed without a word means when that happens again and again."""
    what = "slurmctld closes every connection without a word: it does not accept this host's credential"
    return Denied(what, where, KEY_HINT.format(where=where))


class NoProgram(Unsupported):
    """That one command is not there; others may be."""


def no_program(program: str, where: str) -> NoProgram:
    """Return that the command is not there."""
    return NoProgram(
        f"no such program: {clean(program)}",
        where,
        "install Slurm's client commands there, or set bin in the configuration",
    )


def no_answer(controllers: Sequence[Controller], seconds: float, where: str) -> SourceError:
    """Return what a ping says about a request that got no answer in `seconds`."""
    if not controllers:
        what = f"slurmctld is hung: it takes connections and answers no ping in {seconds:g} s"
        return TimedOut(what, where, HUNG_HINT)
    if any(controller.up for controller in controllers):
        return TimedOut(f"slurmctld answers pings, but not this within {seconds:.0f} s", where, HUNG_HINT)
    names = ", ".join(f"{controller.role} on {controller.host}" for controller in controllers)
    return Unreachable(f"slurmctld is down ({names})", where, DOWN_HINT)
