"""`qd run` on real sshd hosts: folding, exit codes, bytes, time limits, sudo, scripts, hosts that hang or die."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.actions.errand import Errand
from console.transport.pool import TransportPool
from tests.needs import need, need_program
from tests.real import fleet as ssh
from tests.real.qd import qd

pytestmark = pytest.mark.real
STRANGER = "qdstranger"
"""Somebody without rights: exists on the hosts of one fleet only."""


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    """Variables that keep journal and configuration of a test for itself."""
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}


def on(fleet: ssh.SshFleet, *arguments: str, env: dict[str, str], **rest: float) -> subprocess.CompletedProcess[str]:
    """Run `qd run` on a fleet."""
    hosts = ("--hosts", ",".join(fleet.names), "--ssh-config", str(fleet.ssh_config))
    return qd("run", *hosts, *arguments, env=env, **rest)


def groups(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return head to output of folded output."""
    found = re.split(r"^-{15,}\n((?:.*\n)+?)-{15,}\n", done.stdout, flags=re.MULTILINE)
    return {head.strip(): body.rstrip("\n") for head, body in zip(found[1::2], found[2::2], strict=True)}


def until(holds: object, seconds: float = 15) -> bool:
    """Wait until something holds; whether it does."""
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return bool(holds())


def test_equal_answers_are_one(ssh_fleet: ssh.SshFleet, state: dict[str, str]) -> None:
    script = "case $(hostname) in n2) echo other;; n[35]) echo bad >&2; exit 7;; *) echo same;; esac"
    done = on(ssh_fleet, "n[1-6]", "--", script, env=state)
    assert done.returncode == 1
    assert groups(done) == {"n[1,4,6] (3)": "same", "n2": "other", "n[3,5] (2): exit 7": "! bad"}
    assert done.stderr == "qd: n[3,5]: exit 7\n"
    assert on(ssh_fleet, "n[1,4]", "--", script, env=state).returncode == 0


def test_differences_from_most(ssh_fleet: ssh.SshFleet, state: dict[str, str]) -> None:
    script = "seq 5; [ $(hostname) = n4 ] && echo six; true"
    done = groups(on(ssh_fleet, "--diff", "n[1-6]", "--", script, env=state))
    assert done["n[1-3,5-6] (5)"] == "1\n2\n3\n4\n5"
    assert done["n4"].splitlines() == ["@@ -4,2 +4,3 @@", " 4", " 5", "+six"]


def test_live_lines_are_led_by_their_node(ssh_fleet: ssh.SshFleet, state: dict[str, str]) -> None:
    done = on(ssh_fleet, "--live", "n[1-2]", "--", "echo one; echo two >&2; printf three", env=state)
    assert sorted(done.stdout.splitlines()) == ["n1: one", "n1: three", "n2: one", "n2: three"]
    assert sorted(done.stderr.splitlines()) == ["n1: two", "n2: two"]


def test_json_has_plan_outcomes_and_groups_and_the_journal_neither_input_nor_output(
    ssh_fleet: ssh.SshFleet, state: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "in").write_text("SECRET-INPUT\n")
    argv = ("n[1-3]", "--json", "--reason", "INC-1", "--stdin", str(tmp_path / "in"), "--")
    done = on(ssh_fleet, *argv, "sh", "-c", "tr A-Z a-z; [ $(hostname) != n2 ]", env=state)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["schema"] == "quarterdeck/plan/1"
    assert found["action"] == "run"
    assert {one["target"]: (one["state"], one["detail"]) for one in found["outcomes"]} == {
        "n1": ("done", ""), "n2": ("failed", "exit 1"), "n3": ("done", ""),
    }  # fmt: skip
    assert [(one["nodes"], one["exit"], one["output"]) for one in found["groups"]] == [
        ("n[1,3]", 0, "secret-input"),
        ("n2", 1, "secret-input"),
    ]
    journal = (tmp_path / "state/quarterdeck/journal/journal.jsonl").read_text()
    assert "SECRET" not in journal
    assert "secret" not in journal
    shown = json.loads(qd("journal", found["id"], "--json", env=state).stdout)["attempts"][0]
    assert shown["outcome"] == "partly"
    assert shown["reason"] == "INC-1"
    assert shown["plan"]["steps"][0]["run"] == ["sh", "-c", "tr A-Z a-z; [ $(hostname) != n2 ]"]
    assert shown["plan"]["outcomes"] == [{key: one[key] for key in ("target", "cluster", "state", "detail")}
                                         for one in sorted(found["outcomes"], key=lambda one: shown_order(shown, one))]  # fmt: skip
    undone = qd("journal", "--undo", found["id"], "--ssh-config", str(ssh_fleet.ssh_config), "--hosts", "n1", env=state)
    assert undone.returncode == 2
    assert "cannot be undone" in undone.stderr


