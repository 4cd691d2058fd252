"""Accelerators as lines: the same columns on the details pane, the Node screen and the Job screen."""

from __future__ import annotations

from collections.abc import Sequence

from console.model import Accelerator
from console.render import nodes, units
from console.render.cells import Align, Cell, Line, wrap
from console.render.glyphs import accelerator_sign
from console.render.lines import grid
from console.render.spark import bar, heat_style, sparkline
from console.render.view import View
from console.store import NodeView

_TITLES = ("GPU", "MODEL", "UTIL", "%", "HISTORY", "MEMORY", "W", "LIMIT", "°C", "MHz", "ECC", "")
_ALIGNS: tuple[Align, ...] = (
    "right", "left", "left", "right", "right", "right", "right", "right", "right", "right", "right", "left",
)  # fmt: skip
_WIDE = (3, 18, 10, 3, 24, 12, 5, 5, 3, 5, 5, 30)
_MEDIUM = (3, 10, 8, 3, 0, 12, 5, 5, 3, 5, 4, 16)
_NARROW = (3, 0, 6, 3, 0, 12, 5, 5, 3, 5, 3, 12)


def gpu_widths(width: int) -> tuple[int, ...]:
    """Return the widths of the columns; 0 leaves one out. They depend on the width only."""
    for widths in (_WIDE, _MEDIUM, _NARROW):
        shown = [one for one in widths if one]
        spare = width - sum(shown) - len(shown) + 1
        if spare >= 0:
            return (*widths[:-1], widths[-1] + spare)
    return _NARROW


def gpu_lines(view: View, node: NodeView, width: int, *, title: bool = False) -> list[Line]:
    """Return one line for each accelerator, under the titles of the columns if asked."""
    seen = nodes.accelerators(node)
    if not seen:
        return []
    widths = gpu_widths(width)
    rows: list[Sequence[Cell]] = []
    if title:
        rows.append([Cell(text.replace("°", view.glyphs.degree), "header") for text in _TITLES])
    stale = nodes.is_stale(view.store, node, view.now)
    rows += [gpu_row(view, node.key, gpu, widths, stale=stale) for gpu in seen]
    return grid(rows, widths, _ALIGNS, view)


def gpu_row(view: View, node: str, gpu: Accelerator, widths: Sequence[int], *, stale: bool = False) -> list[Cell]:
    """Return the cells of one accelerator, for `grid` with these widths."""
    missing = view.missing
    share = None if gpu.utilization_percent is None else gpu.utilization_percent / 100
    style = "stale" if stale else "text"
    history = Cell("")
    if widths[4]:
        values = view.store.history(node, "utilization_percent", gpu.index)
        history = sparkline(values, widths[4], high=100, glyphs=view.glyphs)
    memory = f"{units.size(gpu.memory_used_bytes, missing)}/{units.size(gpu.memory_total_bytes, missing)}"
    numbers = (
        units.watts(gpu.power_w, missing),
        units.watts(gpu.power_limit_w, missing),
        units.celsius(gpu.temperature_c, missing),
        units.number(gpu.clock_mhz, missing),
    )
    return [
        Cell(str(gpu.index), "name"),
        view.text(gpu.model and nodes.short_model(gpu.model)),
        bar(share, widths[2], glyphs=view.glyphs, style="stale" if stale else None),
        view.number(units.percent(gpu.utilization_percent, missing), style if stale else heat_style(share)),
        history,
        Cell(memory, "muted" if gpu.memory_used_bytes is None else style),
        *(view.number(text, style) for text in numbers),
        view.number(units.number(gpu.ecc_uncorrected, missing), "bad" if gpu.ecc_uncorrected else style),
        gpu_note(view, gpu),
    ]


def gpu_note(view: View, gpu: Accelerator) -> Cell:
    """Return what is wrong with an accelerator, or what slows it down; or who is on it."""
    if gpu.state != "ok":
        return view.glyphs.state(accelerator_sign(gpu.state), gpu.state)
    slowed = [reason for reason in gpu.throttle if "idle" not in reason]
    if slowed:
        return Cell(f"{view.glyphs.warning} {', '.join(slowed)}", "warn")
    users = dict.fromkeys(process.user or str(process.pid) for process in gpu.processes)
    return Cell(" ".join(users), "muted")


def gpu_reasons(view: View, gpus: Sequence[Accelerator], width: int) -> list[Line]:
    """Return why values of accelerators are not known: what has one reason on the same ones stands together."""
    indexes: dict[tuple[str, str], list[str]] = {}
    for gpu in gpus:
        for field, why in gpu.missing.items():
            indexes.setdefault((field, why), []).append(str(gpu.index))
    fields: dict[tuple[str, str], list[str]] = {}
    for (field, why), found in indexes.items():
        fields.setdefault((",".join(found), why), []).append(field)
    lines: list[Line] = []
    for (found_on, why), names in fields.items():
        text = f"{view.missing} gpu {found_on}  {', '.join(names)}: {why}"
        lines += [(Cell(line, "muted"),) for line in wrap(text, max(width, 10))]
    return lines
