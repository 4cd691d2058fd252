"""What nobody foresaw is kept in a file, so that the screen needs one line only."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from console.text import clean

KEEP = 20
"""Crash files that stay; the oldest go."""
_LIMIT = 256 << 10


def state_dir(environ: Mapping[str, str]) -> Path:
    """Return the user's directory for state: journal, recordings, crash files."""
    base = environ.get("XDG_STATE_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "quarterdeck"
    return Path(environ.get("HOME") or "/nonexistent") / ".local" / "state" / "quarterdeck"


def write_crash(error: BaseException, *, where: str = "", environ: Mapping[str, str] | None = None) -> Path:
    """Write a traceback to a new file that only this user can read and return its path.

    It goes to `crash/` in the state directory or, where that cannot be written, to the directory for temporary
    files; OSError when neither can.
    """
    now = time.time()
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{os.getpid()}"
    text = _text(error, where, now)
    directory = state_dir(os.environ if environ is None else environ) / "crash"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = _write_new(directory, name, text)
    except OSError:
        return _write_new(Path(tempfile.gettempdir()), f"quarterdeck-{name}", text)
    _forget_old(directory)
    return path


def _text(error: BaseException, where: str, now: float) -> str:
    trace = "".join(traceback.format_exception(error))
    lines = [
        f"quarterdeck {_version()}, Python {platform.python_version()}, {platform.platform()}",
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        f"in: {where}" if where else "",
        f"arguments: {len(sys.argv) - 1}, command: {' '.join(sys.argv[1:2])}",
        "",
        clean(trace, multiline=True, limit=_LIMIT),
        "",
    ]
    return "\n".join(lines)


def _version() -> str:
    from importlib import metadata  # thirty milliseconds that only a crash pays

    try:
        return metadata.version("quarterdeck")
    except metadata.PackageNotFoundError:
        return "not installed"


def _write_new(directory: Path, name: str, text: str) -> Path:
    for number in range(1000):
        path = directory / (f"{name}-{number}.txt" if number else f"{name}.txt")
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        return path
    raise FileExistsError(f"a thousand crash files of one second in {directory}")


def _forget_old(directory: Path) -> None:
    # What is not there any more was removed by another console at the same moment.
    with contextlib.suppress(OSError):
        for old in sorted(directory.glob("crash-*.txt"))[:-KEEP]:
            old.unlink(missing_ok=True)