def shown_order(shown: dict[str, object], one: dict[str, str]) -> int:
    """Return the place of an outcome in the journal, which has them as they came."""
    plan = shown["plan"]
    assert isinstance(plan, dict)
    return [other["target"] for other in plan["outcomes"]].index(one["target"])


def test_a_plan_runs_nothing_and_read_only_denies(
    ssh_fleet: ssh.SshFleet, state: dict[str, str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    planned = on(ssh_fleet, "--plan", "n1", "--", "touch", str(trace), env=state)
    assert planned.returncode == 0
    assert f"touch {trace}" in planned.stdout
    before = ssh_fleet.log(0)
    denied = on(ssh_fleet, "--read-only", "n1", "--", "touch", str(trace), env=state)
    assert denied.returncode == 4
    assert not trace.exists()
    assert ssh_fleet.log(0) == before, "nobody even logged in"


def test_the_policy_decides_and_may_want_the_number_typed(
    ssh_fleet: ssh.SshFleet, state: dict[str, str], tmp_path: Path
) -> None:
    policy = tmp_path / "config/quarterdeck/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text('typed_above_nodes = 2\n[[allow]]\ngroups = ["root"]\nactions = ["run"]\nnodes = "n[1-4]"\n')
    denied = on(ssh_fleet, "n[4-5]", "--", "true", env=state)
    assert denied.returncode == 4
    assert "may not run n5" in denied.stderr
    asked = on(ssh_fleet, "n[1-3]", "--", "true", env=state)
    assert asked.returncode == 2
    assert "somebody must say yes" in asked.stderr
    assert on(ssh_fleet, "--yes", "n[1-3]", "--", "true", env=state).returncode == 0
    assert on(ssh_fleet, "n[1-2]", "--", "true", env=state).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("user", [None, "root"])
def test_every_byte_of_every_argument_arrives(ssh_fleet: ssh.SshFleet, user: str | None) -> None:
    if user is not None:
        need_program("sudo")
    word = st.one_of(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).map(os.fsencode),
        st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"")),
        st.sampled_from([b"", b"'", b'"', b"\\", b"$HOME", b"`id`", b";rm -rf /", b"!!", b"\n", b"a\n\n", b"-n", b"*"]),
    )
    pool = TransportPool(ssh_fleet.ssh_config)
    machine = pool.get("n1")

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(words=st.lists(word, min_size=1, max_size=5))
    def same(words: list[bytes]) -> None:
        errand = Errand(argv=("printf", "%s\\0", *map(os.fsdecode, words)), user=user)
        got: list[bytes] = []
        errors: list[bytes] = []

        def took(stream: int, data: bytes) -> None:
            (got if stream == 1 else errors).append(data)

        assert runner.run(machine.stream(errand.remote, output=took)) == 0, b"".join(errors)
        assert b"".join(got) == b"".join(word + b"\0" for word in words)

    with asyncio.Runner() as runner:
        try:
            same()
        finally:
            runner.run(pool.close())


