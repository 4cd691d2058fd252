"""This machine as a cluster of one: always here, asks nobody."""

from __future__ import annotations

import os
import platform
import socket
from typing import Any

from console.model import Cluster, ClusterKind, Node, NodeState, Records
from console.plugin import API_VERSION, Check, Detection, Settings, Site
from console.text import clean
from plugins.local.doctor import look

INVENTORY_PERIOD_S = 60.0


class LocalSettings(Settings):
    """This machine has nothing to set."""


def host_name() -> str:
    """Return the short name of this machine, clean."""
    return clean(socket.gethostname().split(".")[0], limit=64) or "localhost"


def memory_bytes() -> int | None:
    """Return the memory of this machine, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


class LocalBackend:
    """One cluster with one node, whose values come from the probe."""

    kind = ClusterKind.LOCAL
    requests_per_minute: float | None = None
    inventory_period_s = INVENTORY_PERIOD_S

    def __init__(self, site: Site) -> None:
        self.cluster = site.cluster or host_name()
        self._site = site

    async def inventory(self) -> Records:
        """Return this machine, up because it answers."""
        memory = memory_bytes()
        node = Node(
            name=host_name(),
            cluster=self.cluster,
            state=NodeState.UP,
            cpus=os.cpu_count(),
            memory_total_bytes=memory,
            address="local",
            missing={} if memory else {"memory_total_bytes": "not reported by this system"},
        )
        cluster = Cluster(name=self.cluster, kind=self.kind, version=clean(platform.release()))
        return Records(cluster=cluster, nodes=(node,), complete=("nodes",), requests=0, detail="this machine")

    async def doctor(self) -> list[Check]:
        """Say what can be read here, and how to mend what cannot."""
        return await look(self._site)

    async def close(self) -> None:
        """Nothing to let go of."""


class LocalPlugin:
    """The plugin `local`."""

    api_version = API_VERSION
    name = "local"
    summary = "This machine, read by a probe of its own."
    settings_type: type[Settings] = LocalSettings

    async def detect(self, site: Site) -> list[Detection]:
        """Return this machine: it is always here."""
        name = host_name()
        return [Detection(cluster=name, evidence=f"this machine, {name}")]

    def open(self, settings: Any, site: Site) -> LocalBackend:
        """Return the backend of this machine."""
        return LocalBackend(site)
