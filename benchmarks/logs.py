"""Large logs: opened at the end, searched backwards beside grep, and gone to by time."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.report import Part, Row
from console.logs import seek
from console.logs.stamps import moment
from console.render.log import LogBuffer
from console.render.training import Training
from console.transport.files import FileReader, find_file
from console.transport.local import LocalTransport
from console.ui.screens.log import TAIL_BYTES

GIB = 1 << 30
START = 1_790_000_000
NEEDLE = "NCCL watchdog caught a collective operation timeout"


def _lines(first: int, count: int) -> bytes:
    """Return what a trainer writes, a line a second, some of it in colour."""
    made = []
    for at in range(first, first + count):
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(START + at))
        head = f"[titan] {clock},{at % 1000:03d} - root - \x1b[32mINFO\x1b[0m - "
        head = f"[titan] {clock},{at % 1000:03d} - root - \x1b[32mINFO\x1b[0m - "
        made.append(
            f"{head}step: {at:,}  loss: {2 + at % 97 / 50:.4f}  grad_norm: {at % 31 / 10:.4f}  "
            f"memory: 40.00GiB(50.2%)  tps: {5000 + at % 300:,}  mfu: 30.34%\n"
        )
    return "".join(made).encode()


def _write(path: Path, size: int) -> int:
    """Write so many bytes of real text, what is searched for in its first line; return how many lines."""
    at = written = 0
    with path.open("wb") as file:
        written += file.write(f"{NEEDLE}\n".encode())
        while written < size:
            written += file.write(_lines(at, 20_000))
            at += 20_000
    return at


async def _median(runs: int, what: Callable[[], Awaitable[object]]) -> float:
    """Return the median of the seconds that something takes."""
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        await what()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


async def _grep(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "grep", *argv, env={**os.environ, "LC_ALL": "C"}, stdout=subprocess.PIPE
    )
    await process.communicate()


async def _open(path: Path) -> None:
    """Do what the log screen does until it can draw."""
    reader = await find_file([LocalTransport()], str(path))
    buffer, training = LogBuffer(), Training()
    buffer.restart(await reader.tail(TAIL_BYTES))
    for line in buffer.lines:
        training.take(line)


class _Counted(FileReader):
    """Counts what is read."""

    reads = 0

    async def _piece(self, offset: int, limit_bytes: int):  # type: ignore[no-untyped-def]
        _Counted.reads += 1
        return await super()._piece(offset, limit_bytes)


async def _measure(folder: Path, quick: bool) -> Part:
    part = Part("Large logs")
    runs = 3 if quick else 7
    large = folder / "large.log"
    with large.open("wb") as file:
        file.truncate(10 * GIB)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + _lines(0, 20_000))
    tail = await _median(runs, lambda: _run("tail", "-c", str(TAIL_BYTES), str(large)))
    opened = await _median(runs, lambda: _open(large))
    part.rows.append(
        Row(
            f"10 GiB: open at the end, {TAIL_BYTES >> 10} KiB of it read",
            opened * 1000,
            "ms",
            "tail -c",
            tail * 1000,
            limit=100,
        )
    )
    text = folder / "text.log"
    size = 64 << 20 if quick else GIB
    count = _write(text, size)
    size = text.stat().st_size
    reader = _Counted(LocalTransport(), str(text))
    name = f"{size / GIB:.2g} GiB"
    await _grep("-F", NEEDLE, str(text))
    for what, words in (("found in its first line", NEEDLE), ("found nowhere", f"{NEEDLE}s")):
        grep = await _median(runs, lambda words=words: _grep("-F", words, str(text)))  # type: ignore[misc]
        folded = await _median(runs, lambda words=words: _grep("-iF", words, str(text)))  # type: ignore[misc]
        ours = await _median(runs, lambda words=words: seek.find_last(reader, words, size))  # type: ignore[misc]
        part.rows += [
            Row(f"{name}: search backwards, {what}", ours, "s", "grep -F", grep, limit_ratio=2.0),
            Row("… beside grep that folds case as we do", ours, "s", "grep -iF", folded),
        ]
    here = await _median(1, lambda: seek.find_last(_Plain(reader), f"{NEEDLE}s", size))
    part.rows.append(Row(f"{name}: the same where the host's grep cannot", here, "s", "grep -F", grep))
    _Counted.reads = 0
    clock = moment(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(START + count // 3)))
    took = await _median(1, lambda: seek.find_time(reader, clock))
    part.rows.append(Row(f"{name}: go to a time", took * 1000, "ms", "grep -F", grep * 1000))
    part.rows.append(Row("… in so many reads", _Counted.reads, "reads"))
    part.notes.append(
        "The 10 GiB are sparse but for their last 3 MiB, which is what is read; a file of 10 GiB of text has the same "
        "end. The file that is searched is real text, in the page cache for grep and for us. Twice grep's time is half "
        "its speed. The search runs where the file is, in stretches from the end, with the grep of that host: over SSH "
        "nothing but the answer travels; what is found near the end costs one stretch of 4 MiB."
    )
    return part


class _Plain:
    """A reader that only reads."""

    def __init__(self, reader: FileReader) -> None:
        self.tail, self.read = reader.tail, reader.read


async def _run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.DEVNULL)
    await process.wait()


def run(*, quick: bool = False) -> Part:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="qd-logs-") as folder:
        return asyncio.run(_measure(Path(folder), quick))
