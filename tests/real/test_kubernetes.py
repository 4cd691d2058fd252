"""The Kubernetes plugin on a real control plane: what it shows, what it costs, and what it says when parts die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.errors import Denied, TimedOut, Unreachable
from console.model import Explanation, Job, JobState, Node, NodeState, Records
from console.plugin import CheckState
from plugins.kubernetes.backend import KubernetesBackend
from plugins.kubernetes.mirror import Timing
from plugins.kubernetes.settings import KubernetesSettings
from tests.real.kube_cluster import KubeCluster, furnish, job, missing, pod_spec, wait_until
from tests.real.kube_cluster import kube as kube  # noqa: PLC0414 - a fixture
from tests.unit.kube_server import Site

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(2400)]

JOBS, PODS = "/apis/batch/v1/namespaces/lab/jobs", "/api/v1/namespaces/lab/pods"
QUICK = Timing(first_pause_s=0.2, last_pause_s=2.0)


class Console:
    """A backend and what it told so far, as the store would keep it."""

    def __init__(self, backend: KubernetesBackend) -> None:
        self.backend = backend
        self.nodes: dict[str, Node] = {}
        self.jobs: dict[str, Job] = {}

    async def look(self) -> None:
        """Take what is new."""
        for records in (await self.backend.inventory(), await self.backend.jobs()):
            self.take(records)

    def take(self, records: Records) -> None:
        """Apply what was told."""
        if "nodes" in records.complete:
            self.nodes.clear()
        if "jobs" in records.complete:
            self.jobs.clear()
        self.nodes.update((node.name, node) for node in records.nodes)
        self.jobs.update((job.id, job) for job in records.jobs)
        for name in records.gone_nodes:
            del self.nodes[name]
        for name in records.gone_jobs:
            del self.jobs[name]

    async def until(self, done: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
        """Look until something is so."""
        end = time.monotonic() + seconds
        while True:
            await self.look()
            if done():
                return
            assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}: {self.jobs}"
            await asyncio.sleep(0.1)

    def state(self, name: str) -> JobState | None:
        """Return the state of a job in `lab`."""
        found = self.jobs.get(f"lab/job/{name}")
        return found.state if found else None


@contextlib.asynccontextmanager
async def console(
    kube: KubeCluster, user: str = "admin", namespace: str = "default", **settings: Any
) -> AsyncIterator[Console]:
    """Yield a console of a user."""
    site = Site({"KUBECONFIG": str(kube.kubeconfig(user, namespace)), "HOME": "/nonexistent"})
    backend = KubernetesBackend(KubernetesSettings(**settings), site, QUICK)
    try:
        yield Console(backend)
    finally:
        await backend.close()


@pytest.fixture
def clean(kube: KubeCluster) -> Iterator[KubeCluster]:
    """The control plane; the jobs and pods that the test leaves are deleted."""
    yield kube
    for path in (JOBS, PODS):
        kube.call("DELETE", path, {"propagationPolicy": "Background", "gracePeriodSeconds": 0})
    wait_until(lambda: not kube.call("GET", PODS)[1].get("items"), "pods to go")
    for plural in ("resourcequotas",):
        kube.call("DELETE", f"/api/v1/namespaces/lab/{plural}")


async def test_jobs_come_run_and_end_by_watches_alone(clean: KubeCluster) -> None:
    async with console(clean) as it:
        await it.look()
        assert {node.state for node in it.nodes.values()} == {NodeState.UP}
        assert it.nodes["gpu1"].accelerators_total == 8
        version = (await it.backend.inventory()).cluster or it.backend._cluster()
        assert (version.version or "").startswith("v1.")
        lists = sum(kind.lists for kind in it.backend.watching.kinds.values())
        clean.create(JOBS, job("long", 2, pod_spec(8)))
        clean.create(JOBS, job("short", 1, pod_spec(1), {"quarterdeck.test/end": "Completed"}))
        clean.create(JOBS, job("sick", 1, pod_spec(1), {"quarterdeck.test/end": "OOMKilled"}))
        await it.until(
            lambda: it.state("long") is JobState.RUNNING and len(it.jobs["lab/job/long"].node_names) == 2, "long"
        )
        await it.until(lambda: it.state("short") is JobState.COMPLETED, "short")
        await it.until(lambda: it.state("sick") is JobState.FAILED, "sick")
        long = it.jobs["lab/job/long"]
        assert (long.accelerators, long.account) == (16, "lab")
        assert all(it.nodes[name].accelerators_allocated == 8 for name in long.node_names)
        assert it.jobs["lab/job/sick"].exit_code == 137
        clean.call("DELETE", f"{JOBS}/long", {"propagationPolicy": "Background"})
        await it.until(lambda: it.state("long") is None, "long to go")
        await it.until(lambda: not any(node.accelerators_allocated for node in it.nodes.values()), "GPUs to be free")
        assert sum(kind.lists for kind in it.backend.watching.kinds.values()) == lists, "nothing is listed again"


async def test_cordon_shows(clean: KubeCluster) -> None:
    async with console(clean) as it:
        await it.look()
        clean.patch("/api/v1/nodes/gpu5", {"spec": {"unschedulable": True}})
        try:
            await it.until(lambda: it.nodes["gpu5"].state is NodeState.DRAINED, "the cordon")
            assert it.nodes["gpu5"].reason == "cordoned"
            assert it.nodes["gpu5"].scheduler_state == "Ready,SchedulingDisabled"
        finally:
            clean.patch("/api/v1/nodes/gpu5", {"spec": {"unschedulable": None}})
        await it.until(lambda: it.nodes["gpu5"].state is NodeState.UP, "the end of the cordon")


async def explained(it: Console, name: str, code: str) -> Explanation:
    """Return an explanation as soon as its first cause is the one that is waited for."""
    end = time.monotonic() + 60
    while True:
        await it.look()
        if it.state(name) is not None:
            found = await it.backend.explain(name)
            if found.causes and found.causes[0].code == code:
                return found
        assert time.monotonic() < end, f"{name}: {it.jobs.get(f'lab/job/{name}')}"
        await asyncio.sleep(0.2)


async def test_why_jobs_wait(clean: KubeCluster) -> None:
    quota = {"metadata": {"name": "gpus"}, "spec": {"hard": {"requests.nvidia.com/gpu": "40"}}}
    clean.create("/api/v1/namespaces/lab/resourcequotas", quota)
    clean.create(JOBS, job("fills", 4, pod_spec(8)))
    async with console(clean) as it:
        await it.until(
            lambda: it.state("fills") is JobState.RUNNING and len(it.jobs["lab/job/fills"].node_names) == 4, "fills"
        )
        clean.create(JOBS, job("asks", 1, pod_spec(4)))
        await it.until(lambda: it.state("asks") is JobState.RUNNING, "asks")
        clean.create(JOBS, job("waits", 1, pod_spec(0, nodeSelector={"no": "where"})))
        clean.create(JOBS, job("over", 1, pod_spec(8)))
        clean.create(JOBS, job("gated", 1, pod_spec(0, schedulingGates=[{"name": "example.com/review"}])))
        clean.create(JOBS, job("unseen", 1, pod_spec(0, schedulerName="volcano")))
        clean.create(JOBS, job("held", 1, pod_spec(0), suspend=True))
        clean.create(JOBS, job("image", 1, pod_spec(0), {"quarterdeck.test/image": "ImagePullBackOff"}))
        over = await explained(it, "over", "exceeded quota")
        assert "used 36 of 40" in over.causes[0].text
        (limit,) = over.limits
        assert (limit.used, limit.limit, limit.asked) == (36.0, 40.0, 8.0)
        waits = await explained(it, "waits", "node(s) didn't match Pod's node affinity/selector")
        assert waits.causes[0].nodes == 6
        assert any("FailedScheduling" in event.text for event in waits.events)
        await explained(it, "gated", "SchedulingGated")
        unseen = await explained(it, "unseen", "no scheduler")
        assert "volcano does not run here" in unseen.summary
        await explained(it, "held", "Suspended")
        await explained(it, "image", "ImagePullBackOff")
        clean.delete("/api/v1/namespaces/lab/resourcequotas/gpus")
        clean.create(JOBS, job("full", 1, pod_spec(8)))
        full = await explained(it, "full", "Insufficient nvidia.com/gpu")
        fits = {fit.why.partition(":")[0]: (fit.count, fit.accelerators_free) for fit in full.fits}
        assert fits == {"busy": (4, 0), "fragmented": (1, 4)}


async def test_a_user_of_one_namespace_sees_that_and_what_is_missing(clean: KubeCluster) -> None:
    clean.create(JOBS, job("mine", 1, pod_spec(8)))
    async with console(clean, "alice", "lab") as it:
        with pytest.raises(Denied, match="may not list nodes in the whole cluster"):
            await it.backend.inventory()
        end = time.monotonic() + 60
        while it.state("mine") is not JobState.RUNNING:
            it.take(await it.backend.jobs())
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        (name,) = it.jobs["lab/job/mine"].node_names
        assert it.nodes[name].state is NodeState.UNKNOWN
        assert it.nodes[name].accelerators_allocated == 8
        checks = {check.subject: check for check in await it.backend.doctor()}
        assert checks["nodes"].state is CheckState.DENIED
        assert checks["pods"].detail == "only of lab"
        assert checks["user"].detail == "the server knows us as alice"
        assert checks["logs"].state is CheckState.OK
    async with console(clean, "nobody") as it:
        with pytest.raises(Denied):
            await it.backend.jobs()
    async with console(clean, "stranger") as it:
        with pytest.raises(Denied, match="credentials of user stranger are refused"):
            await it.backend.jobs()


async def test_pods_of_other_kinds_fold_to_their_owner(clean: KubeCluster) -> None:
    path = "/apis/kubeflow.org/v1/namespaces/lab/pytorchjobs"
    replicas = {
        "Master": {"replicas": 1, "template": {"spec": pod_spec(8)}},
        "Worker": {"replicas": 1, "template": {"spec": pod_spec(8)}},
    }
    clean.create(
        path,
        {
            "apiVersion": "kubeflow.org/v1",
            "kind": "PyTorchJob",
            "metadata": {"name": "pt"},
            "spec": {"pytorchReplicaSpecs": replicas},
        },
        {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "broken"}, "spec": "nonsense"},
    )
    uid = clean.call("GET", f"{path}/pt")[1]["metadata"]["uid"]
    owner = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "name": "pt", "uid": uid, "controller": True}
    for role, index in (("master", "0"), ("worker", "0")):
        labels = {"training.kubeflow.org/replica-type": role, "training.kubeflow.org/replica-index": index}
        meta = {"name": f"pt-{role}-{index}", "labels": labels, "ownerReferences": [owner]}
        clean.create(PODS, {"metadata": meta, "spec": pod_spec(8)})
    try:
        async with console(clean) as it:
            await it.until(
                lambda: "lab/pytorchjob/pt" in it.jobs and it.jobs["lab/pytorchjob/pt"].accelerators == 16, "pt"
            )
            await it.until(lambda: len(it.jobs["lab/pytorchjob/pt"].node_names) == 2, "its pods to run")
            streams = await it.backend.log_streams("pt")
            assert [stream.name for stream in streams] == ["master 0", "worker 0"], "the master first"
            assert "1 broken pytorchjobs.kubeflow.org left out" in str((await it.backend.jobs()).detail)
    finally:
        for name in ("pt", "broken"):
            clean.delete(f"{path}/{name}")


async def test_devices_of_resource_claims_count(clean: KubeCluster) -> None:
    dra = "/apis/resource.k8s.io/v1"
    driver = "gpu.nvidia.com"
    devices = [{"name": f"gpu-{index}", "attributes": {"type": {"string": "gpu"}}} for index in range(4)]
    pool = {"name": "cpu1", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": driver, "nodeName": "cpu1", "pool": pool, "devices": devices}
    wants = {"name": "gpus", "exactly": {"deviceClassName": driver, "count": 2}}
    clean.create(f"{dra}/deviceclasses", {"metadata": {"name": driver}, "spec": {}})
    clean.create(f"{dra}/resourceslices", {"metadata": {"name": "cpu1-gpus"}, "spec": spec})
    claims = f"{dra}/namespaces/lab/resourceclaims"
    clean.create(claims, {"metadata": {"name": "two"}, "spec": {"devices": {"requests": [wants]}}})
    holder = pod_spec(0, resourceClaims=[{"name": "gpus", "resourceClaimName": "two"}])
    holder["containers"][0]["resources"]["claims"] = [{"name": "gpus"}]
    clean.create(PODS, {"metadata": {"name": "claims"}, "spec": holder})
    try:
        async with console(clean) as it:
            await it.until(lambda: "lab/pod/claims" in it.jobs, "the scheduler to give the devices")
            await it.until(lambda: it.nodes["cpu1"].accelerators_allocated == 2, "their use to show")
            assert it.jobs["lab/pod/claims"].accelerators == 2
            assert it.nodes["cpu1"].accelerators_total == 4
            assert it.nodes["cpu1"].detail[driver] == "2 of 4 in use"
            clean.call("DELETE", f"{PODS}/claims", {"gracePeriodSeconds": 0})
            await it.until(lambda: it.nodes["cpu1"].accelerators_allocated == 0, "the devices to be free")
    finally:
        for path in (f"{claims}/two", f"{dra}/resourceslices/cpu1-gpus", f"{dra}/deviceclasses/{driver}"):
            clean.call("DELETE", path)


async def test_logs_come_through_the_server_and_go_on(clean: KubeCluster) -> None:
    clean.create(JOBS, job("talks", 1, pod_spec(0)))
    async with console(clean) as it:
        await it.until(lambda: it.state("talks") is JobState.RUNNING, "talks")
        (stream,) = await it.backend.log_streams("lab/job/talks")
        log = await it.backend.open_log(stream)
        tail = await log.tail(4096)
        assert tail.data.startswith(b"step=1 loss=1.9134\n")
        assert tail.data.endswith(b"step=3 loss=1.9141\n") or tail.data.endswith(b"loss=1.9141\n")
        following: Any = log.follow(tail)
        after: asyncio.Task[Any] = asyncio.create_task(anext(following))
        with (clean.logs / "train.log").open("ab") as file:
            for _ in range(100):
                file.write(b"2026-11-23T22:01:00.000000001Z stdout F step=4 loss=1.9\n")
                file.flush()
                await asyncio.sleep(0.2)
                if after.done():
                    break
        assert (await asyncio.wait_for(after, 60)).data == b"step=4 loss=1.9\n"
        await following.aclose()


# ---- when the control plane is ill: one of its own, as it is broken


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[KubeCluster]:
    """A control plane that the test may break."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    with KubeCluster(tmp_path / "kube") as found:
        furnish(found)
        yield found


