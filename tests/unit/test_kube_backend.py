"""The Kubernetes backend against a real HTTP server with recorded objects: what it tells, and what it says when not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from console.errors import (
    BadAnswer,
    ConfigError,
    Denied,
    NoSuchFile,
    NoSuchJob,
    SourceError,
    TimedOut,
    Unreachable,
    Unsupported,
)
from console.model import JobState, LogChunk, LogStream, NodeState
from console.plugin import Announcer, CheckState, Explainer, Inventory, Logs, Queue
from plugins.kubernetes.backend import KubernetesBackend
from plugins.kubernetes.mirror import Timing
from plugins.kubernetes.settings import KubernetesSettings
from tests.unit.kube_server import Authority, Fault, KubeServer, Site, recorded, status, write_kubeconfig

RECORDED_AT = 1_795_485_700.0
"""Some minutes after the recordings were made."""
QUICK = Timing(first_pause_s=0.02, last_pause_s=0.1, denied_pause_s=0.1)
PODS, JOBS, NODES = "/api/v1/pods", "/apis/batch/v1/jobs", "/api/v1/nodes"


async def until(done: Callable[[], Any]) -> None:
    """Wait for something, at most 20 s."""
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def opened(
    tmp_path: Path, url: str, user: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, **cluster: Any
) -> AsyncIterator[KubernetesBackend]:
    """Yield a backend for a server; `namespace` goes into the context, the rest into the kubeconfig's cluster."""
    path = write_kubeconfig(tmp_path / "config", url, user, namespace=cluster.pop("namespace", ""), **cluster)
    site = Site({"KUBECONFIG": str(path), "HOME": str(tmp_path)})
    site.clock = RECORDED_AT
    backend = KubernetesBackend(KubernetesSettings(**(settings or {})), site, QUICK)
    try:
        yield backend
    finally:
        await asyncio.wait_for(backend.close(), 10)


@pytest.fixture
async def server() -> AsyncIterator[KubeServer]:
    found = KubeServer.of_recordings()
    async with found.running():
        yield found


async def settled(server: KubeServer, backend: KubernetesBackend) -> None:
    """Wait until everything is listed and watched."""
    await backend.inventory()
    await backend.jobs()
    await until(lambda: server.count("watch=1", without="") >= len(backend.watching.kinds))


# ---- what it tells


async def test_it_offers_everything(tmp_path: Path) -> None:
    async with opened(tmp_path, "https://127.0.0.1:1") as backend:
        assert isinstance(backend, Inventory)
        assert isinstance(backend, Queue)
        assert isinstance(backend, Explainer)
        assert isinstance(backend, Logs)


