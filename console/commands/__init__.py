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
    runs: bool = False
    """What follows `--` is a command of somebody else, and not ours to read."""


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
        "drain": Entry("act", "take nodes out of work, with a reason"),
        "resume": Entry("act", "bring nodes back to work"),
        "cordon": Entry("act", "let nodes take no new work, and let what runs there run on"),
        "uncordon": Entry("act", "the Kubernetes word for resume"),
        "power-down": Entry("act", "power nodes down once their jobs have ended"),
        "power-up": Entry("act", "power nodes up"),
        "reboot": Entry("act", "reboot nodes once their jobs have ended"),
        "run": Entry("run", "run a command on nodes, equal answers folded", runs=True),
        "hold": Entry("act", "keep jobs from starting"),
        "release": Entry("act", "let held jobs start"),
        "requeue": Entry("act", "put running jobs back into the queue"),
        "cancel": Entry("act", "end jobs"),
        "suspend": Entry("act", "let running jobs stand still"),
        "continue": Entry("act", "let suspended jobs go on"),
        "timelimit": Entry("act", "change the time limit of jobs"),
        "priority": Entry("act", "change the priority of jobs"),
        "move": Entry("act", "move jobs to another partition or queue"),
        "journal": Entry("journal", "what was done, by whom and how it went; --undo takes it back"),
        "doctor": Entry("doctor", "what works here, what is denied, and how to mend it"),
        "init": Entry("init", "write a commented configuration"),
        "version": Entry("version", "print the version"),
        "completion": Entry("completion", "print the completion script of a shell"),
    }
)
