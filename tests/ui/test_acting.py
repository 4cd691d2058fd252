"""Acting from the screens: what is meant, the plan, the yes, progress, outcome, journal and undo."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from console.actions.desk import ActionDesk
from console.actions.policy import Policy, Rules
from console.actions.reading import attempts
from console.errors import ConfigError, Denied
from console.model import JobState, NodeState
from console.store import Store
from console.ui.acting import Stage
from console.ui.screens.plan import PlanScreen
from tests.ui.harness import Console, NotingSession, press, running, settle
from tests.unit.acting_world import World, desk_of, store_of
from tests.unit.records import job, node


class Lab:
    """A console over a cluster that does what it is told."""

    def __init__(self, directory: Path, policy: Policy | None = None) -> None:
        self.world = World(
            "lab",
            [node(f"gpu{number:02}", cluster="lab") for number in range(1, 6)],
            [
                job("11", cluster="lab", state=JobState.RUNNING, node_names=("gpu01", "gpu02"), user="alice"),
                job("12", cluster="lab", state=JobState.PENDING, user="bob"),
            ],
        )
        self.store: Store = store_of(self.world)
        self.desk: ActionDesk = desk_of(directory, self.world, policy=policy, store=self.store)
        self.session = NotingSession(self.store, actions=self.desk)

    def console(self, screen: str = "fleet") -> Console:
        return Console(session=self.session, screen=screen)

    def keep_journal(self) -> None:
        """Bring the journal to the store, as the session does."""
        self.store.keep_attempts(attempts(self.desk.around.journal.entries()))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


async def typed(pilot: Pilot[int], app: Console, text: str) -> None:
    await press(pilot, app, *("space" if letter == " " else letter for letter in text))


async def until(pilot: Pilot[int], app: Console, stage: Stage) -> PlanScreen:
    """Wait until the plan on top is that far."""
    for _ in range(200):
        screen = app.base
        if isinstance(screen, PlanScreen) and screen.intent.stage is stage and not app.acting.running:
            await settle(pilot, app)
            return screen
        await pilot.pause(0.01)
    raise AssertionError(app.text)


async def planned(pilot: Pilot[int], app: Console, keys: str, reason: str = "") -> PlanScreen:
    await press(pilot, app, *keys)
    if reason:
        await typed(pilot, app, reason)
        await pilot.press("enter")
    return await until(pilot, app, Stage.READY)


async def test_a_drain_from_the_row_under_the_cursor_to_its_undo(lab: Lab) -> None:
    app = lab.console()
    async with running(app, (100, 40)) as pilot:
        await press(pilot, app, "d")
        assert app.base.prompt is not None
        assert "gpu01" in app.text.splitlines()[-1]
        await typed(pilot, app, "INC-1 dimm")
        await pilot.press("enter")
        screen = await until(pilot, app, Stage.READY)
        assert "11  runs on alice" in " ".join(app.text.split()).replace("11 runs", "11  runs")
        assert "drain gpu01 INC-1 dimm" in " ".join(app.text.split()).replace("'", "")
        assert lab.world.performed == []
        await press(pilot, app, "enter")
        assert "drain gpu01? y/N" in app.text
        await typed(pilot, app, "y")
        await pilot.press("enter")
        await until(pilot, app, Stage.ENDED)
        assert lab.world.nodes["gpu01"].state is NodeState.DRAINED
        assert "verified" in app.text
        assert ("look again", {"lab"}) in lab.session.calls
        lab.keep_journal()
        await press(pilot, app, "7")
        assert "drain" in app.text
        assert "INC-1 dimm" in app.text
        await press(pilot, app, "u")
        await until(pilot, app, Stage.READY)
        await press(pilot, app, "enter", "y")
        await pilot.press("enter")
        screen = await until(pilot, app, Stage.ENDED)
        assert screen.intent.result is not None
        back = await lab.world.look_nodes(["gpu01"])
        assert back[0].state is NodeState.UP


async def test_marks_carry_the_targets_and_a_page_acts_on_what_it_is_about(lab: Lab) -> None:
    app = lab.console()
    async with running(app, (100, 40)) as pilot:
        await press(pilot, app, "space", "space")
        await press(pilot, app, "d")
        assert "gpu[01-02] (2 nodes)" in app.text.splitlines()[-1]
        await press(pilot, app, "escape", "escape", "enter")
        assert app.kind == "node"
        await press(pilot, app, "d")
        await typed(pilot, app, "why not")
        await pilot.press("enter")
        screen = await until(pilot, app, Stage.READY)
        assert screen.intent.plan is not None
        assert len(screen.intent.plan.orders[0].names) == 1


async def test_what_stops_work_must_be_typed(lab: Lab) -> None:
    app = lab.console("jobs")
    async with running(app, (100, 40)) as pilot:
        await press(pilot, app, "slash", *"11", "enter")
        await planned(pilot, app, "c")
        await press(pilot, app, "enter")
        assert "type 11 to cancel" in app.text
        await press(pilot, app, "y")
        await press(pilot, app, "enter")
        assert lab.world.performed == []
        assert "nothing was changed" in app.text
        await press(pilot, app, "enter", "1", "1")
        await pilot.press("enter")
        await until(pilot, app, Stage.ENDED)
        assert lab.world.jobs["11"].state is JobState.CANCELLED


async def test_a_world_that_changed_is_shown_and_asked_about_again(lab: Lab) -> None:
    app = lab.console()
    async with running(app, (100, 40)) as pilot:
        await planned(pilot, app, "d", "mine")
        lab.world.nodes["gpu01"] = node(
            "gpu01", cluster="lab", state=NodeState.DRAINED, reason="theirs", reason_by="bob"
        )
        await press(pilot, app, "enter", "y")
        await pilot.press("enter")
        screen = await until(pilot, app, Stage.READY)
        assert "the world changed" in app.text
        assert "theirs" in app.text
        assert "bob" in app.text
        assert not screen.intent.runnable
        assert lab.world.performed == []


async def test_leaving_the_page_changes_nothing_before_yes_and_stops_nothing_after(lab: Lab) -> None:
    app = lab.console()
    async with running(app, (100, 40)) as pilot:
        await planned(pilot, app, "d", "one")
        await press(pilot, app, "escape")
        assert app.kind == "fleet"
        assert "nothing was changed" in app.text
        lab.world.slow_s = 0.2
        await planned(pilot, app, "d", "two")
        await press(pilot, app, "enter", "y")
        await pilot.press("enter")
        for _ in range(100):
            if lab.world.at_once:
                break
            await pilot.pause(0.01)
        await press(pilot, app, "escape")
        assert app.kind == "fleet"
        for _ in range(200):
            if not app.acting.running:
                break
            await pilot.pause(0.02)
        assert lab.world.nodes["gpu01"].state is NodeState.DRAINED
        await settle(pilot, app)
        assert "drain gpu01: done and verified" in app.text


async def test_leaving_the_console_stops_what_has_not_begun_first(lab: Lab) -> None:
    app = lab.console()
    gate = asyncio.Event()
    real = lab.world.perform

    async def held(step: Any) -> None:
        await gate.wait()
        await real(step)

    lab.world.perform = held  # type: ignore[method-assign]
    async with running(app, (100, 40)) as pilot:
        await planned(pilot, app, "d", "why")
        await press(pilot, app, "enter", "y")
        await pilot.press("enter")
        for _ in range(100):
            if app.acting.running and app.acting.running[0].execution is not None:
                break
            await pilot.pause(0.01)
        await pilot.press("ctrl+c")
        await settle(pilot, app)
        assert app.return_code is None
        assert "nothing else begins" in app.text
        gate.set()
        screen = await until(pilot, app, Stage.ENDED)
        assert screen.intent.result is not None
        assert screen.intent.result.stopped
        await pilot.press("q")
        await pilot.pause()
        assert app.return_code == 0


async def test_a_refusal_stands_there_in_its_own_words(lab: Lab) -> None:
    lab.world.refuses["gpu01"] = Denied("slurmctld does not let you: Invalid user id", "lab", "ask an operator")
    app = lab.console()
    async with running(app, (100, 40)) as pilot:
        await planned(pilot, app, "d", "why")
        await press(pilot, app, "enter", "y")
        await pilot.press("enter")
        await until(pilot, app, Stage.ENDED)
        assert "Invalid user id" in app.text
        assert "ask an operator" in app.text
        assert "verified" not in app.text


async def test_read_only_offers_nothing_and_says_why(tmp_path: Path) -> None:
    lab = Lab(tmp_path, Policy(read_only="--read-only"))
    app = lab.console()
    async with running(app, (140, 40)) as pilot:
        assert " d drain" not in app.text.splitlines()[-1]
        await press(pilot, app, "d")
        assert app.base.prompt is None
        assert "read-only" in app.text.splitlines()[-1]
        await press(pilot, app, "7", "u")
        assert app.kind == "journal"
        assert "read-only" in app.text.splitlines()[-1]
    assert lab.world.performed == []
    assert not any(tmp_path.iterdir())


async def test_a_policy_that_forbids_is_no_plan(tmp_path: Path) -> None:
    lab = Lab(tmp_path, Policy([("/etc/policy.toml", Rules(reason_pattern="INC-[0-9]+"))]))
    app = lab.console()
    async with running(app, (100, 40)) as pilot:
        await press(pilot, app, "d")
        await typed(pilot, app, "because")
        await pilot.press("enter")
        await until(pilot, app, Stage.ENDED)
        assert "no plan" in app.text
        assert "INC-[0-9]+" in app.text
        await press(pilot, app, "enter")
        assert app.base.prompt is None


async def test_a_broken_policy_file_takes_the_actions_away_and_is_said(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_session: NotingSession) -> ActionDesk:
        raise ConfigError("read_only must be true or false", "/etc/quarterdeck/policy.toml", "mend it")

    monkeypatch.setattr(NotingSession, "actions", property(broken, lambda _session, _desk: None), raising=False)
    app = Lab(Path("/nonexistent")).console()
    async with running(app, (140, 40)) as pilot:
        assert " d drain" not in app.text.splitlines()[-1]
        await press(pilot, app, "d")
        assert "policy.toml" in app.text
        assert app.base.prompt is None


async def test_a_resume_looks_at_the_nodes_first(lab: Lab) -> None:
    lab.world.nodes["gpu01"] = node("gpu01", cluster="lab", state=NodeState.DRAINED, reason="dimm", reason_by="bob")
    app = lab.console()
    async with running(app, (100, 40)) as pilot:
        screen = await planned(pilot, app, "r")
        assert screen.attention().visible == ("gpu01",)
        calls = [name for name, _ in lab.session.calls]
        assert calls.index("settle") > calls.index("attend")


async def test_values_are_asked_for_on_the_command_line(lab: Lab) -> None:
    app = lab.console("jobs")
    async with running(app, (100, 40)) as pilot:
        await press(pilot, app, "slash", *"12", "enter", "colon", *"timelimit", "enter")
        assert app.base.prompt is not None
        assert app.base.prompt.text == "timelimit "
        await typed(pilot, app, "2h")
        await pilot.press("enter")
        screen = await until(pilot, app, Stage.READY)
        assert screen.intent.plan is not None
        assert screen.intent.plan.orders[0].value == "7200"


async def test_hostile_words_of_others_do_not_reach_the_terminal(lab: Lab) -> None:
    lab.world.nodes["gpu01"] = node("gpu01", cluster="lab", reason="x")
    app = lab.console()
    async with running(app, (80, 24)) as pilot:
        await press(pilot, app, "d")
        await pilot.press("a")
        assert app.base.prompt is not None
        app.base.prompt._line.value = "drain \x1b[31m[red]; rm -rf / ünï"
        await pilot.press("enter")
        screen = await until(pilot, app, Stage.READY)
        assert screen.intent.plan is not None
        assert "\x1b" not in (screen.intent.plan.orders[0].reason or "")
        assert "[red]; rm -rf / ünï" in app.text
