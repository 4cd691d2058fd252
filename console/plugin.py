"""The plugin contract, version 1.

A plugin is an object (usually a module-level instance) named by an entry point of the group `quarterdeck.plugins`.
It says what it is, detects whether it is wanted here, and opens *backends*. A backend offers capabilities by having
their methods; nothing else is asked of it, no base class and no registration. The console offers what the backend
can do and nothing more.

    plugin.detect(site)            is it here? on what evidence? with which settings?
    plugin.open(settings, site)    a backend: cheap, no I/O
    backend.inventory()            Inventory: nodes, queues, reservations
    backend.jobs()                 Queue: jobs
    backend.finished(since)        Accounting: jobs that ended, and what they made of what they held
    backend.telemetry(attention)   Telemetry: samples that do not come from our own probe
    backend.explain(job_id)        Explainer: why a job waits or failed
    backend.log_streams(job_id)    Logs: which outputs a job has; open_log(stream) reads one
    backend.plan_nodes(order, …)   Drainer: drain, resume and more of nodes: what would run for it
    backend.plan_jobs(order, …)    JobControl: hold, cancel, … of jobs
    backend.perform(step)          both: do exactly what a step says
    backend.instead                Adviser: what to do instead of actions that it does not offer
    backend.announce(wake)         Announcer: says itself when there is something new
    backend.doctor()               what works, what is denied, how to mend it

Rules: capabilities never overlap with themselves (one request in flight), raise `console.errors.SourceError` with a
truthful kind when there is no answer, clean every remote string with `console.text.clean`, and leave pacing,
deadlines, back-off and freshness to the feed.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from console.model import (
    Attention,
    ClusterKind,
    Draft,
    Explanation,
    Job,
    LogChunk,
    LogStream,
    Node,
    Order,
    Records,
    Step,
)
from console.model.base import Record
from console.transport.base import Transport

API_VERSION = 1
ENTRY_POINT_GROUP = "quarterdeck.plugins"
NODE_ACTIONS = frozenset({"drain", "cordon", "resume", "power-down", "power-up", "reboot"})
JOB_ACTIONS = frozenset(
    {"hold", "release", "requeue", "cancel", "suspend", "continue", "timelimit", "priority", "move"}
)


class Detection(Record, frozen=True):
    """One backend that a plugin found, ready to be opened."""

    cluster: str
    """The name it would be shown under; the user's configuration may rename it."""
    evidence: str
    """In words for `qd doctor`: `squeue at /usr/bin/squeue, SLURM_CONF=/etc/slurm/slurm.conf`."""
    settings: dict[str, Any] = {}
    """Keys of the plugin's settings struct."""


class CheckState(enum.StrEnum):
    """Outcome of one look of the doctor."""

    OK = "ok"
    WARNING = "warning"
    DENIED = "denied"
    FAILED = "failed"
    ABSENT = "absent"


class Check(Record, frozen=True):
    """One line of `qd doctor`."""

    subject: str
    """What was looked at: `squeue`, `host key of gpu01`."""
    state: CheckState
    detail: str = ""
    remedy: str = ""
    """What to do next; empty when there is nothing to mend."""


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of a plugin's typed settings: one `[[cluster]]` table of the configuration, strictly checked.

    `name` and `kind` are read by the core before the rest is handed to the plugin, and are no part of it.
    """

    telemetry: str | None = None
    """all | visible | off: which nodes our own probe samples over SSH. None: the plugin's own default."""


class Site(Protocol):
    """What the core lends to plugins: the world, in a form that tests can replace."""

    environ: Mapping[str, str]
    cluster: str
    """The name of the cluster that is being opened; empty in `detect`."""

    def which(self, program: str) -> str | None:
        """Return the path of a program on this host, or None."""

    def transport(self, via: str | None = None) -> Transport:
        """Return the shared transport to `via`: None for this host, `ssh://NAME` or NAME for one over SSH.

        Transports are pooled and closed by the core; a plugin does not close them.
        """

    def expand(self, nodeset: str) -> list[str]:
        """Return the node names of a ClusterShell nodeset, `@group` included. UsageError when it cannot be read."""

    def now(self) -> float:
        """Return Unix seconds."""


class Backend(Protocol):
    """One opened backend. Besides this it has the methods of the capabilities that it offers."""

    cluster: str
    kind: ClusterKind
    requests_per_minute: float | None
    """Budget shared by all its capabilities; None: unlimited (nothing is asked of anybody else)."""

    async def doctor(self) -> list[Check]:
        """Look at everything once and say what works. Raises nothing; a failure is a Check."""

    async def close(self) -> None:
        """Let go of what it opened itself."""


@runtime_checkable
class Inventory(Protocol):
    """Lists nodes, queues and reservations."""

    inventory_period_s: float

    async def inventory(self) -> Records:
        """Return nodes (and `complete`), asking the cheapest question that answers. Raises SourceError."""


