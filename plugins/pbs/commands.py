"""The command lines that are run, and nothing else: pure, no I/O.

Every command runs under `env`: TZ=UTC because PBS prints times without a zone, in that of its client; LC_ALL=C for
the names of months; and the same words work on this host and through any remote shell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from console.errors import ConfigError
from console.text import clean
from plugins.pbs.settings import PbsSettings

PROGRAMS = ("qstat", "pbsnodes", "pbs_rstat", "qhold", "qrls", "qrerun", "qdel", "qsig", "qalter", "qmove")
JOB_ID = re.compile(r"\d{1,18}(?:\[\d{0,9}\])?(?:\.[A-Za-z0-9][A-Za-z0-9_.-]{0,255})?", re.ASCII)
"""`12`, `12.pbs01`, `3[].pbs01`, `3[7].pbs01`."""
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*", re.ASCII)


class Commands:
    """Builds the argument vectors of one cluster."""

    def __init__(self, settings: PbsSettings) -> None:
        """ConfigError when a path or the server cannot be one."""
        for key, path, example in (
            ("pbs_conf", settings.pbs_conf, "/etc/pbs.conf"),
            ("bin", settings.bin, "/opt/pbs/bin"),
            ("mom_home", settings.mom_home, "/var/spool/pbs"),
        ):
            if path is not None and (not path.startswith("/") or "\0" in path):
                raise ConfigError(f"{key} must be an absolute path", clean(path), f'for example {key} = "{example}"')
        if settings.server is not None and not _HOST.fullmatch(settings.server):
            raise ConfigError("server must be a host name", clean(settings.server), 'for example server = "pbs01"')
        self._bin = settings.bin
        words = ["env", "LC_ALL=C", "TZ=UTC"]
        if settings.pbs_conf is not None:
            words.append(f"PBS_CONF_FILE={settings.pbs_conf}")
        if settings.server is not None:
            words.append(f"PBS_SERVER={settings.server}")
        self._env = tuple(words)

    def program(self, name: str) -> str:
        """Return how this program is called."""
        return f"{self._bin.rstrip('/')}/{name}" if self._bin else name

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [*self._env, self.program(program), *arguments]

    def server(self) -> list[str]:
        """Show the server: its counters tell whether something changed."""
        return self._command("qstat", "-B", "-f", "-F", "json")

    def jobs(self) -> list[str]:
        """List all jobs that are not over; arrays stay folded."""
        return self._command("qstat", "-f", "-F", "json")

    def some_jobs(self, ids: Sequence[str], *, history: bool = False, tasks: bool = False) -> list[str]:
        """Show single jobs; with `history` also those that are over, with `tasks` arrays with all their tasks."""
        flags = ["-x"] * history + ["-t"] * tasks
        return self._command("qstat", *flags, "-f", "-F", "json", *ids)

    def queues(self) -> list[str]:
        """List all queues."""
        return self._command("qstat", "-Q", "-f", "-F", "json")

    def nodes(self) -> list[str]:
        """List all vnodes."""
        return self._command("pbsnodes", "-a", "-v", "-F", "json")

    def reservations(self) -> list[str]:
        """List all reservations in full; pbs_rstat knows no JSON."""
        return self._command("pbs_rstat", "-F")

    def act(self, program: str, *arguments: str) -> tuple[str, ...]:
        """Change something: what a plan shows, and what runs."""
        return tuple(self._command(program, *arguments))

    def version(self, program: str) -> list[str]:
        """Say which release a client program is of; asks nobody."""
        return self._command(program, "--version")
