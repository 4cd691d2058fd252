"""Counters to rates: two readings of one connection, and what can go wrong between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NEEDS_TWO = "needs a second reading"
COUNTED_ANEW = "the counter began anew"

LINK_RATES = {
    "rx_bytes": ("rx_bytes_per_s", 1.0),
    "tx_bytes": ("tx_bytes_per_s", 1.0),
}
LINK_ERROR_RATES = {"errors": ("errors_per_s", 1.0), "drops": ("drops_per_s", 1.0)}
DISK_RATES = {
    "read_bytes": ("read_bytes_per_s", 1.0),
    "write_bytes": ("write_bytes_per_s", 1.0),
    "busy_ms": ("busy_percent", 0.1),
}
NFS_RATES = {
    "requests": ("ops_per_s", 1.0),
    "read_bytes": ("read_bytes_per_s", 1.0),
    "write_bytes": ("write_bytes_per_s", 1.0),
}


def grown(old: float, new: float) -> float | None:
    """Return by how much a counter grew; None when it began anew.

    A counter just below 2^32 or 2^64 that is now small went round; any other that is lower was set back.
    """
    if new >= old:
        return new - old
    for top in (1 << 32, 1 << 64):
        if old < top and new + top - old < 1 << 30:
            return new + top - old
    return None


class Counters:
    """The last reading of one thing's counters and the rates that it led to."""

    __slots__ = ("at", "missing", "rates", "values")

    def __init__(self) -> None:
        self.at: float | None = None
        self.values: dict[str, float] = {}
        self.rates: dict[str, float] = {}
        self.missing: dict[str, str] = {}

    def advance(self, at: float, item: Mapping[str, Any], spec: Mapping[str, tuple[str, float]]) -> bool:
        """Take a reading and return whether the rates are others now.

        A reading of the same or an earlier time is no new reading: the rates stand. A counter that began anew
        has no rate for this once.
        """
        if self.at is not None and at <= self.at:
            return False
        elapsed = None if self.at is None else at - self.at
        rates: dict[str, float] = {}
        missing: dict[str, str] = {}
        values: dict[str, float] = {}
        for counter, (field, scale) in spec.items():
            value = item.get(counter)
            if value is None:
                continue
            values[counter] = value
            old = self.values.get(counter)
            if elapsed is None or old is None:
                missing[field] = NEEDS_TWO
                continue
            more = grown(old, value)
            if more is None:
                missing[field] = COUNTED_ANEW
            else:
                rates[field] = round(more * scale / elapsed, 3) if more else 0.0
        changed = rates != self.rates or missing != self.missing
        self.at, self.values, self.rates, self.missing = at, values, rates, missing
        return changed


class NfsWatch:
    """Tells from one NFS mount's sums how its server answers."""

    SLOW_RTT_S = 0.25
    HUNG_AFTER_S = 10.0

    __slots__ = (
        "_alive_at",
        "_connects",
        "_floor",
        "_last",
        "_received",
        "retransmits_per_s",
        "rtt_s",
        "state",
    )

    def __init__(self) -> None:
        self.state = "ok"
        self.rtt_s: float | None = None
        self.retransmits_per_s: float | None = None
        self._last: tuple[float, int, int, int] | None = None
        self._received: int | None = None
        self._alive_at = 0.0
        self._floor = 0
        self._connects = 0

    @property
    def verdict(self) -> tuple[str, float | None, float | None]:
        """State, round trip in seconds, retransmits per second."""
        return self.state, self.rtt_s, self.retransmits_per_s

    def advance(self, at: float, item: Mapping[str, Any]) -> None:
        """Take a reading. Raises TypeError, KeyError when it is no reading of an NFS mount."""
        requests, rtt_ms = item["requests"], item["rtt_ms"]
        transmissions = item["transmissions"]
        if self._last is not None and at > self._last[0]:
            before, old_requests, old_rtt_ms, old_transmissions = self._last
            done = requests - old_requests
            # No request, no round trip; and sums that began anew (mounted again) say nothing for this once.
            self.rtt_s = (rtt_ms - old_rtt_ms) / done / 1000.0 if done > 0 and rtt_ms >= old_rtt_ms else None
            again = transmissions - old_transmissions - done
            self.retransmits_per_s = max(0.0, again / (at - before)) if done >= 0 else None
        self._last = (at, requests, rtt_ms, transmissions)
        self._judge(at, item["sent"], item["received"], item["connects"])

    def _judge(self, at: float, sent: int, received: int, connects: int) -> None:
        """Hung: questions or attempts to connect are out, and for a while no answer came.

        Answers lost with a connection stay missing for ever, so what counts is what is out beyond those.
        """
        outstanding = sent - received
        if self._received is None or received != self._received:
            first = self._received is None
            self._floor = outstanding if first else min(self._floor, outstanding)
            if connects != self._connects:
                self._floor = outstanding
            self._received, self._alive_at, self._connects = received, at, connects
        waiting = outstanding > self._floor or connects > self._connects
        if not waiting:
            # Idle: silence is no sign, and counts from when there is a question.
            self._alive_at = at
        silent = at - self._alive_at
        if silent >= self.HUNG_AFTER_S:
            self.state = "hung"
        elif self.rtt_s is not None and self.rtt_s >= self.SLOW_RTT_S:
            self.state = "slow"
        else:
            self.state = "ok"
