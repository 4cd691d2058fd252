"""Who acts in this process, from where, under which policy and with which journal."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from console import __version__
from console.actions import policy
from console.actions.desk import Surroundings
from console.actions.journal import Journal
from console.crash import state_dir
from console.model import Actor
from console.text import clean


def surroundings(
    environ: Mapping[str, str],
    config_dir: Path | None,
    *,
    read_only: str | None = None,
    system_file: Path = policy.SYSTEM_FILE,
) -> Surroundings:
    """Return all of it; only policy files are read. ConfigError for one that cannot be used."""
    user_file = None if config_dir is None else config_dir / "policy.toml"
    person = policy.person_here()
    return Surroundings(
        person=person,
        actor=actor_here(environ, person.user),
        policy=policy.load(user_file, read_only=read_only, system_file=system_file),
        journal=journal_here(environ),
    )


def journal_here(environ: Mapping[str, str]) -> Journal:
    """Return the journal of this user; nothing is opened."""
    return Journal(state_dir(environ) / "journal")


def actor_here(environ: Mapping[str, str], user: str) -> Actor:
    """Return who runs this process and where they came from."""
    origin = environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return Actor(
        user=user,
        uid=os.getuid(),
        host=clean(os.uname().nodename),
        pid=os.getpid(),
        sudo_user=clean(environ.get("SUDO_USER", "")) or None,
        tty=_tty(),
        origin=clean(origin) or None,
        version=__version__,
    )


def _tty() -> str | None:
    for descriptor in (0, 1, 2):
        try:
            return os.ttyname(descriptor)
        except OSError:
            continue
    return None
