"""What a feed emits: plain data that may cross a socket, a file or nothing at all."""

from __future__ import annotations

from functools import cache

import msgspec

from console.model.base import Record
from console.model.finding import Finding
from console.model.job import Job
from console.model.node import Cluster, Node, Queue, Reservation
from console.model.sample import Sample
from console.model.source import SourceStatus


class Records(Record, frozen=True):
    """What one answer of one source brought.

    `complete` names the kinds (`nodes`, `jobs`, `queues`, `reservations`) of which this answer lists everything that
    the source knows: what it listed before and does not list now is gone. Kinds that are not in `complete` are
    changes only. An answer with no records and nothing complete says: nothing changed.
    """

    cluster: Cluster | None = None
    nodes: tuple[Node, ...] = ()
    jobs: tuple[Job, ...] = ()
    ended_jobs: tuple[Job, ...] = ()
    """Out of accounting: kept until the day is over, beside what the lists say."""
    queues: tuple[Queue, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    samples: tuple[Sample, ...] = ()
    findings: tuple[Finding, ...] = ()
    complete: tuple[str, ...] = ()
    gone_nodes: tuple[str, ...] = ()
    gone_jobs: tuple[str, ...] = ()
    requests: int = 1
    """How many requests to the backend this answer cost."""
    detail: str | None = None
    """How it was read, for the Sources screen."""
    facts: dict[str, str] = {}
    """How the service behind the source is doing, label to words, for the Sources screen; empty: as before."""


class Batch(Record, frozen=True):
    """One step of one source: how it is doing, and what it brought if it brought anything."""

    status: SourceStatus
    records: Records | None = None
    ended: bool = False
    """The source was let go on purpose: its status is forgotten; what it brought stays, with its age."""


class Attention(Record, frozen=True):
    """What somebody looks at: sampled first and fastest. Node names as the store shows them."""

    visible: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    selected: str | None = None


@cache
def _decoder() -> msgspec.msgpack.Decoder[Batch]:
    # Made when it is first used: it costs milliseconds, and most consoles read no bytes.
    return msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """Return the batch as msgpack bytes."""
    return msgspec.msgpack.encode(batch)


def decode_batch(data: bytes) -> Batch:
    """Return the batch of `encode_batch`; msgspec.ValidationError when the bytes are something else."""
    return _decoder().decode(data)
