"""The time at which a line was written, where the line says it, and times that somebody asks for. Pure.

Times are compared as they stand in the log: seconds since 1970 as if its clock were UTC. Only those that are counted
from 1970 have no clock of their own; they are taken as this machine's local time.
"""

from __future__ import annotations

import re
import time
from calendar import timegm
from datetime import datetime
from typing import NamedTuple

from console import spans
from console.errors import UsageError

HEAD = 96
"""Characters of a line in which its time may stand."""
DAY_S = 86_400.0
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLOCK = r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)(?P<part>[.,]\d{1,9})?"
_DATED = re.compile(
    rf"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<sep>[-/])(?P<month>\d\d)(?P=sep)(?P<day>\d\d)[T ]{_CLOCK}", re.ASCII
)
_GLOG = re.compile(rf"(?:^|[\s\[:])[IWEFD](?P<month>\d\d)(?P<day>\d\d) {_CLOCK}", re.ASCII)
_SYSLOG = re.compile(rf"(?:^|\[)(?P<name>{'|'.join(_MONTHS)}) {{1,2}}(?P<day>\d{{1,2}}) {_CLOCK}", re.ASCII)
_EPOCH = re.compile(r"(?:^\[?|\"(?:ts|time|timestamp)\" ?: ?)(1\d{9})(?:(\d{3})|\.(\d{1,9}))?(?!\d)", re.ASCII)
_TIME = re.compile(rf"^(?:\[[A-Za-z]{{0,16}} ?|[A-Z]{{4,8}} )?{_CLOCK}(?=[\] ,|:-]|$)", re.ASCII)


class Stamp(NamedTuple):
    """When a line was written."""

    at: float
    """Seconds; of the day when it has no date."""
    dated: bool = True


def read(line: str, now: float | None = None) -> Stamp | None:
    """Return the time of a cleaned line. `now` tells the year where a line does not (default: the clock)."""
    head = line[:HEAD]
    if match := _DATED.search(head):
        return _stamp(int(match["year"]), int(match["month"]), int(match["day"]), match)
    if match := _GLOG.search(head):
        return _of_year(int(match["month"]), match, now)
    if match := _SYSLOG.search(head):
        return _of_year(_MONTHS.index(match["name"]) + 1, match, now)
    if match := _EPOCH.search(head):
        at = int(match[1]) + float(f"0.{match[2] or match[3] or 0}")
        return Stamp(at + time.localtime(at).tm_gmtoff)
    if match := _TIME.match(head):
        return Stamp(_clock(match), dated=False)
    return None


def _clock(match: re.Match[str]) -> float:
    part = float(f"0.{match['part'][1:]}") if match["part"] else 0.0
    return int(match["hour"]) * 3600 + int(match["minute"]) * 60 + int(match["second"]) + part


def _stamp(year: int, month: int, day: int, match: re.Match[str]) -> Stamp | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return Stamp(timegm((year, month, day, 0, 0, 0, 0, 1, 0)) + _clock(match))


def _of_year(month: int, match: re.Match[str], now: float | None) -> Stamp | None:
    """Return the time of the latest year in which it does not lie in the future."""
    now = time.time() if now is None else now
    year = time.gmtime(now).tm_year
    found = _stamp(year, month, int(match["day"]), match)
    return _stamp(year - 1, month, int(match["day"]), match) if found and found.at > now + 2 * DAY_S else found


class Moment(NamedTuple):
    """A time that somebody asks for. One of the three is set."""

    ago_s: float | None = None
    """Before the last line that has a time."""
    clock_s: float | None = None
    """Of the day of the last line, or of the day before when it is later than that line."""
    at: float | None = None

    def before(self, last: Stamp) -> float:
        """Return it as the log would write it, whose last line was written at `last`. Raises UsageError."""
        if self.ago_s is not None:
            return last.at - self.ago_s
        if self.clock_s is not None:
            if not last.dated:
                return self.clock_s
            at = last.at - last.at % DAY_S + self.clock_s
            return at if at <= last.at else at - DAY_S
        if not last.dated:
            raise UsageError("its lines say the time without a date", "time", "give the time alone: 14:02")
        return self.at or 0.0

    def epoch(self, now: float | None = None) -> float:
        """Return it as seconds since 1970: before now, and by the clock of this machine."""
        now = time.time() if now is None else now
        if self.ago_s is not None:
            return now - self.ago_s
        offset = time.localtime(now).tm_gmtoff
        return self.before(Stamp(now + offset)) - offset


_HOUR = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


def moment(text: str) -> Moment:
    """Return the time of `10m`, `1h30m`, `14:02`, `14:02:31` or `2026-11-24[T14:02[:31]]`. Raises UsageError."""
    words = text.strip()
    if (span := spans.read(words)) is not None:
        return Moment(ago_s=span.seconds)
    if match := _HOUR.fullmatch(words):
        return Moment(clock_s=int(match[1]) * 3600.0 + int(match[2]) * 60.0 + int(match[3] or 0))
    try:
        # The zone is that of the log, whatever it is: a time is mostly copied from there.
        return Moment(at=float(timegm(datetime.fromisoformat(words.replace(",", ".")).timetuple())))
    except ValueError:
        hint = "10m (before its end), 14:02, 14:02:31 or 2026-11-24T14:02"
        raise UsageError(f"{words!r} is no time", "time", hint) from None
