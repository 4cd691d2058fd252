"""The console on a real terminal: tmux, a bare pty, signals."""

from __future__ import annotations

import base64
import errno
import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyte
import pytest
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from console.ui.driver import Output
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


@pytest.mark.real
def test_detached_and_attached_again_in_another_size(tmux: Tmux) -> None:
    clients: list[Terminal] = []
    try:
        clients.append(Terminal(tmux.attach()))
        clients[0].read(b"gpu001")
        clients[0].press(b"jj ")
        tmux.shows("1 marked")
        tmux.run("detach-client")
        assert clients[0].end() == 0
        assert running(tmux.pid), "the console goes on without a terminal"
        tmux.keys("2")
        tmux.shows("REASON")
        clients.append(Terminal(tmux.attach()))
        clients[1].resize(140, 40)
        clients[1].read(b"NODELIST")
        clients[1].press(b"1")
        tmux.shows("1 marked")
        assert "SIMULATED" in tmux.text().splitlines()[0]
        assert len(tmux.text().splitlines()[0]) > 100, "it fills the new window"
        clients[1].press(b"q")
        wait_for(lambda: not running(tmux.pid), "q did not end it")
        clients[1].end()
    finally:
        for client in clients:
            client.close()


class Terminal:
    """A program on a bare pty of 100×30; the console, if nothing else is said."""

    def __init__(self, argv: Sequence[str] = (*QD, "--simulate", "16"), **environ: str) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.environ.update({"LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **environ})
            os.execvp(argv[0], list(argv))
        self.resize(100, 30)
        self.output = b""
        self.status: int | None = None

    def read(self, until: bytes) -> None:
        """Read until something was written."""
        self._read_until(lambda: until in self.output)

    def shows(self, what: Callable[[str], bool]) -> None:
        """Read until a line of the screen is so."""
        self._read_until(lambda: any(map(what, self.screen)))

    def _read_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            ready, _, _ = select.select([self._master], [], [], 0.2)
            if ready:
                try:
                    self.output += os.read(self._master, 65536)
                except OSError:
                    break
            assert time.monotonic() < end, self.output[-500:]

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        """Write what keys write."""
        os.write(self._master, keys)

    @property
    def screen(self) -> list[str]:
        """The lines that stand on a screen of 100×30 after all that was read."""
        screen = pyte.Screen(100, 30)
        # Questions and modes that this emulator would print instead of ignoring.
        known = re.sub(rb"\x1b\[[<=>?][0-9;]*(?:\$p|u|m|t)", b"", self.output)
        pyte.ByteStream(screen).feed(known)
        return [line.rstrip() for line in screen.display]

    def threads(self) -> int:
        """How many threads it has."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

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
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
def test_who_was_stopped_takes_the_terminal_up_again_and_hears_every_key(
    terminal: Terminal, number: signal.Signals
) -> None:
    terminal.read(b"gpu001")
    before = terminal.threads()
    for _ in range(3):
        terminal.output = b""
        os.kill(terminal.pid, number)
        wait_for(
            lambda: Path(f"/proc/{terminal.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it stops"
        )
        os.kill(terminal.pid, signal.SIGCONT)
        terminal.read(b"\x1b[?1049h")
        terminal.read(b"gpu001")
    # Two readers of one terminal would each get a part of the keys; each comes with a writer.
    assert terminal.threads() <= before + 2
    terminal.press(b"jjjjjjjjjjjjjjq")
    assert terminal.end() == 0


def test_what_is_written_to_a_terminal_that_is_gone_holds_nobody_up() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    writer = WriterThread(Output(Gone()))  # type: ignore[arg-type]
    writer.start()

    def write_and_stop() -> None:
        for _ in range(5 * MAX_QUEUED_WRITES):
            writer.write("x")
        writer.stop()

    stopping = threading.Thread(target=write_and_stop, daemon=True)
    stopping.start()
    stopping.join(DEADLINE_S)
    assert not stopping.is_alive()
    assert not writer.is_alive()


@pytest.mark.real
def test_no_color_writes_no_colour_to_the_terminal(tmp_path: Path) -> None:
    terminal = Terminal(XDG_STATE_HOME=str(tmp_path), NO_COLOR="1")
    try:
        terminal.read(b"gpu001")
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.end()
    finally:
        terminal.close()
    assert colour_codes(terminal.output) <= {0, 1, 2, 3, 4, 7, 39, 49}


def colour_codes(output: bytes) -> set[int]:
    """Return all numbers of SGR sequences."""
    found = re.findall(rb"\x1b\[([0-9;]*)m", output)
    return {int(code) for codes in found for code in codes.split(b";") if code}


@pytest.mark.real
def test_the_linux_console_gets_sixteen_colours_and_characters_of_its_fonts(tmp_path: Path) -> None:
    terminal = Terminal(XDG_STATE_HOME=str(tmp_path), TERM="linux", COLORTERM="")
    try:
        terminal.read(b"gpu001")
        terminal.press(b"j")
        terminal.shows(lambda line: line.split()[:2] == [">", "gpu002"])
        shown = terminal.screen
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.end()
    finally:
        terminal.close()
    codes = colour_codes(terminal.output)
    sixteen = {*range(30, 38), 39, *range(40, 48), 49, *range(90, 98), *range(100, 108)}
    assert codes <= {0, 1, 2, 3, 4, 7, 9, 22, 23, 24, 27, 29} | sixteen, "no 38;5 and no 38;2"
    assert codes & {31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96}, "it is not without colour"
    assert [line for line in shown if not line.isascii()] == []
    assert "SIMULATED" in shown[0]
    assert any("NODE" in line and "STATE" in line for line in shown)


@pytest.mark.real
def test_the_linux_console_draws_as_the_configuration_says(tmp_path: Path) -> None:
    terminal = Terminal(XDG_STATE_HOME=str(tmp_path), TERM="linux", COLORTERM="", QD_UI_ASCII="false")
    try:
        terminal.read("▶ ".encode())
        terminal.read("● busy".encode())
    finally:
        terminal.close()


@pytest.mark.real
def test_copying_writes_to_the_clipboard_of_the_terminal(terminal: Terminal) -> None:
    terminal.read(b"gpu002")
    terminal.press(b"jy")
    terminal.read(b"\x1b]52;c;" + base64.b64encode(b"gpu002"))
    terminal.press(b"  y")
    terminal.read(b"\x1b]52;c;" + base64.b64encode(b"gpu002\ngpu003"))


def test_nothing_heavy_is_imported_before_the_first_paint() -> None:
    code = (
        "import sys, console.ui.app\n"
        "bad = [name for name in sys.modules if name.partition('.')[0] in "
        "('asyncssh', 'ClusterShell', 'pynvml', 'plugins', 'cryptography', 'httpx')]\n"
        "print(bad)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
