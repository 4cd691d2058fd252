"""What was measured, as a table that says what was to be reached and what was not."""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One figure beside its reference."""

    what: str
    value: float
    unit: str
    reference: str = ""
    """What it stands beside."""
    reference_value: float | None = None
    limit: float | None = None
    """It must not be more than this."""
    limit_ratio: float | None = None
    """It must not be more than this many times the reference."""

    @property
    def ratio(self) -> float | None:
        """How many times the reference it is."""
        return self.value / self.reference_value if self.reference_value else None

    @property
    def reached(self) -> bool | None:
        """Whether it is what it must be; None where nothing is asked."""
        checks = []
        if self.limit is not None:
            checks.append(self.value <= self.limit)
        if self.limit_ratio is not None and self.ratio is not None:
            checks.append(self.ratio <= self.limit_ratio)
        return all(checks) if checks else None


@dataclass
class Part:
    """The figures of one part, and what must be known to read them."""

    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def number(value: float) -> str:
    """Return three significant digits without an exponent."""
    if math.isnan(value):
        return "never"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.6f}"


def markdown(part: Part) -> str:
    """Return a part as Markdown."""
    lines = [f"## {part.title}", ""]
    if part.rows:
        lines += ["| what | measured | beside | ratio | must be | |", "|---|---:|---:|---:|---:|---|"]
    for row in part.rows:
        beside = f"{row.reference}: {number(row.reference_value)} {row.unit}" if row.reference_value is not None else ""
        asked = []
        if row.limit is not None:
            asked.append(f"≤ {number(row.limit)} {row.unit}")
        if row.limit_ratio is not None:
            asked.append(f"≤ {number(row.limit_ratio)}×")
        ratio = f"{number(row.ratio)}×" if row.ratio is not None else ""
        word = {True: "reached", False: "**missed**", None: ""}[row.reached]
        cells = [row.what, f"{number(row.value)} {row.unit}", beside, ratio, " and ".join(asked), word]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *[f"{note}\n" for note in part.notes]]
    return "\n".join(lines)


def machine() -> str:
    """Return in one line where this was measured."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    load = os.getloadavg()[0]
    day = time.strftime("%Y-%m-%d", time.gmtime())
    python = sys.version.split()[0]
    return f"{day}, {os.cpu_count()} cores of {model}, Python {python}, load {load:.1f} at the start"


def write(parts: dict[str, str], path: Path) -> None:
    """Write the parts that ran into the file; parts that did not run now stay as they stand there."""
    kept: dict[str, str] = {}
    if path.exists():
        for section in path.read_text(encoding="utf-8").split("\n<!-- part:")[1:]:
            name, _, body = section.partition(" -->\n")
            kept[name] = body.rstrip("\n")
    kept.update(parts)
    text = [
        "# Results",
        "",
        "Made by `make bench` (`python -m benchmarks`). Every figure stands beside a reference that ran on",
        "the same machine in the same run: compare the ratios, not the seconds.",
    ]
    for name, body in kept.items():
        text += [f"\n<!-- part:{name} -->", body.rstrip("\n")]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
