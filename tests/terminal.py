"""The console in a real terminal: tmux, whose screen can be read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

QD = [sys.executable, "-c", "from console.cli import main; raise SystemExit(main())"]
DEADLINE_S = 30.0


def wait_for(what: Callable[[], object], why: str, seconds: float = DEADLINE_S) -> None:
    """Wait until it holds; AssertionError when it does not in time."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {why}"
        time.sleep(0.05)


def running(pid: int) -> bool:
    """Whether a process runs that is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class Tmux:
    """A console in a tmux server of its own; a context manager, after which neither is there any more."""

    def __init__(
        self, folder: Path, size: tuple[int, int], *arguments: str, environ: Mapping[str, str] | None = None
    ) -> None:
        """`arguments` of the command `qd`; `environ` replaces this process's environment. `folder` holds the socket."""
        self._socket = str(folder / "tmux")
        self._environ = {**(os.environ if environ is None else environ), "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
        width, height = map(str, size)
        self.run("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, *QD, *arguments)
        self.pid = int(self.run("display-message", "-p", "#{pane_pid}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, timeout=20, check=False)
        wait_for(lambda: not running(self.pid), "the console ends with its terminal")

    def run(self, *arguments: str) -> str:
        """Give tmux a command; return what it says."""
        command = ["tmux", "-S", self._socket, *arguments]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    def text(self) -> str:
        """What stands on the screen."""
        return self.run("capture-pane", "-p")

    def attach(self) -> list[str]:
        """Return the command that shows it in a terminal."""
        return ["tmux", "-S", self._socket, "attach"]

    def line(self, start: str) -> str:
        """The first line on the screen whose first word is this one, marks of the cursor left out; else empty."""
        return next((line for line in self.text().splitlines() if line.lstrip(" ▶").startswith(f"{start} ")), "")

    def keys(self, *keys: str) -> None:
        """Press keys."""
        self.run("send-keys", *keys)

    def shows(self, *texts: str, seconds: float = DEADLINE_S) -> None:
        """Wait until all stand on the screen together."""

        def there() -> bool:
            screen = self.text()
            return all(text in screen for text in texts)

        try:
            wait_for(there, f"shows {texts}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None
