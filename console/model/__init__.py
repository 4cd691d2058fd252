"""Records: what is known, as plain serialisable data.

Every record is an immutable msgspec struct. Units stand in the names (`_bytes`, `_bytes_per_s`, `_percent` 0-100,
`_w`, `_c`, `_mhz`, `_s`; times are Unix seconds and end in `_at`). A value that is not known is None, and
`missing[field]` says why; it is never 0. Remote strings are cleaned (`console.text.clean`) before they come here.
"""

from console.model.answer import Answer, Group
from console.model.attempt import Actor, Attempt, Entry
from console.model.base import Record
from console.model.batch import Attention, Batch, Records, decode_batch, encode_batch
from console.model.explanation import Cause, Dependency, Event, Explanation, Fit, Limit, PriorityPart
from console.model.finding import Finding, Severity
from console.model.job import ArrayPart, Job, JobState, JobUsage
from console.model.log import LogChunk, LogStream
from console.model.node import Cluster, ClusterKind, Node, NodeState, Queue, Reservation
from console.model.plan import (
    Call,
    Draft,
    Effect,
    Interrupt,
    Order,
    OutcomeState,
    Plan,
    Seen,
    Step,
    StepOutcome,
)
from console.model.sample import (
    Accelerator,
    AcceleratorProcess,
    Disk,
    Host,
    Link,
    LinkKind,
    Mount,
    MountState,
    Pressure,
    ProbeCost,
    Sample,
)
from console.model.source import SourceState, SourceStatus, source_name

__all__ = [
    "Accelerator",
    "AcceleratorProcess",
    "Actor",
    "Answer",
    "ArrayPart",
    "Attempt",
    "Attention",
    "Batch",
    "Call",
    "Cause",
    "Cluster",
    "ClusterKind",
    "Dependency",
    "Disk",
    "Draft",
    "Effect",
    "Entry",
    "Event",
    "Explanation",
    "Finding",
    "Fit",
    "Group",
    "Host",
    "Interrupt",
    "Job",
    "JobState",
    "JobUsage",
    "Limit",
    "Link",
    "LinkKind",
    "LogChunk",
    "LogStream",
    "Mount",
    "MountState",
    "Node",
    "NodeState",
    "Order",
    "OutcomeState",
    "Plan",
    "Pressure",
    "PriorityPart",
    "ProbeCost",
    "Queue",
    "Record",
    "Records",
    "Reservation",
    "Sample",
    "Seen",
    "Severity",
    "SourceState",
    "SourceStatus",
    "Step",
    "StepOutcome",
    "decode_batch",
    "encode_batch",
    "source_name",
]
