"""TOML files whose mistakes are named: file, line, key, and the nearest valid key.

`tomllib` says what a file means but not where; `key_lines` says on which line each key stands. `convert`
checks a table against a type, strictly; the errors of both are ConfigErrors that a person can act on.
"""

from __future__ import annotations

import types
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from console.errors import ConfigError
from console.text import clean

KeyPath = tuple[str | int, ...]
"""`("cluster", 1, "name")` is the name of the second `[[cluster]]`."""

T = TypeVar("T")

MAX_BYTES = 1 << 20
"""A configuration larger than this is some other file."""


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file that was read: its values and where they stand."""

    path: Path
    values: dict[str, Any]
    text: str = field(repr=False)

    def where(self, key: KeyPath) -> str:
        """Return `file:line: key` for the key or, where it is not written, the nearest table around it."""
        lines = key_lines(self.text)
        for depth in range(len(key), 0, -1):
            if key[:depth] in lines:
                return f"{self.path}:{lines[key[:depth]]}: {show_key(key)}"
        return f"{self.path}: {show_key(key)}" if key else str(self.path)

    def error(self, key: KeyPath, what: str, hint: str = "") -> ConfigError:
        """Return the error of one key."""
        return ConfigError(clean(what), clean(self.where(key)), clean(hint))


class MisfitError(Exception):
    """A value that does not fit its type; `key` is where, below what was checked."""

    def __init__(self, key: KeyPath, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.key = key
        self.what = what
        self.hint = hint


def read(path: Path) -> Document:
    """Return a file that exists. Raises FileNotFoundError when it does not, ConfigError when it cannot be
    used."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        hint = "it must be a file that this user may read"
        raise ConfigError(f"cannot be read ({error.strerror})", clean(str(path)), hint) from None
    if len(data) > MAX_BYTES:
        what = f"is larger than {MAX_BYTES} bytes, which no configuration is"
        raise ConfigError(what, clean(str(path)), "name the file that was meant")
    return parse(path, data)


