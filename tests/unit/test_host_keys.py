"""known_hosts files, beside what ssh-keygen makes of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
from pathlib import Path

import pytest

from console.errors import SourceError, Unsupported
from console.transport.hostkeys import KnownHosts, fingerprint

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIxKc3pbzPrPLLzxzKBd9oxfPZRyPv/5C3MOZFKdfMEo"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPmJ4rgHnsXwdHdbVbbqFBgvFX6VQKlmA3gXcqUqJ7D"


def hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def test_finds_every_kind_of_entry_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(
        f"# a comment\n\nGPU1,10.0.0.1 {KEY} a comment\n{hashed('gpu2')} {KEY}\n[gpu1]:2222 {OTHER}\n"
        f"gpu*,!gpu9 {OTHER}\n@cert-authority *.dc {KEY}\n@revoked * {OTHER}\n"
    )
    known = KnownHosts()

    def places(name: str, kind: str = "trusted") -> list[str]:
        keys = getattr(known.lookup([file], name), kind)
        return [key.where.rpartition(":")[2] for key in keys]

    assert places("gpu1") == ["3", "6"]
    assert places("10.0.0.1") == ["3"]
    assert places("gpu2") == ["4", "6"]
    assert places("[gpu1]:2222") == ["5"]
    assert places("gpu9") == []
    assert places("a.dc", "authorities") == ["7"]
    assert places("anyone", "revoked") == ["8"]


@pytest.mark.parametrize(
    "line",
    [
        "gpu1",
        "gpu1 ssh-ed25519",
        "@unknown gpu1 " + KEY,
        "|1|not!base64|x " + KEY,
        "|1|aa " + KEY,
        "\x00\xff",
        "@revoked",
    ],
)
def test_a_line_without_sense_trusts_nobody_and_hurts_nobody(line: str, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{line}\ngpu2 {KEY}\n", "utf-8")
    known = KnownHosts()
    assert known.lookup([file], "gpu1").trusted == ()
    assert len(known.lookup([file], "gpu2").trusted) == 1


def test_missing_files_are_empty_and_unreadable_ones_are_said(tmp_path: Path) -> None:
    known = KnownHosts()
    assert known.lookup([tmp_path / "none"], "gpu1").trusted == ()
    with pytest.raises(SourceError, match="directory"):
        known.lookup([tmp_path], "gpu1")


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    known = KnownHosts()
    file.write_text("")
    assert not known.lookup([file], "gpu1").trusted
    file.write_text(f"gpu1 {KEY}\n")
    assert known.lookup([file], "gpu1").trusted


def test_revoked_keys_file(tmp_path: Path) -> None:
    file = tmp_path / "revoked"
    file.write_text(f"# stolen\n{KEY} who\n")
    assert [key.where for key in KnownHosts.revoked(file)] == [f"{file}:2"]
    file.write_bytes(b"SSHKRL\n\0rest")
    with pytest.raises(Unsupported, match="binary"):
        KnownHosts.revoked(file)
    with pytest.raises(SourceError, match="No such file"):
        KnownHosts.revoked(tmp_path / "none")


@pytest.mark.real
def test_agrees_with_ssh_keygen(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"alpha {KEY}\n[beta]:2222 {OTHER}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    known = KnownHosts()
    assert known.lookup([file], "alpha").trusted[0].data == KEY.split()[1]
    assert known.lookup([file], "[beta]:2222").trusted[0].where == f"{file}:2"
    assert known.lookup([file], "beta").trusted == ()
    printed = subprocess.run(["ssh-keygen", "-lf", "-"], input=KEY, capture_output=True, text=True, check=True).stdout
    assert fingerprint(base64.b64decode(KEY.split()[1])) in printed
