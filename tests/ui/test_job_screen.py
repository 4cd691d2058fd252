"""The Job screen: everything about one job in one place, and the researcher's way to it."""

from __future__ import annotations

from textual.pilot import Pilot

from console.errors import Denied
from console.model import Cause, Explanation, JobState, LogStream
from console.store import Store
from console.ui.screens.job import JobScreen
from tests.ui.harness import Console, NotingSession, Output, press, running, settle
from tests.unit.records import gpu, job, listing, measured, node, queue

AT = 1_790_000_000.0


def cluster() -> Store:
    store = Store()
    store.apply(listing("slurm:lab/nodes", node("gpu01"), node("gpu02")))
    store.apply(
        queue(
            "slurm:lab/jobs",
            job("7", state=JobState.RUNNING, name="pretrain", user="alice", node_names=("gpu01", "gpu02"),
                accelerators=8, started_at=AT - 600, time_limit_s=3600.0),
            job("8", state=JobState.PENDING, name="sweep-3", user="bob", reason="Priority"),
        )
    )  # fmt: skip
    for name in ("gpu01", "gpu02"):
        store.apply(measured(name, AT, *(gpu(at, 30.0 if (name, at) == ("gpu02", 3) else 97.0) for at in range(4))))
    return store


def console(store: Store | None = None, filter_text: str = "") -> Console:
    session = NotingSession(store or cluster())
    session.desk.explanations["lab", "8"] = Explanation(
        cluster="lab", job="8", state=JobState.PENDING, summary="It waits for its turn.",
        causes=(Cause(code="Priority", text="others come first", next_step="wait"),),
    )  # fmt: skip
    session.desk.streams = (LogStream(name="stdout", path="/home/a/7.out"),)
    session.desk.outputs["stdout"] = Output(b"step 1/100 loss 3.5\nstep 2/100 loss 3.25\n")
    app = Console(session=session, screen="jobs", filter_text=filter_text)
    app.at = AT
    return app


async def opened(pilot: Pilot[int], app: Console, job_id: str) -> JobScreen:
    app.open("job", ("lab", job_id))
    await settle(pilot, app)
    for _ in range(100):
        if isinstance(app.base, JobScreen) and app.base.is_mounted:
            break
        await pilot.pause(0.01)
    await settle(pilot, app)
    assert isinstance(app.base, JobScreen)
    return app.base


async def shows(pilot: Pilot[int], app: Console, text: str) -> None:
    for _ in range(200):
        await settle(pilot, app)
        if text in app.text:
            return
        await pilot.pause(0.01)
    raise AssertionError(f"never showed {text}:\n{app.text}")


async def test_a_running_job_has_everything_in_one_place_and_goes_along() -> None:
    app = console()
    async with running(app, (100, 40)) as pilot:
        await opened(pilot, app, "7")
        await shows(pilot, app, "step 2/100 loss 3.25")
        text = " ".join(app.text.split())
        assert "10m00s of 1h00m, 50m00s left" in text
        assert "rank 7, GPU 3 of gpu02: 30 % utilisation while the median of 8 is 97 %" in text
        assert "UTIL" in text
        assert "loss 3.25" in text
        app.session.desk.outputs["stdout"].write(b"step 3/100 loss 3.125\n")
        await shows(pilot, app, "step 3/100 loss 3.125")


async def test_the_keys_go_to_the_output_and_back() -> None:
    app = console()
    async with running(app, (80, 24)) as pilot:
        screen = await opened(pilot, app, "7")
        await shows(pilot, app, "step 2/100")
        await press(pilot, app, "tab")
        assert screen.output.active
        await press(pilot, app, "z")
        assert "UTIL" not in app.text
        await press(pilot, app, "escape")
        assert "UTIL" in app.text
        await press(pilot, app, "k")
        assert screen.clip() == "step 1/100 loss 3.5"
        await press(pilot, app, "escape")
        assert app.base is screen
        await press(pilot, app, "escape")
        assert app.kind == "jobs"
    assert app.session.desk.outputs["stdout"].closed


async def test_why_a_job_waits_stands_there_and_an_output_that_is_not_there_takes_no_room() -> None:
    app = console()
    app.session.desk.outputs.clear()
    async with running(app, (100, 30)) as pilot:
        screen = await opened(pilot, app, "8")
        await shows(pilot, app, "others come first")
        await shows(pilot, app, "there is no such file")
        assert not screen.output.display


async def test_a_backend_that_refuses_says_so_in_place() -> None:
    app = console()
    app.session.desk.explanations["lab", "8"] = Denied("you may not read events", "team-a", "ask for the role view")
    async with running(app, (100, 30)) as pilot:
        await opened(pilot, app, "8")
        await shows(pilot, app, "you may not read events")
        assert "ask for the role view" in app.text


async def test_a_job_that_goes_while_it_is_looked_at() -> None:
    app = console()
    async with running(app, (100, 30)) as pilot:
        await opened(pilot, app, "7")
        app.session.store.apply(queue("slurm:lab/jobs", job("8", state=JobState.PENDING)))
        await shows(pilot, app, "lists lab/7 no longer")


async def test_hostile_names_stay_text() -> None:
    store = cluster()
    store.apply(queue("slurm:lab/jobs", job("7", state=JobState.RUNNING, name="[red]x[/]" * 60, node_names=("gpu01",))))
    app = console(store)
    async with running(app, (80, 24)) as pilot:
        await opened(pilot, app, "7")
        await shows(pilot, app, "[red]x[/]")


async def test_my_jobs_are_the_first_thing_to_see() -> None:
    app = console(filter_text='user="alice"')
    async with running(app, (100, 30)) as pilot:
        await shows(pilot, app, "1 of 2")
        assert "pretrain" in app.text
        assert "sweep-3" not in app.text
        await press(pilot, app, "escape")
        assert "sweep-3" in app.text


async def test_where_no_job_has_an_owner_that_is_said() -> None:
    store = Store()
    store.apply(queue("kubernetes:lab/jobs", job("team-a/x", state=JobState.RUNNING)))
    app = console(store, filter_text='user="alice"')
    async with running(app, (120, 30)) as pilot:
        await shows(pilot, app, "set user_label")
