"""Why a job waits (`E`) and what it wrote (`L`)."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from console.errors import Denied, TimedOut
from console.logs import seek
from console.model import Cause, Explanation, JobState, LogStream
from console.ui.screens import log, logplaces
from console.ui.screens.log import LogScreen
from tests.ui.harness import Console, Output, press, running, settle

WAITING = Explanation(
    cluster="lab",
    job="1",
    state=JobState.PENDING,
    summary="It waits for 8 GPUs of one node.",
    causes=(Cause(code="Resources", text="too few GPUs are free", next_step="wait, or ask for fewer", nodes=3),),
    missing={"priority": "sprio is not installed"},
)


async def on_job(pilot: Pilot[int], app: Console) -> tuple[str, str]:
    await press(pilot, app, "2")
    key = app.base.job()
    assert key is not None
    return key


async def until(pilot: Pilot[int], app: Console, text: str) -> None:
    for _ in range(200):
        await settle(pilot, app)
        if text in app.text:
            return
        await pilot.pause(0.01)
    raise AssertionError(f"never showed {text}:\n{app.text}")


async def test_why_a_job_waits() -> None:
    app = Console()
    async with running(app, (100, 40)) as pilot:
        key = await on_job(pilot, app)
        await press(pilot, app, "E")
        assert "does not say why" in app.text
        app.session.desk.explanations[key] = WAITING
        await press(pilot, app, "E")
        await until(pilot, app, "It waits for 8 GPUs of one node.")
        for text in (
            "Resources",
            "too few GPUs are free (3 nodes)",
            "wait, or ask for fewer",
            "sprio is not installed",
        ):
            assert text in app.text
        app.session.desk.explanations[key] = TimedOut("slurmctld is hung", "lab", "look at its host")
        await press(pilot, app, "E")
        await until(pilot, app, "slurmctld is hung: lab")
        assert "look at its host" in app.text
        assert "It waits for 8 GPUs" in app.text, "what was known stays"
        await press(pilot, app, "escape")
        assert app.kind == "jobs"


async def test_a_log_is_followed_while_the_cursor_is_at_its_end() -> None:
    app = Console()
    async with running(app, (80, 24)) as pilot:
        await on_job(pilot, app)
        await press(pilot, app, "L")
        assert "does not give the output" in app.text
        output = Output(b"".join(b"step %d\n" % at for at in range(100)))
        app.session.desk.streams = (LogStream(name="stdout"), LogStream(name="stderr"))
        app.session.desk.outputs["stdout"] = output
        await press(pilot, app, "L")
        await until(pilot, app, "▶ step 99")
        output.write(b"step 100\nhalf a li")
        await until(pilot, app, "▶ half a li")
        output.write(b"ne\n\x1b]52;c;eA==\x07\x1b[2Jhostile \x1b[31mred\n")
        await until(pilot, app, "▶ hostile red")
        assert "half a line" in app.text
        await press(pilot, app, "k")
        output.write(b"further\n" * 50)
        await settle(pilot, app)
        assert "▶ half a line" in app.text, "who reads further up is left in peace"
        await press(pilot, app, "G")
        await until(pilot, app, "▶ further")
        output.replace(b"fresh\n")
        await until(pilot, app, "▶ fresh")
        await press(pilot, app, "tab")
        await until(pilot, app, "there is no such file")
        await press(pilot, app, "tab")
        await until(pilot, app, "▶ fresh")
        output.end()
        await until(pilot, app, "ended")
        await press(pilot, app, "escape")
        assert output.closed


async def test_scrolling_up_loads_more_and_search_finds_what_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "TAIL_BYTES", 2000)
    monkeypatch.setattr(logplaces, "EARLIER_BYTES", 1000)
    monkeypatch.setattr(seek, "READ_BYTES", 3000)
    lines = [b"line %05d" % at for at in range(5000)]
    lines[700] = b"the Needle in it"
    app = Console()
    async with running(app, (80, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        app.session.desk.outputs["stdout"] = Output(b"\n".join(lines) + b"\n")
        await press(pilot, app, "L")
        await until(pilot, app, "▶ line 04999")
        screen = app.base
        assert isinstance(screen, LogScreen)
        loaded = screen.pane.count
        await press(pilot, app, "g")
        for _ in range(100):
            await settle(pilot, app)
            if screen.pane.count > loaded:
                break
        assert screen.pane.count > loaded
        assert screen.pane.buffer.lines == [line.decode() for line in lines[-screen.pane.count :]], "no line is lost"
        await press(pilot, app, "slash", *"needle", "enter")
        await until(pilot, app, "▶ the Needle in it")
        assert "not live" in app.text
        await press(pilot, app, "n")
        await until(pilot, app, "needle stands nowhere above")
        await press(pilot, app, "G")
        await until(pilot, app, "▶ line 04999")
        assert "live" in app.text


async def test_a_log_that_may_not_be_read_says_so() -> None:
    class Closed(Output):
        async def tail(self, limit_bytes: int) -> None:  # type: ignore[override]
            raise Denied("permission denied", "gpu01:/home/bob/x.log", "ask bob")

    app = Console()
    async with running(app, (100, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        app.session.desk.outputs["stdout"] = Closed(b"")
        await press(pilot, app, "L")
        await until(pilot, app, "permission denied: gpu01:/home/bob/x.log. ask bob")
