"""The heat map: one cell a GPU, nodes side by side, wrapped to the width.

The layout is computed once for a list of nodes and a width; lines are drawn one by one, so that only what is
visible costs anything. Height of the glyph and hue say the same; without colour nothing is lost.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from console.model import Accelerator
from console.render import nodes, units
from console.render.cells import Cell, Line, cell_width, fit
from console.render.glyphs import Glyphs
from console.render.spark import heat_style
from console.render.view import View
from console.store import NodeView

_BLOCK_GAP = 2
_LABEL = 12
_NODE_GAP = 1


class HeatMetric(enum.StrEnum):
    """What a cell shows."""

    UTILIZATION = "utilization"
    MEMORY = "memory"
    POWER = "power"
    TEMPERATURE = "temperature"
    ERRORS = "errors"


COOLEST_C, HOTTEST_C = 30.0, 90.0
"""Range of the temperature map: idle air-cooled GPUs are near the first, most slow down before the second."""


def value(gpu: Accelerator, metric: HeatMetric) -> float | None:
    """Return what the metric is in its own unit: percent, bytes, W, °C, count."""
    match metric:
        case HeatMetric.UTILIZATION:
            return gpu.utilization_percent
        case HeatMetric.MEMORY:
            return gpu.memory_used_bytes
        case HeatMetric.POWER:
            return gpu.power_w
        case HeatMetric.TEMPERATURE:
            return gpu.temperature_c
        case HeatMetric.ERRORS:
            return gpu.ecc_uncorrected


def level(gpu: Accelerator, metric: HeatMetric) -> float | None:
    """Return 0–1 for the colour of one GPU; None when it is not known."""
    match metric:
        case HeatMetric.UTILIZATION:
            return None if gpu.utilization_percent is None else gpu.utilization_percent / 100
        case HeatMetric.MEMORY:
            return nodes.fraction(gpu.memory_used_bytes, gpu.memory_total_bytes)
        case HeatMetric.POWER:
            return nodes.fraction(gpu.power_w, gpu.power_limit_w)
        case HeatMetric.TEMPERATURE:
            if gpu.temperature_c is None:
                return None
            return min(max((gpu.temperature_c - COOLEST_C) / (HOTTEST_C - COOLEST_C), 0.0), 1.0)
        case HeatMetric.ERRORS:
            return _error_level(gpu)


def _error_level(gpu: Accelerator) -> float | None:
    """Uncorrected errors at once to the top; throttling in the middle; none at the bottom."""
    if gpu.ecc_uncorrected:
        return 1.0
    if gpu.throttle and any("idle" not in reason for reason in gpu.throttle):
        return 0.5
    return None if gpu.ecc_uncorrected is None and not gpu.throttle else 0.0


def gpu_cell(gpu: Accelerator | None, metric: HeatMetric, glyphs: Glyphs) -> Cell:
    """Return the one character of one GPU; None: the node has it, nobody measures it."""
    if gpu is None:
        return Cell(glyphs.missing, "muted")
    if gpu.state != "ok":
        return Cell("X" if glyphs.ascii else "✗", "bad")
    share = level(gpu, metric)
    if share is None or not math.isfinite(share):
        return Cell(glyphs.missing, "muted")
    steps = glyphs.shades if glyphs.ascii else glyphs.sparks
    return Cell(steps[min(int(min(max(share, 0.0), 1.0) * len(steps)), len(steps) - 1)], heat_style(share))


@dataclass(frozen=True, slots=True)
class HeatLine:
    """One line of the map: its label, and the nodes on it."""

    label: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeatLayout:
    """Where every node's cells stand. `labelled`: each node carries its name; else the line carries its
    rack's."""

    lines: tuple[HeatLine, ...]
    labelled: bool
    label_width: int
    per_node: int
    """Cells of one node: the most GPUs that any has."""

    @property
    def pitch(self) -> int:
        """Cells from the start of one node to the start of the next."""
        if self.labelled:
            return self.label_width + 1 + self.per_node + _BLOCK_GAP
        return self.per_node + _NODE_GAP

    @property
    def origin(self) -> int:
        """Where the first node of a line starts."""
        return 0 if self.labelled else self.label_width + 1

    def node_at(self, line: int, x: int) -> tuple[str, int] | None:
        """Return (node, position of the GPU on it) under a cell, None where there is none."""
        if not 0 <= line < len(self.lines) or x < self.origin:
            return None
        slot, rest = divmod(x - self.origin, self.pitch)
        position = rest - (self.label_width + 1 if self.labelled else 0)
        if slot >= len(self.lines[line].nodes) or position >= self.per_node:
            return None
        return self.lines[line].nodes[slot], max(position, 0)

    def place(self, node: str, position: int = 0) -> tuple[int, int] | None:
        """Return (line, x) of a GPU, None when its node is not on the map."""
        for index, line in enumerate(self.lines):
            if node in line.nodes:
                shift = self.label_width + 1 if self.labelled else 0
                return index, self.origin + line.nodes.index(node) * self.pitch + shift + position
        return None


