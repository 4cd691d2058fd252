"""What a test needs of this machine: an absent system is a skip with a reason, and a failure where CI=true."""

from __future__ import annotations

import os
import shutil

import pytest


def need(reason: str | None) -> None:
    """Skip the test when `reason` says why something is not there; fail it where CI=true."""
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def need_program(name: str) -> None:
    """Skip, or fail, where a program is not installed."""
    need(None if shutil.which(name) else f"{name} is not installed")
