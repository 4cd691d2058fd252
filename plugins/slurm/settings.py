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
