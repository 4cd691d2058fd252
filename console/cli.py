"""The command line: finds the command, reads the options, reports what goes wrong.

Imports nothing heavy: `qd version` and a completion must answer at once, and no command pays for another's
modules.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from console.commands import COMMANDS, CONSOLE

if TYPE_CHECKING:
    from console.commands.call import Call

PROGRAM = "qd"
INTERRUPTED = 130
BROKEN_PIPE = 141

_FORMATTER = argparse.RawDescriptionHelpFormatter
_EPILOG = """\
exit codes: 0 done · 1 some targets failed (each listed) · 2 usage or configuration
            3 nothing reachable · 4 denied
"""


class _Parser(argparse.ArgumentParser):
    """Reports mistakes as every other error is reported."""

    def error(self, message: str) -> NoReturn:
        from console.errors import UsageError
        from console.text import clean

        hint = f"{self.prog} --help shows what there is"
        raise UsageError("the command line cannot be read", clean(message), hint)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the entry point of `qd` and `quarterdeck`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:
        from console.commands.completion import complete

        complete(build_parser())
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        code = _dispatch(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it. The interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the outermost: whatever it is becomes one line
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        return _failed(error, verbose="-v" in ours or "--verbose" in ours)
    return code


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of one command; of `qd` with all its commands when None (help and completion)."""
    if command is None:
        parser = _Parser(
            PROGRAM,
            description="The terminal console of an AI training cluster.",
            epilog=_EPILOG,
            allow_abbrev=False,
            formatter_class=_FORMATTER,
        )
        commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog=PROGRAM)
        for name, entry in COMMANDS.items():
            one = commands.add_parser(name, help=entry.summary, description=entry.summary, allow_abbrev=False)
            _module(name).add_arguments(one)
            _add_common(one)
    else:
        summary = COMMANDS[command].summary
        parser = _Parser(
            f"{PROGRAM} {command}",
            description=summary,
            epilog=_EPILOG,
            allow_abbrev=False,
            formatter_class=_FORMATTER,
        )
        _module(command).add_arguments(parser)
    _add_common(parser)
    return parser


def find_command(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the command, None when none is named, and the arguments without it.

    Options may stand before the command as well as after it, so the command is the first word that is neither
    an option nor the value of one.
    """
    index = 0
    while index < len(arguments) and arguments[index] != "--":
        word = arguments[index]
        if not word.startswith("-") or word == "-":
            return word, [*arguments[:index], *arguments[index + 1 :]]
        index += 2 if word in _WITH_VALUE else 1
    return None, list(arguments)


def _dispatch(arguments: list[str]) -> int:
    from console.commands.call import Call

    command, rest = find_command(arguments)
    if command is None:
        if "-h" in rest or "--help" in rest:
            build_parser().print_help()
            return 0
        if "--version" in rest:
            command, rest = "version", [word for word in rest if word != "--version"]
    if command is not None and command not in COMMANDS:
        _unknown(command)
    name = command or CONSOLE
    tail: list[str] = []
    if COMMANDS[name].runs and "--" in rest:
        at = rest.index("--")
        rest, tail = rest[:at], rest[at + 1 :]
    options = build_parser(name).parse_intermixed_args(rest)
    call: Call = Call(name, options, tail=tail)
    return int(_module(name).run(call))


def _unknown(command: str) -> NoReturn:
    from console.errors import UsageError
    from console.suggest import nearest
    from console.text import clean

    close = nearest(command, COMMANDS)
    hint = f"did you mean {close}?" if close else f"commands: {', '.join(COMMANDS)}"
    raise UsageError("there is no such command", clean(command), hint)


def _failed(error: Exception, *, verbose: bool) -> int:
    """Report an error; with `-v` also where in the program it came from."""
    from console.errors import QuarterdeckError

    if verbose:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, QuarterdeckError):
        lines, code = [f"{PROGRAM}: {error}", error.hint and f"    {error.hint}"], error.exit_code
    elif isinstance(error, OSError) and error.filename is None and error.errno is not None:
        # Nothing of ours leaks such an error but a write to standard output: a full disk, a closed pipe.
        lines, code = [f"{PROGRAM}: cannot write: standard output: {error.strerror}"], 1
        _drop_output()
    else:
        from console.crash import write_crash

        path = write_crash(error)
        what = f"{PROGRAM}: an error of our own: {type(error).__name__}: {path}"
        lines, code = [what, "    please send this file with the report"], 1
    if sys.stderr is not None:
        sys.stderr.write("".join(f"{line}\n" for line in lines if line))
    return code


def _drop_output() -> None:
    """Keep the interpreter from writing what could not be written a second time."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _module(command: str) -> Any:
    return importlib.import_module(f"console.commands.{COMMANDS[command].module}")


_WITH_VALUE = frozenset(
    (
        *("--config", "--cluster", "--hosts", "--ssh-config", "--simulate", "--theme", "--refresh", "--wait"),
        *("-n", "--lines", "--stream", "--reason", "--undo"),
        *("-u", "--user", "--fanout", "--timeout", "--stdin", "--script"),
    )
)
"""The options that take a value in a word of its own."""


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options, before or after the command")
    add = group.add_argument
    add("--config", metavar="FILE", help="instead of ~/.config/quarterdeck/config.toml")
    add("--cluster", metavar="NAME", action="append", default=[], help="only this one; repeat it, or a,b")
    add("--hosts", metavar="NODESET", help="these hosts over SSH: 'gpu[01-16]', @group")
    add("--ssh-config", metavar="FILE", help="instead of ~/.ssh/config")
    add("--simulate", metavar="N[:SEED]", help="a simulated cluster of N nodes")
    add("--read-only", action="store_true", help="take away every action that changes something")
    add("--theme", metavar="NAME", help="dark, light, high-contrast, colour-blind, ansi, mono, yours")
    add("--refresh", metavar="S", type=_seconds, help="pace of what is on screen, in seconds")
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="list every source with its state and latency, and say where errors come from",
    )


def _seconds(text: str) -> float:
    """Return the seconds of an option."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.2 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.2 to 3600")
    return value


if __name__ == "__main__":
    sys.exit(main())
