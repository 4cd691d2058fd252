"""Acting on a real Kubernetes control plane: cordon, evictions as the API asks for them, jobs, rights, undo."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.actions import desk as desk_module
from console.actions.desk import ActionDesk, Result
from console.errors import Denied, UsageError
from console.model import JobState, NodeState, Order, OutcomeState, Plan
from console.store import Store
from plugins.kubernetes import orders
from plugins.kubernetes.job_orders import QUEUE
from plugins.kubernetes.node import BY, REASON
from tests.real.kube_cluster import KubeCluster, furnish, job, missing, pod_spec, wait_until
from tests.real.kube_cluster import kube as kube  # noqa: PLC0414 - a fixture
from tests.real.qd import qd
from tests.real.test_kubernetes import JOBS, PODS, Console, console
from tests.real.test_kubernetes import clean as clean  # noqa: PLC0414 - a fixture
from tests.unit.acting_world import desk_of
from tests.unit.records import batch

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(2400)]

HOSTILE = "bad \"dimm\" 'x'; rm -rf / $(reboot) `id` ünï {{.}} %s \\ " + "x" * 4000
NODES = "/api/v1/nodes"
BUDGETS = "/apis/policy/v1/namespaces/lab/poddisruptionbudgets"
DAEMONS = "/apis/apps/v1/namespaces/lab/daemonsets"
WORKLOADS = "/apis/kueue.x-k8s.io/v1beta1/namespaces/lab/workloads"


class Hall:
    """A console that acts."""

    def __init__(self, it: Console, kube: KubeCluster, directory: Path) -> None:
        self.it, self.kube = it, kube
        self.store = Store()
        self.desk: ActionDesk = desk_of(directory, it.backend, store=self.store)  # type: ignore[arg-type]

    async def look(self) -> None:
        await self.it.look()
        cluster = self.it.backend._cluster()
        nodes, jobs = tuple(self.it.nodes.values()), tuple(self.it.jobs.values())
        self.store.apply(batch("kubernetes:kube/nodes", cluster=cluster, nodes=nodes, complete=("nodes",)))
        self.store.apply(batch("kubernetes:kube/jobs", jobs=jobs, complete=("jobs",)))

    def nodes(self, action: str, *names: str, reason: str | None = "INC-1") -> tuple[Order, ...]:
        return self.desk.node_orders(action, [self.store.nodes[name] for name in names], reason=reason)

    async def done(self, asked: tuple[Order, ...]) -> tuple[Plan, Result]:
        plan = await self.desk.plan(asked)
        return plan, await self.desk.carry_out(plan, self.desk.execution(plan))

    def job(self, action: str, name: str, value: str | None = None) -> tuple[Order, ...]:
        return self.desk.job_orders(action, [("kube", f"lab/job/{name}")], value=value)

    async def acted(self, action: str, name: str, value: str | None = None) -> tuple[Plan, Result]:
        return await self.done(self.job(action, name, value))

    async def undone(self, plan: Plan) -> Result:
        back = await self.desk.undo_plan((await self.desk.attempts())[plan.id])
        return await self.desk.carry_out(back, self.desk.execution(back))

    def node(self, name: str) -> dict[str, Any]:
        return self.kube.call("GET", f"{NODES}/{name}")[1]

    def pods_on(self, node: str) -> list[str]:
        items = self.kube.call("GET", PODS)[1]["items"]
        return [item["metadata"]["name"] for item in items
                if item["spec"].get("nodeName") == node and "deletionTimestamp" not in item["metadata"]]  # fmt: skip


@contextlib.asynccontextmanager
async def hall(kube: KubeCluster, directory: Path, user: str = "admin", **settings: Any) -> AsyncIterator[Hall]:
    async with console(kube, user, "lab", **settings) as it:
        found = Hall(it, kube, directory)
        await found.look()
        yield found


@pytest.fixture
def tidy(clean: KubeCluster) -> Iterator[KubeCluster]:
    yield clean
    for path in (BUDGETS, DAEMONS, WORKLOADS):
        clean.call("DELETE", path)
    for number in range(1, 6):
        notes = {REASON: None, BY: None}
        clean.patch(f"{NODES}/gpu{number}", {"metadata": {"annotations": notes}, "spec": {"unschedulable": None}})


def written(node: dict[str, Any]) -> tuple[object, ...]:
    """Return what of a node people and programs write, but for the times of its taints."""
    spec = {key: value for key, value in node["spec"].items() if key != "taints"}
    return node["metadata"]["annotations"], node["metadata"]["labels"], spec


async def workload_of(here: Hall, name: str) -> None:
    """Create a job as Kueue would have it: suspended, with a workload that waits."""
    here.kube.create(JOBS, job(name, 1, pod_spec(1), labels={QUEUE: "team"}, suspend=True))
    uid = here.kube.call("GET", f"{JOBS}/{name}")[1]["metadata"]["uid"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": True}
    meta = {"name": name, "ownerReferences": [owner]}
    spec = {"queueName": "team", "active": True, "priority": 0}
    kind = {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "Workload"}
    here.kube.create(WORKLOADS, {**kind, "metadata": meta, "spec": spec})
    await here.it.until(lambda: here.it.backend.board.admissions, "the workload")
    await here.look()


async def started(here: Hall, name: str, count: int = 2, backoffLimit: int = 6, **rest: Any) -> str:  # noqa: N803
    """Create a job whose pods fill whole nodes; return the node of its first pod."""
    here.kube.create(JOBS, job(name, count, pod_spec(8, **rest), backoffLimit=backoffLimit))
    await here.it.until(lambda: here.it.state(name) is JobState.RUNNING, f"{name} runs")
    await here.it.until(lambda: len(here.it.jobs[f"lab/job/{name}"].node_names) == count, "all its pods")
    await here.look()
    return here.it.jobs[f"lab/job/{name}"].node_names[0]


async def test_a_drain_cordons_evicts_and_is_taken_back(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path) as here:
        name = await started(here, "train", terminationGracePeriodSeconds=1, volumes=[{"name": "tmp", "emptyDir": {}}])
        (before,) = here.pods_on(name)
        plan, result = await here.done(here.nodes("drain", name, reason=HOSTILE))
        assert result.verified, (result.outcomes, result.unmet)
        assert [(one.job, one.effect.value) for one in plan.interrupts] == [("lab/job/train", "evicted")]
        assert plan.confirm == name
        assert any("emptyDir tmp" in text for text in plan.warnings)
        assert [step.phase for step in plan.steps] == [0, 1]
        assert before not in here.pods_on(name)
        told = here.node(name)
        assert told["spec"]["unschedulable"] is True
        assert told["metadata"]["annotations"][REASON] == HOSTILE
        await here.it.until(lambda: here.it.nodes[name].reason_by == "me", "the reason to be seen")
        assert (here.it.nodes[name].reason or "").startswith('bad "dimm"')
        again, _ = await here.done(here.nodes("cordon", name, reason="other"))
        assert "already" in again.unchanged["kube"][name]
        assert (await here.undone(plan)).verified
        told = here.node(name)
        assert "unschedulable" not in told["spec"]
        assert REASON not in told["metadata"].get("annotations", {})


async def test_a_cordon_lets_pods_run_and_the_words_of_others_come_back(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path) as here:
        name = await started(here, "stays")
        held = here.pods_on(name)
        plan, result = await here.done(here.nodes("cordon", name, reason="fan"))
        assert result.verified
        assert plan.interrupts[0].effect.value == "runs on"
        assert here.pods_on(name) == held
        back, result = await here.done(here.nodes("resume", name, reason=None))
        assert result.verified
        assert any("fan (me)" in text for text in back.warnings)
        assert (await here.undone(back)).verified
        told = here.node(name)
        assert told["spec"]["unschedulable"] is True
        assert told["metadata"]["annotations"][REASON] == "fan"


async def test_a_budget_that_never_lets_go_is_named_and_nothing_is_forced(
    tidy: KubeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "EVICTION_S", 9.0)
    monkeypatch.setattr(orders, "GRACE_S", 0)
    async with hall(tidy, tmp_path) as here:
        name = await started(here, "guarded", terminationGracePeriodSeconds=0)
        selector = {"matchLabels": {"batch.kubernetes.io/job-name": "guarded"}}
        tidy.create(BUDGETS, {"metadata": {"name": "keep"}, "spec": {"minAvailable": 2, "selector": selector}})
        wait_until(
            lambda: tidy.call("GET", f"{BUDGETS}/keep")[1].get("status", {}).get("expectedPods") == 2, "the budget"
        )
        held = here.pods_on(name)
        plan, result = await here.done(here.nodes("drain", name))
        assert any("budget lab/keep lets 0 of lab/guarded" in text for text in plan.warnings)
        failed = [one for one in result.outcomes if one.state is OutcomeState.FAILED]
        assert len(failed) == 1
        assert "guarded" in failed[0].detail
        assert "keep" in failed[0].detail
        assert "nothing was forced" in failed[0].hint
        assert here.pods_on(name) == held
        assert here.node(name)["spec"]["unschedulable"] is True


async def test_a_pod_that_nothing_would_start_again_blocks(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path) as here:
        tidy.create(PODS, {"metadata": {"name": "notebook"}, "spec": {**pod_spec(1), "nodeName": "gpu2"}})
        await here.it.until(lambda: "lab/pod/notebook" in here.it.jobs, "the pod")
        await here.look()
        plan = await here.desk.plan(here.nodes("drain", "gpu2"))
        assert any("lab/notebook belongs to nothing" in text for text in plan.blocked_by)
        with pytest.raises(UsageError, match="blocked"):
            here.desk.execution(plan)
        orders_ = here.desk.job_orders("cancel", [("kube", "lab/pod/notebook")])
        _, result = await here.done(orders_)
        assert result.verified, result.unmet


async def test_jobs_are_held_suspended_limited_and_ended(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path) as here:
        tidy.create(JOBS, job("waits", 1, pod_spec(99)))
        await here.it.until(lambda: here.it.state("waits") is JobState.PENDING, "waits")
        await here.look()
        plan, result = await here.acted("hold", "waits")
        assert result.verified, result.unmet
        assert tidy.call("GET", f"{JOBS}/waits")[1]["spec"]["suspend"] is True
        assert (await here.undone(plan)).verified
        plan, result = await here.acted("timelimit", "waits", "90")
        assert result.verified, result.unmet
        assert tidy.call("GET", f"{JOBS}/waits")[1]["spec"]["activeDeadlineSeconds"] == 5400
        await started(here, "runs", 1)
        plan, result = await here.acted("suspend", "runs")
        assert result.verified, result.unmet
        assert plan.confirm == "lab/job/runs"
        assert [one.effect.value for one in plan.interrupts] == ["requeued"]
        assert tidy.call("GET", f"{JOBS}/runs")[1]["spec"]["suspend"] is True
        _, result = await here.acted("cancel", "runs")
        assert result.verified, result.unmet
        assert tidy.call("GET", f"{JOBS}/runs")[0] == 404


async def test_who_may_not_is_told_which_right_is_missing(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path, "viewer") as here:
        name = await started(here, "train", 1)
        plan = await here.desk.plan(here.nodes("drain", name))
        said = " ".join(plan.blocked_by)
        assert "may not patch nodes" in said
        assert "may not create pods/eviction in namespace lab" in said
        ended = await here.desk.plan(here.desk.job_orders("cancel", [("kube", "lab/job/train")]))
        assert any("may not delete jobs.batch in namespace lab" in text for text in ended.blocked_by)
        assert here.it.nodes[name].state is not NodeState.DRAINED


async def test_a_drain_leaves_the_pods_of_daemon_sets_and_says_which_job_it_ends(
    tidy: KubeCluster, tmp_path: Path
) -> None:
    labels = {"app": "dcgm"}
    template = {"metadata": {"labels": labels}, "spec": {**pod_spec(0), "restartPolicy": "Always"}}
    daemon = {"metadata": {"name": "dcgm"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    tidy.create(DAEMONS, daemon)
    async with hall(tidy, tmp_path) as here:
        name = await started(here, "brittle", backoffLimit=0, terminationGracePeriodSeconds=0)
        wait_until(lambda: len(here.pods_on(name)) == 2, "the pod of the DaemonSet")
        plan, result = await here.done(here.nodes("drain", name))
        assert result.verified, (result.outcomes, result.unmet)
        assert [(one.job, one.effect.value) for one in plan.interrupts] == [("lab/job/brittle", "ended")]
        assert any("Job lab/brittle has no retry left" in text for text in plan.warnings)
        assert any("lab/job/brittle stops as a whole" in text for text in plan.warnings)
        assert [pod.rpartition("-")[0] for pod in here.pods_on(name)] == ["dcgm"]
        await here.it.until(lambda: here.it.state("brittle") is JobState.FAILED, "the job to fail, as was said")


async def test_what_others_wrote_comes_back_byte_for_byte(tidy: KubeCluster, tmp_path: Path) -> None:
    words = "fan 3 <b>\n\t\"rack 7\" & 'ünï' \u202e\x1b[2J {{.}} %s " + "x" * 5000
    tidy.patch(f"{NODES}/gpu4", {"metadata": {"annotations": {REASON: words, BY: "bob\n", "other": "stays"}}})
    tidy.patch(f"{NODES}/gpu4", {"spec": {"unschedulable": True}})
    async with hall(tidy, tmp_path) as here:
        await here.it.until(lambda: here.it.nodes["gpu4"].reason_by == "bob ", "the cordon")
        await here.look()
        before = written(here.node("gpu4"))
        plan, result = await here.done(here.nodes("resume", "gpu4", reason=None))
        assert result.verified
        assert not {REASON, BY} & here.node("gpu4")["metadata"]["annotations"].keys()
        back = await here.undone(plan)
        assert back.verified, (back.outcomes, back.unmet)
        assert written(here.node("gpu4")) == before
        tidy.patch(f"{NODES}/gpu4", {"metadata": {"annotations": {"other": None}}})


async def test_of_two_who_act_on_one_node_the_later_one_is_told(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path / "ann") as ann, hall(tidy, tmp_path / "bob") as bob:
        first = await ann.desk.plan(ann.nodes("cordon", "gpu2", reason="ann's"))
        second = await bob.desk.plan(bob.nodes("cordon", "gpu2", reason="bob's"))
        assert (await ann.desk.carry_out(first, ann.desk.execution(first))).verified
        _, changes = await bob.desk.again(second)
        assert any("ann's" in text for text in changes), changes
        late = await bob.desk.carry_out(second, bob.desk.execution(second))
        assert [one.state for one in late.outcomes] == [OutcomeState.FAILED]
        assert "not as the plan has it" in late.outcomes[0].detail
        assert "plan anew" in late.outcomes[0].hint
        assert ann.node("gpu2")["metadata"]["annotations"][REASON] == "ann's"


async def test_a_node_whose_kubelet_is_silent_is_cordoned_and_said_to_be_no_better(
    tidy: KubeCluster, tmp_path: Path
) -> None:
    tidy.create(NODES, {"metadata": {"name": "dead1"}})
    try:
        async with hall(tidy, tmp_path) as here:
            await here.it.until(lambda: "dead1" in here.it.nodes, "the node")
            await here.look()
            _, result = await here.done(here.nodes("drain", "dead1", reason="no heartbeat"))
            assert result.verified, result.unmet
            assert here.node("dead1")["spec"]["unschedulable"] is True
            back, result = await here.done(here.nodes("resume", "dead1", reason=None))
            assert any("dead1" in text for text in back.warnings)
            assert result.unmet, "it takes no pods although it is not cordoned any more"
    finally:
        tidy.delete(f"{NODES}/dead1")


async def test_a_pod_under_two_budgets_blocks(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path) as here:
        name = await started(here, "twice", 1)
        selector = {"matchLabels": {"batch.kubernetes.io/job-name": "twice"}}
        for budget in ("one", "two"):
            tidy.create(BUDGETS, {"metadata": {"name": budget}, "spec": {"maxUnavailable": 0, "selector": selector}})
        plan = await here.desk.plan(here.nodes("drain", name))
        assert any("under 2 budgets (lab/one, lab/two)" in text for text in plan.blocked_by)
        assert here.node(name)["spec"].get("unschedulable") is None


async def test_a_job_without_a_limit_gets_one_and_loses_it_again(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path) as here:
        tidy.create(JOBS, job("waits", 1, pod_spec(99)))
        await here.it.until(lambda: here.it.state("waits") is JobState.PENDING, "waits")
        await here.look()
        plan, result = await here.acted("timelimit", "waits", "12h")
        assert result.verified, result.unmet
        assert tidy.call("GET", f"{JOBS}/waits")[1]["spec"]["activeDeadlineSeconds"] == 43200
        assert (await here.undone(plan)).verified
        assert "activeDeadlineSeconds" not in tidy.call("GET", f"{JOBS}/waits")[1]["spec"]


async def test_a_job_of_the_same_name_that_came_meanwhile_is_not_hit(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path) as here:
        await started(here, "train", 1)
        asked = here.desk.job_orders("cancel", [("kube", "lab/job/train")])
        cancel, hold = await here.desk.plan(asked), await here.desk.plan(here.job("suspend", "train"))
        tidy.call("DELETE", f"{JOBS}/train", {"propagationPolicy": "Background"})
        wait_until(lambda: tidy.call("GET", f"{JOBS}/train")[0] == 404, "the job to go")
        tidy.create(JOBS, job("train", 1, pod_spec(1)))
        for plan in (hold, cancel):
            result = await here.desk.carry_out(plan, here.desk.execution(plan))
            assert [one.state for one in result.outcomes] == [OutcomeState.FAILED]
        spec = tidy.call("GET", f"{JOBS}/train")[1]["spec"]
        assert spec["suspend"] is False


async def test_a_researcher_acts_on_what_is_his_and_nothing_else(tidy: KubeCluster, tmp_path: Path) -> None:
    async with console(tidy, "alice", "lab") as it:
        with contextlib.suppress(Denied):
            await it.look()
        here = Hall(it, tidy, tmp_path)
        tidy.create(JOBS, job("mine", 1, pod_spec(1)))
        while it.state("mine") is not JobState.RUNNING:
            it.take(await it.backend.jobs())
            await asyncio.sleep(0.1)
        _, result = await here.acted("cancel", "mine")
        assert result.verified, (result.outcomes, result.unmet)
        with pytest.raises(Denied, match="may not get nodes"):
            await it.backend.look_nodes(["gpu1"])
        with pytest.raises(Denied):
            await it.backend.look_jobs(["other/job/x"])


async def test_over_queued_jobs_kueue_decides(tidy: KubeCluster, tmp_path: Path) -> None:
    async with hall(tidy, tmp_path) as here:
        await workload_of(here, "queued")
        plan, result = await here.acted("hold", "queued")
        assert result.verified, result.unmet
        assert tidy.call("GET", f"{WORKLOADS}/queued")[1]["spec"]["active"] is False
        assert tidy.call("GET", f"{JOBS}/queued")[1]["spec"]["suspend"] is True, "that is Kueue's own"
        assert (await here.undone(plan)).verified
        assert tidy.call("GET", f"{WORKLOADS}/queued")[1]["spec"]["active"] is True
        _, result = await here.acted("priority", "queued", "100")
        assert result.verified, result.unmet
        assert tidy.call("GET", f"{WORKLOADS}/queued")[1]["spec"]["priority"] == 100
        await here.acted("move", "queued", "night")
        assert tidy.call("GET", f"{JOBS}/queued")[1]["metadata"]["labels"][QUEUE] == "night"
        with pytest.raises(UsageError, match="cannot requeue") as error:
            here.job("requeue", "queued")
        assert "suspend it" in error.value.hint


async def test_job_sets_are_suspended_and_deleted_as_themselves(tidy: KubeCluster, tmp_path: Path) -> None:
    path = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/lab/jobsets"
    tidy.create(
        path, {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "js"}, "spec": {}}
    )
    async with hall(tidy, tmp_path) as here:
        await here.it.until(lambda: "lab/jobset/js" in here.it.jobs, "the JobSet")
        for action, suspended in (("hold", True), ("release", False)):
            _, result = await here.done(here.desk.job_orders(action, [("kube", "lab/jobset/js")]))
            assert result.verified, result.unmet
            assert tidy.call("GET", f"{path}/js")[1]["spec"]["suspend"] is suspended
        _, result = await here.done(here.desk.job_orders("cancel", [("kube", "lab/jobset/js")]))
        assert result.verified, result.unmet
        assert tidy.call("GET", f"{path}/js")[0] == 404


# ---- when the control plane dies meanwhile: one of its own


async def test_what_is_not_known_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (reason := missing()) is not None:
        pytest.skip(reason)
    monkeypatch.setattr(orders, "EVICTION_S", 12.0)
    monkeypatch.setattr(desk_module, "LOOK_AGAIN_S", (0.0,))
    with KubeCluster(tmp_path / "kube") as kube:
        furnish(kube)
        async with hall(kube, tmp_path, timeout_s=3.0) as here:
            # Stopped, it takes the request and says nothing; afterwards it does what was asked.
            plan = await here.desk.plan(here.nodes("cordon", "gpu1", reason="x"))
            kube.signal("apiserver", signal.SIGSTOP)
            try:
                result = await here.desk.carry_out(plan, here.desk.execution(plan))
            finally:
                kube.signal("apiserver", signal.SIGCONT)
            assert "whether it happened is not known" in result.outcomes[0].detail
            assert "cannot be looked at" in result.unmet["kube", "gpu1"]
            wait_until(lambda: here.node("gpu1")["spec"].get("unschedulable"), "what was asked for nevertheless")
            # Killed while an evicted pod ends: it is not known whether that is gone.
            name = await started(here, "train", 1, terminationGracePeriodSeconds=0)
            (pod,) = here.pods_on(name)
            kube.patch(f"{PODS}/{pod}", {"metadata": {"finalizers": ["quarterdeck.test/stay"]}})
            plan = await here.desk.plan(here.nodes("drain", name))
            doing = asyncio.create_task(here.desk.carry_out(plan, here.desk.execution(plan)))
            await asyncio.to_thread(
                wait_until,
                lambda: "deletionTimestamp" in kube.call("GET", f"{PODS}/{pod}")[1]["metadata"],
                "the eviction",
            )
            kube.stop("apiserver", signal.SIGKILL)
            result = await doing
            assert [one.state.value for one in result.outcomes] == ["done", "failed"]
            assert "it is evicted, whether it is gone is not known" in result.outcomes[1].detail
            assert pod in result.outcomes[1].detail
            kept = (await here.desk.attempts())[plan.id]
            assert kept.unmet, "the journal has it"


# ---- the whole program


def test_two_nodes_are_drained_by_command_and_come_back(tidy: KubeCluster, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "KUBECONFIG": str(tidy.kubeconfig()), "XDG_STATE_HOME": str(tmp_path / "state")}

    def acts(*words: str, status: int = 0) -> dict[str, Any]:
        done = qd(*words, "--yes", "--json", "--cluster", "kube", env=env, timeout=120)
        assert done.returncode == status, (done.stdout, done.stderr)
        return dict(json.loads(done.stdout))

    for number in range(1, 4):
        tidy.patch(f"{NODES}/gpu{number}", {"spec": {"unschedulable": True}})
    tidy.create(JOBS, job("pretrain", 2, pod_spec(8, terminationGracePeriodSeconds=0), backoffLimit=6))
    wait_until(lambda: tidy.call("GET", f"{JOBS}/pretrain")[1]["status"].get("ready") == 2, "the job to run")
    refused = qd("--read-only", "drain", "gpu4", "--reason", "x", "--yes", "--cluster", "kube", env=env)
    assert refused.returncode == 4
    assert "unschedulable" not in tidy.call("GET", f"{NODES}/gpu4")[1]["spec"]
    plan = qd("drain", "gpu[4-5]", "--reason", HOSTILE, "--plan", "--cluster", "kube", env=env)
    assert "lab/job/pretrain" in plan.stdout
    assert "evicted" in plan.stdout
    done = acts("drain", "gpu[4-5]", "--reason", HOSTILE)
    assert done["verified"]
    for name in ("gpu4", "gpu5"):
        told = tidy.call("GET", f"{NODES}/{name}")[1]
        assert told["spec"]["unschedulable"] is True
        assert told["metadata"]["annotations"][REASON] == HOSTILE
    assert not [one for one in tidy.call("GET", PODS)[1]["items"] if one["spec"].get("nodeName")]
    again = qd("cordon", "gpu4", "--reason", "y", "--yes", "--cluster", "kube", env=env)
    assert "drained already" in again.stdout
    back = acts("journal", "--undo", done["id"])
    assert back["verified"]
    for name in ("gpu4", "gpu5"):
        assert "unschedulable" not in tidy.call("GET", f"{NODES}/{name}")[1]["spec"]
    wait_until(lambda: tidy.call("GET", f"{JOBS}/pretrain")[1]["status"].get("ready") == 2, "the job to run anew")
