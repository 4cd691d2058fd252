"""Secrets by reference: the configuration says where one lies, never what it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from console.errors import ConfigError, Denied
from console.text import clean

_LIMIT_BYTES = 64 << 10
_EXAMPLE = 'for example "env:RAY_AUTH_TOKEN" or "file:~/.ray/auth_token"'


class Token(Protocol):
    """Whoever has a token to show."""

    def read(self) -> str:
        """Return it. Denied when there is none."""


class Secret:
    """A token in an environment variable (`env:NAME`) or a file (`file:PATH`), read each time it is needed.

    Files rotate, so nothing is remembered. Neither `repr` nor any error shows what is in it.
    """

    def __init__(self, reference: str, environ: Mapping[str, str]) -> None:
        """ConfigError when `reference` is none; it is not shown then, for it may be the token itself."""
        kind, colon, self._place = reference.partition(":")
        if kind not in ("env", "file") or not colon or not self._place or not self._place.isprintable():
            raise ConfigError("a token is named by where it lies, not written down", "token", _EXAMPLE)
        self._in_file = kind == "file"
        self._environ = environ
        self.where = f"{kind}:{clean(self._place)}"
        """The reference, for people."""

    def __repr__(self) -> str:
        return f"Secret({self.where!r})"

    def read(self) -> str:
        """Return it. Denied when it is not there, may not be read, or cannot be a token."""
        if not self._in_file:
            if (value := self._environ.get(self._place)) is None:
                raise Denied("the variable that should hold the token is not set", self.where, f"export {self._place}")
        else:
            try:
                with Path(self._place).expanduser().open("rb") as file:
                    value = file.read(_LIMIT_BYTES).decode("utf-8", "replace")
            except (OSError, RuntimeError) as error:
                reason = getattr(error, "strerror", None) or "there is no home directory"
                raise Denied(f"the token cannot be read: {reason}", self.where, "check the file") from None
        value = value.strip()
        if not value or any(not "!" <= char <= "~" for char in value):
            raise Denied("what is there is no token", self.where, "it must be one word of plain characters")
        return value