def test_arguments_pass_the_local_shell_and_all_others_unchanged(
    ssh_fleet: ssh.SshFleet, state: dict[str, str]
) -> None:
    line = """run n1 -- printf '[%s]' 'a  b' "it's" '$HOME' 'x;y' '*' -- --json '' """
    hosts = f"--hosts n1 --ssh-config '{ssh_fleet.ssh_config}'"
    command = f"{sys.executable} -m console.cli {hosts} {line}"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env={**os.environ, **state}, check=True
    )
    assert groups(done)["n1"] == "[a  b][it's][$HOME][x;y][*][--][--json][]"


def test_what_takes_too_long_is_ended_with_its_children(ssh_fleet: ssh.SshFleet, state: dict[str, str]) -> None:
    stubborn = "trap '' TERM; sleep 7771 & sleep 7772"
    done = on(ssh_fleet, "--timeout", "0.5", "n[1-2]", "--", stubborn, env=state)
    assert done.returncode == 1
    assert done.stderr == "qd: n[1-2]: it did not end within 0.5 s and was ended\n"
    assert until(lambda: not any("777" in line for line in ssh_fleet.commands(0) + ssh_fleet.commands(1)))


def test_no_time_limit(ssh_fleet: ssh.SshFleet, state: dict[str, str]) -> None:
    assert on(ssh_fleet, "--timeout", "0", "n1", "--", "sleep", "1", env=state).returncode == 0


def test_input_reaches_every_node_whole(ssh_fleet: ssh.SshFleet, state: dict[str, str], tmp_path: Path) -> None:
    data = os.urandom(5 << 20)
    (tmp_path / "data").write_bytes(data)
    total = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout.decode().split()[0]
    done = on(ssh_fleet, "--stdin", str(tmp_path / "data"), "n[1-6]", "--", "sha256sum", env=state)
    assert groups(done) == {"n[1-6] (6)": f"{total}  -"}
    # Who does not read it is not waited for.
    assert on(ssh_fleet, "--stdin", str(tmp_path / "data"), "n[1-6]", "--", "true", env=state).returncode == 0


@pytest.mark.slow
def test_output_without_end_is_counted_and_only_its_beginning_kept(
    ssh_fleet: ssh.SshFleet, state: dict[str, str]
) -> None:
    done = on(ssh_fleet, "n[1-2]", "--", "yes | head -c 1000000000", env=state, timeout=150)
    ((head, body),) = groups(done).items()
    assert head == "n[1-2] (2)"
    assert re.search(r"\n\[1,000,000,000 bytes; what follows was not kept, its checksum is [0-9a-f]{8}\]$", body)
    assert len(body) < 1_100_000


def test_bytes_that_are_no_text_reach_no_terminal(ssh_fleet: ssh.SshFleet, state: dict[str, str]) -> None:
    done = on(ssh_fleet, "n[1-2]", "--", r"printf 'a\033[31mred\033]52;c;eA==\007\0zz'", env=state)
    assert "\x1b" not in done.stdout
    assert re.fullmatch(r"\[binary: \d+ bytes, checksum [0-9a-f]{16}\]", groups(done)["n[1-2] (2)"])
    coloured = on(ssh_fleet, "n1", "--", r"printf 'a\033[31mred\033]52;c;eA==\007'", env=state)
    assert groups(coloured)["n1"] == "ared"


SCRIPT = """#!/usr/bin/env python3
import os, sys, time
print(sys.argv[1:], sys.stdin.read().strip())
if sys.argv[1] == "hang":
    sys.stdout.flush()
    time.sleep(7773)
"""


