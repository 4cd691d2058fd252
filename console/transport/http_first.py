"""Services that say more than one answer to one question: the first counts.

slurmrestd sends every failure twice, the second time after it has said that the line ends, and aiohttp then throws
both away.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from aiohttp.client_proto import ResponseHandler

_CLOSES = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d{1,18})", re.IGNORECASE)
_END = b"\r\n\r\n"
_HEAD_BYTES = 64 << 10


class FirstAnswer(ResponseHandler):
    """Lets nothing through that comes after an answer with `Connection: close`."""

    _head = b""
    _left: int | None = None
    """Bytes that still belong to the answer; None: its head is not whole yet."""

    def set_response_params(self, **params: Any) -> None:
        """Begin with the next answer; aiohttp calls this before each question."""
        self._head, self._left = b"", None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what came, the head as a whole."""
        if self._left is None:
            data = self._head = self._head + data
            end = data.find(_END)
            if end < 0 and len(data) <= _HEAD_BYTES:
                return
            head = data[: end + len(_END)]
            length = _LENGTH.search(head) if _CLOSES.search(head) else None
            self._left = len(head) + int(length[1]) if length else sys.maxsize
        data = data[: self._left]
        self._left -= len(data)
        if data:
            super().data_received(data)
