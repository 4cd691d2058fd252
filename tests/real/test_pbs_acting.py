"""Acting on a real OpenPBS: planned, done, seen by PBS's own commands, journalled and taken back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from console.actions.desk import ActionDesk, Result
from console.errors import UsageError
from console.model import JobState, NodeState, Order, OutcomeState, Plan
from console.store import Store
from plugins.pbs.backend import PbsBackend
from plugins.pbs.settings import PbsSettings
from tests.real.pbs_cluster import PbsCluster
from tests.real.test_pbs import Site
from tests.unit.acting_world import desk_of
from tests.unit.records import batch

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

HOSTILE = "\"dimm\" 'x'; rm -rf / $(reboot) `id` (a) %s \\ | &"


class Hall:
    """A console on the cluster, as one user."""

    def __init__(self, pbs: PbsCluster, directory: Path, user: str) -> None:
        self.pbs = pbs
        self.store = Store()
        self.backend = PbsBackend(PbsSettings(), Site(pbs, user))
        self.desk: ActionDesk = desk_of(directory, self.backend, store=self.store)  # type: ignore[arg-type]

    async def look(self) -> None:
        """Bring what PBS lists to the store."""
        fresh = PbsBackend(PbsSettings(), Site(self.pbs, "root"))
        for records in (await fresh.inventory(), await fresh.jobs()):
            fields = {name: getattr(records, name) for name in ("cluster", "nodes", "jobs", "complete")}
            self.store.apply(batch(f"pbs:lab/{'jobs' if 'jobs' in records.complete else 'nodes'}", **fields))

    async def done(self, orders: tuple[Order, ...]) -> tuple[Plan, Result]:
        plan = await self.desk.plan(orders)
        return plan, await self.desk.carry_out(plan, self.desk.execution(plan))

    async def drained(self, *names: str, reason: str = "INC-1") -> tuple[Plan, Result]:
        views = [self.store.nodes[name] for name in names]
        return await self.done(self.desk.node_orders("drain", views, reason=reason))

    async def acted(self, action: str, job: str, value: str | None = None) -> tuple[Plan, Result]:
        return await self.done(self.desk.job_orders(action, [("lab", job)], value=value))

    async def undone(self, plan: Plan) -> Result:
        back = await self.desk.undo_plan((await self.desk.attempts())[plan.id])
        return await self.desk.carry_out(back, self.desk.execution(back))

    def vnode(self, name: str) -> dict[str, str]:
        """Return what pbsnodes says of a host."""
        lines = self.pbs.run("env", "LC_ALL=C.UTF-8", "pbsnodes", "-v", name).stdout.splitlines()
        pairs = (line.strip().split(" = ", 1) for line in lines if " = " in line)
        return dict(pairs)

    def job(self, job_id: str) -> dict[str, object]:
        """Return what qstat says of a job."""
        told = json.loads(self.pbs.run("qstat", "-x", "-f", "-F", "json", job_id).stdout)
        return dict(next(iter(told["Jobs"].values())))


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    for _ in range(150):
        if await true():
            return
        await asyncio.sleep(0.2)
    raise AssertionError(what)


@pytest.fixture
def tidy(pbs: PbsCluster) -> Iterator[PbsCluster]:
    yield pbs
    pbs.delete_all()
    pbs.run("pbsnodes", "-C", "", "-r", *pbs.moms)


@pytest.fixture
async def hall(tidy: PbsCluster, tmp_path: Path) -> Hall:
    found = Hall(tidy, tmp_path, "root")
    await found.look()
    return found


async def running(hall: Hall, *arguments: str) -> str:
    """Submit a job of alice and wait until it runs and is listed."""
    job = hall.pbs.submit(*arguments)

    async def runs() -> bool:
        return hall.pbs.state(job) in ("R", "B")

    await until(runs, f"{job} runs")
    await hall.look()
    return job


async def test_a_drain_under_a_running_job_and_its_undo(hall: Hall) -> None:
    job = await running(hall, "-l", "select=1:host=gpu001:ngpus=2")
    hall.pbs.run("pbsnodes", "-C", "fan 3", "gpu002")
    await hall.look()
    plan, result = await hall.drained("gpu001", "gpu002", reason=HOSTILE)
    assert result.verified, result.unmet
    assert [(one.job, one.user, one.effect.value) for one in plan.interrupts] == [(job, "alice", "runs on")]
    assert hall.vnode("gpu001")["comment"] == f"{HOSTILE} (by me)"
    (other,) = await hall.backend.look_nodes(["gpu002"])
    assert (other.reason, other.reason_by) == (f"{HOSTILE} (before: fan 3)", "me")
    assert "offline" in hall.vnode("gpu001")["state"]
    (node,) = await hall.backend.look_nodes(["gpu001"])
    assert (node.state, node.reason, node.reason_by) == (NodeState.DRAINING, HOSTILE, "me")
    assert hall.pbs.state(job) == "R"
    with pytest.raises(UsageError, match="bytes that pbsnodes keeps"):
        await hall.drained("gpu003", reason="x" * 5000)
    again, _ = await hall.drained("gpu001", reason="other")
    assert "already" in again.unchanged["lab"]["gpu001"]
    assert (await hall.undone(plan)).verified
    assert "offline" not in hall.vnode("gpu001")["state"]
    assert hall.vnode("gpu001").get("comment", "") == ""


async def test_what_somebody_else_drained_comes_back_with_its_words(hall: Hall) -> None:
    hall.pbs.run("pbsnodes", "-C", "DIMM 4 (by bob)", "-o", "gpu003")
    await hall.look()
    plan, result = await hall.done(hall.desk.node_orders("resume", [hall.store.nodes["gpu003"]]))
    assert result.verified
    assert any("DIMM 4 (bob)" in text for text in plan.warnings)
    assert hall.vnode("gpu003")["state"] == "free"
    assert (await hall.undone(plan)).verified
    assert "offline" in hall.vnode("gpu003")["state"]
    assert "DIMM 4" in hall.vnode("gpu003")["comment"]


async def test_jobs_are_held_released_changed_and_ended(hall: Hall) -> None:
    waits = hall.pbs.submit("-l", "select=1:ngpus=99")
    await hall.look()
    plan, result = await hall.acted("hold", waits)
    assert result.verified, result.unmet
    assert hall.job(waits)["job_state"] == "H"
    assert (await hall.undone(plan)).verified
    assert hall.job(waits)["job_state"] == "Q"
    plan, result = await hall.acted("timelimit", waits, "90m")
    assert result.verified, result.unmet
    assert dict(hall.job(waits)["Resource_List"])["walltime"] == "01:30:00"  # type: ignore[call-overload]
    _, result = await hall.acted("priority", waits, "-7")
    assert result.verified, result.unmet
    assert hall.job(waits)["Priority"] == -7
    _, result = await hall.acted("cancel", waits)
    assert result.verified, result.unmet
    job = await running(hall, "-l", "select=1:ngpus=1")
    plan, result = await hall.acted("requeue", job)
    assert plan.confirm == job
    assert result.verified, result.unmet
    with pytest.raises(UsageError, match="no unlimited walltime"):
        await hall.acted("timelimit", job, "unlimited")


async def test_parts_of_arrays_and_jobs_that_run_are_ended(hall: Hall) -> None:
    array = await running(hall, "-J", "1-3", "-l", "select=1:ncpus=1")
    part = array.replace("[]", "[2]")
    plan, result = await hall.acted("cancel", part)
    assert result.verified, (result.unmet, result.outcomes)
    assert plan.steps[0].run.argv[-1] == part
    assert hall.pbs.state(array) == "B"
    _, result = await hall.acted("cancel", array)
    assert result.verified, result.unmet


async def test_who_has_no_rights_is_told_in_the_words_of_pbs(tidy: PbsCluster, tmp_path: Path) -> None:
    bob = Hall(tidy, tmp_path, "bob")
    await bob.look()
    _, result = await bob.drained("gpu001")
    (outcome,) = result.outcomes
    assert (outcome.state, outcome.denied) == (OutcomeState.FAILED, True)
    assert "Unauthorized" in outcome.detail
    assert "operator" in outcome.hint
    assert bob.vnode("gpu001")["state"] == "free"
    job = await running(bob, "-l", "select=1:ncpus=1")
    _, result = await bob.acted("cancel", job)
    assert result.outcomes[0].denied
    assert (await bob.backend.look_jobs([job]))[0].state is JobState.RUNNING


async def test_a_server_that_dies_before_the_step_changes_nothing(hall: Hall) -> None:
    plan = await hall.desk.plan(hall.desk.node_orders("drain", [hall.store.nodes["gpu001"]], reason="x"))
    hall.pbs.signal("pbs_server.bin", "KILL")
    try:
        result = await hall.desk.carry_out(plan, hall.desk.execution(plan))
    finally:
        hall.pbs.restart_server()
    assert result.outcomes[0].state is OutcomeState.FAILED
    assert "offline" not in hall.vnode("gpu001")["state"]
