"""Regular expressions that somebody types, kept from running for ever.

Python's engine backtracks: `(a+)+b` on thirty letters takes minutes, and nothing can stop it. So a pattern is looked
at before it is compiled, and refused when it has

- a repeated group that itself repeats or chooses inside: `(a+)*`, `(a|b)+`, `(a?){20}`
- an open repeat next to another one of what the first matches too: `.*.*`, `\\d+\\w*`
- more than three open repeats (`*`, `+`, `{2,9}`), or more than twelve choices (`?`, `|`)
- a back reference, a count over 50, or more than 200 characters.

Together with short subjects (`MAX_SUBJECT`) the rest is bounded by a small power of the length. What is refused can be
said as several words.
"""

from __future__ import annotations

import math
import re
import warnings

from console.errors import UsageError

MAX_PATTERN = 200
MAX_REPEATS = 3
MAX_CHOICES = 12
MAX_SUBJECT = 512
"""Characters of one column that a pattern is tried on."""

_QUANTIFIER = re.compile(r"(?:[*+?]|\{(?P<least>\d*)(?P<comma>,)?(?P<most>\d*)\})[?+]?")
_GROUP_PREFIX = re.compile(r"\?(?:P<\w+>|<?[=!]|[a-zA-Z-]*:|>|[a-zA-Z-]+(?=\)))")
_MAX_COUNT = 50
_PROBES = tuple(map(chr, range(0x20, 0x250)))


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the pattern, ignoring case. UsageError when it is wrong or might not end."""
    if len(pattern) > MAX_PATTERN:
        what = f"the pattern is longer than {MAX_PATTERN} characters"
        raise UsageError(what, pattern[:40] + "…", "say it as several words")
    refused = _Scan(pattern).refuse()
    if refused:
        raise UsageError(f"the pattern might never end: {refused}", pattern, "say it as several words")
    try:
        return _compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        hint = r"put \ before a sign that stands for itself, or the whole into quotes"
        raise UsageError(f"this is no regular expression: {error}", pattern, hint) from None


def _compile(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        # `[[`: what a later Python might read otherwise is not what the person at the keyboard asks about.
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(pattern, re.IGNORECASE)


class _Scan:
    """One walk over a pattern, atom by atom."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.repeats = 0
        self.choices = 0

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
                self._choose()
                wild = True
                before = ""
                self.at += 1
                continue
            start = self.at
            inner_wild = self._atom()
            atom = self.pattern[start : self.at]
            quantifier = self._quantifier()
            if quantifier is None:
                wild = wild or inner_wild
                before = ""
                continue
            least, most = quantifier
            if most > 1 and inner_wild:
                raise _RefusedError("a repeated group repeats or chooses inside")
            if most == 1:
                self._choose()
            elif least != most:
                self.repeats += 1
                if self.repeats > MAX_REPEATS:
                    raise _RefusedError(f"more than {MAX_REPEATS} open repeats")
                if before and _overlap(before, atom):
                    raise _RefusedError("two open repeats side by side")
            wild = wild or inner_wild or least != most
            before = atom if most > 1 and least != most else ""
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
            if prefix and "<" not in prefix[0] and "x" in prefix[0]:
                raise _RefusedError("verbose syntax")
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

    def _quantifier(self) -> tuple[int, float] | None:
        """Read what follows an atom; return how often it may match, None when it is there once."""
        found = _QUANTIFIER.match(self.pattern, self.at)
        if found is None or found[0].startswith("{}"):
            return None
        self.at = found.end()
        sign = found[0][0]
        if sign != "{":
            return (1 if sign == "+" else 0), (1 if sign == "?" else math.inf)
        least = int(found["least"] or 0)
        most = least if not found["comma"] else int(found["most"]) if found["most"] else math.inf
        if max(least, 0 if most == math.inf else most) > _MAX_COUNT:
            raise _RefusedError(f"a repeat of more than {_MAX_COUNT}")
        return least, most

    def _choose(self) -> None:
        self.choices += 1
        if self.choices > MAX_CHOICES:
            raise _RefusedError(f"more than {MAX_CHOICES} choices")


def _overlap(one: str, other: str) -> bool:
    """Whether some character is matched by both atoms. Groups count as overlapping with everything."""
    if "(" in (one[0], other[0]):
        return True
    try:
        first, second = _compile(one), _compile(other)
    except re.error:
        return True
    return any(first.fullmatch(char) and second.fullmatch(char) for char in _PROBES)


class _RefusedError(Exception):
    """Why a pattern is not compiled."""
