"""A thousand nodes of eight GPUs, live every two seconds, through feed, store and screen."""

from __future__ import annotations

import re

from benchmarks.programs import QD, app, home
from benchmarks.pty import Terminal
from benchmarks.report import Part, Row

NODES = 1000
Cost = tuple[float, int, float]
"""CPU percent of a core, RSS in bytes, bytes per second to the terminal."""


def measured(
    argv: tuple[str, ...], env: dict[str, str], seconds: float, ready: str | None = None
) -> tuple[float, Cost | str]:
    """Return seconds until `ready` is on the screen, and the cost; or what it shows when it never is."""
    with Terminal(argv, env=env) as terminal:
        first = 0.0
        if ready is not None:
            pattern = re.compile(ready)
            found = terminal.wait(lambda screen: bool(pattern.search("\n".join(screen.display))), 40)
            if found is None:
                return 0.0, terminal.text.strip()
            first = found
        terminal.run(12)
        cost = terminal.measure(seconds)
        return first, cost if terminal.process.poll() is None else terminal.text.strip()


def run(quick: bool = False) -> Part:
    """Measure the console, and beside it the simulation alone and everything but the screen."""
    seconds = 10 if quick else 30
    part = Part("1,000 nodes × 8 GPUs live at 2 s")
    asked = ("--simulate", f"{NODES}:7")
    with home() as env:
        ready, console = measured((*QD, *asked), env, seconds, r"gpu0*1\b")
        _, alone = measured(app("simulation", str(NODES), "600"), env, seconds)
        _, below = measured(app("headless", *asked), env, seconds, rf"\d+/{NODES} live")
    for name, cost in (("console", console), ("simulation", alone), ("session without a screen", below)):
        if isinstance(cost, str):
            part.notes.append(f"The {name} did not run:\n\n```\n{cost}\n```")
    if isinstance(alone, str) or isinstance(below, str):
        return part
    if not isinstance(console, str):
        part.rows += [
            Row("start to the first node on the screen", ready, "s"),
            Row("CPU of the console", console[0], "% of a core", "the simulation alone", alone[0], limit=15),
            Row(
                "memory of the console",
                console[1] / 1e6,
                "MB",
                "the simulation alone",
                alone[1] / 1e6,
                limit=250,
            ),
            Row("bytes to the terminal, 160×48", console[2] / 1000, "kB/s"),
            Row("of the CPU: screen", max(console[0] - below[0], 0), "% of a core"),
        ]
    part.rows += [
        Row("of the CPU: feed and store", max(below[0] - alone[0], 0), "% of a core"),
        Row("of the CPU: making the data (simulation)", alone[0], "% of a core"),
        Row("memory without a screen", below[1] / 1e6, "MB", "the simulation alone", alone[1] / 1e6),
    ]
    return part
