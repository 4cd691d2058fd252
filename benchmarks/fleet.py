"""A thousand nodes of eight GPUs, live every two seconds, through feed, store and screen."""

from __future__ import annotations

import re
import sys

from benchmarks.programs import QD, app, home
from benchmarks.pty import Terminal
from benchmarks.report import Part, Row

NODES = 1000


def run(quick: bool = False) -> Part:
    """Measure the console, and beside it the simulation alone and everything but the screen."""
    seconds = 10 if quick else 30
    part = Part("1,000 nodes × 8 GPUs live at 2 s")
    with home() as env:
        with Terminal((*QD, "--simulate", f"{NODES}:7"), env=env) as terminal:
            ready = terminal.wait(lambda screen: bool(re.search(r"gpu0*1\b", "\n".join(screen.display))), 40)
            if ready is None:
                part.notes.append(f"No node stood on the screen after 40 s:\n\n```\n{terminal.text}\n```")
                return part
            terminal.run(12)
            cpu, rss, sent = terminal.measure(seconds)
        with Terminal(app("simulation", str(NODES), "600"), env=env) as alone:
            alone.run(8)
            simulation, base_rss, _ = alone.measure(seconds)
        with Terminal((sys.executable, "-m", "benchmarks.apps.headless", str(NODES)), env=env) as headless:
            headless.run(10)
            below, below_rss, _ = headless.measure(seconds)
            if headless.process.poll() is not None:
                part.notes.append(
                    f"The session without a screen ended by itself:\n\n```\n{headless.text}\n```"
                )
                below = below_rss = 0
    part.rows += [
        Row("start to the first node on the screen", ready, "s"),
        Row("CPU of the console", cpu, "% of a core", "the simulation alone", simulation, limit=15),
        Row("memory of the console", rss / 1e6, "MB", "the simulation alone", base_rss / 1e6, limit=250),
        Row("bytes to the terminal, 160×48", sent / 1000, "kB/s"),
    ]
    if below:
        part.rows += [
            Row("of this: making the data (simulation)", simulation, "% of a core"),
            Row("of this: feed and store", max(below - simulation, 0), "% of a core"),
            Row("of this: screen", max(cpu - below, 0), "% of a core"),
            Row("memory without a screen", below_rss / 1e6, "MB"),
        ]
    return part
