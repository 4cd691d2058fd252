"""Mounted file systems: `/proc/self/mountinfo`, `statvfs` of local ones only, NFS by `/proc/self/mountstats`.

A question to a network file system hangs when its server is gone, so none is ever asked.
"""

import os
import re

from console.probes.node.base import Files, Worker, portable

NETWORK = frozenset(
    "nfs nfs4 cifs smb3 smbfs ceph lustre glusterfs beegfs beegfs_nodev gpfs mmfs wekafs panfs orangefs"
    " pvfs2 afs coda ncpfs 9p virtiofs quobyte juicefs dvs vast".split()
)
LOCAL = frozenset(
    "ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs nilfs2 vfat exfat ntfs3 tmpfs overlay".split()
)
FUSE_FURNITURE = frozenset(
    "fuse.fuse-overlayfs fuse.lxcfs fuse.gvfsd-fuse fuse.portal fuse.snapfuse fuse.squashfuse".split()
)
"""Mounted from user space, but no place for data."""

HOUSEKEEPING = (
    "/run/",
    "/sys/",
    "/proc/",
    "/dev/",
    "/var/lib/kubelet/",
    "/var/lib/docker/",
    "/var/lib/containers/",
)
ASK_EVERY_S = 15.0
MAX_MOUNTS = 256
MAX_THREADS = 32
NOT_ASKED = "not asked: a network file system may hang"
_ESCAPE = re.compile(rb"\\([0-7]{3})")


def unescape(text: str) -> str:
    """Return a path of mountinfo with its octal escapes (`\\040` for a space) undone; any bytes survive."""
    if "\\" not in text:
        return text
    raw = _ESCAPE.sub(lambda found: bytes([int(found.group(1), 8) & 255]), os.fsencode(text))
    return os.fsdecode(raw)


def is_network(kind: str) -> bool:
    """Whether asking a file system of that type may hang on another machine or process."""
    return kind in NETWORK or kind.startswith("fuse")


def parse_mountinfo(text: str) -> "dict[str, dict[str, str]]":
    """Return the mounts that hold data, by path: {"source", "type"}, unescaped.

    Left out: what the kernel and container engines make up, and further paths to a local file system.
    """
    found = {}  # type: dict[str, dict[str, str]]
    first = {}  # type: dict[tuple[str, str], str]
    for line in text.splitlines():
        head, separator, tail = line.partition(" - ")
        fields, rest = head.split(" "), tail.split(" ")
        if not separator or len(fields) < 6 or len(rest) < 2:
            continue
        kind, path = rest[0], unescape(fields[4])
        # What is mounted over a path hides what was there.
        found.pop(path, None)
        if not _holds_data(kind, path, fields[5].split(",")):
            continue
        device = (fields[2], rest[1])
        if not is_network(kind) and first.get(device) in found:
            continue
        first[device] = path
        found[path] = {"source": unescape(rest[1]), "type": kind}
    return found


def _holds_data(kind: str, path: str, options: "list[str]") -> bool:
    if is_network(kind):
        return kind != "fusectl" and kind not in FUSE_FURNITURE
    if kind not in LOCAL:
        return False
    if kind == "overlay":
        return path == "/"
    if kind == "tmpfs":
        return path == "/dev/shm" or ("rw" in options and path != "/run" and not path.startswith(HOUSEKEEPING))
    return not path.startswith(HOUSEKEEPING)


def signed(text: str) -> int:
    """Return a 64-bit counter that may have been counted below zero."""
    value = int(text)
    return value - (1 << 64) if value >= 1 << 63 else value


class NfsMount:
    """Sums of one NFS mount of mountstats, since it was mounted."""

    def __init__(self) -> None:
        self.sums = dict.fromkeys(
            (
                "requests",
                "transmissions",
                "rtt_ms",
                "read_bytes",
                "write_bytes",
                "sent",
                "received",
                "connects",
            ),
            0,
        )

    def transport(self, fields: "list[str]") -> None:
        """Add one `xprt:` line; there are several with nconnect."""
        # udp has no connection and therefore three columns less.
        columns = (None, 2, 3) if fields[0] == "udp" else (2, 5, 6)
        values = [0 if column is None else signed(fields[1:][column]) for column in columns]
        for name, value in zip(("connects", "sent", "received"), values):  # noqa: B905 - not in Python 3.6
            self.sums[name] += value

    def operation(self, fields: "list[str]") -> None:
        """Add one line of the per-operation statistics: requests, transmissions, …, queue, rtt, execute."""
        if fields[0] != "0":
            self.sums["requests"] += signed(fields[0])
            self.sums["transmissions"] += signed(fields[1])
            self.sums["rtt_ms"] += signed(fields[6])

    def transferred(self, fields: "list[str]") -> None:
        """Take the `bytes:` line: what went to and came from the server, without what the cache answered."""
        self.sums["read_bytes"], self.sums["write_bytes"] = signed(fields[4]), signed(fields[5])


