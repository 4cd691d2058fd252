"""`qd init`: write a commented configuration, never over another."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from console.commands.call import Call

if TYPE_CHECKING:
    from console.config import Config
    from console.discover import Found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes the common options only; `--config` names the file to write."""


def run(call: Call) -> int:
    """Write the file, with what was found here in it. Raises ConfigError when there is one already."""
    from console.config import Config, config_dir
    from console.errors import ConfigError

    directory = config_dir(call.environ)
    if call.options.config is not None:
        path = Path(call.options.config)
    elif directory is not None:
        path = directory / "config.toml"
    else:
        raise ConfigError("there is no home to write to", "HOME", "name a file: qd init --config FILE")
    hint = "edit it, or move it away first; it is never overwritten"
    if os.path.lexists(path):
        raise ConfigError("there is a configuration already", str(path), hint)
    found = asyncio.run(_look(Config(), call))
    text = content([(opening.cluster, opening.plugin.name, opening.evidence) for opening in found.openings])
    try:
        _make_folder(path.parent)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError("there is a configuration already", str(path), hint) from None
    except OSError as error:
        with contextlib.suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()
        what = f"cannot be written ({error.strerror})"
        raise ConfigError(what, str(path), "name another: --config FILE") from None
    call.say(f"wrote {path}")
    for opening in found.openings:
        call.say(f"found {opening.cluster} ({opening.plugin.name}): {opening.evidence}")
    for notice in found.notices:
        call.complain(f"qd: {notice}")
    return 0


def _make_folder(path: Path) -> None:
    """Make a folder; a file in its place is an error of another kind than a configuration that is there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(error.errno, "there is a file in place of its folder") from None


async def _look(config: Config, call: Call) -> Found:
    from console.discover import wanted
    from console.registry import Registry
    from console.session import World, open_pool

    pool = open_pool(config)
    try:
        return await wanted(config, Registry(), World(pool, call.environ))
    finally:
        await pool.close()


def content(found: Sequence[tuple[str, str, str]]) -> str:
    """Return the text of a new configuration; `found` is (cluster, plugin, evidence) of what is here."""
    import json

    from console.text import clean

    found = [(clean(cluster), clean(kind), clean(evidence)) for cluster, kind, evidence in found]
    lines = [f"#   {cluster} ({kind}): {evidence}" for cluster, kind, evidence in found]
    seen = "\n".join(lines) or "#   nothing but this host"
    quoted = partial(json.dumps, ensure_ascii=False)
    tables = "\n".join(
        f"# [[cluster]]\n# name = {quoted(cluster)}\n# kind = {quoted(kind)}\n" for cluster, kind, _ in found
    )
    return _TEMPLATE.replace("@SEEN@", seen).replace("@TABLES@", tables)


_TEMPLATE = """\
# Quarterdeck. Every line that begins with # is a comment; what is written there is the default or an example.
# All keys: docs/configuration.md. What works here: qd doctor.

# Without any [[cluster]] the console shows what it finds by itself. Here it found:
@SEEN@
# As soon as one is written, only what is written is shown:

@TABLES@
# A Slurm cluster whose commands run on a login node:
# [[cluster]]
# name = "prod"
# kind = "slurm"
# via = "ssh://login1"
# telemetry = "visible"     # all | visible | off: which nodes are sampled over SSH

# Hosts that nobody schedules, beside the clusters:
# hosts = "gpu[01-16],login1"

# Which names mean the same machine: short, full, or ~regex with one (group)~
# node_name = "short"

# Take away every action that changes something:
# read_only = false

[ssh]
# All else is said in your own OpenSSH configuration.
# config = "~/.ssh/config"
# max_connects = 8          # connections opened at the same time
# connect_timeout_s = 10

[ui]
# dark, light, high-contrast, colour-blind, ansi, mono, or themes/NAME.toml beside this file; unset: by the terminal
# theme = "dark"
# ascii = false             # unset: when the locale is not UTF-8
# refresh_s = 2             # unset: each source's own pace

[ui.keymap]
# Action id = "its keys"; `?` in the console shows the ids:
# filter = "/, f"

[ui.columns]
# The columns of a table, in order:
# fleet = ["node", "state", "gpu", "util", "job", "finding"]
"""
