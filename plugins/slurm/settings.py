"""What a `[[cluster]]` table with `kind = "slurm"` may say."""

from __future__ import annotations

import enum

from console.plugin import Settings


class AddressRule(enum.StrEnum):
    """By which of its names our own probe reaches a node."""

    HOSTNAME = "hostname"
    """NodeHostName: what the node calls itself; the same as NodeName almost everywhere."""
    NAME = "name"
    """NodeName: what Slurm calls it."""
    ADDR = "addr"
    """NodeAddr: the name or address that slurmctld uses."""
    NONE = "none"
    """Not at all: no probe for the nodes of this cluster."""


class WayName(enum.StrEnum):
    """How nodes, partitions, reservations and jobs are read."""

    AUTO = "auto"
    """By the commands where they are; else by slurmrestd where `rest` names one, else by pyslurm where it is named."""
    COMMANDS = "commands"
    """squeue, scontrol and sdiag: the cheapest, and the same on every release."""
    REST = "rest"
    PYSLURM = "pyslurm"


class SlurmSettings(Settings):
    """Settings of one Slurm cluster; everything has a default that works on a login node."""

    via: str | None = None
    """Where the commands run: `ssh://login1`, or None for this host."""
    slurm_conf: str | None = None
    """Path of slurm.conf where the commands run, for SLURM_CONF; None: as the commands find it."""
    bin: str | None = None
    """Directory of squeue, scontrol and sdiag where they run; None: on PATH."""
    requests_per_minute: float | None = 24.0
    """Budget of requests to slurmctld, for everything together. A fifth of two `watch -n2`."""
    timeout_s: float = 20.0
    """How long slurmctld may take for one answer while it answers a ping."""
    address: AddressRule = AddressRule.HOSTNAME
    gres: tuple[str, ...] = ("gpu",)
    """Names of the generic resources that are accelerators."""
    way: WayName = WayName.AUTO
    """How records are read; the one that is named here is never replaced by another."""
    rest: str | None = None
    """slurmrestd: `unix:/run/slurmrestd/slurmrestd.socket`, `http://slurm1:6820`; None: there is none."""
    rest_token: str | None = None
    """Where its token lies: `env:SLURM_JWT`, `file:/run/user/1000/slurm.jwt`, or `scontrol`: asked of `scontrol token`.

    None: SLURM_JWT where that is set, else none.
    """
    rest_ca_file: str | None = None
    """PEM file of the authority that signed its certificate; None: those that this host trusts."""
    pyslurm: str | None = None
    """The Python that has pyslurm, for a child process; None: with `way = "pyslurm"` the one that runs this program."""
