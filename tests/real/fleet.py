"""Real sshd 'nodes' on this one machine, for tests and benchmarks.

    with SshFleet(20, tmp_path, prefix="h") as fleet:
        …  --ssh-config fleet.ssh_config  --hosts 'h[1-20]'
        fleet.kill(3); fleet.stop(4); fleet.change_key(5)

A node is an sshd in a process, mount and host-name namespace of its own (its sshd is process 1: when it goes, all
that ran there goes), listening on an address of its own in 127.0.0.0/8, with its own host key and home directory.
Where namespaces are not to be had it is a plain sshd. Any number of fleets run side by side, and they end with the
process that started them, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

SSHD = "/usr/sbin/sshd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where who logs in looks for programs."""
_NAMESPACES = ["unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
_DEADLINE_S = 30.0


def missing() -> str | None:
    """Return why no fleet can be started here, None when one can."""
    for program in (SSHD, "setpriv"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


def can_unshare() -> bool:
    """Whether this user may make namespaces."""
    done = subprocess.run([*_NAMESPACES, "true"], capture_output=True, check=False)
    return done.returncode == 0


@dataclass
class Node:
    """One sshd."""

    name: str
    address: str
    directory: Path
    extra: list[str] = field(default_factory=list)
    """Further lines of its sshd_config."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """Home directory of whoever logs in."""
        return self.directory / "home"

    @property
    def key(self) -> Path:
        """Its private host key."""
        return self.directory / "host_key"


class SshFleet:
    """N sshd nodes, their keys and an ssh configuration that reaches them."""

    def __init__(
        self,
        count: int,
        directory: Path,
        *,
        prefix: str = "h",
        sshd_options: tuple[str, ...] = (),
        first: int = 1,
    ) -> None:
        """Prepare nodes `PREFIX1…n` under `directory`; `sshd_options` are lines for every sshd_config."""
        self.directory = directory / f"fleet-{prefix}"
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.ssh_config = self.directory / "ssh_config"
        self.known_hosts = self.directory / "known_hosts"
        self.user_key = self.directory / "id_ed25519"
        self.authorized_keys = self.directory / "authorized_keys"
        self.namespaces = False
        self._options = sshd_options
        self.port, addresses = _free_addresses(count)
        self.nodes = [
            Node(f"{prefix}{index}", address, self.directory / f"{prefix}{index}")
            for index, address in enumerate(addresses, first)
        ]

    @property
    def names(self) -> list[str]:
        """Names of all nodes, as the ssh configuration knows them."""
        return [node.name for node in self.nodes]

    def __enter__(self) -> SshFleet:
        try:
            self._prepare()
            for index in range(len(self.nodes)):
                self.start(index)
            self.wait()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def start(self, index: int) -> None:
        """Start one node (again); `wait` says when it listens."""
        node = self.nodes[index]
        self._write_sshd_config(node)
        sshd = [SSHD, "-D", "-f", str(node.directory / "sshd_config"), "-E", str(node.directory / "sshd.log")]
        command = sshd
        if self.namespaces:
            command = [*_NAMESPACES, "sh", "-c", 'hostname "$0" && exec "$@"', node.name, *sshd]
        node.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=node.home,
        )

    def wait(self, *indexes: int) -> None:
        """Wait until these nodes (all when none is named) greet."""
        end = time.monotonic() + _DEADLINE_S
        for index in indexes or range(len(self.nodes)):
            node = self.nodes[index]
            while not _greets(node.address, self.port):
                died = node.process is None or node.process.poll() is not None
                if died or time.monotonic() > end:
                    raise RuntimeError(f"{node.name} does not start: {self.log(index)}")
                time.sleep(0.02)

    def kill(self, index: int) -> None:
        """End a node at once, as a power cut would, but for the kernel that still refuses connections."""
        node = self.nodes[index]
        if node.process is None:
            return
        for pid in self.pids(index):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        node.process.kill()
        node.process.wait()
        node.process = None

    def stop(self, index: int) -> None:
        """Freeze a node: it still accepts connections and says nothing."""
        for pid in self.pids(index):
            os.kill(pid, signal.SIGSTOP)

    def cont(self, index: int) -> None:
        """Thaw a node."""
        for pid in self.pids(index):
            os.kill(pid, signal.SIGCONT)

    def restart(self, index: int) -> None:
        """End a node and start it again."""
        self.kill(index)
        self.start(index)
        self.wait(index)

    def change_key(self, index: int) -> None:
        """Give a node another host key, as a new installation would; known_hosts keeps the old one."""
        write_key(self.nodes[index].key)
        self.restart(index)

    def hang_up(self, index: int) -> None:
        """End the connections of a node, not the node: the sshd of each session dies."""
        listener = self._listener(index)
        for pid in self.pids(index):
            if pid != listener and _name(pid).startswith("sshd"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def pids(self, index: int) -> list[int]:
        """Return the processes of a node, as this process sees them."""
        listener = self._listener(index)
        if listener is None:
            return []
        if self.namespaces:
            space = _link(f"/proc/{listener}/ns/pid")
            return [pid for pid in _all_pids() if _link(f"/proc/{pid}/ns/pid") == space]
        return _family(listener)

    def commands(self, index: int) -> list[str]:
        """Return what runs on a node besides sshd, as command lines."""
        found = []
        for pid in self.pids(index):
            line = _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
            if line and not _name(pid).startswith("sshd"):
                found.append(line)
        return found

    def log(self, index: int) -> str:
        """Return what the sshd of a node has logged."""
        path = self.nodes[index].directory / "sshd.log"
        return path.read_text() if path.exists() else ""

    def down(self) -> None:
        """End all nodes."""
        for index in range(len(self.nodes)):
            self.kill(index)

    def _listener(self, index: int) -> int | None:
        process = self.nodes[index].process
        if process is None or process.poll() is not None:
            return None
        if not self.namespaces:
            return process.pid
        children = _read(f"/proc/{process.pid}/task/{process.pid}/children").split()
        return int(children[0]) if children else None

    def _prepare(self) -> None:
        self.namespaces = can_unshare()
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd of root does not start without
        self.directory.mkdir(parents=True)
        self.authorized_keys.write_text(write_key(self.user_key) + "\n")
        known = []
        config = []
        for node in self.nodes:
            node.home.mkdir(parents=True)
            known.append(f"[{node.address}]:{self.port} {write_key(node.key)}\n")
            config.append(f"Host {node.name}\n  HostName {node.address}\n")
        self.known_hosts.write_text("".join(known))
        self.ssh_config.write_text(
            "".join(config) + f"Host *\n  User {self.user}\n  Port {self.port}\n"
            f"  IdentityFile {self.user_key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )

    def _write_sshd_config(self, node: Node) -> None:
        lines = [
            *node.extra,
            *self._options,
            f"ListenAddress {node.address}:{self.port}",
            f"HostKey {node.key}",
            f"AuthorizedKeysFile {self.authorized_keys}",
            f"PidFile {node.directory}/sshd.pid",
            f"SetEnv HOME={node.home} PATH={PATH}",
            "StrictModes no",
            "UsePAM no",
            "UseDNS no",
            "PrintMotd no",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "MaxStartups 500:30:1000",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
        ]
        (node.directory / "sshd_config").write_text("\n".join(lines) + "\n")


def write_key(path: Path) -> str:
    """Write a new ed25519 key to PATH and PATH.pub; return the public half as known_hosts has it."""
    key = Ed25519PrivateKey.generate()
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    path.with_name(f"{path.name}.pub").write_text(f"{public} {path.name}\n")
    return public


def _free_addresses(count: int) -> tuple[int, list[str]]:
    """Return a port and addresses of the loopback network that nobody uses together."""
    for _ in range(100):
        port = random.randrange(20000, 32000)
        second, third = random.randrange(64, 254), random.randrange(0, 200)
        addresses = [f"127.{second}.{third + index // 250}.{index % 250 + 1}" for index in range(count)]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((addresses[0], port))
            return port, addresses
    raise RuntimeError("no free port on the loopback network")


def _greets(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        found.extend(int(child) for child in _read(f"/proc/{parent}/task/{parent}/children").split())
    return found


def _name(pid: int) -> str:
    return _read(f"/proc/{pid}/comm").strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
