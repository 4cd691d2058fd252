"""The path of an action: plan, confirm, execute, verify, journal, undo. On a world held in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.actions import ORDERS, blast
from console.actions import desk as desk_module
from console.actions.desk import ActionDesk, Result
from console.actions.execute import Limits
from console.actions.journal import Journal, JournalError
from console.actions.policy import Policy
from console.actions.reading import attempts
from console.errors import CommandFailed, Denied, SourceError, UsageError
from console.model import Call, Draft, Effect, Job, JobState, Node, NodeState, Order, OutcomeState, Plan, Step
from console.plugin import JOB_ACTIONS, NODE_ACTIONS
from console.store import NodeView
from tests.unit.acting_world import NOW, World, desk_of, store_of
from tests.unit.records import job, node


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "LOOK_AGAIN_S", (0.0, 0.0))


def fleet(count: int = 3, **fields: Any) -> list[Node]:
    return [node(f"n{number}", **{"state": NodeState.UP, **fields}) for number in range(1, count + 1)]


async def drain(desk: ActionDesk, *names: str, limits: Limits | None = None) -> tuple[Plan, Result]:
    plan = await desk.plan(desk.node_orders("drain", [_view(desk, name) for name in names], reason="INC-1"))
    return plan, await desk.carry_out(plan, desk.execution(plan, limits=limits))


def _view(desk: ActionDesk, name: str) -> NodeView:
    return desk._store.nodes[name]


def _states(world: World) -> list[NodeState]:
    return [node.state for node in world.nodes.values()]


async def test_planning_changes_nothing_and_says_who_is_met(tmp_path: Path) -> None:
    running = job("8", node_names=("n1",), accelerators=4, started_at=NOW - 1800, ends_at=NOW + 60, user="alice")
    other = job("9", node_names=("n3",))
    world = World(nodes=fleet(), jobs=[running, other])
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.node_orders("drain", [_view(desk, "n1"), _view(desk, "n2")], reason="INC-1"))
    (met,) = plan.interrupts
    assert (met.job, met.user, met.accelerator_hours, met.nodes) == ("8", "alice", 2.0, "n1")
    assert plan.free_at == NOW + 60
    assert (world.performed, list(tmp_path.iterdir())) == ([], [])
    assert [step.run.argv for step in plan.steps] == [("drain", "n1", "INC-1"), ("drain", "n2", "INC-1")]


async def test_it_is_done_verified_and_written_down(tmp_path: Path) -> None:
    world = World(nodes=fleet())
    desk = desk_of(tmp_path, world)
    plan, result = await drain(desk, "n1", "n2")
    assert result.verified
    assert _states(world) == [NodeState.DRAINED, NodeState.DRAINED, NodeState.UP]
    attempt = (await desk.attempts())[plan.id]
    assert (attempt.ended, attempt.reason) == ("done", "INC-1")
    assert {seen.state for seen in attempt.after} == {"drained"}


async def test_an_undo_brings_back_exactly_what_was_there(tmp_path: Path) -> None:
    before = [*fleet(2), node("n3", state=NodeState.DRAINED, reason="Xid 79", reason_by="bob")]
    world = World(nodes=before)
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.node_orders("resume", [_view(desk, "n3")]))
    await desk.carry_out(plan, desk.execution(plan))
    assert world.nodes["n3"].reason is None
    back = await desk.undo_plan((await desk.attempts())[plan.id])
    assert any("bob" in text for text in back.warnings)
    assert (await desk.carry_out(back, desk.execution(back))).verified
    assert str(world.nodes["n3"].state) == "drained"
    assert str(world.nodes["n3"].reason) == "Xid 79"
    again = await desk.undo_plan((await desk.attempts())[back.id])
    assert [order.action for order in again.orders] == ["resume"]


async def test_one_that_fails_does_not_keep_the_others(tmp_path: Path) -> None:
    world = World(nodes=fleet(5))
    world.refuses["n3"] = CommandFailed("Invalid node state", "lab", "look at it")
    desk = desk_of(tmp_path, world)
    plan, result = await drain(desk, *(f"n{number}" for number in range(1, 6)))
    states = {one.target: one.state for one in result.outcomes}
    assert states.pop("n3") is OutcomeState.FAILED
    assert set(states.values()) == {OutcomeState.DONE}
    assert list(result.unmet) == [("lab", "n3")]
    back = await desk.undo_plan((await desk.attempts())[plan.id])
    assert "n3" not in back.orders[0].names


async def test_a_canary_that_fails_stops_everything(tmp_path: Path) -> None:
    world = World(nodes=fleet(5))
    world.refuses["n1"] = CommandFailed("no", "lab", "look")
    _, result = await drain(desk_of(tmp_path, world), *world.nodes, limits=Limits(canary=1))
    assert world.performed == []
    assert [one.state for one in result.outcomes].count(OutcomeState.SKIPPED) == 4
    assert result.stopped == "the canary failed"


async def test_too_many_failures_stop_the_rest(tmp_path: Path) -> None:
    world = World(nodes=fleet(20))
    world.refuses = {f"n{number}": CommandFailed("no", "lab", "look") for number in range(1, 20)}
    _, result = await drain(desk_of(tmp_path, world), *world.nodes, limits=Limits(fan_out=1, most_failures=2))
    assert [one.state for one in result.outcomes].count(OutcomeState.FAILED) == 3
    assert "more than 2" in result.stopped


async def test_no_more_than_the_fan_out_run_at_once(tmp_path: Path) -> None:
    world = World(nodes=fleet(30))
    world.slow_s = 0.002
    await drain(desk_of(tmp_path, world), *world.nodes, limits=Limits(fan_out=4))
    assert world.most_at_once == 4


async def test_the_plan_is_on_disk_before_its_first_step_and_each_outcome_before_the_next(tmp_path: Path) -> None:
    world = World(nodes=fleet(3))
    kept: list[tuple[int, int]] = []

    def look(_step: Step) -> None:
        (attempt,) = attempts(Journal(tmp_path).entries()).values()
        kept.append((len(attempt.begun), len(attempt.outcomes)))

    world.before_each = look
    await drain(desk_of(tmp_path, world), *world.nodes, limits=Limits(fan_out=1))
    assert kept == [(1, 0), (2, 1), (3, 2)]


async def test_without_a_journal_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    world = World(nodes=fleet())
    with pytest.raises(JournalError):
        await drain(desk_of(tmp_path / "file" / "journal", world), "n1")
    assert world.performed == []


async def test_a_journal_that_fails_within_stops_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(nodes=fleet(4))
    desk = desk_of(tmp_path, world)
    real, wrote = desk.around.journal.append, []

    def append(entry: object, *, sync: bool = True) -> None:
        wrote.append(entry)
        if len(wrote) > 3:
            raise JournalError("the journal cannot be written (No space left)", "there", "make room")
        real(entry, sync=sync)  # type: ignore[arg-type]

    monkeypatch.setattr(desk.around.journal, "append", append)
    with pytest.raises(JournalError):
        await drain(desk, *world.nodes, limits=Limits(fan_out=1))
    assert len(world.performed) == 1


async def test_interrupted_nothing_more_begins_and_what_runs_is_waited_for(tmp_path: Path) -> None:
    world = World(nodes=fleet(6))
    world.slow_s = 0.2
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.node_orders("drain", list(desk._store.nodes.values()), reason="x"))
    execution = desk.execution(plan, limits=Limits(fan_out=2))
    running = asyncio.create_task(desk.carry_out(plan, execution))
    while world.at_once < 2:
        await asyncio.sleep(0.001)
    execution.stop()
    result = await running
    assert result.stopped == "interrupted"
    assert len(world.performed) == 2
    assert [one.state for one in result.outcomes].count(OutcomeState.SKIPPED) == 4


async def test_cancelled_what_runs_is_in_doubt_and_said_so(tmp_path: Path) -> None:
    world = World(nodes=fleet(2))
    world.slow_s = 60
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.node_orders("drain", [_view(desk, "n1")], reason="x"))
    running = asyncio.create_task(desk.carry_out(plan, desk.execution(plan)))
    while not world.at_once:
        await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    attempt = (await desk.attempts())[plan.id]
    assert attempt.ended_at is None
    assert "not known" in attempt.outcomes[0].detail


class Killed(BaseException):
    """The console dies here."""


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(min_value=0, max_value=13), count=st.integers(min_value=1, max_value=4))
def test_killed_between_any_two_lines_the_undo_is_known(tmp_path: Path, at: int, count: int) -> None:
    """Whatever line of the journal is the last one written, undoing what it says leads back to the beginning."""
    directory = tmp_path / f"{at}-{count}"
    world = World(nodes=fleet(count))
    desk = desk_of(directory, world)

    async def until_killed() -> None:
        plan = await desk.plan(desk.node_orders("drain", list(desk._store.nodes.values()), reason="x"))
        execution = desk.execution(plan, limits=Limits(fan_out=1))
        real, lines = desk.around.journal.append, 0

        def append(entry: object, *, sync: bool = True) -> None:
            nonlocal lines
            if lines == at:
                raise Killed
            lines += 1
            real(entry, sync=sync)  # type: ignore[arg-type]

        desk.around.journal.append = append  # type: ignore[method-assign]
        await desk.carry_out(plan, execution)

    with suppress(Killed, BaseExceptionGroup):
        asyncio.run(until_killed())

    async def bring_back() -> None:
        fresh = desk_of(directory, world)
        found = await fresh.attempts()
        drained = [name for name, one in world.nodes.items() if one.state is NodeState.DRAINED]
        if not found:
            assert not drained
            return
        (attempt,) = found.values()
        try:
            plan = await fresh.undo_plan(attempt)
        except UsageError:
            assert not drained
            return
        await fresh.carry_out(plan, fresh.execution(plan))

    asyncio.run(bring_back())
    assert set(_states(world)) == {NodeState.UP}


async def test_the_world_that_changed_meanwhile_is_said(tmp_path: Path) -> None:
    world = World(nodes=fleet())
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.node_orders("drain", [_view(desk, "n1"), _view(desk, "n2")], reason="x"))
    assert (await desk.again(plan))[1] == ()
    world.nodes["n1"] = node("n1", state=NodeState.DRAINED, reason="bob was first", reason_by="bob")
    fresh, changes = await desk.again(plan)
    assert changes == ("n1 was up and is drained, bob was first by bob",)
    assert [step.names for step in fresh.steps] == [("n2",)]


async def test_a_machine_of_two_clusters_is_drained_in_both(tmp_path: Path) -> None:
    one, two = World("lab", fleet(1)), World("k8s", [node("n1.example.org", cluster="k8s", state=NodeState.UP)])
    desk = desk_of(tmp_path, one, two)
    plan, result = await drain(desk, "n1")
    assert {order.cluster: order.names for order in plan.orders} == {"lab": ("n1",), "k8s": ("n1.example.org",)}
    assert result.verified
    assert _states(one) == _states(two) == [NodeState.DRAINED]


async def test_no_pod_is_evicted_before_every_cluster_of_a_machine_has_stopped_new_work(tmp_path: Path) -> None:
    one, two = World("k8s", [node("n1", cluster="k8s", state=NodeState.UP)]), World("lab", fleet(1))
    plan_nodes = one.plan_nodes

    async def evicting(order: Order, nodes: Sequence[Node], jobs: Sequence[Job]) -> Draft:
        draft = await plan_nodes(order, nodes, jobs)
        evict = Step(cluster="k8s", names=("n1",), run=Call(argv=("evict", "n1", "")), phase=1)
        return msgspec.structs.replace(draft, steps=(*draft.steps, evict))

    one.plan_nodes = evicting  # type: ignore[method-assign]
    one._do = lambda action, name, value: order_of.append(("k8s", action))  # type: ignore[method-assign]
    two._do = lambda action, name, value: order_of.append(("lab", action))  # type: ignore[method-assign]
    order_of: list[tuple[str, str]] = []
    two.slow_s = 0.2
    await drain(desk_of(tmp_path, one, two), "n1")
    assert order_of == [("k8s", "drain"), ("lab", "drain"), ("k8s", "evict")]


async def test_what_a_backend_noted_before_comes_back_to_it(tmp_path: Path) -> None:
    world = World(nodes=[*fleet(1), node("n2", state=NodeState.DRAINED, reason="cut…", reason_by="bob")])
    asked: list[Order] = []
    plan_nodes = world.plan_nodes

    async def noting(order: Order, nodes: Sequence[Node], jobs: Sequence[Job]) -> Draft:
        asked.append(order)
        draft = await plan_nodes(order, nodes, jobs)
        return msgspec.structs.replace(draft, former={each.name: f"all of {each.name}" for each in nodes})

    world.plan_nodes = noting  # type: ignore[method-assign]
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.node_orders("resume", [_view(desk, "n2")]))
    await desk.carry_out(plan, desk.execution(plan))
    back = await desk.undo_plan((await desk.attempts())[plan.id])
    assert (asked[-1].action, asked[-1].former) == ("drain", "all of n2")
    assert not any("under your name" in text for text in back.warnings)
    assert (await desk.again(back))[1] == ()


async def test_a_cluster_says_what_to_do_instead_of_what_it_cannot(tmp_path: Path) -> None:
    world = World(nodes=fleet(1), jobs=[job("8")])
    world.node_actions, world.job_actions = frozenset({"drain"}), frozenset({"cancel"})
    desk = desk_of(tmp_path, world)
    with pytest.raises(UsageError) as error:
        desk.job_orders("requeue", [("lab", "8")])
    assert "qd doctor" in error.value.hint
    world.instead = {"requeue": "suspend it", "reboot": "with qd run"}  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="lab cannot requeue jobs") as error:
        desk.job_orders("requeue", [("lab", "8")])
    assert error.value.hint == "suspend it"
    with pytest.raises(UsageError) as error:
        desk.node_orders("reboot", [_view(desk, "n1")])
    assert error.value.hint == "with qd run"


async def test_a_promise_that_does_not_come_true_is_said(tmp_path: Path) -> None:
    world = World(nodes=fleet(1))
    world._do = lambda action, name, value: None  # type: ignore[method-assign]
    _, result = await drain(desk_of(tmp_path, world), "n1")
    assert result.unmet == {("lab", "n1"): "it is up still"}
    assert not result.verified


async def test_read_only_has_no_actions_and_performs_none(tmp_path: Path) -> None:
    world = World(nodes=fleet(), jobs=[job("8")])
    store = store_of(world)
    desk = desk_of(tmp_path, world, policy=Policy(read_only="--read-only"), store=store)
    assert desk.able("lab") == frozenset()
    plan = await desk_of(tmp_path / "writable", world, store=store).plan(
        desk_of(tmp_path, world, store=store).node_orders("drain", [store.nodes["n1"]], reason="x")
    )
    with pytest.raises(Denied):
        await desk.plan(plan.orders)
    with pytest.raises(Denied):
        desk.execution(plan)
    with pytest.raises(UsageError):
        desk.node_orders("drain", [store.nodes["n1"]])
    assert world.performed == []


async def test_what_is_not_there_or_cannot_be_done_is_said(tmp_path: Path) -> None:
    world = World(nodes=fleet(1), jobs=[job("8")])
    desk = desk_of(tmp_path, world)
    world.job_actions = frozenset({"hold"})
    desk = desk_of(tmp_path, world)
    with pytest.raises(UsageError, match="cannot suspend"):
        desk.job_orders("suspend", [("lab", "8")])
    with pytest.raises(UsageError, match="knows no such jobs"):
        await desk.plan(desk.job_orders("hold", [("lab", "77")]))
    with pytest.raises(UsageError, match="nothing to act on"):
        await desk.plan(())


async def test_a_cancelled_job_must_be_typed_and_is_gone_afterwards(tmp_path: Path) -> None:
    world = World(jobs=[job("8", state=JobState.RUNNING, accelerators=8, started_at=NOW - 3600, user="bob")])
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.job_orders("cancel", [("lab", "8")]))
    assert (plan.confirm, plan.interrupts[0].accelerator_hours) == ("8", 8.0)
    assert (await desk.carry_out(plan, desk.execution(plan))).verified
    with pytest.raises(UsageError, match="cannot be undone"):
        await desk.undo_plan((await desk.attempts())[plan.id])


async def test_a_time_limit_comes_back(tmp_path: Path) -> None:
    world = World(jobs=[Job(id="8", cluster="lab", state=JobState.PENDING, time_limit_s=3600.0)])
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.job_orders("timelimit", [("lab", "8")], value="30"))
    assert (await desk.carry_out(plan, desk.execution(plan))).verified
    assert world.jobs["8"].time_limit_s == 1800
    back = await desk.undo_plan((await desk.attempts())[plan.id])
    assert (await desk.carry_out(back, desk.execution(back))).verified
    assert world.jobs["8"].time_limit_s == 3600


async def test_a_plugin_that_breaks_costs_its_step(tmp_path: Path) -> None:
    world = World(nodes=fleet(2))

    def broken(step: Step) -> None:
        if step.names == ("n1",):
            raise ZeroDivisionError("a bug")

    world.before_each = broken
    _, result = await drain(desk_of(tmp_path, world), "n1", "n2")
    states = {one.target: one.state for one in result.outcomes}
    assert states == {"n1": OutcomeState.FAILED, "n2": OutcomeState.DONE}


async def test_a_step_that_never_ends_is_in_doubt(tmp_path: Path) -> None:
    world = World(nodes=fleet(1))
    world.slow_s = 60
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.node_orders("drain", [_view(desk, "n1")], reason="x"))
    quick = msgspec.structs.replace(plan, steps=(msgspec.structs.replace(plan.steps[0], timeout_s=0.01),))
    result = await desk.carry_out(quick, desk.execution(quick))
    assert "not known" in result.outcomes[0].detail


async def test_a_world_that_cannot_be_seen_afterwards_is_not_verified(tmp_path: Path) -> None:
    world = World(nodes=fleet(1))
    desk = desk_of(tmp_path, world)
    plan = await desk.plan(desk.node_orders("drain", [_view(desk, "n1")], reason="x"))

    async def gone(names: object) -> tuple[Node, ...]:
        raise SourceError("slurmctld is down", "lab", "start it")

    world.look_nodes = gone  # type: ignore[method-assign]
    result = await desk.carry_out(plan, desk.execution(plan))
    assert "cannot be looked at" in result.unmet["lab", "n1"]


async def test_what_is_unchanged_in_one_cluster_is_verified_in_the_other(tmp_path: Path) -> None:
    done = node("n1", state=NodeState.DRAINED, reason="Xid 79", reason_by="bob")
    one, two = World("lab", [done]), World("k8s", [node("n1", cluster="k8s", state=NodeState.UP)])
    two._do = lambda action, name, value: None  # type: ignore[method-assign]
    plan, result = await drain(desk_of(tmp_path, one, two), "n1")
    assert plan.unchanged == {"lab": {"n1": "is drained"}}
    assert list(result.unmet) == [("k8s", "n1")]


async def test_a_reason_of_several_lines_and_colours_becomes_one_line(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, World(nodes=fleet(1)))
    (order,) = desk.node_orders("drain", [_view(desk, "n1")], reason="bad\ndimm \x1b[31m; rm -rf /")
    assert order.reason == "bad dimm ; rm -rf /"


def test_a_gang_of_which_some_nodes_are_targets_is_said() -> None:
    gang = job("8", node_names=("n1", "n2", "n3"))
    many = [f"n{number}" for number in range(2, 12)]
    (met,) = blast.interrupts([gang], {"8": Effect.EVICTED}, NOW, many)
    assert blast.broken_gangs([met]) == ("job 8 stops as a whole: it runs on 3 nodes, of which n[2-3] is a target",)
    assert blast.broken_gangs(blast.interrupts([gang], {"8": Effect.EVICTED}, NOW, ["n1", *many])) == ()
    assert blast.broken_gangs(blast.interrupts([gang], {}, NOW, ["n1"])) == ()


def test_the_contract_names_every_action_that_exists() -> None:
    assert {name for name, kind in ORDERS.items() if kind.of_nodes} == NODE_ACTIONS
    assert {name for name, kind in ORDERS.items() if not kind.of_nodes} == JOB_ACTIONS
