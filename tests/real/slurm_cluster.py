"""A real Slurm on this machine: munged, slurmctld and several slurmd with fake GPUs, all children of ours.

    with SlurmCluster(tmp_path) as slurm:
        slurm.run("squeue")

    python -m tests.real.slurm_cluster --nodes 4 run qd nodes

Every instance has its own directory, ports and munge key, so that many run side by side; nothing outlives it.
Nodes: n1, n2 (4 × a100), n3 (8 × h100), n4 (no GPU, partition debug), further ones like n1 in partition gpu.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

PROGRAMS = ("slurmctld", "slurmd", "slurmstepd", "munged", "squeue", "scontrol", "sbatch")
START_S = 30.0
REST_USER = "daemon"
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")

_CONF = """\
ClusterName={name}
{hosts}
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={base}/run/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/spool/%n
SlurmctldPidFile={base}/run/slurmctld.pid
SlurmdPidFile={base}/run/slurmd-%n.pid
SlurmctldLogFile={base}/log/slurmctld.log
SlurmdLogFile={base}/log/slurmd-%n.log
DebugFlags=NO_CONF_HASH
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=2
PriorityType=priority/basic
AccountingStorageType=accounting_storage/{accounting}
GresTypes=gpu
ReturnToService=1
SlurmctldTimeout=10
SlurmdTimeout=30
InactiveLimit=0
KillWait=2
MinJobAge=300
CompleteWait=0
MaxJobCount=200000
MaxArraySize=100001
DefMemPerCPU=100
TreeWidth=64
{extra}
{nodes}
PartitionName=gpu Nodes={gpu_nodes} Default=YES MaxTime=24:00:00 DefaultTime=1:00:00 State=UP
{debug}
"""
"""SlurmdTimeout is long enough for a machine that is busy with other tests."""


def missing_accounting() -> str | None:
    """Return that accounting is not installed here; None when it is."""
    wanted = ("slurmdbd", "mariadbd", "mariadb", "mariadb-install-db", "sacct")
    gone = [program for program in wanted if _find(program) is None]
    return f"Slurm accounting is not installed: {', '.join(gone)}" if gone else None


def missing() -> str | None:
    """Return that Slurm is not installed here, and which of its programs; None when all are."""
    gone = [program for program in PROGRAMS if _find(program) is None]
    return f"Slurm is not installed: {', '.join(gone)}" if gone else None


def _find(program: str, prefix: Path | None = None) -> str | None:
    """Return the real program: the plain names may be alternatives that point to an emulator.

    `prefix`: where another release of Slurm lies; what is not of Slurm comes from the system all the same.
    """
    for folder in ("bin", "sbin") if prefix is not None else ():
        if prefix is not None and (path := prefix / folder / program).exists():
            return str(path)
    for folder in _SBIN:
        for name in (f"{program}-wlm", program):
            path = Path(folder) / name
            if path.exists():
                return str(path)
    return shutil.which(program)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now; all are held open while they are chosen, so that none comes twice."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            held = stack.enter_context(socket.socket())
            held.bind(("127.0.0.1", 0))
            ports.append(int(held.getsockname()[1]))
        return ports


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until the condition holds; AssertionError when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


class Database:
    """The MariaDB behind a slurmdbd, small and without a network but loopback."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._socket = base / "run" / "mysql.sock"
        self._port = 0

    def write(self, user: str) -> str:
        """Write slurmdbd.conf; return the lines that slurm.conf needs."""
        self._port, dbd_port = free_ports(2)
        conf = self._base / "etc" / "slurmdbd.conf"
        conf.write_text(
            f"AuthType=auth/munge\nAuthInfo=socket={self._base}/run/munge.socket\nDbdHost=localhost\n"
            f"DbdAddr=127.0.0.1\nDbdPort={dbd_port}\nSlurmUser={user}\nDebugLevel=info\n"
            f"LogFile={self._base}/log/slurmdbd.log\nPidFile={self._base}/run/slurmdbd.pid\n"
            "StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\n"
            f"StoragePort={self._port}\nStorageUser=slurm\nStoragePass=slurm\nStorageLoc=slurm_acct\n"
        )
        conf.chmod(0o600)
        return (
            f"AccountingStorageHost=127.0.0.1\nAccountingStoragePort={dbd_port}\n"
            f"AccountingStoragePass={self._base}/run/munge.socket\nAccountingStorageTRES=gres/gpu\n"
        )

    def install(self) -> None:
        """Make the empty database."""
        data = self._base / "mysql"
        if not (data / "mysql").is_dir():
            script = _find("mariadb-install-db") or "mariadb-install-db"
            words = ("--skip-test-db", "--auth-root-authentication-method=socket", f"--user={_user()}")
            subprocess.run(
                [script, "--no-defaults", f"--datadir={data}", *words], check=True, capture_output=True, timeout=60
            )

    def argv(self) -> list[str]:
        """Return how it is started."""
        return [
            _find("mariadbd") or "mariadbd", "--no-defaults", f"--datadir={self._base}/mysql",
            f"--socket={self._socket}", "--bind-address=127.0.0.1", f"--port={self._port}", f"--user={_user()}",
            "--skip-name-resolve", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900", "--max-allowed-packet=16M",
        ]  # fmt: skip

    def ready(self) -> bool:
        """Whether it answers."""
        return self._sql("select 1").returncode == 0

    def grant(self) -> None:
        """Make the database of slurmdbd and its user."""
        done = self._sql(
            "create database if not exists slurm_acct;"
            "create user if not exists 'slurm'@'127.0.0.1' identified by 'slurm';"
            "grant all on slurm_acct.* to 'slurm'@'127.0.0.1';"
        )
        assert done.returncode == 0, done.stderr

    def _sql(self, text: str) -> subprocess.CompletedProcess[str]:
        argv = ["mariadb", "--no-defaults", f"--socket={self._socket}", "-u", _user(), "-e", text]
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


