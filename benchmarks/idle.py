"""What a screen costs that nobody touches, and whether it writes only what changed."""

from __future__ import annotations

from benchmarks.programs import QD, app, home
from benchmarks.pty import Terminal
from benchmarks.report import Part, Row


def measured(
    argv: tuple[str, ...], env: dict[str, str], seconds: float, *, rows: int = 48, keys: bytes = b""
) -> tuple[float, int, float]:
    """Return CPU percent, RSS and bytes per second of a program that is left alone."""
    with Terminal(argv, rows=rows, env=env) as terminal:
        terminal.run(8)
        if keys:
            terminal.press(keys)
            terminal.run(3)
        return terminal.measure(seconds)


def run(quick: bool = False) -> Part:
    """Measure this host live, a cluster paused, and two heights of the same cluster."""
    seconds = 8 if quick else 30
    part = Part("An idle screen")
    with home() as env:
        empty, empty_rss, _ = measured(app("empty"), env, seconds)
        cpu, rss, sent = measured(QD, env, seconds)
        paused, _, nothing = measured((*QD, "--simulate", "64:7"), env, seconds, keys=b"p")
        _, _, low = measured((*QD, "--simulate", "256:7"), env, seconds, rows=24)
        _, _, high = measured((*QD, "--simulate", "256:7"), env, seconds, rows=48)
    part.rows += [
        Row("`qd` on this host, nobody touches it", cpu, "% of a core", "empty Textual app", empty, limit=2),
        Row("its memory", rss / 1e6, "MB", "empty Textual app", empty_rss / 1e6),
        Row("its bytes to the terminal", sent, "B/s"),
        Row("a paused cluster of 64 nodes", paused, "% of a core", "empty Textual app", empty, limit=2),
        Row("its bytes to the terminal", nothing, "B/s"),
        Row("256 nodes live, 48 lines: bytes to the terminal", high, "B/s", "24 lines", low),
    ]
    part.notes.append(
        "A paused cluster is no still picture: the age of every row counts on, a cell a line each second."
    )
    part.notes.append("With twice the lines about 2.4 times as many rows of nodes are on the screen and change.")
    return part
