"""A terminal to measure programs from outside: it writes keys and dates every chunk that comes back.

The time of a key is the time from the write to the chunk after which the screen shows its effect. While it is
awaited nothing is parsed, so that parsing takes no time from the measured program and moves no date.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType

import psutil
import pyte

_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<=>?][0-9;]*(?:\$p|u|m|t)")
"""Questions and modes that the emulator would print instead of ignoring."""


class Terminal:
    """A program in a pseudo-terminal with a screen of its own."""

    def __init__(
        self,
        argv: Sequence[str],
        columns: int = 160,
        rows: int = 48,
        env: dict[str, str] | None = None,
        cwd: str | None = None,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._rest = b""
        self.bytes = 0
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.set_blocking(master, False)
        self._master = master
        full = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LC_ALL": "C.UTF-8",
            **(env or {}),
        }
        full.pop("NO_COLOR", None)
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=full,
            cwd=cwd,
            start_new_session=True,
            close_fds=True,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- reading

    def chunk(self, timeout_s: float) -> tuple[float, bytes] | None:
        """Return the next bytes with the time they came, or None."""
        ready, _, _ = select.select([self._master], [], [], max(timeout_s, 0))
        at = time.perf_counter()
        if not ready:
            return None
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            return None
        self.bytes += len(data)
        return (at, data) if data else None

    def feed(self, data: bytes) -> None:
        """Let the screen show these bytes."""
        data = self._rest + data
        self._rest = b""
        cut = data.rfind(b"\x1b", max(0, len(data) - 24))
        if cut >= 0 and not re.search(rb"[@-Z\\^-~]", data[cut + 2 :]):
            data, self._rest = data[:cut], data[cut:]
        self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", data))

    def run(self, seconds: float) -> None:
        """Follow the program for so long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if got := self.chunk(left):
                self.feed(got[1])

    def wait(self, condition: Callable[[pyte.Screen], bool], timeout_s: float) -> float | None:
        """Return seconds from the start to the chunk after which the condition holds; None: it never does."""
        end = time.perf_counter() + timeout_s
        while (left := end - time.perf_counter()) > 0:
            got = self.chunk(min(left, 0.5))
            if got is None:
                if self.process.poll() is not None:
                    return None
                continue
            self.feed(got[1])
            if condition(self.screen):
                return got[0] - self.started
        return None

    @property
    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(self.screen.display)

    # ---- keys

    def press(self, keys: bytes) -> None:
        """Write keys and go on."""
        os.write(self._master, keys)

    def latency(self, keys: bytes, changed: Callable[[pyte.Screen], object], timeout_s: float = 3.0) -> float | None:
        """Return seconds from writing keys to the chunk after which `changed` is another value; or None."""
        while got := self.chunk(0):
            self.feed(got[1])
        before = changed(self.screen)
        began = time.perf_counter()
        os.write(self._master, keys)
        window = 0.25
        while time.perf_counter() - began < timeout_s:
            chunks: list[tuple[float, bytes]] = []
            until = time.perf_counter() + window
            while (left := until - time.perf_counter()) > 0:
                if got := self.chunk(left):
                    chunks.append(got)
            found: float | None = None
            for at, data in chunks:
                self.feed(data)
                if found is None and changed(self.screen) != before:
                    found = at - began
            if found is not None:
                return found
        return None

    # ---- cost

    def tree(self) -> list[psutil.Process]:
        """Return the program and all its descendants."""
        try:
            head = psutil.Process(self.process.pid)
            return [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        """Return CPU seconds of the whole tree so far, ended children included."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                if process.pid == self.process.pid:
                    total += times.children_user + times.children_system
        return total

    def rss_bytes(self) -> int:
        """Return the resident memory of the whole tree."""
        total = 0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total

    def measure(self, seconds: float) -> tuple[float, int, float]:
        """Follow it for so long; return CPU percent of a core, RSS, and bytes per second to the terminal."""
        cpu, sent, began = self.cpu_seconds(), self.bytes, time.perf_counter()
        self.run(seconds)
        passed = time.perf_counter() - began
        return (self.cpu_seconds() - cpu) / passed * 100, self.rss_bytes(), (self.bytes - sent) / passed

    def close(self) -> None:
        """End the program and everything it started."""
        for ending in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, ending)
            end = time.perf_counter() + 3
            while self.process.poll() is None and time.perf_counter() < end:
                self.chunk(0.05)
        self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._master)


def cursor_rows(screen: pyte.Screen) -> tuple[int, ...]:
    """Return the rows drawn in another way than most: where a table's cursor is, whatever its colours are."""
    styles = []
    for y in range(screen.lines):
        line = screen.buffer[y]
        cells = Counter((line[x].bg, line[x].reverse) for x in range(screen.columns))
        styles.append(cells.most_common(1)[0][0])
    usual = Counter(styles).most_common(1)[0][0]
    return tuple(y for y, style in enumerate(styles) if style != usual)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(round(share * len(ordered), 6)) - 1)]
