"""States as glyph and word. The style only helps: without any colour the same is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from console.model import JobState, MountState, NodeState, Severity, SourceState
from console.render.cells import Cell


class Sign(NamedTuple):
    """How one state looks."""

    glyph: str
    ascii: str
    style: str
    word: str
    rank: int
    """How much it asks for attention; sorting by state puts the highest first or last, never the alphabet."""


NODE_SIGNS: Mapping[NodeState, Sign] = MappingProxyType(
    {
        NodeState.DOWN: Sign("✗", "X", "bad", "down", 8),
        NodeState.UNREACHABLE: Sign("⊘", "!", "bad", "unreachable", 7),
        NodeState.UNKNOWN: Sign("?", "?", "muted", "unknown", 6),
        NodeState.DRAINED: Sign("◌", "D", "warn", "drained", 5),
        NodeState.DRAINING: Sign("◐", "d", "warn", "draining", 4),
        NodeState.MAINTENANCE: Sign("◈", "M", "info", "maintenance", 3),
        NodeState.RESERVED: Sign("◆", "R", "info", "reserved", 2),
        NodeState.BUSY: Sign("●", "*", "busy", "busy", 1),
        NodeState.UP: Sign("○", "o", "ok", "up", 0),
    }
)

JOB_SIGNS: Mapping[JobState, Sign] = MappingProxyType(
    {
        JobState.RUNNING: Sign("●", "*", "busy", "running", 10),
        JobState.COMPLETING: Sign("◑", "%", "busy", "completing", 9),
        JobState.SUSPENDED: Sign("◫", "=", "warn", "suspended", 8),
        JobState.HELD: Sign("◇", "h", "warn", "held", 7),
        JobState.PENDING: Sign("○", "o", "info", "pending", 6),
        JobState.UNKNOWN: Sign("?", "?", "muted", "unknown", 5),
        JobState.FAILED: Sign("✗", "X", "bad", "failed", 4),
        JobState.TIMEOUT: Sign("⊗", "T", "bad", "timeout", 3),
        JobState.PREEMPTED: Sign("◁", "<", "warn", "preempted", 2),
        JobState.CANCELLED: Sign("⊖", "c", "muted", "cancelled", 1),
        JobState.COMPLETED: Sign("✓", "v", "ok", "completed", 0),
    }
)

SOURCE_SIGNS: Mapping[SourceState, Sign] = MappingProxyType(
    {
        SourceState.ERROR: Sign("✗", "X", "bad", "error", 6),
        SourceState.UNREACHABLE: Sign("⊘", "!", "bad", "unreachable", 5),
        SourceState.DENIED: Sign("⊗", "D", "bad", "denied", 4),
        SourceState.LATE: Sign("◐", "~", "warn", "late", 3),
        SourceState.CONNECTING: Sign("○", "o", "info", "connecting", 2),
        SourceState.UNSUPPORTED: Sign("◌", "-", "muted", "unsupported", 1),
        SourceState.OK: Sign("●", "*", "ok", "live", 0),
    }
)

LINK_SIGNS: Mapping[str, Sign] = MappingProxyType(
    {
        "down": Sign("✗", "X", "bad", "down", 5),
        "init": Sign("◐", "~", "warn", "init", 4),
        "armed": Sign("◑", "%", "warn", "armed", 3),
        "unknown": Sign("?", "?", "muted", "unknown", 1),
        "up": Sign("●", "*", "ok", "up", 0),
    }
)

MOUNT_SIGNS: Mapping[MountState, Sign] = MappingProxyType(
    {
        MountState.HUNG: Sign("✗", "X", "bad", "hung", 3),
        MountState.SLOW: Sign("◐", "~", "warn", "slow", 2),
        MountState.UNCHECKED: Sign("◌", "-", "muted", "unchecked", 1),
        MountState.OK: Sign("●", "*", "ok", "ok", 0),
    }
)

SEVERITY_SIGNS: Mapping[Severity, Sign] = MappingProxyType(
    {
        Severity.CRITICAL: Sign("✗", "X", "bad", "critical", 2),
        Severity.WARNING: Sign("▲", "!", "warn", "warning", 1),
        Severity.INFO: Sign("·", "i", "info", "info", 0),
    }
)

ACCELERATOR_SIGNS: Mapping[str, Sign] = MappingProxyType(
    {
        "lost": Sign("✗", "X", "bad", "lost", 2),
        "error": Sign("▲", "!", "bad", "error", 1),
        "ok": Sign("●", "*", "ok", "ok", 0),
    }
)


def link_sign(state: str | None) -> Sign:
    """Return the sign of a link's state; a word that is not in the model is shown as unknown."""
    return LINK_SIGNS.get(state or "unknown", LINK_SIGNS["unknown"])


def accelerator_sign(state: str) -> Sign:
    """Return the sign of an accelerator's state; what is not in the model counts as an error."""
    return ACCELERATOR_SIGNS.get(state, ACCELERATOR_SIGNS["error"])


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that are drawn with: `UNICODE`, or `ASCII` where locale or terminal has no more."""

    ascii: bool
    ellipsis: str
    missing: str
    sparks: str
    """Levels from lowest to highest; the first is an empty or near-empty one."""
    bar: str
    """Steps of a horizontal bar's last cell, the last one being a full cell."""
    bar_rest: str
    shades: str
    """Ten levels of a heat map cell as text, for screens without colour."""
    mark: str
    cursor: str
    ascending: str
    descending: str
    separator: str
    warning: str
    degree: str

    def glyph(self, sign: Sign) -> str:
        """Return the one character of a sign."""
        return sign.ascii if self.ascii else sign.glyph

    def state(self, sign: Sign, word: str | None = None) -> Cell:
        """Return glyph and word of a state."""
        return Cell(f"{self.glyph(sign)} {word or sign.word}", sign.style)


def fitting(wanted: bool | None, environ: Mapping[str, str], utf8: bool) -> Glyphs:
    """Return what to draw with; `wanted` is the configuration's word on ASCII, None: by locale and terminal.

    The fonts of the Linux console (TERM=linux) speak UTF-8 and have no bars, dots and triangles.
    """
    plain = not utf8 or environ.get("TERM") == "linux" if wanted is None else wanted
    return ASCII if plain else UNICODE


UNICODE = Glyphs(
    ascii=False,
    ellipsis="…",
    missing="–",
    sparks="▁▂▃▄▅▆▇█",
    bar="▏▎▍▌▋▊▉█",
    bar_rest="·",
    shades="0123456789",
    mark="◆",
    cursor="▶",
    ascending="▲",
    descending="▼",
    separator="│",
    warning="▲",
    degree="°",
)

ASCII = Glyphs(
    ascii=True,
    ellipsis="~",
    missing="-",
    sparks="_.:-=+*#",
    bar="#",
    bar_rest=".",
    shades="0123456789",
    mark="+",
    cursor=">",
    ascending="^",
    descending="v",
    separator="|",
    warning="!",
    degree="",
)
