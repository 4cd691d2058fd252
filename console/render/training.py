"""How far a training run is and how well it learns, read from the lines that the usual trainers print.

Recognised: Hugging Face Trainer (its dictionaries and progress bars), Lightning and NeMo (progress bars and NeMo's
`Training epoch … | …` lines), Megatron-LM, torchtitan, DeepSpeed. A line is read by the names of its values, not by
its whole form, so that releases that add or move a value are read too.
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass
from itertools import islice

from console.render import units
from console.render.cells import Cell, Line
from console.render.spark import sparkline
from console.render.view import View

KEPT = 512
"""Losses that are kept for the plot: every so many lines one is dropped, so that they span the whole run."""
LONGEST = 4096
"""Characters of a line that are looked at."""

_NUMBER = r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?nan|[-+]?inf"
_LOSS = re.compile(
    r"(?<![\w/])(?:lm[ _]loss|reduced_train_loss|train[_/]loss|train_loss_step|loss)['\"]?"
    rf"(?:\s*[:=]\s*['\"]?({_NUMBER})|\s+(\d+\.\d+)(?![\d%]))",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"(?:^|[\s|,/\[{'\"])(?:iteration|global_step|steps?)['\"]?\s*[:= ]\s*(\d[\d,]*)(?:\.0)?(?:\s*/\s*(\d[\d,]*))?",
    re.IGNORECASE,
)
_BAR = re.compile(
    r"\d{1,3}%\|[^|]*\|\s*(\d+)/(\d+)\s*\[(?P<spent>[\d:]+)<(?P<left>[\d:?]+)(?:,\s*(?P<rate>[\d.]+)\s*(?P<unit>it/s|s/it))?"
)
_RICH_BAR = re.compile(
    r"[━╺╸─]\s*(\d+)/(\d+)\s+(?P<spent>[\d:]+) • (?P<left>[\d:-]+)(?:\s+(?P<rate>[\d.]+)\s*(?P<unit>it/s|s/it))?"
)
"""Lightning's RichProgressBar."""
_DEEPSPEED = re.compile(r"RunningAvgSamplesPerSec=|skipped=\d+, lr=\[")
"""Lines that say a step and no loss."""
_ETA = re.compile(r"\beta['\"]?\s*[:=]\s*['\"]?(?:(\d{1,4}) days?, )?(\d{1,4}(?::\d\d){1,2})(?!\d)", re.IGNORECASE)
_PER_SECOND = r"tok(?:en)?s?(?:[_ ]per[_ ]sec(?:ond)?|/s(?:ec)?)(?:[_ ]per[_ ]gpu|/gpu)?"
_TOKENS = re.compile(
    rf"(?:tps|{_PER_SECOND})['\"]?\s*[:=]\s*({_NUMBER})|(?<![\w.])(\d[\d,]*\.?\d*)\s*{_PER_SECOND}", re.IGNORECASE
)
_TOKEN_WORD = re.compile("tps|tok")
_SECONDS = re.compile(
    rf"(?:elapsed time per iteration \((m?s)\)|(?:train_step_timing in|iter time \()\s*(s)\)?)\s*[:=]\s*({_NUMBER})",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Progress:
    """What one line says; None where it says nothing."""

    step: int | None = None
    steps: int | None = None
    """How many there will be."""
    loss: float | None = None
    tokens_per_s: float | None = None
    step_s: float | None = None
    """Seconds that a step takes."""
    left_s: float | None = None
    """Seconds to the end, as the trainer estimates them."""


def read_line(text: str) -> Progress | None:
    """Return what a line says of the run, None when it says nothing."""
    text = text[-LONGEST:]
    if "loss" not in text and "step" not in text and "iter" not in text and "%|" not in text and " • " not in text:
        return None
    # Most lines have not even the words: finding that out costs a tenth of the search.
    low = text.lower()
    loss = _LOSS.search(text) if "loss" in low else None
    step = _STEP.search(text) if "step" in low or "iter" in low else None
    bar = _BAR.search(text) if "%|" in text else _RICH_BAR.search(text) if " • " in text else None
    tokens = _tokens(text, low)
    seconds = _SECONDS.search(text) if " time" in low or "timing" in low else None
    if loss is None and bar is None and not (step and (tokens or seconds or _DEEPSPEED.search(text))):
        return None
    at = _whole(step[1]) if step else _whole(bar[1]) if bar else None
    of = _whole(step[2]) if step and step[2] else _whole(bar[2]) if bar else None
    return Progress(
        step=at,
        steps=of,
        loss=_real(loss[1] or loss[2]) if loss else None,
        tokens_per_s=_real(tokens[1] or tokens[2]) if tokens else None,
        step_s=_step_seconds(seconds, bar),
        left_s=_clock(bar["left"]) if bar else _eta(text) if "eta" in low else None,
    )


def _tokens(text: str, low: str) -> re.Match[str] | None:
    """Return the tokens a second, looked for only around the words for them: of all searches it is the slowest."""
    for word in islice(_TOKEN_WORD.finditer(low), 8):
        if found := _TOKENS.search(text[max(word.start() - 32, 0) : word.end() + 64]):
            return found
    return None


def _step_seconds(seconds: re.Match[str] | None, bar: re.Match[str] | None) -> float | None:
    if seconds:
        value = _real(seconds[3])
        return None if value is None else value / 1000 if seconds[1] == "ms" else value
    if bar is None or not bar["rate"]:
        return None
    rate = _real(bar["rate"])
    if not rate:
        return None
    return rate if bar["unit"] == "s/it" else 1.0 / rate


def _whole(text: str) -> int:
    return int(text.replace(",", ""))


def _real(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _eta(text: str) -> float | None:
    found = _ETA.search(text)
    clock = _clock(found[2]) if found else None
    return None if found is None or clock is None else int(found[1] or 0) * 86_400 + clock


def _clock(text: str) -> float | None:
    parts = text.split(":")
    if "?" in text or not all(part.isdigit() for part in parts):
        return None
    value = 0
    for part in parts:
        value = value * 60 + int(part)
    return float(value)


class Training:
    """What the lines of one output said so far: the last of each value, and the losses of the whole run."""

    def __init__(self) -> None:
        self.last = Progress()
        self.losses: deque[float] = deque(maxlen=KEPT)
        self.broken = False
        """The last loss is no number: the run has diverged."""
        self._every = 1
        self._seen = 0

    def take(self, text: str) -> None:
        """Read one line."""
        found = read_line(text)
        if found is None:
            return
        old = self.last
        self.last = Progress(
            step=found.step if found.step is not None else old.step,
            steps=found.steps if found.steps is not None else old.steps,
            loss=found.loss if found.loss is not None else old.loss,
            tokens_per_s=found.tokens_per_s if found.tokens_per_s is not None else old.tokens_per_s,
            step_s=found.step_s if found.step_s is not None else old.step_s,
            left_s=found.left_s if found.left_s is not None else _left(found, old),
        )
        if found.loss is not None:
            self._keep(found.loss)

    def _keep(self, loss: float) -> None:
        self.broken = not math.isfinite(loss)
        if self.broken:
            return
        if self._seen % self._every == 0:
            if len(self.losses) == KEPT:
                self.losses = deque(list(self.losses)[::2], maxlen=KEPT)
                self._every *= 2
            self.losses.append(loss)
        self._seen += 1


def _left(found: Progress, old: Progress) -> float | None:
    """Return the seconds to the end by the pace of the steps, where the trainer does not say."""
    step, steps = found.step, found.steps if found.steps is not None else old.steps
    pace = found.step_s if found.step_s is not None else old.step_s
    if step is None or steps is None or pace is None or steps < step:
        return old.left_s
    return (steps - step) * pace


def training_line(view: View, training: Training, width: int) -> Line:
    """Return the run in one line: step, loss with its curve, speed, time left; empty when nothing was recognised."""
    last = training.last
    cells: list[Cell] = []
    if last.step is not None:
        of = f"/{last.steps:,}" if last.steps else ""
        cells.append(Cell(f"step {last.step:,}{of}  ", "name"))
    if last.loss is not None:
        style = "bad" if training.broken else "text"
        cells.append(Cell(f"loss {last.loss:.4g}  ", style))
        if len(training.losses) > 1 and width >= 60:
            room = min(width // 4, 40, len(training.losses))
            curve = _thinned(training.losses, room)
            cells += [sparkline(curve, room, low=min(curve), glyphs=view.glyphs, style="accent"), Cell("  ")]
    if last.tokens_per_s is not None:
        cells.append(Cell(f"{units.rate(last.tokens_per_s)} tok/s  ", "info"))
    if last.step_s is not None:
        cells.append(Cell(f"{last.step_s:.3g} s/step  ", "muted"))
    if last.left_s is not None:
        cells.append(Cell(f"left {units.duration(last.left_s)}", "info"))
    return tuple(cells)


def _thinned(values: deque[float], count: int) -> list[float]:
    """Return at most `count` of the values, evenly over all of them, the last one included."""
    if len(values) <= count:
        return list(values)
    return [values[(index + 1) * len(values) // count - 1] for index in range(count)]
