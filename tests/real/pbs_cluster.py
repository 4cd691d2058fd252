"""A real OpenPBS on this machine: server, scheduler and several MoMs, each host in namespaces of its own.

    with PbsCluster(tmp_path) as pbs:
        pbs.run("qstat", user="alice")

    python -m tests.real.pbs_cluster --moms 3 run qstat -f

The programs come from an archive of a built OpenPBS, which is not part of this repository: `openpbs-*.tar.zst` in the
directory that QD_TEST_OPENPBS names, or else in ../shared/real/openpbs beside the checkout. Every cluster has its own
network, so that many run side by side; nothing outside its directory is written, and it ends with its starter.
Hosts: pbs01 (server, scheduler, database), gpu001 … (64 CPUs and 8 GPUs each, which are only counted). Queues: workq,
gpu, long (stopped), route. Users: alice, bob, oper (an operator); root manages.
"""

from __future__ import annotations

import argparse
import ctypes.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from console.transport.base import Completed
from console.transport.local import LocalTransport
from tests.real.fleet import write_key

ROOT = Path(__file__).parents[2]
SERVER = "pbs01"
USERS: Mapping[str, int] = {"root": 0, "alice": 20001, "bob": 20002, "oper": 20003}
START_S = 60.0
_PROGRAMS = ("unshare", "nsenter", "setpriv", "ip", "zstd", "tar", "mount")
_LIBRARIES = ("ical", "hwloc", "pq")
_PATH = "/opt/pbs/bin:/opt/pbs/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_INIT = """
set -e
mount --make-rprivate /
hostname {name}
ip link set lo up
mount -t proc proc /proc
mount -t tmpfs tmpfs /dev/shm
mkdir -p {host}/over {host}/spool
mount -t tmpfs tmpfs {host}/over
mkdir {host}/over/upper {host}/over/work
mount -t overlay -o lowerdir=/etc,upperdir={host}/over/upper,workdir={host}/over/work overlay /etc
mount --bind {base}/home /home
for part in opt/pbs var/spool/pbs; do
    mount -t tmpfs -o mode=755 tmpfs /${{part%/pbs}}
    mkdir /$part
done
mount --bind {base}/opt/pbs /opt/pbs
mount --bind {host}/spool /var/spool/pbs
cp {base}/hosts /etc/hosts
cp {host}/pbs.conf /etc/pbs.conf
rm -f /etc/nologin
cat {base}/passwd >> /etc/passwd
cat {base}/group >> /etc/group
cat {base}/shadow >> /etc/shadow
if [ {name} = pbs01 ]; then
    mount -t tmpfs tmpfs /run
    install -d -o postgres -g postgres -m 2775 /run/postgresql
