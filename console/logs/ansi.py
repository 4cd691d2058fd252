"""Colours that a log was written with: SGR sequences become styles, everything else is cleaned. Pure.

A style is a string, `sgr:1;31`: the parameters of one SGR sequence in a fixed order, so that the screen, the command
line and a cache can all use it as it stands. Nothing of what was written comes through but attributes and colours of
the lists below; concealed text is shown, and what blinks does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from console.text import SEQUENCES, clean

PREFIX = "sgr:"
MOST_SPANS = 512
"""Changes of style that one line may have; what follows the last keeps its style."""
_SGR = re.compile(r"(?:\x1b\[|\x9b)([0-9;:]{0,256})m", re.ASCII)
_OTHER = re.compile("[\x1b\x90\x98\x9b\x9d-\x9f]")
_ON = {1: "1", 2: "2", 3: "3", 4: "4", 7: "7", 9: "9", 21: "4"}
_OFF = {22: "12", 23: "3", 24: "4", 27: "7", 29: "9"}
_LEVELS = (0, 95, 135, 175, 215, 255)

Colour = int | tuple[int, int, int]
"""One of the 256 of a terminal, the first sixteen being its own, or red, green and blue."""


class Span(NamedTuple):
    """Characters of a line in one style, `start` to before `end`."""

    start: int
    end: int
    style: str


class Sgr(NamedTuple):
    """What a terminal would write with."""

    attributes: str = ""
    """Of `1` bold, `2` dim, `3` italic, `4` underline, `7` reverse, `9` strike: those that hold, in order."""
    fg: str = ""
    """Its parameters: `31`, `38;5;123`, `38;2;1;2;3`; empty: the default."""
    bg: str = ""

    @property
    def style(self) -> str:
        """The name of the style; empty when there is nothing special."""
        parts = ";".join((*self.attributes, *filter(None, (self.fg, self.bg))))
        return PREFIX + parts if parts else ""


PLAIN = Sgr()


def read(raw: str, state: Sgr = PLAIN) -> tuple[str, tuple[Span, ...], Sgr]:
    """Return (cleaned text, its spans, the state after it) of one line that begins in a state."""
    if "\x1b" not in raw and "\x9b" not in raw:
        text = clean(raw, limit=0)
        return text, (Span(0, len(text), state.style),) if text and state != PLAIN else (), state
    parts: list[str] = []
    spans: list[Span] = []
    size = 0
    for piece, after in _pieces(raw):
        if piece:
            text, style = clean(piece, limit=0), state.style
            parts.append(text)
            if style and text:
                _add(spans, Span(size, size + len(text), style))
            size += len(text)
        if after is not None:
            state = _changed(state, after)
    return "".join(parts), tuple(spans), state


def _pieces(raw: str) -> Iterator[tuple[str, str | None]]:
    """Yield (text without sequences, parameters of the SGR after it); those of other sequences are left out."""
    parts = _SGR.split(raw)
    if not any(map(_OTHER.search, parts[::2])):
        # Colours and nothing else, as nearly always: three times as fast.
        yield from zip_longest(parts[::2], parts[1::2])
        return
    at = 0
    kept = ""
    for match in SEQUENCES.finditer(raw):
        kept += raw[at : match.start()]
        at = match.end()
        sgr = _SGR.fullmatch(match[0])
        if sgr is not None:
            yield kept, sgr[1]
            kept = ""
    yield kept + raw[at:], None


def _add(spans: list[Span], span: Span) -> None:
    """Append a span, to the one before it when that has the same style or when there are too many."""
    last = spans[-1] if spans else None
    if last is not None and (len(spans) >= MOST_SPANS or (last.style == span.style and last.end == span.start)):
        spans[-1] = Span(last.start, span.end, last.style)
    else:
        spans.append(span)


def after(raw: str, state: Sgr) -> Sgr:
    """Return the state after text that nobody sees: the earlier states of a progress bar."""
    for match in _SGR.finditer(raw):
        state = _changed(state, match[1])
    return state


@lru_cache(maxsize=4096)
def _changed(state: Sgr, parameters: str) -> Sgr:
    """Return the state after one SGR sequence; what is not known changes nothing."""
    attributes, fg, bg = set(state.attributes), state.fg, state.bg
    fields = parameters.split(";")
    while fields:
        field = fields.pop(0)
        numbers = [int(part) if part and len(part) < 4 else 0 for part in field.split(":")]
        code = numbers[0]
        if code == 0:
            attributes, fg, bg = set(), "", ""
        elif code == 4 and numbers[1:2] == [0]:
            attributes.discard("4")
        elif code in _ON:
            attributes.add(_ON[code])
        elif code in _OFF:
            attributes -= set(_OFF[code])
        elif 30 <= code <= 37 or 90 <= code <= 97:
            fg = str(code)
        elif 40 <= code <= 47 or 100 <= code <= 107:
            bg = str(code)
        elif code in (38, 48):
            colour = _extended(numbers[1:], fields)
            if colour is not None:
                fg, bg = (f"38;{colour}", bg) if code == 38 else (fg, f"48;{colour}")
        elif code == 39:
            fg = ""
        elif code == 49:
            bg = ""
    return Sgr("".join(sorted(attributes)), fg, bg)


def _extended(own: list[int], fields: list[str]) -> str | None:
    """Return `5;N` or `2;R;G;B`, None when it is neither; takes what belongs to it from the fields after it."""
    if own:
        # 38:2:SPACE:R:G:B, and without the colour space as many write it.
        own = [2, *own[2:5]] if own[0] == 2 and len(own) >= 5 else own
    else:
        # After what is not known nobody can say where the next code begins.
        count = {"5": 2, "2": 4}.get(fields[0] if fields else "", len(fields))
        own = [int(field) if field.isdigit() and len(field) < 4 else 256 for field in fields[:count]]
        del fields[:count]
    wanted = {5: 2, 2: 4}.get(own[0] if own else 0)
    if wanted is None or len(own) < wanted or any(number > 255 for number in own[:wanted]):
        return None
    return ";".join(map(str, own[:wanted]))


# ---- what becomes of a style


class Look(NamedTuple):
    """A style, taken apart."""

    attributes: str
    fg: Colour | None
    bg: Colour | None


@lru_cache(maxsize=1024)
def look(style: str) -> Look:
    """Return what a style of this module means."""
    attributes = ""
    colours: dict[int, Colour | None] = {3: None, 4: None}
    fields = [int(field) for field in style.removeprefix(PREFIX).split(";")]
    while fields:
        code = fields.pop(0)
        if code < 10:
            attributes += str(code)
        elif code in (38, 48):
            count = 2 if fields[0] == 5 else 4
            taken, fields = fields[1:count], fields[count:]
            colours[code // 10] = taken[0] if len(taken) == 1 else (taken[0], taken[1], taken[2])
        elif code < 90:
            colours[code // 10] = code % 10
        else:
            colours[3 if code < 100 else 4] = 8 + code % 10
    return Look(attributes, colours[3], colours[4])


def cut(text: str, spans: tuple[Span, ...], base: str, start: int, end: int) -> Iterator[tuple[str, str]]:
    """Yield the characters from `start` to before `end` as (text, style); between spans in the style `base`."""
    at, end = start, min(end, len(text))
    for span in spans:
        if span.end <= at:
            continue
        if span.start >= end:
            break
        if span.start > at:
            yield text[at : span.start], base
            at = span.start
        until = min(span.end, end)
        yield text[at:until], span.style
        at = until
    if at < end:
        yield text[at:end], base


def moved(spans: tuple[Span, ...], by: int, length: int) -> tuple[Span, ...]:
    """Return the spans of a line without its first `by` characters that has `length` afterwards."""
    shifted = (Span(max(span.start - by, 0), min(span.end - by, length), span.style) for span in spans)
    return tuple(span for span in shifted if span.start < span.end)


def depth(environ: Mapping[str, str]) -> int:
    """Return how many colours a terminal has, by its environment: 0, 16, 256 or 2 to the 24th."""
    if "NO_COLOR" in environ or environ.get("TERM", "") in ("", "dumb", "unknown"):
        return 0
    if environ.get("COLORTERM", "") in ("truecolor", "24bit"):
        return 1 << 24
    return 256 if "256" in environ["TERM"] else 16


def painted(text: str, spans: tuple[Span, ...], colours: int) -> str:
    """Return a line for a terminal of so many colours, each span between a sequence of its own and a reset."""
    if not colours or not spans:
        return text
    runs = cut(text, spans, "", 0, len(text))
    return "".join(f"\x1b[{limited(style, colours)}m{part}\x1b[0m" if style else part for part, style in runs)


@lru_cache(maxsize=1024)
def limited(style: str, colours: int) -> str:
    """Return the parameters of a style with colours that a terminal of so many has."""
    found = look(style)
    parts = [*found.attributes]
    parts += [
        _code(colour, ground, colours) for colour, ground in ((found.fg, 0), (found.bg, 10)) if colour is not None
    ]
    return ";".join(parts)


def _code(colour: Colour, ground: int, colours: int) -> str:
    if colours < 256:
        colour = _nearest(colour)
    elif colours == 256 and not isinstance(colour, int):
        colour = _of_256(colour)
    if not isinstance(colour, int):
        return f"{38 + ground};2;{colour[0]};{colour[1]};{colour[2]}"
    if colour < 16:
        return str(colour + ground + (30 if colour < 8 else 82))
    return f"{38 + ground};5;{colour}"


def rgb(colour: Colour) -> tuple[int, int, int]:
    """Return red, green and blue, 0-255, as xterm has them."""
    if not isinstance(colour, int):
        return colour
    if colour < 16:
        high = 255 if colour > 7 else 205
        return (colour & 1) * high, (colour >> 1 & 1) * high, (colour >> 2 & 1) * high
    if colour > 231:
        return (8 + 10 * (colour - 232),) * 3
    at = colour - 16
    return _LEVELS[at // 36], _LEVELS[at // 6 % 6], _LEVELS[at % 6]


def _of_256(colour: Colour) -> int:
    return min(range(16, 256), key=lambda other: _distance(rgb(other), rgb(colour)))


def _nearest(colour: Colour) -> int:
    if isinstance(colour, int) and colour < 16:
        return colour
    return min(range(16), key=lambda other: _distance(rgb(other), rgb(colour)))


def _distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum((first - second) ** 2 for first, second in zip(one, other, strict=True))
