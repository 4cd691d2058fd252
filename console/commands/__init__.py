"""The commands of `qd`, one module each; `console.cli` imports the one that runs.

A module has `add_arguments(parser)` and `run(call) -> int`, the exit code. What it raises, `console.cli`
reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Entry(NamedTuple):
    """One line of `qd --help`."""

    module: str
    summary: str


CONSOLE = "fleet"
"""What `qd` alone means."""

COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {
        "fleet": Entry("screens", "the console (as qd alone), opened on the Fleet screen"),
        "network": Entry("screens", "the console, opened on the Network screen"),
        "storage": Entry("screens", "the console, opened on the Storage screen"),
        "sources": Entry("screens", "the console, opened on the Sources screen"),
        "jobs": Entry("tables", "the console on the Jobs screen; asked for in particular, a table"),
        "nodes": Entry("tables", "the nodes as a table"),
        "snapshot": Entry("snapshot", "the state of everything, once"),
        "explain": Entry("explain", "why a job waits or failed, in words"),
        "logs": Entry("logs", "the output of a job; -f follows it"),
        "doctor": Entry("doctor", "what works here, what is denied, and how to mend it"),
        "init": Entry("init", "write a commented configuration"),
        "version": Entry("version", "print the version"),
        "completion": Entry("completion", "print the completion script of a shell"),
    }
)
