"""Times as Slurm prints them under SLURM_TIME_FORMAT=%s, and its durations."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(?:(\d{1,9})-)?(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:\.\d{1,6})?)", re.ASCII)
_DAYS_ONLY = re.compile(r"(?:(\d{1,9})-(\d{1,9}))|(\d{1,12})", re.ASCII)
UNLIMITED = "unlimited"


def epoch(text: str) -> float | None:
    """Return Unix seconds; None for `N/A`, `Unknown`, `None`, 0 and anything that is no plain number."""
    if text.isascii() and text.isdigit() and len(text) < 13:
        return float(text) or None
    return None


def duration(text: str) -> float | None:
    """Return the seconds of `03:04.567`, `1:00:00`, `2-00:00:00`, `1-12` or minutes; None for anything else."""
    if match := _DURATION.fullmatch(text):
        days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return float(days * 86400 + hours * 3600 + minutes * 60 + seconds)
    if match := _DAYS_ONLY.fullmatch(text):
        if match[3] is not None:
            return float(match[3]) * 60.0
        return float(int(match[1]) * 86400 + int(match[2]) * 3600)
    return None


def limit(text: str) -> tuple[float | None, str | None]:
    """Return (seconds, None), or (None, why there are none)."""
    seconds = duration(text)
    if seconds is not None:
        return seconds, None
    return None, UNLIMITED if text.upper() in ("UNLIMITED", "INFINITE") else "not told by Slurm"