def heat_layout(view: View, keys: Sequence[str], width: int, by_rack: bool = False) -> HeatLayout:
    """Return the map of these nodes (in this order) at a width. Nodes known to have no GPU are left out.

    `by_rack` groups by rack, one label a line, and shows some three times as many GPUs; nodes without a rack
    stand under the letters that their names begin with.
    """
    store = view.store
    shown: list[NodeView] = []
    per_node = 1
    for key in keys:
        node = store.nodes.get(key)
        count = None if node is None else nodes.accelerator_count(node)
        if node is not None and count != 0:
            shown.append(node)
            per_node = max(per_node, min(count or 1, 16))
    widest = max((cell_width(node.key) for node in shown), default=4)
    if not by_rack:
        label = min(max(widest, 4), _LABEL)
        each = label + 1 + per_node + _BLOCK_GAP
        count = max((width + _BLOCK_GAP) // each, 1)
        names = [node.key for node in shown]
        lines = [HeatLine("", tuple(names[i : i + count])) for i in range(0, len(names), count)]
        return HeatLayout(tuple(lines), True, label, per_node)
    racks: dict[str, list[str]] = {}
    for node in shown:
        racks.setdefault(_rack(node), []).append(node.key)
    label = min(max((cell_width(rack) for rack in racks), default=4), _LABEL)
    count = max((width - label) // (per_node + _NODE_GAP), 1)
    lines = []
    for rack, names in racks.items():
        for i in range(0, len(names), count):
            lines.append(HeatLine(rack if i == 0 else "", tuple(names[i : i + count])))
    return HeatLayout(tuple(lines), False, label, per_node)


def _rack(node: NodeView) -> str:
    rack = nodes.facet_text(node, "rack")
    return rack or node.key.rstrip("0123456789").rstrip("-_") or node.key


def heat_line(view: View, layout: HeatLayout, index: int, metric: HeatMetric) -> Line:
    """Return one line of the map as cells. A node's cells that are stale keep their glyphs and lose their
    hue."""
    line = layout.lines[index]
    cells: list[Cell] = []
    if not layout.labelled:
        label = fit(line.label, layout.label_width, ellipsis=view.glyphs.ellipsis)
        cells.append(Cell(label + " ", "name"))
    for slot, key in enumerate(line.nodes):
        if slot:
            cells.append(Cell(" " * (_BLOCK_GAP if layout.labelled else _NODE_GAP)))
        if layout.labelled:
            label = fit(key, layout.label_width, ellipsis=view.glyphs.ellipsis)
            cells.append(Cell(label + " ", "name"))
        node = view.store.nodes.get(key)
        cells.extend(node_cells(view, node, metric, layout.per_node))
    return tuple(cells)


def node_cells(view: View, node: NodeView | None, metric: HeatMetric, width: int) -> list[Cell]:
    """Return the cells of one node, padded to `width`."""
    if node is None:
        return [Cell(" " * width)]
    seen: Sequence[Accelerator | None] = nodes.accelerators(node)
    if not seen:
        seen = [None] * (nodes.accelerator_count(node) or 1)
    stale = nodes.is_stale(view.store, node, view.now)
    cells = [gpu_cell(gpu, metric, view.glyphs) for gpu in seen[:width]]
    if stale:
        cells = [cell if cell.style == "bad" else Cell(cell.text, "stale") for cell in cells]
    if len(cells) < width:
        cells.append(Cell(" " * (width - len(cells))))
    return cells


def heat_legend(metric: HeatMetric, glyphs: Glyphs) -> Line:
    """Return the scale of a metric in words and glyphs."""
    low, high = {
        HeatMetric.UTILIZATION: ("0 %", "100 %"),
        HeatMetric.MEMORY: ("empty", "full"),
        HeatMetric.POWER: ("0 W", "its limit"),
        HeatMetric.TEMPERATURE: (f"{COOLEST_C:.0f} {glyphs.degree}C", f"{HOTTEST_C:.0f} {glyphs.degree}C"),
        HeatMetric.ERRORS: ("none", "uncorrected errors (middle: throttled)"),
    }[metric]
    steps = glyphs.shades if glyphs.ascii else glyphs.sparks
    scale = tuple(Cell(step, heat_style(index / max(len(steps) - 1, 1))) for index, step in enumerate(steps))
    lost = Cell("X" if glyphs.ascii else "✗", "bad")
    return (
        Cell(f"{metric.value} ", "label"),
        Cell(f"{low} ", "muted"),
        *scale,
        Cell(f" {high}   ", "muted"),
        lost,
        Cell(" lost   ", "muted"),
        Cell(glyphs.missing, "muted"),
        Cell(" not known", "muted"),
    )


def describe(view: View, key: str, position: int) -> Line:
    """Return the facts of one GPU on one line, for under the map."""
    node = view.store.nodes.get(key)
    seen = () if node is None else nodes.accelerators(node)
    if node is None or position >= len(seen):
        return (Cell(key, "name"), Cell(f" gpu{position}: not measured", "muted"))
    gpu = seen[position]
    missing = view.missing
    text = (
        f" gpu{gpu.index} {gpu.model or ''}  {units.percent(gpu.utilization_percent, missing)}%  "
        f"{units.size(gpu.memory_used_bytes, missing)}/{units.size(gpu.memory_total_bytes, missing)}  "
        f"{units.watts(gpu.power_w, missing)}/{units.watts(gpu.power_limit_w, missing)} W  "
        f"{units.celsius(gpu.temperature_c, missing)} {view.glyphs.degree}C  "
        f"ecc {units.number(gpu.ecc_uncorrected, missing)}"
    )
    state = Cell(f"  {gpu.state}", "bad") if gpu.state != "ok" else Cell("")
    throttle = Cell(f"  throttled: {', '.join(gpu.throttle)}", "warn") if gpu.throttle else Cell("")
    return (Cell(key, "name"), Cell(text), state, throttle)
