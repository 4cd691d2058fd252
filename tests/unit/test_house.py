"""The house itself: layers, lock files, versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from console import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> dict[str, str]:
    """Return package to version of a lock file."""
    text = (ROOT / name).read_text()
    return {
        normal(package): version
        for package, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    }


def required(requirements: list[str]) -> list[tuple[str, str]]:
    """Return (package, version specifier) of requirements."""
    return [(normal(re.split(r"[<>=~!\[ ;]", text)[0]), text) for text in requirements]


def test_the_version_is_said_once() -> None:
    assert __version__ == PROJECT["project"]["version"]


@pytest.mark.parametrize(
    ("lock", "groups"), [("requirements.lock", ["build"]), ("requirements-dev.lock", ["build", "dev"])]
)
def test_the_lock_fits_the_project(lock: str, groups: list[str]) -> None:
    from packaging.requirements import Requirement

    versions = locked(lock)
    wanted = PROJECT["project"]["dependencies"] + [
        text for group in groups for text in PROJECT["dependency-groups"][group]
    ]
    for package, text in required(wanted):
        assert package in versions, f"{package} is not in {lock}: make lock"
        assert versions[package] in Requirement(text).specifier, f"{text} is not what {lock} has: make lock"


def test_every_locked_version_has_hashes_and_no_host() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        assert "://" not in text
        assert "--index" not in text
        entries = re.split(r"\n(?=[A-Za-z0-9])", text)
        assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)


def test_both_locks_agree() -> None:
    run, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {package: dev.get(package) for package in run} == run


def test_the_layers_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["scripts/setup.sh", "scripts/lock.sh", ".ci/run"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", path], check=True, timeout=20)


@pytest.mark.parametrize(("broken", "code"), [("", 0), ("lint", 2), ("test", 2)])
def test_ci_runs_everything_and_fails_when_any_part_does(tmp_path: Path, broken: str, code: int) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "make $*, CI=$CI"\ncase " $* " in *" {broken or "nothing"} "*) exit 2 ;; esac\n')
    make.chmod(0o755)
    done = subprocess.run(
        [tmp_path / ".ci/run"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == code
    assert done.stdout.splitlines() == [
        "make --keep-going lint types imports, CI=true",
        "make test ARGS=-q -ra, CI=true",
    ]


def test_setup_refuses_what_it_does_not_know() -> None:
    done = subprocess.run([ROOT / "scripts/setup.sh", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "setup.sh run | dev | systems" in done.stderr


def test_make_help_names_every_goal() -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for goal in ("run", "test", "check", "bench", "lock", "pictures", "clean"):
        assert re.search(rf"^{goal}\s", done.stdout, re.MULTILINE), goal
