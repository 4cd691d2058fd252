"""Lines of a probe to samples: pure, no I/O, no clock of its own.

A line is a JSON merge patch onto what the same connection sent before (`console.probes.node.main`). Whatever
a node sends, the outcome is a Sample or a BadAnswer, and memory stays bounded. Records that did not change
are handed out again, for one console decodes the lines of hundreds of nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from console.errors import BadAnswer
from console.model import Accelerator, Disk, Host, Link, Mount, ProbeCost, Sample
from console.model.base import Record
from console.probes.rates import (
    DISK_RATES,
    LINK_ERROR_RATES,
    LINK_RATES,
    NFS_RATES,
    Counters,
    NfsWatch,
)
from console.text import clean

LINE_LIMIT_BYTES = 1 << 20
STATE_LIMIT_BYTES = 2 << 20
"""What one node may make this console remember."""

AUDIT_EVERY_BYTES = 8 << 20
MAX_TEXT = 512
MAX_INDEX = 1 << 16
MAX_INTEGER = 1 << 62
LARGE_LINE_BYTES = 32 << 10
SECTIONS = ("host", "accelerators", "links", "disks", "mounts", "cost", "at", "missing")
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")

R = TypeVar("R", bound=Record)


class _Line(msgspec.Struct, frozen=True, gc=False):
    """One line as it comes."""

    n: int
    t: float
    w: float
    p: dict[str, dict[str, Any] | None]
    full: int = 0


_parser = msgspec.json.Decoder(_Line)


def _is_plain(line: bytes) -> bool:
    """Whether nothing in a line can need purifying: the case of nearly every line, found out in microseconds.

    Plain is: printable ASCII, no escapes, no number of 18 digits, no exponent.
    """
    if len(line) > LARGE_LINE_BYTES or not line.isascii() or b"\\" in line or b"\x7f" in line:
        return False
    zeros = line.translate(_DIGITS_TO_ZERO)
    return not (b"000000000000000000" in zeros or b"0e" in zeros or b"0E" in zeros)


def _purified(value: Any) -> Any:
    """Return a JSON value with clean texts. Raises ValueError for a number that has no place in a record."""
    if isinstance(value, str):
        return clean(value, limit=MAX_TEXT)
    if isinstance(value, dict):
        return {clean(key, limit=MAX_TEXT): _purified(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_purified(part) for part in value]
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError("a number is too large")
    if isinstance(value, float) and not (math.isfinite(value) and abs(value) < MAX_INTEGER):
        raise ValueError("a number is too large")
    return value


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396) in place and return the target."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            old = target.get(key)
            target[key] = _merge(old if isinstance(old, dict) else {}, value)
        else:
            target[key] = value
    return target


class _Thing:
    """One link, disk or mount: its counters over time and its last record."""

    __slots__ = ("counters", "errors", "nfs", "record")

    def __init__(self) -> None:
        self.record: Any = None
        self.counters = Counters()
        self.errors = Counters()
        self.nfs: NfsWatch | None = None


class Decoder:
    """Turns the lines of one connection into samples of one node."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.read_at: float | None = None
        """Monotonic seconds of the node at the last line."""
        self._state: dict[str, dict[str, Any]] = {}
        self._things: dict[str, dict[str, _Thing]] = {"links": {}, "disks": {}, "mounts": {}}
        self._accelerators: dict[str, Accelerator] = {}
        self._tuples: dict[str, tuple[Any, ...]] = {}
        self._cost: ProbeCost | None = None
        self._missing: dict[str, str] = {}
        self._number: int | None = None
        self._taken = 0

    def feed(self, line: bytes, now: float) -> Sample:
        """Return the sample of one line that came at `now` (Unix seconds). Raises BadAnswer."""
        try:
            return self._feed(line, now)
        except (
            msgspec.MsgspecError,
            ValueError,
            TypeError,
            KeyError,
            RecursionError,
            OverflowError,
        ) as error:
            raise BadAnswer(
                f"the probe's answer cannot be read: {clean(str(error), limit=200)}",
                self.node,
                "it is started anew; if this stays, something on the node writes into its output",
            ) from error

    def apply(self, number: int, state: dict[str, Any], read_at: float, wall: float, now: float) -> Sample:
        """Return the sample of a whole state that was not read by the probe's lines. Raises BadAnswer."""
        encoded = msgspec.json.encode({"n": number, "t": read_at, "w": wall, "p": state, "full": 1})
        return self.feed(encoded, now)

    def _feed(self, line: bytes, now: float) -> Sample:
        if len(line) > LINE_LIMIT_BYTES:
            raise ValueError("a line is too long")
        parsed = _parser.decode(line)
        patch: dict[str, Any] = parsed.p
        if not _is_plain(line):
            patch = _purified(patch)
            _purified([parsed.t, parsed.w])
        if parsed.full:
            self._state = {}
            self._accelerators = {}
        elif self._number is None or parsed.n != self._number + 1:
            raise ValueError("a line is lost")
        self._number, self.read_at = parsed.n, parsed.t
        self._audit(len(line))
        touched = self._take(patch)
        return self._sample(parsed, touched, now)

    def _audit(self, size: int) -> None:
        self._taken += size
        if self._taken > AUDIT_EVERY_BYTES:
            if len(msgspec.json.encode(self._state)) > STATE_LIMIT_BYTES:
                raise ValueError("it sends more than can be remembered")
            self._taken = 0

    def _take(self, patch: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Merge the patch into the state and return, per section, what it touched."""
        touched: dict[str, dict[str, Any]] = {}
        for section in SECTIONS:
            if section not in patch:
                continue
            part = patch[section]
            if part is None:
                self._state.pop(section, None)
            else:
                self._state[section] = _merge(self._state.get(section, {}), part)
            touched[section] = part or {}
        return touched

    def _sample(self, line: _Line, touched: dict[str, dict[str, Any]], now: float) -> Sample:
        state = self._state
        at = msgspec.convert(state.get("at", {}), dict[str, float])
        host = state.get("host")
        if "cost" in touched or line.full:
            self._cost = msgspec.convert(state.get("cost", {}), ProbeCost)
        if "missing" in touched or line.full:
            self._missing = msgspec.convert(state.get("missing", {}), dict[str, str])
        return Sample(
            node=self.node,
            observed_at=now,
            clock_offset_s=round(line.w - now, 3),
            host=msgspec.convert(host, Host) if host is not None else None,
            accelerators=self._read_accelerators(touched.get("accelerators"), bool(line.full)),
            links=self._read("links", kind=Link, identity="name", touched=touched, at=at, advance=self._link),
            disks=self._read("disks", kind=Disk, identity="name", touched=touched, at=at, advance=self._disk),
            mounts=self._read("mounts", kind=Mount, identity="path", touched=touched, at=at, advance=self._mount),
            cost=self._cost,
            missing=self._missing,
        )

    def _read_accelerators(self, touched: dict[str, Any] | None, full: bool) -> tuple[Accelerator, ...]:
        items = self._state.get("accelerators", {})
        if touched is None and not full:
            return self._tuples.get("accelerators", ())
        known = self._accelerators
        for key in items if full else touched or ():
            if key in items:
                known[key] = msgspec.convert({**items[key], "index": _number_of(key)}, Accelerator)
            else:
                known.pop(key, None)
        if len(known) != len(items):
            self._accelerators = known = {key: known[key] for key in items}
        found = tuple(sorted(known.values(), key=_index))
        self._tuples["accelerators"] = found
        return found

    def _read(
        self,
        section: str,
        *,
        kind: type[R],
        identity: str,
        touched: dict[str, dict[str, Any]],
        at: dict[str, float],
        advance: Callable[[_Thing, dict[str, Any], dict[str, float]], tuple[bool, dict[str, Any]]],
    ) -> tuple[R, ...]:
        """Return the records of one section; those to which nothing happened are the same as before."""
        items = self._state.get(section, {})
        things = self._things[section]
        changed = touched.get(section, {})
        renewed = False
        for key, item in items.items():
            thing = things.get(key)
            if thing is None:
                thing = things[key] = _Thing()
            moved, rates = advance(thing, item, at)
            if not moved and thing.record is not None and key not in changed:
                continue
            renewed = True
            values = {**item, **rates, identity: key}
            reasons = {**item.get("missing", {}), **thing.counters.missing, **thing.errors.missing}
            if reasons:
                values["missing"] = reasons
            thing.record = msgspec.convert(values, kind)
        if len(things) != len(items):
            renewed = True
            for key in things.keys() - items.keys():
                del things[key]
        if renewed or section not in self._tuples:
            self._tuples[section] = tuple(things[key].record for key in items)
        return self._tuples[section]

    @staticmethod
    def _link(thing: _Thing, item: dict[str, Any], at: dict[str, float]) -> tuple[bool, dict[str, Any]]:
        read_at = at.get("rdma" if "errors_at" in item else "network")
        if read_at is None:
            return False, {}
        moved = thing.counters.advance(read_at, item, LINK_RATES)
        moved |= thing.errors.advance(item.get("errors_at", read_at), item, LINK_ERROR_RATES)
        return moved, {**thing.counters.rates, **thing.errors.rates}

    @staticmethod
    def _disk(thing: _Thing, item: dict[str, Any], at: dict[str, float]) -> tuple[bool, dict[str, Any]]:
        read_at = at.get("disks")
        moved = read_at is not None and thing.counters.advance(read_at, item, DISK_RATES)
        rates: dict[str, Any] = dict(thing.counters.rates)
        if "busy_percent" in rates:
            rates["busy_percent"] = min(100.0, rates["busy_percent"])
        return moved, rates

    @staticmethod
    def _mount(thing: _Thing, item: dict[str, Any], at: dict[str, float]) -> tuple[bool, dict[str, Any]]:
        read_at = at.get("mounts")
        if read_at is None or "requests" not in item:
            return False, {}
        if thing.nfs is None:
            thing.nfs = NfsWatch()
        nfs = thing.nfs
        before = nfs.verdict
        moved = thing.counters.advance(read_at, item, NFS_RATES)
        nfs.advance(read_at, item)
        state, rtt_s, retransmits_per_s = nfs.verdict
        found = {"state": state, "rtt_s": rtt_s, "retransmits_per_s": retransmits_per_s}
        return moved or nfs.verdict != before, {**thing.counters.rates, **found}


def _number_of(key: str) -> int:
    index = int(key)
    if not 0 <= index < MAX_INDEX:
        raise ValueError("an accelerator has an impossible number")
    return index


def _index(accelerator: Accelerator) -> int:
    return accelerator.index
