"""`qd version`."""

from __future__ import annotations

import argparse
import platform
import sys

from console import __version__
from console.commands.call import Call


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(call: Call) -> int:
    """Print name, version and interpreter in one line."""
    call.say(f"quarterdeck {__version__} (Python {platform.python_version()}, {sys.platform})")
    return 0
