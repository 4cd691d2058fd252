"""`qd logs [-f] JOB`: its output."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from console.commands.call import Call

if TYPE_CHECKING:
    from console.jobs import JobDesk, JobKey
    from console.logs.stamps import Moment
    from console.model import LogChunk, LogStream
    from console.plugin import LogReader
    from console.render.log import Shown

LINES = 200
PIECE_BYTES = 1 << 20
WHOLE_BYTES = 64 << 20
"""What is read where all is wanted and there is only an end."""
SINCE_BYTES = 256 << 20
"""What is printed at most of what a backend gives from a time on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes a job, which of its outputs, and how much."""
    parser.add_argument("job", metavar="JOB", help="its id, or cluster/id where several clusters have one")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written, until interrupted")
    parser.add_argument("-n", "--lines", metavar="N", help=f"lines from the end ({LINES}); all: 0")
    parser.add_argument("--since", metavar="TIME", help="from a time on: 10m (before its end), 14:02, 2026-11-24T14:02")
    parser.add_argument("--stream", metavar="NAME", help="stdout, stderr, a rank; default: the first of --list")
    parser.add_argument("--ranks", metavar="RANKS", help="several together, each line with its rank: all, 3, 0-3,7")
    parser.add_argument("--list", action="store_true", help="say which outputs there are")
    parser.add_argument("--raw", action="store_true", help="the bytes as they were written, control sequences included")
    parser.add_argument("--wait", metavar="S", help="seconds until a scheduler that is silent has failed (10)")


def run(call: Call) -> int:
    """Print the end of an output. Raises UsageError for what does not exist, SourceError without an answer."""
    from console.errors import UsageError
    from console.logs.ranks import ranges
    from console.logs.stamps import moment

    options = call.options
    for one, other in (("since", "lines"), ("stream", "ranks")):
        if getattr(options, one) is not None and getattr(options, other) is not None:
            raise UsageError(f"--{one} and --{other} do not go together", hint="one of them")
    since = None if options.since is None else moment(options.since)
    chosen = None if options.ranks is None else ranges(options.ranks)
    return asyncio.run(_run(call, _count(str(LINES) if options.lines is None else options.lines), since, chosen))


def _count(text: str) -> int:
    from console.errors import UsageError

    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{text!r} is not a number of lines", "--lines", "--lines 200, or 0 for all")
    return int(text)


async def _run(call: Call, lines: int, since: Moment | None, chosen: tuple[range, ...] | None) -> int:
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
        if chosen is not None and len(streams) > 1:
            reader = await _together(call, desk, key, streams, chosen)
        else:
            reader = await desk.open_log(key, _choose(streams, call.options.stream, key))
        try:
            writer = _Writer(call, chosen, merged=chosen is not None and len(streams) > 1)
            writer.width = max(len(str(stream.rank or 0)) for stream in streams)
            end = await (_print_since(reader, writer, since) if since else _print_end(reader, writer, lines))
            if call.options.follow:
                async for piece in reader.follow(end):
                    if piece.anew:
                        call.complain("qd: the output begins anew")
                    writer.write(piece.data)
            writer.finish()
        finally:
            await reader.close()
    return 0


def _choose(streams: tuple[LogStream, ...], name: str | None, key: JobKey) -> LogStream:
    from console.errors import UsageError

    job = "/".join(key)
    if not streams:
        raise UsageError("it has written nothing yet", job, "qd explain says why it waits")
    for stream in streams:
        if name in (None, stream.name):
            return stream
    raise UsageError(f"it has no output {name}", job, f"outputs: {', '.join(stream.name for stream in streams)}")


async def _together(
    call: Call, desk: JobDesk, key: JobKey, streams: tuple[LogStream, ...], chosen: tuple[range, ...]
) -> LogReader:
    """Return the outputs of several ranks as one; what cannot be read is said."""
    from functools import partial

    from console.errors import UsageError
    from console.logs.merged import AT_MOST, open_merged
    from console.logs.ranks import folded, numbered, wanted

    known = numbered(streams)
    found = [pair for pair in known if not chosen or wanted(pair[0], chosen)]
    if not found:
        raise UsageError("it has no such rank", "/".join(key), f"ranks: {folded([number for number, _ in known])}")
    merged = await open_merged(partial(desk.open_log, key), found)
    for number, error in sorted(merged.failures.items()):
        call.complain(f"qd: {number}: {error}")
    if merged.left_out:
        call.complain(f"qd: {AT_MOST} are read at once, {merged.left_out} are left out; --ranks chooses")
    return merged


async def _print_end(reader: LogReader, writer: _Writer, lines: int) -> LogChunk:
    """Print the last lines, all for 0; return what `follow` goes on after."""
    from console.render.log import is_binary, last_lines

    end = await reader.tail(PIECE_BYTES if lines or reader.seekable else WHOLE_BYTES)
    if is_binary(end.data) and not writer.raw:
        writer.complain("this is no text: what can be shown of it follows; --raw gives the bytes")
    if lines == 0 and reader.seekable and end.start:
        await _print_part(reader, writer, 0, end.start)
    writer.write(last_lines(end.data, lines))
    return end


async def _print_part(reader: LogReader, writer: _Writer, begin: int, end: int) -> int:
    """Print the bytes from `begin` to before `end`; return where it came to."""
    while begin < end:
        piece = await reader.read(begin, min(PIECE_BYTES, end - begin))
        if not piece.data:
            break
        writer.write(piece.data)
        begin += len(piece.data)
    return begin


async def _print_since(reader: LogReader, writer: _Writer, since: Moment) -> LogChunk:
    """Print what was written from a time on; return what `follow` goes on after. NoSuchFile: no line says a time."""
    from console.errors import NoSuchFile
    from console.logs import seek
    from console.logs.merged import MergedLog, from_moment
    from console.model import LogChunk

    if reader.seekable:
        begin = await seek.find_time(reader, since)
        size = (await reader.tail(1)).end or begin
        return LogChunk(data=b"", start=await _print_part(reader, writer, begin, size))
    if isinstance(reader, MergedLog | seek.Timed):
        chunk, whole = await from_moment(reader, since, SINCE_BYTES)
        writer.write(chunk.data)
        if not whole:
            writer.complain(f"this is the first {SINCE_BYTES >> 20} MiB since then")
        return chunk
    # There is the end and nothing else: what it holds is looked through.
    end = await reader.tail(WHOLE_BYTES)
    times = seek.stamped(end.data, 0, whole=True)
    if not times:
        raise NoSuchFile(seek.NO_TIMES, "this output", "its last lines are there without --since")
    wanted = since.before(times[-1][1])
    at = next((at for at, time in times if time.at >= wanted), len(end.data))
    if at == times[0][0]:
        writer.complain("what is older than this is not given")
    writer.write(end.data[at:])
    return end


class _Writer:
    """Writes what came, line by line, cleaned unless it is wanted raw; with colours on a terminal that has them."""

    def __init__(self, call: Call, chosen: tuple[range, ...] | None, *, merged: bool) -> None:
        from console.logs import ansi, ranks
        from console.render.log import Lines

        self._call = call
        self.raw = call.options.raw
        """Whether the bytes are wanted as they are."""
        self._chosen = chosen
        self.width = 1
        """Cells that the widest rank takes."""
        self._colours = ansi.depth(call.environ) if sys.stdout is not None and sys.stdout.isatty() else 0
        self._decided = merged or chosen is None
        self._lines = Lines(ranks.MERGED if merged else None)

    def complain(self, line: str) -> None:
        """Say something beside the output."""
        self._call.complain(f"qd: {line}")

    def write(self, data: bytes) -> None:
        """Print the lines that are complete."""
        if self.raw:
            self._call.say_bytes(data)
            return
        if not self._decided:
            self._decide(data)
        for line in self._lines.take(data):
            self._print(line)
        self._call.flush()

    def _decide(self, data: bytes) -> None:
        """See how the lines of one output that several ranks write say their rank. UsageError when they do not."""
        from console.errors import UsageError
        from console.logs.ranks import form, split
        from console.render.log import Lines

        self._decided = True
        sample = Lines().feed(data)[:500]
        pattern = form(sample)
        if pattern is None:
            hint = "srun -l, torchrun and mpirun --tag-output write them"
            raise UsageError("it is one output, and its lines do not say which rank wrote them", "--ranks", hint)
        self._lines = Lines(pattern)
        self.width = max(len(str(split(pattern, line)[0] or 0)) for line in sample)

    def _print(self, line: Shown) -> None:
        from console.logs import ansi, ranks

        before = ""
        if self._lines.form is not None:
            if self._chosen and not ranks.wanted(line.rank, self._chosen):
                return
            self.width = max(self.width, len(str(line.rank or 0)))
            text, style = ranks.gutter(line.rank, self.width)
            span = (ansi.Span(0, len(text), style),) if style.startswith(ansi.PREFIX) else ()
            before = ansi.painted(text, span, self._colours)
        self._call.say(before + ansi.painted(line.text, line.spans, self._colours))

    def finish(self) -> None:
        """Print what has no line end."""
        if not self.raw and (rest := self._lines.last()).text:
            self._print(rest)
