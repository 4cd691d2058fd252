"""Every error that Quarterdeck raises on purpose.

    QuarterdeckError            what happened, where, what to do next
    ├── UsageError              the command line asks for something that does not exist        exit 2
    ├── ConfigError             a configuration, theme or keymap file is wrong                 exit 2
    ├── PluginError             a plugin cannot be loaded or breaks the contract
    └── SourceError             a source gave no usable answer; `state` says how it shows
        ├── Unreachable         nothing answers there                                          exit 3
        │   ├── TimedOut        it did not answer in time
        │   └── ConnectionLost  it answered, and then the line died
        ├── Denied              it answered: no                                                exit 4
        │   ├── HostKeyUnknown  this host's key is in no known_hosts file
        │   └── HostKeyChanged  this host's key differs from the known one
        ├── Unsupported         what is asked does not exist there
        │   ├── NoSuchJob       the scheduler knows no such job (any more)                     exit 2
        │   └── NoSuchFile      there is no such file on that machine
        └── BadAnswer           it answered something that cannot be read
            └── CommandFailed   a command ended with an error of its own

Anything else that escapes is a bug of ours: the console writes a crash file and one line.
"""

from __future__ import annotations

from typing import ClassVar

from console.model.source import SourceState


class QuarterdeckError(Exception):
    """An error that a person can act on.

    `what` happened, `where` (a file, host or command; may be empty) and `hint`, what to do next (may be empty).
    All three are plain text without control characters; callers clean remote text before they put it here.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}: {self.where}" if self.where else self.what

    @property
    def in_one_line(self) -> str:
        """All of it, `what: where (hint)`, where there is room for one line only."""
        return f"{self} ({self.hint})" if self.hint else str(self)


class UsageError(QuarterdeckError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class ConfigError(QuarterdeckError):
    """A configuration, theme or keymap file is wrong; `where` names file, line and key."""

    exit_code = 2


class PluginError(QuarterdeckError):
    """A plugin cannot be loaded, speaks another version of the contract, or breaks it."""


class SourceError(QuarterdeckError):
    """A source gave no usable answer. `state` is what the source then shows."""

    state: ClassVar[SourceState] = SourceState.ERROR


class Unreachable(SourceError):
    """Nothing answers there."""

    state = SourceState.UNREACHABLE
    exit_code = 3


class TimedOut(Unreachable):
    """It did not answer in time."""


class ConnectionLost(Unreachable):
    """It answered before, and then the line died."""


class Denied(SourceError):
    """It answered: no."""

    state = SourceState.DENIED
    exit_code = 4


class HostKeyUnknown(Denied):
    """This host's key is in no known_hosts file; the hint is the command that would add it."""


class HostKeyChanged(Denied):
    """This host's key differs from the one in known_hosts. Never accepted silently."""


class Unsupported(SourceError):
    """What is asked does not exist there: no such device, release or feature."""

    state = SourceState.UNSUPPORTED


class NoSuchJob(Unsupported):
    """The scheduler knows no such job, or knows it no longer."""

    exit_code = 2


class NoSuchFile(Unsupported):
    """There is no such file on that machine."""


class BadAnswer(SourceError):
    """It answered something that cannot be read."""


class CommandFailed(BadAnswer):
    """A command ended with an error of its own."""