fi
: > {host}/ready
trap "" CHLD
exec sleep infinity
"""
"""The first process of a host: ignoring SIGCHLD, which dash cannot hand on, reaps whoever is left to it."""
_START_SERVER = "/opt/pbs/libexec/pbs_init.d start"
_START_AGAIN = "pkill -9 'postgres|pbs_'; sleep 0.5; rm -rf /var/spool/pbs/*"
_START_MOM = r"""
[ -d /var/spool/pbs/mom_priv ] || /opt/pbs/libexec/pbs_habitat
printf '$clienthost pbs01\n$usecp *:/ /\n' > /var/spool/pbs/mom_priv/config
/opt/pbs/libexec/pbs_init.d start
"""
_QMGR = """\
create resource ngpus type=long,flag=nh
set server job_history_enable=True
set server flatuid=True
set server acl_roots+=root
set server operators+=oper@*
create queue gpu queue_type=execution,enabled=True,started=True,resources_default.ngpus=1,priority=50
create queue long queue_type=execution,enabled=True,started=False
create queue route queue_type=route,route_destinations=gpu,enabled=True,started=True
"""


def archive() -> Path | None:
    """Return the archive of OpenPBS, None where there is none."""
    folder = Path(os.environ.get("QD_TEST_OPENPBS") or ROOT.parent / "shared" / "real" / "openpbs")
    return next(iter(sorted(folder.glob("openpbs-*.tar.zst"))), None)


def missing() -> str | None:
    """Return which of what the archive needs is not here; None when all is."""
    if os.geteuid() != 0:
        return "namespaces for OpenPBS need root"
    gone = [name for name in _PROGRAMS if shutil.which(name) is None]
    gone += [f"lib{name}" for name in _LIBRARIES if ctypes.util.find_library(name) is None]
    gone += [] if list(Path("/usr/lib/postgresql").glob("*/bin/postgres")) else ["postgresql"]
    return f"not installed for OpenPBS: {', '.join(gone)}" if gone else None


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until the condition holds; AssertionError when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)


class InHost(LocalTransport):
    """A transport to one host of the cluster, as SSH would be: commands run there, as that user."""

    def __init__(self, name: str, prefix: Sequence[str]) -> None:
        super().__init__()
        self.name = name
        self._prefix = list(prefix)

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        limit_bytes: int = 256 << 20,
    ) -> Completed:
        """See `Transport`."""
        words = [*self._prefix, *(f"{name}={value}" for name, value in (env or {}).items()), *argv]
        return await super().run(words, timeout_s=timeout_s, stdin=stdin, limit_bytes=limit_bytes)


class PbsCluster:
    """One cluster. A context manager."""

    def __init__(self, base: Path, *, moms: int = 3) -> None:
        self.base = base
        self.moms = tuple(f"gpu{index:03}" for index in range(1, moms + 1))
        self._hosts: dict[str, subprocess.Popen[bytes]] = {}
        self._pids: dict[str, int] = {}

    # ---- life

    def __enter__(self) -> PbsCluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every host, and with it all that runs there."""
        for name in list(self._hosts):
            self.kill_host(name)

    def _start(self) -> None:
        path = archive()
        assert path is not None, "there is no archive of OpenPBS"
        self.base.mkdir(parents=True, exist_ok=True)
        with subprocess.Popen(["zstd", "-dcq", str(path)], stdout=subprocess.PIPE) as unpacked:
            subprocess.run(["tar", "xf", "-", "-C", str(self.base)], stdin=unpacked.stdout, check=True)
        self._write()
        for name in (SERVER, *self.moms):
            self._start_host(name)
        for name in (SERVER, *self.moms):
            wait_until((self.base / name / "ready").exists, START_S, f"host {name} is there: {self._words(name)}")
            unshare = self._hosts[name].pid
            self._pids[name] = int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0])
        self._connect()
        self._start_server()
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.start_mom, self.moms))
        self._configure()
        wait_until(lambda: self._free() == set(self.moms), START_S, f"every MoM is free: {self._free()}")
        self._warm_up()

    def _warm_up(self) -> None:
        """Run a job on every MoM: one that has just come up is still sent its hooks, and may refuse its first job.

        PBS holds a job that was refused too often, so who did not run the first one is given another.
        """
        left = set(self.moms)
        end = time.monotonic() + 2 * START_S
        while left and time.monotonic() < end:
            jobs = {
                name: self.submit("-l", f"select=1:host={name}", "-o", "/dev/null", "-j", "oe", script="")
                for name in sorted(left)
            }
            once_more = time.monotonic() + START_S / 3
            while left and time.monotonic() < once_more:
                self.run("qmgr", "-c", "set server scheduling = True")  # look at them again now
                left -= {name for name, job in jobs.items() if self.state(job) == "F"}
                time.sleep(0.1)
            if left:
                self.run("qdel", "-W", "force", *(jobs[name] for name in left), check=False)
        assert not left, f"these MoMs run no job: {left}\n{self.words()}"

    def _write(self) -> None:
        """Write what the hosts find in /etc."""
        addresses = [f"192.0.2.{number} {name}\n" for number, name in enumerate((SERVER, *self.moms), 11)]
        (self.base / "hosts").write_text("127.0.0.1 localhost\n" + "".join(addresses))
        people = {name: number for name, number in USERS.items() if number}
        lines = {
            "passwd": [f"{name}:x:{number}:{number}::/home/{name}:/bin/bash\n" for name, number in people.items()],
            "group": [f"{name}:x:{number}:\n" for name, number in people.items()],
            "shadow": [f"{name}:*:19000:0:99999:7:::\n" for name in people],
        }
        for file, content in lines.items():
            (self.base / file).write_text("".join(content))
        for name, number in people.items():
            home = self.base / "home" / name
            home.mkdir(parents=True)
            os.chown(home, number, number)
        for name in (SERVER, *self.moms):
            server = int(name == SERVER)
            (self.base / name).mkdir()
            (self.base / name / "pbs.conf").write_text(
                f"PBS_SERVER={SERVER}\nPBS_START_SERVER={server}\nPBS_START_SCHED={server}\nPBS_START_COMM={server}\n"
                f"PBS_START_MOM={1 - server}\nPBS_EXEC=/opt/pbs\nPBS_HOME=/var/spool/pbs\nPBS_SCP=/bin/false\n"
            )

    def _start_host(self, name: str) -> None:
        script = _INIT.format(name=name, base=shlex.quote(str(self.base)), host=shlex.quote(str(self.base / name)))
        with (self.base / name / "init.log").open("wb") as log:
            self._hosts[name] = subprocess.Popen(
                # It goes when we go, however that happens, and all of its host with it.
                [
                    *("setpriv", "--pdeathsig", "KILL", "unshare", "--uts", "--net", "--ipc", "--mount", "--pid"),
                    *("--fork", "--kill-child=KILL", "bash", "-c", script),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _connect(self) -> None:
        """Give pbs01 a bridge, and every other host a cable to it."""
        self._in(SERVER, "ip link add pbs0 type bridge; ip addr add 192.0.2.11/24 dev pbs0; ip link set pbs0 up")
        for number, name in enumerate(self.moms, 12):
            ends = [f"v-{name}", "netns", str(self._pids[SERVER]), "type", "veth", "peer", "name", "eth0"]
            subprocess.run(["ip", "link", "add", *ends, "netns", str(self._pids[name])], check=True)
            self._in(SERVER, f"ip link set v-{name} master pbs0; ip link set v-{name} up")
            self._in(name, f"ip addr add 192.0.2.{number}/24 dev eth0; ip link set eth0 up")

    def _start_server(self) -> None:
        """Start server, scheduler and database; PBS now and then asks its new database before that has started."""
        for _ in range(4):
            if self._in(SERVER, _START_SERVER, daemon=True, check=False).returncode == 0:
                break
            self._in(SERVER, _START_AGAIN, daemon=True, check=False)
        self._wait_for_server()

    def _wait_for_server(self) -> None:
        wait_until(lambda: self.run("qstat", "-B", check=False).returncode == 0, START_S, "pbs_server answers")

    def _configure(self) -> None:
        nodes = [
            f"create node {name} resources_available.ngpus=8,resources_available.ncpus=64,resources_available.mem=1tb\n"
            for name in self.moms
        ]
        self.run("qmgr", stdin=_QMGR + "".join(nodes))
        conf = "/var/spool/pbs/sched_priv/sched_config"
        self._in(SERVER, f'sed -i \'s/^resources: "\\(.*\\)"/resources: "\\1, ngpus"/\' {conf}')
        self.signal("pbs_sched", "HUP")

    def _free(self) -> set[str]:
        """Return the hosts that take jobs."""
        lines = self.run("pbsnodes", "-a", "-v", "-F", "dsv", check=False).stdout.splitlines()
        return {line.partition("|")[0].removeprefix("Name=") for line in lines if "|state=free|" in line}

    def words(self) -> str:
        """Return the end of every log of the server and the scheduler, and of the MoMs."""
        logs = [log for name in (SERVER, *self.moms) for log in sorted((self.base / name / "spool").glob("*_logs/*"))]
        return "\n".join(f"--- {log}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)

    def _words(self, name: str) -> str:
        return (self.base / name / "init.log").read_text(errors="replace")[-400:]

    # ---- parts

    def start_mom(self, name: str) -> None:
        """Start the MoM of a host (again)."""
        self._in(name, _START_MOM, daemon=True)

    def give_vnodes(self, name: str, count: int) -> list[str]:
        """Give a host so many vnodes of four CPUs each beside the one that bears its name; return their names."""
        change, names = "remove halves", [f"{name}[{index}]" for index in range(count)]
        if count:
            lines = ["$configversion 2", *(f"{each}: resources_available.ncpus = 4" for each in names)]
            (self.base / name / "vnodes").write_text("\n".join(lines) + "\n")
            change = f"insert halves {shlex.quote(str(self.base / name / 'vnodes'))}"
        self._in(name, f"/opt/pbs/sbin/pbs_mom -s {change}; pkill -HUP -x pbs_mom", daemon=True)

        def there() -> list[str]:
            return sorted(each for each in self._free() if each.startswith(f"{name}["))

        for each in there() if not count else ():
            self.run("qmgr", "-c", f"delete node {each}")
        wait_until(lambda: there() == names, START_S, f"{name} has the vnodes {names}: {there()}")
        return names

    def signal(self, program: str, how: str, host: str = SERVER) -> None:
        """Send a signal to a program on one host: `pbs_server.bin`, `pbs_sched`, `pbs_mom`."""
        self._in(host, f"pkill -{how} -x {program[:15]}", daemon=True)

    def restart_server(self) -> None:
        """Start what has been killed of the server, and wait until it answers."""
        self._in(SERVER, _START_SERVER, daemon=True)
        self._wait_for_server()

    def kill_host(self, name: str) -> None:
        """End a host as a power cut would."""
        process = self._hosts.pop(name)
        process.kill()
        process.wait()
        wait_until(lambda: not Path(f"/proc/{self._pids.get(name, 0)}/cmdline").exists(), 20, f"{name} is gone")

    # ---- use

    def prefix(self, host: str = SERVER, user: str = "root", *, daemon: bool = False) -> list[str]:
        """Return the words before a command that make it run on a host as a user.

        `daemon`: among the processes of that host too, so that it stays there and sees no others.
        """
        spaces = ["--net", "--uts", "--mount", *(["--pid", "--ipc"] if daemon else [])]
        number = USERS[user]
        who = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups"] if number else []
        home = f"/home/{user}" if number else "/root"
        words = ["nsenter", "--target", str(self._pids[host]), *spaces, "--", *who]
        return [*words, "env", f"--chdir={home}", f"HOME={home}", f"USER={user}", f"LOGNAME={user}", f"PATH={_PATH}"]

    def ssh_config(self, folder: Path, user: str = "alice") -> Path:
        """Return an OpenSSH configuration that reaches every host by its name, through a real sshd in its namespaces.

        The hosts have a network of their own, so each connection is an sshd of its own on a pipe (`sshd -i`).
        """
        folder.mkdir(parents=True, exist_ok=True)
        host_key, user_key = folder / "host_key", folder / "id_ed25519"
        public = write_key(host_key)
        keys = self.base / "home" / user / ".ssh" / "authorized_keys"
        keys.parent.mkdir(exist_ok=True)
        keys.write_text(write_key(user_key) + "\n")
        (folder / "known_hosts").write_text(f"pbs-hosts {public}\n")
        sshd = folder / "sshd_config"
        sshd.write_text(
            f"HostKey {host_key}\nAuthorizedKeysFile .ssh/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\nLogLevel ERROR\n"
        )
        lines = []
        for host in self._pids:
            words = ["nsenter", "--target", str(self._pids[host]), "--net", "--uts", "--mount", "--", "sh", "-c"]
            self._in(host, "mkdir -p /run/sshd")
            command = shlex.join([*words, f"exec /usr/sbin/sshd -i -E {folder}/sshd.log -f {sshd}"])
            lines.append(
                f"Host {host}\n  User {user}\n  HostKeyAlias pbs-hosts\n  IdentityFile {user_key}\n"
                f"  UserKnownHostsFile {folder}/known_hosts\n  IdentitiesOnly yes\n  ProxyCommand {command}\n"
            )
        path = folder / "ssh_config"
        path.write_text("".join(lines))
        return path

    def transport(self, host: str = SERVER, user: str = "alice") -> InHost:
        """Return a transport to a host, as a user."""
        return InHost(host, self.prefix(host, user))

    def run(
        self, *argv: str, user: str = "root", host: str = SERVER, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; with `check`, AssertionError with its words when it fails."""
        done = subprocess.run(
            [*self.prefix(host, user), *argv],
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{argv[0]}: status {done.returncode}: {done.stderr[-500:]}"
        return done

    def _in(
        self, host: str, script: str, *, daemon: bool = False, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.prefix(host, daemon=daemon), "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=90,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{host}: {script}: {done.stdout[-300:]}{done.stderr[-500:]}"
        return done

    def submit(self, *arguments: str, script: str = "sleep 600\n", user: str = "alice") -> str:
        """Submit a job; return its id."""
        return self.run("qsub", "-f", *arguments, user=user, stdin=script).stdout.strip()

    def state(self, job_id: str) -> str:
        """Return the letter of a job's state, "" for one that is not known."""
        done = self.run("qstat", "-x", "-f", "-F", "dsv", job_id, check=False)
        return next((word[10:] for word in done.stdout.split("|") if word.startswith("job_state=")), "")

    def used(self, job_id: str, name: str) -> str:
        """Return what a job has used of a resource, "" for what is not known."""
        words = self.run("qstat", "-x", "-f", "-F", "dsv", job_id, check=False).stdout.split("|")
        key = f"resources_used.{name}="
        return next((word.removeprefix(key) for word in words if word.startswith(key)), "")

    def delete_all(self) -> None:
        """End all jobs and wait until none is left."""
        ids = self.run("qselect").stdout.split()
        if ids:
            self.run("qdel", "-W", "force", *ids, check=False)
        wait_until(lambda: not self.run("qselect").stdout.split(), 30, "no job is left")


def main() -> int:
    """Start a cluster, run a command on its login host (default: a shell), and take everything down again."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--moms", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=0, help="submit so many jobs first")
    parser.add_argument("--user", choices=sorted(USERS), default="alice")
    parser.add_argument("action", nargs="?", choices=["run"], default="run")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if (why := missing()) is not None or archive() is None:
        sys.stderr.write(f"{why or 'there is no archive of OpenPBS: name its directory by QD_TEST_OPENPBS'}\n")
        return 3
    with (
        tempfile.TemporaryDirectory(prefix="qd-pbs-") as folder,
        PbsCluster(Path(folder) / "pbs", moms=arguments.moms) as cluster,
    ):
        for index in range(arguments.jobs):
            cluster.submit("-q", "gpu", "-N", f"train-{index}", "-l", f"select=1:ngpus={index % 4 + 1}")
        command = arguments.command or ["/bin/bash"]
        return subprocess.run([*cluster.prefix(user=arguments.user), *command], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
