"""What the screens need of the session that feeds them, and of the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import TYPE_CHECKING, Protocol

from console.model import Attention, Explanation, LogChunk, LogStream
from console.store import Store

if TYPE_CHECKING:
    from console.actions.desk import ActionDesk
    from console.actions.running import RunDesk


class LogReader(Protocol):
    """One output of a job, opened; see `console.plugin.LogReader`."""

    seekable: bool
    """Whether `read` works; else there is only the end, and what follows."""

    async def tail(self, limit_bytes: int) -> LogChunk:
        """Return its last bytes. Raises SourceError."""

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        """Return bytes from an offset. Raises SourceError."""

    def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        """Yield what is written after a chunk. Raises SourceError."""

    async def close(self) -> None:
        """Let go of it. Never raises."""


class JobDesk(Protocol):
    """Questions about one job, named by (cluster, id). `console.jobs.JobDesk` is the real one."""

    def able(self, cluster: str) -> frozenset[str]:
        """Return what this cluster's backend can do: `explain`, `log`."""

    async def explain(self, key: tuple[str, str]) -> Explanation:
        """Return why a job is where it is. Raises SourceError."""

    async def log_streams(self, key: tuple[str, str]) -> tuple[LogStream, ...]:
        """Return the outputs of a job. Raises SourceError."""

    async def open_log(self, key: tuple[str, str], stream: LogStream) -> LogReader:
        """Open one output of a job. Raises SourceError."""


class LiveSession(Protocol):
    """A running console below its screens. `console.session.Session` is the real one."""

    store: Store
    simulated: bool
    """True for `--simulate`: every screen says SIMULATED."""
    notices: list[str]
    """One-line notices of start-up (a broken plugin, a bad theme), each shown once; it may grow while running."""

    @property
    def desk(self) -> JobDesk:
        """Questions about single jobs; another one once the backends are open."""

    async def start(self) -> None:
        """Import what is heavy, open the backends and start the feeds. Called after the first paint."""

    async def close(self) -> None:
        """Stop the feeds and close every connection; at most two seconds."""

    def attend(self, attention: Attention) -> None:
        """Say what is on screen, marked and selected."""

    def pause(self, paused: bool) -> None:
        """Stop asking, or go on."""

    def set_refresh(self, period_s: float | None) -> None:
        """Override the pace; None: each source's own."""

    def report(self, error: BaseException, where: str) -> str:
        """Keep the traceback of what nobody foresaw, and notice it; return the path of the file, which may be empty."""

    @property
    def actions(self) -> ActionDesk:
        """The door to acting; another one once the backends are open. ConfigError for a bad policy file."""

    @property
    def runner(self) -> RunDesk:
        """The door to running commands on nodes. ConfigError for a bad policy file."""

    def look_again(self, clusters: Collection[str]) -> None:
        """Ask the schedulers of these clusters soon: something was changed there."""

    async def settle(self, timeout_s: float) -> None:
        """Wait until every source has answered or failed, the probes of attended nodes included."""

    def save(self, name: str, text: str) -> str:
        """Write text to a new file in the working directory, never over another; return its path. OSError."""


class UiSettings(Protocol):
    """How the console looks and which keys it obeys; `console.config.UiSettings` is the real one."""

    @property
    def theme(self) -> str | None:
        """Name of a theme; None: by the terminal."""

    @property
    def keymap(self) -> dict[str, str]:
        """Action id to its keys, separated by commas."""

    @property
    def columns(self) -> dict[str, list[str]]:
        """Table to the ids of its columns, in order."""

    @property
    def ascii(self) -> bool | None:
        """Draw with ASCII only; None: when the locale is not UTF-8."""

    @property
    def refresh_s(self) -> float | None:
        """Pace of what is on screen, seconds."""