async def test_the_control_plane_is_killed_stopped_and_starved(fragile: KubeCluster) -> None:
    async with console(fragile, timeout_s=3.0) as it:
        await it.look()
        assert len(it.nodes) == 6
        nodes = it.backend.watching.kinds["nodes"]
        lists = nodes.lists
        fragile.stop("apiserver", signal.SIGKILL)
        await failing(it, Unreachable)
        assert len(it.nodes) == 6, "what was known stays known"
        fragile.start("apiserver")
        fragile.ready()
        fragile.create(JOBS, job("after", 1, pod_spec(8)))
        await recovered(it)
        await it.until(lambda: it.state("after") is JobState.RUNNING, "after")
        assert nodes.lists <= lists + 2, "a restart costs one list at most, and one more if that failed"
        fragile.signal("apiserver", signal.SIGSTOP)
        try:
            async with console(fragile, timeout_s=1.0) as late:
                with pytest.raises(TimedOut):
                    await late.backend.inventory()
        finally:
            fragile.signal("apiserver", signal.SIGCONT)
        fragile.ready()
        fragile.signal("etcd", signal.SIGSTOP)
        try:
            async with console(fragile, timeout_s=2.0) as late:
                await late.until(lambda: len(late.nodes) == 6, "the server's cache")
                error = late.backend.watching.kinds["nodes"].error
                assert isinstance(error, TimedOut)
                assert "may be old" in error.what
                await failing(late, TimedOut)
        finally:
            fragile.signal("etcd", signal.SIGCONT)
        fragile.ready()
        await recovered(it)


