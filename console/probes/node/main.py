"""The loop on the node: a line per tick, commands on standard input, and a sure end.

Commands: `here` (somebody is there), `period SECONDS`, `pause` (no tick, nothing is read), `resume`, `quit`.
A line is `{"n": …, "t": monotonic, "w": wall clock, "p": patch}`; `p` is a JSON merge patch (RFC 7396) onto
what was sent before, `"full": 1` says that it starts from nothing. What is not known is absent and has a
reason in `missing`.
"""

import errno
import json
import os
import select
import signal
import sys
import time

from console.probes.node.accelerators import Accelerators
from console.probes.node.base import Files, Worker, why
from console.probes.node.cost import Cost, be_humble, resident_bytes
from console.probes.node.disks import Disks
from console.probes.node.host import Host
from console.probes.node.mounts import Mounts
from console.probes.node.network import Network
from console.probes.node.rdma import Rdma

FULL_EVERY = 256
GRACE_S = 0.3
"""How long a tick waits for its sensors; who is later is in the next one."""
SECOND_TICK_S = 0.5
"""The first rates need a second reading; they should not wait for a whole long period."""
PATIENCE_S = 6.0
LEASE_S = 300.0
"""The console says something at least every minute; when it falls silent, nobody is there any more."""
CHECK_EVERY_S = 30.0
"""How often it looks whether somebody is there, however rare the ticks are."""
FACTS_EVERY_S = 10.0
PERIOD_MIN_S, PERIOD_MAX_S = 0.2, 3600.0
CHUNK = 4096
"""What a pipe takes without blocking once it says that it is writable."""


