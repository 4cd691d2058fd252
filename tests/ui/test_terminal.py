"""The console on a real terminal: tmux, a bare pty, signals."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import need_program
from tests.terminal import DEADLINE_S, QD, Tmux, running, wait_for


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """A console of 64 simulated nodes in tmux, 100×30."""
    need_program("tmux")
    with Tmux(tmp_path, (100, 30), "--simulate", "64") as server:
        yield server


@pytest.mark.real
def test_keys_resize_and_leave_in_tmux(tmux: Tmux) -> None:
    tmux.shows("SIMULATED")
    tmux.shows("gpu001")
    tmux.keys("j", "Space")
    tmux.shows("1 marked")
    tmux.keys("2")
    tmux.shows("REASON")
    tmux.keys("/")
    tmux.keys("-l", "state:running")
    tmux.keys("Enter")
    tmux.shows("/state:running")
    tmux.run("resize-window", "-x", "20", "-y", "5")
    tmux.shows("too small")
    tmux.run("resize-window", "-x", "160", "-y", "48")
    tmux.shows("NODELIST")
    tmux.keys("1", "?")
    tmux.shows("Keys of fleet")
    tmux.keys("Escape")
    wait_for(lambda: "Keys of fleet" not in tmux.text(), "help stays")
    # Typed ahead on a slow line: screens, filter and moves in one read.
    tmux.keys("2", "j", "j", "/", *"state:pending", "Enter", "g", "j", "j")
    tmux.shows("/state:pending  3/")
    tmux.keys("4", "G", "1", "Enter", ":", *"jobs", "Enter", "j", "/", *"gpus>1", "Enter")
    tmux.shows("/gpus>1")
    tmux.keys("q")
    wait_for(lambda: not running(tmux.pid), "q did not end it")


@pytest.mark.real
def test_the_window_is_closed(tmux: Tmux) -> None:
    tmux.shows("gpu001")
    tmux.run("kill-session")
    wait_for(lambda: not running(tmux.pid), "it outlived its window")


class Terminal:
    """A console on a bare pty of 100×30."""

    def __init__(self, **environ: str) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.environ.update({"LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **environ})
            os.execv(QD[0], [*QD, "--simulate", "16"])
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.output = b""
        self.status: int | None = None

    def read(self, until: bytes) -> None:
        """Read until something was written. TimeoutError."""
        end = time.monotonic() + DEADLINE_S
        while until not in self.output:
            ready, _, _ = select.select([self._master], [], [], 0.2)
            if ready:
                try:
                    self.output += os.read(self._master, 65536)
                except OSError:
                    break
            assert time.monotonic() < end, self.output[-500:]

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self._master)
        self._master = -1

    def end(self) -> int:
        """Wait until it ended; return its exit status as a shell says it."""
        end = time.monotonic() + DEADLINE_S
        while self.status is None:
            if self._master >= 0 and select.select([self._master], [], [], 0.05)[0]:
                try:
                    self.output += os.read(self._master, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            assert time.monotonic() < end, "it did not end"
            time.sleep(0.01)
        return self.status

    def close(self) -> None:
        """Leave nothing behind."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self._master >= 0:
            self.hang_up()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A console on a pty."""
    made = Terminal(XDG_STATE_HOME=str(tmp_path))
    yield made
    made.close()


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_and_restore_the_terminal(terminal: Terminal, number: signal.Signals) -> None:
    terminal.read(b"gpu001")
    os.kill(terminal.pid, number)
    assert terminal.end() == 128 + number
    assert b"\x1b[?1049l" in terminal.output
    assert b"Traceback" not in terminal.output


@pytest.mark.real
def test_a_terminal_that_is_gone_ends_it(terminal: Terminal, tmp_path: Path) -> None:
    terminal.read(b"gpu001")
    terminal.hang_up()
    terminal.end()
    assert not list(tmp_path.rglob("crash-*"))


@pytest.mark.real
def test_no_color_writes_no_colour_to_the_terminal(tmp_path: Path) -> None:
    terminal = Terminal(XDG_STATE_HOME=str(tmp_path), NO_COLOR="1")
    try:
        terminal.read(b"gpu001")
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.end()
    finally:
        terminal.close()
    parts = [part for found in terminal.output.split(b"\x1b[")[1:] if (part := found.partition(b"m"))[1]]
    colours = set()
    for codes, _, _ in parts:
        if codes.replace(b";", b"").isdigit():
            colours |= {int(code) for code in codes.split(b";")}
    assert colours <= {0, 1, 2, 3, 4, 7, 39, 49}, colours


def test_nothing_heavy_is_imported_before_the_first_paint() -> None:
    code = (
        "import sys, console.ui.app\n"
        "bad = [name for name in sys.modules if name.partition('.')[0] in "
        "('asyncssh', 'ClusterShell', 'pynvml', 'plugins', 'cryptography', 'httpx')]\n"
        "print(bad)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
