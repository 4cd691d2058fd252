"""What slurmrestd answers, as far as it is read here. Pure.

Every version of its data (v0.0.38 to v0.0.45) fits these structs: what was a number became one that may be unset or
infinite, what was a word became a list of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from console.errors import BadAnswer
from console.text import clean
from console.transport.http_failures import gist

_HINT = "does another service listen there?"

T = TypeVar("T")


class Number(msgspec.Struct, frozen=True):
    """A number that may be unset or infinite, since v0.0.39."""

    set: bool = False
    infinite: bool = False
    number: float = 0


Count = int | float | Number | None
Words = str | tuple[str, ...] | None


class Wire(msgspec.Struct, frozen=True):
    """Base of what is read; fields that are not named are passed over."""


class JobWire(Wire, frozen=True):
    """One of `jobs`."""

    job_id: int
    job_state: Words = None
    array_job_id: Count = None
    array_task_id: Count = None
    array_task_string: str | None = None
    array_max_tasks: Count = None
    het_job_id: Count = None
    het_job_offset: Count = None
    state_reason: str | None = None
    state_description: str | None = None
    """The reason with what belongs to it, where there is something."""
    user_name: str | None = None
    user_id: int | None = None
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    node_count: Count = None
    cpus: Count = None
    tasks: Count = None
    priority: Count = None
    submit_time: Count = None
    start_time: Count = None
    end_time: Count = None
    time_limit: Count = None
    tres_alloc_str: str | None = None
    tres_req_str: str | None = None
    tres_per_job: str | None = None
    tres_per_node: str | None = None
    tres_per_socket: str | None = None
    tres_per_task: str | None = None
    nodes: str | None = None
    resv_name: str | None = None
    dependency: str | None = None
    current_working_directory: str | None = None
    comment: str | None = None
    name: str | None = None


class NodeWire(Wire, frozen=True):
    """One of `nodes`."""

    name: str
    state: Words = None
    state_flags: tuple[str, ...] = ()
    hostname: str | None = None
    address: str | None = None
    architecture: str | None = None
    operating_system: str | None = None
    version: str | None = None
    slurmd_version: str | None = None
    """Before v0.0.39."""
    owner: str | None = None
    partitions: Words = None
    features: Words = None
    active_features: Words = None
    cpus: Count = None
    alloc_cpus: Count = None
    real_memory: Count = None
    alloc_memory: Count = None
    boot_time: Count = None
    gres: str | None = None
    gres_used: str | None = None
    gres_drained: str | None = None
    tres: str | None = None
    tres_used: str | None = None
    reason: str | None = None
    reason_set_by_user: str | None = None
    reason_changed_at: Count = None
    comment: str | None = None
    extra: str | None = None
    reservation: str | None = None


class NodesOf(Wire, frozen=True):
    """The nodes of a partition."""

    configured: str | None = None
    total: Count = None


class State(Wire, frozen=True):
    """Its state."""

    state: Words = None


class Maximums(Wire, frozen=True):
    """Its limits."""

    time: Count = None


class Priority(Wire, frozen=True):
    """Its priority."""

    tier: Count = None


class PartitionWire(Wire, frozen=True):
    """One of `partitions`: flat before v0.0.39, nested since."""

    name: str
    nodes: str | NodesOf | None = None
    total_nodes: Count = None
    state: Words = None
    partition: State | None = None
    flags: tuple[str, ...] = ()
    maximums: Maximums | None = None
    max_time_limit: Count = None
    priority: Priority | None = None
    priority_tier: Count = None


class ReservationWire(Wire, frozen=True):
    """One of `reservations`."""

    name: str
    node_list: str | None = None
    start_time: Count = None
    end_time: Count = None
    users: str | None = None
    accounts: str | None = None
    flags: tuple[str, ...] = ()


class Ping(Wire, frozen=True):
    """One of `pings`."""

    hostname: str = ""
    mode: str = ""
    ping: str | None = None
    pinged: str | None = None


class Rpc(Wire, frozen=True):
    """How often a message came."""

    message_type: str = ""
    count: int = 0


class User(Wire, frozen=True):
    """How often a user asked."""

    user: str = ""
    count: int = 0


class Statistics(Wire, frozen=True):
    """What sdiag tells."""

    jobs_submitted: int
    req_time_start: Count = None
    jobs_started: int = 0
    jobs_completed: int = 0
    jobs_canceled: int = 0
    jobs_failed: int = 0
    rpcs_by_message_type: tuple[Rpc, ...] = ()
    rpcs_by_user: tuple[User, ...] = ()
    server_thread_count: int | None = None
    agent_queue_size: int | None = None
    dbd_agent_queue_size: int | None = None
    schedule_cycle_last: int | None = None
    schedule_cycle_mean: int | None = None
    bf_cycle_last: int | None = None
    bf_last_depth: int | None = None
    bf_queue_len: int | None = None


class Failed(Wire, frozen=True):
    """One of `errors`."""

    description: str | None = None
    error: str | None = None


class Release(Wire, frozen=True):
    """Which Slurm answers."""

    release: str | None = None
    cluster: str | None = None


class Meta(Wire, frozen=True):
    """Who answers; before v0.0.39 with a capital."""

    slurm: Release | None = None
    Slurm: Release | None = None


class Envelope(Wire, frozen=True):
    """What every answer has."""

    meta: Meta | None = None
    errors: tuple[Failed, ...] = ()


class Pings(Envelope, frozen=True):
    """Answer of `ping`."""

    pings: tuple[Ping, ...] = ()


class Diag(Envelope, frozen=True):
    """Answer of `diag`."""

    statistics: Statistics | None = None


class Partitions(Envelope, frozen=True):
    """Answer of `partitions`."""

    partitions: tuple[PartitionWire, ...] = ()


class Reservations(Envelope, frozen=True):
    """Answer of `reservations`."""

    reservations: tuple[ReservationWire, ...] = ()


# ---- bytes


def clean_json(body: bytes) -> bytes:
    """Return it as UTF-8: what users wrote comes as they wrote it."""
    return body if body.isascii() else body.decode("utf-8", "replace").encode()


def decode(body: bytes, kind: type[T], where: str) -> T:
    """Return an answer. BadAnswer when it is something else."""
    try:
        return msgspec.json.decode(clean_json(body), type=kind)
    except msgspec.DecodeError as error:
        raise not_known(error, body, where) from None


def not_known(error: msgspec.DecodeError, body: bytes, where: str) -> BadAnswer:
    """Return what it means that an answer, or one object of it, cannot be read."""
    if isinstance(error, msgspec.ValidationError):
        return BadAnswer(f"slurmrestd answers in a form that is not known: {clean(str(error))}", where, _HINT)
    shown = clean(body[:400].decode("utf-8", "replace"), limit=120) or "nothing"
    return BadAnswer(f"slurmrestd gave something else than a whole answer in JSON: {shown}", where, _HINT)


def said(body: bytes) -> str:
    """Return what the body of a failure says: the errors of Slurm, else its text."""
    try:
        return words(msgspec.json.decode(clean_json(body), type=Envelope).errors)
    except msgspec.DecodeError:
        return gist(body)


def words(errors: Sequence[Failed]) -> str:
    """Return what `errors` say, in one clean line."""
    told = [": ".join(part for part in (each.description, each.error) if part) for each in errors[:3]]
    return clean("; ".join(told), limit=300) or "no word"
