"""The contract suite: what the console relies on in every plugin, as tests for pytest.

    from console.testing import PluginContract
    from quarterdeck_nomad import plugin


    class TestNomad(PluginContract):
        plugin = plugin
        settings = {"url": "http://127.0.0.1:9"}

Each test opens the plugin on this host with an empty environment, where a backend of it may well be absent: an answer
or a `SourceError` are both right, anything else is not. It needs pytest alone, and no configuration of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

import msgspec

from console.errors import SourceError
from console.model import (
    Attention,
    Batch,
    ClusterKind,
    Explanation,
    LogStream,
    Records,
    SourceState,
    SourceStatus,
    decode_batch,
    encode_batch,
)
from console.plugin import (
    API_VERSION,
    JOB_ACTIONS,
    NODE_ACTIONS,
    Accounting,
    Adviser,
    Backend,
    CheckState,
    Drainer,
    Explainer,
    Inventory,
    JobControl,
    Logs,
    Plugin,
    Queue,
    Settings,
    Telemetry,
)
from console.transport.base import Transport
from console.transport.pool import TransportPool

T = TypeVar("T")

CLUSTER = "contract"
DETECT_S, ANSWER_S, DOCTOR_S, CLOSE_S = 5.0, 30.0, 60.0, 5.0


class BareSite:
    """This host with nothing in its environment but PATH: what a plugin may rely on, and nothing more."""

    def __init__(self, pool: TransportPool, cluster: str = "") -> None:
        self.environ: Mapping[str, str] = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"}
        self.cluster = cluster
        self._pool = pool

    def which(self, program: str) -> str | None:
        """No program is installed."""
        return None

    def transport(self, via: str | None = None) -> Transport:
        """Return a real transport."""
        return self._pool.get(via) if via else self._pool.local()

    def expand(self, nodeset: str) -> list[str]:
        """Return the nodeset as one name."""
        return [nodeset]

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()


class PluginContract:
    """Tests of one plugin: a subclass whose name begins with `Test` names the plugin and settings that open it."""

    plugin: ClassVar[Plugin]
    settings: ClassVar[Mapping[str, Any]] = {}
    found_anywhere: ClassVar[bool] = False
    """Whether `detect` finds something even on a bare host."""

    def test_it_says_what_it_is(self) -> None:
        """Name, summary, version of the contract, and settings that derive from `Settings`."""
        plugin = self.plugin
        assert plugin.api_version == API_VERSION
        assert plugin.name
        assert plugin.summary
        assert plugin.summary == plugin.summary.strip()
        assert issubclass(plugin.settings_type, Settings)

    def test_settings_refuse_an_unknown_key(self) -> None:
        """A mistake in the configuration is an error, not a default."""
        try:
            msgspec.convert({**self.settings, "no_such_key": 1}, self.plugin.settings_type)
        except msgspec.ValidationError:
            return
        raise AssertionError("settings with the key no_such_key were taken")

    def test_detect_is_quick_and_what_it_finds_can_be_opened(self) -> None:
        """On a bare host nothing is found unless the class says so."""

        async def look(pool: TransportPool) -> None:
            site = BareSite(pool)
            found = await asyncio.wait_for(self.plugin.detect(site), DETECT_S)
            for detection in found:
                assert detection.cluster
                assert detection.evidence
                settings = msgspec.convert(detection.settings, self.plugin.settings_type)
                await self.plugin.open(settings, site).close()
            assert bool(found) is self.found_anywhere

        _run(look)

    def test_capabilities_answer_with_clean_records_or_a_source_error(self) -> None:
        """What they give survives serialisation, bears the cluster's name, and has no control characters."""

        async def ask(backend: Backend) -> None:
            assert backend.cluster == CLUSTER
            assert isinstance(backend.kind, ClusterKind)
            asked = list(_questions(backend))
            assert asked, "a backend without Inventory, Queue and Telemetry shows nothing"
            for question in asked:
                records = await _answer(question)
                if records is not None:
                    check_records(records, backend)

        self._with_backend(ask)

    def test_a_job_that_does_not_exist_is_a_source_error(self) -> None:
        """Explainer and Logs, where the backend has them."""

        async def ask(backend: Backend) -> None:
            if isinstance(backend, Explainer):
                explained = await _answer(lambda: backend.explain("no-such-job"))
                assert explained is None or isinstance(explained, Explanation)
            if isinstance(backend, Logs):
                streams = await _answer(lambda: backend.log_streams("no-such-job"))
                assert all(isinstance(stream, LogStream) for stream in streams or ())

        self._with_backend(ask)

    def test_what_is_not_there_cannot_be_acted_on(self) -> None:
        """Drainer and JobControl, where the backend has them: known actions, and nothing for no such name."""

        async def ask(backend: Backend) -> None:
            if isinstance(backend, Drainer):
                assert backend.node_actions <= NODE_ACTIONS
                assert not await _answer(lambda: backend.look_nodes(["no-such-node"]))
            if isinstance(backend, JobControl):
                assert backend.job_actions <= JOB_ACTIONS
                assert not await _answer(lambda: backend.look_jobs(["no-such-job", "no/such/job"]))
            if isinstance(backend, Adviser):
                assert backend.instead.keys() <= NODE_ACTIONS | JOB_ACTIONS

        self._with_backend(ask)

    def test_doctor_never_raises_and_says_what_to_do(self) -> None:
        """What failed or is denied has a detail and a remedy."""

        async def ask(backend: Backend) -> None:
            checks = await asyncio.wait_for(backend.doctor(), DOCTOR_S)
            assert checks
            for check in checks:
                assert check.subject
                if check.state in (CheckState.FAILED, CheckState.DENIED):
                    assert check.detail
                    assert check.remedy, f"{check.subject}: {check.detail}: no word on how to mend it"

        self._with_backend(ask)

    def _with_backend(self, ask: Callable[[Backend], Awaitable[None]]) -> None:
        async def opened(pool: TransportPool) -> None:
            settings = msgspec.convert(dict(self.settings), self.plugin.settings_type)
            backend = self.plugin.open(settings, BareSite(pool, CLUSTER))
            try:
                await ask(backend)
            finally:
                await asyncio.wait_for(backend.close(), CLOSE_S)

        _run(opened)


