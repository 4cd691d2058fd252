"""The command line from outside: exit codes, errors, options before and after the command, odd surroundings."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console import __version__
from console.cli import find_command
from console.commands.tables import user_name
from console.nodeset import expand

Run = Callable[..., subprocess.CompletedProcess[str]]
SIMULATED = ("--simulate", "4:7")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with nothing of this machine in it: no configuration, no scheduler."""
    return {
        "PATH": str(tmp_path),
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color",
    }


@pytest.fixture
def qd(environ: dict[str, str]) -> Run:
    """Run the command as a person would, without a terminal."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "console.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**environ, **environment},
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run


def config(environ: dict[str, str], text: str) -> Path:
    path = Path(environ["XDG_CONFIG_HOME"]) / "quarterdeck" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("words", "command", "rest"),
    [
        ("", None, ""),
        ("nodes", "nodes", ""),
        ("--simulate 4 nodes --json a b", "nodes", "--simulate 4 --json a b"),
        ("--simulate=4 -v nodes", "nodes", "--simulate=4 -v"),
        ("--config jobs snapshot", "snapshot", "--config jobs"),
        ("--cluster a --cluster b jobs x", "jobs", "--cluster a --cluster b x"),
        ("--wait 3 snapshot", "snapshot", "--wait 3"),
        ("--read-only", None, "--read-only"),
        ("-- nodes", None, "-- nodes"),
    ],
)
def test_the_command_is_found_among_the_options(words: str, command: str | None, rest: str) -> None:
    assert find_command(words.split()) == (command, rest.split())


def test_version_and_help(qd: Run) -> None:
    for arguments in (["version"], ["--version"]):
        done = qd(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"quarterdeck {__version__} (Python 3.")
    done = qd("--help")
    assert done.returncode == 0
    for word in ("snapshot", "doctor", "--simulate", "exit codes"):
        assert word in done.stdout
    assert "FILTER" in qd("nodes", "--help").stdout


def test_options_before_and_after_the_command_mean_the_same(qd: Run) -> None:
    before = json.loads(qd(*SIMULATED, "--json", "nodes").stdout)
    after = json.loads(qd("nodes", "--json", *SIMULATED).stdout)
    assert [node["name"] for node in before["nodes"]] == [node["name"] for node in after["nodes"]]
    assert before["simulated"] is after["simulated"] is True
    assert len(before["nodes"]) == 4


def test_words_of_a_filter_may_stand_around_options(qd: Run) -> None:
    done = qd("nodes", "cluster:simulated", "--json", "gpu001", *SIMULATED)
    assert done.returncode == 0, done.stderr
    assert [node["name"] for node in json.loads(done.stdout)["nodes"]] == ["gpu001"]


def test_snapshot_as_text_and_as_json(qd: Run) -> None:
    text = qd("snapshot", *SIMULATED)
    assert text.returncode == 0, text.stderr
    assert text.stdout.splitlines()[0] == "SIMULATED"
    state = json.loads(qd("snapshot", "--json", *SIMULATED).stdout)
    assert state["schema"] == "quarterdeck/snapshot/1"
    assert {"sources", "clusters", "nodes", "jobs", "findings"} <= set(state)
    assert state["jobs"]


def test_jobs_without_a_terminal_are_a_table(qd: Run) -> None:
    done = qd("jobs", *SIMULATED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("SIMULATED\nJOB")
    mine = json.loads(qd("jobs", "--mine", "--json", *SIMULATED).stdout)
    assert mine["jobs"] == []


def test_a_filter_may_name_nodes_and_groups(qd: Run) -> None:
    shown = json.loads(qd("nodes", "--json", "--simulate", "8:7", "gpu00[2-4],gpu9[0-9]").stdout)
    assert [node["name"] for node in shown["nodes"]] == ["gpu002", "gpu003", "gpu004"]
    jobs = json.loads(qd("jobs", "--json", "--simulate", "8:7", "gpu00[2-4]").stdout)["jobs"]
    assert jobs
    assert all({"gpu002", "gpu003", "gpu004"} & set(expand(job["nodes"])) for job in jobs)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nodes", "@maintenance"), "no node matches @maintenance"),
        (("nodes", "gpu9[0-9]", "util>5"), "no node matches gpu9[0-9] util>5"),
        (("jobs", "--mine"), f"no job of {user_name(os.environ)}"),
        (("jobs", "--mine", "gpus>99"), f"no job of {user_name(os.environ)} matches gpus>99"),
    ],
)
def test_a_filter_that_leaves_nothing_is_not_called_an_empty_cluster(
    qd: Run, arguments: tuple[str, ...], said: str
) -> None:
    done = qd(*arguments, *SIMULATED)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{said}\n", "")


def test_verbose_lists_every_source_with_its_state_and_latency(qd: Run) -> None:
    for command in ("nodes", "jobs", "snapshot"):
        done = qd(command, "-v", *SIMULATED)
        assert done.returncode == 0
        lines = done.stderr.splitlines()
        assert any(re.fullmatch(r"qd: ok: simulated:simulated/nodes: answered in \d+ ms", line) for line in lines), (
            lines
        )
        assert qd(command, *SIMULATED).stderr == ""


def test_verbose_names_what_failed_once(qd: Run) -> None:
    done = qd("nodes", "-v", "--hosts", "nowhere.invalid", "--wait", "5")
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert lines[0].startswith("qd: ok: ssh:hosts/nodes")
    assert sum("nowhere.invalid" in line for line in lines) == 1


def test_this_machine_is_what_is_shown_without_any_configuration(qd: Run) -> None:
    assert "SIMULATED" not in qd("nodes").stdout
    done = qd("nodes", "--json")
    assert done.returncode == 0, done.stderr
    (node,) = json.loads(done.stdout)["nodes"]
    assert node["host"]["memory_available_bytes"] > 0


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("nodse",), "there is no such command: nodse", "did you mean nodes?"),
        (("nodes", "--jsno"), "unrecognized arguments: --jsno", "qd nodes --help"),
        (("snapshot", "--wait", "x"), "'x' is not a number of seconds", "--wait 10"),
        (("--refresh", "0"), "'0' is not a number of seconds from 0.2 to 3600", "--help"),
        (("nodes", "--simulate", "x"), "cannot simulate x: --simulate", "N[:SEED]"),
        (
            ("nodes", "--simulate", "4", "--hosts", "h"),
            "exclude one another: --simulate and --hosts",
            "leave one of them out",
        ),
        (("nodes", "--simulate", "4", "nosuch:1"), "no column nosuch", "columns: "),
        (("nodes", "--mine"), "nodes have no owner", "qd jobs --mine"),
        (("nodes", "--hosts", "gpu[1-"), "gpu[1-", ""),
        (("nodes", "--cluster", "nowhere"), "no cluster is called nowhere", "clusters: "),
        (("nodes", "--config", "/nonexistent.toml"), "there is no such file: /nonexistent.toml", "qd init"),
        (("nodes", "--ssh-config", "/nonexistent", "--hosts", "h"), "/nonexistent", ""),
        (("completion", "tcsh"), "invalid choice", "--help"),
        (("fleet",), "the console needs a terminal", "qd snapshot"),
        ((), "the console needs a terminal", "qd snapshot"),
    ],
)
def test_usage_errors_are_two_lines_and_exit_two(qd: Run, arguments: tuple[str, ...], error: str, hint: str) -> None:
    done = qd(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    first, *second = done.stderr.splitlines()
    assert first.startswith("qd: ")
    assert error in first
    assert len(second) <= 1
    assert hint in "".join(second)


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ('[ui]\ntehme = "x"\n', ":2: ui.tehme", "did you mean theme?"),
        ("read_only = 1\n", ":1: read_only", ""),
        ("= 1\n", ":1", ""),
        ('[[cluster]]\nname = "a"\nkind = "slrum"\n', ":3: cluster[1].kind", "did you mean slurm?"),
        ('[[cluster]]\nname="a"\nkind="slurm"\nvai="x"\n', ":4: cluster[1].vai", "did you mean via?"),
        ('[[cluster]]\nname="a"\nkind="slurm"\nvia=7\n', ":4: cluster[1].via", ""),
    ],
)
def test_configuration_errors_name_file_line_and_key(
    qd: Run, environ: dict[str, str], text: str, where: str, hint: str
) -> None:
    path = config(environ, text)
    done = qd("snapshot")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path}{where}" in done.stderr.splitlines()[0]
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in qd("snapshot", "-v").stderr


def test_a_bad_variable_is_exit_two(qd: Run) -> None:
    done = qd("snapshot", QD_UI_REFRESH_S="soon")
    assert done.returncode == 2
    assert "QD_UI_REFRESH_S=soon" in done.stderr


def test_nothing_reachable_is_exit_three_and_named(qd: Run) -> None:
    done = qd("snapshot", "--json", "--hosts", "nowhere.invalid", "--wait", "5")
    assert done.returncode == 3
    assert done.stderr.startswith("qd: unreachable: nowhere.invalid: ")
    assert json.loads(done.stdout)["nodes"][0]["state"] == "unreachable"


def test_output_that_nobody_reads_any_more_is_silent(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "console.cli", "snapshot", "--json", "--simulate", "200"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environ, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_under_the_output_is_one_line(environ: dict[str, str]) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "console.cli", "version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environ, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == b"qd: cannot write: standard output: No space left on device\n"


def test_closed_standard_output_and_error(environ: dict[str, str]) -> None:
    line = '"$0" -m console.cli version >&- && "$0" -m console.cli nodse 2>&-; test $? = 2'
    done = subprocess.run(["/bin/sh", "-c", line, sys.executable], env=environ, timeout=60, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1", "nosuch_LOCALE", "xx_XX.UTF-8"])
def test_an_odd_locale_neither_breaks_text_nor_json(qd: Run, locale: str) -> None:
    text = qd("nodes", *SIMULATED, LC_ALL=locale)
    assert text.returncode == 0, text.stderr
    done = qd("snapshot", "--json", *SIMULATED, LC_ALL=locale, PYTHONIOENCODING="latin-1")
    assert json.loads(done.stdout)["simulated"] is True


def test_ascii_output_where_it_takes_no_more(qd: Run) -> None:
    done = qd("nodes", *SIMULATED, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "?" not in done.stdout.splitlines()[1]


def test_an_interrupt_is_quiet(environ: dict[str, str], tmp_path: Path) -> None:
    # A host that never answers: nothing listens behind this jump, and the wait is long.
    ssh_config = tmp_path / "ssh_config"
    ssh_config.write_text("Host h\n  HostName 192.0.2.1\n")
    command = [sys.executable, "-m", "console.cli", "snapshot", "--hosts", "h", "--wait", "60"]
    with subprocess.Popen(
        [*command, "--ssh-config", str(ssh_config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environ, "QD_SSH_CONNECT_TIMEOUT_S": "60"},
    ) as process:
        try:
            until(lambda: connects(process.pid), "it never came to connect")
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out, error) == (130, b"", b"")


def connects(pid: int) -> bool:
    """Whether a process has loaded what it connects with."""
    return "cryptography" in Path(f"/proc/{pid}/maps").read_text()


def until(condition: Callable[[], Any], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_the_unforeseen_is_one_line_and_a_file(qd: Run, environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import console.commands.version as v\ndef run(call): raise ZeroDivisionError('a\\x1b[2Jb')\nv.run = run\n"
    )
    done = qd("version", PYTHONPATH=f"{tmp_path}{os.pathsep}{environ['PYTHONPATH']}")
    assert done.returncode == 1
    first, hint = done.stderr.splitlines()
    assert first.startswith("qd: an error of our own: ZeroDivisionError: ")
    crash = Path(first.rpartition(": ")[2])
    assert crash.is_relative_to(environ["XDG_STATE_HOME"])
    assert "ZeroDivisionError" in crash.read_text()
    assert hint.strip()


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_terminal_that_promises_nothing_is_refused_politely(environ: dict[str, str], term: str) -> None:
    code, output = in_terminal(environ | {"TERM": term}, "--simulate", "4")
    assert code == 2
    assert output.startswith("qd: this terminal cannot show the console: TERM")
    assert "\x1b" not in output


def test_a_theme_that_does_not_exist_is_refused_before_the_console_opens(environ: dict[str, str]) -> None:
    code, output = in_terminal(environ, "--simulate", "4", "--theme", "drak")
    assert code == 2
    assert "no theme is called drak" in output
    assert "did you mean dark?" in output


def test_settings_of_a_cluster_are_checked_before_the_console_opens(environ: dict[str, str]) -> None:
    path = config(environ, '[[cluster]]\nname = "a"\nkind = "simulated"\nnodse = 4\n')
    code, output = in_terminal(environ)
    assert code == 2
    assert f"{path}:4: cluster[1].nodse" in output


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("--cluster", "nosuch"), "qd: no cluster is called nosuch: --cluster", "clusters: "),
        (("--hosts", "h1", "--ssh-config", "/nope"), "qd: cannot read the ssh configuration", "--ssh-config"),
    ],
)
def test_what_only_the_start_finds_out_ends_the_console_too(
    environ: dict[str, str], arguments: tuple[str, ...], error: str, hint: str
) -> None:
    code, output = in_terminal(environ, *arguments)
    assert code == 2
    said = output[output.rindex("qd: ") :]
    assert said.startswith(error)
    assert hint in said
    assert "Traceback" not in output


def test_a_bad_ssh_configuration_is_said_before_the_console_opens(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "ssh_config"
    path.write_text("Host\n")
    code, output = in_terminal(environ, "--hosts", "h1", "--ssh-config", str(path))
    assert code == 2
    assert "\x1b" not in output
    assert f"{path}:1" in output.splitlines()[0]


def in_terminal(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run the command in a terminal of its own until it ends; return its exit code and all that it wrote."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "console.cli", *arguments]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ) as process:
        os.close(slave)
        parts: list[bytes] = []
        try:
            while part := read(master):
                parts.append(part)
            code = process.wait(timeout=30)
        finally:
            process.kill()
            os.close(master)
    return code, b"".join(parts).decode()


def read(master: int) -> bytes:
    """Return what a pty has; nothing when its other end is closed."""
    try:
        return os.read(master, 4096)
    except OSError:
        return b""
