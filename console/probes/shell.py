"""Nodes without a usable Python: `sh`, `cat` and a looping `nvidia-smi`, parsed on this side.

The console asks by one line per tick and gets the texts of some files of /proc; the same pure functions that
run on other nodes read them here. The end of standard input ends the script.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from console.errors import BadAnswer, SourceError, TimedOut
from console.model import Sample
from console.probes.decode import LINE_LIMIT_BYTES, Decoder
from console.probes.node import nvidia_smi
from console.probes.node.base import Files
from console.probes.node.disks import Disks
from console.probes.node.host import Host
from console.probes.node.mounts import NOT_ASKED, is_network, parse_mountinfo, parse_mountstats
from console.probes.node.network import Network
from console.transport.base import FLOOD_HINT, Channel

FACTS = ("/proc/sys/kernel/hostname", "/proc/sys/kernel/osrelease", "/etc/os-release")
FILES = (
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/stat",
    "/proc/meminfo",
    "/proc/pressure/cpu",
    "/proc/pressure/memory",
    "/proc/pressure/io",
    "/proc/net/dev",
    "/proc/diskstats",
    "/proc/self/mountinfo",
    "/proc/self/mountstats",
)
NO_PYTHON = "not read without Python on the node"
GPU_LEFT_OUT = {**nvidia_smi.unasked(nvidia_smi.BASIC, NO_PYTHON), "processes": NO_PYTHON}
READ_BY_SHELL = "none: read by sh"
TICK_LIMIT_BYTES = 4 << 20
GPU_MAX_AGE_S = 30.0


def script(hello: str) -> str:
    """Return the line for `sh`: the hello, then an answer for every line of input.

    When the channel is gone, whatever still writes to it ends by that: the loop of nvidia-smi within two rounds.
    `F path` begins a file, `T` is the clock, `G` a line of nvidia-smi, `E` the end of an answer.
    """
    smi = " ".join(["nvidia-smi", f"--loop={nvidia_smi.LOOP_S}", *nvidia_smi.arguments(list(nvidia_smi.BASIC))])
    return (
        f"echo; echo {hello}; "
        "if command -v nvidia-smi >/dev/null 2>&1; then "
        f'{smi} 2>&1 | while read -r l; do echo "G $l"; done & fi; '
        f'while read -r x; do case $x in quit) break;; first) a="{" ".join(FACTS)}";; *) a=;; esac; '
        f"for f in $a {' '.join(FILES)}; do "
        'if [ -r $f ]; then echo "F $f"; cat $f 2>/dev/null; echo; fi; done; '
        'echo "T $(date +%s)"; echo E; done'
    )


class Texts(Files):
    """Files whose texts came over the line."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}

    def text(self, path: str) -> str:
        """Return a file's text. Raises FileNotFoundError when it did not come."""
        try:
            return self.texts[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def names(self, path: str) -> list[str]:
        """Nothing is listed over the line."""
        return []

    def exists(self, path: str) -> bool:
        """Whether the file came."""
        return path in self.texts

    def target(self, path: str) -> str:
        """No link is followed over the line."""
        return ""


class ShellReader:
    """Builds whole states from the texts: pure, the same form as a probe's lines."""

    def __init__(self) -> None:
        self._files = Texts()
        self._host: Host | None = None
        self._network = Network(self._files)
        self._disks = Disks(self._files)
        self._gpus: dict[str, dict[str, Any]] = {}
        self._gpus_at = 0.0
        self._said = ""

    def gpu_line(self, line: str, now: float) -> None:
        """Take one line of nvidia-smi."""
        row = nvidia_smi.parse_row(list(nvidia_smi.BASIC), line, GPU_LEFT_OUT)
        if row is None:
            self._said = line.strip() or self._said
        else:
            self._gpus[str(row[0])], self._gpus_at = row[1], now

    def state(self, texts: dict[str, str], now: float) -> dict[str, Any]:
        """Return the state of one answer. Raises ValueError, IndexError for texts that are not of /proc."""
        self._files.texts.update(texts)
        if self._host is None:
            self._host = Host(self._files)
        host = self._host.read(now)
        host["missing"] = {**host.get("missing", {}), "power_w": NO_PYTHON}  # type: ignore[dict-item]
        state: dict[str, Any] = {
            "host": host,
            "cost": {"python": READ_BY_SHELL, "accelerators": "nvidia-smi" if self._gpus else "none"},
            "missing": {"rdma": NO_PYTHON},
            "at": {"network": now, "disks": now, "mounts": now},
            "mounts": self._mounts(),
        }
        for section, read in (("links", self._links), ("disks", self._disks.read)):
            try:
                state[section] = read()
            except OSError:
                state["missing"][section] = "not provided by this kernel"
        if self._gpus and now - self._gpus_at < GPU_MAX_AGE_S:
            state["accelerators"] = self._gpus
        else:
            said = f"nvidia-smi says: {self._said}" if self._said else "no nvidia-smi there"
            state["missing"]["accelerators"] = "nvidia-smi has fallen silent" if self._gpus else said
        return state

    def _links(self) -> dict[str, dict[str, Any]]:
        missing = {"rate_bits_per_s": NO_PYTHON, "state": NO_PYTHON}
        return {
            name: {**counters, "kind": "ethernet", "missing": missing}
            for name, counters in self._network.counters().items()
        }

    def _mounts(self) -> dict[str, dict[str, Any]]:
        try:
            mounts = parse_mountinfo(self._files.text("/proc/self/mountinfo"))
            nfs = parse_mountstats(self._files.texts.get("/proc/self/mountstats", ""))
        except OSError:
            return {}
        found = {}
        for path, mount in mounts.items():
            reason = NOT_ASKED if is_network(mount["type"]) else NO_PYTHON
            found[path] = {
                **mount,
                **nfs.get(path, {}),
                "state": "unchecked",
                "network": is_network(mount["type"]),
                "missing": {"total_bytes": reason, "free_bytes": reason},
            }
        return found


class ShellProbe:
    """A probe of a node without Python. `next` must not be called while another `next` waits.

    A pause ends the script, for its loop of nvidia-smi cannot be held; `reopen` starts it again afterwards.
    """

    def __init__(self, channel: Channel, node: str, period_s: float, reopen: Callable[[], Awaitable[Channel]]) -> None:
        self.node = node
        self._channel: Channel | None = channel
        self._period_s = period_s
        self._reopen = reopen
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._reader = ShellReader()
        self._decoder = Decoder(node)
        self._number = 0
        self._due = 0.0
        self._quick = True
        """The answer after the next one comes soon: rates need two."""
        self._hurry = asyncio.Event()

    async def next(self, timeout_s: float) -> Sample:
        """Ask when it is time, and return the answer. Raises SourceError, TimedOut after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        await self._pace(deadline)
        if not self._resumed.is_set():
            await self._rest(deadline)
        channel = self._channel
        if channel is None:
            channel = self._channel = await self._reopen()
            deadline = time.monotonic() + timeout_s
        self._due = time.monotonic() + (min(0.5, self._period_s) if self._quick else self._period_s)
        self._quick = False
        await channel.write(b"first\n" if self._number == 0 else b"next\n")
        texts, wall = await self._answer(channel, deadline)
        now = time.monotonic()
        self._number += 1
        try:
            state = self._reader.state(texts, now)
        except (ValueError, IndexError) as error:
            what = "the node's shell answered something that cannot be read"
            raise BadAnswer(what, self.node, "install python3 there: the probe then asks no shell") from error
        return self._decoder.apply(self._number, state, now, time.time() if wall is None else wall, time.time())

    async def _pace(self, deadline: float) -> None:
        self._hurry.clear()
        try:
            async with asyncio.timeout(max(0.0, min(self._due, deadline) - time.monotonic())):
                await self._hurry.wait()
        except TimeoutError:
            # The time has come.
            pass

    async def _rest(self, deadline: float) -> None:
        """End the script and wait until it is wanted again. Raises TimedOut."""
        await self.close()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await self._resumed.wait()
        except TimeoutError:
            raise TimedOut("paused", self.node, "it goes on when the console does") from None

    async def _answer(self, channel: Channel, deadline: float) -> tuple[dict[str, str], float | None]:
        files: dict[str, list[str]] = {}
        current: list[str] | None = None
        wall: float | None = None
        size = 0
        while True:
            raw = await channel.read_line(max(0.0, deadline - time.monotonic()), LINE_LIMIT_BYTES)
            size += len(raw) + 1
            if size > TICK_LIMIT_BYTES:
                raise BadAnswer("the node's shell answers without end", self.node, FLOOD_HINT)
            line = raw.decode("utf-8", "surrogateescape")
            if line == "E":
                return {path: "\n".join(lines).rstrip() for path, lines in files.items()}, wall
            if line.startswith("G "):
                self._reader.gpu_line(line[2:], time.monotonic())
            elif line.startswith("T "):
                wall = float(line[2:]) if line[2:].isdigit() else None
            elif line.startswith("F /"):
                current = files.setdefault(line[2:], [])
            elif current is not None:
                current.append(line)

    async def set_period(self, period_s: float) -> None:
        """Change the pace; a faster one takes effect at once."""
        if period_s < self._period_s:
            self._due = min(self._due, time.monotonic())
            self._hurry.set()
        self._period_s = period_s

    async def pause(self, paused: bool) -> None:
        """Let nothing be read on the node, or go on at once."""
        if not paused and not self._resumed.is_set():
            self._due = time.monotonic()
            self._quick = True
            self._resumed.set()
        elif paused:
            self._resumed.clear()
            self._hurry.set()

    async def close(self) -> None:
        """End the script. Never raises."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        try:
            async with asyncio.timeout(1.0):
                await channel.write(b"quit\n")
        except (SourceError, TimeoutError):
            # The line is dead already, and the script with it.
            pass
        await channel.close()
