"""The session: what is opened, when it has settled, how it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from console.actions.journal import Journal
from console.config import Config
from console.discover import Found, Opening
from console.errors import ConfigError, Denied, Unreachable, UsageError
from console.feed.hub import ProbePace
from console.model import Actor, Attention, ClusterKind, Entry, Plan, Records, SourceState
from console.plugin import API_VERSION, Detection, Settings, Site
from console.session import Outcome, Session, World
from console.ui.live import LiveSession
from tests.unit.feed_fakes import FakeBackend, FakeOpener, ListingBackend
from tests.unit.records import job, node, probe, status, until


class FakePlugin:
    """Opens the backend that it was given."""

    api_version = API_VERSION
    name = "fake"
    summary = "Whatever a test wants."
    settings_type = Settings

    def __init__(self, open_it: Callable[[Site], Any]) -> None:
        self._open = open_it

    async def detect(self, site: Site) -> list[Detection]:
        return []

    def open(self, settings: Any, site: Site) -> Any:
        return self._open(site)


def session(tmp_path: Path, *backends: Any, headless: bool = False, telemetry: str | None = None) -> Session:
    """A session on these backends; one that is an error cannot be opened."""

    def opening(backend: Any) -> Opening:
        def open_it(site: Site) -> Any:
            if isinstance(backend, Exception):
                raise backend
            return backend

        name = getattr(backend, "cluster", "broken")
        return Opening(name, FakePlugin(open_it), Settings(telemetry=telemetry), "a test")

    async def find(site: Site) -> Found:
        return Found([opening(backend) for backend in backends], ["one notice"])

    environ = {"XDG_STATE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    return Session(Config(), headless=headless, environ=environ, find=find, pace=ProbePace(attended_s=0.05))


def hosts(*names: str) -> ListingBackend:
    nodes = tuple(node(name, cluster="hosts", address=f"ssh:{name}") for name in names)
    return ListingBackend(Records(nodes=nodes, complete=("nodes",)), kind=ClusterKind.SSH, cluster="hosts")


def faked(live: Session) -> FakeOpener:
    """Replace the real probes."""
    opener = FakeOpener()
    live._open_probe = opener  # type: ignore[method-assign]
    return opener


async def test_from_backend_to_store_and_closed(tmp_path: Path) -> None:
    backend = hosts("n1")
    live = session(tmp_path, backend)
    contract: LiveSession = live
    opener = faked(live)
    await contract.start()
    await until(lambda: live.store.nodes.get("n1") and live.store.nodes["n1"].sample, "a sample")
    assert live.notices == ["one notice"]
    live.attend(Attention(visible=("n1",)))
    live.set_refresh(3.0)
    await until(lambda: opener.opened[0].periods[-1] == 3.0, "the pace")
    live.pause(True)
    await until(lambda: opener.opened[0].pauses == [True], "paused")
    await live.close()
    assert opener.open == set()
    assert backend.closed == 1
    await live.close()


async def test_closed_while_it_starts(tmp_path: Path) -> None:
    backend = hosts("n1")
    live = session(tmp_path, backend)
    opener = faked(live)
    found = live._find
    assert found is not None
    release = asyncio.Event()

    async def slow(site: Site) -> Found:
        await release.wait()
        return await found(site)

    live._find = slow
    starting = asyncio.ensure_future(live.start())
    await asyncio.sleep(0.02)
    await live.close()
    release.set()
    await starting
    assert backend.closed == 1
    assert backend.asked == 0
    assert opener.tried == []


async def test_this_machine_for_real_and_nothing_left_behind(tmp_path: Path) -> None:
    from console.registry import Registry

    async def find(site: Site) -> Found:
        return Found([Opening("here", Registry().load("local"), Settings(), "a test")])

    environ = {"XDG_STATE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    live = Session(Config(), headless=True, environ=environ, find=find)
    before = set(psutil.Process().children(recursive=True))
    await live.start()
    await live.settle(20)
    (view,) = live.store.nodes.values()
    assert view.sample is not None
    assert view.sample.host is not None
    assert view.sample.host.cpu_percent is not None, "rates are there: it waited for two samples"
    assert view.state.value in ("up", "busy")
    assert live.outcome() == Outcome(1, ())
    started = time.monotonic()
    await live.close()
    assert time.monotonic() - started < 2.0
    left = [child for child in set(psutil.Process().children(recursive=True)) - before if child.is_running()]
    assert left == []


async def test_settle_waits_for_the_probes_of_what_the_inventory_listed(tmp_path: Path) -> None:
    live = session(tmp_path, hosts("n1", "n2", "n3"), headless=True)
    opener = faked(live)
    opener.errors["n2"] = Unreachable("no route to host", "n2")
    opener.errors["n3"] = Denied("permission denied", "n3")
    await live.start()
    await live.settle(20)
    outcome = live.outcome()
    await live.close()
    assert outcome.live == 1
    assert {failed.node for failed in outcome.failed} == {"n2", "n3"}
    assert outcome.exit_code == 1
    assert opener.tried.count("n1") == 1


async def test_settle_ends_in_time_whatever_hangs(tmp_path: Path) -> None:
    live = session(tmp_path, hosts("n1"), headless=True)
    faked(live).slow.add("n1")
    await live.start()
    started = time.monotonic()
    await live.settle(0.3)
    assert 0.25 < time.monotonic() - started < 5
    outcome = live.outcome()
    started = time.monotonic()
    await live.close()
    assert time.monotonic() - started < 2.5
    assert outcome.failed[0].state is SourceState.CONNECTING
    assert outcome.exit_code == 3


async def test_visible_nodes_are_asked_without_a_screen_only_when_they_are_few(tmp_path: Path) -> None:
    few = session(tmp_path, hosts("n1", "n2"), headless=True, telemetry="visible")
    opener = faked(few)
    await few.start()
    await few.settle(20)
    assert set(opener.tried) == {"n1", "n2"}
    await few.close()
    many = session(tmp_path, hosts(*(f"n{number}" for number in range(65))), headless=True, telemetry="visible")
    opener = faked(many)
    await many.start()
    await many.settle(20)
    assert opener.tried == []
    assert len(many.store.nodes) == 65
    await many.close()


async def test_a_backend_that_cannot_be_opened_is_one_notice(tmp_path: Path) -> None:
    live = session(tmp_path, ConfigError("no such file", "x.toml"), hosts("n1"))
    faked(live)
    await live.start()
    assert live.notices == ["one notice", "broken: no such file: x.toml"]
    await until(lambda: "n1" in live.store.nodes, "the other one")
    await live.close()
    alone = session(tmp_path, ConfigError("no such file", "x.toml"))
    with pytest.raises(ConfigError):
        await alone.start()
    await alone.close()


async def test_a_fault_of_a_plugin_is_one_crash_file_and_one_notice(tmp_path: Path) -> None:
    backend = ListingBackend(ZeroDivisionError("oh"), cluster="odd")
    live = session(tmp_path, backend)
    await live.start()
    await until(lambda: backend.asked >= 2, "two tries")
    await until(lambda: len(live.notices) == 2, "a notice")
    await live.close()
    crashes = list((tmp_path / "quarterdeck" / "crash").iterdir())
    assert len(crashes) == 1
    assert str(crashes[0]) in live.notices[1]
    assert "ZeroDivisionError" in live.notices[1]
    assert "\n" not in live.notices[1]


async def test_a_fault_of_the_feed_itself_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> None:
        raise LookupError("ours")

    monkeypatch.setattr("console.feed.hub.TICK_S", 0.01)
    monkeypatch.setattr("console.feed.hub.Hub._tick", broken)
    live = session(tmp_path, hosts("n1"))
    faked(live)
    await live.start()
    await until(lambda: any("LookupError in the feed" in notice for notice in live.notices), "a notice")
    await live.settle(5)
    await live.close()


async def test_the_journal_is_watched_and_what_is_unfinished_is_said_once(tmp_path: Path) -> None:
    live = session(tmp_path, hosts("n1"))
    faked(live)
    journal = Journal(tmp_path / "quarterdeck" / "journal")
    plan = Plan(id="0101-000000-aaaa", action="drain", made_at=1.0, orders=())
    gone = Actor(user="me", uid=1, host=os.uname().nodename, pid=2**22 + 1)
    journal.append(Entry(kind="start", attempt=plan.id, seq=1, at=time.time(), by=gone, plan=plan))
    await live.start()
    try:
        await until(lambda: plan.id in live.store.attempts, "the attempt")
        await until(lambda: any("unfinished: drain" in notice for notice in live.notices), "the notice")
        journal.append(Entry(kind="end", attempt=plan.id, seq=2, at=time.time(), ended="done"))
        await until(lambda: live.store.attempts[plan.id].ended == "done", "the end")
        assert sum("unfinished" in notice for notice in live.notices) == 1
    finally:
        await live.close()


async def test_close_takes_two_seconds_at_most(tmp_path: Path) -> None:
    async def never() -> None:
        await asyncio.sleep(3600)

    async def broken() -> None:
        raise RuntimeError("cannot even close")

    first = FakeBackend(cluster="a", close=never)
    second = FakeBackend(cluster="b", close=broken)
    live = session(tmp_path, first, second)
    await live.start()
    started = time.monotonic()
    await live.close()
    assert time.monotonic() - started < 2.0
    assert (first.closed, second.closed) == (1, 1)
    assert any("RuntimeError" in notice for notice in live.notices)


async def test_big_answers_come_in_slices_and_in_their_order(tmp_path: Path) -> None:
    class Queue(FakeBackend):
        jobs_period_s = 0.02
        asked = 0

        async def jobs(self) -> Records:
            self.asked += 1
            if self.asked == 1:
                return Records(jobs=tuple(job(str(number)) for number in range(30_000)), complete=("jobs",))
            return Records(jobs=(job("0", priority=self.asked),), gone_jobs=("1",))

    backend = Queue()
    live = session(tmp_path, backend)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    await live.start()
    counter = asyncio.ensure_future(count())
    await until(lambda: len(live.store.jobs) >= 1024, "the first slice")
    begun = turns
    await until(lambda: len(live.store.jobs) == 29_999, "all of it, and what came after", seconds=30)
    counter.cancel()
    assert turns - begun >= 20, "the loop turned between the slices"
    await until(lambda: (live.store.jobs["lab", "0"].priority or 0) >= 2, "the later word")
    await live.close()


def test_saving_never_writes_over_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    live = session(tmp_path)
    first = live.save("fleet.txt", "one")
    second = live.save("fleet.txt", "two\udcff")
    bare = live.save("../.hidden", "x")
    assert Path(first) == tmp_path / "fleet.txt"
    assert Path(first).read_text() == "one"
    assert Path(second).name == "fleet-2.txt"
    assert Path(bare).parent == tmp_path
    assert not Path(bare).name.startswith(".")


@pytest.mark.parametrize(
    ("live", "states", "code"),
    [
        (3, (), 0),
        (0, (), 0),
        (2, (SourceState.UNREACHABLE,), 1),
        (0, (SourceState.UNREACHABLE, SourceState.CONNECTING), 3),
        (0, (SourceState.DENIED, SourceState.UNREACHABLE), 4),
        (1, (SourceState.DENIED,), 1),
        (0, (SourceState.ERROR,), 3),
    ],
)
def test_exit_codes(live: int, states: tuple[SourceState, ...], code: int) -> None:
    assert Outcome(live, tuple(probe(f"n{number}", state) for number, state in enumerate(states))).exit_code == code


def test_a_plain_list_of_hosts_reaches_nothing(tmp_path: Path) -> None:
    live = session(tmp_path)
    live.store.sources["ssh:hosts/nodes"] = status("ssh:hosts/nodes", kind="ssh")
    live.store.sources["ssh:n1"] = probe("n1", SourceState.UNREACHABLE)
    assert live.outcome().exit_code == 3


def test_the_world_that_plugins_see(tmp_path: Path) -> None:
    from console.transport.pool import TransportPool

    world = World(TransportPool(), {"PATH": "/usr/bin:/bin"}, "lab")
    site: Site = world
    assert site.which("sh") in ("/usr/bin/sh", "/bin/sh")
    assert site.which("no-such-program") is None
    assert site.expand("n[1-2]") == ["n1", "n2"]
    with pytest.raises(UsageError):
        site.expand("n[1-")
    assert site.transport().name == "local"
    assert abs(site.now() - time.time()) < 5


def test_constructing_a_session_imports_nothing_heavy() -> None:
    program = (
        "import sys; from console.config import Config; from console.session import Session; Session(Config());"
        "print([name for name in ('asyncssh', 'ClusterShell', 'textual', 'plugins', 'console.transport.pool',"
        " 'console.probes', 'console.registry') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
