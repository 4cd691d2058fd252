"""The output of pods, read through the API server from the kubelets of their nodes.

A kubelet gives the end of a log by lines only, and no place in it by bytes: so there is a tail, and what follows. Lines
are asked for with their times, which are taken off again: that is how `follow` goes on where `tail` ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from console.errors import CommandFailed, NoSuchFile, SourceError, TimedOut, Unreachable, Unsupported
from console.model import LogChunk, LogStream
from console.text import clean
from plugins.kubernetes.board import Board
from plugins.kubernetes.client import Client
from plugins.kubernetes.explain import the_job
from plugins.kubernetes.failures import Missing
from plugins.kubernetes.jobs import rank_name
from plugins.kubernetes.objects import PodObject
from plugins.kubernetes.pods import Pod

_LINE_BYTES = 64
"""A tail of so many bytes is asked for as so many lines: short ones, rather too many than too few."""
_MAX_LINES = 200_000
_HEAD = 64
"""A time at the head of a line is no longer than this."""
_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 30.0


def streams(board: Board, job_id: str, cluster: str) -> tuple[LogStream, ...]:
    """Return the outputs of a job: the containers of its pods, in the order of ranks. NoSuchJob."""
    pods = board.pods_of(the_job(board, job_id, cluster))
    return tuple(_stream(pod, container) for pod in pods for container in pod.containers)


def _stream(pod: Pod, container: str) -> LogStream:
    name = f"rank {pod.rank}" if pod.rank is not None and not pod.role else rank_name(pod)
    if len(pod.containers) > 1:
        name = f"{name}/{container}"
    where = f" on {pod.node}" if pod.node else ", which has no node"
    return LogStream(
        name=name,
        rank=pod.rank,
        detail=f"kubectl logs -n {pod.namespace} {pod.name} -c {container}{where}",
        key={"namespace": pod.namespace, "pod": pod.name, "container": container},
    )


class PodLog:
    """The output of one container. See `LogReader`."""

    seekable = False

    def __init__(self, client: Client, stream: LogStream) -> None:
        key = stream.key
        self._client = client
        self._pod = f"/api/v1/namespaces/{quote(key['namespace'], safe='')}/pods/{quote(key['pod'], safe='')}"
        self._container = key["container"]
        self._name = clean(f"{key['namespace']}/{key['pod']}, container {key['container']}")
        self._last = b""
        """Time of the last line that was given."""
        self._same = 0
        """Lines of that very time that were given."""

    async def tail(self, limit_bytes: int) -> LogChunk:
        """See `LogReader`."""
        lines: deque[bytes] = deque()
        size = 0
        params = self._params(tailLines=str(min(max(limit_bytes // _LINE_BYTES, 10), _MAX_LINES)))
        timeout_s = self._client.timeout_s
        self._last, self._same = b"", 0
        try:
            async with asyncio.timeout(timeout_s), self._opened(params, total_s=timeout_s) as pieces:
                async for line in _lines(pieces):
                    text = self._text(line)
                    lines.append(text)
                    size += len(text)
                    while size > limit_bytes and len(lines) > 1:
                        size -= len(lines.popleft())
        except TimeoutError:
            raise self._silent(timeout_s) from None
        data = b"".join(lines)
        return LogChunk(data=data[-limit_bytes:] if len(data) > limit_bytes else data)

    async def since(self, at: float, limit_bytes: int) -> tuple[LogChunk, bool]:
        """Return what was written since a time (seconds since 1970, the kubelet's clock), and whether all of it."""
        time = datetime.fromtimestamp(max(at, 0.0), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        data = bytearray()
        self._last, self._same = b"", 0
        timeout_s = self._client.timeout_s
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._opened(self._params(sinceTime=time), total_s=timeout_s) as pieces,
            ):
                async for line in _lines(pieces):
                    data += self._text(line)
                    if len(data) >= limit_bytes:
                        return LogChunk(data=bytes(data)), False
        except TimeoutError:
            raise self._silent(timeout_s) from None
        return LogChunk(data=bytes(data)), True

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        """See `LogReader`: kubelets know no offsets."""
        raise Unsupported("a pod's log can be read at its end only", self._name, "save it: kubectl logs > FILE")

    async def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        """See `LogReader`. Ends when the container has ended for good."""
        pause = _PAUSE_S
        while True:
            try:
                async with contextlib.aclosing(self._follow_once()) as chunks:
                    async for chunk in chunks:
                        pause = _PAUSE_S
                        yield chunk
                if await self._ended():
                    return
            except NoSuchFile:
                if await self._ended():
                    raise
            except Unreachable:
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """See `LogReader`: a stream ends with its reader."""

    # ---- reading

    async def _follow_once(self) -> AsyncGenerator[LogChunk, None]:
        params = self._params(follow="true")
        if self._last:
            params["sinceTime"] = self._last.decode("ascii")
        else:
            params["tailLines"] = "0"
        last, repeated = self._last, self._same
        async with self._opened(params, total_s=None) as pieces:
            async for line in _lines(pieces):
                time = _time(line)
                if time and last and (time < last or (time == last and repeated > 0)):
                    repeated -= time == last
                    continue
                yield LogChunk(data=self._text(line))

    def _text(self, line: bytes) -> bytes:
        """Return a line without its time, and remember that."""
        time = _time(line)
        if not time:
            return line
        self._same = self._same + 1 if time == self._last else 1
        self._last = time
        return line[len(time) + 1 :]

    def _params(self, **more: str) -> dict[str, str]:
        return {"container": self._container, "timestamps": "true", **more}

    @contextlib.asynccontextmanager
    async def _opened(self, params: dict[str, str], *, total_s: float | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the log; says truthfully why there is none."""
        try:
            async with self._client.stream(f"{self._pod}/log", params, total_s=total_s) as (status, pieces):
                if status == 204:
                    raise NoSuchFile("the pod has no node yet, so it has no log", self._name, "qd explain tells why")
                yield pieces
        except Missing:
            raise NoSuchFile("the pod is gone, and its log with it", self._name, "look where logs are kept") from None
        except CommandFailed as error:
            said = error.what.partition(": ")[2] or error.what
            raise NoSuchFile(f"there is no log yet: {said}", self._name, "qd explain tells what it waits for") from None
        except TimedOut:
            raise self._silent(self._client.timeout_s) from None

    def _silent(self, seconds: float) -> TimedOut:
        what = f"the kubelet of its node gives no log within {seconds:.0f} s"
        return TimedOut(what, self._name, "the API server is well; see how the node is")

    async def _ended(self) -> bool:
        """Whether no more output can come: the pod ended or is gone."""
        try:
            pod = msgspec.json.decode(await self._client.get(self._pod), type=PodObject)
        except Missing:
            return True
        except (SourceError, msgspec.MsgspecError):
            return False
        return pod.status.phase in ("Succeeded", "Failed")


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield lines with their ends; one without an end that is very long comes in pieces."""
    rest = b""
    async for piece in pieces:
        rest += piece
        while (end := rest.find(b"\n")) >= 0:
            yield rest[: end + 1]
            rest = rest[end + 1 :]
        if len(rest) > 1 << 20:
            yield rest
            rest = b""
    if rest:
        yield rest


def _time(line: bytes) -> bytes:
    """Return the time at the head of a line, empty where there is none (the rest of a long line)."""
    head, space, _ = line[:_HEAD].partition(b" ")
    return head if space and len(head) >= 20 and head[4:5] == b"-" and head[10:11] == b"T" else b""
