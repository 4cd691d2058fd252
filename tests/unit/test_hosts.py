"""The plugin `hosts`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from console.errors import BadAnswer, ConfigError, HostKeyUnknown, SourceError, Unreachable, UsageError
from console.nodeset import expand
from console.plugin import CheckState
from console.transport.base import Channel, Completed, Transport
from plugins.hosts import plugin
from plugins.hosts.backend import HostsBackend, HostsSettings, describe, node_name
from plugins.hosts.parse import Facts, parse_facts

ANSWER = (
    b"user alice\npython 3.9.2\n"
    b"nvidia NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build\nsmi /usr/bin/nvidia-smi\n"
)


class Machine:
    """A transport that answers, or fails, as it is told."""

    def __init__(self, name: str, answer: bytes | SourceError) -> None:
        self.name = name
        self._answer = answer

    async def run(
        self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"", env: Mapping[str, str] | None = None,
        limit_bytes: int = 256 << 20,
    ) -> Completed:  # fmt: skip
        await asyncio.sleep(0)
        if isinstance(self._answer, SourceError):
            raise self._answer
        return Completed(0, self._answer, b"", 0.1)

    async def open(self, argv: Sequence[str]) -> Channel:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


class FakeSite:
    """A site with machines by name."""

    def __init__(self, machines: dict[str, bytes | SourceError], cluster: str = "lab") -> None:
        self.environ: Mapping[str, str] = {}
        self.cluster = cluster
        self._machines = machines

    def which(self, program: str) -> str | None:
        return None

    def transport(self, via: str | None = None) -> Transport:
        name = (via or "").removeprefix("ssh:")
        if name not in self._machines:
            raise UsageError("not the name of a host", name)
        return Machine(name, self._machines[name])

    def expand(self, nodeset: str) -> list[str]:
        return expand(nodeset)

    def now(self) -> float:
        return 0.0


def opened(hosts: str | list[str], machines: dict[str, bytes | SourceError] | None = None) -> HostsBackend:
    return plugin.open(HostsSettings(hosts=hosts), FakeSite(machines or {}))


async def test_lists_every_host_once_with_its_address() -> None:
    backend = opened(["n[1-2],alice@n3", "n2,n3"])
    records = await backend.inventory()
    assert [(node.name, node.address, node.state) for node in sorted(records.nodes, key=lambda node: node.name)] == [
        ("n1", "ssh:n1", "unknown"), ("n2", "ssh:n2", "unknown"), ("n3", "ssh:alice@n3", "unknown"),
    ]  # fmt: skip
    assert records.complete == ("nodes",)
    assert records.requests == 0
    assert {node.cluster for node in records.nodes} == {"lab"}


async def test_is_never_there_unasked() -> None:
    assert await plugin.detect(FakeSite({})) == []
    assert plugin.open(HostsSettings(hosts="a"), FakeSite({}, cluster="")).cluster == "ssh"


def test_refuses_what_names_nobody() -> None:
    with pytest.raises(UsageError):
        opened("n[1")
    with pytest.raises(ConfigError):
        opened([])


async def test_doctor_says_of_each_host_what_works_and_how_to_mend_the_rest() -> None:
    backend = opened(
        "n[1-5]",
        {
            "n1": ANSWER,
            "n2": HostKeyUnknown("the host key is in no known_hosts file", "n2", "ssh-keyscan n2"),
            "n3": Unreachable("connection refused", "n3"),
            "n4": b"user root\npython \n",
        },
    )
    checks = {check.subject: check for check in await backend.doctor()}
    assert list(checks) == ["n1", "n2", "n3", "n4", "n5"]
    assert checks["n1"].state is CheckState.OK
    assert checks["n1"].detail == "login as alice, python 3.9.2, nvidia driver 550.54.15"
    assert (checks["n2"].state, checks["n2"].remedy) == (CheckState.DENIED, "ssh-keyscan n2")
    assert (checks["n3"].state, checks["n3"].remedy) == (CheckState.FAILED, "try: ssh n3")
    assert checks["n4"].state is CheckState.WARNING
    assert "python3 3.6" in checks["n4"].remedy
    assert checks["n5"].state is CheckState.FAILED


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts("a", "3.6.0"), CheckState.OK),
        (Facts("a", "3.13.1"), CheckState.OK),
        (Facts("a", "3.5.9"), CheckState.WARNING),
        (Facts("a", "2.7.18"), CheckState.WARNING),
        (Facts("a", None, None, "/usr/bin/nvidia-smi"), CheckState.WARNING),
    ],
)
def test_old_or_no_python_is_a_warning(facts: Facts, state: CheckState) -> None:
    assert describe("n1", facts).state is state


def test_answers_are_parsed_strictly_and_cleaned() -> None:
    assert parse_facts(ANSWER) == Facts("alice", "3.9.2", "550.54.15", "/usr/bin/nvidia-smi")
    assert parse_facts(b"user \x1b]0;x\x07eve\npython 3.11\n").user == "eve"
    for odd in (b"", b"\x00\xff", b"Welcome!\n", b"user x\n"):
        with pytest.raises(BadAnswer):
            parse_facts(odd)


def test_names_of_nodes() -> None:
    assert node_name("gpu1") == "gpu1"
    assert node_name("alice@gpu1.dc") == "gpu1.dc"
    assert node_name("ssh://a@gpu1:22") == "gpu1"
    assert node_name("ssh://[::1]:22") == "::1"
    assert node_name("fe80::1") == "fe80::1"
