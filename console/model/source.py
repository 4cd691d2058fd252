"""Where values come from, and how that source is doing."""

from __future__ import annotations

import enum

from console.model.base import Record


class SourceState(enum.StrEnum):
    """How a source is doing; the names are those of the JSON contract. The screen says "live" for OK."""

    CONNECTING = "connecting"
    """Asked for the first time, no answer yet. `qd snapshot` never ends on it before its time is up."""
    OK = "ok"
    LATE = "late"
    """Nothing for twice its period; the last values stand, with their age."""
    UNREACHABLE = "unreachable"
    DENIED = "denied"
    UNSUPPORTED = "unsupported"
    ERROR = "error"


class SourceStatus(Record, frozen=True):
    """One source at one moment: a scheduler's node list, its job list, the probe of one node."""

    name: str
    """Unique in the session: `slurm:lab/nodes`, `ssh:gpu01`, `local`."""
    kind: str
    """slurm | ssh | local | simulated | the name of another plugin."""
    cluster: str
    state: SourceState = SourceState.CONNECTING
    node: str | None = None
    """The one node that it speaks for; None when it speaks for many."""
    error: str | None = None
    """What happened, in one line of clean text."""
    hint: str | None = None
    """What to do next."""
    since: float | None = None
    """Unix seconds since when `state` holds."""
    observed_at: float | None = None
    """Unix seconds of its last good answer."""
    next_try_at: float | None = None
    period_s: float | None = None
    latency_s: float | None = None
    """How long the last answer took."""
    requests_per_minute: float | None = None
    """Measured over the last minutes."""
    cpu_percent: float | None = None
    """What it costs where it runs, in percent of one core (probes)."""
    bytes_per_s: float | None = None
    detail: str | None = None
    """How it is read: `squeue 24.11.5 through ssh://login1`, `python 3.9, nvml`."""
    facts: dict[str, str] = {}
    """How the service behind it is doing, label to words."""


def source_name(kind: str, cluster: str, what: str) -> str:
    """Return the name of the source that lists `what` (nodes, jobs, telemetry) of a cluster: `slurm:lab/jobs`."""
    return f"{kind}:{cluster}/{what}"
