"""One call of a command: what was asked, and where its output goes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from console.config import Config
    from console.errors import QuarterdeckError

NO_TERMINAL = ("", "dumb", "unknown")
"""Values of TERM that promise nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command."""

    command: str
    options: argparse.Namespace
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    tail: Sequence[str] = ()
    """What stands after `--`, for commands that run it."""

    def config(self) -> Config:
        """Return the settings of this run: files, variables and options. Raises ConfigError, UsageError."""
        from console.config import Overrides, load

        options = self.options
        overrides = Overrides(
            config=options.config,
            clusters=tuple(name for words in options.cluster for name in words.split(",") if name),
            hosts=options.hosts,
            ssh_config=options.ssh_config,
            simulate=options.simulate,
            read_only=options.read_only,
            theme=options.theme,
            refresh_s=options.refresh,
        )
        config = load(overrides, self.environ)
        if options.theme is not None:
            self._check_theme(options.theme, config)
        return config

    def _check_theme(self, name: str, config: Config) -> None:
        """Raise ConfigError for a theme that is asked for and cannot be used, whatever the command draws with it.

        One of the configuration may be wrong: it costs a notice when the console opens (`console.commands.looks`).
        """
        from console.errors import ConfigError
        from console.render.themes import load

        try:
            load(name, config.theme_dir)
        except ConfigError as error:
            raise ConfigError(error.what, error.where or "--theme", error.hint) from None

    def say(self, line: str = "") -> None:
        """Print one line on standard output; characters that it cannot carry become `?`."""
        if sys.stdout is not None:
            sys.stdout.write(f"{line}\n")

    def say_json(self, value: Any) -> None:
        """Print plain data as one indented JSON object, in UTF-8 whatever the locale."""
        import msgspec

        if sys.stdout is not None:
            sys.stdout.flush()
            sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def say_bytes(self, data: bytes) -> None:
        """Write bytes as they are to standard output."""
        if sys.stdout is not None:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def flush(self) -> None:
        """Let what was printed be seen now."""
        if sys.stdout is not None:
            sys.stdout.flush()

    def complain(self, line: str) -> None:
        """Print one line on standard error."""
        if sys.stderr is not None:
            sys.stderr.write(f"{line}\n")

    def report(self, error: QuarterdeckError) -> None:
        """Print an error: what happened, where; and on a second line what to do next."""
        self.complain(f"qd: {error}")
        if error.hint:
            self.complain(f"    {error.hint}")

    def on_terminal(self) -> bool:
        """Return whether standard input and output are a terminal."""
        streams = (sys.stdin, sys.stdout)
        return all(stream is not None and stream.isatty() for stream in streams)

    def require_terminal(self) -> None:
        """Raise UsageError when the console cannot be shown here."""
        from console.errors import UsageError

        hint = "in scripts: qd snapshot, qd nodes, qd jobs, each with --json"
        if not self.on_terminal():
            raise UsageError("the console needs a terminal", "standard input and output", hint)
        term = self.environ.get("TERM", "")
        if term in NO_TERMINAL:
            where = f"TERM={term}" if term else "TERM is not set"
            hint = "set TERM to what the terminal is (xterm-256color, linux, screen), or use qd snapshot"
            raise UsageError("this terminal cannot show the console", where, hint)
