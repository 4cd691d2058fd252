"""One suite over every plugin of this repository: what the contract promises to the core."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from console.errors import SourceError
from console.model import Attention, Batch, ClusterKind, Records, SourceState, SourceStatus, decode_batch, encode_batch
from console.plugin import API_VERSION, CheckState, Inventory, Plugin, Queue, Settings, Telemetry
from console.registry import Registry
from console.transport.base import Transport
from console.transport.pool import TransportPool

BUILT_IN = ("hosts", "kubernetes", "local", "simulated", "slurm")
MINIMAL: dict[str, dict[str, Any]] = {
    "hosts": {"hosts": "localhost"},
    "kubernetes": {},
    "local": {},
    "simulated": {"nodes": 8, "seed": 1},
    "slurm": {},
}


class BareSite:
    """A site on this host with an empty environment: what a plugin may rely on and nothing more."""

    def __init__(self, pool: TransportPool, cluster: str = "") -> None:
        self.environ: Mapping[str, str] = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"}
        self.cluster = cluster
        self._pool = pool

    def which(self, program: str) -> str | None:
        return None

    def transport(self, via: str | None = None) -> Transport:
        return self._pool.get(via) if via else self._pool.local()

    def expand(self, nodeset: str) -> list[str]:
        return [nodeset]

    def now(self) -> float:
        return time.time()


@pytest.fixture(params=BUILT_IN)
def plugin(request: pytest.FixtureRequest) -> Plugin:
    return Registry().load(request.param)


@pytest.fixture
async def pool() -> Any:
    pool = TransportPool()
    yield pool
    await pool.close()


def strings(value: Any) -> list[str]:
    """Return every string inside plain builtins."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in strings(part)]
    if isinstance(value, list | tuple):
        return [text for part in value for text in strings(part)]
    return []


def test_registry_lists_exactly_the_built_in_plugins() -> None:
    assert set(BUILT_IN) <= set(Registry().names())


def test_plugin_says_what_it_is(plugin: Plugin) -> None:
    assert plugin.api_version == API_VERSION
    assert plugin.name in BUILT_IN
    assert plugin.summary
    assert plugin.summary == plugin.summary.strip()
    assert issubclass(plugin.settings_type, Settings)


def test_settings_refuse_an_unknown_key(plugin: Plugin) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**MINIMAL[plugin.name], "no_such_key": 1}, plugin.settings_type)


async def test_detect_is_quick_and_finds_only_what_can_be_opened(plugin: Plugin, pool: TransportPool) -> None:
    site = BareSite(pool)
    found = await asyncio.wait_for(plugin.detect(site), timeout=5)
    for detection in found:
        assert detection.cluster
        assert detection.evidence
        settings = msgspec.convert(detection.settings, plugin.settings_type)
        await plugin.open(settings, site).close()
    if plugin.name in ("hosts", "kubernetes", "simulated", "slurm"):
        assert found == [], "nothing of it is here, so nothing may be found"


async def test_capabilities_answer_with_plain_records_or_a_source_error(plugin: Plugin, pool: TransportPool) -> None:
    site = BareSite(pool, cluster="contract")
    backend = plugin.open(msgspec.convert(MINIMAL[plugin.name], plugin.settings_type), site)
    try:
        assert backend.cluster == "contract"
        assert isinstance(backend.kind, ClusterKind)
        answers: list[Records] = []
        errors: list[SourceError] = []
        asked = 0
        for capability, method in ((Inventory, "inventory"), (Queue, "jobs"), (Telemetry, "telemetry")):
            if not isinstance(backend, capability):
                continue
            asked += 1
            arguments = (Attention(),) if method == "telemetry" else ()
            try:
                answers.append(await asyncio.wait_for(getattr(backend, method)(*arguments), timeout=30))
            except SourceError as error:
                errors.append(error)
        assert asked, "a backend without any capability is of no use"
        assert all(error.what and error.state is not SourceState.OK for error in errors)
        for records in answers:
            batch = Batch(status=SourceStatus(name="x", kind=str(backend.kind), cluster="contract"), records=records)
            assert decode_batch(encode_batch(batch)) == batch
            assert records.requests >= 0
            for text in strings(msgspec.to_builtins(records)):
                assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text), ascii(text)
            listed: list[Any] = [*records.nodes, *records.jobs, *records.queues, *records.reservations]
            for record in listed:
                assert record.cluster == "contract"
                assert record.name is not None
    finally:
        await asyncio.wait_for(backend.close(), timeout=5)


async def test_doctor_never_raises_and_says_what_to_do(plugin: Plugin, pool: TransportPool) -> None:
    site = BareSite(pool, cluster="contract")
    backend = plugin.open(msgspec.convert(MINIMAL[plugin.name], plugin.settings_type), site)
    try:
        checks = await asyncio.wait_for(backend.doctor(), timeout=60)
    finally:
        await backend.close()
    assert checks
    for check in checks:
        assert check.subject
        if check.state in (CheckState.FAILED, CheckState.DENIED):
            assert check.detail
            assert check.remedy, f"{check.subject}: {check.detail}: no word on how to mend it"
