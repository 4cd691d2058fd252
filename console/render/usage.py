"""What an ended job made of what it held, in words."""

from __future__ import annotations

from console.model import Job
from console.render import units
from console.render.cells import Cell, Line
from console.render.lines import pair
from console.render.view import View

WASTED_PERCENT = 20.0
"""Below this share of what was held it is worth a word."""


def usage_lines(view: View, job: Job) -> list[Line]:
    """Return what accounting knows of a job, one line a kind; nothing where it knows nothing."""
    usage = job.usage
    if usage is None:
        return []
    lines: list[Line] = []
    if usage.cpu_percent is not None:
        cpus = "" if job.cpus is None else f" {job.cpus} CPUs"
        lines.append(pair("cpu used", _share(usage.cpu_percent, f"of{cpus or ' the CPUs'} that it held"), view))
    if usage.memory_peak_bytes is not None:
        text = f"{units.size(usage.memory_peak_bytes)} at the most"
        if job.memory_bytes:
            text += f", {100 * usage.memory_peak_bytes / job.memory_bytes:.0f} % of {units.size(job.memory_bytes)}"
        lines.append(pair("memory used", text, view))
    if usage.accelerator_percent is not None:
        lines.append(pair("gpu used", _share(usage.accelerator_percent, "in the mean"), view))
    if usage.accelerator_memory_peak_bytes is not None:
        text = f"{units.size(usage.accelerator_memory_peak_bytes)} at the most"
        lines.append(pair("gpu memory", text, view))
    if usage.read_bytes is not None or usage.written_bytes is not None:
        text = f"{units.size(usage.read_bytes)} read, {units.size(usage.written_bytes)} written"
        lines.append(pair("disk", text, view))
    if usage.energy_j is not None:
        lines.append(pair("energy", f"{usage.energy_j / 3.6e6:.2f} kWh", view))
    return lines


def _share(percent: float, of: str) -> Cell:
    return Cell(f"{percent:.0f} % {of}", "warn" if percent < WASTED_PERCENT else "text")