def test_a_script_runs_with_arguments_and_input_and_leaves_nothing(
    ssh_fleet: ssh.SshFleet, state: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "s.py").write_text(SCRIPT)
    room = tmp_path / "room"
    room.mkdir()
    (tmp_path / "s.sh").write_text('echo "$#" "$1"; exit 3\n')
    (tmp_path / "input").write_text("given\n")
    script = ("--script", str(tmp_path / "s.py"), "--stdin", str(tmp_path / "input"))
    before = set(os.listdir("/tmp"))
    done = on(ssh_fleet, *script, "n[1-3]", "--", "a b", "'", env=state)
    assert groups(done) == {"n[1-3] (3)": """['a b', "'"] given"""}
    plain = on(ssh_fleet, "--script", str(tmp_path / "s.sh"), "n1", "--", "x", "y", env=state)
    assert groups(plain) == {"n1: exit 3": "2 x"}
    killed = on(ssh_fleet, "--timeout", "1", *script, "n[1-3]", "--", "hang", env=state)
    assert groups(killed) == {"n[1-3] (3): it did not end within 1 s and was ended\n"
                              "  is the machine overloaded, or does one of its file systems hang?": "['hang'] given"}  # fmt: skip
    assert {name for name in set(os.listdir("/tmp")) - before if name.startswith("tmp.")} == set()
    assert until(lambda: not ssh_fleet.commands(0))


@pytest.fixture
def breakable(tmp_path: Path) -> Iterator[ssh.SshFleet]:
    """Five hosts to break."""
    need(ssh.missing())
    with ssh.SshFleet(5, tmp_path, prefix="b") as fleet:
        yield fleet


@pytest.mark.slow
def test_one_that_hangs_or_is_gone_holds_up_nobody(breakable: ssh.SshFleet, state: dict[str, str]) -> None:
    breakable.stop(1)
    breakable.kill(2)
    done = on(breakable, "--live", "b[1-5]", "--", "true", env=state)
    assert done.returncode == 1
    assert re.search(r"^qd: b2: .*within 10 s", done.stderr, re.MULTILINE)
    assert re.search(r"^qd: b3: .*refused", done.stderr, re.MULTILINE)
    for index in (0, 3, 4):
        breakable.kill(index)
    breakable.kill(1)
    assert on(breakable, "b[3-5]", "--", "true", env=state).returncode == 3


def test_a_host_that_dies_meanwhile_is_told(breakable: ssh.SshFleet, state: dict[str, str]) -> None:
    hosts = ("--hosts", "b[1-3]", "--ssh-config", str(breakable.ssh_config))
    argv = [sys.executable, "-m", "console.cli", "run", *hosts, "b[1-3]", "--", "echo begun; sleep 4"]
    running = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **state}
    )
    assert until(lambda: any("sleep 4" in line for line in breakable.commands(1)))
    breakable.kill(1)
    output, errors = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "b[1,3] (2)" in output
    assert re.search(r"^qd: b2: ", errors, re.MULTILINE)
    assert output.count("begun") == 2, "what it said before it died stands in its own group"


def test_ctrl_c_ends_what_runs_there_and_says_so(breakable: ssh.SshFleet, state: dict[str, str]) -> None:
    hosts = ("--hosts", "b[1-5]", "--ssh-config", str(breakable.ssh_config))
    argv = [sys.executable, "-m", "console.cli", "run", "-f", "2", *hosts, "b[1-5]", "--", "echo begun; sleep 7774"]
    running = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **state}
    )
    assert until(lambda: all(any("7774" in line for line in breakable.commands(at)) for at in (0, 1)))
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "qd: b[1-2]: interrupted: it was ended there" in errors
    assert "qd: b[3-5]: interrupted before it began" in errors
    assert "begun" in output
    assert not any("7774" in line for at in range(5) for line in breakable.commands(at))
    entry = json.loads(qd("journal", "--json", env=state).stdout)["attempts"][0]
    assert entry["outcome"] == "interrupted"


