"""The only door for text that somebody else wrote.

Job names, comments, log lines, error output, device names: all of it may hold escape sequences that move the
cursor, fill the clipboard or rename the window, characters that reverse what is read, or ten thousand accents
on one letter. `clean` returns what a person may safely see: printable characters whose width every terminal
agrees on.

What happens to what:

    escape sequences (CSI, OSC, DCS, APC, PM, SOS, …)    removed whole, also when they never end
    C0, C1, DEL                                          removed; tab and line ends become spaces
    bidi controls, zero-width, tags, joiners, selectors  removed (an emoji family becomes its members)
    emoji skin tones                                     removed
    regional indicators (flags)                          their letters: DE
    other spaces (no-break, ideographic, …)              a space
    combining marks                                      at most four on a letter, none without a letter
    surrogates, private use, noncharacters, unassigned,  U+FFFD
      invalid UTF-8, symbols of disputed width

A sequence that takes a string (OSC, DCS, …) ends at its terminator or at the end of its line, so that an
unfinished one cannot hide the lines after it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

ELLIPSIS = "…"
REPLACEMENT = "\ufffd"
MAX_MARKS = 4
"""Combining marks that one letter may carry: Vietnamese needs two, pointed Hebrew three."""

SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\n\r\x18\x1a\x1b\x9c]*(?:\x07|\x9c|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
"""Every repetition runs over characters that the next part cannot begin with: linear on any input."""

_LINE_ENDS = re.compile("\r\n|[\n\v\f\r\x85\u2028\u2029]")

_IGNORABLE = frozenset(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0x1F3FB, 0x1F400),
        *range(0xE0000, 0xE1000),
    ]
)
"""Shown as nothing by what follows Unicode and as something by what does not: fillers, variation selectors, …
"""


def is_mark(char: str) -> bool:
    """Whether the character is drawn on the one before it and takes no cell of its own."""
    return (
        unicodedata.category(char) in ("Mn", "Me", "Mc") or "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7ff"
    )


def _is_disputed(code: int) -> bool:
    """Symbols that became wide in Unicode 16: half of all terminals still draw them narrow."""
    return (
        0x2630 <= code <= 0x2637 or 0x268A <= code <= 0x268F or 0x4DC0 <= code <= 0x4DFF or 0x1D300 <= code <= 0x1D376
    )


@lru_cache(maxsize=4096)
def _shown_as(char: str) -> str:
    """Return what stands for one character: itself, a space, a letter, U+FFFD, or nothing."""
    code = ord(char)
    category = unicodedata.category(char)
    if code in _IGNORABLE or category == "Cf":
        return ""
    if category == "Cc":
        return ""
    if category in ("Cn", "Co", "Cs") or _is_disputed(code):
        return REPLACEMENT
    if category == "Zs":
        return " "
    if 0x1F1E6 <= code <= 0x1F1FF:
        return chr(ord("A") + code - 0x1F1E6)
    return char


def _thin_marks(text: str, marks: frozenset[str]) -> str:
    """Return the text with at most MAX_MARKS marks on a character, and none at the start of a line."""
    kept: list[str] = []
    room = 0
    for char in text:
        if char in marks:
            if room == 0:
                continue
            room -= 1
        else:
            room = 0 if char == "\n" else MAX_MARKS
        kept.append(char)
    return "".join(kept)


def clean(text: str | bytes, *, multiline: bool = False, limit: int = 4096) -> str:
    """Return text that is safe to show, log and serialise; see the module for what becomes of what.

    Bytes are read as UTF-8. `multiline` keeps line ends (as `\\n`) and expands tabs to columns of eight;
    otherwise both become a space. More than `limit` characters are cut, the last one then being `…`; `limit`
    below 1 means no limit. Cleaning twice changes nothing. Takes time in proportion to the length; never
    raises.
    """
    if isinstance(text, (bytes, bytearray, memoryview)):
        text = bytes(text).decode("utf-8", "replace")
    if not (text.isascii() and text.isprintable()):
        text = _clean(text, multiline)
    if 0 < limit < len(text):
        text = text[: limit - 1] + ELLIPSIS
    return text


def _clean(text: str, multiline: bool) -> str:
    if "\x1b" in text or not text.isprintable():
        text = SEQUENCES.sub("", text)
        text = _LINE_ENDS.sub("\n" if multiline else " ", text)
        # Tabs only take columns once everything that takes none is gone, so they are expanded last.
        text = text if multiline else text.replace("\t", " ")
    table: dict[int, str] = {}
    marks: list[str] = []
    for char in set(text):
        if char in "\n\t" or " " <= char <= "~":
            continue
        shown = _shown_as(char)
        if shown != char:
            table[ord(char)] = shown
        elif is_mark(char):
            marks.append(char)
    if table:
        text = text.translate(table)
    if marks:
        text = _thin_marks(text, frozenset(marks))
    return text.expandtabs(8) if "\t" in text else text
