"""Machines that are listed by hand: their names here, their values from the probe over SSH."""

from __future__ import annotations

import asyncio
from typing import Any

from console.errors import ConfigError, Denied, SourceError, UsageError
from console.model import Cluster, ClusterKind, Node, NodeState, Records
from console.plugin import API_VERSION, Check, CheckState, Detection, Settings, Site
from plugins.hosts.commands import ASK_TIMEOUT_S, ask
from plugins.hosts.parse import Facts, parse_facts

INVENTORY_PERIOD_S = 600.0
"""The list changes only with the configuration."""
DEFAULT_NAME = "ssh"
_AT_ONCE = 32


class HostsSettings(Settings):
    """Machines reached over SSH, as `ssh NAME` reaches them."""

    hosts: str | list[str]
    """Nodesets: `gpu[01-16],login1`, `@group`, `alice@gpu17`."""


class HostsBackend:
    """One cluster of machines that nobody schedules."""

    kind = ClusterKind.SSH
    requests_per_minute: float | None = None
    inventory_period_s = INVENTORY_PERIOD_S

    def __init__(self, hosts: dict[str, str], site: Site) -> None:
        """`hosts` maps node names to what ssh takes."""
        self.cluster = site.cluster or DEFAULT_NAME
        self._hosts = hosts
        self._site = site

    async def inventory(self) -> Records:
        """Return the machines as they are listed; whether they are up is for the probe to say."""
        nodes = tuple(
            Node(name=name, cluster=self.cluster, state=NodeState.UNKNOWN, address=f"ssh:{target}")
            for name, target in self._hosts.items()
        )
        cluster = Cluster(name=self.cluster, kind=self.kind)
        detail = "one host listed" if len(nodes) == 1 else f"{len(nodes)} hosts listed"
        return Records(cluster=cluster, nodes=nodes, complete=("nodes",), requests=0, detail=detail)

    async def doctor(self) -> list[Check]:
        """Connect to every host and say how it went, in the order of the list."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def look(name: str, target: str) -> Check:
            async with room:
                return await self._look(name, target)

        return list(await asyncio.gather(*(look(name, target) for name, target in self._hosts.items())))

    async def close(self) -> None:
        """Nothing to let go of: connections belong to the core."""

    async def _look(self, name: str, target: str) -> Check:
        try:
            transport = self._site.transport(f"ssh:{target}")
            done = await transport.run(ask(), timeout_s=ASK_TIMEOUT_S)
            return describe(name, parse_facts(done.stdout))
        except UsageError as error:
            return Check(name, CheckState.FAILED, str(error), "correct the name in the list of hosts")
        except SourceError as error:
            state = CheckState.DENIED if isinstance(error, Denied) else CheckState.FAILED
            return Check(name, state, error.what, error.hint or f"try: ssh {target}")


def describe(name: str, facts: Facts) -> Check:
    """Return the doctor's line of a host that answered."""
    words = [f"login as {facts.user or 'an unknown user'}"]
    words.append(f"python {facts.python}" if facts.python else "no python3")
    if facts.driver:
        words.append(f"nvidia driver {facts.driver}")
    elif facts.nvidia_smi:
        words.append("nvidia-smi without a loaded driver")
    detail = ", ".join(words)
    if facts.python_is_usable:
        return Check(name, CheckState.OK, detail)
    rest = "until then nvidia-smi tells of its GPUs and nothing else" if facts.nvidia_smi else "nothing is read there"
    return Check(name, CheckState.WARNING, detail, f"install python3 3.6 or newer there; {rest}")


class HostsPlugin:
    """The plugin `hosts`."""

    api_version = API_VERSION
    name = "hosts"
    summary = "Machines listed by name, reached over SSH."
    settings_type: type[Settings] = HostsSettings

    async def detect(self, _site: Site) -> list[Detection]:
        """Return nothing: nobody wants every host of an ssh configuration to be contacted unasked."""
        return []

    def open(self, settings: Any, site: Site) -> HostsBackend:
        """Return the backend of the listed hosts. UsageError for a bad nodeset, ConfigError for an empty list."""
        listed = [settings.hosts] if isinstance(settings.hosts, str) else settings.hosts
        hosts: dict[str, str] = {}
        for nodeset in listed:
            for target in site.expand(nodeset):
                hosts.setdefault(node_name(target), target)
        if not hosts:
            raise ConfigError("the list of hosts is empty", "hosts", "name at least one: hosts = 'gpu[01-16]'")
        return HostsBackend(hosts, site)


def node_name(target: str) -> str:
    """Return the node's name of what ssh takes: without user and port."""
    host = target.removeprefix("ssh://").rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
