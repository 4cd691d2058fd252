"""How slurmctld is doing, out of the same `sdiag` that is read for changes anyway. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from console.text import clean

_PLAIN = re.compile(r"^([A-Z][A-Za-z ]+):\s+(\d+)\s*$", re.MULTILINE)
_USER = re.compile(r"^\s+(\S+)\s+\(\s*\d+\)\s+count:(\d+)\s+ave_time:\d+\s+total_time:(\d+)", re.MULTILINE)
BUSY_THREADS = 200
"""slurmctld serves at most 256 requests at once; nearing that, commands time out."""
COMPARE_S = 60.0
"""Who asks most is told over this span."""


@dataclass(slots=True, frozen=True)
class Reading:
    """What sdiag tells beside its counters, by its own labels."""

    top: Mapping[str, int]
    cycle: Mapping[str, int]
    backfill: Mapping[str, int]
    users: dict[str, int]
    """How many requests each has sent since slurmctld counts."""


class Weather:
    """What the last answers said; `words` is renewed once a minute where it counts, so that the screen stays calm."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self._before: tuple[float, dict[str, int]] | None = None
        self._asks: dict[str, str] = {}

    def read(self, answer: bytes, now: float) -> None:
        """Take an answer of sdiag."""
        self.take(reading(answer.decode("utf-8", "replace")), now)

    def take(self, told: Reading, now: float) -> None:
        """Take what was told, by whatever way."""
        users = told.users
        if self._before is None:
            self._before = (now, users)
        elif now - self._before[0] >= COMPARE_S:
            self._asks = asks_most(users, self._before[1], now - self._before[0])
            self._before = (now, users)
        self.words = weather(told) | self._asks


def by_user(answer: str) -> dict[str, int]:
    """Return how many requests each user has sent since slurmctld counts."""
    text = answer.partition("by user")[2].partition("Pending RPC")[0]
    return {clean(match[1], limit=64): int(match[2]) for match in _USER.finditer(text)}


def reading(text: str) -> Reading:
    """Read an answer of sdiag."""
    head, _, rest = text.partition("Main schedule statistics")
    main, _, backfill = rest.partition("Backfilling stats")
    backfill = backfill.partition("Latency for")[0]
    return Reading(_numbers(head), _numbers(main), _numbers(backfill), by_user(text))


def weather(told: Reading) -> dict[str, str]:
    """Return label and words of each thing that tells of slurmctld's health."""
    top, cycle, fill = told.top, told.cycle, told.backfill
    found: dict[str, str] = {}
    threads = top.get("Server thread count")
    if threads is not None:
        found["threads"] = f"{threads} at work" + (", nearly all there are: a storm" if threads > BUSY_THREADS else "")
    queues = [("to the nodes", top.get("Agent queue size")), ("to slurmdbd", top.get("DBD Agent queue size"))]
    if any(size is not None for _, size in queues):
        found["waiting"] = ", ".join(f"{size} messages {where}" for where, size in queues if size is not None)
    if (last := cycle.get("Last cycle")) is not None:
        found["scheduler"] = f"last cycle {_span(last)}, {_span(cycle.get('Mean cycle'))} in the mean"
    if (last := fill.get("Last cycle")) is not None:
        depth, length = fill.get("Last depth cycle"), fill.get("Last queue length")
        found["backfill"] = f"last cycle {_span(last)}" + (
            f", {depth} of {length} jobs" if depth is not None and length is not None else ""
        )
    return found


def asks_most(now: Mapping[str, int], before: Mapping[str, int], elapsed_s: float) -> dict[str, str]:
    """Return who sent most requests between two counts `elapsed_s` apart; nothing when nobody did."""
    new = {user: count - before.get(user, 0) for user, count in now.items()}
    most = sorted(((count, user) for user, count in new.items() if count > 0), reverse=True)[:3]
    words = ", ".join(f"{user} {60 * count / elapsed_s:.0f}" for count, user in most)
    return {"asks most": f"{words} a minute"} if words else {}


def _numbers(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for match in _PLAIN.finditer(re.sub(r"^[ \t]+", "", text, flags=re.MULTILINE)):
        found.setdefault(match[1], int(match[2]))
    return found


def _span(microseconds: int | None) -> str:
    if microseconds is None:
        return "–"
    return f"{microseconds} µs" if microseconds < 10_000 else f"{microseconds / 1e6:.2f} s"