class SlurmCluster:
    """One cluster. A context manager; `start` and `stop` may be called again."""

    def __init__(
        self,
        base: Path,
        *,
        nodes: int = 4,
        name: str = "lab",
        extra: str = "",
        backup: bool = False,
        accounting: bool = False,
        prefix: Path | None = None,
    ) -> None:
        """`extra`: further lines of slurm.conf. `backup`: a second controller, ready to take over.

        `accounting`: a slurmdbd with a MariaDB behind it; jobs then need the associations that `start` makes.
        `prefix`: where a Slurm lies that is not the system's.
        """
        self.base = base
        self.name = name
        self.nodes = tuple(f"n{index + 1}" for index in range(nodes))
        self.conf = base / "etc" / "slurm.conf"
        self.prefix = prefix
        self._extra = extra
        self._backup = backup
        self.database = Database(base) if accounting else None
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    # ---- life

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environ(self) -> dict[str, str]:
        """This process's environment without anybody's Slurm settings, and with this cluster's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SQUEUE", "SINFO"))}
        if self.prefix is not None:
            kept["PATH"] = f"{self.prefix}/bin:{self.prefix}/sbin:{kept.get('PATH', os.defpath)}"
        return {**kept, "SLURM_CONF": str(self.conf)}

    def program(self, name: str) -> str:
        """Return the path of a program of this cluster."""
        return _find(name, self.prefix) or name

    def start(self) -> None:
        """Start everything and wait until all nodes are idle. AssertionError with the logs' end when they are not."""
        for folder in ("bin", "etc", "run", "state", "spool", "log", "dev", "munge"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        for node in self.nodes:
            (self.base / "spool" / node).mkdir(exist_ok=True)
        for path in (self.base, self.base / "run", self.base / "etc"):
            path.chmod(0o755)
        for program in ("slurmctld", "slurmd", "slurmstepd"):
            # They compare their own name with the plain one; by another they drop all GRES without a word.
            _link(self.base / "bin" / program, self.program(program))
        for index in range(8):
            _link(self.base / "dev" / f"nvidia{index}", "/dev/null")
        self._write()
        self.start_munged()
        if self.database is not None:
            self.start_accounting()
        self.start_ctld()
        for node in self.nodes:
            self.start_node(node)
        try:
            wait_until(self._all_idle, START_S, "every node is idle")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def _write(self) -> None:
        """Write the configuration files."""
        ports = free_ports(len(self.nodes) + 2)
        extra = self._extra
        if self.database is not None:
            extra += "\n" + self.database.write(_user())
        lines, gres = [], []
        for node, port in zip(self.nodes, ports[2:], strict=True):
            kind, gpus = {"n3": ("h100", 8), "n4": ("", 0)}.get(node, ("a100", 4))
            cpus = 16 if gpus == 8 else 8
            line = f"NodeName={node} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={cpus * 2000}"
            if gpus:
                line += f" Gres=gpu:{kind}:{gpus} Features={kind}"
                gres.append(f"NodeName={node} Name=gpu Type={kind} File={self.base}/dev/nvidia[0-{gpus - 1}]")
            lines.append(f"{line} State=UNKNOWN")
        hosts = f"SlurmctldHost={socket.gethostname()}(127.0.0.1)"
        if self._backup:
            hosts = f"SlurmctldHost=primary(127.0.0.2)\nSlurmctldHost={socket.gethostname()}(127.0.0.1)"
        conf = _CONF.format(
            name=self.name,
            accounting="none" if self.database is None else "slurmdbd",
            base=self.base,
            user=_user(),
            hosts=hosts,
            ctld_port=ports[0],
            slurmd_port=ports[1],
            extra=extra,
            nodes="\n".join(lines),
            gpu_nodes=",".join(node for node in self.nodes if node != "n4"),
            debug="PartitionName=debug Nodes=n4 MaxTime=1:00:00 State=UP" if "n4" in self.nodes else "",
        )
        self.conf.write_text(conf)
        (self.conf.parent / "gres.conf").write_text("\n".join(gres) + "\n")
        (self.conf.parent / "cgroup.conf").write_text("CgroupAutomount=no\n")
        key = self.base / "munge" / "key"
        if not key.exists():
            key.write_bytes(secrets.token_bytes(128))
            key.chmod(0o600)

    def _all_idle(self) -> bool:
        done = self.run("sinfo", "-h", "-N", "-o", "%N %t", check=False)
        return {tuple(line.split()) for line in done.stdout.splitlines()} == {(node, "idle") for node in self.nodes}

    def stop(self) -> None:
        """End everything, slurmds first, and wait until all is gone."""
        for name in self.nodes:
            self._signal(name, signal.SIGTERM)
        for name in self.nodes:
            self._reap(name)
        for pid in self._leftovers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in ("slurmrestd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            self._signal(name, signal.SIGCONT)
            self._signal(name, signal.SIGTERM)
            self._reap(name)

    # ---- parts

    def start_munged(self) -> None:
        """Start the authentication daemon and wait until it listens."""
        where = self.base / "run" / "munge.socket"
        self._spawn(
            "munged",
            *(_find("munged") or "munged", "-F", "--num-threads=2", f"--socket={where}"),
            f"--key-file={self.base}/munge/key",
            f"--pid-file={self.base}/run/munged.pid",
            f"--seed-file={self.base}/munge/seed",
            f"--log-file={self.base}/log/munged.log",
            "--force",
        )
        wait_until(where.exists, 10, "munged listens")

    def start_accounting(self) -> None:
        """Start MariaDB and slurmdbd, wait until it answers, and let this user and everybody in account `lab` submit."""
        assert self.database is not None
        self.database.install()
        self._spawn("mariadbd", *self.database.argv())
        wait_until(self.database.ready, START_S, "MariaDB answers")
        self.database.grant()
        self.start_slurmdbd()
        wait_until(
            lambda: self.run("sacctmgr", "-n", "show", "cluster", check=False).returncode == 0, START_S, "slurmdbd"
        )
        self.run("sacctmgr", "-i", "add", "cluster", self.name, check=False)
        self.run("sacctmgr", "-i", "add", "account", "lab", "Fairshare=10", check=False)
        self.run("sacctmgr", "-i", "add", "user", _user(), "account=lab", "Fairshare=5", check=False)

    def start_slurmdbd(self) -> None:
        """Start slurmdbd alone."""
        self._spawn("slurmdbd", self.program("slurmdbd"), "-D")

    def start_ctld(self, *arguments: str) -> None:
        """Start slurmctld and wait until it answers a ping."""
        self._spawn("slurmctld", str(self.base / "bin" / "slurmctld"), "-D", "-f", str(self.conf), *arguments)
        wait_until(lambda: " is UP" in self.run("scontrol", "ping", check=False).stdout, START_S, "slurmctld answers")

    def start_rest(self, *arguments: str, jwt: bool = False) -> str:
        """Start slurmrestd as the user that may run it, wait until it listens, and return the URL for `rest`.

        On a socket of that user by default, else (`jwt`) on a port, for whoever brings a token.
        """
        self.kill("slurmrestd")
        (port,) = free_ports(1)
        folder = self.base / "run" / "rest"
        folder.mkdir(exist_ok=True)
        path = folder / "socket"
        path.unlink(missing_ok=True)
        as_user: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root or as SlurmUser; of root it takes questions all the same
            shutil.chown(folder, REST_USER, REST_USER)
            as_user = [
                "setpriv",
                f"--reuid={REST_USER}",
                f"--regid={REST_USER}",
                "--clear-groups",
                "--pdeathsig",
                "KILL",
            ]
        where = f"127.0.0.1:{port}" if jwt else f"unix:{path}"
        how = "rest_auth/jwt" if jwt else "rest_auth/local"
        what = "slurmctld" if self.prefix is not None else "openapi/v0.0.38"
        if jwt:  # else it asks slurmctld by munge, as itself
            as_user = ["env", "SLURM_JWT=daemon", *as_user]
        argv = [*as_user, self.program("slurmrestd"), "-f", str(self.conf), "-a", how, "-s", what, *arguments, where]
        self._spawn("slurmrestd", *argv)
        wait_until(lambda: _listens(port) if jwt else path.exists(), START_S, "slurmrestd listens")
        return f"http://{where}" if jwt else where

    def start_node(self, node: str) -> None:
        """Start the slurmd of one node."""
        stepd = str(self.base / "bin" / "slurmstepd")
        self._spawn(node, str(self.base / "bin" / "slurmd"), "-D", "-f", str(self.conf), "-N", node, "-d", stepd)

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill `slurmctld`, `slurmrestd`, `munged` or a node's slurmd, and wait until it is gone."""
        self._signal(name, how)
        self._reap(name)

    def pause(self, name: str) -> None:
        """Stop a daemon where it stands: it takes connections and answers nothing."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused daemon go on."""
        self._signal(name, signal.SIGCONT)

    def _spawn(self, name: str, *argv: str) -> None:
        # They go when we go, however that happens.
        bound = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self.base / "log" / f"{name}.out").open("ab") as log:
            self._children[name] = subprocess.Popen(
                [*bound, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environ, cwd=self.base
            )

    def _signal(self, name: str, how: signal.Signals) -> None:
        child = self._children.get(name)
        if child is not None and child.poll() is None:
            child.send_signal(how)

    def _reap(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is None:
            return
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _leftovers(self) -> list[int]:
        """Return the pids of job steps and their processes: they outlive slurmd. All carry our SLURM_CONF."""
        mine = f"SLURM_CONF={self.conf}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                environ = (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes()
                held = [os.readlink(link) for link in (entry / "fd").iterdir()] if b"slurmstepd" in command else []
            except OSError:
                continue  # gone, or not ours to look at
            is_task = mine in environ and any(part.startswith(b"SLURM_JOB_ID=") for part in environ)
            if is_task or any(path.startswith(f"{self.base}/") for path in held):
                found.append(int(entry.name))
        return found

    # ---- use

    def run(
        self, *argv: str, check: bool = True, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with this cluster's environment; with `check`, AssertionError with its words when it fails."""
        done = subprocess.run(
            [self.program(argv[0]) if self.prefix is not None else argv[0], *argv[1:]],
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
            env={**self.environ, **(env or {})},
            cwd=self.base,
        )
        assert done.returncode == 0 or not check, f"{argv[0]}: status {done.returncode}: {done.stderr[-500:]}"
        return done

    def submit(self, *arguments: str, seconds: int = 600) -> str:
        """Submit a job that sleeps; return its id."""
        done = self.run(
            "sbatch", "--parsable", "-o", "/dev/null", *arguments, stdin=f"#!/bin/sh\nexec sleep {seconds}\n"
        )
        return done.stdout.strip().partition(";")[0]

    def cancel_all(self) -> None:
        """End all jobs and wait until none is left."""
        self.run("scancel", "--user", _user(), check=False)
        wait_until(lambda: not self.run("squeue", "-h", "-a").stdout.strip(), 60, "no job is left")

    def requests(self) -> dict[str, int]:
        """Return how many requests of which type slurmctld has had; asking is one too (REQUEST_STATS_INFO)."""
        text = self.run("sdiag").stdout.partition("by message type")[2].partition("by user")[0]
        return {match[1]: int(match[2]) for match in re.finditer(r"^\s+(\w+)\s.*count:(\d+)", text, re.MULTILINE)}

    def logs(self) -> str:
        """Return the end of every log."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-600:]}"
            for path in sorted((self.base / "log").iterdir())
        )


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def main() -> int:
    """Start a cluster, run a command in its environment (default: a shell), and take everything down again."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=0, help="submit so many jobs first")
    parser.add_argument("action", nargs="?", choices=["run"], default="run")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if (why := missing()) is not None:
        sys.stderr.write(f"{why}\n")
        return 3
    with (
        tempfile.TemporaryDirectory(prefix="qd-slurm-") as folder,
        SlurmCluster(Path(folder), nodes=arguments.nodes) as cluster,
    ):
        for index in range(arguments.jobs):
            cluster.submit("-p", "gpu", f"--gres=gpu:{index % 4 + 1}", "-J", f"train-{index}")
        command = arguments.command or [os.environ.get("SHELL", "/bin/sh")]
        return subprocess.run(command, env=cluster.environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
