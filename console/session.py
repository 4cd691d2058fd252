"""One running console below its screens: plugins, connections, feed and store, wired together.

Cheap to construct; everything heavy is imported inside `start`, after the first paint.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from console.crash import write_crash
from console.errors import ConnectionLost, QuarterdeckError
from console.jobs import JobDesk
from console.model import Attention, Batch, SourceState, SourceStatus
from console.model.identity import NameRule
from console.store import Store
from console.store.view import PLAIN_KINDS
from console.text import clean

if TYPE_CHECKING:
    from console.actions.desk import ActionDesk, Surroundings
    from console.actions.running import RunDesk
    from console.config import Config
    from console.discover import Found
    from console.feed.hub import Feeding, Hub, ProbePace
    from console.feed.probing import NodeProbe
    from console.plugin import Backend, Site
    from console.transport.base import Streaming, Transport
    from console.transport.pool import TransportPool

SETTLE_STEP_S = 0.02
SLICE_S = 0.002
REST_S = 0.003
"""How long a big batch holds the loop at a stretch, and how long the screen then has it for itself."""
HEADLESS_VISIBLE = 64
"""Nodes that are probed without a screen although their telemetry is `visible`: as many as a screen shows."""
HEADLESS_PERIOD_S = 1.0
"""Rates need two samples; a command that waits for both should not wait long."""
HISTORY_S = 2.0
"""How long a command waits for accounting when everything else has answered."""
JOURNAL_S = 1.0
"""How often it is looked whether somebody has done something."""
CLOSE_FEED_S = 1.0
CLOSE_REST_S = 0.9
BIG_BATCH = 256
"""Records from which on a batch is applied in slices, so that keys are answered between them."""

_LIVE = (SourceState.OK, SourceState.LATE)
_DEFAULT_TELEMETRY: Mapping[str, str] = {"ssh": "all", "local": "all", "simulated": "off"}
"""By the kind of the backend; a scheduler's nodes are probed while somebody looks at them."""


def open_pool(config: Config) -> TransportPool:
    """Return the connections that a configuration describes; none is made yet. ConfigError for a bad file."""
    from console.transport.pool import TransportPool

    ssh = config.ssh
    return TransportPool(
        Path(os.path.expanduser(ssh.config)) if ssh.config else None,  # noqa: PTH111 - never raises
        max_connects=ssh.max_connects,
        connect_timeout_s=ssh.connect_timeout_s,
    )


class World:
    """What the core lends to plugins; `console.plugin.Site`."""

    def __init__(self, pool: TransportPool, environ: Mapping[str, str], cluster: str = "") -> None:
        self.environ = environ
        self.cluster = cluster
        self._pool = pool

    def which(self, program: str) -> str | None:
        """Return the path of a program on this host, or None."""
        return shutil.which(program, path=self.environ.get("PATH"))

    def transport(self, via: str | None = None) -> Transport:
        """Return the shared transport to `via`; None is this host."""
        return self._pool.local() if via is None else self._pool.get(via)

    def expand(self, nodeset: str) -> list[str]:
        """Return the node names of a nodeset. UsageError when it cannot be read."""
        from console.nodeset import expand

        return expand(nodeset)

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the sources ended: what a command's exit code says."""

    live: int
    failed: tuple[SourceStatus, ...]
    """Sources that failed or did not answer in time, each with its error."""

    @property
    def exit_code(self) -> int:
        """0 all answered; 1 some failed; 3 nothing reachable; 4 denied, and nothing else answered."""
        if not self.failed:
            return 0
        if self.live:
            return 1
        denied = any(status.state is SourceState.DENIED for status in self.failed)
        return 4 if denied else 3


Finder = Callable[["Site"], Awaitable["Found"]]


