"""`qd logs`: from a time on, several ranks, colours on a terminal and nowhere else."""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.cli import main
from console.commands import logs
from console.commands.call import Call
from console.errors import NoSuchFile, UsageError
from console.logs.stamps import moment
from console.model import LogChunk
from console.transport.files import FileReader
from console.transport.local import LocalTransport

SIMULATED = ("--simulate", "20:7")


@pytest.fixture(scope="module")
def running() -> str:
    """A job on two nodes."""
    words = [sys.executable, "-m", "console.cli", *SIMULATED, "jobs", "--json", "state:running"]
    jobs = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["jobs"]
    return str(next(job["id"] for job in jobs if job["node_count"] == 2))


def call(**options: object) -> Call:
    return Call("logs", argparse.Namespace(raw=False, **options), environ={"TERM": "xterm"})


def test_ranks_stand_before_their_lines(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", *SIMULATED, running, "--ranks", "all", "-n", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line[:3] for line in lines} == {"0│ ", "8│ "}
    times = [line.split(" step")[0][3:] for line in lines]
    assert times == sorted(times)
    assert main(["logs", *SIMULATED, running, "--ranks", "8", "-n", "5"]) == 0
    assert {line[:3] for line in capsys.readouterr().out.splitlines()} == {"8│ "}
    assert main(["logs", *SIMULATED, running, "--ranks", "5"]) == 2
    assert "ranks: 0,8" in capsys.readouterr().err


def test_from_a_time_on(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", *SIMULATED, running, "--since", "40s"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 11
    for wrong in (
        ["--since", "soon"],
        ["--since", "5m", "-n", "3"],
        ["--ranks", "x"],
        ["--ranks", "1", "--stream", "a"],
    ):
        assert main(["logs", *SIMULATED, running, *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 2, "what, and what to do"


async def test_a_file_with_ranks_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    writer = logs._Writer(call(), (range(3, 4), range(11, 12)), merged=False)
    writer.write(b"".join(b"%2d: step %d\n" % (at % 12, at) for at in range(24)) + b" 3: unfin")
    writer.finish()
    assert capsys.readouterr().out.splitlines() == [
        " 3│ step 3",
        "11│ step 11",
        " 3│ step 15",
        "11│ step 23",
        " 3│ unfin",
    ]
    with pytest.raises(UsageError, match="do not say which rank"):
        logs._Writer(call(), (), merged=False).write(b"hello\n" * 20)


class OnlyEnd:
    """An output that has an end only."""

    seekable = False

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def tail(self, limit_bytes: int) -> LogChunk:
        return LogChunk(data=self.data[-limit_bytes:])

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        raise NotImplementedError

    def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


async def test_a_time_where_there_is_only_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    data = b"".join(b"2026-11-24 14:%02d:00 x\n" % at for at in range(60))
    await logs._print_since(OnlyEnd(data), logs._Writer(call(), None, merged=False), moment("14:58"))
    assert capsys.readouterr().out.splitlines() == ["2026-11-24 14:58:00 x", "2026-11-24 14:59:00 x"]
    await logs._print_since(OnlyEnd(data), logs._Writer(call(), None, merged=False), moment("10h"))
    assert "older than this" in capsys.readouterr().err
    with pytest.raises(NoSuchFile, match="say no time"):
        await logs._print_since(OnlyEnd(b"x\n"), logs._Writer(call(), None, merged=False), moment("10h"))


async def test_a_time_in_a_file_and_what_follows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"2026-11-24 %02d:%02d:00 x\n" % divmod(at, 60) for at in range(1440)) * 1)
    reader = FileReader(LocalTransport(), str(path))
    end = await logs._print_since(reader, logs._Writer(call(), None, merged=False), moment("23:58"))
    assert capsys.readouterr().out.splitlines() == ["2026-11-24 23:58:00 x", "2026-11-24 23:59:00 x"]
    assert end.end == path.stat().st_size


async def test_what_is_no_text_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "core"
    path.write_bytes(b"\x7fELF\0\0\x1b[2J\n" * 3)
    await logs._print_end(FileReader(LocalTransport(), str(path)), logs._Writer(call(), None, merged=False), 2)
    out = capsys.readouterr()
    assert out.out.splitlines() == ["ELF", "ELF"]
    assert "this is no text" in out.err


def on_terminal(words: list[str], **environ: str) -> bytes:
    """Return what a command writes to a terminal."""
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")} | environ
    process = subprocess.Popen(words, stdout=theirs, stderr=subprocess.DEVNULL, env=env)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:
        # The terminal is closed at its other end.
        pass
    os.close(ours)
    assert process.wait() == 0
    return seen


def test_colours_on_a_terminal_only(running: str) -> None:
    words = [sys.executable, "-m", "console.cli", *SIMULATED, "logs", running, "-n", "5", "--ranks", "all"]
    seen = on_terminal(words, TERM="xterm")
    assert b"\x1b[32mINFO\x1b[0m" in seen
    assert b"\x1b[36m0\xe2\x94\x82 \x1b[0m" in seen
    assert b"\x1b" not in re.sub(rb"\x1b\[[0-9;]+m", b"", seen)
    assert b"\x1b" not in on_terminal(words, TERM="xterm", NO_COLOR="1")
    assert b"\x1b" not in on_terminal(words, TERM="dumb")
    assert b"\x1b" not in subprocess.run(words, capture_output=True, check=True).stdout
    assert b"\x1b" in subprocess.run([*words[:-2], "--raw"], capture_output=True, check=True).stdout
