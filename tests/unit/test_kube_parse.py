"""Bytes of the API server to facts and records: recorded answers of a real one, and what no real one should send."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import CommandFailed, Denied, SourceError, TimedOut, Unreachable
from console.model import ArrayPart, JobState, NodeState
from plugins.kubernetes.board import Board, job_id
from plugins.kubernetes.claims import ClaimReader, SliceReader
from plugins.kubernetes.failures import Busy, Conflict, Expired, Forbidden, Missing, Refused, failure
from plugins.kubernetes.jobs import JobMaker
from plugins.kubernetes.kinds import WANTED, Resource, Role, Wanted, discovered, has
from plugins.kubernetes.node import NodeFacts, NodeMaker, NodeReader
from plugins.kubernetes.objects import PodSpec
from plugins.kubernetes.pending import over_quota, scheduling
from plugins.kubernetes.pods import Pod, PodReader
from plugins.kubernetes.quantity import amount, whole
from plugins.kubernetes.queues import AdmissionReader, GangReader, QueueReader
from plugins.kubernetes.resources import Accelerators
from plugins.kubernetes.settings import AddressRule
from plugins.kubernetes.works import Work, WorkReader
from tests.unit.kube_server import items, recorded

ACCELERATORS = Accelerators()
WORKS = {each.short: each for each in WANTED if each.role is Role.WORK}


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


def node(**more: Any) -> NodeFacts:
    return NodeReader(ACCELERATORS, AddressRule.NONE).read(raw({"metadata": {"name": "n1"}, **more}))


def pod(name: str = "p", namespace: str = "lab", *, labels: Any = None, owner: Any = None, **more: Any) -> Pod:
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "labels": labels or {}}
    if owner:
        meta["ownerReferences"] = [{"controller": True, **owner}]
    return PodReader(ACCELERATORS).read(raw({"metadata": meta, **more}))


def work(short: str, name: str = "w", *, owner: Any = None, labels: Any = None, **more: Any) -> Work:
    meta: dict[str, Any] = {"name": name, "namespace": "lab", "labels": labels or {}}
    if owner:
        meta["ownerReferences"] = [{"controller": True, **owner}]
    return WorkReader(WORKS[short], ACCELERATORS).read(raw({"metadata": meta, **more}))


def gpus(count: int, resource: str = "nvidia.com/gpu") -> dict[str, Any]:
    return {"containers": [{"name": "main", "resources": {"requests": {resource: str(count)}}}]}


@pytest.fixture(scope="module")
def board() -> Board:
    """The recorded cluster."""
    found = Board(ACCELERATORS)
    nodes, pods = NodeReader(ACCELERATORS, AddressRule.NONE), PodReader(ACCELERATORS)
    for each in items("nodes"):
        found.node_changed(None, nodes.read(raw(each)))
    for each in items("pods"):
        found.pod_changed(None, pods.read(raw(each)))
    for short, name in (("job", "jobs"), ("jobset", "jobsets")):
        for each in items(name):
            found.work_changed(None, WorkReader(WORKS[short], ACCELERATORS, "quarterdeck.test/owner").read(raw(each)))
    for each in items("kueue-workloads"):
        found.admission_changed(None, AdmissionReader().read(raw(each)))
    for each in items("volcano-podgroups"):
        found.gang_changed(None, GangReader().read(raw(each)))
    return found


# ---- quantities


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8.0),
        ("100m", 0.1),
        ("2113544940Ki", 2113544940 * 1024.0),
        ("1.5Gi", 1.5 * 2**30),
        ("2e3", 2000.0),
        ("5E", 5e18),
        ("1k", 1000.0),
        ("", None),
        (None, None),
        ("many", None),
        ("1GiB", None),
        ("1Gi1", None),
        (4, 4.0),
    ],
)
def test_quantities(text: Any, value: float | None) -> None:
    found = amount(text)
    assert found == (None if value is None else pytest.approx(value))


@given(st.text(max_size=30))
def test_no_text_breaks_a_quantity(text: str) -> None:
    amount(text)
    assert isinstance(whole(text), int)


def test_a_pod_asks_for_the_largest_of_running_and_starting() -> None:
    spec = msgspec.convert(
        {
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "2"}}},
                {"name": "b", "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "500m"}}},
            ],
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "250m"}}},
                {"name": "init", "resources": {"requests": {"cpu": "4", "memory": "1Gi"}}},
            ],
            "overhead": {"cpu": "100m"},
        },
        PodSpec,
    )
    assert ACCELERATORS.asked(spec) == ((("nvidia.com/gpu", 3),), 4350, 2**30)


# ---- nodes


def test_recorded_nodes_say_how_they_are(board: Board) -> None:
    states = {name: facts.state for name, facts in board.nodes.items()}
    assert states.pop("gpu-a05") is NodeState.DRAINED
    assert states.pop("gpu-a07") is NodeState.UNREACHABLE
    assert states.pop("gpu-b06") is NodeState.DOWN
    assert set(states.values()) == {NodeState.UP}
    reasons = {name: facts.reason for name, facts in board.nodes.items() if facts.reason}
    assert reasons == {
        "gpu-a05": "cordoned",
        "gpu-a07": "no heartbeat from its kubelet: Kubelet stopped posting node status.",
        "gpu-a08": "DiskPressure: kubelet has disk pressure",
        "gpu-b02": "KernelDeadlock: task dockerd:1234 blocked for more than 120 seconds; "
        "GPUUnhealthy: NVRM: Xid (PCI:0000:4e:00): 79, GPU has fallen off the bus",
        "gpu-b04": "1 of 8 nvidia.com/gpu not allocatable",
        "gpu-b05": "taint quarterdeck.test/quarantine=xid79:NoSchedule",
        "gpu-b06": "not ready: container runtime is down, PLEG is not healthy: pleg was last seen active 3m41s ago",
    }
    assert board.nodes["gpu-a07"].reason_at is not None


def test_recorded_nodes_become_records_with_what_is_used(board: Board) -> None:
    maker = NodeMaker("kube", ACCELERATORS)
    records = {name: maker.record(facts, board.pods_on(name), pods_known=None) for name, facts in board.nodes.items()}
    used = {name: (node.accelerators_allocated, node.accelerators_total) for name, node in records.items()}
    assert used["gpu-a01"] == (8, 8)
    assert used["gpu-a05"] == (0, 8)
    assert used["gpu-a12"] == (0, 56), "MIG instances are what it gives out"
    assert used["gpu-b02"] == (5, 8)
    assert used["cpu-01"] == (0, 0)
    assert records["gpu-a01"].state is NodeState.BUSY
    assert records["gpu-a12"].state is NodeState.UP, "the pod of a DaemonSet is no work"
    assert records["gpu-a01"].accelerator_model == "NVIDIA-H100-80GB-HBM3"
    assert records["gpu-a01"].rack == "r1"
    assert records["gpu-a01"].memory_total_bytes == 2113544940 * 1024
    assert records["gpu-b04"].detail["nvidia.com/gpu"] == "1 of 8 in use, 7 allocatable"
    assert records["gpu-a01"].detail["rdma/hca"] == "8 of 8 in use"
    assert records["gpu-b02"].scheduler_state == "Ready,KernelDeadlock,GPUUnhealthy"


def test_where_pods_are_hidden_their_use_is_unknown_and_not_zero(board: Board) -> None:
    record = NodeMaker("kube", ACCELERATORS).record(board.nodes["gpu-a01"], [], pods_known="may not list pods")
    assert record.accelerators_allocated is None
    assert record.cpus_allocated is None
    assert "may not list pods" in record.missing["accelerators_allocated"]
    assert record.accelerators_total == 8


def test_a_cordoned_node_with_work_drains_and_a_heartbeat_is_no_change() -> None:
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
    facts = node(spec={"unschedulable": True}, status={"conditions": [ready]})
    maker = NodeMaker("kube", ACCELERATORS)
    running = pod(spec={"nodeName": "n1", **gpus(1)}, status={"phase": "Running"})
    assert maker.record(facts, [running], pods_known=None).state is NodeState.DRAINING
    assert maker.record(facts, [], pods_known=None).state is NodeState.DRAINED
    later = {**ready, "lastHeartbeatTime": "2026-01-01T00:05:00Z"}
    assert node(spec={"unschedulable": True}, status={"conditions": [later]}) == facts


def test_a_taint_named_after_a_device_is_no_trouble_and_devices_of_every_maker_count() -> None:
    facts = node(
        spec={"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        status={
            "capacity": {"habana.ai/gaudi": "8", "amd.com/gpu": "4", "nvidia.com/mig-3g.40gb": "2", "rdma/hca": "1"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    )
    assert "taint" not in facts.reason
    assert ACCELERATORS.total(facts.capacity) == 14
    assert node(status={"conditions": []}).state is NodeState.UNKNOWN


def test_the_address_of_a_node_is_given_as_the_setting_says() -> None:
    status = {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n1.x"}]}
    found = {
        rule: NodeReader(ACCELERATORS, rule).read(raw({"metadata": {"name": "n1"}, "status": status})).address
        for rule in AddressRule
    }
    assert found == {
        AddressRule.NONE: None,
        AddressRule.NAME: "ssh:n1",
        AddressRule.HOSTNAME: "ssh:n1.x",
        AddressRule.INTERNAL_IP: "ssh:10.0.0.1",
        AddressRule.EXTERNAL_IP: None,
    }


def test_devices_that_are_given_out_by_claims_count_as_accelerators() -> None:
    board = Board(ACCELERATORS)
    facts = node(status={"conditions": [{"type": "Ready", "status": "True"}]})
    board.node_changed(None, facts)
    kinds = ["gpu"] * 4 + ["mig"] * 7
    devices = [{"name": f"d{index}", "attributes": {"type": {"string": kind}}} for index, kind in enumerate(kinds)]
    spec = {"nodeName": "n1", "driver": "gpu.nvidia.com", "pool": {"name": "n1", "generation": 2}, "devices": devices}
    old = {**spec, "pool": {"name": "n1", "generation": 1}}
    for name, each in (("new", spec), ("old", old)):
        board.slice_changed(None, SliceReader().read(raw({"metadata": {"name": name}, "spec": each})))
    holds = pod("p", spec={"nodeName": "n1", "containers": []}, status={"phase": "Running"})
    board.pod_changed(None, holds)
    results = [{"driver": "gpu.nvidia.com", "pool": "n1", "device": f"d{index}"} for index in range(2)]
    status = {"allocation": {"devices": {"results": results}}, "reservedFor": [{"resource": "pods", "name": "p"}]}
    claim = ClaimReader().read(raw({"metadata": {"name": "c", "namespace": "lab"}, "status": status}))
    assert JobMaker("kube", board).record(holds.holder) is None
    board.claim_changed(None, claim)
    job = JobMaker("kube", board).record(holds.holder)
    assert job is not None
    assert job.accelerators == 2
    held, used = board.devices.on_node("n1"), board.devices.used_on("n1")
    record = NodeMaker("kube", ACCELERATORS).record(facts, [holds], pods_known=None, devices=held, claimed=used)
    assert (record.accelerators_allocated, record.accelerators_total) == (2, 4)
    assert record.detail["gpu.nvidia.com"] == "2 of 4 in use"
    board.claim_changed(claim, None)
    assert board.devices.used_on("n1") == ()
    assert board.accelerators_of([holds]) == 0


# ---- pods and jobs


@pytest.mark.parametrize(
    ("status", "word", "message"),
    [
        ({"phase": "Running"}, "Running", ""),
        ({"phase": "Succeeded"}, "Completed", ""),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on disk"}, "Evicted", "low on disk"),
        (
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "ImagePullBackOff",
            "",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
                "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}],
            },
            "CrashLoopBackOff",
            "",
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}],
            },
            "OOMKilled",
            "exit code 137",
        ),
        (
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]},
            "ExitCode:3",
            "exit code 3",
        ),
        ({"phase": "Pending"}, "Pending", "no scheduler has looked at it: its scheduler does not run here"),
        ({}, "Unknown", ""),
    ],
)
def test_the_word_of_a_pod_is_that_of_kubectl(status: Any, word: str, message: str) -> None:
    found = pod(status=status)
    assert (found.word, found.message) == (word, message)


def test_a_pod_that_is_deleted_is_terminating_and_still_holds() -> None:
    found = PodReader(ACCELERATORS).read(
        raw(
            {
                "metadata": {"name": "p", "namespace": "lab", "deletionTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"nodeName": "n1", **gpus(8)},
                "status": {"phase": "Running"},
            }
        )
    )
    assert (found.word, found.holds) == ("Terminating", True)


def test_recorded_jobs_are_what_they_are(board: Board) -> None:
    maker = JobMaker("kube", board)
    jobs = {}
    for key in board.dirty_jobs:
        if (job := maker.record(key)) is not None:
            jobs[job.id.removeprefix("train-")] = job
    states = {name: job.state for name, job in jobs.items()}
    assert states == {
        "llm/job/llm-70b": JobState.RUNNING,
        "llm/job/llm-405b": JobState.RUNNING,
        "llm/pod/notebook-alice": JobState.RUNNING,
        "llm/pod/scratch-alice": JobState.RUNNING,
        "batch-eval/job/eval-quota": JobState.RUNNING,
        "vision/job/vit-running": JobState.RUNNING,
        "vision/job/vit-suspended": JobState.PENDING,
        "vision/job/vit-done": JobState.COMPLETED,
        "vision/job/vit-oom": JobState.FAILED,
        "vision/job/vit-evicted": JobState.FAILED,
        "vision/job/vit-image": JobState.PENDING,
        "vision/job/vit-crash": JobState.PENDING,
        "vision/job/vit-nowhere": JobState.PENDING,
        "vision/job/vit-novolume": JobState.PENDING,
        "vision/job/vit-unbound": JobState.PENDING,
        "vision/job/vit-gated": JobState.PENDING,
        "vision/job/vit-gang": JobState.PENDING,
        "vision/jobset/rl": JobState.HELD,
    }, "what holds no accelerators and is no job (gateways, daemons, finished-alice) is not listed"
    big = jobs["llm/job/llm-70b"]
    assert big.node_names == ("gpu-a01", "gpu-a09", "gpu-a02", "gpu-a03"), "in the order of ranks"
    assert (big.accelerators, big.user, big.account, big.priority) == (32, "alice", "train-llm", 1000)
    assert big.detail["ranks"].startswith("0 gpu-")
    assert big.nodes is not None
    assert big.started_at is not None
    waiting = jobs["llm/job/llm-405b"]
    assert waiting.array is None, "sixteen ranks are one job"
    assert waiting.reason is not None
    assert waiting.reason.startswith("12 of 16 pods wait: Unschedulable")
    assert jobs["batch-eval/job/eval-quota"].reason == "1 of 3 pods could not be created"
    assert jobs["vision/job/vit-oom"].exit_code == 137
    assert jobs["vision/job/vit-suspended"].queue == "train-vision/team-vision"
    assert jobs["vision/job/vit-suspended"].accelerators == 16, "what it asks for, as no pod exists"
    assert jobs["vision/job/vit-running"].time_limit_s == 86400.0
    assert jobs["vision/job/vit-gang"].reason is not None
    assert "gang" in jobs["vision/job/vit-gang"].reason
    assert jobs["vision/jobset/rl"].accelerators == 2 * 8 + 4 * 1


OWNERS = {
    "jobset": {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "name": "rl"},
    "trainjob": {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "name": "ft"},
    "pytorchjob": {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "name": "pt"},
    "raycluster": {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "rc"},
    "rayjob": {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": "rj"},
}


def test_pods_fold_to_the_top_of_their_owners_in_whatever_order_they_come() -> None:
    chain = [
        work("trainjob", "ft", spec={"trainer": {"numNodes": 2}}),
        work("jobset", "rl", owner=OWNERS["trainjob"]),
        work("job", "rl-0", owner=OWNERS["jobset"], spec={"parallelism": 2}),
    ]
    one = pod(
        "rl-0-1",
        owner={"apiVersion": "batch/v1", "kind": "Job", "name": "rl-0"},
        labels={"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "1"},
        spec={"nodeName": "n1", **gpus(8)},
        status={"phase": "Running"},
    )
    for order in (chain, chain[::-1]):
        board = Board(ACCELERATORS)
        board.pod_changed(None, one)
        for each in order:
            board.work_changed(None, each)
        maker = JobMaker("kube", board)
        listed = [job for key in board.dirty_jobs if (job := maker.record(key)) is not None]
        assert [job.id for job in listed] == ["lab/trainjob/ft"]
        assert listed[0].state is JobState.RUNNING
        assert listed[0].detail["ranks"] == "node 1 n1"
        board.dirty_jobs.clear()
        board.work_changed(chain[2], None)
        assert ("job", "lab", "rl-0") in board.dirty_jobs


def test_owners_that_own_one_another_do_not_hang_us() -> None:
    board = Board(ACCELERATORS)
    board.work_changed(None, work("jobset", "a", owner={**OWNERS["jobset"], "name": "b"}))
    board.work_changed(None, work("jobset", "b", owner={**OWNERS["jobset"], "name": "a"}))
    assert list(board.parts(("jobset", "lab", "a")))
    JobMaker("kube", board).record(("jobset", "lab", "a"))


@pytest.mark.parametrize(
    ("labels", "owner", "holder"),
    [
        ({}, None, ("pod", "lab", "p")),
        (
            {"pod-template-hash": "5d8"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d8"},
            ("deployment", "lab", "web"),
        ),
        ({}, {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web"}, ("replicaset", "lab", "web")),
        (
            {"leaderworkerset.sigs.k8s.io/name": "vllm"},
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "vllm-0"},
            ("lws", "lab", "vllm"),
        ),
        ({}, {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "name": "v"}, ("vcjob", "lab", "v")),
        ({}, {"apiVersion": "batch/v1", "kind": "Job", "name": "v"}, ("job", "lab", "v")),
        ({}, {"apiVersion": "v1", "kind": "Node", "name": "n1"}, ("pod", "lab", "p")),
        ({}, OWNERS["raycluster"], ("raycluster", "lab", "rc")),
    ],
)
def test_who_holds_a_pod(labels: Any, owner: Any, holder: tuple[str, str, str]) -> None:
    assert pod(labels=labels, owner=owner).holder == holder


@pytest.mark.parametrize(
    ("short", "more", "tasks", "accelerators"),
    [
        ("job", {"spec": {"parallelism": 3, "template": {"spec": gpus(4)}}}, 3, 12),
        (
            "pytorchjob",
            {
                "spec": {
                    "pytorchReplicaSpecs": {
                        "Master": {"template": {"spec": gpus(8)}},
                        "Worker": {"replicas": 3, "template": {"spec": gpus(8)}},
                    }
                }
            },
            4,
            32,
        ),
        (
            "mpijob",
            {
                "spec": {
                    "mpiReplicaSpecs": {
                        "Launcher": {"replicas": 1, "template": {"spec": {}}},
                        "Worker": {"replicas": 2, "template": {"spec": gpus(8)}},
                    }
                }
            },
            3,
            16,
        ),
        (
            "trainjob",
            {"spec": {"trainer": {"numNodes": 2, "resourcesPerNode": {"limits": {"nvidia.com/gpu": 8}}}}},
            2,
            16,
        ),
        (
            "rayjob",
            {
                "spec": {
                    "rayClusterSpec": {
                        "headGroupSpec": {"template": {"spec": {}}},
                        "workerGroupSpecs": [{"replicas": 2, "template": {"spec": gpus(4)}}],
                    }
                }
            },
            3,
            8,
        ),
        (
            "lws",
            {"spec": {"replicas": 2, "leaderWorkerTemplate": {"size": 3, "workerTemplate": {"spec": gpus(8)}}}},
            6,
            48,
        ),
        ("vcjob", {"spec": {"tasks": [{"replicas": 2, "template": {"spec": gpus(8)}}]}}, 2, 16),
    ],
)
def test_what_each_kind_of_job_asks_for(short: str, more: Any, tasks: int, accelerators: int) -> None:
    found = work(short, **more)
    assert (found.tasks, found.accelerators) == (tasks, accelerators)


@pytest.mark.parametrize(
    ("short", "more", "state"),
    [
        ("pytorchjob", {"status": {"conditions": [{"type": "Succeeded", "status": "True"}]}}, JobState.COMPLETED),
        ("pytorchjob", {"status": {"conditions": [{"type": "Running", "status": "True"}]}}, None),
        ("jobset", {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}, JobState.FAILED),
        ("trainjob", {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}, JobState.COMPLETED),
        ("rayjob", {"status": {"jobStatus": "STOPPED"}}, JobState.CANCELLED),
        ("rayjob", {"status": {"jobStatus": "RUNNING"}}, None),
        ("vcjob", {"status": {"state": {"phase": "Aborted"}}}, JobState.CANCELLED),
        (
            "job",
            {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}},
            JobState.TIMEOUT,
        ),
        ("job", {"status": {"conditions": [{"type": "Complete", "status": "False"}]}}, None),
    ],
)
def test_how_each_kind_of_job_says_that_it_ended(short: str, more: Any, state: JobState | None) -> None:
    assert work(short, **more).state is state


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["suspend", "parallelism", "template", "spec", "conditions", "state", "replicatedJobs", "tasks", "rayClusterSpec",
     "pytorchReplicaSpecs", "leaderWorkerTemplate", "trainer", "runPolicy", "queueName", "resourceGroups", "phase"]
)  # fmt: skip


@given(st.dictionaries(KEYS, JUNK), st.dictionaries(KEYS, JUNK), st.sampled_from(sorted(WORKS)))
def test_no_field_of_a_custom_resource_breaks_its_reader(spec: Any, status: Any, short: str) -> None:
    data = raw({"metadata": {"name": "x", "namespace": "lab"}, "spec": spec, "status": status})
    found = WorkReader(WORKS[short], ACCELERATORS).read(data)
    assert found.key == (short, "lab", "x")
    AdmissionReader().read(data)
    GangReader().read(data)
    QueueReader().read(data)
    ClaimReader().read(data)
    SliceReader().read(data)


def test_remote_text_is_cleaned_wherever_it_comes_from() -> None:
    evil = "a\x1b]0;owned\x07\u202eb"
    found = pod(evil, evil, status={"phase": "Failed", "reason": evil, "message": evil})
    assert (found.name, found.namespace, found.word, found.message) == ("ab", "ab", "ab", "ab")
    facts = NodeReader(ACCELERATORS, AddressRule.NAME).read(
        raw(
            {
                "metadata": {
                    "name": evil,
                    "labels": {"nvidia.com/gpu.product": evil, "topology.kubernetes.io/zone": evil},
                }
            }
        )
    )
    assert (facts.name, facts.model, facts.address, facts.features) == ("ab", "ab", "ssh:ab", ("ab",))
    assert work("vcjob", status={"state": {"phase": "Failed", "message": evil}}).message == "ab"


# ---- the scheduler's words


def test_a_message_of_the_scheduler_is_counted_by_cause() -> None:
    found = scheduling(
        "0/20 nodes are available: 1 node(s) were unschedulable, 4 node(s) had untolerated taint(s), 6 node(s) didn't "
        "match Pod's node affinity/selector, 8 Insufficient rdma/hca, 9 Insufficient nvidia.com/gpu. no new claims to "
        "deallocate, preemption: not eligible due to preemptionPolicy=Never."
    )
    assert found.nodes == 20
    assert [(cause.nodes, cause.code) for cause in found.causes] == [
        (9, "Insufficient nvidia.com/gpu"),
        (8, "Insufficient rdma/hca"),
        (6, "node(s) didn't match Pod's node affinity/selector"),
        (4, "node(s) had untolerated taint(s)"),
        (1, "node(s) were unschedulable"),
    ]
    assert all(cause.text and cause.next_step for cause in found.causes)
    assert found.tail.startswith("no new claims")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ('0/20 nodes are available: persistentvolumeclaim "data" not found. not found', "claim data does not exist"),
        ("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found", "not bound"),
        ("0/3 nodes are available: 3 node(s) had taint {gpu: yes}, that the pod didn't tolerate.", "tainted"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.", "not-ready"),
        ("0/1 nodes are available: 1 Too many pods.", "as many pods"),
        ("0/9 nodes are available: 9 the moon is in the wrong house.", "9 nodes: the moon is in the wrong house"),
        ("something else entirely", "something else entirely"),
    ],
)
def test_other_messages_of_the_scheduler(message: str, text: str) -> None:
    (cause,) = scheduling(message).causes
    assert text in cause.text


def test_recorded_messages_have_no_cause_that_is_not_known(board: Board) -> None:
    messages = {pod.message for pod in board.pods.values() if pod.word == "Unschedulable"}
    assert len(messages) > 3
    for message in messages:
        for cause in scheduling(message).causes:
            assert cause.text != cause.code, message


@given(st.text(max_size=200) | st.from_regex(r"0/\d+ nodes are available: (\d+ [a-z ,.]+){0,5}", fullmatch=True))
def test_no_message_breaks_the_parser(message: str) -> None:
    scheduling(message)
    over_quota(message)


def test_a_message_of_a_megabyte_takes_no_time() -> None:
    found = scheduling("0/5 nodes are available: " + ", ".join(f"{n} node(s) had x{n}" for n in range(60_000)))
    assert len(found.causes) <= 100
    scheduling("0/5 nodes are available: " + "1 " * 500_000)


def test_a_refused_quota_is_taken_apart() -> None:
    found = over_quota(json.loads(recorded("pod-over-quota"))["message"])
    assert found is not None
    assert (found.name, found.asked) == ("gpus", {"requests.nvidia.com/gpu": "8"})
    assert (found.used, found.limit) == ({"requests.nvidia.com/gpu": "8"}, {"requests.nvidia.com/gpu": "8"})


# ---- discovery, failures


def test_what_there_is_comes_from_one_answer() -> None:
    found, unsure = discovered(recorded("discovery-aggregated"))
    assert unsure == []
    names = {resource.name: resource for resource in found}
    assert set(names) == {
        *("nodes", "pods", "jobs.batch", "jobsets.jobset.x-k8s.io", "trainjobs.trainer.kubeflow.org"),
        *("podgroups.scheduling.volcano.sh", "workloads.kueue.x-k8s.io", "localqueues.kueue.x-k8s.io"),
        *("clusterqueues.kueue.x-k8s.io", "resourceclaims.resource.k8s.io", "resourceslices.resource.k8s.io"),
    }
    assert names["workloads.kueue.x-k8s.io"].path("lab") == "/apis/kueue.x-k8s.io/v1beta1/namespaces/lab/workloads"
    assert names["pods"].path() == "/api/v1/pods"


def test_older_servers_name_groups_only() -> None:
    found, unsure = discovered(recorded("api-groups"))
    assert [resource.name for resource in found] == ["nodes", "pods"]
    assert {wanted.plural for wanted, _version in unsure} >= {"jobs", "workloads", "jobsets"}
    batch = next(wanted for wanted in WANTED if wanted.group == "batch")
    assert has(recorded("resources-batch"), batch)
    assert not has(recorded("resources-batch"), Wanted("batch", "no-such", "X", Role.WORK))
    assert Resource(batch, "v1").name == "jobs.batch"


@pytest.mark.parametrize(
    ("code", "name", "kind", "says"),
    [
        (401, "nodes-expired", Denied, "credentials of user ann are refused"),
        (403, "nodes-anonymous", Denied, "no credentials were sent for user ann"),
        (403, "nodes-alice", Forbidden, "may not list nodes in the whole cluster"),
        (403, "crd-forbidden-alice", Forbidden, "may not list workloads.kueue.x-k8s.io"),
        (403, "watch-forbidden", Forbidden, "may not watch nodes"),
        (403, "pod-over-quota", Denied, "exceeded quota: gpus"),
        (404, "node-absent", Missing, "not found"),
        (404, "metrics-absent", Missing, "404 page not found"),
        (410, "continue-expired", Expired, "too old"),
        (429, "evict-blocked", Refused, "violate the pod's disruption budget"),
        (504, "list-in-future", Busy, "Too large resource version"),
        (500, "evict-two-budgets", CommandFailed, "more than one PodDisruptionBudget"),
        (400, "log-no-such-container", CommandFailed, "container nope is not valid"),
    ],
)
def test_recorded_refusals_say_what_they_mean(code: int, name: str, kind: type[SourceError], says: str) -> None:
    error = failure(code, recorded(name), {}, "https://kube", "ann")
    assert type(error) is kind
    assert says in error.what
    assert error.where == "https://kube"


def test_refusals_that_no_recording_has() -> None:
    busy = failure(429, b"", {"Retry-After": "7"}, "x")
    assert isinstance(busy, Busy)
    assert busy.retry_after_s == 7.0
    assert "no room" in busy.what
    assert isinstance(failure(504, b"", {}, "x"), TimedOut)
    kubelet = b'{"message":"Get \\"https://10.0.0.1:10250/containerLogs/a/b/c\\": dial tcp 10.0.0.1:10250: refused"}'
    error = failure(500, kubelet, {}, "x")
    assert isinstance(error, Unreachable)
    assert "kubelet of the node does not answer (10.0.0.1:10250)" in error.what
    html = failure(403, b"<html>\x1b[2Jlog in to the proxy</html>", {}, "x")
    assert "\x1b" not in html.what
    other = failure(409, b'{"message":"the UID in the precondition (a) does not match the UID in record (b)"}', {}, "x")
    assert isinstance(other, Conflict)
    assert "does not match" in other.what
    misfit = b'{"message":"the server rejected our request due to an error in our request"}'
    assert type(failure(422, misfit, {}, "x")) is Conflict
    assert type(failure(422, b'{"message":"spec.x: Invalid value"}', {}, "x")) is CommandFailed
    missing = failure(404, recorded("metrics-absent"), {}, "x")
    assert isinstance(missing, Missing)
    assert missing.api


def test_ids_of_jobs() -> None:
    assert job_id(("job", "lab", "x")) == "lab/job/x"


@pytest.mark.parametrize(("at_once", "array"), [(16, None), (4, ArrayPart(id="lab/job/w", tasks=16, pending=16))])
def test_pods_that_all_run_together_are_ranks_and_else_tasks_of_an_array(at_once: int, array: ArrayPart | None) -> None:
    board = Board(ACCELERATORS)
    spec = {"completions": 16, "parallelism": at_once, "completionMode": "Indexed",
            "template": {"spec": {"containers": [{"name": "c"}]}}}  # fmt: skip
    found = work("job", spec=spec, status={})
    board.work_changed(None, found)
    job = JobMaker("kube", board).record(found.key)
    assert job is not None
    assert job.array == (None if array is None else ArrayPart(id=job.id, tasks=16, pending=16))
