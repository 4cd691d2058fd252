"""What a transport is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from console.model.base import Record

BUSY_HINT = "is the machine overloaded, or does one of its file systems hang?"
"""What to do about a program that says nothing, takes nothing or does not end."""
FLOOD_HINT = "run it there by hand and see what it prints"
"""What to do about a program that prints without end."""
ENDED_HINT = "run it there by hand; if it is killed, the machine's own log says by whom: memory may have run out"
"""What to do about a program that ended by itself and should not have."""


class Completed(Record, frozen=True):
    """A command that ran to its end."""

    exit_status: int
    """128 + signal number when a signal ended it, as a shell says it."""
    stdout: bytes
    stderr: bytes
    seconds: float


Output = Callable[[int, bytes], None]
"""Takes what a program prints, as it comes: 1 or 2 (standard output, standard error), and the bytes."""


class Channel(Protocol):
    """A running program whose output is read line by line."""

    async def read_line(self, timeout_s: float, limit_bytes: int = 1 << 20) -> bytes:
        """Return the next line without its newline.

        Raises TimedOut after `timeout_s`, BadAnswer when a line grows over `limit_bytes`, ConnectionLost with the
        last words of standard error when the program or the line ended.
        """

    async def write(self, data: bytes) -> None:
        """Send to its standard input. Raises ConnectionLost, and TimedOut when the far side stops reading."""

    async def close(self) -> None:
        """End the program and forget the channel. Never raises, never waits longer than two seconds."""


class Transport(Protocol):
    """One machine. `run` and `open` share one connection; both connect when they must."""

    name: str
    """`local`, or the host as the user names it."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        limit_bytes: int = 256 << 20,
    ) -> Completed:
        """Run a command to its end; any exit status is an answer.

        `argv` is a list; no shell reads it (over SSH it is quoted for the remote shell). `env` adds to the
        environment. Raises TimedOut (the command is killed), Unreachable, Denied, BadAnswer over `limit_bytes`.
        """

    async def open(self, argv: Sequence[str]) -> Channel:
        """Start a program and return its channel. Raises Unreachable, Denied, TimedOut."""

    async def close(self) -> None:
        """Close the connection and all that runs over it."""


class Streaming(Protocol):
    """A machine whose programs are watched while they run. Every transport is one."""

    name: str

    async def stream(
        self,
        argv: Sequence[str],
        *,
        output: Output,
        timeout_s: float | None = None,
        stdin: bytes = b"",
        leader: Sequence[str] = (),
    ) -> int:
        """Run a command to its end, hand on what it prints, and return its exit status (as in `Completed`).

        `timeout_s` counts from its start; None: it may take for ever. After it, and when this is cancelled, the
        program and all its children are told to end and soon made to. `leader` is what leads a command that may
        signal them, where they are somebody else's: `sudo -n -u alice`. Raises TimedOut, Unreachable, Denied.
        """
