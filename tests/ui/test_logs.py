"""The log screen: colours, ranks together or one at a time, times, and outputs from a list."""

from __future__ import annotations

import time

import pytest

from console.logs import ansi
from console.model import LogChunk, LogStream
from console.ui.app import QuarterdeckApp
from console.ui.screens import log, logplaces
from console.ui.screens.log import LogScreen
from console.ui.theme import log_style
from tests.ui.harness import Console, Output, press, running, settle
from tests.ui.test_job_questions import on_job, until

AT = 1_795_528_800.0


def stamped(count: int, words: str = "step") -> bytes:
    """Lines, one a second."""
    clock = (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(AT + at)) for at in range(count))
    return b"".join(f"{text} {words} {at}\n".encode() for at, text in enumerate(clock))


def of(app: QuarterdeckApp) -> LogScreen:
    """The screen on top."""
    screen = app.base
    assert isinstance(screen, LogScreen)
    return screen


async def test_colours_are_those_of_the_log_and_nothing_else() -> None:
    app = Console()
    async with running(app, (80, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        app.session.desk.outputs["stdout"] = Output(b"\x1b[1;31mred\x1b[0m plain \x1b[2J\x1b[38;2;0;0;0mblack\nnext\n")
        await press(pilot, app, "L")
        await until(pilot, app, "red plain black")
        strip = next(line for line in app.screen._compositor.render_strips() if "red plain" in line.text)
        styles = {part: segment.style for segment in strip for part in ("red", "black") if part in segment.text}
        bad = log_style(app.styles_of_theme.theme, "sgr:31").fg
        red, black = styles["red"], styles["black"]
        assert red is not None
        assert black is not None
        assert red.bold
        assert red.color is not None
        assert red.color.name == bad
        assert black.color is not None
        assert black.color.triplet is not None
        assert min(black.color.triplet) > 200, "what would not be seen is shown in another colour"
        assert not any("\x1b" in line for line in app.lines)


async def test_of_several_ranks_the_lowest_tells_of_the_training_and_the_state_is_never_cut() -> None:
    app = Console()
    async with running(app, (80, 24)) as pilot:
        await on_job(pilot, app)
        ranks = (0, 8, 16, 24, 32, 40, 48, 56)
        app.session.desk.streams = tuple(LogStream(name=f"rank {at}", rank=at) for at in ranks)
        app.session.desk.outputs = {
            f"rank {at}": Output(b"".join(b"step %d/100 loss %d.5\n" % (step, at + 1) for step in range(5)))
            for at in ranks
        }
        await press(pilot, app, "L")
        await until(pilot, app, "step 4/100")
        await press(pilot, app, "a")
        await until(pilot, app, "live  ranks 0,8")
        await until(pilot, app, "loss 1.5  ")


async def test_ranks_together_and_one_at_a_time() -> None:
    app = Console()
    async with running(app, (90, 24)) as pilot:
        await on_job(pilot, app)
        desk = app.session.desk
        desk.streams = tuple(LogStream(name=f"rank {at}" if at else "stdout", rank=at) for at in (0, 8, 16))
        first, second = Output(stamped(3, "zero")), Output(stamped(2, "eight"))
        desk.outputs = {"stdout": first, "rank 8": second}
        await press(pilot, app, "L")
        await until(pilot, app, "zero 2")
        assert "eight" not in app.text
        await press(pilot, app, "a")
        await until(pilot, app, "ranks 0,8")
        await until(pilot, app, "▶ 0│ 2026-11-24 14:00:02 zero 2")
        assert "16: there is no such file" in app.text, "one that cannot be read is said"
        lines = [line for line in app.lines if "│ 2026" in line]
        assert [line.strip(" ▶")[0] for line in lines] == ["0", "8", "0", "8", "0"], "in the order of their times"
        second.write(b"2026-11-24 14:01:00 eight again\n")
        await until(pilot, app, "▶ 8│ 2026-11-24 14:01:00 eight again")
        await press(pilot, app, "at", *"14:00:01", "enter")
        await until(pilot, app, "▶ 0│ 2026-11-24 14:00:01 zero 1")
        assert "14:00:00" not in app.text
        second.write(b"2026-11-24 14:01:01 eight once more\n")
        await until(pilot, app, "eight once more")
        await press(pilot, app, "G")
        await until(pilot, app, "▶ 8│ 2026-11-24 14:01:01 eight once more")
        await press(pilot, app, "a")
        await until(pilot, app, "rank 8 2/3")
        assert "zero" not in app.text, "the one under the cursor alone"
        await press(pilot, app, "colon", *"ranks 0", "enter")
        await until(pilot, app, "live  ranks 0")
        assert "0│" in app.text
        await press(pilot, app, "tab")
        await until(pilot, app, "rank 8 2/3")
        await press(pilot, app, "colon", *"ranks x", "enter")
        assert "'x' is no rank" in app.text


async def test_outputs_are_chosen_from_a_list() -> None:
    app = Console()
    async with running(app, (90, 24)) as pilot:
        await on_job(pilot, app)
        desk = app.session.desk
        desk.streams = tuple(LogStream(name=f"rank {at}", rank=at, path=f"/home/x/{at}.out") for at in range(6))
        desk.outputs = {stream.name: Output(f"hello of {stream.name}\n".encode()) for stream in desk.streams}
        await press(pilot, app, "L")
        await until(pilot, app, "hello of rank 0")
        await press(pilot, app, "O")
        assert "/home/x/5.out" in app.text
        await press(pilot, app, "j", "j", "enter")
        await until(pilot, app, "hello of rank 2")
        await press(pilot, app, "O", "space", "j", "space", "enter")
        await until(pilot, app, "ranks 2,4")
        assert "4│ hello of rank 4" in app.text
        assert "hello of rank 3" not in app.text
        await press(pilot, app, "O", "escape")
        assert app.kind == "log"


async def test_ranks_of_one_file_are_told_apart_and_shown_alone() -> None:
    app = Console()
    async with running(app, (90, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        lines = b"".join(b"%2d: step %d\n" % (at % 12, at) for at in range(600))
        output = app.session.desk.outputs["stdout"] = Output(lines)
        await press(pilot, app, "L")
        await until(pilot, app, "▶ 11│ step 599")
        assert "  0│ step 588" in app.text
        await press(pilot, app, "a")
        await until(pilot, app, "rank 11")
        assert "step 587" in app.text
        assert "step 588" not in app.text
        output.write(b" 3: other\n11: mine\n")
        await until(pilot, app, "▶ 11│ mine")
        assert "other" not in app.text
        await press(pilot, app, "tab")
        await until(pilot, app, " 3│ other")
        await press(pilot, app, "tab")
        await until(pilot, app, "▶  0│ step 588")
        await press(pilot, app, "colon", *"ranks 3,5-6", "enter")
        await until(pilot, app, "rank 3,5-6")
        assert {line.split("│")[0].strip(" ▶") for line in app.lines if "│ " in line} == {"3", "5", "6"}
        assert list(of(app).picture())[-1] == "3: other"


async def test_a_search_in_one_rank_passes_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "TAIL_BYTES", 2000)
    monkeypatch.setattr(logplaces, "EARLIER_BYTES", 1000)
    lines = [b" %d: step %d" % (at % 4, at) for at in range(4000)]
    lines[401], lines[1002], lines[1203] = b" 1: the needle", b" 2: a needle", b" 3: needle"
    app = Console()
    async with running(app, (90, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        app.session.desk.outputs["stdout"] = Output(b"\n".join(lines) + b"\n")
        await press(pilot, app, "L")
        await until(pilot, app, "▶ 3│ step 3999")
        await press(pilot, app, "colon", *"ranks 1", "enter")
        await until(pilot, app, "▶ 1│ step 3997")
        await press(pilot, app, "slash", *"needle", "enter")
        await until(pilot, app, "▶ 1│ the needle")
        await press(pilot, app, "n")
        await until(pilot, app, "needle stands nowhere above")


async def test_a_log_without_ranks_says_so() -> None:
    app = Console()
    async with running(app, (120, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        app.session.desk.outputs["stdout"] = Output(b"hello\n")
        await press(pilot, app, "L")
        await until(pilot, app, "hello")
        await press(pilot, app, "a")
        assert "do not say which rank" in app.text
        await press(pilot, app, "at", *"10m", "enter")
        await until(pilot, app, "its lines say no time")


async def test_a_time_is_found_and_from_there_it_goes_on_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "TAIL_BYTES", 2000)
    monkeypatch.setattr(logplaces, "EARLIER_BYTES", 3000)
    app = Console()
    async with running(app, (90, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        output = app.session.desk.outputs["stdout"] = Output(stamped(4000))
        await press(pilot, app, "L")
        await until(pilot, app, "step 3999")
        await press(pilot, app, "at", *"14:10", "enter")
        await until(pilot, app, "▶ 2026-11-24 14:10:00 step 600")
        assert "not live" in app.text
        await press(pilot, app, "at", *"noon", "enter")
        assert "is no time" in app.text
        await press(pilot, app, "at", *"5s", "enter")
        await until(pilot, app, "▶ 2026-11-24 15:06:34 step 3994")
        await press(pilot, app, "colon", *"time 2026-11-24T15:00", "enter")
        await until(pilot, app, "▶ 2026-11-24 15:00:00 step 3600")
        for _ in range(60):
            await press(pilot, app, "pagedown")
            if of(app).following.live:
                break
        await until(pilot, app, "▶ 2026-11-24 15:06:39 step 3999")
        output.write(b"2026-11-24 15:07:00 and on\n")
        await until(pilot, app, "▶ 2026-11-24 15:07:00 and on")


async def test_where_a_backend_keeps_the_times_it_is_asked() -> None:
    class Timed(Output):
        seen = 0.0

        async def since(self, at: float, limit_bytes: int) -> tuple[LogChunk, bool]:
            Timed.seen = at
            return LogChunk(data=b"from then\non\n"), True

    app = Console()
    async with running(app, (90, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        output = app.session.desk.outputs["stdout"] = Timed(b"the end\n", seekable=False)
        await press(pilot, app, "L")
        await until(pilot, app, "▶ the end")
        await press(pilot, app, "at", *"2m", "enter")
        await until(pilot, app, "▶ from then")
        assert 100 < time.time() - Timed.seen < 200
        output.write(b"and more\n")
        await until(pilot, app, "and more")


async def test_a_file_that_is_no_text_is_said_and_shown_as_far_as_it_can_be() -> None:
    app = Console()
    async with running(app, (90, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        app.session.desk.outputs["stdout"] = Output(b"\x7fELF\0\x01\x1b]52;c;eA==\x07 words" + b"\0" * 70_000)
        await press(pilot, app, "L")
        await until(pilot, app, "this is no text")
        assert "ELF words" in app.text


async def test_what_is_found_stands_out() -> None:
    app = Console()
    async with running(app, (90, 24)) as pilot:
        await on_job(pilot, app)
        app.session.desk.streams = (LogStream(name="stdout"),)
        app.session.desk.outputs["stdout"] = Output(b"one \x1b[32mNeedle needle\x1b[0m x\nlast\n")
        await press(pilot, app, "L")
        await until(pilot, app, "▶ last")
        await press(pilot, app, "slash", *"needle", "enter")
        await settle(pilot, app)
        strip = next(line for line in app.screen._compositor.render_strips() if "one Needle" in line.text)
        match = app.styles_of_theme.get("match").bgcolor
        found = [segment.text for segment in strip if segment.style is not None and segment.style.bgcolor == match]
        assert found == ["Needle", "needle"]


def test_styles_of_ranks_are_styles() -> None:
    from console.logs.ranks import STYLES

    assert all(ansi.look(style).fg is not None for style in STYLES)
