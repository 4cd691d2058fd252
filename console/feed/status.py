"""How one source is doing, step by step: every step is a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from console.errors import QuarterdeckError
from console.feed.base import Sink
from console.feed.pace import state_of
from console.model import Batch, Records, SourceState, SourceStatus
from console.text import clean

LATE_FACTOR = 2.0
LATE_GRACE_S = 1.0
TEXT_LIMIT = 300
HINT_LIMIT = 4096
"""A hint may be a command that somebody copies: half of one is worse than none."""

CrashReport = Callable[[BaseException, str], str]
"""Keeps the traceback of what nobody foresaw, given what it happened in; returns where, or an empty string."""


class SourceTracker:
    """The status of one source; sends a batch whenever something about it changes."""

    def __init__(
        self,
        status: SourceStatus,
        sink: Sink,
        now: Callable[[], float],
        report: CrashReport,
    ) -> None:
        self.status = status
        self._sink = sink
        self.now = now
        self._report = report
        self._ended = True

    @property
    def answered(self) -> bool:
        """Whether it has answered or failed at least once."""
        return self.status.state is not SourceState.CONNECTING

    @property
    def is_ended(self) -> bool:
        """Whether it was let go, or never begun."""
        return self._ended

    def begin(self) -> None:
        """Say that it is asked for the first time, or again after it was let go."""
        if not self._ended:
            return
        self._ended = False
        self._send(
            self._changed(state=SourceState.CONNECTING, since=self.now(), error=None, hint=None, next_try_at=None)
        )

    def expect(self, period_s: float) -> None:
        """Wait at least this long before it counts as late; shown with the next batch."""
        if self.status.period_s is None or self.status.period_s < period_s:
            self.status = self._changed(period_s=period_s)

    def good(self, records: Records | None, **fields: Any) -> None:
        """Take an answer; `fields` are of SourceStatus."""
        now = self.now()
        status = self._changed(
            **fields,
            state=SourceState.OK,
            since=now if self.status.state is not SourceState.OK else self.status.since,
            observed_at=now,
            error=None,
            hint=None,
        )
        self._send(status, records)

    def failed(self, error: BaseException, delay_s: float, where: str, **fields: Any) -> None:
        """Take a failure and when it is tried again."""
        if isinstance(error, QuarterdeckError):
            state, text, hint = state_of(error), str(error), error.hint
        else:
            state = SourceState.ERROR
            text = f"unforeseen {type(error).__name__} in {where}: {_words(error)}"
            kept = self._report(error, where)
            hint = f"a fault of the program: see {kept}" if kept else "a fault of the program"
        now = self.now()
        status = self._changed(
            **fields,
            state=state,
            since=now if state is not self.status.state else self.status.since,
            error=clean(text, limit=TEXT_LIMIT),
            hint=clean(hint, limit=HINT_LIMIT) or None,
            next_try_at=now + delay_s,
        )
        self._send(status)

    def check_late(self, now: float, since: float = 0.0) -> bool:
        """Show LATE when nothing came for twice the period, not counting before `since`; whether that was news."""
        status = self.status
        if status.state is not SourceState.OK or status.observed_at is None or status.period_s is None:
            return False
        if now - max(status.observed_at, since) <= LATE_FACTOR * status.period_s + LATE_GRACE_S:
            return False
        self._send(self._changed(state=SourceState.LATE, since=now))
        return True

    def end(self) -> None:
        """Say that it is let go, on purpose."""
        if not self._ended:
            self._ended = True
            self._sink(Batch(status=self.status, ended=True))

    def _changed(self, **fields: Any) -> SourceStatus:
        fields = {name: _finite(value) for name, value in fields.items()}
        return msgspec.structs.replace(self.status, **fields)

    def _send(self, status: SourceStatus, records: Records | None = None) -> None:
        if self._ended:
            return
        self.status = status
        try:
            self._sink(Batch(status=status, records=records))
        except Exception as error:  # noqa: BLE001
            # A plugin's record that breaks the contract (a list for a text, None for a name) shows only where it
            # is merged; it may cost this answer, not the console.
            kept = self._report(error, f"{status.name}: taking its answer")
            self.status = msgspec.structs.replace(
                status,
                state=SourceState.ERROR,
                since=self.now(),
                error=clean(f"its answer breaks the contract: {_words(error)}", limit=TEXT_LIMIT),
                hint=f"a fault of the program: see {kept}" if kept else None,
            )
            self._sink(Batch(status=self.status))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _words(error: BaseException) -> str:
    try:
        return str(error) or "no further word"
    except Exception:  # noqa: BLE001 - an exception whose own text fails is still an exception to report
        return "no further word"
