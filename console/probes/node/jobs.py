"""Whose a process is: user, command, and the job or pod that it belongs to."""

import os
import re

from console.probes.node.base import Files, portable

COMMAND_LENGTH = 120
_SLURM = re.compile(r"slurm.*/job_(\d+)(?:/|$)")
_PBS = re.compile(r"pbs[^/]*/(?:.*/)?jobid/([^/]+)")
_POD = re.compile(r"kubepods.*?pod([0-9a-fA-F]{8}[-_][0-9a-fA-F_-]{27}|[0-9a-f]{32})")
_VARIABLES = (b"SLURM_JOB_ID=", b"SLURM_JOBID=", b"PBS_JOBID=")


def parse_cgroup(text: str) -> "str | None":
    """Return the job or `pod/UID` that /proc/PID/cgroup names; None for a process of no job."""
    for line in text.splitlines():
        path = line.split(":", 2)[-1]
        slurm = _SLURM.search(path)
        if slurm:
            return slurm.group(1)
        pod = _POD.search(path)
        if pod:
            return "pod/" + pod.group(1).replace("_", "-")
        pbs = _PBS.search(path)
        if pbs:
            # systemd writes a dash in a name as \x2d.
            return portable(pbs.group(1).replace("\\x2d", "-"))
    return None


def parse_environ(raw: bytes) -> "str | None":
    """Return the job that /proc/PID/environ names."""
    for entry in raw.split(b"\0"):
        for variable in _VARIABLES:
            if entry.startswith(variable) and len(entry) > len(variable):
                return entry[len(variable) :].decode("utf-8", "replace")
    return None


class Jobs:
    """Describes processes and remembers those that still run."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known = {}  # type: dict[int, tuple[str, dict[str, str]]]

    def describe(self, pids: "set[int]") -> "dict[int, dict[str, str]]":
        """Return {"user", "command", "job"} of each process, each where it is known."""
        known = {}
        for pid in pids:
            started = self._started(pid)
            if started is None:
                continue
            old = self._known.get(pid)
            # A number is used again for another process; its start time is not.
            known[pid] = old if old is not None and old[0] == started else (started, self._read(pid))
        self._known = known
        return {pid: found for pid, (_, found) in known.items()}

    def _started(self, pid: int) -> "str | None":
        try:
            # The name before it, in brackets, may hold spaces and brackets.
            return self._files.text("/proc/%d/stat" % pid).rpartition(")")[2].split()[19]
        except (OSError, IndexError):
            return None

    def _read(self, pid: int) -> "dict[str, str]":
        base = "/proc/%d" % pid
        found = {}
        try:
            uid = os.stat(self._files.path(base)).st_uid
            found["user"] = str(uid)
            import pwd

            found["user"] = portable(pwd.getpwuid(uid).pw_name)
        except (OSError, KeyError, ImportError):
            pass
        for name, separator in (("cmdline", "\0"), ("comm", "\n")):
            try:
                command = self._files.text("%s/%s" % (base, name)).replace(separator, " ").strip()
            except OSError:
                continue
            if command:
                found["command"] = portable(command)[:COMMAND_LENGTH]
                break
        job = self._job(base)
        if job is not None:
            found["job"] = job
        return found

    def _job(self, base: str) -> "str | None":
        try:
            job = parse_cgroup(self._files.text(base + "/cgroup"))
            if job is not None:
                return job
        except OSError:
            pass
        try:
            with open(self._files.path(base + "/environ"), "rb") as file:
                return parse_environ(file.read())
        except OSError:
            # Only its owner and root may read it.
            return None
