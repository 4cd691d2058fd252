"""A command as it is sent to a node: quoting, sudo, scripts; and sudo's refusals in plain words. Pure."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from console.errors import UsageError
from console.text import clean

_SHELL = 'exec "${SHELL:-/bin/sh}" -c "$1"'
_SCRIPT = (
    # Open and nameless before a byte of it is there: whatever ends this, nothing is left behind.
    'f=$(mktemp) || exit; exec 3>"$f" 4<"$f" || exit; rm -f "$f"; '
    'head -c "$1" >&3 || exit; exec 3>&-; shift; n=$1; shift; '
    # The interpreter, then the script, then its arguments.
    'case $n in 1) i=$1; shift; exec "$i" /dev/fd/4 "$@";; *) i=$1; o=$2; shift 2; exec "$i" "$o" /dev/fd/4 "$@";; esac'
)
_USER = re.compile(r"[A-Za-z0-9_#][A-Za-z0-9_.$-]*")


@dataclass(frozen=True, slots=True)
class Script:
    """A file that is sent, run and leaves nothing."""

    name: str
    body: bytes

    @property
    def interpreter(self) -> list[str]:
        """Return what runs it, as its first line says; `/bin/sh` when that says nothing. UsageError for a binary."""
        if b"\0" in self.body[:4096]:
            raise UsageError("that is no script", clean(self.name), "copy the program there, then run it by its path")
        first = self.body.partition(b"\n")[0]
        words = os.fsdecode(first.removeprefix(b"#!").strip()).split(None, 1) if first.startswith(b"#!") else []
        return words or ["/bin/sh"]


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be run, and how."""

    argv: tuple[str, ...]
    """One word: a line for the shell there. Several: a program and its arguments, each exactly as it is. With a
    script: its arguments."""
    user: str | None = None
    """As whom, by `sudo -n`; None: as whoever logs in."""
    script: Script | None = None
    stdin: bytes = b""
    timeout_s: float | None = 60.0
    """How long it may take on each node from its start; None: for ever."""

    def check(self) -> None:
        """Raise UsageError for what cannot be run anywhere."""
        if not self.argv and self.script is None:
            raise UsageError("there is nothing to run", hint="qd run NODES -- COMMAND, or --script FILE")
        if any("\0" in word for word in self.argv):
            raise UsageError("an argument cannot hold a NUL byte", hint="give it by --stdin FILE")
        if self.user is not None and not _USER.fullmatch(self.user):
            raise UsageError("not the name of a user", clean(self.user), "-u root")
        if self.script is not None:
            _ = self.script.interpreter

    @property
    def leader(self) -> list[str]:
        """What leads every command that runs as that user."""
        return [] if self.user is None else ["sudo", "-n", "-u", self.user, "--"]

    @property
    def remote(self) -> list[str]:
        """The argument vector that is started on the node."""
        if self.script is not None:
            interpreter = self.script.interpreter
            head = ["/bin/sh", "-c", _SCRIPT, "sh", str(len(self.script.body)), str(len(interpreter))]
            return [*self.leader, *head, *interpreter, *self.argv]
        if len(self.argv) > 1:
            return [*self.leader, *self.argv]
        if self.user is not None:
            return [*self.leader, "/bin/sh", "-c", self.argv[0]]
        return ["/bin/sh", "-c", _SHELL, "sh", self.argv[0]]

    @property
    def input(self) -> bytes:
        """What goes to its standard input: the script, then what is given."""
        return self.stdin if self.script is None else self.script.body + self.stdin

    @property
    def text(self) -> str:
        """The command for people."""
        if self.script is not None:
            words = shlex.join(shown(self.argv))
            line = f"script {clean(self.script.name)} ({len(self.script.body)} bytes) {words}".rstrip()
        else:
            words_shown = shown(self.argv)
            line = words_shown[0] if len(words_shown) == 1 else shlex.join(words_shown)
        return clean(line if self.user is None else f"as {self.user}: {line}")


def shown(argv: Sequence[str]) -> tuple[str, ...]:
    """Return arguments as valid text: bytes that are none stand as `\\xff`."""
    return tuple(os.fsencode(word).decode("utf-8", "backslashreplace") for word in argv)


def sudo_refusal(user: str, exit_status: int, output: str, errors: str) -> tuple[str, str] | None:
    """Return what kept sudo from running anything, and what to do about it; None when it was not sudo that ended."""
    said = errors.strip()
    if output:
        return None
    if exit_status == 127 and re.search(r"\bsudo: (command )?not found", said):
        return "sudo is not installed", "log in as that user: User in the ssh configuration"
    if exit_status != 1 or not re.match(r"sudo: |Sorry, user |\S+ is not (in the sudoers|allowed)", said):
        return None
    if re.search(r"password is required|terminal is required|no askpass", said):
        return "sudo needs a password", f"let sudoers allow it without one: NOPASSWD, runas ({user})"
    if "unknown user" in said:
        return f"there is no user {user}", "-u names a user of those nodes"
    last = clean(said.splitlines()[-1])
    return f"sudo refuses: {last}", "sudo -l there says what is allowed"
