"""The journal: append-only JSON lines of what was tried and how it went.

    start     the whole plan, who, from where; on disk before the first step runs
    begin     a step is about to run
    outcome   how it went for each target of a step; on disk before the next one starts
    end       what the world looked like afterwards, and whether the plan's promise holds

An attempt has one id. A line is written whole or not at all; a console that is killed leaves an attempt without an
end, which the next start shows as unfinished. Several consoles write to one journal, and read it meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from console.errors import QuarterdeckError
from console.model import Entry
from console.text import clean

ROTATE_BYTES = 16 << 20
CURRENT = "journal.jsonl"
_ROTATED = "journal-*.jsonl"
_LOCK = "journal.lock"


class JournalError(QuarterdeckError):
    """The journal cannot be written; what it should have kept does not happen."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


class Journal:
    """One directory of journal files. Nothing is opened or made until the first line is written."""

    def __init__(self, directory: Path, rotate_bytes: int = ROTATE_BYTES) -> None:
        self.directory = directory
        self._rotate_bytes = rotate_bytes

    @property
    def path(self) -> Path:
        """The file that is written to."""
        return self.directory / CURRENT

    def append(self, entry: Entry, *, sync: bool = True) -> None:
        """Write one line; with `sync` it is on disk when this returns. Raises JournalError: then it is not there."""
        line = _encoder.encode(entry) + b"\n"
        try:
            fresh = self._make()
            with self._locked():
                fresh = self._rotate() or fresh
                self._write(line, sync=sync)
            if fresh and sync:
                _sync_directory(self.directory)
        except OSError as error:
            hint = "free some space or set XDG_STATE_HOME; nothing is changed without a journal"
            what = f"the journal cannot be written ({error.strerror or error})"
            raise JournalError(what, clean(str(self.path)), hint) from None

    def entries(self) -> Iterator[Entry]:
        """Yield every line that can be read, in the order of writing. Raises JournalError when there is no way in."""
        for data in self._files():
            yield from lines_of(data)

    def rotated(self) -> list[Path]:
        """Return the files before the one that is written to, the oldest first."""
        return sorted(self.directory.glob(_ROTATED))

    def _files(self) -> Iterator[bytes]:
        try:
            # First the current one: what is rotated away meanwhile is then found twice, and counted once.
            current = self.path.open("rb")
        except FileNotFoundError:
            current = None
        except OSError as error:
            raise unreadable(self.path, error) from None
        try:
            inode = os.fstat(current.fileno()).st_ino if current is not None else None
            for path in self.rotated():
                if path.stat().st_ino != inode:
                    yield path.read_bytes()
            if current is not None:
                yield current.read()
        except OSError as error:
            raise unreadable(self.directory, error) from None
        finally:
            if current is not None:
                current.close()

    # ---- writing

    def _make(self) -> bool:
        if self.directory.is_dir():
            return not self.path.exists()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _rotate(self) -> bool:
        try:
            if self.path.stat().st_size < self._rotate_bytes:
                return False
        except FileNotFoundError:
            return True
        taken = [path.stem.rpartition("-")[2] for path in self.rotated()]
        number = max((int(text) for text in taken if text.isdigit()), default=0) + 1
        # Numbers, not times: a clock that jumps back must not put the newest file first.
        self.path.rename(self.directory / f"journal-{number:06}.jsonl")
        return True

    def _write(self, line: bytes, *, sync: bool) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # somebody died within a line; ours is whole
            try:
                written = 0
                while written < len(line):
                    written += os.write(descriptor, line[written:])
                if sync:
                    os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


def lines_of(data: bytes) -> Iterator[Entry]:
    """Yield the lines that can be read; others were torn by a crash of the machine, or are of a release to come."""
    for line in data.split(b"\n"):
        if line:
            try:
                yield _decoder.decode(line)
            except msgspec.MsgspecError:
                continue


def unreadable(path: Path, error: OSError) -> JournalError:
    """Return what to raise when there is no way in."""
    return JournalError(f"cannot be read ({error.strerror})", clean(str(path)), "it must be this user's own")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_id(now: float) -> str:
    """Return the id of a plan and its attempt: its time and four random digits, short enough to type."""
    return f"{time.strftime('%m%d-%H%M%S', time.gmtime(now))}-{os.urandom(2).hex()}"
