"""The states of Slurm, with all their flags, in our vocabulary."""

from __future__ import annotations

import re
from functools import lru_cache

from console.model import JobState, NodeState

_SUFFIXES = "*~#!%$@^-+"
"""One character that sinfo hangs on a state: not responding, powered down, planned, maintenance, rebooting, …"""
_BUSY = frozenset(("ALLOCATED", "ALLOC", "MIXED", "MIX", "COMPLETING", "COMP"))
_RUNS_ON = frozenset(("DRAINING", "FAILING"))
_HELD_REASONS = ("JobHeldUser", "JobHeldAdmin")

_JOB_FLAGS = (
    *("COMPLETING", "STAGE_OUT", "CONFIGURING", "RESIZING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD"),
    *("SPECIAL_EXIT", "STOPPED", "REVOKED", "RESV_DEL_HOLD", "SIGNALING"),
)
"""In the order in which squeue prefers them to the state that they come with."""
_JOB_STATES = {
    "PENDING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "EXPEDITING": JobState.PENDING,
    "POWER_UP_NODE": JobState.RUNNING,
    "CONFIGURING": JobState.RUNNING,
    "RUNNING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "UPDATE_DB": JobState.RUNNING,
    "COMPLETING": JobState.COMPLETING,
    "STAGE_OUT": JobState.COMPLETING,
    "SUSPENDED": JobState.SUSPENDED,
    "STOPPED": JobState.SUSPENDED,
    "REQUEUE_HOLD": JobState.HELD,
    "RESV_DEL_HOLD": JobState.HELD,
    "SPECIAL_EXIT": JobState.HELD,
    "COMPLETED": JobState.COMPLETED,
    "BOOT_FAIL": JobState.FAILED,
    "FAILED": JobState.FAILED,
    "LAUNCH_FAILED": JobState.FAILED,
    "RECONFIG_FAIL": JobState.FAILED,
    "NODE_FAIL": JobState.FAILED,
    "OUT_OF_MEMORY": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,
    "DEADLINE": JobState.TIMEOUT,
    "TIMEOUT": JobState.TIMEOUT,
    "PREEMPTED": JobState.PREEMPTED,
}


def flags(text: str) -> frozenset[str]:
    """Return the words of `MIXED+DRAIN+NOT_RESPONDING` or `down*+drain`, upper case; `*` is NOT_RESPONDING."""
    words = {word for part in text.upper().split("+") if (word := part.strip().rstrip(_SUFFIXES))}
    if "*" in text:
        words.add("NOT_RESPONDING")
    return frozenset(words)


def hidden(text: str) -> bool:
    """Whether such a node exists in the configuration only."""
    return bool(flags(text) & {"FUTURE", "FUTR"})


def asleep(text: str) -> bool:
    """Whether the node is switched off to save power, or on its way there: nobody should try to reach it."""
    return bool(flags(text) & {"POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN"})


def node_state(text: str) -> NodeState:
    """Return our word for a node state, in the order of precedence that sinfo has for its own.

    Draining before down (an admin took it away on purpose), both before not responding.
    """
    words = flags(text)
    busy = bool(words & _BUSY)
    if words & {"MAINT", "MAINTENANCE"} and not busy and not words & {"DRAIN", "DRAINED", "DRAINING", "DOWN"}:
        return NodeState.MAINTENANCE
    if words & {"DRAIN", "DRAINED", "DRAINING"}:
        return NodeState.DRAINING if busy or words & _RUNS_ON else NodeState.DRAINED
    if words & {"FAIL", "FAILING"}:
        return NodeState.DRAINING if busy or words & _RUNS_ON else NodeState.DOWN
    if words & {"DOWN", "ERROR", "INVAL", "INVALID_REG"}:
        return NodeState.DOWN
    if words & {"REBOOT_ISSUED", "REBOOT^"}:
        return NodeState.MAINTENANCE
    if words & {"NOT_RESPONDING", "NO_RESPOND"}:
        return NodeState.UNREACHABLE
    if busy or words & {"BLOCKED"}:
        return NodeState.BUSY
    if words & {"RESERVED", "RESV"}:
        return NodeState.RESERVED
    if words & {"IDLE", "PLANNED", "PLND"} or asleep(text):
        return NodeState.UP
    return NodeState.UNKNOWN


def job_state(text: str, reason: str | None) -> JobState:
    """Return our word for a job state; a pending job that somebody holds is held."""
    state = _JOB_STATES.get(re.split(r"[+,\s]", text.upper(), maxsplit=1)[0], JobState.UNKNOWN)
    if state is JobState.PENDING and reason is not None and reason.startswith(_HELD_REASONS):
        return JobState.HELD
    return state


@lru_cache(1024)
def job_word(words: tuple[str, ...]) -> str | None:
    """Return the one word that squeue prints of a state with its flags; None for a job that it lists no longer."""
    word = next((flag for flag in _JOB_FLAGS if flag in words), words[0] if words else "")
    return None if job_state(word, None).ended else word
