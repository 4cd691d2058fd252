"""What a command imports: nothing that it does not use. Each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from console.cli import main
sys.stdout = open(os.devnull, "w")
code = main(sys.argv[1:])
sys.stderr.write("\\n".join(["MODULES", str(code), *sys.modules]))
"""

HEAVY = {
    "textual",
    "rich",
    "asyncssh",
    "cryptography",
    "ClusterShell",
    "kubernetes",
    "aiohttp",
    "pydantic",
    "pyslurm",
    "argcomplete",
    "pytest",
}


def modules(tmp_path: Path, *arguments: str) -> tuple[int, set[str]]:
    """Return the exit code of a command and the names of all modules that it imported."""
    environ = {
        "PATH": str(tmp_path),
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=False,
    )
    _, marker, listed = done.stderr.partition("MODULES\n")
    assert marker, done.stderr
    code, *names = listed.split("\n")
    return int(code), set(names)


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def plugins(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("plugins.")}


@pytest.mark.parametrize(
    ("arguments", "used"),
    [
        (("snapshot", "--simulate", "4"), {"simulated"}),
        (("snapshot", "--json", "--simulate", "4"), {"simulated"}),
        (("jobs", "--json", "--simulate", "4"), {"simulated"}),
        (("nodes", "--cluster", "local"), {"local"}),
        (("snapshot",), {"kubernetes", "local", "pbs", "ray", "slurm"}),
        (("jobs",), {"kubernetes", "local", "pbs", "ray", "slurm"}),
    ],
)
def test_a_look_imports_neither_a_screen_nor_ssh_nor_a_plugin_that_it_does_not_use(
    tmp_path: Path, arguments: tuple[str, ...], used: set[str]
) -> None:
    code, names = modules(tmp_path, *arguments)
    assert code == 0
    assert packages(names) & HEAVY == set()
    assert plugins(names) == used
    assert not any(name.startswith("console.ui") for name in names)


def test_hosts_are_reached_without_a_screen(tmp_path: Path) -> None:
    code, names = modules(tmp_path, "nodes", "--hosts", "h.invalid", "--wait", "5")
    assert code == 3
    assert "asyncssh" in names, "else this test would not see it elsewhere"
    assert packages(names) & {"textual", "rich", "ClusterShell"} == set()
    assert plugins(names) == {"hosts"}


@pytest.mark.parametrize("arguments", [("version",), ("--version",), ("nodse",)])
def test_what_is_answered_at_once_imports_no_loop(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    _, names = modules(tmp_path, *arguments)
    assert packages(names) & (HEAVY | {"asyncio", "tomllib"}) == set()
    assert plugins(names) == set()
    if arguments != ("nodse",):
        assert "msgspec" not in names, "not even the records"


def test_the_command_line_itself_is_light(tmp_path: Path) -> None:
    environ = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    program = "import sys; before = set(sys.modules); import console.cli; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=True)
    own = {name for name in done.stdout.split() if name.startswith(("console", "plugins"))}
    assert own == {"console", "console.cli", "console.commands"}
    assert packages(set(done.stdout.split())) & {"msgspec", "asyncio", "importlib.metadata", "logging"} == set()
