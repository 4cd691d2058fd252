"""The command lines that are run, and nothing else: pure, no I/O.

Every command runs under `env`, so that what the user (or the profile of a login node) has set for the eyes of a
person – formats, filters, another cluster, a language – cannot change what is read here, and so that the same words
work on this host and through any remote shell.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from console.errors import ConfigError
from console.text import clean
from plugins.slurm.settings import SlurmSettings

_UNSET = (
    *("SLURM_CLUSTERS", "SLURM_DEBUG_FLAGS", "SLURM_JSON", "SLURM_YAML", "SLURM_TOPO_LEN"),
    *(
        f"SQUEUE_{name}"
        for name in (
            *("ACCOUNT", "ALL", "ARRAY", "EXPAND_PATTERNS", "FEDERATION", "FORMAT", "FORMAT2", "LICENSES", "LOCAL"),
            *("NAMES", "PARTITION", "PRIORITY", "QOS", "SIBLING", "SORT", "STATES", "USERS"),
        )
    ),
    *(f"SCONTROL_{name}" for name in ("ALL", "FEDERATION", "FUTURE", "LOCAL", "SIBLING")),
    *("SACCT_FEDERATION", "SACCT_FORMAT", "SACCT_LOCAL", "SPRIO_FORMAT"),
)
"""SLURM_CONF, SLURM_JWT and SLURM_CONF_SERVER stay: they say which cluster, and who is asking."""

MACHINE_FIELDS = (
    *("JobArrayID", "JobID", "State", "Reason", "UserName", "Account", "Partition", "QOS", "NumNodes", "NumCPUs"),
    *("NumTasks", "PriorityLong", "SubmitTime", "StartTime", "EndTime", "TimeLimit", "tres-alloc", "tres-per-job"),
    *("tres-per-node", "tres-per-socket", "tres-per-task", "NodeList", "Reservation", "Dependency"),
)
"""Fields of squeue whose text no user can choose freely."""
FREE_FIELDS = ("WorkDir", "Comment", "Name")
"""Fields that hold whatever a user wrote, newlines and separators included."""
DETAIL_FIELDS = (
    *("STDOUT", "STDERR", "BatchFlag", "BatchHost", "ArrayJobID", "ArrayTaskID", "HetJobID", "HetJobOffset"),
    *("RestartCnt", "EligibleTime", "PreemptTime", "LastSchedEval", "exit_code", "SchedNodes", "ReqNodes", "Feature"),
    *("OverSubscribe", "Licenses", "UserID"),
)
"""What is asked of one job beyond what every listing holds."""
HISTORY_FIELDS = (
    *("JobID", "JobIDRaw", "State", "ExitCode", "Reason", "User", "Account", "Partition", "QOS", "NNodes", "NCPUS"),
    *("Priority", "Submit", "Eligible", "Start", "End", "TimelimitRaw", "AllocTRES", "ReqTRES", "NodeList"),
    *("WorkDir", "Comment", "JobName"),
)
OUTPUT_FIELDS = ("StdOut", "StdErr")
"""Fields of sacct since 24.05."""
PRIORITY_FACTORS = (
    *(("age", "%A", "%a"), ("association", "%B", "%b"), ("fair share", "%F", "%f"), ("job size", "%J", "%j")),
    *(("partition", "%P", "%p"), ("QOS", "%Q", "%q"), ("site", "%S", ""), ("nice", "%N", "")),
)
"""Name, its letter for the weighted value, its letter for the value from 0 to 1."""
SHARE_FIELDS = ("Account", "User", "RawShares", "NormShares", "EffectvUsage", "FairShare", "LevelFS")
SEPARATOR = "\x1f"


def new_nonce() -> str:
    """Return a mark that no user can guess. It begins with a letter: squeue takes digits there for a column's width."""
    return f"q{secrets.token_hex(8)}"


QUEUE_COST = 2
"""REQUEST_JOB_INFO and REQUEST_PARTITION_INFO, by sdiag."""
NODES_COST = 2
"""REQUEST_NODE_INFO and REQUEST_PARTITION_INFO."""
PARTITIONS_COST = 1
RESERVATIONS_COST = 1
DIAG_COST = 1
PRIORITY_COST = 1
SHARES_COST = 1
LIMITS_COST = 1
LICENSES_COST = 1
TOKEN_COST = 1
CONFIG_COST = 1
"""REQUEST_BUILD_INFO; and one REQUEST_PING for every controller."""


