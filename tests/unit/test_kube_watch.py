"""Lists and watches against a real HTTP server that pages, forgets, refuses, hangs and breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.errors import BadAnswer, TimedOut, Unreachable
from console.transport.local import LocalTransport
from plugins.kubernetes import kubeconfig
from plugins.kubernetes.client import Client
from plugins.kubernetes.failures import Busy, Forbidden
from plugins.kubernetes.kinds import PODS, Resource
from plugins.kubernetes.mirror import Mirror, Shelf, Timing
from plugins.kubernetes.pods import Pod, PodReader
from plugins.kubernetes.resources import Accelerators
from tests.unit.kube_server import Fault, KubeServer, items, recorded, status, write_kubeconfig

PATH = "/api/v1/pods"
COUNT = 66
"""Recorded pods."""
QUICK = Timing(watch_s=60.0, silence_s=30.0, first_pause_s=0.02, last_pause_s=0.1, denied_pause_s=0.1, page=20)


async def until(done: Callable[[], Any], what: str = "") -> None:
    """Wait for something, at most 20 s."""
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.01)


class Watcher:
    """A mirror of the pods of a server, and what it told."""

    def __init__(
        self, server: KubeServer, tmp_path: Path, timing: Timing, namespace: str | None, timeout_s: float
    ) -> None:
        path = write_kubeconfig(tmp_path / "config", server.url)

        def access() -> kubeconfig.Access:
            config = kubeconfig.load((path,))
            assert config is not None
            return config.access()

        self.client = Client(access, LocalTransport(), lambda: 0.0, timeout_s)
        self.changes: list[tuple[str | None, str | None]] = []
        self.shelf: Shelf[Pod] = Shelf(PodReader(Accelerators()).read, self._changed)
        self.mirror: Mirror[Pod] = Mirror(
            self.client, Resource(PODS, "v1"), namespace, self.shelf, timing, rng=lambda: 0.5
        )
        self.task = asyncio.create_task(self.mirror.run())

    def _changed(self, old: Pod | None, new: Pod | None) -> None:
        self.changes.append((old.name if old else None, new.name if new else None))

    @property
    def names(self) -> set[str]:
        return {key[-1] for key in self.shelf.items}

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        await self.client.close()


@contextlib.asynccontextmanager
async def watching(
    server: KubeServer,
    tmp_path: Path,
    timing: Timing = QUICK,
    namespace: str | None = None,
    timeout_s: float = 20.0,
) -> AsyncIterator[Watcher]:
    watcher = Watcher(server, tmp_path, timing, namespace, timeout_s)
    try:
        yield watcher
    finally:
        await watcher.close()


@pytest.fixture
async def server() -> AsyncIterator[KubeServer]:
    found = KubeServer(lists={PATH: items("pods")})
    async with found.running():
        yield found


def made(name: str, namespace: str = "lab", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "status": {"phase": "Pending", **status}}


async def test_one_list_in_pages_and_then_nothing_but_a_watch(server: KubeServer, tmp_path: Path) -> None:
    async with watching(server, tmp_path) as watcher:
        await until(lambda: server.watches(PATH))
        assert len(watcher.shelf.items) == len(server.lists[PATH]) == COUNT
        assert server.count("GET /api/v1/pods?limit=20") == 4
        assert server.count("continue=20") == 1
        server.put(PATH, made("new"))
        await until(lambda: "new" in watcher.names)
        server.put(PATH, made("new", phase="Running"))
        await until(lambda: watcher.shelf.items["lab", "new"].phase == "Running")
        server.delete(PATH, "lab", "new")
        await until(lambda: "new" not in watcher.names)
        assert watcher.mirror.error is None
        assert watcher.mirror.lists == 1
        assert all(each.get("User-Agent", "").startswith("quarterdeck/") for each in server.headers)


async def test_an_event_that_changes_nothing_we_show_is_no_change(server: KubeServer, tmp_path: Path) -> None:
    async with watching(server, tmp_path) as watcher:
        await until(lambda: server.watches(PATH))
        told = len(watcher.changes)
        same = dict(server.lists[PATH][0])
        same["metadata"] = {**same["metadata"], "managedFields": []}
        server.put(PATH, same)
        server.put(PATH, made("last"))
        await until(lambda: "last" in watcher.names)
        assert len(watcher.changes) == told + 1


async def test_the_end_of_a_watch_is_normal_and_it_goes_on_from_the_last_version(
    server: KubeServer, tmp_path: Path
) -> None:
    async with watching(server, tmp_path) as watcher:
        await until(lambda: server.watches(PATH))
        server.put(PATH, made("one"))
        await until(lambda: "one" in watcher.names)
        version = server.version
        server.end_watches()
        await until(lambda: server.count(f"resourceVersion={version}", without=""))
        assert watcher.mirror.error is None
        assert watcher.mirror.lists == 1


async def test_a_bookmark_moves_the_version_on(server: KubeServer, tmp_path: Path) -> None:
    async with watching(server, tmp_path):
        await until(lambda: server.watches(PATH))
        server.send(PATH, recorded("watch-bookmark-minute"))
        server.put(PATH, made("x"))  # events have an end: the bookmark was read before this one
        server.end_watches()
        await until(lambda: server.count("watch=1", without="") > 1)
        assert "resourceVersion=1001" in server.asked[-1]


async def test_a_version_that_is_too_old_costs_one_list_and_loses_nothing(server: KubeServer, tmp_path: Path) -> None:
    async with watching(server, tmp_path) as watcher:
        await until(lambda: server.watches(PATH))
        server.lists[PATH] = [*server.lists[PATH][:-1], made("meanwhile")]  # while nobody watches
        server.forget()
        told = len(watcher.changes)
        server.end_watches()
        await until(lambda: "meanwhile" in watcher.names and len(watcher.changes) >= told + 2)
        assert watcher.mirror.lists == 2
        assert len(watcher.changes) == told + 2, "one gone, one new, and nothing else is told"
        assert watcher.mirror.error is None


async def test_an_error_event_with_status_200_is_an_expired_watch(server: KubeServer, tmp_path: Path) -> None:
    async with watching(server, tmp_path) as watcher:
        await until(lambda: server.watches(PATH))
        server.send(PATH, recorded("watch-expired"))
        await until(lambda: watcher.mirror.lists == 2)
        await until(lambda: server.watches(PATH))
        assert watcher.mirror.error is None


async def test_a_page_that_expired_is_no_reason_to_show_half_a_list(server: KubeServer, tmp_path: Path) -> None:
    server.faults.append(Fault("continue=20", code=410, body=recorded("continue-expired"), times=1))
    async with watching(server, tmp_path) as watcher:
        await until(lambda: server.watches(PATH))
        assert len(watcher.shelf.items) == COUNT
        assert watcher.mirror.error is None


async def test_it_waits_as_long_as_it_is_asked_to(server: KubeServer, tmp_path: Path) -> None:
    busy = Fault("GET /api/v1/pods", code=429, body=b"", headers={"Retry-After": "1"}, times=1)
    server.faults.append(busy)
    async with watching(server, tmp_path) as watcher:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await until(lambda: watcher.mirror.error is not None)
        assert isinstance(watcher.mirror.error, Busy)
        await until(lambda: server.watches(PATH))
        assert loop.time() - started > 0.9, "Retry-After: 1"
        assert watcher.mirror.error is None


async def test_a_broken_connection_is_made_again_without_a_list(server: KubeServer, tmp_path: Path) -> None:
    async with watching(server, tmp_path) as watcher:
        await until(lambda: server.watches(PATH))
        server.faults.append(Fault("watch=1", code=0, times=2))
        server.end_watches()
        await until(lambda: not server.faults and server.watches(PATH))
        server.put(PATH, made("after"))
        await until(lambda: "after" in watcher.names)
        assert watcher.mirror.lists == 1


async def test_a_server_that_is_down_is_said_and_found_again(tmp_path: Path) -> None:
    server = KubeServer(lists={PATH: items("pods")})
    async with server.running():
        pass
    async with watching(server, tmp_path) as watcher:
        await until(lambda: watcher.mirror.error is not None)
        assert isinstance(watcher.mirror.error, Unreachable)
        assert "no connection to the API server" in watcher.mirror.error.what
        async with server.running():
            await until(lambda: watcher.mirror.listed and server.watches(PATH))
            assert watcher.mirror.error is None
            before = set(watcher.names)
        await until(lambda: watcher.mirror.error is not None)
        assert watcher.names == before, "what was known stays known"


async def test_a_list_without_an_answer_comes_from_the_cache_and_says_so(server: KubeServer, tmp_path: Path) -> None:
    server.faults.append(Fault("limit=20", code=-1, times=2, without="resourceVersion=0"))
    async with watching(server, tmp_path, timeout_s=0.5) as watcher:
        await until(lambda: watcher.mirror.listed)
        assert len(watcher.shelf.items) == COUNT
        assert isinstance(watcher.mirror.error, TimedOut)
        assert "may be old" in watcher.mirror.error.what
        assert "GET /api/v1/pods?resourceVersion=0" in server.asked
        await until(lambda: server.watches(PATH) and watcher.mirror.error is None)


async def test_a_watch_that_falls_silent_is_not_trusted(server: KubeServer, tmp_path: Path) -> None:
    async with watching(server, tmp_path, replace(QUICK, silence_s=0.3)) as watcher:
        await until(lambda: server.watches(PATH))
        server.lists[PATH] = [made("missed")]  # as after a lost connection that nobody noticed
        await until(lambda: watcher.names == {"missed"})
        assert watcher.mirror.lists >= 2


async def test_bookmarks_are_enough_of_a_sign_of_life(server: KubeServer, tmp_path: Path) -> None:
    server.bookmarks_s = 0.02
    async with watching(server, tmp_path, replace(QUICK, silence_s=10.0)) as watcher:
        await until(lambda: server.watches(PATH))
        await asyncio.sleep(0.3)
        assert watcher.mirror.lists == 1
        assert watcher.mirror.error is None


async def test_what_may_not_be_read_ends_with_what_is_missing(server: KubeServer, tmp_path: Path) -> None:
    server.forbidden = {"pods"}
    async with watching(server, tmp_path) as watcher:
        await asyncio.wait({watcher.task}, timeout=20)
        error = watcher.task.exception()
        assert isinstance(error, Forbidden)
        assert (error.verb, error.resource) == ("list", "pods")


async def test_one_namespace_is_listed_and_swept_alone(server: KubeServer, tmp_path: Path) -> None:
    async with watching(server, tmp_path, namespace="train-vision") as watcher:
        await until(lambda: server.watches(PATH))
        assert {key[0] for key in watcher.shelf.items} == {"train-vision"}
        server.put(PATH, made("elsewhere", "infra"))
        server.put(PATH, made("here", "train-vision"))
        await until(lambda: "here" in watcher.names)
        assert "elsewhere" not in watcher.names
        watcher.shelf.put(msgspec.Raw(json.dumps(made("other", "infra")).encode()))
        watcher.shelf.keep_only("train-vision", set())
        assert watcher.names == {"other"}


async def test_objects_that_cannot_be_read_cost_themselves_only(server: KubeServer, tmp_path: Path) -> None:
    server.lists[PATH].insert(3, {"metadata": {"name": "odd", "namespace": "x"}, "spec": "not a table"})
    async with watching(server, tmp_path) as watcher:
        await until(lambda: server.watches(PATH))
        assert len(watcher.shelf.items) == COUNT
        assert watcher.shelf.broken == 1
        server.put(PATH, {"metadata": {"name": "odd2", "namespace": "x"}, "status": [1]})
        server.put(PATH, made("fine"))
        await until(lambda: "fine" in watcher.names)
        assert watcher.shelf.broken == 2


async def test_an_event_of_a_megabyte_in_many_pieces_arrives(server: KubeServer, tmp_path: Path) -> None:
    async with watching(server, tmp_path) as watcher:
        await until(lambda: server.watches(PATH))
        server.put(PATH, made("big", reason="Evicted", message="x" * (3 << 20)))
        server.put(PATH, made("next"))
        await until(lambda: "next" in watcher.names)
        big = watcher.shelf.items["lab", "big"]
        assert len(big.message) <= 1000


@pytest.mark.parametrize(
    "line",
    [
        b"<html>a proxy</html>\n",
        b'{"type":"ERROR","object":' + status(500, "InternalError", "etcd is gone") + b"}\n",
    ],
)
async def test_garbage_in_a_watch_costs_that_watch(server: KubeServer, tmp_path: Path, line: bytes) -> None:
    async with watching(server, tmp_path) as watcher:
        for _ in range(2):
            await until(lambda: server.watches(PATH))
            asked = server.count("watch=1", without="")
            server.send(PATH, line)
            while server.count("watch=1", without="") == asked:
                await asyncio.sleep(0.01)
        await until(lambda: server.watches(PATH))
        server.put(PATH, made("after"))
        await until(lambda: "after" in watcher.names)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"items": 5}', b""])
async def test_a_list_that_is_none_is_a_bad_answer(server: KubeServer, tmp_path: Path, body: bytes) -> None:
    server.faults.append(Fault("GET /api/v1/pods", code=200, body=body))
    async with watching(server, tmp_path) as watcher:
        await until(lambda: watcher.mirror.error is not None)
        assert isinstance(watcher.mirror.error, BadAnswer)
        assert not watcher.mirror.listed


async def test_a_watch_that_ends_at_once_again_and_again_is_no_busy_loop(server: KubeServer, tmp_path: Path) -> None:
    server.faults.append(Fault("watch=1", code=200, body=b""))
    async with watching(server, tmp_path, replace(QUICK, first_pause_s=5.0, last_pause_s=5.0)) as watcher:
        await until(lambda: server.count("watch=1", without="") >= 1)
        await asyncio.sleep(0.5)
        assert server.count("watch=1", without="") == 1
        assert watcher.mirror.listed