def check_records(records: Records, backend: Backend) -> None:
    """Raise AssertionError when an answer breaks the contract."""
    batch = Batch(status=SourceStatus(name="x", kind=str(backend.kind), cluster=CLUSTER), records=records)
    assert decode_batch(encode_batch(batch)) == batch
    assert records.requests >= 0
    for text in _strings(msgspec.to_builtins(records)):
        assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in text), ascii(text)
    assert all(job.state.ended and job.ends_at is not None for job in records.ended_jobs)
    listed: list[Any] = [*records.nodes, *records.jobs, *records.ended_jobs, *records.queues, *records.reservations]
    for record in listed:
        assert record.cluster == CLUSTER


def _questions(backend: Backend) -> Iterator[Callable[[], Awaitable[Records]]]:
    if isinstance(backend, Inventory):
        yield backend.inventory
    if isinstance(backend, Queue):
        yield backend.jobs
    if isinstance(backend, Accounting):
        yield lambda: backend.finished(time.time() - 86_400)
    if isinstance(backend, Telemetry):
        yield lambda: backend.telemetry(Attention())


async def _answer(ask: Callable[[], Awaitable[T]]) -> T | None:
    """Return the answer, None for a SourceError; anything else fails the test."""
    try:
        return await asyncio.wait_for(ask(), ANSWER_S)
    except SourceError as error:
        problem = error
    assert problem.what
    assert problem.state is not SourceState.OK
    return None


def _strings(value: Any) -> Iterator[str]:
    """Yield every string inside of plain builtins."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _run(work: Callable[[TransportPool], Coroutine[Any, Any, None]]) -> None:
    """Run work with connections of its own."""

    async def main() -> None:
        pool = TransportPool()
        try:
            await work(pool)
        finally:
            await pool.close()

    asyncio.run(main())
