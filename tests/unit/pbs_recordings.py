"""What a real OpenPBS printed: output, words on standard error and exit status of commands, and how to run a reader."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

from console.transport.base import Completed

FIXTURES = Path(__file__).parent.parent / "fixtures" / "openpbs"

T = TypeVar("T")


def recording(name: str) -> bytes:
    """Return what a command printed."""
    return (FIXTURES / name).read_bytes()


def completed(name: str) -> Completed:
    """Return a recorded command as it ended."""
    path = FIXTURES / name
    meta = path.with_name(f"{path.name}.meta").read_text()
    status = next(line for line in meta.splitlines() if line.startswith("exit_code:"))
    words = path.with_name(f"{path.name}.stderr")
    return Completed(
        exit_status=int(status.partition(":")[2]),
        stdout=path.read_bytes(),
        stderr=words.read_bytes() if words.exists() else b"",
        seconds=0.02,
    )


def run(steps: Generator[None, None, T]) -> T:
    """Run a reader to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
