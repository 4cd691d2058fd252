"""Single values as PBS writes them: sizes, counts, durations, times, chunks of resources. Pure.

PBS prints what looks like a number as a number and what looks like true as true, whatever it was before. So every
reader here takes any JSON value, and says None for what is not what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from console.text import clean

LIMIT = 4096
_LARGEST = 1 << 62
"""Larger counts are nonsense, and do not fit where records travel."""
_SIZE = re.compile(r"(\d{1,18})([kmgtp]?)([bw]?)", re.IGNORECASE | re.ASCII)
_FACTOR = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_WORD_BYTES = 8
_DURATION = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9})(?:\.\d*)?", re.ASCII)
_TIME = re.compile(r"\s*(?:[A-Z][a-z]{2} +)?([A-Z][a-z]{2}) +(\d{1,2}) +(\d{2}):(\d{2}):(\d{2}) +(\d{4})\s*", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = {name: number for number, name in enumerate(_MONTHS, 1)}

Resources = Mapping[str, Any]


def text(value: Any, limit: int = 512) -> str | None:
    """Return a value as clean text; None for nothing, an empty text, and what is no single value."""
    if isinstance(value, str):
        return clean(value, limit=limit).strip() or None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return str(value)
    return None


def count(value: Any) -> int | None:
    """Return a whole number from 0 on."""
    if isinstance(value, str):
        value = value.strip()
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            return None
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < _LARGEST else None


def whole(value: Any) -> int | None:
    """Return a whole number that may be negative, such as a priority or an exit status."""
    if isinstance(value, str) and value.startswith("-"):
        size = count(value[1:])
        return None if size is None else -size
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST < value < 0:
        return value
    return count(value)


def yes(value: Any) -> bool | None:
    """Return what `True`, `t`, `yes` or true says; None for anything else."""
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else ""
    return True if word in ("true", "t", "yes", "y") else False if word in ("false", "f", "no", "n") else None


def size_bytes(value: Any) -> int | None:
    """Return the bytes of `64gb`, `24684084kb`, `10mw` (words of eight bytes) or a plain number."""
    if isinstance(value, int):
        return count(value)
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    number = int(match[1]) * _FACTOR[match[2].lower()] * (_WORD_BYTES if match[3] in ("w", "W") else 1)
    return number if number < _LARGEST else None


def duration_s(value: Any) -> float | None:
    """Return the seconds of `02:00:00`, `10:00` or a plain number of seconds."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if 0 <= value < _LARGEST else None
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def time_at(value: Any) -> float | None:
    """Return Unix seconds of `Mon Nov 23 22:57:08 2026` (the commands run with TZ=UTC) or of a plain number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 < value < 1 << 40 else None
    if not isinstance(value, str):
        return None
    if value.isascii() and value.isdigit() and len(value) < 13:
        return float(value) or None
    match = _TIME.fullmatch(value)
    month = _MONTH.get(match[1]) if match else None
    if match is None or month is None:
        return None
    day, hour, minute, second, year = (int(match[index]) for index in range(2, 7))
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def total(resources: Resources, names: tuple[str, ...]) -> int | None:
    """Return the sum of these counted resources; None when none of them is there or can be read."""
    found = [number for name in names if (number := count(resources.get(name))) is not None]
    return sum(found) if found else None


_PART = re.compile(r'(?:[^:"\']|"[^"]*"?|\'[^\']*\'?)+')
"""Up to the next colon outside of quotes."""
_CHUNK = re.compile(r'(?:[^+"\']|"[^"]*"?|\'[^\']*\'?)+')


def _assignments(parts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if equals:
            found.setdefault(name.strip(), value.strip().strip("\"'"))
    return found


def chunks(select: Any) -> list[tuple[int, dict[str, str]]]:
    """Return (how many, resources of one) of a select statement: `2:ncpus=4:ngpus=8+1:ncpus=2`."""
    found: list[tuple[int, dict[str, str]]] = []
    for chunk in _CHUNK.findall(select) if isinstance(select, str) else ():
        parts = _PART.findall(chunk)
        number = count(parts[0]) if parts else None
        found.append((1 if number is None else number, _assignments(parts if number is None else parts[1:])))
    return found


def vnodes(exec_vnode: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (vnode, what is held there) of `(gpu001:ncpus=4:ngpus=8)+(gpu006[1]:ncpus=32+gpu006[0]:ncpus=8)`."""
    if not isinstance(exec_vnode, str):
        return
    for chunk in _CHUNK.findall(exec_vnode.replace("(", "").replace(")", "")):
        name, *parts = _PART.findall(chunk)
        if name.strip():
            yield clean(name.strip(), limit=256), _assignments(parts)


def hosts(exec_host: Any) -> tuple[str, ...]:
    """Return the hosts of `gpu001/0*4+gpu002/0*4`, each once, in their order."""
    if not isinstance(exec_host, str):
        return ()
    names = (part.partition("/")[0].strip() for part in exec_host.split("+"))
    return tuple(dict.fromkeys(clean(name, limit=256) for name in names if name))


_NUMBERED = re.compile(r"(.*?)(\d{1,9})(\D*)", re.ASCII | re.DOTALL)


def fold(names: tuple[str, ...]) -> str | None:
    """Return names folded by their last number, `gpu[001-003,007],login`; None for no name."""
    if len(names) < 2:
        return names[0] if names else None
    plain: list[str] = []
    groups: dict[tuple[str, str, int], set[int]] = {}
    for name in dict.fromkeys(names):
        match = _NUMBERED.fullmatch(name)
        if match is None or "[" in name:
            plain.append(name)
        else:
            groups.setdefault((match[1], match[3], len(match[2])), set()).add(int(match[2]))
    folded = [_fold_group(head, tail, width, sorted(numbers)) for (head, tail, width), numbers in groups.items()]
    return ",".join(folded + plain)


def _fold_group(head: str, tail: str, width: int, numbers: list[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    words = [f"{low:0{width}}" if low == high else f"{low:0{width}}-{high:0{width}}" for low, high in spans]
    inner = words[0] if len(numbers) == 1 else f"[{','.join(words)}]"
    return f"{head}{inner}{tail}"