async def failing(it: Console, kind: type[Exception]) -> None:
    """Wait until the backend says that it is not well."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            await it.backend.inventory()
        except kind:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it never said so")


async def recovered(it: Console) -> None:
    """Wait until every kind is well again."""
    end = time.monotonic() + 90
    while any(kind.error is not None for kind in it.backend.watching.kinds.values()):
        assert time.monotonic() < end, [str(kind.error) for kind in it.backend.watching.kinds.values()]
        await asyncio.sleep(0.2)


# ---- the whole program


def qd(kube: KubeCluster, home: Path, *words: str, user: str = "admin") -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBECONFIG": str(kube.kubeconfig(user)),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "LC_ALL": "C.UTF-8",
    }
    argv = [sys.executable, "-m", "console.cli", *words]
    return subprocess.run(argv, capture_output=True, text=True, env=environ, timeout=120, check=False)


def test_without_any_configuration_qd_finds_the_current_context(clean: KubeCluster, tmp_path: Path) -> None:
    clean.create(JOBS, job("seen", 1, pod_spec(8)))
    wait_until(lambda: clean.call("GET", f"{JOBS}/seen")[1]["status"].get("ready"), "seen to run")
    done = qd(clean, tmp_path, "snapshot", "--json", "--cluster", "kube")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [cluster["kind"] for cluster in shown["clusters"]] == ["kubernetes"]
    assert len(shown["nodes"]) == 6
    (mine,) = [one for one in shown["jobs"] if one["id"] == "lab/job/seen"]
    assert (mine["state"], mine["accelerators"]) == ("running", 8)
    assert {source["state"] for source in shown["sources"]} == {"ok"}
    denied = qd(clean, tmp_path, "snapshot", "--json", "--cluster", "kube", user="nobody")
    assert denied.returncode == 4, denied.stdout