def merge_patch(old: "dict[str, Any]", new: "dict[str, Any]") -> "dict[str, Any]":
    """Return the JSON merge patch (RFC 7396) that makes `new` of `old`. Neither holds None."""
    patch = {}  # type: dict[str, Any]
    for key in old:
        if key not in new:
            patch[key] = None
    for key, value in new.items():
        before = old.get(key)
        if before is value or (before == value and type(before) is type(value)):
            continue
        patch[key] = merge_patch(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return patch


class Sampler:
    """All sensors of this node; `sample` is one reading of everything."""

    def __init__(self, files: Files, load_nvml: "Callable[[], Any] | None") -> None:
        self._host = Host(files)
        self._network = Network(files)
        self._facts = Worker("network", self._network.facts)
        rdma = Rdma(files)
        self._rdma = Worker("rdma", rdma.read)
        self._disks = Worker("disks", Disks(files).read)
        self._mounts = Mounts(files)
        self.accelerators = Accelerators(files, load_nvml)

    def sample(self, patience_s: float) -> "dict[str, Any]":
        """Return every section of the line, the times of their counters (`at`), and what is missing."""
        now = time.monotonic()
        state = {"at": {}, "missing": {}}  # type: dict[str, Any]
        started = [worker for worker in (self._rdma, self._disks) if worker.ask(now)]
        started += [self._facts] if self._facts.ask(now, FACTS_EVERY_S) else []
        for section, ask in (("mounts", self._mounts.ask), ("accelerators", self.accelerators.ask)):
            self._sensor(state, section, lambda ask=ask: started.extend(ask(now)))  # type: ignore[misc]
        self._sensor(state, "host", lambda: state.update(host=self._host.read()))
        until = now + GRACE_S
        for worker in started:
            worker.wait(until)
        now = time.monotonic()
        self._sensor(state, "links", lambda: self._read_links(state, now, patience_s))
        self._read_worker(state, "disks", self._disks, now, patience_s)
        self._sensor(state, "mounts", lambda: self._read_mounts(state, now, patience_s))
        self._sensor(state, "accelerators", lambda: self._read_accelerators(state, now, patience_s))
        return state

    def _sensor(self, state: "dict[str, Any]", section: str, read: "Callable[[], Any]") -> None:
        try:
            read()
        except Exception as error:  # whatever breaks in one sensor must not cost the others
            state["missing"][section] = why(error)

    def _read_worker(
        self, state: "dict[str, Any]", section: str, worker: Worker, now: float, patience_s: float
    ) -> None:
        """Take what a worker read last into a section, or say why there is nothing."""
        if worker.silent_for(now) > patience_s:
            state["missing"][section] = "no answer for longer than %d s" % patience_s
        elif worker.error is not None:
            state["missing"][section] = worker.error
        elif worker.value:
            state.setdefault(section, {}).update(worker.value)
            state["at"][worker.name] = round(worker.at or now, 3)

    def _read_links(self, state: "dict[str, Any]", now: float, patience_s: float) -> None:
        facts = self._facts.value or {}
        links = {}
        state["at"]["network"] = round(time.monotonic(), 3)
        for name, counters in self._network.counters().items():
            links[name] = dict(facts.get(name, {"kind": "ethernet"}))
            links[name].update(counters)
        state["links"] = links
        self._read_worker(state, "links", self._rdma, now, patience_s)

    def _read_mounts(self, state: "dict[str, Any]", now: float, patience_s: float) -> None:
        state["mounts"] = self._mounts.read(now, patience_s)
        state["at"]["mounts"] = round(time.monotonic(), 3)

    def _read_accelerators(self, state: "dict[str, Any]", now: float, patience_s: float) -> None:
        found, reason = self.accelerators.read(now, patience_s)
        state["accelerators"] = found
        if reason:
            state["missing"]["accelerators"] = reason


class Loop:
    """Ticks, writes when the console takes it, listens, and ends when nobody is there."""

    def __init__(self, sampler: Sampler, settings: "dict[str, Any]") -> None:
        self._sampler = sampler
        self._asked_s = self._limit(float(settings["period_s"]))
        self._cost = Cost(float(settings["budget_percent"]))
        self._parent = os.getppid()
        self._heard_at = time.monotonic()
        self._sent = {}  # type: dict[str, Any]
        self._number = 0
        self._out = b""
        self._in = b""
        self._paused = False
        self._due_now = False
        self._quick = True
        """The tick after the next one comes soon: rates need two."""

    @staticmethod
    def _limit(period_s: float) -> float:
        return min(PERIOD_MAX_S, max(PERIOD_MIN_S, period_s))

    def run(self) -> None:
        """Run until standard input ends, the console says `quit`, falls silent, or nobody reads any more."""
        due = time.monotonic()
        while True:
            now = time.monotonic()
            if os.getppid() != self._parent or now - self._heard_at > LEASE_S:
                return
            if now >= due and not self._paused:
                # While the console does not take the last line it gets no other: drop rather than queue.
                if not self._out:
                    self._tick()
                period = self._asked_s * self._cost.stretch
                due = max(due, now - period) + (min(period, SECOND_TICK_S) if self._quick else period)
                self._quick = False
            rest = CHECK_EVERY_S if self._paused else min(CHECK_EVERY_S, max(0.0, due - time.monotonic()))
            readable, writable, _ = select.select([0], [1] if self._out else [], [], rest)
            if writable:
                self._out = self._out[os.write(1, self._out[:CHUNK]) :]
            if readable and not self._listen():
                return
            if self._due_now:
                self._due_now, due = False, time.monotonic()

    def _listen(self) -> bool:
        data = os.read(0, CHUNK)
        if not data:
            return False
        self._heard_at = time.monotonic()
        lines = (self._in + data).split(b"\n")
        self._in = lines.pop()[:CHUNK]
        for line in lines:
            words = line.split()
            if words == [b"quit"]:
                return False
            if words in ([b"pause"], [b"resume"]):
                self._set_paused(words == [b"pause"])
            elif len(words) == 2 and words[0] == b"period":
                self._set_period(words[1])
        return True

    def _set_paused(self, paused: bool) -> None:
        if paused and not self._paused:
            self._sampler.accelerators.rest()
        elif self._paused and not paused:
            # The first rates after a pause are means over all of it; a second tick soon shows what is now.
            self._due_now = self._quick = True
        self._paused = paused

    def _set_period(self, word: bytes) -> None:
        try:
            period = self._limit(float(word))
        except ValueError:
            return
        self._due_now = self._due_now or period < self._asked_s
        self._asked_s = period

    def _tick(self) -> None:
        patience = max(PATIENCE_S, 2.0 * self._asked_s)
        state = self._sampler.sample(patience)
        cost = self._cost.measure(self._asked_s)
        cost.update(
            rss_bytes=resident_bytes(),
            python="%d.%d.%d" % sys.version_info[:3],
            accelerators=self._sampler.accelerators.kind,
            period_s=round(self._asked_s * self._cost.stretch, 2),
        )
        state["cost"] = cost
        full = self._number % FULL_EVERY == 0
        self._number += 1
        line = {
            "n": self._number,
            "t": round(time.monotonic(), 3),
            "w": round(time.time(), 3),
            "p": state if full else merge_patch(self._sent, state),
        }
        if full:
            line["full"] = 1
        self._sent = state
        self._out = json.dumps(line, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
        self._cost.sent += len(self._out)


def run(settings: "dict[str, Any]", load_nvml: "Callable[[], Any] | None") -> None:
    """Sample until the end; never returns. `settings`: period_s, budget_percent, root."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    be_humble()
    sampler = None
    try:
        sampler = Sampler(Files(str(settings.get("root", ""))), load_nvml)
        Loop(sampler, settings).run()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EBADF):
            raise
    finally:
        if sampler is not None:
            sampler.accelerators.end()
        if sys.exc_info()[0] is not None:
            sys.excepthook(*sys.exc_info())
        # A thread in the middle of a hanging call would keep an orderly exit waiting.
        os._exit(0 if sys.exc_info()[0] is None else 1)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
