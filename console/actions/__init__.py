"""Acting: intent → plan → policy → confirm → execute → verify → journal, one path for keys, palette and command line.

desk       the one door: plans, and carries plans out
blast      who is hurt: the jobs on the targets
policy     who may do what, and what must be typed first
execute    bounded fan-out, one outcome a target, safe to interrupt
verify     what the world must look like afterwards
journal    what was tried and how it went, never lost
undo       the plan that brings back what was before
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Kind:
    """One action that exists."""

    of_nodes: bool
    """It acts on nodes; else on jobs."""
    done: str
    """Past tense, for people."""
    needs_reason: bool = False
    needs_value: str = ""
    """What its value is: `a time limit`; empty: it has none."""


ORDERS: Mapping[str, Kind] = MappingProxyType(
    {
        "drain": Kind(True, "drained", needs_reason=True),
        "resume": Kind(True, "resumed"),
        "power-down": Kind(True, "powered down", needs_reason=True),
        "power-up": Kind(True, "powered up"),
        "reboot": Kind(True, "marked for reboot", needs_reason=True),
        "hold": Kind(False, "held"),
        "release": Kind(False, "released"),
        "requeue": Kind(False, "requeued"),
        "cancel": Kind(False, "cancelled"),
        "suspend": Kind(False, "suspended"),
        "continue": Kind(False, "continued"),
        "timelimit": Kind(False, "changed", needs_value="a time limit"),
        "priority": Kind(False, "changed", needs_value="a priority"),
        "move": Kind(False, "moved", needs_value="a partition or queue"),
    }
)
