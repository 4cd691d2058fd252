"""`qd doctor` and `qd init`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.cli import main
from console.commands.doctor import exit_code
from console.commands.init import content
from console.config import Config, Overrides, SshSettings, load
from console.plugin import Check, CheckState
from console.registry import BUILT_IN
from tests.unit.strangers import GOOD, install


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No scheduler is found on this PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def states(found: dict[str, Any], section: str) -> dict[str, str]:
    return {check["subject"]: check["state"] for check in found["checks"] if check["section"] == section}


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(capsys)
    assert code == 0
    assert found["schema"] == "quarterdeck/doctor/1"
    assert states(found, "plugins") == dict.fromkeys(BUILT_IN, "ok")
    assert states(found, "terminal")["TERM"] == "ok"
    assert any(check["section"].endswith("(local)") for check in found["checks"])
    for check in found["checks"]:
        assert set(check) == {"section", "subject", "state", "detail", "remedy"}
        assert check["state"] in ("ok", "absent", "warning")


def test_as_text_each_fault_is_followed_by_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--hosts", "h.invalid"]) == 3
    lines = capsys.readouterr().out.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("  failed  h.invalid: "))
    assert lines[at + 1].lstrip().startswith("→ ")


def test_a_broken_configuration_is_one_of_the_things_it_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[ui]\ntehme = 1\n")
    code, found = doctor(capsys, "--config", str(path))
    assert code == 2
    assert states(found, "configuration") == {f"{path}:2: ui.tehme": "failed"}
    assert states(found, "terminal"), "the rest is said all the same"
    assert any(check["remedy"] == "did you mean theme?" for check in found["checks"])


def test_plugins_of_strangers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "doc-good", GOOD)
    install(tmp_path, "doc-bad", "raise RuntimeError('\\x1b]0;title\\x07')")
    install(
        tmp_path, "doc-rude", GOOD.replace('return [Check(subject="ray", state=CheckState.OK)]', "raise OSError('x')")
    )
    code, found = doctor(capsys)
    assert code == 1
    assert states(found, "plugins")["doc-bad"] == "failed"
    assert states(found, "plugins")["doc-good"] == "ok"
    assert states(found, "found-doc-good (doc-good)")["ray"] == "ok"
    assert states(found, "found-doc-rude (doc-rude)")["backend"] == "failed"
    assert "\x1b" not in json.dumps(found, ensure_ascii=False)
    assert "notices" in {check["section"] for check in found["checks"]}


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], 0),
        ([CheckState.OK, CheckState.ABSENT, CheckState.WARNING], 0),
        ([CheckState.OK, CheckState.FAILED], 1),
        ([CheckState.OK, CheckState.DENIED], 1),
        ([CheckState.FAILED, CheckState.ABSENT], 3),
        ([CheckState.DENIED, CheckState.FAILED], 4),
    ],
)
def test_exit_codes_of_the_doctor(found: list[CheckState], code: int) -> None:
    assert exit_code([Check(subject="x", state=state) for state in found]) == code


def test_init_writes_once_and_what_it_writes_loads(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.toml"
    assert main(["init", "--config", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {path}\n")
    before = path.read_bytes()
    config = load(Overrides(config=str(path)), {})
    assert msgspec.structs.replace(config, documents=()) == Config()
    assert main(["init", "--config", str(path)]) == 2
    assert "there is a configuration already" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_init_writes_where_the_console_reads(sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    assert (sealed / "config" / "quarterdeck" / "config.toml").exists()
    assert "found " in capsys.readouterr().out


def test_init_follows_no_dangling_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = tmp_path / "config.toml"
    link.symlink_to(tmp_path / "elsewhere")
    assert main(["init", "--config", str(link)]) == 2
    assert not (tmp_path / "elsewhere").exists()
    assert "already" in capsys.readouterr().err


def test_init_where_nothing_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", "--config", str(tmp_path / "file" / "config.toml")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def uncommented(text: str) -> str:
    """Return a configuration with every example line in force; of a key that stands twice, the first."""
    lines = []
    for line in text.splitlines():
        example = re.match(r"# (\[\[cluster\]\]|[a-z_]+ = .*)$", line)
        lines.append(example[1] if example else line)
    return "\n".join(lines)


def test_every_commented_line_is_valid_and_says_the_default(tmp_path: Path) -> None:
    text = content([("vm", "local", "this machine"), ('odd "name"', "slurm", "squeue")])
    # Tables end where the next begins, so plain keys are put before the first.
    plain = [line for line in uncommented(text).splitlines() if re.match(r"(hosts|node_name|read_only) = ", line)]
    rest = [line for line in uncommented(text).splitlines() if line not in plain]
    path = tmp_path / "config.toml"
    path.write_text("\n".join([*plain, *rest]).replace('"odd \\"name\\""', '"odd"').replace("~/.ssh/config", ""))
    config = load(Overrides(config=str(path)), {})
    assert [cluster.name for cluster in config.clusters] == ["vm", "odd", "prod", "hosts"]
    defaults = SshSettings()
    assert (config.ssh.max_connects, config.ssh.connect_timeout_s) == (
        defaults.max_connects,
        defaults.connect_timeout_s,
    )
    assert (config.node_name, config.read_only) == (Config().node_name, Config().read_only)
    assert set(config.ui.columns) == {"fleet"}


def test_what_was_found_cannot_break_out_of_its_comment(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(content([('a"]\nread_only = true', "local", "x\nread_only = true")]))
    assert not load(Overrides(config=str(path)), {}).read_only