@pytest.fixture(scope="module")
def strangers() -> Iterator[tuple[ssh.SshFleet, Path]]:
    """Two hosts with a user of no rights on the first, and the right to one command on the second."""
    need(ssh.missing())
    need_program("sudo")
    if os.getuid() != 0 or not ssh.can_unshare():
        need("only root in namespaces of its own can make users")
    directory = Path(tempfile.mkdtemp(prefix="qd-strangers-"))
    directory.chmod(0o755)
    try:
        with ssh.SshFleet(2, directory, prefix="s") as fleet:
            for index, rule in enumerate(("", f"{STRANGER} ALL=(nobody) NOPASSWD: /usr/bin/id, /usr/bin/sleep\n")):
                _make_stranger(fleet, index, rule)
            config = directory / "config"
            config.write_text(fleet.ssh_config.read_text().replace(f"User {fleet.user}", f"User {STRANGER}"))
            yield fleet, config
    finally:
        shutil.rmtree(directory)


def _make_stranger(fleet: ssh.SshFleet, index: int, rule: str) -> None:
    """Lay files of its own over those of one host, in its mount namespace only."""
    node = fleet.nodes[index]
    node.home.chmod(0o777)
    files = {
        "/etc/passwd": Path("/etc/passwd").read_text() + f"{STRANGER}:x:54321:54321::{node.home}:/bin/sh\n",
        "/etc/shadow": Path("/etc/shadow").read_text() + f"{STRANGER}:*:19000:0:99999:7:::\n",
        "/etc/sudoers": f"root ALL=(ALL:ALL) ALL\n{rule}",
        "/etc/hosts": f"127.0.0.1 localhost {node.name}\n",
    }
    (listener,) = [pid for pid in fleet.pids(index) if "-D" in Path(f"/proc/{pid}/cmdline").read_text()]
    for number, (path, text) in enumerate(files.items()):
        mine = node.directory / f"file{number}"
        mine.write_text(text)
        mine.chmod(0o440 if "sudoers" in path or "shadow" in path else 0o644)
        subprocess.run(["nsenter", "-t", str(listener), "-m", "mount", "--bind", mine, path], check=True)


def as_stranger(
    strangers: tuple[ssh.SshFleet, Path], *arguments: str, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `qd run` as somebody who logs in without rights."""
    return qd("run", "--hosts", "s[1-2]", "--ssh-config", str(strangers[1]), *arguments, env=env)


def test_sudo_with_and_without_rights(strangers: tuple[ssh.SshFleet, Path], state: dict[str, str]) -> None:
    assert groups(as_stranger(strangers, "s[1-2]", "--", "id", "-un", env=state)) == {"s[1-2] (2)": STRANGER}
    done = as_stranger(strangers, "-u", "nobody", "s[1-2]", "--", "id", "-un", env=state)
    assert done.returncode == 1
    assert groups(done)["s2"] == "nobody"
    assert "qd: s1: sudo needs a password\n" in done.stderr
    denied = as_stranger(strangers, "--sudo", "s[1-2]", "--", "id", env=state)
    assert denied.returncode == 4
    nobody = as_stranger(strangers, "-u", "qdnosuchuser", "s2", "--", "id", env=state)
    assert "there is no user qdnosuchuser" in nobody.stderr


def test_what_sudo_runs_is_ended_where_it_may_be(strangers: tuple[ssh.SshFleet, Path], state: dict[str, str]) -> None:
    fleet, _ = strangers
    done = as_stranger(strangers, "--timeout", "0.5", "-u", "nobody", "s2", "--", "sleep", "7775", env=state)
    assert done.returncode == 1
    assert "may still run there" in done.stderr, "this user may not signal nobody's processes, and is told"
    assert any("7775" in line for line in fleet.commands(1))
    for pid in fleet.pids(1):
        if "7775" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)


def test_what_root_runs_by_sudo_is_ended(ssh_fleet: ssh.SshFleet, state: dict[str, str]) -> None:
    need_program("sudo")
    done = on(ssh_fleet, "--timeout", "1", "-u", "nobody", "n[1-2]", "--", "sleep 7776; true", env=state)
    assert done.stderr == "qd: n[1-2]: it did not end within 1 s and was ended\n"
    assert until(lambda: not any("7776" in line for line in ssh_fleet.commands(0)))
