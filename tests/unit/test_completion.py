"""Completion, asked for by real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A PATH on which `qd` is this source tree."""
    folder = tmp_path / "bin"
    folder.mkdir()
    qd = folder / "qd"
    qd.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m console.cli "$@"\n')
    qd.chmod(0o755)
    config = tmp_path / "config" / "quarterdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[[cluster]]\nname = "prod-a"\nkind = "slurm"\n[[cluster]]\nname = "prod-b"\nkind = "slurm"\n')
    (config.parent / "themes").mkdir()
    (config.parent / "themes" / "mine.toml").write_text("")
    return {
        "PATH": f"{folder}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *(path for path in sys.path if path)]),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm",
    }


def completed(environ: dict[str, str], line: str) -> set[str]:
    """Return what bash offers at the end of a line, by the script that `qd completion bash` prints."""
    program = """
        eval "$(qd completion bash)"
        COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
        read -ra COMP_WORDS <<< "$1"; [[ $1 == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        compopt() { :; }
        _python_argcomplete qd "${COMP_WORDS[COMP_CWORD]}" ""
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", program, "bash", line],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.split("\n") if word.strip()}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("qd sn", {"snapshot"}),
        ("qd ", {"fleet", "jobs", "nodes", "snapshot", "doctor", "init", "version", "completion"}),
        ("qd snapshot --j", {"--json"}),
        ("qd --theme hi", {"high-contrast"}),
        ("qd --theme mi", {"mine"}),
        ("qd nodes --cluster prod-", {"prod-a", "prod-b"}),
        ("qd completion ", {"bash", "zsh", "fish"}),
    ],
)
def test_bash_offers(environ: dict[str, str], line: str, offered: set[str]) -> None:
    assert offered <= completed(environ, line)


def test_bash_offers_nothing_that_does_not_begin_so(environ: dict[str, str]) -> None:
    assert completed(environ, "qd sn") == {"snapshot"}


def test_a_broken_configuration_does_not_disturb_typing(environ: dict[str, str]) -> None:
    (Path(environ["XDG_CONFIG_HOME"]) / "quarterdeck" / "config.toml").write_text("= broken")
    assert completed(environ, "qd nodes --cluster pr") == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_valid_in_their_shell(environ: dict[str, str], shell: str) -> None:
    done = subprocess.run(["qd", "completion", shell], capture_output=True, env=environ, timeout=60, check=True)
    assert b"qd" in done.stdout
    if shutil.which(shell, path=environ["PATH"]) is None:
        pytest.skip(f"{shell} is not installed")
    arguments = {"bash": ["-n"], "zsh": ["-n"], "fish": ["--no-execute"]}[shell]
    path = Path(environ["HOME"]) / f"script.{shell}"
    path.write_bytes(done.stdout)
    subprocess.run([shell, *arguments, str(path)], env=environ, timeout=60, check=True)


def test_fish_offers(environ: dict[str, str]) -> None:
    if shutil.which("fish", path=environ["PATH"]) is None:
        pytest.skip("fish is not installed")
    program = "qd completion fish | source; complete -C 'qd sn'"
    done = subprocess.run(["fish", "-c", program], capture_output=True, text=True, env=environ, timeout=60, check=True)
    assert "snapshot" in done.stdout
