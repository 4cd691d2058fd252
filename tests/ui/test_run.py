"""Running a command from the screens: what is meant, the question, answers as they come, differences, ending it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from console.actions.policy import Policy, Rules
from console.actions.reading import attempts
from console.actions.running import RunDesk
from console.errors import Unreachable
from console.ui.screens.run import AnswerScreen, RunScreen
from tests.ui.harness import Console, NotingSession, press, running, settle
from tests.unit.acting_world import World, desk_of, store_of
from tests.unit.records import node


class Machine:
    """Says what it is told to, when it is let go."""

    def __init__(self, name: str, lab: Lab) -> None:
        self.name = name
        self._lab = lab

    async def stream(self, argv: Sequence[str], *, output: Any, **rest: Any) -> int:
        lab = self._lab
        lab.asked.append((self.name, tuple(argv)))
        await lab.gate.wait()
        if self.name in lab.dead:
            raise Unreachable("the connection was refused", self.name, "is sshd running there?")
        output(1, lab.words.get(self.name, b"same\n"))
        return lab.status.get(self.name, 0)


class Lab:
    """Five nodes that are reached by `ssh:NAME`."""

    def __init__(self, directory: Path, policy: Policy | None = None) -> None:
        nodes = [
            msgspec.structs.replace(node(f"gpu{number:02}", cluster="lab"), address=f"ssh:gpu{number:02}")
            for number in range(1, 6)
        ]
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.words: dict[str, bytes] = {}
        self.status: dict[str, int] = {}
        self.dead: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        store = store_of(World("lab", nodes))
        self.desk = desk_of(directory, World("lab", nodes), policy=policy, store=store)
        self.session = NotingSession(store, actions=self.desk)
        self.session.runner = RunDesk(lambda address: Machine(address, self), self.desk.around)

    def console(self, screen: str = "fleet") -> Console:
        return Console(session=self.session, screen=screen)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


async def ask(pilot: Pilot[int], app: Console, command: str) -> RunScreen:
    """Ask for a command, up to the question."""
    await press(pilot, app, "x", *("space" if letter == " " else letter for letter in command), "enter")
    screen = app.base
    assert isinstance(screen, RunScreen)
    return screen


async def ended(pilot: Pilot[int], app: Console, screen: RunScreen) -> None:
    for _ in range(200):
        if screen.trip.ended:
            break
        await asyncio.sleep(0.01)
    assert screen.trip.ended
    app.tick()
    await settle(pilot, app)


async def test_a_command_runs_on_what_is_marked_after_a_yes(lab: Lab) -> None:
    lab.words["ssh:gpu02"] = b"other\n"
    app = lab.console()
    async with running(app) as pilot:
        await press(pilot, app, "space", "space", "space")
        screen = await ask(pilot, app, "date")
        assert lab.asked == []
        assert "run it on gpu[01-03] (3 nodes)? y/N" in "\n".join(app.lines)
        await press(pilot, app, "y", "enter")
        await ended(pilot, app, screen)
        assert sorted(name for name, _ in lab.asked) == ["ssh:gpu01", "ssh:gpu02", "ssh:gpu03"]
        text = "\n".join(app.lines)
        assert "gpu[01,03] (2)" in text
        assert "2 different answers" in text
        await press(pilot, app, "D")
        assert "-same" in "\n".join(app.lines)
        await press(pilot, app, "D", "G", "enter")
        assert isinstance(app.base, AnswerScreen)
        assert "other" in "\n".join(app.lines)
        await press(pilot, app, "escape", "escape", "X")
        assert app.base.kind == "run", "the answers of the last run are there again"
    (attempt,) = attempts(lab.desk.around.journal.entries()).values()
    assert attempt.plan.action == "run"
    assert len(attempt.outcomes) == 3


async def test_without_a_yes_nothing_runs(lab: Lab) -> None:
    app = lab.console()
    async with running(app) as pilot:
        screen = await ask(pilot, app, "date")
        await press(pilot, app, "n", "enter")
        assert screen.trip.run is None
        await press(pilot, app, "enter")
        assert screen.prompt is not None, "enter asks again"
        await press(pilot, app, "escape", "escape")
    assert lab.asked == []
    assert list(lab.desk.around.journal.entries()) == []


async def test_answers_stand_as_they_come_and_leaving_ends_what_runs(lab: Lab) -> None:
    lab.gate.clear()
    lab.dead.add("ssh:gpu01")
    app = lab.console()
    async with running(app) as pilot:
        await press(pilot, app, "a")
        screen = await ask(pilot, app, "date")
        await press(pilot, app, "y", "enter")
        for _ in range(200):
            if len(lab.asked) == 5:
                break
            await asyncio.sleep(0.01)
        app.tick()
        await settle(pilot, app)
        assert "0 of 5" in "\n".join(app.lines)
        assert "still running: gpu[01-05]" in "\n".join(app.lines)
        await press(pilot, app, "q")
        await ended(pilot, app, screen)
        assert "gpu[01-05] (5): interrupted: it was ended there" in "\n".join(app.lines)


async def test_the_policy_may_want_the_number_typed(tmp_path: Path) -> None:
    lab = Lab(tmp_path, Policy([("/etc/policy.toml", Rules(typed_above_nodes=2))]))
    app = lab.console()
    async with running(app) as pilot:
        await press(pilot, app, "a")
        screen = await ask(pilot, app, "date")
        assert "type 5 to run it" in "\n".join(app.lines)
        await press(pilot, app, "y", "enter")
        assert screen.trip.run is None
        await press(pilot, app, "enter", "5", "enter")
        await ended(pilot, app, screen)
    assert len(lab.asked) == 5


async def test_in_read_only_there_is_no_such_key(tmp_path: Path) -> None:
    lab = Lab(tmp_path, Policy([], read_only="--read-only"))
    app = lab.console()
    async with running(app) as pilot:
        assert "run" not in {action.id for action in app.offered("fleet")}
        app.perform("run", "date")
        await settle(pilot, app)
        assert not isinstance(app.base, RunScreen)
        assert "read-only" in "\n".join(app.lines)
    assert lab.asked == []
