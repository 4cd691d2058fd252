"""The JSON of qstat and pbsnodes, taken apart entry by entry, mended where releases of PBS print it broken. Pure.

An answer of ten thousand jobs is fifteen megabytes, which no JSON reader takes in one breath. PBS indents what it
prints, and no string of valid JSON holds a line end, so the entries of a table can be told apart by the line ends
before their names and read one at a time. What is not valid is mended: releases before 2020 leave quotes as they are,
escape what needs none (`\\,`), and print `005` and `nan` as numbers; no release minds whether bytes are UTF-8.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from console.errors import BadAnswer
from console.text import clean

T = TypeVar("T")

_HEAD_BYTES = 64 << 10
"""Within so many bytes an answer begins its table: before it stand a time, a version and a name."""
_NAME = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*')
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}]', re.DOTALL)
_END = re.compile(rb"\s*\}\s*\}?\s*")


def begin(answer: bytes, program: str) -> int:
    """Return where the JSON of an answer begins; some options make qstat print a table for people before it."""
    start = 0 if answer.startswith(b"{") else answer.find(b"\n{", 0, _HEAD_BYTES) + 1
    if answer[start : start + 1] != b"{":
        said = clean(answer[:300], limit=160)
        what = f"{program} printed something else than JSON: {said}" if said.strip() else f"{program} printed nothing"
        raise BadAnswer(what, program, "a PBS is needed whose commands know -F json")
    return start


def entries(answer: bytes, table: str, program: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, JSON object) of each entry of a table (`Jobs`, `nodes`, `Queue`, `Server`), in order.

    Yields nothing when the answer has no such table: only the exit status of the program tells what that means.
    BadAnswer when it is no answer, or ends in the middle.
    """
    for piece in pieces(answer, table, program):
        yield named(piece, program)


def named(piece: bytes, program: str) -> tuple[str, bytes]:
    """Return (name, JSON object) of one of `pieces`. BadAnswer when it has no name."""
    name = _NAME.match(piece)
    if name is None:
        raise BadAnswer(f"{program} gave an entry without a name", clean(piece[:120]), "run it by hand there")
    return clean(_unescaped(name[1]), limit=256), piece[name.end() :]


def pieces(answer: bytes, table: str, program: str) -> Iterator[bytes]:
    """Yield `"name": {…}` of each entry, for who may know it already. As `entries`."""
    start = begin(answer, program)
    found = re.compile(rb'"%s"\s*:\s*\{(\s*)' % table.encode()).search(answer, start, start + _HEAD_BYTES)
    if found is None:
        if not answer.rstrip().endswith(b"}"):
            raise _cut(program)
        return
    indent = found[1][found[1].rfind(b"\n") :] if b"\n" in found[1] else b""
    if indent:
        yield from _indented(answer, found.end(), indent, table, program)
    else:
        yield from _packed(answer, found.end(), program)


def _indented(answer: bytes, position: int, indent: bytes, table: str, program: str) -> Iterator[bytes]:
    """Yield `"name": {…}` of each entry: they begin with a quote, and end with a brace, behind the same indent."""
    begins, ends = indent + b'"', indent + b"}"
    # A release of 2018 opens the table anew before each entry.
    between = re.compile(rb'\s*,\s*(?:"%s"\s*:\s*\{)?\s*' % table.encode())
    if answer[position : position + 1] == b"}":
        return
    while True:
        after = answer.find(begins, position)
        stop = after if after >= 0 else len(answer)
        end = answer.rfind(ends, position, stop)
        if end < 0:
            raise _cut(program)
        end += len(ends)
        if (_END if after < 0 else between).fullmatch(answer, end, stop) is None:
            raise _cut(program) if after < 0 else _garbled(answer[end : end + 120], program)
        yield answer[position:end]
        if after < 0:
            return
        position = after + len(indent)


def _packed(answer: bytes, position: int, program: str) -> Iterator[bytes]:
    """Yield the same of an answer without line ends, by counting braces."""
    depth, start = 0, -1
    for token in _TOKEN.finditer(answer, position):
        mark = token[0][:1]
        if mark == b'"':
            start = token.start() if start < 0 else start
            continue
        depth += 1 if mark == b"{" else -1
        if depth < 0:
            return
        if depth == 0:
            yield answer[start : token.end()]
            start = -1
    raise _cut(program)


def _cut(program: str) -> BadAnswer:
    return BadAnswer(f"{program} stopped in the middle of its answer", program, "it is asked again soon")


def _garbled(words: bytes, program: str) -> BadAnswer:
    what = f"{program} printed JSON that cannot be read, at: {clean(words, limit=80)}"
    return BadAnswer(what, program, "run it by hand there; is it replaced by a wrapper?")


def decode(piece: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    """Return one entry, mended if it must be; None when it cannot be read even so."""
    try:
        return decoder.decode(piece)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return decoder.decode(mend(piece.decode("utf-8", "replace")))
    except msgspec.DecodeError:
        return None


def _unescaped(name: bytes) -> str:
    if b"\\" not in name:
        return name.decode("utf-8", "replace")
    try:
        value: Any = json.loads(b'"' + name + b'"')
    except ValueError:
        return name.decode("utf-8", "replace")
    return str(value)


_LINE = re.compile(r'(\s*"(?:[^"\\]|\\.)*"\s*:\s*)(.*)')
_ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])|\\|"|[\x00-\x1f]')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_WORDS = ("true", "false", "null")
_NESTED = ("{", "[")


def mend(text: str) -> str:
    """Return an indented JSON object with what PBS is known to print wrongly put right, line by line."""
    lines: list[str] = []
    rest = iter(text.split("\n"))
    for line in rest:
        match = _LINE.fullmatch(line)
        if match is None:
            lines.append(line)
            continue
        head, value = match[1], match[2].rstrip()
        while value.startswith('"') and not _closed(value):
            more = next(rest, None)
            if more is None:
                break
            value = f"{value}\n{more.rstrip()}"
        lines.append(head + _value(value))
    return "\n".join(lines)


def _closed(value: str) -> bool:
    """Whether a string that began ends with this line."""
    body = value.removesuffix(",")
    return len(body) > 1 and body.endswith('"')


def _value(value: str) -> str:
    body = value.removesuffix(",")
    comma = value[len(body) :]
    if body.startswith(_NESTED) or body in _WORDS:
        return value
    if body.startswith('"'):
        inner = body[1:].removesuffix('"')
        return f'"{_ESCAPE.sub(_escaped, inner)}"{comma}'
    if _NUMBER.fullmatch(body) and math.isfinite(float(body)):
        return value
    return json.dumps(body) + comma


def _escaped(found: re.Match[str]) -> str:
    """Return valid escapes as they are, a quote and a control character escaped, and a lone backslash as nothing."""
    mark = found[0]
    if found[1]:
        return mark
    return "" if mark == "\\" else json.dumps(mark)[1:-1]
