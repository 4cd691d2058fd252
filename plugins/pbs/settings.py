"""What a `[[cluster]]` table with `kind = "pbs"` may say."""

from __future__ import annotations

import enum

from console.plugin import Settings


class AddressRule(enum.StrEnum):
    """By which of its names our own probe reaches a host."""

    MOM = "mom"
    """The host name under which pbs_server talks to pbs_mom."""
    NAME = "name"
    """The name of the host as PBS lists it."""
    NONE = "none"
    """Not at all: no probe for the hosts of this cluster."""


class PbsSettings(Settings):
    """Settings of one PBS cluster; everything has a default that works on a login node."""

    via: str | None = None
    """Where the commands run: `ssh://login1`, or None for this host."""
    pbs_conf: str | None = None
    """Path of pbs.conf where the commands run, for PBS_CONF_FILE; None: as the commands find it."""
    server: str | None = None
    """Host of pbs_server, for PBS_SERVER; None: what pbs.conf says."""
    bin: str | None = None
    """Directory of qstat, pbsnodes and pbs_rstat where they run; None: on PATH."""
    requests_per_minute: float | None = 24.0
    """Budget of requests to pbs_server, for everything together."""
    timeout_s: float = 12.0
    """How long pbs_server may take for one listing."""
    address: AddressRule = AddressRule.MOM
    gpus: tuple[str, ...] = ("ngpus",)
    """Names of the resources that count accelerators."""
    mom_home: str = "/var/spool/pbs"
    """PBS_HOME on the execution hosts: where the output of running jobs is spooled."""
