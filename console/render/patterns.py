"""Regular expressions that somebody types, kept from running for ever.

Python's engine backtracks: `(a+)+b` on thirty letters takes minutes, and nothing can stop it. So a pattern
is looked at before it is compiled, and refused when it repeats without bound

- a group that itself repeats without bound or holds alternatives: `(a+)*`, `(a|b)+`
- next to another unbounded repeat of what the first one matches too: `.*.*`, `\\d+\\w*`
- more than three times in all,

and back references and patterns over 200 characters are refused. Together with short subjects (`MAX_SUBJECT`)
the rest is bounded by a small power of the length. What is refused can be said as several words.
"""

from __future__ import annotations

import re

from console.errors import UsageError

MAX_PATTERN = 200
MAX_REPEATS = 3
MAX_SUBJECT = 512
"""Characters of one column that a pattern is tried on."""

_UNBOUNDED = re.compile(r"[*+]|\{\d*,\}")
_BOUNDED = re.compile(r"\?|\{\d+(?:,\d+)?\}")
_BOUND = re.compile(r"\{(\d+)(?:,(\d+))?\}")
_GROUP_PREFIX = re.compile(r"\?(?:P<\w+>|<?[=!]|[a-zA-Z-]*:|>|[a-zA-Z-]+(?=\)))")
_MAX_COUNT = 50
_PROBES = tuple(map(chr, range(0x20, 0x250)))


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the pattern, ignoring case. UsageError when it is wrong or might not end."""
    if len(pattern) > MAX_PATTERN:
        raise UsageError(f"the pattern is longer than {MAX_PATTERN} characters", pattern[:40] + "…")
    refused = _Scan(pattern).refuse()
    if refused:
        raise UsageError(f"the pattern might never end: {refused}", pattern, "say it as several words")
    try:
        return re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"this is no regular expression: {error}", pattern) from None


class _Scan:
    """One walk over a pattern, atom by atom."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.repeats = 0

    def refuse(self) -> str | None:
        """Return why the pattern is refused, or None. Broken syntax is left to the compiler."""
        try:
            self._group()
        except _RefusedError as refused:
            return str(refused)
        return None

    def _group(self) -> bool:
        """Read to the end of this group; return whether it repeats without bound or chooses inside."""
        wild = False
        before = ""
        while self.at < len(self.pattern):
            char = self.pattern[self.at]
            if char == ")":
                self.at += 1
                return wild
            if char == "|":
                wild = True
                before = ""
                self.at += 1
                continue
            start = self.at
            inner_wild = self._atom()
            atom = self.pattern[start : self.at]
            unbounded, many = self._quantifier()
            if unbounded:
                self.repeats += 1
                if self.repeats > MAX_REPEATS:
                    raise _RefusedError(f"more than {MAX_REPEATS} unbounded repeats")
                if before and _overlap(before, atom):
                    raise _RefusedError("two unbounded repeats side by side")
            if (unbounded or many) and inner_wild:
                raise _RefusedError("a repeated group repeats or chooses inside")
            wild = wild or unbounded or inner_wild
            before = atom if unbounded else ""
        return wild

    def _atom(self) -> bool:
        """Read one atom; return whether it is a group that repeats or chooses inside."""
        char = self.pattern[self.at]
        self.at += 1
        if char == "\\":
            if self.pattern[self.at : self.at + 1].isdigit():
                raise _RefusedError("a back reference")
            self.at += 1
        elif char == "[":
            self._character_class()
        elif char == "(":
            if self.pattern.startswith("?P=", self.at) or self.pattern.startswith("?(", self.at):
                raise _RefusedError("a back reference")
            prefix = _GROUP_PREFIX.match(self.pattern, self.at)
            self.at = prefix.end() if prefix else self.at
            return self._group()
        return False

    def _character_class(self) -> None:
        if self.pattern.startswith("^", self.at):
            self.at += 1
        if self.pattern.startswith("]", self.at):
            self.at += 1
        while self.at < len(self.pattern) and self.pattern[self.at] != "]":
            self.at += 2 if self.pattern[self.at] == "\\" else 1
        self.at += 1

    def _quantifier(self) -> tuple[bool, bool]:
        """Read what follows an atom; return (it repeats without bound, it repeats more than once)."""
        unbounded = _UNBOUNDED.match(self.pattern, self.at)
        bounded = _BOUNDED.match(self.pattern, self.at)
        found = unbounded or bounded
        if found is None:
            return False, False
        counts = _BOUND.fullmatch(found[0])
        most = max(int(count) for count in counts.groups() if count) if counts else 1
        if most > _MAX_COUNT:
            raise _RefusedError(f"a repeat of more than {_MAX_COUNT}")
        self.at = found.end()
        if self.pattern[self.at : self.at + 1] in ("?", "+"):
            self.at += 1
        return unbounded is not None, most > 1


def _overlap(one: str, other: str) -> bool:
    """Whether some character is matched by both atoms. Groups count as overlapping with everything."""
    if "(" in (one[0], other[0]):
        return True
    try:
        first, second = re.compile(one, re.IGNORECASE), re.compile(other, re.IGNORECASE)
    except re.error:
        return True
    return any(first.fullmatch(char) and second.fullmatch(char) for char in _PROBES)


class _RefusedError(Exception):
    """Why a pattern is not compiled."""
