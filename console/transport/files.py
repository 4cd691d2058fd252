"""Reads a file on a machine piece by piece: its end, any part, and what is appended. Never the whole of it.

Every piece is one short command there (`stat`, `tail`, `head`), so that nothing stays behind on the machine, a file
system that hangs costs that command its deadline and nobody else anything, and a file of any size opens at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from console.errors import BadAnswer, Denied, NoSuchFile, SourceError, Unsupported
from console.model import LogChunk
from console.text import clean
from console.transport.base import Completed, Transport

TIMEOUT_S = 10.0
FOLLOW_BYTES = 1 << 20
"""The most that one look at a growing file brings."""
FOLLOW_FAST_S, FOLLOW_SLOW_S = 0.5, 4.0
"""How long to rest after a look that brought something, and at most after looks that did not."""

GONE_S = 5.0
"""So long a file that is followed may be gone before that is said."""
_WITNESS_BYTES = 64
"""What was read last is compared: a file that was truncated and has grown past its old end since is another one."""
SEARCH_TIMEOUT_S = 60.0
_SEARCH_BYTES_PER_S = 20 << 20
"""A file system that searches slower than this is taken as hung, after SEARCH_TIMEOUT_S."""
_SEARCH_KIB = 1 << 20
_BLOCK = 1 << 20

_ABSENT, _FORBIDDEN, _NO_FILE, _NO_SEARCH = 44, 45, 46, 47
_CHECK = f"""
[ -e "$1" ] || {{ ls -d -- "$1" 2>&1 >/dev/null | grep -q ermission && exit {_FORBIDDEN}; exit {_ABSENT}; }}
[ -f "$1" ] || exit {_NO_FILE}
[ -r "$1" ] || exit {_FORBIDDEN}
"""
_SCRIPT = f"""{_CHECK}
f=$1 o=$2 n=$3
set -- $(stat -L -c '%s %d:%i' -- "$f") || exit 1
[ "$o" -ge 0 ] || o=$(($1 + o))
[ "$o" -ge 0 ] || o=0
echo "$1 $2 $o"
[ "$o" -ge "$1" ] || [ "$n" -eq 0 ] || tail -c +$((o + 1)) -- "$f" | head -c "$n"
"""
_SEARCH = f"""{_CHECK}
echo x | grep -obiaF -e x >/dev/null 2>&1 || exit {_NO_SEARCH}
{{
    dd bs={_BLOCK} skip="$2" count=0 2>/dev/null
    ulimit -v {_SEARCH_KIB} 2>/dev/null
    grep -obiaF -e "$3" 2>/dev/null || [ $? -eq 1 ] || echo no
}} <"$1" | cut -d: -f1 | awk -v b="$4" -v e="$5" '
$1 == "no" {{ exit {_NO_SEARCH} }} $1 >= b && $1 < e {{ last = $1 }} END {{ print last }}'
"""
"""grep reads the file itself, from where dd has put it to the end: twice as fast as through a pipe. Of a line that has
no end grep takes memory for all of it, so it may not have more than some."""


class FileReader:
    """One file of one machine; a `console.plugin.LogReader`."""

    seekable = True

    def __init__(self, transport: Transport, path: str) -> None:
        self.path = path
        self.patience = 1.0
        """How many times longer than usual `follow` rests: who follows many files does not hurry in each."""
        self._transport = transport
        self._identity: bytes | None = None

    async def tail(self, limit_bytes: int) -> LogChunk:
        """Return its last bytes. Raises NoSuchFile, Denied, and what the transport raises."""
        _, chunk = await self._piece(-limit_bytes, limit_bytes)
        return chunk

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        """Return bytes from an offset; none past its end."""
        _, chunk = await self._piece(max(offset, 0), limit_bytes)
        return chunk

    async def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        """Yield what is appended after a chunk, and all of a file that took its place, for ever. Raises SourceError."""
        offset, rest = after.end or 0, FOLLOW_FAST_S
        seen = after.data[-_WITNESS_BYTES:]
        gone_s = 0.0
        while True:
            try:
                chunk = await self._after(offset, seen)
            except NoSuchFile:
                # Who rotates a file by its name takes it away first.
                if gone_s >= GONE_S:
                    raise
                gone_s += FOLLOW_FAST_S * self.patience
                await asyncio.sleep(FOLLOW_FAST_S * self.patience)
                continue
            gone_s = 0.0
            if chunk.data or chunk.anew:
                offset, seen = chunk.end or 0, (b"" if chunk.anew else seen) + chunk.data
                seen = seen[-_WITNESS_BYTES:]
                yield chunk
            rest = FOLLOW_FAST_S if chunk.data else min(rest * 1.5, FOLLOW_SLOW_S)
            if len(chunk.data) < FOLLOW_BYTES:
                await asyncio.sleep(rest * self.patience)

    async def _after(self, offset: int, seen: bytes) -> LogChunk:
        """Return what follows an offset, or the beginning of another file or of the same one written anew."""
        # Over NFS what is written is at times read as zeros first: these prove nothing.
        seen = b"" if b"\0" in seen else seen
        known = self._identity
        size, chunk = await self._piece(offset - len(seen), FOLLOW_BYTES + len(seen))
        other = known is not None and known != self._identity
        if size < offset or other or not chunk.data.startswith(seen):
            _, chunk = await self._piece(0, FOLLOW_BYTES)
            return LogChunk(data=chunk.data, start=0, anew=True)
        return LogChunk(data=chunk.data[len(seen) :], start=offset)

    async def search(self, words: bytes, begin: int, end: int) -> int | None:
        """Return the byte of the last place in [begin, end) at which words begin, ASCII in upper or lower case.

        The machine of the file does it, with `grep`. Raises SourceError; Unsupported where its grep tells no offsets.
        """
        skipped = begin // _BLOCK
        base = skipped * _BLOCK
        numbers = (skipped, words.decode("utf-8", "surrogateescape"), begin - base, end - base)
        argv = ["sh", "-c", _SEARCH, "sh", self.path, *map(str, numbers)]
        timeout_s = SEARCH_TIMEOUT_S + (end - begin) / _SEARCH_BYTES_PER_S
        done = await self._transport.run(argv, timeout_s=timeout_s, env={"LC_ALL": "C"}, limit_bytes=4096)
        self._check(done)
        found = done.stdout.strip()
        if done.exit_status != 0 or not (found.isdigit() or not found):
            raise Unsupported("its grep cannot search in pieces", self._where, "the file is read here instead")
        return base + int(found) if found else None

    async def close(self) -> None:
        """Nothing is held open."""

    @property
    def _where(self) -> str:
        return f"{self._transport.name}:{clean(self.path)}"

    def _check(self, done: Completed) -> None:
        """Raise what it means that there is no file to read."""
        if done.exit_status == _ABSENT:
            raise NoSuchFile("there is no such file", self._where)
        if done.exit_status == _FORBIDDEN:
            raise Denied("permission denied", self._where, "its owner and the administrators may read it")
        if done.exit_status == _NO_FILE:
            raise NoSuchFile("this is no regular file", self._where)

    async def _piece(self, offset: int, limit_bytes: int) -> tuple[int, LogChunk]:
        """Return the size of the file and a piece of it; a negative offset counts from its end."""
        argv = ["sh", "-c", _SCRIPT, "sh", self.path, str(offset), str(limit_bytes)]
        limit = limit_bytes + 4096
        done = await self._transport.run(argv, timeout_s=TIMEOUT_S, env={"LC_ALL": "C"}, limit_bytes=limit)
        self._check(done)
        head, newline, data = done.stdout.partition(b"\n")
        words = head.split()
        if done.exit_status != 0 or not newline or len(words) != 3 or not (words[0].isdigit() and words[2].isdigit()):
            said = clean(done.stderr.decode("utf-8", "replace").strip(), limit=200)
            raise BadAnswer(f"it cannot be read{f': {said}' if said else ''}", self._where, "look at it there by hand")
        self._identity = words[1]
        return int(words[0]), LogChunk(data=data, start=int(words[2]))


async def find_file(transports: Iterable[Transport], path: str) -> FileReader:
    """Return the file on the first of these machines that has it.

    Raises NoSuchFile when none has, Denied when one has and does not give it, else the last error of those that do
    not answer.
    """
    failures: list[SourceError] = []
    for transport in transports:
        reader = FileReader(transport, path)
        try:
            await reader.tail(0)
        except SourceError as error:
            failures.append(error)
        else:
            return reader
    if not failures:
        raise NoSuchFile("no machine is known that could have it", clean(path))
    for kind in (Denied, SourceError):
        worst = [error for error in failures if isinstance(error, kind) and not isinstance(error, NoSuchFile)]
        if worst:
            raise worst[-1]
    names = ", ".join(error.where.partition(":")[0] for error in failures)
    hint = "it is written when the job starts, and may lie on another machine"
    raise NoSuchFile(f"there is no such file on {names}", clean(path), hint)
