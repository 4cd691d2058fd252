"""What goes wrong on the way to a service over HTTP, in the console's words."""

from __future__ import annotations

import os
import re
import ssl

from console.errors import BadAnswer, ConnectionLost, Denied, SourceError, TimedOut, Unreachable
from console.text import clean

_TAGS = re.compile(r"<(?:style|script|title)\b.*?</|<[^>]*>?", re.DOTALL)


class Translated:
    """Turns what aiohttp, sockets and deadlines raise into a SourceError."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self._name = name
        self._timeout_s = timeout_s

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, SourceError):
            return
        if isinstance(error, TimeoutError):
            raise TimedOut(f"no answer within {self._timeout_s:g} s", self._name, "is its host overloaded?") from None
        if isinstance(error, (OSError, ValueError)) or type(error).__module__.startswith("aiohttp."):
            raise source_error(error, self._name) from None


def source_error(error: BaseException, name: str) -> SourceError:
    """Return what an error of aiohttp or of a socket means; `name` is the service."""
    import aiohttp

    words = clean(getattr(error, "message", None) or str(error), limit=200)
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(getattr(error, "os_error", None), ssl.SSLError):
        cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
        hint = "name the authority that signed it: ca_file"
        return Denied(f"its certificate is not trusted: {clean(str(cause), limit=200)}", name, hint)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable("there is no such host", name, "look at the name in the configuration, and at DNS")
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        reason = os.strerror(number) if number > 0 else words
        return Unreachable(f"no connection: {reason}", name, "does the service listen there?")
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError, OSError)):
        return ConnectionLost(f"the line was cut: {words or 'without a word'}", name, "it is asked again soon")
    return BadAnswer(f"this is no HTTP that can be read: {words}", name, "does another service listen there?")


def gist(body: bytes) -> str:
    """Return what the body of a failure says, in one clean line: the end of a traceback, the text of a page."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("Traceback "):
        text = text.rpartition("\n")[2]
    elif text.startswith("<"):
        text = _TAGS.sub(" ", text).strip()
    return clean(text, limit=300)
