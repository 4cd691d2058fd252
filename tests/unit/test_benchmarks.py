"""The terminal that measures must itself be right."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pyte
import pytest

from benchmarks.pty import Terminal, cursor_rows, percentile
from benchmarks.report import Part, Row, markdown, write

SLOW_ECHO = """
import sys, time, tty
tty.setraw(0)
sys.stdout.write("ready\\r\\n"); sys.stdout.flush()
while True:
    key = sys.stdin.read(1)
    sys.stdout.write("."); sys.stdout.flush()
    time.sleep(0.15)
    sys.stdout.write(key); sys.stdout.flush()
"""


def test_latency_is_that_of_the_effect_not_of_the_first_byte() -> None:
    with Terminal((sys.executable, "-uc", SLOW_ECHO), columns=40, rows=5) as terminal:
        assert terminal.wait(lambda screen: "ready" in screen.display[0], 20) is not None
        took = terminal.latency(b"x", lambda screen: screen.display[1].count("x"))
        assert took is not None
        assert took >= 0.15
        assert terminal.latency(b"y", lambda screen: screen.display[1].count("z"), timeout_s=0.4) is None
        assert terminal.bytes >= len("ready\r\n.x.y")


def test_closing_ends_the_whole_tree() -> None:
    script = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "print('up', child.pid, flush=True)\n"
        "time.sleep(1000)"
    )
    with Terminal((sys.executable, "-c", script), columns=40, rows=5) as terminal:
        assert terminal.wait(lambda screen: len(screen.display[0].split()) == 2, 20) is not None
        child = psutil.Process(int(terminal.screen.display[0].split()[1]))
        assert child.pid in {process.pid for process in terminal.tree()}
        assert terminal.rss_bytes() > 1 << 20
    end = time.monotonic() + 5
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        time.sleep(0.02)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_cpu_counts_what_the_program_burns() -> None:
    with Terminal((sys.executable, "-c", "print('go', flush=True)\nwhile True: pass")) as terminal:
        assert terminal.wait(lambda screen: "go" in screen.display[0], 20) is not None
        before = terminal.cpu_seconds()
        end = time.monotonic() + 20
        while terminal.cpu_seconds() - before < 0.2 and time.monotonic() < end:
            terminal.run(0.05)
        assert terminal.cpu_seconds() - before >= 0.2


@pytest.mark.parametrize("style", ["\x1b[44m", "\x1b[7m", "\x1b[48;2;1;2;3m"])
def test_the_cursor_is_found_in_any_style(style: str) -> None:
    screen = pyte.Screen(20, 6)
    stream = pyte.Stream(screen)
    stream.feed(f"\x1b[3;1H{style}{'row'.ljust(20)}\x1b[0m\x1b[5;1Hother")
    assert cursor_rows(screen) == (2,)


def test_what_the_emulator_does_not_know_is_not_drawn() -> None:
    with Terminal(
        (sys.executable, "-c", r"print('\x1b[?2026$p\x1b[>1u\x1b[<uok', flush=True)"), columns=20, rows=3
    ) as terminal:
        assert terminal.wait(lambda screen: "ok" in screen.display[0], 20) is not None
        assert terminal.screen.display[0].strip() == "ok"


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7


def test_a_missed_figure_is_said(tmp_path: Path) -> None:
    part = Part(
        "Speed",
        [Row("a", 2.0, "s", "bare", 1.0, limit_ratio=1.5), Row("b", 1.0, "s", limit=1.0), Row("c", 3, "s")],
    )
    text = markdown(part)
    lines = [line for line in text.splitlines() if line.startswith(("| a", "| b", "| c"))]
    assert "**missed**" in lines[0]
    assert "2×" in lines[0]
    assert "reached" in lines[1]
    assert "missed" not in lines[2]
    path = tmp_path / "RESULTS.md"
    write({"one": "## One\n\nold", "two": "## Two"}, path)
    write({"one": "## One\n\nnew"}, path)
    assert "new" in path.read_text()
    assert "old" not in path.read_text()
    assert "## Two" in path.read_text(), "what did not run again stays"
