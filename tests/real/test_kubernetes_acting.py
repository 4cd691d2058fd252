"""Acting on a real Kubernetes control plane: cordon, evictions as the API asks for them, jobs, rights, undo."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.actions.desk import ActionDesk, Result
from console.errors import UsageError
from console.model import JobState, NodeState, Order, OutcomeState, Plan
from console.store import Store
from plugins.kubernetes import orders
from plugins.kubernetes.node import BY, REASON
from tests.real.kube_cluster import KubeCluster, job, pod_spec, wait_until
from tests.real.kube_cluster import kube as kube  # noqa: PLC0414 - a fixture
from tests.real.test_kubernetes import JOBS, PODS, Console, console
from tests.real.test_kubernetes import clean as clean  # noqa: PLC0414 - a fixture
from tests.unit.acting_world import desk_of
from tests.unit.records import batch

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(2400)]

HOSTILE = "bad \"dimm\" 'x'; rm -rf / $(reboot) `id` ünï {{.}} %s \\ " + "x" * 4000
NODES = "/api/v1/nodes"
BUDGETS = "/apis/policy/v1/namespaces/lab/poddisruptionbudgets"


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

    async def acted(self, action: str, name: str, value: str | None = None) -> tuple[Plan, Result]:
        return await self.done(self.desk.job_orders(action, [("kube", f"lab/job/{name}")], value=value))

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
async def hall(kube: KubeCluster, directory: Path, user: str = "admin") -> AsyncIterator[Hall]:
    async with console(kube, user, "lab") as it:
        found = Hall(it, kube, directory)
        await found.look()
        yield found


@pytest.fixture
def tidy(clean: KubeCluster) -> Iterator[KubeCluster]:
    yield clean
    clean.call("DELETE", BUDGETS)
    for number in range(1, 6):
        notes = {REASON: None, BY: None}
        clean.patch(f"{NODES}/gpu{number}", {"metadata": {"annotations": notes}, "spec": {"unschedulable": None}})


async def started(here: Hall, name: str, count: int = 2, **rest: Any) -> str:
    """Create a job whose pods fill whole nodes; return the node of its first pod."""
    here.kube.create(JOBS, job(name, count, pod_spec(8, **rest), backoffLimit=6))
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
        _, result = await here.done(here.nodes("drain", name))
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
        assert plan.confirm == "lab/job/runs"
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