class Session:
    """A running console: `console.ui.live.LiveSession`.

    `headless`: nobody looks; a command waits for `settle` and reads the store. `find` and `environ` replace what is
    looked for and where, for tests.
    """

    def __init__(
        self,
        config: Config,
        *,
        headless: bool = False,
        environ: Mapping[str, str] | None = None,
        find: Finder | None = None,
        pace: ProbePace | None = None,
    ) -> None:
        self._config = config
        self._headless = headless
        self._environ = os.environ if environ is None else environ
        self._find = find
        self._pace = pace
        self._refresh_s = config.ui.refresh_s
        self._paused = False
        self._attention = Attention()
        self._hub: Hub | None = None
        self._pool: TransportPool | None = None
        self._backends: list[Backend] = []
        self.desk = JobDesk(())
        """Questions about single jobs."""
        self._actions: ActionDesk | None = None
        self._runner: RunDesk | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._backlog: dict[str, list[Batch]] = {}
        """Source to what waits behind a big batch of it."""
        self._applying: set[asyncio.Task[None]] = set()
        self._crashes: dict[str, str] = {}
        self.simulated = config.simulated
        self.notices: list[str] = []
        self.store = Store(self._node_rule())

    # ---- life

    def prepare(self) -> None:
        """Read the ssh configuration that is named, if one is: what is wrong with it is said before a screen opens.

        ConfigError. Without a named file there is nothing to find out, and the first paint need not wait for it.
        """
        if self._config.ssh.config is not None:
            self._pool = open_pool(self._config)

    async def start(self) -> None:
        """Open the backends and start the feed. Raises ConfigError or UsageError when nothing can be opened."""
        from console.feed.hub import Hub, ProbePace

        pool = self._pool = self._pool or open_pool(self._config)
        pace = self._pace or ProbePace(starting=self._config.ssh.max_connects)
        if self._headless:
            pace = replace(pace, attended_s=HEADLESS_PERIOD_S, others_s=HEADLESS_PERIOD_S)
        feedings = await self._open(pool)
        if self._pool is None:  # closed meanwhile
            await self.close()
            return
        self._hub = Hub(
            feedings,
            self._open_probe,
            node_key=self._node_rule(),
            pace=pace,
            report=self.report,
        )
        self._hub.set_refresh(None if self._headless else self._refresh_s)
        self._hub.pause(self._paused)
        self._hub.attend(self._attention)
        self._feeding = asyncio.create_task(self._hub.run(self._take), name="the feed")
        self._feeding.add_done_callback(self._done)
        if not self._headless:
            self._watching = asyncio.create_task(self._watch_journal(), name="watching the journal")
            self._watching.add_done_callback(self._done)

    async def settle(self, timeout_s: float) -> None:
        """Wait until every source has answered or failed, the probes of the nodes included; at most `timeout_s`.

        A probe has answered with its second sample: rates need two. Nodes whose telemetry is `visible` count as not
        asked, unless they are few.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while loop.time() < deadline:
            if self._hub is None or self._feeding is None or self._feeding.done():
                return
            targets = self._hub.targets
            if self._headless and targets and not self._attention.visible and len(targets) <= HEADLESS_VISIBLE:
                self.attend(Attention(visible=tuple(targets)))
            if self._hub.settled and not self._applying:
                deadline = min(deadline, loop.time() + HISTORY_S)
                if self._hub.all_told:
                    return
            await asyncio.sleep(SETTLE_STEP_S)

    async def close(self) -> None:
        """Stop the feed and close every connection; at most two seconds."""
        tasks = [*self._applying]
        tasks += [task for task in (self._feeding, self._watching) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_FEED_S + 0.1)
        closing = [asyncio.ensure_future(backend.close()) for backend in self._backends]
        if self._pool is not None:
            closing.append(asyncio.ensure_future(self._pool.close()))
        self._backends, self._pool, self._hub, self._feeding = [], None, None, None
        if closing:
            done, late = await asyncio.wait(closing, timeout=CLOSE_REST_S)
            for task in late:
                task.cancel()
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    self.report(error, "closing")

    # ---- acting

    @property
    def actions(self) -> ActionDesk:
        """The door to acting on what is open, made when first asked for. ConfigError for a bad policy file."""
        if self._actions is None:
            from console.actions.desk import ActionDesk

            self._actions = ActionDesk(self._backends, self.store, self._around())
        return self._actions

    @property
    def runner(self) -> RunDesk:
        """The door to running commands on nodes, made when first asked for. ConfigError for a bad policy file."""
        if self._runner is None:
            from console.actions.running import RunDesk

            self._runner = RunDesk(self._reach, self._around())
        return self._runner

    def _around(self) -> Surroundings:
        from console.actions.here import surroundings
        from console.config import config_dir

        read_only = "--read-only, or read_only in the configuration" if self._config.read_only else None
        return surroundings(self._environ, config_dir(self._environ), read_only=read_only)

    def _reach(self, address: str) -> Streaming:
        if self._pool is None:
            raise ConnectionLost("the console is closing", address, "start it again")
        return self._pool.get(address)

    def look_again(self, clusters: Collection[str]) -> None:
        """Ask the schedulers of these clusters soon: something was changed there."""
        if self._hub is not None:
            self._hub.look_again(clusters)

    async def _watch_journal(self) -> None:
        """Show what is done here and in other consoles of this user; say once what an earlier one left unfinished."""
        from console.actions.here import journal_here
        from console.actions.journal import JournalError
        from console.actions.reading import Watch, unfinished
        from console.actions.undo import can_be_undone

        watch = Watch(journal_here(self._environ))
        said: set[str] = set()
        try:
            while True:
                try:
                    found = await asyncio.to_thread(watch.look)
                except JournalError as error:
                    self.notices.append(error.in_one_line)
                    return
                if found:
                    self.store.keep_attempts(found)
                for attempt in unfinished(self.store.attempts, time.time()):
                    if attempt.id not in said:
                        said.add(attempt.id)
                        what = f"unfinished: {attempt.plan.action} of {attempt.id}: its console ended within it"
                        back = ", and can take back what was done" if can_be_undone(attempt.plan.action) else ""
                        self.notices.append(f"{what}; the Journal shows it{back}")
                await asyncio.sleep(JOURNAL_S)
        finally:
            watch.close()

    # ---- what the screens say

    def attend(self, attention: Attention) -> None:
        """Say what is on screen, marked and selected."""
        self._attention = attention
        if self._hub is not None:
            self._hub.attend(attention)

    def pause(self, paused: bool) -> None:
        """Stop asking, or go on."""
        self._paused = paused
        if self._hub is not None:
            self._hub.pause(paused)

    def set_refresh(self, period_s: float | None) -> None:
        """Override the pace; None: each source's own."""
        self._refresh_s = period_s
        if self._hub is not None:
            self._hub.set_refresh(period_s)

    def save(self, name: str, text: str) -> str:
        """Write text to a new file in the working directory, never over another; return its path. OSError."""
        stem, dot, suffix = name.replace("/", "-").lstrip(".").rpartition(".")
        if not dot:
            stem, suffix = suffix, ""
        for number in range(1, 1000):
            path = Path(f"{stem}-{number}{dot}{suffix}" if number > 1 else f"{stem}{dot}{suffix}").absolute()
            try:
                with path.open("x", encoding="utf-8", errors="replace") as file:
                    file.write(text)
            except FileExistsError:
                continue
            return str(path)
        raise FileExistsError(f"{name} and 998 more like it are there already")

    def report(self, error: BaseException, where: str) -> str:
        """Keep the traceback of what nobody foresaw, the same fault once, with one notice of it.

        Return the path of the file, an empty text when it could not be written.
        """
        fault = f"{where}: {type(error).__name__}"
        if fault not in self._crashes:
            try:
                self._crashes[fault] = str(write_crash(error, where=where, environ=self._environ))
            except OSError:
                self._crashes[fault] = ""
            kept = self._crashes[fault]
            self.notices.append(
                clean(f"unforeseen {type(error).__name__} in {where}" + (f": see {kept}" if kept else ""))
            )
        return self._crashes[fault]

    def outcome(self) -> Outcome:
        """Return how the sources are doing, for an exit code."""
        statuses = self.store.sources.values()
        live = sum(1 for status in statuses if status.state in _LIVE and not _asks_nobody(status))
        quiet = (*_LIVE, SourceState.UNSUPPORTED)
        return Outcome(live, tuple(status for status in statuses if status.state not in quiet))

    # ---- wiring

    async def _open(self, pool: TransportPool) -> list[Feeding]:
        """Open what is wanted; what cannot be opened costs one notice. Raises ConfigError, UsageError."""
        from console.discover import wanted
        from console.feed.hub import Feeding
        from console.registry import Registry

        site = World(pool, self._environ)
        find = self._find or (lambda where: wanted(self._config, Registry(), where))
        found = await find(site)
        self.notices += found.notices
        feedings = []
        failures: list[QuarterdeckError] = []
        for opening in found.openings:
            try:
                backend = opening.open(World(pool, self._environ, opening.cluster))
            except QuarterdeckError as error:
                failures.append(error)
                self.notices.append(f"{opening.cluster}: {error.in_one_line}")
                continue
            self._backends.append(backend)
            mode = (
                self._config.telemetry
                or opening.settings.telemetry
                or _DEFAULT_TELEMETRY.get(backend.kind.value, "visible")
            )
            feedings.append(Feeding(backend, mode))
        if failures and not feedings:
            raise failures[0]
        self.desk = JobDesk(self._backends)
        self._actions = None
        return feedings

    async def _open_probe(self, address: str, period_s: float, node: str) -> NodeProbe:
        from console.probes import open_probe

        pool = self._pool
        if pool is None:
            raise ConnectionLost("the console is closing", address, "start it again")
        return await open_probe(pool.get(address), period_s=period_s, node=node)

    def _node_rule(self) -> NameRule:
        from console.config import name_rule
        from console.model.identity import with_aliases

        return with_aliases(name_rule(self._config.node_name), self._config.node_aliases)

    def _take(self, batch: Batch) -> None:
        """Bring one batch to the store: at once, or in slices behind what is still coming in of its source."""
        name = batch.status.name
        waiting = self._backlog.get(name)
        if waiting is not None:
            waiting.append(batch)
        elif _size(batch) < BIG_BATCH:
            self.store.apply(batch)
        else:
            self._backlog[name] = [batch]
            task = asyncio.create_task(self._apply_backlog(name), name="taking a large answer")
            self._applying.add(task)
            task.add_done_callback(self._done)

    async def _apply_backlog(self, name: str) -> None:
        waiting = self._backlog[name]
        try:
            while waiting:
                began = time.perf_counter()
                for _ in self.store.apply_steps(waiting.pop(0)):
                    if time.perf_counter() - began > SLICE_S:
                        await asyncio.sleep(0 if self._headless else REST_S)
                        began = time.perf_counter()
        finally:
            del self._backlog[name]

    def _done(self, task: asyncio.Task[None]) -> None:
        """Report what ended a task of the session itself: a fault of ours, which may not go unseen."""
        self._applying.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.report(error, task.get_name())


def _size(batch: Batch) -> int:
    records = batch.records
    if records is None:
        return 0
    return (
        len(records.nodes)
        + len(records.jobs)
        + len(records.ended_jobs)
        + 16 * len(records.samples)
        + len(records.gone_jobs)
    )


def _asks_nobody(status: SourceStatus) -> bool:
    """Whether its answer says nothing about reaching anything: a plain list of hosts."""
    return status.node is None and status.kind in PLAIN_KINDS
