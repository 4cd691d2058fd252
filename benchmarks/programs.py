"""The programs that are measured, and a home without anybody's configuration."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

QD = (sys.executable, "-m", "console.cli")
"""The command itself, without the installed script's wrapper."""


def app(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command of a reference program of `benchmarks.apps`."""
    return (sys.executable, "-m", f"benchmarks.apps.{name}", *arguments)


@contextmanager
def home() -> Iterator[dict[str, str]]:
    """Lend an environment whose home is empty."""
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as path:
        yield {
            "HOME": path,
            "XDG_CONFIG_HOME": path,
            "XDG_STATE_HOME": path,
            "XDG_CACHE_HOME": path,
            "HTOPRC": f"{path}/htoprc",
        }
