"""Sparklines, bars and mini bars: numbers as a picture one line high."""

from __future__ import annotations

import math
from collections.abc import Sequence

from console.render.cells import Cell, Run
from console.render.glyphs import UNICODE, Glyphs


def heat_style(fraction: float | None) -> str:
    """Return `heat0` … `heat9` for 0–1; `muted` when it is not known."""
    if fraction is None or not math.isfinite(fraction):
        return "muted"
    return f"heat{int(min(max(fraction, 0.0), 0.99) * 10)}"


def _level(fraction: float, steps: str) -> str:
    return steps[min(int(min(max(fraction, 0.0), 1.0) * len(steps)), len(steps) - 1)]


def sparkline(
    values: Sequence[float | None],
    width: int,
    *,
    low: float = 0.0,
    high: float | None = None,
    glyphs: Glyphs = UNICODE,
    style: str = "spark",
) -> Cell:
    """Return the newest `width` values, newest right, as one cell exactly `width` wide.

    A value that is not known (None, NaN) is a gap, never a low bar. `high` None scales to the largest value
    shown; the lowest bar then stands for `low`.
    """
    shown = list(values[max(len(values) - width, 0) :]) if width > 0 else []
    known = [value for value in shown if value is not None and math.isfinite(value)]
    top = high if high is not None else max(known, default=low)
    span = top - low
    text = "".join(
        " "
        if value is None or not math.isfinite(value)
        else _level((value - low) / span if span > 0 else 0.0, glyphs.sparks)
        for value in shown
    )
    return Cell(text.rjust(max(width, 0)), style)


def bar(fraction: float | None, width: int, *, glyphs: Glyphs = UNICODE, style: str | None = None) -> Cell:
    """Return a horizontal bar of a 0–1 fraction in exactly `width` cells; not known: the missing mark."""
    if width <= 0:
        return Cell("", "muted")
    if fraction is None or not math.isfinite(fraction):
        return Cell(glyphs.missing.ljust(width), "muted")
    steps = len(glyphs.bar)
    eighths = round(min(max(fraction, 0.0), 1.0) * width * steps)
    full, part = divmod(eighths, steps)
    filled = glyphs.bar[-1] * full + (glyphs.bar[part - 1] if part else "")
    rest = glyphs.bar_rest * (width - len(filled))
    runs: list[Run] = [(filled, style or heat_style(fraction)), (rest, "dim")]
    return Cell(filled + rest, "text", tuple(run for run in runs if run[0]))


def mini_bars(
    fractions: Sequence[float | None], width: int, *, glyphs: Glyphs = UNICODE, bad: Sequence[bool] = ()
) -> Cell:
    """Return one character for each of the fractions (0–1), in the order given, each in its own heat style.

    Not known is the missing mark; `bad[i]` shows device i as failed, whatever its value. More devices than
    `width` are folded: each character then stands for the largest of its group, bad if any of it is.
    """
    count = len(fractions)
    if count == 0 or width <= 0:
        return Cell("", "muted")
    group = -(-count // width)
    runs: list[Run] = []
    for start in range(0, count, group):
        if any(bad[start : start + group]):
            runs.append(("X" if glyphs.ascii else "✗", "bad"))
            continue
        known = [value for value in fractions[start : start + group] if value is not None and math.isfinite(value)]
        if not known:
            runs.append((glyphs.missing, "muted"))
            continue
        value = max(known)
        runs.append((_level(value, glyphs.sparks), heat_style(value)))
    return Cell("".join(text for text, _ in runs), "text", tuple(runs))
