"""Values that actions take, read once in one notation for every backend. Pure."""

from __future__ import annotations

import re

from console import spans
from console.errors import UsageError
from console.text import clean

UNLIMITED = "unlimited"
_CLOCK = re.compile(r"(?:(\d{1,4})-)?(\d{1,4})(?::(\d{1,2}))?(?::(\d{1,2}))?", re.ASCII)
_HINT = "90 (minutes), 90m, 12h, 1d12h, 12:00:00, 1-12:00:00 or unlimited"


def canonical(action: str, value: str | None) -> str | None:
    """Return a value as `Order.value` carries it: a time limit in whole seconds, or `unlimited`. UsageError."""
    if value is None:
        return None
    text = value.strip()
    if action == "timelimit":
        return time_limit(text)
    if action == "priority" and not (text.isascii() and text.lstrip("-").isdigit()):
        raise UsageError("is no priority", clean(value) or "nothing", "a whole number")
    if not text:
        raise UsageError(f"{action} needs a value", "nothing", "qd jobs shows what there is")
    return text


def time_limit(text: str) -> str:
    """Return a time limit in whole seconds, or `unlimited`. UsageError for what is none."""
    if text.lower() in (UNLIMITED, "infinite", "none"):
        return UNLIMITED
    span = spans.read(text.lower())
    seconds = int(span.seconds) if span is not None else _clock(text)
    if not seconds:
        raise UsageError("is no time limit", clean(text) or "nothing", _HINT)
    return str(seconds)


def _clock(text: str) -> int:
    """Return the seconds of Slurm's notation: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return 0
    days = match[1]
    parts = [int(group) for group in match.groups()[1:] if group is not None]
    if days is not None:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds
