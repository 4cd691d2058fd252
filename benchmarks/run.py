"""`qd run` on real sshd hosts beside clush, and beside a bare asyncssh loop."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.programs import QD, app, home
from benchmarks.report import Part, Row
from tests.real import fleet as sshd

SIZES = (50, 200)
ROUNDS = 3
CLUSH = (sys.executable, "-c", "from ClusterShell.CLI.Clush import main; main()")
CURVE = "-o KexAlgorithms=curve25519-sha256"
COMMANDS = ("true", "cat /proc/loadavg")


class Cost(NamedTuple):
    """Of one program with all the children it waited for."""

    wall: float
    cpu: float


def cost(argv: Sequence[str], env: dict[str, str], wanted: int = 0) -> Cost:
    """Run a program to its end. RuntimeError when it did not end with `wanted`."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, **env}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if process.returncode != wanted:
            raise RuntimeError(f"{argv[-1]}: {process.returncode}: {errors.read().decode(errors='replace')[-400:]}")
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the medians."""
    return Cost(statistics.median(one.wall for one in costs), statistics.median(one.cpu for one in costs))


def clush(fleet: sshd.SshFleet, options: str, line: str) -> tuple[str, ...]:
    """Return clush on all hosts of a fleet."""
    return (*CLUSH, "-o", f"-F {fleet.ssh_config} {options}", "-b", "-w", ",".join(fleet.names), line)


def qd_run(fleet: sshd.SshFleet, line: str, *options: str) -> tuple[str, ...]:
    """Return ours."""
    hosts = ",".join(fleet.names)
    return (*QD, "run", "--hosts", hosts, "--ssh-config", str(fleet.ssh_config), *options, hosts, "--", line)


def cold(part: Part, fleet: sshd.SshFleet, line: str, env: dict[str, str], rounds: int) -> None:
    """Measure all of them in turn, several times."""
    programs = {
        "qd": qd_run(fleet, line),
        "bare asyncssh loop": app("bare_run", str(fleet.ssh_config), line),
        "clush, the same key exchange": clush(fleet, CURVE, line),
        "clush": clush(fleet, "", line),
    }
    taken: dict[str, list[Cost]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, argv in programs.items():
            taken[name].append(cost(argv, env))
    ours = middle(taken["qd"])
    limits = {"bare asyncssh loop": (1.15, 1.15), "clush, the same key exchange": (0.85, 0.4), "clush": (None, None)}
    for name, (wall, cpu) in limits.items():
        other = middle(taken[name])
        what = f"{len(fleet.names)} hosts, {line}"
        part.rows.append(Row(f"{what}: wall", ours.wall, "s", name, other.wall, limit_ratio=wall))
        part.rows.append(Row(f"{what}: CPU", ours.cpu, "s", name, other.cpu, limit_ratio=cpu))


def warm(part: Part, fleet: sshd.SshFleet, env: dict[str, str], rounds: int, sockets: Path) -> None:
    """Measure with connections that are there already."""
    names = ",".join(fleet.names)
    argv = app("warm_run", str(fleet.ssh_config), names, "true", str(rounds))
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ, **env})
    ours = middle([Cost(wall, cpu) for wall, cpu, _ in json.loads(done.stdout)])
    master = f"{CURVE} -o ControlMaster=auto -o ControlPersist=120 -o ControlPath={sockets}/%%C"  # clush reads % itself
    cost(clush(fleet, master, "true"), env)
    theirs = middle([cost(clush(fleet, master, "true"), env) for _ in range(rounds)])
    for name in fleet.names:
        socket = ("ssh", "-F", str(fleet.ssh_config), "-o", f"ControlPath={sockets}/%C", "-O", "exit", name)
        subprocess.run(socket, capture_output=True, check=False)
    what = f"{len(fleet.names)} hosts, true, connections held"
    beside = "clush over ControlMaster sockets"
    part.rows.append(Row(f"{what}: wall", ours.wall, "s", beside, theirs.wall, limit_ratio=0.4))
    part.rows.append(Row(f"{what}: CPU", ours.cpu, "s", beside, theirs.cpu, limit_ratio=0.1))


def all_but_one(fleet: sshd.SshFleet, env: dict[str, str], wanted: int) -> float:
    """Return the seconds until that many hosts have answered, line by line."""
    began = time.perf_counter()
    argv = qd_run(fleet, "echo up", "--live", "--timeout", "5")
    seconds = float("nan")
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **env}
    ) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout, 1):
            if number == wanted:
                seconds = time.perf_counter() - began
    return seconds


def hanging(part: Part, fleet: sshd.SshFleet, env: dict[str, str]) -> None:
    """Measure how long the others take when one host accepts connections and says nothing."""
    wanted = len(fleet.names) - 1
    healthy = statistics.median(all_but_one(fleet, env, wanted) for _ in range(3))
    fleet.stop(len(fleet.names) // 2)
    try:
        ill = statistics.median(all_but_one(fleet, env, wanted) for _ in range(3))
    finally:
        fleet.cont(len(fleet.names) // 2)
    what = f"one of {len(fleet.names)} hangs: the other {wanted} printed after"
    part.rows.append(Row(what, ill, "s", "none hangs", healthy, limit_ratio=1.3))


def run(quick: bool = False) -> Part:
    """Measure ours and theirs on the same hosts, in turn."""
    part = Part("qd run on sshd hosts of this machine")
    if why := sshd.missing():
        part.notes.append(f"Not run: {why}.")
        return part
    sizes, rounds = ((10,), 1) if quick else (SIZES, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="qd-bench-run-") as directory, home() as env:
        for size in sizes:
            with sshd.SshFleet(size, Path(directory) / str(size), prefix="h") as fleet:
                for line in COMMANDS:
                    cold(part, fleet, line, env, rounds)
                if size == sizes[-1]:
                    sockets = Path(directory) / "s"
                    sockets.mkdir(mode=0o700)
                    warm(part, fleet, env, rounds, sockets)
                    hanging(part, fleet, env)
    part.notes.append(
        "The hosts' sshd share the cores with whoever asks them, so wall times say little and swing; CPU is that of "
        "the program with its children, not of sshd. All of them take turns, medians of three. clush has ssh negotiate "
        "a post-quantum key exchange (sntrup761), which is most of its CPU; asyncssh has that one only where liboqs is "
        "installed, and the best that it shares with these hosts else is curve25519, as in the rows of the same key "
        "exchange. At 50 hosts the start of the interpreter and of asyncssh is most of what both asyncssh rows cost."
    )
    return part