def parse_mountstats(text: str) -> "dict[str, dict[str, int]]":
    """Return the sums of each NFS mount by path. Lines that cannot be read are passed over."""
    found = {}  # type: dict[str, NfsMount]
    mount = None
    in_operations = False
    for line in text.splitlines():
        fields = line.split()
        if not fields:
            continue
        if fields[0] in ("device", "no"):
            mount, in_operations = None, False
            if fields[0] == "device" and len(fields) >= 8 and fields[7] in ("nfs", "nfs4"):
                mount = found[unescape(fields[4])] = NfsMount()
            continue
        if mount is None:
            continue
        try:
            if in_operations:
                mount.operation(fields[1:])
            elif fields[0] == "xprt:":
                mount.transport(fields[1:])
            elif fields[0] == "bytes:":
                mount.transferred(fields[1:])
            elif fields[0] == "per-op":
                in_operations = True
        except (ValueError, IndexError):
            continue
    return {path: mount.sums for path, mount in found.items()}


class Mounts:
    """Reads mounts; each local one is asked in a thread of its own, every `ASK_EVERY_S`."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.listed = {}  # type: dict[str, dict[str, str]]
        self._workers = {}  # type: dict[str, Worker]

    def ask(self, now: float) -> "list[Worker]":
        """Start asking the local file systems that are due and return those that were started."""
        mounts = parse_mountinfo(self._files.text("/proc/self/mountinfo"))
        self.listed = dict(list(mounts.items())[:MAX_MOUNTS])
        local = [path for path, mount in self.listed.items() if not is_network(mount["type"])][:MAX_THREADS]
        for path in list(self._workers):
            # A thread that hangs stays known, so that the same path never gets a second one.
            if path not in local and self._workers[path].busy_since is None:
                self._workers.pop(path).end()
        started = []
        for path in local:
            if path not in self._workers:
                self._workers[path] = Worker("statvfs", self._asker(path))
            if self._workers[path].ask(now, ASK_EVERY_S):
                started.append(self._workers[path])
        return started

    def _asker(self, path: str) -> "Callable[[], tuple[int, int]]":
        def ask() -> "tuple[int, int]":
            state = os.statvfs(self._files.path(path))
            return state.f_blocks * state.f_frsize, state.f_bavail * state.f_frsize

        return ask

    def read(self, now: float, patience_s: float) -> "dict[str, dict[str, object]]":
        """Return the mounts by path; a local one silent longer than `patience_s` is hung. Raises OSError."""
        nfs = {}  # type: dict[str, dict[str, int]]
        if any(mount["type"].startswith("nfs") for mount in self.listed.values()):
            nfs = parse_mountstats(self._files.text("/proc/self/mountstats"))
        found = {}
        for path, mount in self.listed.items():
            values = {"source": portable(mount["source"]), "type": mount["type"], "state": "unchecked"}
            values.update(
                self._network(nfs.get(path)) if is_network(mount["type"]) else self._local(path, now, patience_s)
            )
            found[portable(path)] = values
        return found  # type: ignore[return-value]

    def _network(self, sums: "dict[str, int] | None") -> "dict[str, Any]":
        values = {"network": True, "missing": {"total_bytes": NOT_ASKED, "free_bytes": NOT_ASKED}}  # type: dict[str, Any]
        if sums is not None:
            values.update(sums, state="ok")
        return values

    def _local(self, path: str, now: float, patience_s: float) -> "dict[str, Any]":
        worker = self._workers.get(path)
        if worker is None:
            return {"missing": {"total_bytes": "not asked: too many mounts"}}
        silent = worker.silent_for(now)
        if silent > patience_s:
            reason = "no answer for longer than %d s" % patience_s
            return {"state": "hung", "missing": {"total_bytes": reason, "free_bytes": reason}}
        if worker.error is not None:
            return {"missing": {"total_bytes": worker.error, "free_bytes": worker.error}}
        if worker.value is None:
            return {"missing": {"total_bytes": "not answered yet", "free_bytes": "not answered yet"}}
        return {"state": "ok", "total_bytes": worker.value[0], "free_bytes": worker.value[1]}


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
