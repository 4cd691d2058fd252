"""Acting on Kubernetes over real HTTP: fresh looks past the watches, and what becomes of requests that change things."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from console.errors import CommandFailed, ConnectionLost, Denied, SourceError, TimedOut
from console.model import Call, JobState, NodeState, Order, Step
from console.plugin import Adviser, Drainer, JobControl
from plugins.kubernetes import acting, fresh
from plugins.kubernetes.access import Right, needed
from plugins.kubernetes.fresh import key_of
from tests.unit.kube_server import Fault, KubeServer, recorded, status
from tests.unit.test_kube_backend import JOBS, NODES, PODS, opened, settled
from tests.unit.test_kube_backend import server as server  # noqa: PLC0414 - a fixture

BUDGETS = "/apis/policy/v1/poddisruptionbudgets"
NOTEBOOK = "/api/v1/namespaces/train-llm/pods/notebook-alice"


def find(server: KubeServer, path: str, name: str) -> dict[str, Any]:
    """Return an object of the server itself: what is changed in it no watch tells."""
    return next(each for each in server.lists[path] if each["metadata"]["name"] == name)


@pytest.fixture
async def cluster(server: KubeServer) -> KubeServer:
    server.lists[BUDGETS] = []
    return server


def drain(*names: str) -> Order:
    return Order(action="drain", cluster="kube", names=names, reason="fan", by="ann")


async def test_it_acts_and_says_what_to_do_instead(cluster: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, cluster.url) as backend:
        assert isinstance(backend, Drainer)
        assert isinstance(backend, JobControl)
        assert isinstance(backend, Adviser)
        assert "priority" not in backend.job_actions, "before it is known whether Kueue is there"
        await settled(cluster, backend)
        assert {"priority", "move"} <= backend.job_actions
        assert not backend.instead.keys() & backend.node_actions


# ---- fresh looks


@pytest.mark.parametrize("few", [256, 1])
async def test_nodes_are_looked_at_past_the_watches(
    cluster: KubeServer, tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh, "FEW", few)
    async with opened(tmp_path, cluster.url) as backend:
        await settled(cluster, backend)
        find(cluster, NODES, "gpu-a01")["spec"]["unschedulable"] = True
        for pod in [each for each in cluster.lists[PODS] if each["spec"].get("nodeName") == "gpu-a02"]:
            cluster.lists[PODS].remove(pod)
        first, second = await backend.look_nodes(["gpu-a01", "no-such", "../../secrets", "gpu-a02"])
        assert (first.name, first.state) == ("gpu-a01", NodeState.DRAINING)
        assert (second.name, second.state, second.accelerators_allocated) == ("gpu-a02", NodeState.UP, 0)
        assert backend.board.nodes["gpu-a01"].state is NodeState.UP, "the watch has not told"
        assert not any("secrets" in line for line in cluster.asked)


async def test_jobs_are_looked_at_past_the_watches(cluster: KubeServer, tmp_path: Path) -> None:
    async with opened(tmp_path, cluster.url) as backend:
        await settled(cluster, backend)
        find(cluster, JOBS, "llm-70b")["status"] = {
            "conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]
        }
        ids = [
            "train-llm/job/llm-70b",
            "train-llm/job/no-such",
            "llm-70b",
            "a/../../b/job/x",
            "train-llm/pod/notebook-alice",
        ]
        first, second = await backend.look_jobs(ids)
        assert (first.id, first.state) == ("train-llm/job/llm-70b", JobState.TIMEOUT)
        assert second.id == "train-llm/pod/notebook-alice"
        assert backend.board.works["job", "train-llm", "llm-70b"].state is None, "the watch has not told"


async def test_a_kind_that_is_ill_costs_others_nothing_and_its_own_jobs_their_answer(
    cluster: KubeServer, tmp_path: Path
) -> None:
    async with opened(tmp_path, cluster.url) as backend:
        await settled(cluster, backend)
        cluster.faults.append(Fault("/jobsets", 500, status(500, "InternalError", "conversion webhook is ill")))
        assert len(await backend.look_jobs(["train-llm/job/llm-70b"])) == 1
        with pytest.raises(SourceError, match="conversion webhook"):
            await backend.look_jobs(["train-llm/jobset/x"])


def test_ids_of_jobs_are_read_strictly() -> None:
    assert key_of("lab/job/train-0") == ("job", "lab", "train-0")
    for text in (
        "train",
        "lab/train",
        "lab/job/a/b",
        "lab/job/",
        "LAB/job/x",
        "../job/x",
        "lab/job/x?y",
        "lab/job/x\n",
    ):
        assert key_of(text) is None


# ---- plans


@pytest.mark.parametrize("few", [256, 0])
async def test_a_drain_is_planned_from_what_is_there_now(
    cluster: KubeServer, tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "FEW", few)
    async with opened(tmp_path, cluster.url) as backend:
        await settled(cluster, backend)
        nodes = await backend.look_nodes(["gpu-a01"])
        draft = await backend.plan_nodes(drain("gpu-a01"), nodes, ())
        assert draft.steps[0].text == "cordon gpu-a01"
        assert {step.phase for step in draft.steps[1:]} == {1}
        here = {each["metadata"]["name"] for each in cluster.lists[PODS] if each["spec"].get("nodeName") == "gpu-a01"}
        assert {step.text.rpartition("/")[2] for step in draft.steps[1:]} <= here
        assert "train-llm/job/llm-70b" in draft.effects
        assert all(line.startswith(("GET", "POST /apis/auth")) for line in cluster.asked), "nothing was changed"


async def test_who_may_not_see_pods_drains_nothing(cluster: KubeServer, tmp_path: Path) -> None:
    cluster.forbidden = {"pods"}
    async with opened(tmp_path, cluster.url) as backend:
        await backend.inventory()
        (node,) = await backend.look_nodes(["gpu-a01"])
        assert "may not list pods" in node.missing["accelerators_allocated"]
        draft = await backend.plan_nodes(drain("gpu-a01"), (node,), ())
        assert any(
            "which pods would be evicted is not known: you may not list pods" in text for text in draft.blocked_by
        )
        cluster.forbidden = {"nodes"}
        with pytest.raises(Denied):
            await backend.look_nodes(["gpu-a01"])


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("PATCH", "/api/v1/nodes/gpu1", Right("patch", "", "nodes", "", "")),
        ("POST", "/api/v1/namespaces/lab/pods/a/eviction", Right("create", "", "pods", "lab", "eviction")),
        ("DELETE", "/api/v1/namespaces/lab/pods/a", Right("delete", "", "pods", "lab", "")),
        ("PATCH", "/apis/batch/v1/namespaces/lab/jobs/a", Right("patch", "batch", "jobs", "lab", "")),
    ],
)
def test_the_right_that_a_request_needs(method: str, path: str, right: Right) -> None:
    assert needed(Call(method=method, path=path)) == right


# ---- doing


def eviction(uid: str, timeout_s: float = 20.0) -> Step:
    body = json.dumps({"kind": "Eviction", "deleteOptions": {"preconditions": {"uid": uid}}})
    call = Call(method="POST", path=f"{NOTEBOOK}/eviction", body=body)
    return Step(cluster="kube", names=("cpu-02",), run=call, text="evict train-llm/notebook-alice", timeout_s=timeout_s)


def uid_of(server: KubeServer) -> str:
    return str(find(server, PODS, "notebook-alice")["metadata"]["uid"])


async def test_a_budget_is_asked_again_until_it_lets_go(
    cluster: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "_AGAIN_S", 0.01)
    cluster.faults.append(Fault("POST " + NOTEBOOK, 429, recorded("evict-blocked"), times=3))
    async with opened(tmp_path, cluster.url) as backend:
        await backend.perform(eviction(uid_of(cluster)))
        assert cluster.count("POST " + NOTEBOOK) == 4
        assert not any(each["metadata"]["name"] == "notebook-alice" for each in cluster.lists[PODS])


async def test_a_budget_that_never_lets_go_is_given_up_with_its_name(
    cluster: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "_AGAIN_S", 0.05)
    cluster.faults.append(Fault("POST " + NOTEBOOK, 429, recorded("evict-blocked")))
    async with opened(tmp_path, cluster.url) as backend:
        with pytest.raises(CommandFailed) as error:
            await backend.perform(eviction(uid_of(cluster), timeout_s=3.2))
        assert "evict train-llm/notebook-alice" in error.value.what
        assert "dataset-cache needs 2 healthy pods" in error.value.what
        assert "nothing was forced" in error.value.hint
        assert find(cluster, PODS, "notebook-alice")


async def test_two_budgets_over_one_pod_are_no_reason_to_ask_again(cluster: KubeServer, tmp_path: Path) -> None:
    cluster.faults.append(Fault("POST " + NOTEBOOK, 500, recorded("evict-two-budgets")))
    async with opened(tmp_path, cluster.url) as backend:
        with pytest.raises(CommandFailed, match="more than one PodDisruptionBudget"):
            await backend.perform(eviction(uid_of(cluster)))
        assert cluster.count("POST " + NOTEBOOK) == 1


async def test_another_pod_of_the_same_name_is_neither_evicted_nor_waited_for(
    cluster: KubeServer, tmp_path: Path
) -> None:
    said = "the UID in the precondition (old) does not match the UID in record (new)"
    cluster.faults.append(Fault("POST " + NOTEBOOK, 409, status(409, "Conflict", said)))
    async with opened(tmp_path, cluster.url) as backend:
        await backend.perform(eviction("old"))
        assert cluster.count("POST " + NOTEBOOK) == 1
        cluster.faults[:] = [Fault("POST " + NOTEBOOK, 201, b"{}")]
        await backend.perform(eviction("old"))
        assert cluster.count("GET " + NOTEBOOK) == 2


async def test_a_conflict_about_the_very_pod_is_asked_again(
    cluster: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "_AGAIN_S", 0.01)
    cluster.faults.append(Fault("POST " + NOTEBOOK, 409, status(409, "Conflict", "modified"), times=2))
    async with opened(tmp_path, cluster.url) as backend:
        await backend.perform(eviction(uid_of(cluster)))
        assert cluster.count("POST " + NOTEBOOK) == 3


async def test_an_evicted_pod_that_does_not_end_is_told_at_the_deadline(cluster: KubeServer, tmp_path: Path) -> None:
    cluster.faults.append(Fault("POST " + NOTEBOOK, 201, b"{}"))
    async with opened(tmp_path, cluster.url) as backend:
        with pytest.raises(CommandFailed, match="it is evicted and does not end"):
            await backend.perform(eviction(uid_of(cluster), timeout_s=3.5))
        cluster.faults.append(Fault("GET " + NOTEBOOK, 0))
        with pytest.raises(CommandFailed, match="whether it is gone is not known"):
            await backend.perform(eviction(uid_of(cluster), timeout_s=3.5))


PATCH = Step(
    cluster="kube", names=("gpu-a01",), text="cordon gpu-a01",
    run=Call(method="PATCH", path="/api/v1/nodes/gpu-a01", body='[{"op":"test","path":"/metadata/uid","value":"x"}]'),
)  # fmt: skip
DELETE = Step(
    cluster="kube", names=("x",), run=Call(method="DELETE", path="/apis/batch/v1/namespaces/a/jobs/b", body="{}")
)


@pytest.mark.parametrize(
    ("code", "body", "kind", "doubt"),
    [
        (0, b"", ConnectionLost, True),
        (-1, b"", TimedOut, True),
        (500, status(500, "InternalError", "etcdserver: request timed out"), SourceError, True),
        (429, status(429, "TooManyRequests", "too many"), SourceError, False),
        (403, recorded("nodes-alice"), Denied, False),
        (
            422,
            status(422, "Invalid", "the server rejected our request due to an error in our request"),
            CommandFailed,
            False,
        ),
    ],
)
async def test_whether_a_change_happened_is_said_where_that_is_not_known(
    cluster: KubeServer, tmp_path: Path, code: int, body: bytes, kind: type[SourceError], doubt: bool
) -> None:
    cluster.faults.append(Fault("PATCH", code, body))
    async with opened(tmp_path, cluster.url, settings={"timeout_s": 1.0}) as backend:
        with pytest.raises(kind) as error:
            await backend.perform(PATCH)
        assert ("whether it happened is not known" in error.value.what) is doubt
        assert cluster.count("PATCH") == 1, "nothing is tried twice"


async def test_a_patch_goes_out_as_it_stands_in_the_plan(cluster: KubeServer, tmp_path: Path) -> None:
    cluster.faults.append(Fault("PATCH", 200, b"{}"))
    async with opened(tmp_path, cluster.url) as backend:
        await backend.perform(PATCH)
        at = cluster.asked.index("PATCH /api/v1/nodes/gpu-a01")
        assert cluster.headers[at]["Content-Type"] == "application/json-patch+json"


async def test_what_is_deleted_already_is_done(cluster: KubeServer, tmp_path: Path) -> None:
    gone = Fault("DELETE", 404, status(404, "NotFound", 'jobs.batch "b" not found'))
    cluster.faults += [gone, Fault("PATCH", 404, gone.body)]
    async with opened(tmp_path, cluster.url) as backend:
        await asyncio.wait_for(backend.perform(DELETE), 10)
        with pytest.raises(SourceError, match="not found"):
            await backend.perform(PATCH)
