"""What the doctor says of this side: terminal, configuration, packages, plugins."""

from __future__ import annotations

import locale
import os
import platform
import shutil
from collections.abc import Mapping

from console import __version__
from console.commands.call import NO_TERMINAL
from console.config import SYSTEM_FILE, Config, config_dir
from console.errors import PluginError
from console.plugin import Check, CheckState
from console.registry import Registry

Section = tuple[str, list[Check]]
"""A title and what was looked at."""

SMALLEST = (80, 24)


def terminal(environ: Mapping[str, str], attached: bool) -> list[Check]:
    """Return what the terminal can show."""
    term = environ.get("TERM", "")
    if term in NO_TERMINAL:
        hint = "set TERM to what the terminal is (xterm-256color, linux, screen); until then only commands work"
        first = Check(subject="TERM", state=CheckState.WARNING, detail=term or "not set", remedy=hint)
    else:
        first = Check(subject="TERM", state=CheckState.OK, detail=term)
    return [first, _colours(environ, term), _characters(term), *([_size()] if attached else [])]


def _colours(environ: Mapping[str, str], term: str) -> Check:
    if environ.get("NO_COLOR"):
        return Check(subject="colours", state=CheckState.OK, detail="none, as NO_COLOR asks")
    if environ.get("COLORTERM") in ("truecolor", "24bit"):
        detail = "16 million (COLORTERM)"
    elif "256color" in term:
        detail = "256"
    else:
        detail = "16; COLORTERM=truecolor tells of more where the terminal has them"
    return Check(subject="colours", state=CheckState.OK, detail=detail)


def _characters(term: str) -> Check:
    encoding = locale.getencoding()
    if term == "linux":
        detail = f"{encoding}, drawn with ASCII: the fonts of this console lack the rest (ascii = false in [ui] tries)"
        return Check(subject="characters", state=CheckState.OK, detail=detail)
    if encoding.lower().replace("-", "") == "utf8":
        return Check(subject="characters", state=CheckState.OK, detail="UTF-8")
    remedy = "for lines and bars: export LC_ALL=C.UTF-8"
    detail = f"{encoding}: drawn with ASCII"
    return Check(subject="characters", state=CheckState.WARNING, detail=detail, remedy=remedy)


def _size() -> Check:
    size = shutil.get_terminal_size(SMALLEST)
    detail = f"{size.columns}x{size.lines}"
    if size.columns >= SMALLEST[0] and size.lines >= SMALLEST[1]:
        return Check(subject="size", state=CheckState.OK, detail=detail)
    remedy = f"the console wants {SMALLEST[0]}x{SMALLEST[1]}"
    return Check(subject="size", state=CheckState.WARNING, detail=detail, remedy=remedy)


def configuration(environ: Mapping[str, str], config: Config) -> list[Check]:
    """Return which files and variables were read. (That they are valid is known: there is a Config.)"""
    read = {document.path for document in config.documents}
    directory = config_dir(environ)
    possible = [*read, *([directory / "config.toml"] if directory else []), SYSTEM_FILE]
    checks = [
        Check(subject=str(path), state=CheckState.OK if path in read else CheckState.ABSENT, detail=detail)
        for path in dict.fromkeys(possible)
        for detail in ["read" if path in read else "not there; `qd init` writes one" * (path != SYSTEM_FILE)]
    ]
    variables = sorted(name for name in environ if name.startswith("QD_"))
    if variables:
        checks.append(Check(subject="variables", state=CheckState.OK, detail=", ".join(variables)))
    return checks


def packages() -> list[Check]:
    """Return this program, its interpreter, and what is optional."""
    from importlib.util import find_spec

    about = f"{__version__}, Python {platform.python_version()} on {platform.system()} {platform.release()}"
    checks = [Check(subject="quarterdeck", state=CheckState.OK, detail=about)]
    optional = {"pynvml": "GPUs of this host", "ClusterShell": "nodesets", "asyncssh": "hosts over SSH"}
    for module, purpose in optional.items():
        if find_spec(module) is None:
            remedy = "install quarterdeck again, with its dependencies"
            checks.append(Check(subject=module, state=CheckState.FAILED, detail=f"missing: {purpose}", remedy=remedy))
    agent = os.environ.get("SSH_AUTH_SOCK")
    detail = f"SSH_AUTH_SOCK={agent}" if agent else "none; keys without a passphrase are used from files"
    checks.append(Check(subject="ssh agent", state=CheckState.OK if agent else CheckState.ABSENT, detail=detail))
    return checks


def plugins(registry: Registry) -> list[Check]:
    """Return every plugin that is installed, loaded to see whether it can be."""
    checks = []
    for name in registry.names():
        try:
            checks.append(Check(subject=name, state=CheckState.OK, detail=registry.load(name).summary))
        except PluginError as error:
            checks.append(
                Check(subject=name, state=CheckState.FAILED, detail=error.what, remedy=error.hint or "update it")
            )
    return checks