def parse(path: Path, data: bytes) -> Document:
    """Return the document of these bytes; ConfigError with the line when they are not TOML."""
    try:
        text = data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("is not UTF-8 text", clean(f"{path}:{line}"), "save it as UTF-8") from None
    import tomllib  # ten milliseconds that only those pay who have a configuration

    try:
        return Document(path, tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as error:
        what, line_number = _syntax(str(error), text)
        hint = "text stands in quotes, tables in [brackets]; https://toml.io shows the rest"
        raise ConfigError(clean(f"is not TOML: {what}"), clean(f"{path}:{line_number}"), hint) from None
    except RecursionError:
        what = "is not TOML that anybody wrote: nested too deeply"
        raise ConfigError(what, clean(str(path)), "name the file that was meant") from None


def convert(document: Document, key: KeyPath, value: object, kind: type[T]) -> T:
    """Return a value of the document as `kind`, strictly; ConfigError names file, line, key and nearest
    key."""
    try:
        return check(value, kind)
    except MisfitError as fault:
        raise document.error(key + fault.key, fault.what, fault.hint) from None


def check(value: object, kind: type[T]) -> T:
    """Return a plain value as `kind`, strictly. Raises MisfitError for the first thing that does not fit."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        for fault in _faults(value, kind):
            raise fault from None
        # No part is wrong by itself, so the whole is: a rule of the type's own (__post_init__).
        raise MisfitError((), *plain(error)) from None


def show_key(key: KeyPath) -> str:
    """Return a key path as people write it: `cluster[2].name`, counted from 1."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            quoted = part if part.replace("-", "").replace("_", "").isalnum() else f'"{part}"'
            text += f".{quoted}" if text else quoted
    return text


def _faults(value: object, kind: Any) -> list[MisfitError]:
    """Return what does not fit, each with its key; empty when every part fits."""
    struct = _struct_of(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if struct is not None and isinstance(value, dict):
        return _struct_faults(value, struct)
    if origin is dict and isinstance(value, dict):
        return [_under(key, fault) for key, item in value.items() for fault in _faults(item, arguments[1])]
    if origin in (list, tuple) and isinstance(value, list) and arguments:
        return [_under(index, fault) for index, item in enumerate(value) for fault in _faults(item, arguments[0])]
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return [MisfitError((), *plain(error))]
    return []


def _struct_faults(value: dict[str, Any], struct: type[msgspec.Struct]) -> list[MisfitError]:
    from console.suggest import nearest

    fields = {item.encode_name: item for item in msgspec.structs.fields(struct)}
    faults: list[MisfitError] = []
    for key, item in value.items():
        if key in fields:
            faults += [_under(key, fault) for fault in _faults(item, fields[key].type)]
            continue
        close = nearest(key, fields)
        hint = f"did you mean {close}?" if close else f"valid: {', '.join(sorted(fields))}"
        faults.append(MisfitError((key,), "unknown key", hint))
    for key, described in fields.items():
        if described.required and key not in value:
            faults.append(MisfitError((key,), "missing key", f"add {key} = …"))
    return faults


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a type is or may be (`Struct | None`), None when it is none."""
    candidates = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _under(key: str | int, fault: MisfitError) -> MisfitError:
    return MisfitError((key, *fault.key), fault.what, fault.hint)


_WORDS: Mapping[str, str] = types.MappingProxyType(
    {
        "str": "text in quotes",
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "array": "a list",
        "object": "a table",
        "null": "nothing",
    }
)


_WRITTEN: Mapping[str, str] = types.MappingProxyType(
    {
        "str": 'put it into quotes: "…"',
        "int": "write it without quotes and point, for example 8",
        "float": "write it without quotes, for example 2.5",
        "bool": "write it without quotes: true or false",
        "array": 'write it in brackets, for example ["a", "b"]',
        "object": "write it as [key] on a line of its own, with its keys on the lines below",
    }
)
_ANY_HINT = "docs/configuration.md says what each key takes; left out, it has its default"


def plain(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return msgspec's message in the words of TOML, and how to write what is wanted."""
    message = str(error).partition(" - at `")[0]
    wanted, got = message.removeprefix("Expected "), ""
    if message.startswith("Expected `") and "`, got `" in message:
        wanted, got = message.removeprefix("Expected `").rstrip("`").split("`, got `")
        kinds = [name for name in wanted.split(" | ") if name != "null"]
        names = [_WORDS.get(name, name) for name in kinds]
        what = f"must be {' or '.join(dict.fromkeys(names))}, not {_WORDS.get(got, got)}"
        return what, _WRITTEN.get(kinds[0], _ANY_HINT)
    if message.startswith("Expected `"):
        kind, _, rule = wanted.removeprefix("`").partition("`")
        return f"must be {_WORDS.get(kind, kind)}{rule}", _ANY_HINT
    return message[:1].lower() + message[1:], _ANY_HINT


def _syntax(message: str, text: str) -> tuple[str, int]:
    """Return tomllib's complaint without its position, and the line."""
    what, _, position = message.rpartition(" (at ")
    if position.startswith("line "):
        return what, int(position.removeprefix("line ").partition(",")[0])
    return what or message, text.rstrip("\n").count("\n") + 1


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line (from 1) of every key, table and list element of a valid TOML text."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


_SPACE = " \t"
_BLANK = " \t\n"
_BARE_END = ",]}#\n"


class _Scanner:
    """Walks over a text that tomllib accepts and notes where keys stand; it reads no values."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._starts = [0] + [index + 1 for index, char in enumerate(text) if char == "\n"]
        self._elements: dict[KeyPath, int] = {}
        """Arrays of tables to the number of their elements so far."""

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip(_BLANK):
            if self._peek("[["):
                self._at += 2
                table = self._open(self._keys("]"), element=True)
                self._at += 2
            elif self._peek("["):
                self._at += 1
                table = self._open(self._keys("]"), element=False)
                self._at += 1
            else:
                self._pair(table)

    def _open(self, keys: tuple[str, ...], element: bool) -> KeyPath:
        """Return the path that a table header means; inside an array of tables it means the last element."""
        path: KeyPath = ()
        for depth, key in enumerate(keys, 1):
            path += (key,)
            if element and depth == len(keys):
                self._note(path)
                self._elements[path] = self._elements.get(path, 0) + 1
            if path in self._elements:
                path += (self._elements[path] - 1,)
            self._note(path)
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        path = table
        for key in self._keys("="):
            path += (key,)
            self._note(path, start)
        self._at += 1
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip(_SPACE)
        for quote in ('"""', "'''", '"', "'"):
            if self._peek(quote):
                self._string(quote)
                return
        if self._peek("["):
            self._list(path)
        elif self._peek("{"):
            self._inline(path)
        else:
            while self._at < len(self._text) and self._text[self._at] not in _BARE_END:
                self._at += 1

    def _list(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._skip(_BLANK + ",") and not self._peek("]"):
            element: KeyPath = (*path, index)
            self._note(element)
            self._value(element)
            index += 1
        self._at += 1

    def _inline(self, path: KeyPath) -> None:
        self._at += 1
        while self._skip(_BLANK + ",") and not self._peek("}"):
            self._pair(path)
        self._at += 1

    def _keys(self, end: str) -> tuple[str, ...]:
        """Return the parts of a dotted key; stops at `end`."""
        keys: list[str] = []
        while self._skip(_SPACE + ".") and not self._peek(end):
            start = self._at
            if self._text[start] in "\"'":
                self._string(self._text[start])
                keys.append(_unquoted(self._text[start : self._at]))
            else:
                while self._text[self._at] not in f"{_SPACE}.{end}":
                    self._at += 1
                keys.append(self._text[start : self._at])
        return tuple(keys)

    def _string(self, quote: str) -> None:
        self._at += len(quote)
        while not self._peek(quote):
            self._at += 2 if self._text[self._at] == "\\" and quote[0] == '"' else 1
        self._at += len(quote)
        # A long string may end in up to two quotes of its own.
        while len(quote) == 3 and self._peek(quote[0]):
            self._at += 1

    def _skip(self, blanks: str) -> bool:
        """Pass over blanks and, where lines may end, comments; False at the end of the text."""
        while self._at < len(self._text):
            if self._text[self._at] in blanks:
                self._at += 1
            elif self._text[self._at] == "#" and "\n" in blanks:
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                return True
        return False

    def _peek(self, word: str) -> bool:
        return self._text.startswith(word, self._at)

    def _note(self, path: KeyPath, at: int | None = None) -> None:
        self.lines.setdefault(path, bisect_right(self._starts, self._at if at is None else at))


def _unquoted(key: str) -> str:
    """Return a quoted key without its quotes and escapes."""
    import tomllib

    return next(iter(tomllib.loads(f"{key} = 0")))
