"""What a person does at the keys, and what then stands on the screen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from console.errors import ConfigError, PluginError, UsageError
from console.model import NodeState, SourceState
from console.store import Store
from console.ui import doing
from console.ui.actions import ACTIONS, Action
from tests.ui.harness import NOW, Console, Looks, NotingSession, many, press, running, settle
from tests.unit.records import batch, job, listing, node, queue, status, until


async def test_first_paint_before_any_data_says_that_it_connects() -> None:
    app = Console(Store())
    async with running(app) as pilot:
        assert "connecting" in app.text
        app.session.store.apply(
            batch(status("ssh:gpu9", state=SourceState.UNREACHABLE, error="no route to host", hint="is it on?"))
        )
        await settle(pilot, app)
        assert "ssh:gpu9: unreachable: no route to host" in app.text
        assert "is it on?" in app.text
        app.session.store.apply(listing("slurm:lab/nodes", node("gpu1")))
        await settle(pilot, app)
        assert "gpu1" in app.text
        assert "connecting" not in app.lines[4]


async def test_session_starts_after_the_first_paint_and_is_closed_at_the_end() -> None:
    app = Console()
    async with running(app):
        assert ("start", None) in app.session.calls
    assert app.session.calls[-1] == ("close", None)
    app.tick()  # the clock may tick once more while the screens go


@pytest.mark.parametrize("kind", [UsageError, ConfigError])
async def test_a_mistake_of_the_user_that_the_start_finds_ends_the_console(kind: type[UsageError]) -> None:
    error = kind("no cluster is called prod", "--cluster", "clusters: lab")
    app = Console(session=NotingSession(Store(), fails=error))
    async with app.run_test():
        await until(lambda: app.refused is not None, "the end")
    assert app.refused is error
    assert app.return_code == 2
    assert app.crash is None
    assert app.session.calls[-1] == ("close", None)


async def test_a_session_that_cannot_start_says_so_instead_of_connecting() -> None:
    error = PluginError("speaks version 9 of the contract", "plugin odd", "update it")
    app = Console(session=NotingSession(Store(), fails=error))
    async with running(app) as pilot:
        await until(lambda: app.view.failure is not None, "the failure")
        await settle(pilot, app)
        assert "session failed: speaks version 9 of the contract: plugin odd (update it)" in app.lines[-1]
        await press(pilot, app, "j")
        assert "connecting" not in app.text
        assert "✗ failed" in app.lines[0]
        assert "speaks version 9 of the contract: plugin odd (update it)" in app.text
        assert app.refused is None
        assert app.crash is None


async def test_the_unforeseen_at_the_start_keeps_its_traceback_and_names_the_file() -> None:
    error = TypeError("a \x1b[2J of ours")
    app = Console(session=NotingSession(Store(), fails=error))
    async with running(app) as pilot:
        await until(lambda: app.view.failure is not None, "the failure")
        await settle(pilot, app)
        assert app.session.reported == [(error, "session")]
        assert "unforeseen TypeError in session: see /state/crash.txt" in app.lines[-1]
        assert "unforeseen TypeError: see /state/crash.txt" in app.text
        assert "✗ failed" in app.lines[0]


async def test_the_unforeseen_in_a_worker_of_a_screen_keeps_its_traceback() -> None:
    app = Console(many(5))
    async with running(app) as pilot:
        error = ZeroDivisionError("while sorting")

        async def broken() -> None:
            raise error

        app.table_screen.run_worker(broken(), name="sorting", group="sort", exit_on_error=False)
        await until(lambda: app.session.reported, "the report")
        await settle(pilot, app)
        assert app.session.reported == [(error, "sorting")]
        assert "unforeseen ZeroDivisionError in sorting: see /state/crash.txt" in app.lines[-1]
        assert "n0001" in app.text, "the table stays"
        assert app.view.failure is None


async def test_the_unforeseen_ends_the_console_and_is_kept_for_the_crash_file() -> None:
    app = Console()

    async def break_it() -> None:
        async with running(app) as pilot:
            app.call_later(lambda: 1 // 0)
            await pilot.pause()

    with pytest.raises(ZeroDivisionError):
        await break_it()
    assert isinstance(app.crash, ZeroDivisionError)
    assert app.return_code == 1


async def test_header_tells_cluster_totals_and_freshness() -> None:
    app = Console()
    async with running(app, (160, 48)):
        assert "lab (slurm 24.11.5)" in app.text
        assert "nodes 2/4 up" in app.text
        assert "3/5 live, denied" in app.lines[0]


async def test_simulated_stands_on_every_screen() -> None:
    app = Console(session=NotingSession(many(3), simulated=True))
    async with running(app, (80, 24)) as pilot:
        for keys in (["2"], ["4"], ["5"], ["9"], ["question_mark"], ["escape"], ["1"], ["enter"], ["ctrl+p"]):
            await press(pilot, app, *keys)
            assert "SIMULATED" in app.text, keys


async def test_moving() -> None:
    app = Console(many(100))
    async with running(app, (80, 24)) as pilot:
        table = app.table_screen.table
        for key, expected in (("j", 1), ("down", 2), ("k", 1), ("up", 0), ("G", 99), ("g", 0), ("ctrl+d", 9),
                              ("ctrl+u", 0), ("pagedown", 18), ("pageup", 0), ("end", 99), ("home", 0)):  # fmt: skip
            await press(pilot, app, key)
            assert table.index == expected, key
        await press(pilot, app, "G")
        assert "n0100" in app.text
        assert "100/100" in app.text


async def test_cursor_keeps_its_node_and_its_line_while_rows_come_and_go() -> None:
    store = many(60)
    app = Console(store)
    async with running(app, (80, 24)) as pilot:
        await press(pilot, app, *["pagedown", "j", "j"])
        table = app.table_screen.table
        cursor, line = table.cursor, table.index - table.top
        store.apply(listing("ssh:more", *(node(f"a{number}") for number in range(20))))
        await settle(pilot, app)
        assert (table.cursor, table.index - table.top) == (cursor, line)
        assert app.lines[4 + line].startswith(f"▶ {cursor}")
        await press(pilot, app, "S")
        assert table.cursor == cursor


async def test_cursor_that_was_never_moved_stays_on_the_first_row() -> None:
    store = many(5)
    app = Console(store)
    async with running(app) as pilot:
        store.apply(listing("ssh:more", node("a0")))
        await settle(pilot, app)
        assert app.table_screen.table.cursor == "a0"


async def test_the_row_under_the_cursor_is_gone() -> None:
    store = many(3)
    app = Console(store)
    async with running(app) as pilot:
        await press(pilot, app, "G")
        store.apply(listing("slurm:big/nodes", node("n0001"), node("n0002")))
        await settle(pilot, app)
        assert app.table_screen.table.cursor == "n0002"
        assert app.table_screen.model.total == 2


async def test_marks_survive_refresh_sort_and_filter() -> None:
    store = many(30)
    app = Console(store)
    async with running(app, (80, 24)) as pilot:
        await press(pilot, app, "space", "j", "space")
        table = app.table_screen.table
        assert table.marks == {"n0001", "n0003"}
        assert "◆ n0001" in app.text
        await press(pilot, app, "S")
        store.apply(listing("slurm:big/nodes", *(node(f"n{at:04}", cpus=7) for at in range(1, 31))))
        await press(pilot, app, "slash", "n", "0", "0", "2", "enter")
        assert table.marks == {"n0001", "n0003"}
        assert "2 marked" in app.text
        await press(pilot, app, "escape")
        assert app.table_screen.filter_text == ""
        assert table.marks
        await press(pilot, app, "escape")
        assert not table.marks


async def test_range_and_all() -> None:
    app = Console(many(30))
    async with running(app) as pilot:
        table = app.table_screen.table
        await press(pilot, app, "j", "v", "j", "j")
        assert "range 3" in app.text
        assert not table.marks
        await press(pilot, app, "v")
        assert table.marks == {"n0002", "n0003", "n0004"}
        await press(pilot, app, "v", "j", "escape")
        assert len(table.marks) == 3
        await press(pilot, app, "a")
        assert len(table.marks) == 30
        await press(pilot, app, "a")
        assert not table.marks


async def test_sorting_by_keys_and_by_name() -> None:
    app = Console()
    async with running(app, (160, 48)) as pilot:
        model = app.table_screen.model
        assert model.column.id == "node"
        assert model.shown.window(0, 9) == ["cpu01", "gpu01", "gpu2", "gpu10"]
        await press(pilot, app, "greater_than_sign")
        assert (model.column.id, model.descending) == ("state", True)
        assert model.shown.window(0, 1) == ["cpu01"]
        await press(pilot, app, "less_than_sign", "S")
        assert model.shown.window(0, 9) == ["gpu10", "gpu2", "gpu01", "cpu01"]
        await type_command(pilot, app, "sort util")
        assert (model.column.id, model.descending) == ("util", True)
        await type_command(pilot, app, "sort nonsens")
        assert "no column nonsens" in app.text


async def type_command(pilot: object, app: Console, text: str) -> None:
    """Type a command line and press enter."""
    keys = {
        " ": "space",
        "-": "minus",
        ",": "comma",
        ">": "greater_than_sign",
        ".": "full_stop",
        ":": "colon",
        "@": "at",
    }
    await press(pilot, app, "colon", *(keys.get(char, char) for char in text), "enter")  # type: ignore[arg-type]


async def test_filter_is_live_and_shows_its_mistakes() -> None:
    app = Console()
    async with running(app, (160, 48)) as pilot:
        model = app.table_screen.model
        await press(pilot, app, "slash", "g", "p", "u", "2")
        assert model.shown.window(0, 9) == ["gpu2"]
        assert "1 of 4" in app.text
        await press(pilot, app, "escape")
        assert len(model) == 4
        await press(pilot, app, "slash", *"util", "greater_than_sign", "x")
        assert "x is no number for util" in app.text
        await press(pilot, app, "enter")
        assert app.base.prompt is not None
        await press(pilot, app, "backspace", "8", "0", "enter")
        assert app.base.prompt is None
        assert model.shown.window(0, 9) == ["gpu01"]
        await press(pilot, app, "escape", "slash", "up")
        assert app.base.prompt is not None
        assert app.base.prompt.text == "util>80"


async def test_filter_that_nothing_matches_says_how_to_leave() -> None:
    app = Console()
    async with running(app) as pilot:
        await press(pilot, app, "slash", *"zzz", "enter")
        assert "no node matches zzz" in app.text
        assert "esc clears" in app.text


async def test_filter_by_nodes_and_groups() -> None:
    app = Console()
    async with running(app, (160, 48)) as pilot:
        model = app.table_screen.model
        await press(pilot, app, "slash", *"gpu", "left_square_bracket", *"01")
        assert "a bracket opens and never closes" in app.text
        await press(pilot, app, "comma", *"10", "right_square_bracket")
        assert model.shown.window(0, 9) == ["gpu01", "gpu10"]
        await press(pilot, app, "enter", "escape")
        await type_command(pilot, app, "filter @drained")
        assert model.shown.window(0, 9) == ["gpu10"]
        await type_command(pilot, app, "filter @partition:gpus")
        assert "no partition is called gpus" in app.text
        assert "did you mean gpu?" in app.text
        await type_command(pilot, app, "filter @nosuch")
        assert "no group is called nosuch" in app.text
        await press(pilot, app, "escape", "2")
        await type_command(pilot, app, "filter @job:8812")
        assert app.table_screen.model.shown.window(0, 9) == [("lab", "8812")]


async def test_filter_follows_what_changes() -> None:
    store = many(4)
    app = Console(store)
    async with running(app) as pilot:
        await type_command(pilot, app, "filter state:drained")
        assert len(app.table_screen.model) == 0
        store.apply(batch("slurm:big/nodes", nodes=(node("n0002", state=NodeState.DRAINED),)))
        await settle(pilot, app)
        assert app.table_screen.model.shown.window(0, 9) == ["n0002"]


async def test_screens_keep_their_state() -> None:
    app = Console()
    async with running(app) as pilot:
        await press(pilot, app, "j", "j", "2", "j")
        assert app.kind == "jobs"
        assert app.table_screen.table.index == 1
        await press(pilot, app, "1")
        assert app.table_screen.table.index == 2
        await press(pilot, app, "2")
        assert app.table_screen.table.index == 1


async def test_open_node_and_job_and_back() -> None:
    app = Console()
    async with running(app, (120, 40)) as pilot:
        await press(pilot, app, "j", "enter")
        assert app.kind == "node"
        assert "GPU is lost" in app.text
        assert "not supported by this device" in app.text
        assert app.session.attention.visible == ("gpu01",)
        await press(pilot, app, "escape", "2")
        await type_command(pilot, app, "sort user")
        await press(pilot, app, "g")
        app.table_screen.table.put(("lab", "8812"))
        await press(pilot, app, "enter")
        assert app.kind == "job"
        assert "UTIL" in app.text
        await press(pilot, app, "G")
        assert "RANK" in app.text
        await press(pilot, app, "escape", "escape")
        assert app.kind == "jobs"


async def test_a_job_on_a_node_page_opens() -> None:
    app = Console()
    async with running(app, (120, 40)) as pilot:
        await press(pilot, app, "j", "enter")
        page = app.base
        lines = page.lines  # type: ignore[attr-defined]
        at = next(index for index, row in enumerate(lines.rows) if row.opens)
        lines.go(at)
        await press(pilot, app, "enter")
        assert app.kind == "job"


async def test_details_show_the_row_and_why_values_are_missing() -> None:
    app = Console()
    async with running(app, (120, 30)) as pilot:
        assert not app.table_screen.details_open
        await press(pilot, app, "i", "j")
        assert "GPU 7 is lost" in app.text
        await press(pilot, app, "tab", "G")
        assert app.table_screen.in_details
        assert app.table_screen.table.index == 1
        await press(pilot, app, "z")
        assert "NODE" not in app.lines[3]
        await press(pilot, app, "z", "tab", "i")
        assert not app.table_screen.details_open


async def test_heat_map_and_its_measures() -> None:
    app = Console()
    async with running(app, (100, 30)) as pilot:
        await press(pilot, app, "j", "m")
        assert "utilization" in app.text
        assert app.fleet.heat.cursor == "gpu01"
        await press(pilot, app, *["l"] * 7)
        assert "gpu7" in app.text
        assert "gpu01[" in app.text.replace(" [", "[")
        for word in ("memory", "power", "temperature", "errors"):
            await press(pilot, app, "m")
            assert word in app.text
        await press(pilot, app, "l")
        cursor = app.fleet.heat.cursor
        await press(pilot, app, "m")
        assert not app.fleet.mapped
        assert app.table_screen.table.cursor == cursor


async def test_copy_and_write(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Console()
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with running(app, (160, 48)) as pilot:
        await press(pilot, app, "j", "y")
        assert copied == ["gpu01"]
        await press(pilot, app, "space", "space", "y")
        assert copied[-1] == "gpu01\ngpu2"
        await press(pilot, app, "w")
        assert "written to /here/quarterdeck-fleet.txt" in app.text
        assert app.session.saved["quarterdeck-fleet.txt"].splitlines()[1].startswith("cpu01")
        app.session.full_disk = True
        await type_command(pilot, app, "write x.txt")
        assert "No space left on device" in app.text


async def test_a_hundred_thousand_rows_are_written_without_holding_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doing, "WRITE_SLICE_S", -1.0)
    app = Console(many(300))
    async with running(app, (80, 24)) as pilot:
        gate = asyncio.Event()
        monkeypatch.setattr(app, "rest", gate.wait)
        await pilot.press("w", "j")
        await settle(pilot, app)
        assert app.table_screen.table.index == 1, "the key was answered"
        assert app.session.saved == {}, "while it was still being written"
        gate.set()
        await app.workers.wait_for_complete([worker for worker in app.workers if worker.name == "writing"])
        lines = app.session.saved["quarterdeck-fleet.txt"].splitlines()
        assert [line.split()[0] for line in lines] == ["NODE", *(f"n{number:04}" for number in range(1, 301))]
        assert "written to /here/quarterdeck-fleet.txt" in app.text


async def test_what_is_written_of_a_simulation_says_so_on_its_first_line() -> None:
    store = many(3)
    store.apply(queue("slurm:big/jobs", job("7", cluster="big")))
    app = Console(session=NotingSession(store, simulated=True))
    async with running(app, (100, 30)) as pilot:
        for number, keys in enumerate((["1"], ["m"], ["2"], ["enter"], ["question_mark"])):
            await press(pilot, app, *keys)
            await type_command(pilot, app, f"write {number}.txt")
            lines = app.session.saved[f"{number}.txt"].splitlines()
            assert lines[0] == "SIMULATED", keys
            assert len(lines) > 1
    assert "utilization of each GPU" in app.session.saved["1.txt"]


async def test_pause_pace_and_leave() -> None:
    app = Console()
    async with running(app, (120, 30)) as pilot:
        await press(pilot, app, "p")
        assert "paused" in app.lines[0]
        await press(pilot, app, "p")
        assert [value for name, value in app.session.calls if name == "pause"] == [True, False]
        await type_command(pilot, app, "refresh 5")
        await type_command(pilot, app, "refresh soon")
        assert "not a number of seconds from 0.2 to 3600: soon" in app.text
        await type_command(pilot, app, "refresh auto")
        assert [value for name, value in app.session.calls if name == "refresh"] == [5.0, None]
        await pilot.press("q")
    assert app.return_code == 0


async def test_columns_are_chosen() -> None:
    app = Console()
    async with running(app, (120, 30)) as pilot:
        await type_command(pilot, app, "columns node,cluster,rack")
        assert [place.column.id for place in app.table_screen.table.placed] == ["node", "cluster", "rack"]
        await type_command(pilot, app, "columns node,rak")
        assert "no column rak" in app.text
        await type_command(pilot, app, "columns auto")
        assert "STATE" in app.text
        await press(pilot, app, "C", "j", "space", "enter")
        assert "STATE" not in app.text
        await press(pilot, app, "C", "r")
        assert "STATE" in app.text


async def test_columns_scroll_sideways_and_stop_at_the_end() -> None:
    app = Console()
    async with running(app, (60, 20)) as pilot:
        table = app.table_screen.table
        assert "STATE" in app.lines[3]
        await press(pilot, app, "l")
        assert "STATE" not in app.lines[3]
        assert "NODE" in app.lines[3]
        await press(pilot, app, *["l"] * 40)
        assert table.placed[-1].column.id == table.model.table.columns[-1].id
        await press(pilot, app, *["h"] * 40)
        assert table.shift == 0


async def test_palette_and_help_come_from_the_registry() -> None:
    app = Console(looks=Looks(keymap={"pause": "f5"}))
    async with running(app, (120, 90)) as pilot:
        await press(pilot, app, "question_mark")
        assert "f5" in app.text
        assert ":mark-range" in app.text
        await press(pilot, app, "escape", "ctrl+p", *"paus", "enter")
        assert app.paused
        await press(pilot, app, "f5")
        assert not app.paused
        await press(pilot, app, "p")
        assert not app.paused


@pytest.mark.parametrize("action", [action for action in ACTIONS if action.asks], ids=lambda action: action.id)
async def test_an_action_that_needs_an_argument_asks_for_it(action: Action) -> None:
    app = Console(looks=Looks(keymap={action.id: "f6"}), screen=action.screens[0])
    async with running(app, (120, 40)) as pilot:
        await press(pilot, app, "f6")
        assert app.base.prompt is not None
        assert app.base.prompt.text == f"{action.id} "
        assert app.messages.line is not None
        assert action.argument in "".join(cell.text for cell in app.messages.line)
        await press(pilot, app, "escape")
        assert app.base.prompt is None
        await type_command(pilot, app, action.id)
        assert app.base.prompt is not None, "also when it was typed without one"


async def test_sort_of_the_palette_asks_for_the_column() -> None:
    app = Console()
    async with running(app, (120, 40)) as pilot:
        await press(pilot, app, "ctrl+p", *"sort", "space", *"name", "enter")
        await press(pilot, app, "p", "o", "w", "tab", "enter")
        assert app.table_screen.model.column.id == "power"


async def test_choosers_and_lines_of_input_obey_the_keymap() -> None:
    keys = {"down": "o, down", "up": "e, up", "mark": "f7", "carry-down": "f8", "open": "ctrl-o", "back": "ctrl-g"}
    app = Console(looks=Looks(keymap=keys))
    async with running(app, (120, 30)) as pilot:
        assert not app.messages.notices
        await press(pilot, app, "C")
        assert "f7 shows, f8 K move, r resets, ctrl-o takes" in app.text
        await press(pilot, app, "j", "enter", "o", "f7", "f8", "e", "ctrl+o")
        shown = [place.column.id for place in app.table_screen.table.placed]
        assert shown[:3] == ["node", "gpu", "util"], "state is off, behind gpu"
        await press(pilot, app, "C", "ctrl+g")
        assert app.screen is app.base
        await press(pilot, app, "C", "q")
        assert app.screen is app.base, "q leaves the list, not the console"
        assert app.is_running
        await press(pilot, app, "slash", *"gpuo", "ctrl+g")
        assert (app.base.prompt, app.table_screen.filter_text) == (None, "")
        await press(pilot, app, "slash", *"gpu", "ctrl+o")
        assert (app.base.prompt, app.table_screen.filter_text) == (None, "gpu")
        await press(pilot, app, "slash", "x", "enter", "slash", "up")
        assert app.base.prompt is not None
        await press(pilot, app, "escape")
        assert app.base.prompt is None, "escape always leads out"


async def test_a_page_of_columns_is_scrolled() -> None:
    app = Console()
    async with running(app, (120, 30)) as pilot:
        await press(pilot, app, "C", "G", "g", "J", "enter")
        assert [place.column.id for place in app.table_screen.table.placed][:2] == ["state", "node"]


async def test_commands_complete_and_name_the_nearest() -> None:
    app = Console()
    async with running(app, (120, 30)) as pilot:
        await press(pilot, app, "colon", *"them", "tab")
        assert app.base.prompt is not None
        assert app.base.prompt.text == "theme"
        await press(pilot, app, "escape")
        await type_command(pilot, app, "pasue")
        assert "did you mean pause?" in app.text
        await type_command(pilot, app, "jobs")
        assert app.kind == "jobs"


async def test_mistakes_in_the_keymap_are_one_notice_each() -> None:
    app = Console(looks=Looks(keymap={"pause": "j", "pasue": "x", "zoom": "hyper-x"}))
    async with running(app, (120, 30)) as pilot:
        await type_command(pilot, app, "notices")
        assert "pause: j is the key of down" in app.text
        assert "no action is called pasue; did you mean pause?" in app.text
        assert "hyper-x is no key" in app.text
        await press(pilot, app, "escape", "p")
        assert app.paused


async def test_a_bad_theme_is_one_notice(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[styles.bad]\nfg = 'redd'\n")
    app = Console(looks=Looks(theme="mine"), theme_dir=tmp_path)
    async with running(app, (160, 30)) as pilot:
        assert "mine.toml:2" in app.text
        assert app.styles_of_theme.theme.name == "dark"
        await type_command(pilot, app, "theme light")
        assert app.styles_of_theme.theme.name == "light"
        await type_command(pilot, app, "theme mine")
        assert app.styles_of_theme.theme.name == "light"


@pytest.mark.parametrize("name", ["dark", "light", "high-contrast", "colour-blind", "ansi", "mono"])
async def test_every_theme_draws_every_screen(name: str) -> None:
    app = Console(looks=Looks(theme=name))
    async with running(app, (100, 40)) as pilot:
        await press(pilot, app, "2", "4", "5", "9", "question_mark", "escape", "ctrl+p", "escape", "1", "m", "slash")
        assert app.crash is None


async def test_resize_to_nothing_and_back() -> None:
    app = Console()
    async with running(app, (100, 30)) as pilot:
        await press(pilot, app, "space")
        before = app.text
        for size in ((1, 1), (3, 40), (200, 2), (39, 7)):
            await pilot.resize_terminal(*size)
            await settle(pilot, app)
            await press(pilot, app, "j", "k")
        assert "too small" in app.text
        await pilot.resize_terminal(100, 30)
        await settle(pilot, app)
        assert app.text == before


async def test_hostile_words_are_drawn_as_they_stand() -> None:
    store = Store()
    words = "[/foo] [b]x[/] [$x] \\[ [link=http://x]y"
    store.apply(listing("slurm:lab/nodes", node("gpu1", state=NodeState.DRAINED, reason=words)))
    store.apply(queue("slurm:lab/jobs", job("1", name=words, comment=words)))
    store.apply(batch(status("ssh:gpu1", state=SourceState.ERROR, error=words, hint=words)))
    app = Console(store)
    async with running(app, (200, 50)) as pilot:
        assert words in app.text
        await press(pilot, app, "enter")
        assert words in app.text
        await press(pilot, app, "2")
        assert "[/foo] [b]x[/]" in app.text
        await press(pilot, app, "enter", "9")
        assert "[/foo]" in app.text
        app.session.notices.append(words)
        await settle(pilot, app)
        assert words in app.lines[-1]


async def test_ascii_mode_draws_nothing_else() -> None:
    store = many(5)
    app = Console(store, Looks(ascii=True))
    async with running(app, (160, 48)) as pilot:
        for keys in ([], ["m"], ["2"], ["4"], ["9"], ["question_mark"], ["escape", "1", "enter"], ["ctrl+p"], ["escape"],
                     ["1", "C"], ["escape", "slash"]):  # fmt: skip
            await press(pilot, app, *keys)
            assert app.text.isascii(), [char for char in app.text if not char.isascii()]


async def test_no_color_writes_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Console(looks=Looks(theme="dark"))
    async with running(app, (160, 48)) as pilot:
        assert app.styles_of_theme.theme.name == "mono"
        await press(pilot, app, "space", "m")
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                style = segment.style
                colours = () if style is None else (style.color, style.bgcolor)
                assert all(colour is None or colour.is_default for colour in colours), segment


async def test_stale_rows_stay_with_their_age() -> None:
    app = Console()
    async with running(app, (160, 48)) as pilot:
        app.at = NOW + 3600
        down = status("slurm:lab/nodes", state=SourceState.UNREACHABLE, error="slurmctld does not answer")
        app.session.store.apply(batch(down))
        await settle(pilot, app)
        assert "gpu10" in app.text
        assert "unreachable" in app.lines[0]
        row = next(line for line in app.lines if " gpu01 " in line)
        assert "60m" in row or "1h" in row


@pytest.mark.parametrize(("screen", "what"), [("fleet", "nodes"), ("jobs", "jobs")])
async def test_a_silent_scheduler_is_named_with_its_age_above_the_table(screen: str, what: str) -> None:
    app = Console(screen=screen)
    async with running(app, (80, 24)) as pilot:
        ends = [app.lines[2].rstrip()[-4:]]
        assert "old" not in app.lines[2]
        for age, words in ((150, "slurm lab:  2m old"), (180, "slurm lab:  3m old")):
            app.at = NOW + age
            silent = status(f"slurm:lab/{what}", state=SourceState.UNREACHABLE, error="no answer", observed_at=NOW)
            app.session.store.apply(batch(silent))
            await settle(pilot, app)
            assert words in app.lines[2]
            ends.append(app.lines[2].rstrip()[-4:])
            grey = app.styles_of_theme.get("stale", "selected").color
            row = app.table_screen.table.render_line(1)
            assert next(part.style.color for part in row if part.style and part.text.strip(" ▶")) == grey
        assert len(set(ends)) == 1, "the count stays where it was"
        app.session.store.apply(batch(status(f"slurm:lab/{what}", observed_at=app.at)))
        await settle(pilot, app)
        assert "old" not in app.lines[2]


async def test_a_scheduler_that_never_answered_has_no_old_table() -> None:
    app = Console(Store())
    async with running(app, (80, 24)) as pilot:
        app.session.store.apply(batch(status("slurm:lab/nodes", state=SourceState.UNREACHABLE, error="no route")))
        await settle(pilot, app)
        assert " old" not in app.lines[2]


async def test_an_idle_screen_repaints_nothing() -> None:
    app = Console()
    async with running(app, (160, 48)) as pilot:
        table = app.table_screen.table
        for _ in range(3):
            await settle(pilot, app)
        asked: list[object] = []
        original = table.refresh
        table.refresh = lambda *regions, **more: asked.append(regions) or original(*regions, **more)  # type: ignore
        for _ in range(5):
            app.tick()
        await pilot.pause()
        assert asked == []
        app.session.store.apply(batch("slurm:lab/nodes", nodes=(node("gpu2", state=NodeState.DOWN, reason="burnt"),)))
        app.tick()
        assert len(asked) == 1


async def test_attention_is_what_is_looked_at() -> None:
    app = Console(many(100))
    async with running(app, (80, 24)) as pilot:
        await press(pilot, app, "G", "space", "k")
        attention = app.session.attention
        assert attention.selected == "n0099"
        assert attention.marked == ("n0100",)
        assert attention.visible[-1] == "n0100"
        assert len(attention.visible) == app.table_screen.table.rows_high


async def test_mouse_is_enough_but_never_needed() -> None:
    app = Console()
    async with running(app, (120, 30)) as pilot:
        await pilot.click("#table", offset=(5, 3))
        await settle(pilot, app)
        assert app.table_screen.table.index == 2
        await pilot.click("#table", offset=(app.table_screen.table.placed[1].x + 3, 0))
        await settle(pilot, app)
        assert app.table_screen.model.column.id == "state"
        await pilot.click("#header", offset=(12, 2))
        await settle(pilot, app)
        assert app.kind == "jobs"


def test_a_tick_while_it_closes_finds_no_screen_and_is_none() -> None:
    Console().tick()