@runtime_checkable
class Queue(Protocol):
    """Lists jobs."""

    jobs_period_s: float

    async def jobs(self) -> Records:
        """Return jobs: all of them (`complete=("jobs",)`) or only what changed. Raises SourceError."""


@runtime_checkable
class Accounting(Protocol):
    """Lists jobs that have ended, from where that is kept."""

    accounting_period_s: float

    async def finished(self, since: float) -> Records:
        """Return as `ended_jobs` what ended since a time (Unix seconds), with `Job.usage` where it is recorded.

        Asked slowly, beside the budget of the lists: it is another service that answers. Raises SourceError;
        Unsupported where nothing is kept.
        """


@runtime_checkable
class Telemetry(Protocol):
    """Gives samples of nodes from a source of its own (a simulation, Prometheus, a device API)."""

    telemetry_period_s: float

    async def telemetry(self, attention: Attention) -> Records:
        """Return samples, of the nodes that have attention first. Raises SourceError."""


@runtime_checkable
class Announcer(Protocol):
    """Is told of changes (by a watch) and passes that on, so that nobody waits for the next look.

    Its capabilities then return what came since they were asked last, which costs no request.
    """

    def announce(self, wake: Callable[[], None]) -> None:
        """Call `wake`, on the loop and as often as you like, whenever a capability has something new to say."""


@runtime_checkable
class Explainer(Protocol):
    """Says why a job is where it is."""

    async def explain(self, job_id: str) -> Explanation:
        """Return what is known of one job, asked for now and then by a person. Raises SourceError; NoSuchJob."""


class LogReader(Protocol):
    """One output, opened. What more it may be able to do (search, begin at a time): `console.logs.seek`."""

    seekable: bool
    """Whether `read` works; else there is only the end, and what follows."""

    async def tail(self, limit_bytes: int) -> LogChunk:
        """Return its last bytes, without reading the rest. Raises SourceError (Denied, NoSuchFile)."""

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        """Return bytes from an offset; empty at its end. Raises SourceError, Unsupported when not seekable."""

    def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        """Yield what is written after a chunk, until closed or until the job's output ends. Raises SourceError."""

    async def close(self) -> None:
        """Let go of it. Never raises."""


@runtime_checkable
class Logs(Protocol):
    """Reads the output of jobs."""

    async def log_streams(self, job_id: str) -> tuple[LogStream, ...]:
        """Return the outputs of a job, the most wanted first; empty: it has none yet. Raises SourceError; NoSuchJob."""

    async def open_log(self, stream: LogStream) -> LogReader:
        """Open one of `log_streams`. Raises SourceError."""


@runtime_checkable
class Adviser(Protocol):
    """Says what to do instead of what it cannot."""

    instead: Mapping[str, str]
    """Of NODE_ACTIONS and JOB_ACTIONS, where it does not offer them, to what a person can do: `suspend it, then …`."""


class Performer(Protocol):
    """Does what a plan says. Called by `console.actions` alone, after plan, policy, confirmation and journal."""

    async def perform(self, step: Step) -> None:
        """Run exactly `step.run`, once; what may be asked again (a refused eviction) until `step.timeout_s` is over.

        Raises SourceError in the backend's own words.
        """


@runtime_checkable
class Drainer(Performer, Protocol):
    """Takes nodes out of work and brings them back."""

    node_actions: frozenset[str]
    """Of NODE_ACTIONS; `cordon` only where a drain does more."""

    async def look_nodes(self, names: Sequence[str]) -> tuple[Node, ...]:
        """Return these nodes as they are now, past every cache; one that is not known is left out. SourceError."""

    async def plan_nodes(self, order: Order, nodes: Sequence[Node], jobs: Sequence[Job]) -> Draft:
        """Return what would be done; changes nothing. `nodes` are fresh, `jobs` those that run on them. SourceError."""


@runtime_checkable
class JobControl(Performer, Protocol):
    """Acts on jobs."""

    job_actions: frozenset[str]
    """Of JOB_ACTIONS."""

    async def look_jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """Return these jobs as they are now, past every cache; one that is not known is left out. SourceError."""

    async def plan_jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """Return what would be done; changes nothing. `jobs` are fresh. Raises SourceError, UsageError."""


class Plugin(Protocol):
    """What an entry point of `quarterdeck.plugins` names."""

    api_version: int
    name: str
    """Also the `kind = "…"` of a `[[cluster]]` table."""
    summary: str
    settings_type: type[Settings]

    async def detect(self, site: Site) -> list[Detection]:
        """Return what is here without any configuration. Quick (under 0.2 s) and read-only."""

    def open(self, settings: Any, site: Site) -> Backend:
        """Return a backend. Does no I/O; raises ConfigError when the settings cannot work."""


Clock = Callable[[], float]
