"""Key press to frame: 10,000 nodes and 100,000 jobs, one percent of the rows changing each second."""

from __future__ import annotations

import random
import re

from benchmarks.programs import QD, app, home
from benchmarks.pty import Terminal, cursor_rows, percentile
from benchmarks.report import Part, Row

NODES = 10_000
LIMIT_S = 0.050


def moves(terminal: Terminal, down: bytes, up: bytes, presses: int) -> tuple[list[float], int]:
    """Move the cursor down and up at random moments; return latencies and how many moves were never seen."""
    chance = random.Random(3)
    latencies: list[float] = []
    lost = 0
    for press in range(presses):
        keys = down if press // 8 % 2 == 0 else up
        took = terminal.latency(keys, cursor_rows)
        if took is None:
            lost += 1
        else:
            latencies.append(took)
        terminal.run(0.05 + chance.random() * 0.4)
    return latencies, lost


def settled(terminal: Terminal, pattern: str, seconds: float) -> float | None:
    """Wait until the pattern stands on the screen; return when."""
    wanted = re.compile(pattern)
    return terminal.wait(lambda screen: bool(wanted.search("\n".join(screen.display))), seconds)


def screen_of(terminal: Terminal, key: bytes, presses: int) -> tuple[list[float], int]:
    """Go to a screen and move in it."""
    if key:
        terminal.press(key)
    terminal.run(3)
    return moves(terminal, b"j", b"k", presses)


def run(quick: bool = False) -> Part:
    """Measure the fleet, the jobs, and a DataTable of the same size."""
    presses = 40 if quick else 240
    part = Part("Key press to frame, 10,000 nodes and 100,000 jobs, 1 % of the rows changing each second")
    with home() as env:
        found: dict[str, list[float]] = {}
        with Terminal((*QD, "--simulate", f"{NODES}:7"), env=env) as terminal:
            ready = settled(terminal, r"gpu0*1\b", 60)
            if ready is None:
                part.notes.append(f"No node stood on the screen after 60 s:\n\n```\n{terminal.text}\n```")
                return part
            part.rows.append(Row("start to the first of 10,000 nodes on the screen", ready, "s"))
            terminal.run(8)
            lost = 0
            for name, key in (("fleet", b""), ("jobs", b"2")):
                found[name], missing = screen_of(terminal, key, presses)
                lost += missing
            cpu, rss, sent = terminal.measure(6 if quick else 20)
        with Terminal(app("datatable", str(NODES * 10)), env=env) as table:
            settled(table, "gpu000001", 90)
            table.run(3)
            beside, never = moves(table, b"\x1b[B", b"\x1b[A", max(24, presses // 4))
    for name, noun in (("fleet", "10,000 nodes"), ("jobs", "100,000 jobs")):
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            if not found.get(name):
                part.notes.append(f"{name}: no key had an effect.")
                break
            reference = percentile(beside, share) * 1000 if beside else None
            part.rows.append(
                Row(
                    f"cursor in {noun}, {word}",
                    percentile(found[name], share) * 1000,
                    "ms",
                    f"DataTable of 100,000, {word}",
                    reference,
                    limit=LIMIT_S * 1000 if share == 0.99 else None,
                )
            )
    part.rows.append(Row("CPU meanwhile without keys", cpu, "% of a core"))
    part.rows.append(Row("memory", rss / 1e6, "MB"))
    part.rows.append(Row("bytes to the terminal", sent / 1000, "kB/s"))
    part.notes.append(
        f"{presses} presses a screen at random moments, {lost} of all without effect within 3 s (DataTable: {never})."
    )
    return part
