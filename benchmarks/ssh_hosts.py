"""Two hundred sshd hosts on this machine, live every two seconds."""

from __future__ import annotations

import contextlib
import math
import re
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.programs import QD, app, home
from benchmarks.pty import Terminal
from benchmarks.report import Part, Row
from tests.real import fleet as sshd

HOSTS = 200
EXPLANATION = (
    "Until all are live the two hundred hosts use the cores of this one machine too: each login is a fork, a key "
    "exchange and two signatures of sshd, each probe an interpreter that starts (some 50 ms of CPU). The console "
    "itself needs about 3 s of CPU for two hundred logins, the bare stream, which starts no interpreter, about 7 s."
)


def probes(fleet: sshd.SshFleet) -> list[psutil.Process]:
    """Return the probes that run on the hosts of this fleet."""
    found = []
    roots = [node.process.pid for node in fleet.nodes if node.process is not None]
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(root).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    if "python" in process.name():
                        found.append(process)
    return found


def cpu(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of processes so far."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def received() -> int:
    """Return the bytes that came in over the loopback so far."""
    return int(psutil.net_io_counters(pernic=True)["lo"].bytes_recv)


def watch(
    argv: tuple[str, ...], env: dict[str, str], fleet: sshd.SshFleet, live: str, seconds: float
) -> dict[str, float]:
    """Run a console on the fleet; return what it and its probes cost."""
    with Terminal(argv, env=env) as terminal:
        pattern = re.compile(live)
        ready = terminal.wait(lambda screen: bool(pattern.search("\n".join(screen.display))), 90)
        if ready is None:
            return {"ready": math.nan}
        terminal.press(b"a")
        terminal.run(15)
        there = probes(fleet)
        before, bytes_before, began = cpu(there), received(), time.perf_counter()
        percent, rss, _ = terminal.measure(seconds)
        passed = time.perf_counter() - began
        return {
            "ready": ready,
            "cpu": percent,
            "rss": rss / 1e6,
            "probes": float(len(there)),
            "probe_cpu": (cpu(there) - before) / passed * 100 / max(len(there), 1),
            "bytes": (received() - bytes_before) / passed / fleet_size(fleet),
        }


def fleet_size(fleet: sshd.SshFleet) -> int:
    """Return how many hosts it has."""
    return len(fleet.names)


def run(quick: bool = False) -> Part:
    """Measure ours, then the bare stream, on the same hosts."""
    hosts, seconds = (20, 8.0) if quick else (HOSTS, 30.0)
    part = Part(f"{hosts} sshd hosts live at 2 s")
    if why := sshd.missing():
        part.notes.append(f"Not run: {why}.")
        return part
    with (
        tempfile.TemporaryDirectory(prefix="qd-bench-ssh-") as directory,
        home() as env,
        sshd.SshFleet(hosts, Path(directory), prefix="h") as fleet,
    ):
        config = str(fleet.ssh_config)
        asked = ("--hosts", ",".join(fleet.names), "--ssh-config", config)
        below = watch(app("headless", *asked), env, fleet, rf"\b{hosts}/{hosts} live", seconds)
        ours = watch((*QD, *asked), env, fleet, rf"\b{hosts}/{hosts}\b", seconds)
        bare = watch(app("stream", config, "2", *fleet.names), env, fleet, rf"\b{hosts} live", seconds)
    if math.isnan(below["ready"]) or math.isnan(bare["ready"]):
        part.notes.append("Not all hosts were live within 90 s, not even without a screen.")
        return part
    part.rows += [
        Row("without a screen: start to all live", below["ready"], "s", "bare asyncssh stream", bare["ready"]),
        Row("without a screen: CPU", below["cpu"], "% of a core", "bare asyncssh stream", bare["cpu"]),
        Row("without a screen: memory", below["rss"], "MB", "bare asyncssh stream", bare["rss"]),
        Row("without a screen: CPU of one probe", below["probe_cpu"], "% of a core", limit=1),
        Row(
            "without a screen: bytes of one host",
            below["bytes"] / 1000,
            "kB/s",
            "bare asyncssh stream",
            bare["bytes"] / 1000,
            limit=2,
        ),
    ]
    if math.isnan(ours["ready"]):
        part.notes.append("The console never showed all of them live within 90 s.")
        return part
    part.rows += [
        Row("start to all live", ours["ready"], "s", "bare asyncssh stream", bare["ready"], limit=6),
        Row("CPU of the console", ours["cpu"], "% of a core", "bare asyncssh stream", bare["cpu"], limit=15),
        Row("memory of the console", ours["rss"], "MB", "bare asyncssh stream", bare["rss"], limit=120),
        Row("CPU of one probe", ours["probe_cpu"], "% of a core", limit=1),
        Row(
            "bytes from one host",
            ours["bytes"] / 1000,
            "kB/s",
            "bare asyncssh stream",
            bare["bytes"] / 1000,
            limit=2,
        ),
    ]
    part.notes.append(EXPLANATION)
    part.notes.append(
        "All hosts are marked, so that all are sampled every 2 s; those that nobody looks at are slower. "
        f"{ours['probes']:.0f} probes ran. Bytes are those of the loopback, TCP and SSH included; whatever "
        "else used the loopback meanwhile is in them."
    )
    return part
