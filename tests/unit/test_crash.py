"""Crash files: kept where the user finds them, readable by the user alone, never in the way."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from console.crash import KEEP, state_dir, write_crash


def crash(where: str, environ: dict[str, str]) -> Path:
    try:
        raise ValueError("bad \x1b[31mvalue\u202e")
    except ValueError as error:
        return write_crash(error, where=where, environ=environ)


def test_the_traceback_is_kept_clean_and_private(tmp_path: Path) -> None:
    path = crash("slurm:lab/nodes", {"XDG_STATE_HOME": str(tmp_path)})
    text = path.read_text(encoding="utf-8")
    assert path.parent == tmp_path / "quarterdeck" / "crash"
    assert "Traceback" in text
    assert "ValueError: bad value" in text
    assert "in: slurm:lab/nodes" in text
    assert "\x1b" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert crash("again", {"XDG_STATE_HOME": str(tmp_path)}) != path, "never over another"


def test_only_the_latest_stay(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    directory = state_dir(environ) / "crash"
    directory.mkdir(parents=True)
    for number in range(KEEP + 5):
        (directory / f"crash-20000101-0000{number:02}-1.txt").write_text("old")
    path = crash("x", environ)
    names = sorted(entry.name for entry in directory.iterdir())
    assert len(names) == KEEP
    assert path.name in names
    assert "crash-20000101-000000-1.txt" not in names


def test_where_the_state_cannot_be_written_it_goes_to_the_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = crash("x", {"XDG_STATE_HOME": str(blocked)})
    assert path.parent == tmp_path
    assert path.name.startswith("quarterdeck-crash-")


def test_the_state_directory_follows_the_user(tmp_path: Path) -> None:
    assert state_dir({"HOME": "/home/ada"}) == Path("/home/ada/.local/state/quarterdeck")
    assert state_dir({"HOME": "/home/ada", "XDG_STATE_HOME": "relative"}) == state_dir({"HOME": "/home/ada"})
