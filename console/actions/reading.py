"""Reading the journal: its lines folded to attempts, once, or on and on while others write to it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import BinaryIO

import msgspec

from console.actions.journal import Journal, lines_of, unreadable
from console.model import Attempt, Entry

UNFINISHED_S = 3 * 86400.0
"""How long an attempt without an end is spoken of."""


def attempts(entries: Iterable[Entry]) -> dict[str, Attempt]:
    """Return the attempts by their ids, the oldest first."""
    found: dict[str, Attempt] = {}
    _take(entries, found)
    return {key: _as_it_lives(attempt) for key, attempt in found.items()}


def unfinished(found: Mapping[str, Attempt], now: float) -> list[Attempt]:
    """Return the attempts whose console ended within them, which nobody has taken back since, of the last days."""
    taken_back = {attempt.plan.undoes for attempt in found.values()}
    return [
        attempt
        for attempt in found.values()
        if attempt.ended_at is None and not attempt.alive and attempt.id not in taken_back
        and now - attempt.started_at < UNFINISHED_S
    ]  # fmt: skip


def _take(entries: Iterable[Entry], found: dict[str, Attempt]) -> set[str]:
    """Bring lines into the attempts; return the ids that they touch."""
    touched = set()
    for entry in entries:
        old = found.get(entry.attempt)
        new = _begun(entry) if entry.kind == "start" else None if old is None else _went_on(old, entry)
        if new is not None:
            found[entry.attempt] = new
            touched.add(entry.attempt)
    return touched


def _begun(entry: Entry) -> Attempt | None:
    if entry.plan is None:
        return None
    return Attempt(id=entry.attempt, by=entry.by, plan=entry.plan, reason=entry.reason, started_at=entry.at)


def _went_on(old: Attempt, entry: Entry) -> Attempt:
    replace = msgspec.structs.replace
    if entry.kind == "end":
        return replace(old, after=entry.after, unmet=entry.unmet, ended_at=entry.at, ended=entry.ended, alive=False)
    if entry.kind == "outcome":
        finished = old.finished if entry.step is None else (*old.finished, entry.step)
        return replace(old, outcomes=(*old.outcomes, *entry.outcomes), finished=finished)
    return old if entry.step is None else replace(old, begun=(*old.begun, entry.step))


def _as_it_lives(attempt: Attempt) -> Attempt:
    alive = _console_lives(attempt)
    return attempt if alive is attempt.alive else msgspec.structs.replace(attempt, alive=alive)


def _console_lives(attempt: Attempt) -> bool:
    if attempt.ended_at is not None or attempt.by is None or attempt.by.host != os.uname().nodename:
        return False
    try:
        os.kill(attempt.by.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Watch:
    """Reads a journal on and on: a look costs what was written since the last one."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._found: dict[str, Attempt] = {}
        self._file: BinaryIO | None = None

    def look(self) -> dict[str, Attempt]:
        """Return the attempts that are new or went on since the last look. Raises JournalError."""
        try:
            touched = self._older() if self._file is None else set()
            touched |= self._newer()
        except OSError as error:
            raise unreadable(self._journal.directory, error) from None
        for key, attempt in self._found.items():
            if attempt.ended_at is None and (now := _as_it_lives(attempt)) is not attempt:
                self._found[key] = now
                touched.add(key)
        return {key: attempt for key, attempt in self._found.items() if key in touched} if touched else {}

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _older(self) -> set[str]:
        """Read what was rotated away before the file that is written to now."""
        if not self._renewed() or self._file is None:
            return set()
        current = os.fstat(self._file.fileno()).st_ino
        old = (path.read_bytes() for path in self._journal.rotated() if path.stat().st_ino != current)
        return _take((entry for data in old for entry in lines_of(data)), self._found)

    def _newer(self) -> set[str]:
        touched: set[str] = set()
        while self._file is not None:
            whole, _, rest = self._file.read().rpartition(b"\n")
            touched |= _take(lines_of(whole), self._found)
            # A line that is not whole yet is read again: a full disk may take it back.
            self._file.seek(-len(rest), os.SEEK_CUR)
            if not self._renewed():
                break
        return touched

    def _renewed(self) -> bool:
        """Take up the file that is written to now, if it is another one; whether it is."""
        try:
            fresh = self._journal.path.open("rb")
        except FileNotFoundError:
            return False
        if self._file is not None:
            if os.path.sameopenfile(fresh.fileno(), self._file.fileno()):
                fresh.close()
                return False
            self._file.close()
        self._file = fresh
        return True
