"""The states of PBS in our vocabulary."""

from __future__ import annotations

import re

from console.model import Job, JobState, NodeState

_OFFLINE = frozenset(("offline", "offline_by_mom"))
_DOWN = frozenset(("down", "stale"))
_NOT_REACHED = frozenset(("unresolvable",))
_CHANGING = frozenset(("maintenance", "provisioning", "wait-provisioning"))
_TAKEN = frozenset(("job-busy", "job-exclusive", "busy"))

_JOB_STATES = {
    "Q": JobState.PENDING,
    "W": JobState.PENDING,
    "T": JobState.PENDING,
    "H": JobState.HELD,
    "R": JobState.RUNNING,
    "S": JobState.SUSPENDED,
    "U": JobState.SUSPENDED,
    "E": JobState.COMPLETING,
    "X": JobState.COMPLETED,
}
"""T: on its way between queues. U: its host is in use by a person. X: a task of an array that is over."""

HOLDS = {
    "u": "held by its owner, who may release it (qrls)",
    "o": "held by an operator: operators and managers of PBS may release it (qrls -h o)",
    "s": "held by the system or a manager: managers of PBS may release it (qrls -h s)",
    "p": "held because the owner's password is wrong: submit it anew",
}
_WALLTIME_WORDS = "exceeded resource walltime"
_WALLTIME_STATUS = -29
SIGNALLED = 256
"""Added to the number of the signal that ended a job."""
_TERM, _KILL = 15, 9


def words(state: str) -> frozenset[str]:
    """Return the words of `state-unknown,down`, lower case."""
    return frozenset(word for part in state.lower().split(",") if (word := part.strip()))


def asleep(state: str) -> bool:
    """Whether PBS has switched the host off to save power: nobody should try to reach it."""
    return "sleep" in words(state)


def node_state(state: str, busy: bool) -> NodeState:
    """Return our word for the state of one vnode; `busy`: jobs are on it.

    Offline before down: somebody took it away on purpose, whatever became of it since.
    """
    flags = words(state)
    if flags & _OFFLINE:
        return NodeState.DRAINING if busy else NodeState.DRAINED
    if flags & _DOWN:
        return NodeState.DOWN
    if flags & _NOT_REACHED:
        return NodeState.UNREACHABLE
    if flags & _CHANGING:
        return NodeState.MAINTENANCE
    if "state-unknown" in flags or "initializing" in flags:
        return NodeState.UNKNOWN
    if busy or flags & _TAKEN:
        return NodeState.BUSY
    if "resv-exclusive" in flags:
        return NodeState.RESERVED
    return NodeState.UP if flags & {"free", "sleep"} else NodeState.UNKNOWN


_BEST_FIRST = (
    NodeState.BUSY,
    NodeState.UP,
    NodeState.RESERVED,
    NodeState.DRAINING,
    NodeState.MAINTENANCE,
    NodeState.DRAINED,
    NodeState.UNKNOWN,
    NodeState.UNREACHABLE,
    NodeState.DOWN,
)


def host_state(states: list[NodeState]) -> NodeState:
    """Return the state of a host by those of its vnodes: as long as one of them works the host does."""
    return min(states, key=_BEST_FIRST.index, default=NodeState.UNKNOWN)


def job_state(letter: str, *, running: int = 0, exit_status: int | None = None, comment: str = "") -> JobState:
    """Return our word for a job's state; `running`: tasks of an array that run."""
    if letter == "B":
        return JobState.RUNNING if running else JobState.PENDING
    if letter == "F":
        return _ended(exit_status, comment)
    return _JOB_STATES.get(letter, JobState.UNKNOWN)


def _ended(status: int | None, comment: str) -> JobState:
    """An exit status above 256 is a signal that PBS sent or saw; a job deleted before it ran has none."""
    if status == _WALLTIME_STATUS or _WALLTIME_WORDS in comment:
        return JobState.TIMEOUT
    if status is None:
        return JobState.CANCELLED
    if status == 0:
        return JobState.COMPLETED
    if status - SIGNALLED in (_TERM, _KILL) and "terminated" in comment:
        return JobState.CANCELLED
    return JobState.FAILED


def holds(types: str) -> tuple[str, ...]:
    """Return who holds a job, in words, by its Hold_Types (`us`, `n`)."""
    return tuple(HOLDS[letter] for letter in re.sub(r"[^a-z]", "", types) if letter in HOLDS)


def held_by(job: Job) -> str:
    """Return who holds a job as qrls takes it, `uo`; empty when that is not known."""
    told = job.detail.get("holds", "")
    return "".join(letter for letter, text in HOLDS.items() if text in told)