async def test_everything_once_and_then_what_changed(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        nodes, jobs = await backend.inventory(), await backend.jobs()
        assert nodes.complete == ("nodes", "queues")
        assert jobs.complete == ("jobs",)
        assert (len(nodes.nodes), len(jobs.jobs)) == (20, 18)
        assert nodes.cluster is not None
        assert nodes.cluster.version == "v1.36.3"
        assert {queue.name for queue in nodes.queues} == {"research", "train-vision/team-vision"}
        for again in (await backend.inventory(), await backend.jobs()):
            assert (again.nodes, again.jobs, again.queues, again.complete) == ((), (), (), ())


async def test_a_change_of_a_pod_tells_its_node_and_its_job_and_nothing_else(
    server: KubeServer, tmp_path: Path
) -> None:
    async with opened(tmp_path, server.url) as backend:
        await settled(server, backend)
        pod = next(each for each in server.lists[PODS] if each["metadata"]["name"].startswith("llm-70b-0"))
        done = json.loads(json.dumps(pod))
        done["status"]["phase"] = "Succeeded"
        server.put(PODS, done)
        await until(lambda: backend.board.dirty_jobs)
        jobs, nodes = await backend.jobs(), await backend.inventory()
        assert [job.id for job in jobs.jobs] == ["train-llm/job/llm-70b"]
        assert jobs.jobs[0].accelerators == 24
        assert [node.name for node in nodes.nodes] == ["gpu-a01"]
        assert nodes.nodes[0].accelerators_allocated == 0
        server.delete(PODS, "train-llm", "notebook-alice")
        server.delete(NODES, "", "cpu-02")
        await until(lambda: backend.board.dirty_jobs and "cpu-02" in backend.board.dirty_nodes)
        jobs, nodes = await backend.jobs(), await backend.inventory()
        assert (jobs.jobs, jobs.gone_jobs) == ((), ("train-llm/pod/notebook-alice",))
        assert nodes.gone_nodes == ("cpu-02",)
        assert jobs.complete == nodes.complete == ()


async def test_it_says_itself_when_there_is_something_new(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        assert isinstance(backend, Announcer)
        await settled(server, backend)
        woken = asyncio.Event()
        backend.announce(woken.set)
        server.delete(PODS, "train-llm", "notebook-alice")
        await asyncio.wait_for(woken.wait(), 20)
        assert (await backend.jobs()).gone_jobs == ("train-llm/pod/notebook-alice",)


async def test_at_rest_there_are_watches_and_no_lists(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        await settled(server, backend)
        lists = len(server.asked)
        for _ in range(20):
            await backend.inventory()
            assert (await backend.jobs()).requests == 0
            server.end_watches()
            await asyncio.sleep(0)
        await until(lambda: server.watches(PODS))
        assert all("watch=1" in line for line in server.asked[lists:])


async def test_what_was_not_taken_to_the_end_comes_again(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        await backend.inventory()
        names = [f"n{number}" for number in range(50_000)]
        backend.board.dirty_nodes.update(names)
        backend._told_nodes.update(names)
        task = asyncio.create_task(backend.inventory())
        for _ in range(1000):
            await asyncio.sleep(0)
            if not backend.board.dirty_nodes:
                break
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert len((await backend.inventory()).gone_nodes) == len(names)


async def test_jobs_that_ended_long_ago_leave_the_list(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        told = {job.id for job in (await backend.jobs()).jobs}
        ended = {"train-vision/job/vit-done", "train-vision/job/vit-oom", "train-vision/job/vit-evicted"}
        assert ended <= told
        backend._site.clock = RECORDED_AT + 25 * 3600.0  # type: ignore[attr-defined]
        assert set((await backend.jobs()).gone_jobs) == ended
        assert (await backend.jobs()).gone_jobs == ()


# ---- who may not


async def test_a_researcher_without_nodes_sees_their_names_and_the_missing_right(
    server: KubeServer, tmp_path: Path
) -> None:
    server.forbidden = {"nodes", "clusterqueues.kueue.x-k8s.io"}
    async with opened(tmp_path, server.url) as backend:
        with pytest.raises(Denied) as error:
            await backend.inventory()
        assert "may not list nodes" in error.value.what
        assert "kubectl auth can-i list nodes -A" in error.value.hint
        jobs = await backend.jobs()
        assert len(jobs.jobs) == 18
        named = {node.name: node for node in jobs.nodes}
        assert named["gpu-a01"].state is NodeState.UNKNOWN
        assert named["gpu-a01"].accelerators_allocated == 8
        assert named["gpu-a01"].accelerators_total is None
        assert "may not list nodes" in named["gpu-a01"].missing["accelerators_total"]
        assert server.count("selfsubjectaccessreviews") > 0
        for each in [each for each in server.lists[PODS] if each["spec"].get("nodeName") == "cpu-02"]:
            server.delete(PODS, each["metadata"]["namespace"], each["metadata"]["name"])
        await until(lambda: not backend.board.pods_on("cpu-02"))
        assert (await backend.jobs()).gone_nodes == ("cpu-02",)


async def test_where_not_all_namespaces_may_be_read_those_of_context_and_settings_are(
    server: KubeServer, tmp_path: Path
) -> None:
    server.forbidden = {"nodes", "pods", "jobs.batch", "workloads.kueue.x-k8s.io", "jobsets.jobset.x-k8s.io"}
    server.namespaces = {"train-llm", "batch-eval"}
    settings = {"namespaces": ("batch-eval", "no-such")}
    async with opened(tmp_path, server.url, settings=settings, namespace="train-llm") as backend:
        jobs = await backend.jobs()
        assert {job.account for job in jobs.jobs} == {"train-llm", "batch-eval"}
        assert jobs.detail is not None
        assert "pods of batch-eval, train-llm only" in jobs.detail
        explained = await backend.explain("train-llm/job/llm-405b")
        assert "fits" in explained.missing


async def test_a_kind_that_may_not_be_read_costs_itself_only(server: KubeServer, tmp_path: Path) -> None:
    server.forbidden = {"workloads.kueue.x-k8s.io"}
    async with opened(tmp_path, server.url) as backend:
        jobs = await backend.jobs()
        assert len(jobs.jobs) == 18
        assert jobs.detail is not None
        assert "may not list workloads.kueue.x-k8s.io in the whole cluster" in jobs.detail
        explained = await backend.explain("vit-suspended")
        assert "is not known: may not list workloads" in explained.causes[0].text


async def test_where_pods_are_denied_the_use_of_nodes_is_unknown(server: KubeServer, tmp_path: Path) -> None:
    server.forbidden = {"pods"}
    async with opened(tmp_path, server.url) as backend:
        nodes = (await backend.inventory()).nodes
        assert {node.accelerators_allocated for node in nodes} == {None}
        assert all("may not list pods" in node.missing["accelerators_allocated"] for node in nodes)
        assert nodes[0].accelerators_total is not None
        jobs = await backend.jobs()
        assert any(job.id == "train-llm/job/llm-70b" for job in jobs.jobs), "job objects are still there"
        again = await backend.jobs()
        assert again.detail is not None
        assert "may not list pods" in again.detail, "it is said, and the rest lives"


# ---- logging in


async def test_a_refused_token_is_said_once_and_not_tried_by_every_watch(server: KubeServer, tmp_path: Path) -> None:
    server.tokens = {"good": "ann"}
    async with opened(tmp_path, server.url, {"token": "bad"}) as backend:
        for _ in range(5):
            with pytest.raises(Denied, match="credentials of user ann are refused"):
                await backend.inventory()
        assert len(server.asked) == 1
        write_kubeconfig(tmp_path / "config", server.url, {"token": "good"})
        assert len((await backend.inventory()).nodes) == 20, "a new login is taken at once"


async def test_an_exec_plugin_is_asked_again_when_its_token_is_refused(server: KubeServer, tmp_path: Path) -> None:
    server.tokens = {"one": "ann"}
    token = tmp_path / "token"
    token.write_text("one", encoding="utf-8")
    script = tmp_path / "login"
    answer = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}'
    script.write_text(f"#!/bin/sh\necho x >> {tmp_path}/runs\nprintf '{answer}' $(cat {token})\n", encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}
    async with opened(tmp_path, server.url, user) as backend:
        await backend.inventory()
        await backend.jobs()
        assert (tmp_path / "runs").read_text().count("x") == 1
        server.tokens = {"two": "ann"}
        token.write_text("two", encoding="utf-8")
        server.end_watches()
        await until(lambda: server.watches(PODS) and server.watches(NODES) and server.watches(JOBS))
        assert (tmp_path / "runs").read_text().count("x") <= 3, "not once for each watch"
        assert backend.watching.kinds["pods"].lists == 1


async def test_tls_with_an_authority_and_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = KubeServer.of_recordings()
    server.tls = authority.server(ask_client=True)
    certificate, key = authority.issue("ann", "extendedKeyUsage=clientAuth")
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    ca: dict[str, Any] = {"certificate-authority": str(authority.certificate)}
    before = set(os.listdir("/tmp"))
    async with server.running():
        async with opened(tmp_path, server.url, user, **ca) as backend:
            assert len((await backend.inventory()).nodes) == 20
        assert not [name for name in set(os.listdir("/tmp")) - before if name.startswith("quarterdeck-")]
        async with opened(tmp_path, server.url, **ca) as backend:
            with pytest.raises(SourceError) as refused:
                await backend.inventory()
            assert refused.value.hint
        async with opened(tmp_path, server.url, user) as backend:
            with pytest.raises(Denied, match="certificate is not trusted") as untrusted:
                await backend.inventory()
            assert "certificate-authority" in untrusted.value.hint
    server.tls = authority.server()
    named: dict[str, Any] = {"tls-server-name": "kube.example"}
    unchecked: dict[str, Any] = {"insecure-skip-tls-verify": True}
    async with server.running():
        url = server.url.replace("127.0.0.1", "localhost")
        async with opened(tmp_path, url, **ca) as backend:
            with pytest.raises(Denied, match="not trusted"):
                await backend.inventory()
        async with opened(tmp_path, url, **ca, **named) as backend:
            assert len((await backend.inventory()).nodes) == 20
        async with opened(tmp_path, url, **unchecked) as backend:
            assert len((await backend.inventory()).nodes) == 20
            login = next(check for check in await backend.doctor() if check.subject == "login")
            assert login.state is CheckState.WARNING


async def test_a_proxy_is_used_and_named_when_it_is_not_there(server: KubeServer, tmp_path: Path) -> None:
    # The server takes a proxy's requests too: the name is one that only a proxy could resolve.
    async with opened(tmp_path, "http://kube.invalid:6443", **{"proxy-url": server.url}) as backend:  # type: ignore[arg-type]
        assert len((await backend.inventory()).nodes) == 20
        assert {each["Host"] for each in server.headers} == {"kube.invalid:6443"}
    async with opened(tmp_path, "http://kube.invalid:6443", **{"proxy-url": "http://127.0.0.1:9"}) as backend:  # type: ignore[arg-type]
        with pytest.raises(Unreachable, match=r"the proxy http://127\.0\.0\.1:9 does not let us through"):
            await backend.inventory()


async def test_a_certificate_that_cannot_be_used_is_said(server: KubeServer, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("no certificate", encoding="utf-8")
    user = {"client-certificate": str(tmp_path / "c"), "client-key": str(tmp_path / "c")}
    async with opened(tmp_path, server.url, user) as backend:
        with pytest.raises(Denied, match="certificates cannot be used"):
            await backend.inventory()


# ---- faults of the server


async def test_nobody_there_a_wrong_context_and_no_kubeconfig(tmp_path: Path) -> None:
    async with opened(tmp_path, "http://127.0.0.1:9") as backend:
        with pytest.raises(Unreachable, match="no connection to the API server"):
            await backend.inventory()
        assert (await backend.doctor())[-1].state is CheckState.FAILED
    async with opened(tmp_path, "http://no-such-host.invalid") as backend:
        with pytest.raises(Unreachable):
            await backend.jobs()
    async with opened(tmp_path, "http://127.0.0.1:9", settings={"context": "no-such"}) as backend:
        with pytest.raises(BadAnswer, match="there is no context no-such"):
            await backend.jobs()
    async with opened(tmp_path, "http://127.0.0.1:9", settings={"kubeconfig": "/no/such"}) as backend:
        with pytest.raises(BadAnswer, match="there is no kubeconfig"):
            await backend.jobs()
        checks = await backend.doctor()
        assert checks[0].subject == "kubeconfig"
        assert checks[0].remedy


async def test_a_server_that_hangs_costs_its_deadline_and_the_others_nothing(
    server: KubeServer, tmp_path: Path
) -> None:
    hung = KubeServer(faults=[Fault("", code=-1)])
    (tmp_path / "hung").mkdir()
    async with (
        hung.running(),
        opened(tmp_path / "hung", hung.url, settings={"timeout_s": 0.5}) as bad,
        opened(tmp_path, server.url) as good,
    ):
        waiting = asyncio.create_task(bad.inventory())
        assert len((await good.inventory()).nodes) == 20
        with pytest.raises(TimedOut):
            await asyncio.wait_for(waiting, 20)


async def test_a_server_that_dies_leaves_what_is_known_and_comes_back(tmp_path: Path) -> None:
    server = KubeServer.of_recordings()
    async with opened(tmp_path, "http://x") as backend:
        async with server.running():
            write_kubeconfig(tmp_path / "config", server.url)
            await settled(server, backend)
        await until(lambda: backend.watching.kinds["nodes"].error is not None)
        with pytest.raises(Unreachable):
            await backend.inventory()
        assert len(backend.board.nodes) == 20
        async with server.running():
            await until(lambda: backend.watching.kinds["nodes"].error is None)
            server.put(NODES, {"metadata": {"name": "new"}, "status": {}})
            await until(lambda: "new" in backend.board.nodes)
            told = await backend.inventory()
            assert [node.name for node in told.nodes] == ["new"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("/apis", code=200, body=b"<html>log in</html>"), BadAnswer),
        (Fault("/apis", code=200, body=b'{"items": 5}'), BadAnswer),
        (Fault("/apis", code=500, body=b"oops"), Unreachable),
        (Fault("/apis", code=0), Unreachable),
        (Fault("", code=403, body=recorded("nodes-anonymous")), Denied),
    ],
)
async def test_what_else_a_server_may_answer(
    server: KubeServer, tmp_path: Path, fault: Fault, kind: type[SourceError]
) -> None:
    fault = Fault(fault.match, fault.code, fault.body)
    server.faults.append(fault)
    async with opened(tmp_path, server.url) as backend:
        with pytest.raises(kind) as error:
            await backend.inventory()
        assert error.value.what
        server.faults.clear()
        assert len((await backend.inventory()).nodes) == 20


async def test_old_servers_that_name_groups_only_are_read_too(server: KubeServer, tmp_path: Path) -> None:
    server.discovery = recorded("api-groups")
    server.faults.append(Fault("GET /apis/batch/v1", code=200, body=recorded("resources-batch"), without="/jobs"))
    async with opened(tmp_path, server.url) as backend:
        assert len((await backend.jobs()).jobs) > 10
        assert "jobs.batch" in backend.watching.kinds
        assert "jobsets.jobset.x-k8s.io" not in backend.watching.kinds


async def test_who_may_not_ask_what_there_is_still_reads_it(server: KubeServer, tmp_path: Path) -> None:
    said = 'forbidden: User "ann" cannot get path "/apis"'
    server.faults.append(Fault("GET /apis", code=403, body=status(403, "Forbidden", said), times=1))
    async with opened(tmp_path, server.url) as backend:
        assert any(job.id == "train-llm/job/llm-70b" for job in (await backend.jobs()).jobs)
        assert set(backend.watching.kinds) == {"nodes", "pods", "jobs.batch"}


async def test_close_leaves_no_task_and_no_watch(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        await settled(server, backend)
        tasks = set(backend.watching._tasks)
        assert tasks
    assert all(task.done() for task in tasks)
    await until(lambda: not server.watches(PODS))


# ---- why


@pytest.mark.parametrize(
    ("job", "code", "text"),
    [
        ("llm-405b", "Insufficient nvidia.com/gpu", "9 nodes: not enough nvidia.com/gpu free on one node"),
        ("vit-suspended", "Pending", "insufficient unused quota for nvidia.com/gpu in flavor h100, 16 more needed"),
        ("eval-quota", "exceeded quota", "quota gpus of the namespace (nvidia.com/gpu: asked 4, used 8 of 8)"),
        ("vit-gang", "Unschedulable", "its gang waits: 3/3 tasks"),
        ("vit-gated", "SchedulingGated", "kueue.x-k8s.io/admission"),
        ("vit-nowhere", "node(s) didn't match Pod's node affinity/selector", "lacking the labels"),
        ("vit-novolume", 'persistentvolumeclaim "no-such-claim" not found', "no-such-claim does not exist"),
        ("vit-image", "ImagePullBackOff", "the image cannot be pulled on gpu-b04"),
        ("vit-crash", "CrashLoopBackOff", "last with Error, exit code 1"),
        ("vit-oom", "OOMKilled", "2 pods: it used more memory than its limit"),
        ("vit-evicted", "Evicted", "low on resource: ephemeral-storage"),
        ("rl", "Suspended", "somebody suspended it"),
    ],
)
async def test_why_a_job_waits_or_failed(server: KubeServer, tmp_path: Path, job: str, code: str, text: str) -> None:
    async with opened(tmp_path, server.url) as backend:
        found = await backend.explain(job)
        assert found.causes[0].code == code
        assert text in found.causes[0].text
        assert found.causes[0].text.removesuffix(".") in found.summary or found.state is JobState.RUNNING
        assert "expected_start_at" in found.missing


async def test_an_explanation_has_its_numbers(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        waits = await backend.explain("train-llm/job/llm-405b")
        fits = {fit.why.partition(":")[0]: fit for fit in waits.fits}
        assert (fits["busy"].count, fits["busy"].accelerators_free) == (8, 0)
        assert (fits["drained (cordoned)"].nodes, fits["drained (cordoned)"].accelerators_free) == ("gpu-a05", 8)
        assert fits["out of order"].nodes == "gpu-a07"
        assert all("gpu-b" not in (fit.nodes or "") for fit in waits.fits), "only nodes with its labels"
        assert [event.at for event in waits.events] == sorted(event.at or 0 for event in waits.events)
        queued = await backend.explain("vit-suspended")
        assert queued.position == 1
        (limit,) = queued.limits
        assert (limit.used, limit.limit, limit.asked) == (64.0, 64.0, 16.0)
        quota = await backend.explain("eval-quota")
        assert [(each.scope, each.asked) for each in quota.limits] == [("namespace batch-eval, quota gpus", 12.0)]
        gang = await backend.explain("vit-gang")
        assert gang.causes[1].code == "no scheduler"


async def test_events_and_quotas_that_may_not_be_read_are_missing_and_not_none(
    server: KubeServer, tmp_path: Path
) -> None:
    server.forbidden = {"events", "resourcequotas"}
    async with opened(tmp_path, server.url) as backend:
        found = await backend.explain("llm-405b")
        assert "may not list events" in found.missing["events"]
        assert "may not list resourcequotas" in found.missing["limits"]
        assert found.causes


async def test_jobs_that_are_not_there_or_could_be_several(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        for wanted in ("no-such", "train-llm/job/no-such", "a/b", "a/b/c/d", ""):
            with pytest.raises(NoSuchJob):
                await backend.explain(wanted)
        twin = json.loads(json.dumps(server.lists[JOBS][0]))
        twin["metadata"] |= {"namespace": "other", "name": "llm-70b", "uid": "other"}
        server.put(JOBS, twin)
        await until(lambda: ("job", "other", "llm-70b") in backend.board.works)
        with pytest.raises(NoSuchJob, match="could be any of"):
            await backend.log_streams("llm-70b")


# ---- logs

LOG = b"".join(b"2026-11-23T22:00:%02d.000000001Z line %d\n" % (number, number) for number in range(60))


async def log_of(backend: KubernetesBackend, server: KubeServer) -> tuple[LogStream, Any]:
    stream = (await backend.log_streams("llm-70b"))[0]
    server.logs[f"train-llm/{stream.key['pod']}"] = LOG
    return stream, await backend.open_log(stream)


async def test_every_rank_has_an_output(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        streams = await backend.log_streams("train-llm/job/llm-70b")
        assert [(stream.name, stream.rank) for stream in streams] == [(f"rank {rank}", rank) for rank in range(4)]
        assert streams[0].key["container"] == "train"
        assert await backend.log_streams("rl") == (), "no pod, no output"


async def test_a_tail_and_what_follows_have_every_line_once(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        _stream, log = await log_of(backend, server)
        tail = await log.tail(1000)
        assert tail.data.endswith(b"line 58\nline 59\n")
        assert b"2026-" not in tail.data, "the times are ours"
        assert len(tail.data) <= 1000
        assert tail.start is None
        following = log.follow(tail)
        first = asyncio.create_task(anext(following))
        await until(lambda: server._log_waiters)
        server.write_log(b"2026-11-23T22:00:59.000000001Z twin of 59\n")
        assert (await asyncio.wait_for(first, 20)).data == b"twin of 59\n"
        server.logs = dict.fromkeys(server.logs, LOG + b"2026-11-23T22:00:59.000000001Z twin of 59\n")
        again = asyncio.create_task(anext(following))
        server.end_watches()  # the connection ends: it goes on where it was
        await until(lambda: server.count("sinceTime=", without="") >= 2)
        await until(lambda: server._log_waiters)
        server.write_log(b"2026-11-23T22:01:00.000000001Z line 60\n")
        assert (await asyncio.wait_for(again, 20)).data == b"line 60\n"
        await following.aclose()
        with pytest.raises(Unsupported):
            await log.read(0, 10)
        await log.close()


async def test_a_log_is_given_from_a_time_on_and_goes_on_after_it(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        _stream, log = await log_of(backend, server)
        at = datetime(2026, 11, 23, 22, 0, 57, tzinfo=UTC).timestamp()
        chunk, whole = await log.since(at, 1 << 20)
        assert (chunk.data, whole) == (b"line 57\nline 58\nline 59\n", True)
        chunk, whole = await log.since(at, 10)
        assert (chunk.data, whole) == (b"line 57\nline 58\n", False)
        following = log.follow(chunk)
        first = asyncio.create_task(anext(following))
        assert (await asyncio.wait_for(first, 20)).data == b"line 59\n", "what was not given comes"
        await following.aclose()
        assert await log.since(at + 1e6, 10) == (LogChunk(data=b""), True)
        await log.close()


async def test_follow_ends_with_its_pod(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        stream, log = await log_of(backend, server)
        tail = await log.tail(100)
        reading = asyncio.create_task(_all(log.follow(tail)))
        await until(lambda: server._log_waiters)
        pod = next(each for each in server.lists[PODS] if each["metadata"]["name"] == stream.key["pod"])
        server.put(PODS, {**pod, "status": {**pod["status"], "phase": "Succeeded"}})
        server.write_log(b"2026-11-23T22:01:00.000000001Z the end\n")
        server.end_watches()
        assert await asyncio.wait_for(reading, 20) == b"the end\n"


async def _all(chunks: AsyncIterator[LogChunk]) -> bytes:
    return b"".join([chunk.data async for chunk in chunks])


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (None, NoSuchFile, "has no node yet"),
        (Fault("/log", code=400, body=recorded("log-no-such-container")), NoSuchFile, "container nope is not valid"),
        (
            Fault("/log", code=403, body=recorded("log-forbidden")),
            Denied,
            "may not get pods/log in namespace train-llm",
        ),
        (Fault("/log", code=404, body=recorded("node-absent")), NoSuchFile, "the pod is gone"),
        (
            Fault(
                "/log", code=500, body=b'{"message":"Get \\"https://10.0.0.1:10250/containerLogs/a/b/c\\": refused"}'
            ),
            Unreachable,
            "kubelet of the node does not answer",
        ),
        (Fault("/log", code=-1), TimedOut, "the kubelet of its node gives no log"),
    ],
)
async def test_why_there_is_no_log(
    server: KubeServer, tmp_path: Path, fault: Fault | None, kind: type[SourceError], says: str
) -> None:
    async with opened(
        tmp_path, server.url, settings={"timeout_s": 1.0 if fault and fault.code == -1 else 10.0}
    ) as backend:
        stream = (await backend.log_streams("llm-70b"))[0]
        if fault is not None:
            server.faults.append(fault)
        log = await backend.open_log(stream)
        with pytest.raises(kind) as error:
            await log.tail(1000)
        assert says in error.value.what


async def test_a_line_without_an_end_is_no_danger(server: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, server.url) as backend:
        stream, log = await log_of(backend, server)
        server.logs[f"train-llm/{stream.key['pod']}"] = b"2026-11-23T22:00:00.000000001Z " + b"x" * (8 << 20)
        assert await log.tail(5000) == LogChunk(data=b"x" * 5000)


# ---- the doctor


async def test_the_doctor_tells_what_works_and_what_is_denied(server: KubeServer, tmp_path: Path) -> None:
    server.forbidden = {"nodes", "pods"}
    server.namespaces = {"train-llm"}
    async with opened(tmp_path, server.url, {"token": "t"}, namespace="train-llm") as backend:
        checks = {check.subject: check for check in await backend.doctor()}
        assert checks["kubeconfig"].state is CheckState.OK
        assert checks["login"].detail == "a token"
        assert checks["API server"].detail.endswith("v1.36.3")
        assert checks["user"].detail == "the server knows us as admin"
        assert checks["nodes"].state is CheckState.DENIED
        assert "kubectl auth can-i list nodes" in checks["nodes"].remedy
        assert (checks["pods"].state, checks["pods"].detail) == (CheckState.WARNING, "only of train-llm")
        assert checks["jobs.batch"].state is CheckState.OK
        assert "rayjobs.ray.io" in checks["not installed"].detail
        assert checks["logs"].state is CheckState.OK


# ---- size


async def test_a_large_job_is_one_record(tmp_path: Path) -> None:
    server = KubeServer.of_recordings()
    seed = [each for each in server.lists[PODS] if each["metadata"]["name"].startswith("llm-70b")]
    made = []
    for number in range(2000):
        pod = json.loads(json.dumps(seed[number % len(seed)]))
        pod["metadata"] |= {"name": f"big-{number}", "uid": str(number)}
        made.append(pod)
    server.lists[PODS] = made
    async with server.running(), opened(tmp_path, server.url) as backend:
        records = await backend.jobs()
        assert len(backend.board.pods) == 2000
        assert next(job for job in records.jobs if job.id == "train-llm/job/llm-70b").accelerators == 16_000
        assert server.count("GET /api/v1/pods?limit=500") == 4


async def test_fifty_thousand_pods_are_read_in_pages_and_kept_small(tmp_path: Path) -> None:
    server = KubeServer.of_recordings()
    seed = next(each for each in server.lists[PODS] if each["metadata"]["name"].startswith("llm-70b"))
    server.lists[PODS] = [
        {**seed, "metadata": {**seed["metadata"], "name": f"big-{number}", "uid": str(number)}}
        for number in range(50_000)
    ]
    async with server.running(), opened(tmp_path, server.url) as backend:
        before = psutil.Process().memory_info().rss
        records = await backend.jobs()
        assert len(backend.board.pods) == 50_000
        assert sum(job.accelerators or 0 for job in records.jobs if job.id == "train-llm/job/llm-70b") == 400_000
        assert server.count("GET /api/v1/pods?limit=500") == 100
        # As they came they are 300 MB and more; the client's own objects of them would be gigabytes.
        assert psutil.Process().memory_info().rss - before < 150e6


async def test_an_event_with_a_megabyte_to_say_is_cut(server: KubeServer, tmp_path: Path) -> None:
    for event in server.lists["/api/v1/events"]:
        if event["involvedObject"]["name"].startswith("llm-70b"):
            event["message"] = "loud-words\x1b[31m" * 80_000
    async with opened(tmp_path, server.url) as backend:
        await settled(server, backend)
        found = await backend.explain("train-llm/job/llm-70b")
        loud = [one.text for one in found.events if "loud-words" in one.text]
        assert loud
        assert all(len(text) <= 500 and text.endswith("…") and "\x1b" not in text for text in loud)


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    from plugins.kubernetes import plugin

    with pytest.raises(ConfigError):
        plugin.open(object(), Site({}))
