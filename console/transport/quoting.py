"""Argument lists as one command line that every login shell reads alike.

SSH carries a command as one string that the user's login shell reads: sh, bash, zsh, but also csh and fish.
Single quotes mean the same in all of them, except around a backslash (fish), an exclamation mark or a newline
(csh). What holds one of these travels as octal and is put together by /bin/sh.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

_PLAIN = re.compile(rb"[A-Za-z0-9_@%+=:,./-]+")
_HARD = re.compile(rb"[\\!'\n\r\x80-\xff\x01-\x1f\x7f]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_REBUILD = """for a do shift; a=$(printf %bx "$a"); set -- "$@" "${a%x}"; done; """
"""Undo the octal. The `x` keeps newlines at the end, which `$( )` would drop."""


def quote(argument: str | bytes) -> str:
    """Return one argument quoted for any login shell. ValueError when only `command_line` carries it."""
    data = os.fsencode(argument)
    if b"\0" in data or _HARD.search(data):
        raise ValueError("an argument that login shells read differently, or not at all")
    return _single(data)


def command_line(script: str, argv: Sequence[str | bytes]) -> str:
    """Return a command line that runs the /bin/sh `script` with `argv` as its `"$@"`.

    The login shell replaces itself by /bin/sh. `script` is ours and free of single quotes, backslashes,
    exclamation marks and newlines. ValueError for a NUL byte in an argument.
    """
    arguments = [os.fsencode(argument) for argument in argv]
    if any(b"\0" in argument for argument in arguments):
        raise ValueError("an argument cannot hold a NUL byte")
    if any(_HARD.search(argument) for argument in arguments):
        script = _REBUILD + script
        arguments = [_octal(argument) for argument in arguments]
    words = ["exec /bin/sh -c", quote(script), "sh", *(_single(argument) for argument in arguments)]
    return " ".join(words)


def with_environment(argv: Sequence[str], env: Mapping[str, str] | None) -> list[str]:
    """Return `argv` led by env(1) where variables are to be set. ValueError for a name that is none."""
    if not env:
        return list(argv)
    for name in env:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not the name of an environment variable: {name!r}")
    return ["env", *(f"{name}={value}" for name, value in env.items()), *argv]


def _octal(argument: bytes) -> bytes:
    """Return the argument as printf's `%b` takes it."""
    return _HARD.sub(lambda match: b"\\0%03o" % match.group()[0], argument)


def _single(data: bytes) -> str:
    """Return ASCII bytes as one word; a quoted backslash before a digit is itself in every shell."""
    text = data.decode("ascii")
    return text if _PLAIN.fullmatch(data) else f"'{text}'"