class Commands:
    """Builds the argument vectors of one cluster."""

    def __init__(self, settings: SlurmSettings, slurm_conf: str | None) -> None:
        """ConfigError when a path cannot be one."""
        for key, path, example in (
            ("slurm_conf", slurm_conf, "/etc/slurm/slurm.conf"),
            ("bin", settings.bin, "/opt/slurm/bin"),
        ):
            if path is not None and (not path.startswith("/") or "\0" in path):
                raise ConfigError(f"{key} must be an absolute path", clean(path), f'for example {key} = "{example}"')
        self._bin = settings.bin
        self.slurm_conf = slurm_conf
        words = ["env"]
        for name in _UNSET:
            words += ("-u", name)
        words += ("LC_ALL=C", "SLURM_TIME_FORMAT=%s", "SLURM_BITSTR_LEN=0")
        if slurm_conf is not None:
            words.append(f"SLURM_CONF={slurm_conf}")
        self._env = tuple(words)

    def program(self, name: str) -> str:
        """Return how this program is called."""
        return f"{self._bin.rstrip('/')}/{name}" if self._bin else name

    def under(self, *argv: str) -> list[str]:
        """Run another program under the same environment."""
        return [*self._env, *argv]

    def _command(self, program: str, *arguments: str) -> list[str]:
        return self.under(self.program(program), *arguments)

    def queue(self, nonce: str, machine_fields: Sequence[str] = MACHINE_FIELDS) -> list[str]:
        """List all jobs: machine fields, each ended by SEPARATOR, then FREE_FIELDS, each ended by the nonce.

        Arrays stay folded as squeue folds them: one row for what waits, one for each task that runs.
        """
        words = [f"{name}:{SEPARATOR}" for name in machine_fields] + [f"{name}:{nonce}" for name in FREE_FIELDS]
        return self._command("squeue", "--noheader", "--all", "--local", "-O", ",".join(words))

    def jobs(self, ids: Sequence[str], nonce: str, fields: Sequence[str]) -> list[str]:
        """Show some jobs, ended ones too while slurmctld knows them; every field ends with the nonce.

        One id is one small request (REQUEST_JOB_INFO_SINGLE); of several slurmctld sends all that it has.
        """
        words = ",".join(f"{name}:{nonce}" for name in fields)
        states = ("--states=all", "--jobs", ",".join(ids))
        return self._command("squeue", "--noheader", "--all", "--local", *states, "-O", words)

    def history(self, job_id: str, nonce: str, fields: Sequence[str]) -> list[str]:
        """Show what accounting keeps of a job, without its steps; every field ends with the nonce. Asks slurmdbd."""
        how = ("--allocations", "--noheader", "--parsable", f"--delimiter={nonce}", "--allusers")
        return self._command("sacct", *how, "--jobs", job_id, "--format", ",".join(fields))

    def ended(self, since: str, states: str, nonce: str, fields: Sequence[str]) -> list[str]:
        """Show what ended since a time (in UTC), with steps; every field ends with the nonce. Asks slurmdbd."""
        how = ("--noheader", "--parsable", f"--delimiter={nonce}", "--allusers", "--units=K")
        words = ("--state", states, "--starttime", since, "--endtime", "now", "--format", ",".join(fields))
        return [*self._env, "TZ=UTC", self.program("sacct"), *how, *words]

    def priority(self, job_id: str) -> list[str]:
        """Show the parts of a waiting job's priority, SEPARATOR between them, TRES at the end."""
        letters = ["%i", "%r", "%Y", *(letter for _, *two in PRIORITY_FACTORS for letter in two if letter), "%T"]
        return self._command("sprio", "--noheader", "--local", "--jobs", job_id, "--format", SEPARATOR.join(letters))

    def shares(self, account: str, user: str) -> list[str]:
        """Show the fair share of an account and one of its users, SHARE_FIELDS, one a line. Asks slurmctld."""
        how = ("--long", "--noheader", "--parsable2", f"--accounts={account}", f"--users={user}")
        return self._command("sshare", *how, "--format", ",".join(SHARE_FIELDS))

    def limits(self, owner: str, name: str) -> list[str]:
        """Show limits and usage of a QOS (`owner` QOS) or of an account and its users (Assoc), as slurmctld counts."""
        names = (f"qos={name}", "flags=qos") if owner == "QOS" else (f"accounts={name}", "flags=assoc")
        return self._command("scontrol", "--local", "--oneliner", "show", "assoc_mgr", *names)

    def licenses(self) -> list[str]:
        """Show all licences, one a line."""
        return self._command("scontrol", "--local", "--oneliner", "show", "licenses")

    def nodes(self, *names: str) -> list[str]:
        """List all nodes, or these (folded), one a line, with the GRES in use."""
        return self._command("scontrol", "--all", "--local", "--details", "--oneliner", "show", "node", *names)

    def partitions(self) -> list[str]:
        """List all partitions, one a line."""
        return self._command("scontrol", "--all", "--local", "--oneliner", "show", "partition")

    def reservations(self) -> list[str]:
        """List all reservations, one a line."""
        return self._command("scontrol", "--all", "--local", "--oneliner", "show", "reservation")

    def config(self) -> list[str]:
        """Show the configuration that slurmctld runs with."""
        return self._command("scontrol", "--local", "show", "config")

    def ping(self) -> list[str]:
        """Ask every controller whether it is there."""
        return self._command("scontrol", "--local", "ping")

    def diag(self) -> list[str]:
        """Show the counters of slurmctld."""
        return self._command("sdiag")

    def token(self, lifespan_s: int) -> list[str]:
        """Ask slurmctld for a token that lets one in at slurmrestd."""
        return self._command("scontrol", "--local", "token", f"lifespan={lifespan_s}")

    def version(self, program: str) -> list[str]:
        """Say which release a client program is of; asks nobody."""
        return self._command(program, "--version")
