"""`qd logs [-f] JOB`: its output."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from console.commands.call import Call

if TYPE_CHECKING:
    from console.model import LogStream
    from console.plugin import LogReader

LINES = 200
PIECE_BYTES = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes a job, which of its outputs, and how much."""
    parser.add_argument("job", metavar="JOB", help="its id, or cluster/id where several clusters have one")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written, until interrupted")
    parser.add_argument("-n", "--lines", metavar="N", default=str(LINES), help=f"lines from the end ({LINES}); all: 0")
    parser.add_argument("--stream", metavar="NAME", help="stdout, stderr, a rank; default: the first of --list")
    parser.add_argument("--list", action="store_true", help="say which outputs there are")
    parser.add_argument("--raw", action="store_true", help="the bytes as they were written, control sequences included")
    parser.add_argument("--wait", metavar="S", help="seconds until a scheduler that is silent has failed (10)")


def run(call: Call) -> int:
    """Print the end of an output. Raises UsageError for what does not exist, SourceError without an answer."""
    return asyncio.run(_run(call, _count(call.options.lines)))


def _count(text: str) -> int:
    from console.errors import UsageError

    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{text!r} is not a number of lines", "--lines", "--lines 200, or 0 for all")
    return int(text)


async def _run(call: Call, lines: int) -> int:
    from console.commands.state import jobs_listed
    from console.plugin import Logs

    async with jobs_listed(call) as session:
        desk = session.desk
        key = await desk.find(call.options.job, list(session.store.jobs), Logs)
        streams = await desk.log_streams(key)
        if call.options.list:
            for stream in streams:
                call.say("  ".join(part for part in (stream.name, stream.path, stream.detail) if part))
            return 0
        reader = await desk.open_log(key, _choose(streams, call.options.stream, key))
        try:
            await _print(call, reader, lines)
        finally:
            await reader.close()
    return 0


def _choose(streams: tuple[LogStream, ...], name: str | None, key: tuple[str, str]) -> LogStream:
    from console.errors import UsageError

    job = "/".join(key)
    if not streams:
        raise UsageError("it has written nothing yet", job, "qd explain says why it waits")
    for stream in streams:
        if name in (None, stream.name):
            return stream
    raise UsageError(f"it has no output {name}", job, f"outputs: {', '.join(stream.name for stream in streams)}")


async def _print(call: Call, reader: LogReader, lines: int) -> None:
    from console.render.log import last_lines

    writer = _Writer(call, raw=call.options.raw)
    end = await reader.tail(PIECE_BYTES)
    if lines == 0 and reader.seekable and end.start:
        offset = 0
        while offset < end.start:
            piece = await reader.read(offset, min(PIECE_BYTES, end.start - offset))
            if not piece.data:
                break
            writer.write(piece.data)
            offset += len(piece.data)
    writer.write(last_lines(end.data, lines))
    if call.options.follow:
        async for piece in reader.follow(end):
            if piece.anew:
                call.complain("qd: the output begins anew")
            writer.write(piece.data)
    writer.finish()


class _Writer:
    """Writes what came, line by line, cleaned unless it is wanted raw."""

    def __init__(self, call: Call, *, raw: bool) -> None:
        from console.render.log import Lines

        self._call = call
        self._raw = raw
        self._lines = Lines()

    def write(self, data: bytes) -> None:
        """Print the lines that are complete."""
        if self._raw:
            self._call.say_bytes(data)
            return
        for line in self._lines.feed(data):
            self._call.say(line)
        self._call.flush()

    def finish(self) -> None:
        """Print what has no line end."""
        if rest := self._lines.rest():
            self._call.say(rest)
