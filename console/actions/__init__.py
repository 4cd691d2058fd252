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
    spares_jobs: bool = False
    """No job on the nodes feels it."""
    needs_reason: bool = False
    needs_value: str = ""
    """What its value is: `a time limit`; empty: it has none."""


ORDERS: Mapping[str, Kind] = MappingProxyType(
    {
        "drain": Kind(of_nodes=True, needs_reason=True),
        "cordon": Kind(of_nodes=True, needs_reason=True),
        "resume": Kind(of_nodes=True, spares_jobs=True),
        "power-down": Kind(of_nodes=True, needs_reason=True),
        "power-up": Kind(of_nodes=True, spares_jobs=True),
        "reboot": Kind(of_nodes=True, needs_reason=True),
        "hold": Kind(of_nodes=False),
        "release": Kind(of_nodes=False),
        "requeue": Kind(of_nodes=False),
        "cancel": Kind(of_nodes=False),
        "suspend": Kind(of_nodes=False),
        "continue": Kind(of_nodes=False),
        "timelimit": Kind(of_nodes=False, needs_value="a time limit"),
        "priority": Kind(of_nodes=False, needs_value="a priority"),
        "move": Kind(of_nodes=False, needs_value="a partition or queue"),
    }
)
