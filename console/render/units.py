"""Numbers and times at a fixed width, so that a column never jumps.

Every function takes None and then returns `–` (the missing mark; `-` in ASCII mode): a value that is not
known is never shown as 0. Sizes are binary (K = 1024) as `free` and `df -h` say them; rates are decimal, as
vendors say them.
"""

from __future__ import annotations

import math
import time

MISSING = "–"

_BINARY = ("B", "K", "M", "G", "T", "P", "E")
_DECIMAL = ("", "k", "M", "G", "T", "P", "E")


def _usable(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _scaled(value: float, base: int, units: tuple[str, ...]) -> str:
    """Return at most five characters: three or four digits, perhaps a point, and the unit."""
    sign = "-" if value < 0 else ""
    value = abs(value)
    unit = 0
    # 999.5 would be shown as 1000: the next unit takes over before the rounding does.
    while value >= 999.5 and unit < len(units) - 1:
        value /= base
        unit += 1
    if unit == 0 or value >= 99.95:
        return f"{sign}{value:.0f}{units[unit]}"
    return f"{sign}{value:.1f}{units[unit]}"


def size(value: float | None, missing: str = MISSING) -> str:
    """Bytes in at most 5 characters: `71.2G`, `612G`, `0B`."""
    return _scaled(value, 1024, _BINARY) if value is not None and _usable(value) else missing


def rate(value: float | None, missing: str = MISSING) -> str:
    """A rate per second in at most 5 characters, decimal: `48.1G`, `312k`, `0`."""
    if value is None or not _usable(value):
        return missing
    if 0 < abs(value) < 9.95:
        return f"{value:.1f}"
    return _scaled(value, 1000, _DECIMAL)


def bits(value: float | None, missing: str = MISSING) -> str:
    """Bits per second as vendors name links: `400G`, `25G`, `1G`, `100M`."""
    if value is None or not _usable(value):
        return missing
    return _scaled(value, 1000, _DECIMAL).replace(".0", "")


def percent(value: float | None, missing: str = MISSING) -> str:
    """0–100 without sign, at most 3 characters; what is over 999 is shown as 999."""
    return f"{min(max(value, 0), 999):.0f}" if value is not None and _usable(value) else missing


def number(value: float | None, missing: str = MISSING) -> str:
    """A count: whole up to 99,999, then `123k`."""
    if value is None or not _usable(value):
        return missing
    return f"{value:.0f}" if abs(value) < 100_000 else _scaled(value, 1000, _DECIMAL)


def decimal(value: float | None, places: int = 1, missing: str = MISSING) -> str:
    """A plain number with fixed places: load, latency."""
    return f"{value:.{places}f}" if value is not None and _usable(value) else missing


def watts(value: float | None, missing: str = MISSING) -> str:
    """Power in at most 5 characters, in W below 10 kW and kW above: `688`, `5420`, `12.4k`."""
    if value is None or not _usable(value):
        return missing
    return f"{value:.0f}" if abs(value) < 9_999.5 else _scaled(value, 1000, _DECIMAL)


def celsius(value: float | None, missing: str = MISSING) -> str:
    """Whole degrees without sign: `64`."""
    return f"{value:.0f}" if value is not None and _usable(value) else missing


def milliseconds(value_s: float | None, missing: str = MISSING) -> str:
    """A latency given in seconds, in ms, at most 5 characters: `0.4`, `1.8`, `250`, `12k`."""
    if value_s is None or not _usable(value_s):
        return missing
    value = value_s * 1000
    return f"{value:.1f}" if value < 99.95 else _scaled(value, 1000, _DECIMAL)


def duration(seconds: float | None, missing: str = MISSING) -> str:
    """A span in at most 6 characters: `45s`, `12m34s`, `3h05m`, `2d03h`, `123d`."""
    if seconds is None or not _usable(seconds):
        return missing
    sign = "-" if seconds < 0 else ""
    total = int(abs(seconds))
    if total < 60:
        return f"{sign}{total}s"
    if total < 3600:
        return f"{sign}{total // 60}m{total % 60:02d}s"
    if total < 86400:
        return f"{sign}{total // 3600}h{total % 3600 // 60:02d}m"
    days = total // 86400
    return f"{sign}{days}d{total % 86400 // 3600:02d}h" if days < 100 else f"{sign}{days}d"


def age(seconds: float | None, missing: str = MISSING) -> str:
    """An age in at most 4 characters: `3s`, `12m`, `5h`, `2d`. A clock that runs ahead shows 0s."""
    if seconds is None or not _usable(seconds):
        return missing
    total = max(int(seconds), 0)
    for limit, step, unit in ((100, 1, "s"), (6000, 60, "m"), (172_800, 3600, "h")):
        if total < limit:
            return f"{total // step}{unit}"
    return f"{min(total // 86400, 999)}d"


def clock(at: float | None, now: float, missing: str = MISSING) -> str:
    """A local time in at most 11 characters: `14:02:31` within the last day, `11-23 09:15` before and after,
    or a date."""
    if at is None or not _usable(at) or not 0 <= at < 253_402_300_000:
        return missing
    local = time.localtime(at)
    if abs(now - at) < 300 * 86400:
        same_day = local[:3] == time.localtime(now)[:3]
        return time.strftime("%H:%M:%S" if same_day else "%m-%d %H:%M", local)
    return time.strftime("%Y-%m-%d", local)


def iso(at: float | None) -> str | None:
    """ISO-8601 UTC with whole seconds, as JSON has it: `2026-11-24T00:18:25Z`."""
    if at is None or not _usable(at) or not 0 <= at < 253_402_300_000:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
