"""What slurmctld's counters say about what changed: one small request instead of a listing.

`sdiag` costs slurmctld the same whether it holds ten jobs or a hundred thousand. Whatever changes a job or a node
goes through a request that it counts (a submission, an update, a drain, a step's end) or a job counter (started,
completed). What slurmctld does by itself – a node that stops answering, a reason to wait that changes – shows in no
counter; for that the listings are repeated when they grow old.
"""

from __future__ import annotations

import enum

from plugins.slurm.parse import Counters


class Table(enum.Enum):
    """What is listed separately."""

    JOBS = "jobs"
    NODES = "nodes"
    LAYOUT = "layout"
    """Partitions and reservations."""


NOTHING: frozenset[Table] = frozenset()
ALL = frozenset(Table)
_WORK = frozenset((Table.JOBS, Table.NODES))

_CHANGES_NOTHING = frozenset(
    (
        *("REQUEST_PING", "REQUEST_CONTROL_STATUS", "REQUEST_STATS_INFO", "REQUEST_BUILD_INFO", "REQUEST_CONFIG"),
        *("REQUEST_JOB_INFO", "REQUEST_JOB_INFO_SINGLE", "REQUEST_JOB_USER_INFO", "REQUEST_JOB_STATE"),
        *("REQUEST_JOB_STEP_INFO", "REQUEST_NODE_INFO", "REQUEST_NODE_INFO_SINGLE", "REQUEST_PARTITION_INFO"),
        *("REQUEST_RESERVATION_INFO", "REQUEST_FED_INFO", "REQUEST_LICENSE_INFO", "REQUEST_PRIORITY_FACTORS"),
        *("REQUEST_SHARE_INFO", "REQUEST_ASSOC_MGR_INFO", "REQUEST_TOPO_INFO", "REQUEST_FRONT_END_INFO"),
        *("REQUEST_BURST_BUFFER_INFO", "REQUEST_BURST_BUFFER_STATUS", "REQUEST_POWERCAP_INFO", "REQUEST_TRIGGER_GET"),
        *("REQUEST_JOB_WILL_RUN", "REQUEST_JOB_READY", "REQUEST_JOB_END_TIME", "REQUEST_BATCH_SCRIPT"),
        *("REQUEST_JOB_ALLOCATION_INFO", "REQUEST_HET_JOB_ALLOC_INFO", "REQUEST_JOB_SBCAST_CRED"),
        *("REQUEST_JOB_STEP_CREATE", "REQUEST_STEP_COMPLETE", "REQUEST_STEP_LAYOUT", "REQUEST_STEP_BY_CONTAINER_ID"),
        *("REQUEST_UPDATE_JOB_STEP", "REQUEST_AUTH_TOKEN", "REQUEST_PERSIST_INIT", "ACCOUNTING_UPDATE_MSG"),
        *(
            "ACCOUNTING_REGISTER_CTLD",
            "REQUEST_SET_DEBUG_LEVEL",
            "REQUEST_SET_DEBUG_FLAGS",
            "REQUEST_HOSTLIST_EXPANSION",
        ),
    )
)
"""Questions, and steps inside of a job. Anything that is not named here counts as a change."""

_CHANGES = {
    "REQUEST_SUBMIT_BATCH_JOB": frozenset((Table.JOBS,)),
    "REQUEST_SUBMIT_BATCH_HET_JOB": frozenset((Table.JOBS,)),
    "REQUEST_UPDATE_JOB": frozenset((Table.JOBS,)),
    "REQUEST_UPDATE_NODE": frozenset((Table.NODES,)),
    "REQUEST_REBOOT_NODES": frozenset((Table.NODES,)),
    "MESSAGE_NODE_REGISTRATION_STATUS": frozenset((Table.NODES,)),
}


def changed(before: Counters | None, after: Counters) -> frozenset[Table]:
    """Return what may have changed between two readings; everything when slurmctld was restarted between them.

    A fresh slurmctld shows as counters that fell; `since` is 0 for its first seconds.
    """
    if before is None or before.since != after.since:
        return ALL
    for earlier, later in ((before.jobs, after.jobs), (before.requests, after.requests)):
        if any(count > later.get(name, 0) for name, count in earlier.items()):
            return ALL
    found: frozenset[Table] = NOTHING
    for name, count in after.jobs.items():
        if count > before.jobs.get(name, 0):
            found |= {Table.JOBS} if name == "submitted" else _WORK
    for name, count in after.requests.items():
        if count > before.requests.get(name, 0) and name not in _CHANGES_NOTHING:
            found |= _CHANGES.get(name, _WORK) if _is_work(name) else ALL
    return found


def _is_work(name: str) -> bool:
    """Whether such a request can change jobs and nodes only."""
    return not any(word in name for word in ("PARTITION", "RESERVATION", "RECONFIGURE", "SHUTDOWN", "TAKEOVER"))
