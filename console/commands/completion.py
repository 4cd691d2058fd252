"""`qd completion SHELL`, and the answers that the shell asks for while somebody types."""

from __future__ import annotations

import argparse
import os
from typing import Any

from console.commands.call import Call

SHELLS = ("bash", "zsh", "fish")
PROGRAMS = ("qd", "quarterdeck")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes the shell."""
    parser.add_argument("shell", choices=SHELLS, help='in ~/.bashrc: eval "$(qd completion bash)"')


def run(call: Call) -> int:
    """Print the script that the shell evaluates."""
    from argcomplete.shell_integration import shellcode

    call.say(str(shellcode(list(PROGRAMS), shell=call.options.shell)))
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end this process."""
    import argcomplete
    from argcomplete.completers import FilesCompleter, SuppressCompleter

    for action in _actions(parser):
        if action.dest == "theme":
            _set(action, _themes)
        elif action.dest == "cluster":
            _set(action, _clusters)
        elif action.dest in ("config", "ssh_config"):
            _set(action, FilesCompleter())
        elif action.dest in ("hosts", "simulate", "refresh", "wait", "filter"):
            _set(action, SuppressCompleter())
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    found: list[argparse.Action] = []
    for action in parser._actions:  # argparse names no public way to its own arguments
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            for child in dict.fromkeys(action.choices.values()):
                found += _actions(child)
    return found


def _set(action: argparse.Action, completer: Any) -> None:
    """Attach a completer in the way that argcomplete looks for it."""
    action.completer = completer  # type: ignore[attr-defined]


def _themes(**_context: Any) -> list[str]:
    from console.config import config_dir
    from console.render.themes import names

    directory = config_dir(os.environ)
    return names(directory / "themes" if directory else None)


def _clusters(parsed_args: argparse.Namespace, **_context: Any) -> list[str]:
    from console.config import Overrides, load
    from console.errors import QuarterdeckError

    try:
        config = load(Overrides(config=getattr(parsed_args, "config", None)), os.environ)
    except QuarterdeckError:
        return []  # a key press is not the place to complain
    return [cluster.name for cluster in config.clusters]
