"""The output of jobs: what there is to read, and reading it through the dashboard.

The dashboard gives the last lines of a file and, in a second form of the same question, whatever is written from then
on; it takes no byte offset. Its websocket (`/api/jobs/ID/logs/tail`) always begins at the start of the file, so it is
not used: ten gigabytes would have to pass before the end.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable

from console.errors import BadAnswer, ConnectionLost, NoSuchJob, SourceError, TimedOut, Unsupported
from console.model import LogChunk, LogStream
from console.text import clean
from console.transport.http import Body
from plugins.ray import commands, wire
from plugins.ray.client import Client
from plugins.ray.joint import Joint
from plugins.ray.nodes import Cluster

QUIET_S = 5.0
"""After so long without a word we ask whether the job is over."""
_LAST_WORDS_S = 3.0
"""How long the end of a job's output may take to come after the job is over: files are looked at each second."""
_READ_S = 20.0
_LINE_BYTES = 64
"""What a line is taken to have, to guess how many lines a number of bytes are."""
_MOST_LINES = 20_000
_FOLLOW_LINES = 2_000
"""How far back a followed stream begins, to meet what was read before."""
_READ_BYTES = 64 << 20
"""What is read at most to get the last lines."""
_FEWER = 16
_MOST_NODES = 32
"""Nodes that are asked for their log files; at more the listing says so by what it lacks."""
_AT_ONCE = 4
_WORKER = re.compile(r"worker-[0-9a-f]+-([0-9a-f]+)-(\d+)\.(out|err)", re.ASCII)
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


async def streams(client: Client, job_id: str, nodes: Cluster) -> tuple[LogStream, ...]:
    """Return the outputs of a job: its driver's first, then what its workers print. Raises SourceError; NoSuchJob."""
    row = await client.job(job_id)
    found = []
    if row.submission_id and row.driver_node_id:
        name = f"job-driver-{row.submission_id}.log"
        found.append(_stream("driver", row.driver_node_id, name, job_id, nodes))
    if row.job_id:
        found += await _workers(client, row.job_id, job_id, row.driver_node_id, nodes)
    return tuple(found)


def _stream(name: str, node: str, file: str, job_id: str, nodes: Cluster) -> LogStream:
    host = nodes.names.get(node, node[:8])
    session = nodes.sessions.get(node)
    return LogStream(
        name=clean(name, limit=256),
        path=f"{session}/logs/{clean(file, limit=512)}" if session else None,
        hosts=(f"ssh:{host}",) if node in nodes.names else (),
        detail=f"{clean(file, limit=512)} on {host}, through the dashboard",
        key={"node": node, "file": file, "job": job_id},
    )


async def _workers(client: Client, job: str, job_id: str, driver: str | None, nodes: Cluster) -> list[LogStream]:
    """Return the files of a job's workers, standard output first. A node that does not answer is passed over."""
    try:
        actors = (await client.actors(job=job)).rows
    except SourceError:
        actors = ()
    names = {(actor.node_id, actor.pid): actor.name or actor.class_name for actor in actors if actor.pid}
    first = {actor.node_id for actor in actors} | {driver}
    asked = sorted(nodes.alive, key=lambda node: (node not in first, nodes.alive[node]))[:_MOST_NODES]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def files(node: str) -> list[str]:
        async with gate:
            try:
                return wire.log_files(await client.ask(commands.log_files(node, f"worker-*-{job}-*")))
            except SourceError:
                return []

    listings = await asyncio.gather(*(files(node) for node in asked))
    found: dict[str, tuple[bool, LogStream]] = {}
    for node, listing in zip(asked, listings, strict=True):
        for file, pid, kind in _worker_files(listing, job):
            who = names.get((node, pid))
            # Where nodes share a directory each lists the files of all.
            if who is None and file in found:
                continue
            name = f"{nodes.alive[node]}/{who or 'worker'}-{pid}" + (" stderr" if kind == "err" else "")
            found[file] = (kind == "err", _stream(name, node, file, job_id, nodes))
    return [stream for _, stream in sorted(found.values(), key=lambda pair: (pair[0], pair[1].name))]


def _worker_files(names: Iterable[str], job: str) -> list[tuple[str, int, str]]:
    """Return (file, process, out or err) of the files that are those of this job's workers."""
    matches = [match for name in names if (match := _WORKER.fullmatch(name)) and match[1] == job]
    return [(match[0], int(match[2]), match[3]) for match in matches]


class RayLog:
    """One log file on one node, read through the dashboard. See `console.plugin.LogReader`."""

    seekable = False

    def __init__(self, client: Client, stream: LogStream) -> None:
        """Unsupported when the stream is not one of `streams`."""
        try:
            self._node, self._file, self._job = (stream.key[name] for name in ("node", "file", "job"))
        except KeyError:
            raise Unsupported("this output is not one of Ray's", clean(stream.name), "list them anew") from None
        self._client = client

    async def tail(self, limit_bytes: int) -> LogChunk:
        """See `LogReader`. Reads no more lines than such a number of bytes usually is."""
        lines = min(max(limit_bytes // _LINE_BYTES, 1), _MOST_LINES)
        while (data := await self._last(lines, limit_bytes)) is None:
            if lines == 1:
                where = f"{clean(self._file)}: {self._client.where}"
                raise BadAnswer(f"its last line is longer than {_READ_BYTES >> 20} MiB", where, "read it on its node")
            lines = max(lines // _FEWER, 1)
        return LogChunk(data=data)

    async def _last(self, lines: int, limit_bytes: int) -> bytes | None:
        """Return the end of the last lines; None when these are too long to be read."""
        data = bytearray()
        seen = 0
        async with self._client.open(commands.log(self._node, self._file, lines, follow=False)) as body:
            while piece := await body.read(_READ_S):
                seen += len(piece)
                if seen > _READ_BYTES:
                    return None
                data += piece
                del data[:-limit_bytes]
        return bytes(data)

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        """See `LogReader`."""
        hint = "the whole file lies on the node that it was written on"
        raise Unsupported("Ray's dashboard reads logs from their end only", self._client.where, hint)

    async def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        """See `LogReader`. Ends when the job is over and nothing comes any more."""
        joint = Joint(after.data)
        over = False
        while not over:
            joint.restart()
            try:
                async with self._client.open(commands.log(self._node, self._file, _FOLLOW_LINES, follow=True)) as body:
                    while not over:
                        data, over = await self._next(body, joint)
                        if data:
                            yield LogChunk(data=data)
            except TimedOut:
                # The dashboard does not even begin its answer while a file is empty.
                over = await self._over()

    async def close(self) -> None:
        """See `LogReader`."""

    async def _next(self, body: Body, joint: Joint) -> tuple[bytes, bool]:
        """Return what is new, and whether that was the last of it."""
        try:
            piece = await body.read(QUIET_S)
        except TimedOut:
            if (held_back := joint.flush()) or not await self._over():
                return held_back, False
            return await self._last_words(body, joint), True
        if piece:
            return joint.feed(piece), False
        if not await self._over():
            raise ConnectionLost(f"the stream of {clean(self._file)} ended", self._client.where, "open it again")
        return joint.flush(), True

    async def _last_words(self, body: Body, joint: Joint) -> bytes:
        data = b""
        try:
            while piece := await body.read(_LAST_WORDS_S):
                data += joint.feed(piece)
        except TimedOut:
            pass
        return data

    async def _over(self) -> bool:
        """Whether the job has come to its end."""
        try:
            return (await self._client.job(self._job)).status in _ENDED
        except NoSuchJob:
            return True
