"""How long until something stands on the screen, and until this host's numbers do."""

from __future__ import annotations

import compileall
import re
import shutil
import socket
import statistics
from pathlib import Path

import pyte

from benchmarks.programs import QD, app, home
from benchmarks.pty import Terminal
from benchmarks.report import Part, Row

_NUMBER = re.compile(r"(?<=\s)\d+(?:\.\d+)?(?=\s)")


def painted(screen: pyte.Screen) -> bool:
    """Whether anything readable stands on the screen."""
    return any(sum(char.isalnum() for char in line) >= 6 for line in screen.display)


def has_numbers(screen: pyte.Screen) -> bool:
    """Whether this host's row shows measured values: memory and load at least."""
    row = re.compile(rf"\b{re.escape(socket.gethostname().split('.', 1)[0])}\s+\S+ (?:up|busy)\b(.*)")
    found = (row.search(line) for line in screen.display)
    return any(match is not None and len(_NUMBER.findall(match[1])) >= 2 for match in found)


def once(argv: tuple[str, ...], env: dict[str, str], numbers: bool = False) -> tuple[float | None, float | None]:
    """Return seconds to the first paint and, if asked, to the numbers."""
    with Terminal(argv, env=env) as terminal:
        first = terminal.wait(painted, 20)
        if not numbers or first is None:
            return first, None
        if has_numbers(terminal.screen):
            return first, first
        return first, terminal.wait(has_numbers, 20)


def run(quick: bool = False) -> Part:
    """Measure in turn, several times, and keep the medians."""
    part = Part("First paint")
    times: dict[str, list[float]] = {"empty": [], "qd": [], "numbers": [], "htop": []}
    htop = shutil.which("htop")
    for package in ("console", "plugins", "themes", "benchmarks"):
        # As an installation leaves it, whatever PYTHONDONTWRITEBYTECODE says here.
        compileall.compile_dir(Path(__file__).parent.parent / package, quiet=2)
    with home() as env:
        for _ in range(3 if quick else 9):
            for name, argv in (("empty", app("empty")), ("qd", QD), ("htop", (htop,) if htop else None)):
                if argv is None:
                    continue
                first, numbers = once(argv, env, numbers=name == "qd")
                if first is not None:
                    times[name].append(first)
                if numbers is not None:
                    times["numbers"].append(numbers)
    median = {name: statistics.median(values) for name, values in times.items() if values}
    if "qd" not in median or "empty" not in median:
        part.notes.append("qd or the empty app painted nothing within 20 s.")
        return part
    part.rows.append(
        Row("first paint of `qd`", median["qd"], "s", "empty Textual app", median["empty"], limit_ratio=1.25)
    )
    if "numbers" in median:
        beside = ("htop's first paint", median["htop"]) if "htop" in median else ("empty Textual app", median["empty"])
        part.rows.append(Row("this host's numbers on the screen", median["numbers"], "s", *beside, limit=1.0))
        part.notes.append("Memory and load come first; rates and CPU need a second sample, half a second later.")
    else:
        part.notes.append("This host's numbers did not come within 20 s.")
    return part
