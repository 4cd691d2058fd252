"""What the actions of the whole console do. A method `act_ID(argument)` is found by the id of its action."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from console.errors import UsageError
from console.ui.screens.listing import ListScreen

if TYPE_CHECKING:
    from console.ui.app import QuarterdeckApp


WRITE_SLICE_S = 0.004
"""How long lines for a file are made at a stretch."""


class Going:
    """From screen to screen."""

    def __init__(self, app: QuarterdeckApp) -> None:
        self._app = app

    def act_screen_fleet(self, argument: str) -> None:
        """The nodes."""
        self._app.show("fleet")

    def act_screen_jobs(self, argument: str) -> None:
        """The jobs."""
        self._app.show("jobs")

    def act_screen_network(self, argument: str) -> None:
        """The links."""
        self._app.show("network")

    def act_screen_storage(self, argument: str) -> None:
        """The mounts and disks."""
        self._app.show("storage")

    def act_screen_sources(self, argument: str) -> None:
        """The sources."""
        self._app.show("sources")

    def act_screen_journal(self, argument: str) -> None:
        """What was done."""
        self._app.show("journal")

    def act_undo(self, argument: str) -> None:
        """Plan what takes back what was done. UsageError, Denied."""
        self._app.acting.undo()

    def act_open(self, argument: str) -> None:
        """Open what is under the cursor."""
        target = self._app.base.target()
        if target is not None:
            self._app.open(*target)

    def act_back(self, argument: str) -> None:
        """Leave a page."""
        if not isinstance(self._app.base, ListScreen):
            self._app.pop_screen()

    def act_explain(self, argument: str) -> None:
        """Why the job under the cursor waits or failed. UsageError."""
        self._app.open("explain", self._job("explain", "does not say why jobs wait"))

    def act_log(self, argument: str) -> None:
        """The output of the job under the cursor. UsageError."""
        self._app.open("log", self._job("log", "does not give the output of jobs"))

    def _job(self, needs: str, otherwise: str) -> tuple[str, str]:
        key = self._app.base.job()
        if key is None:
            raise UsageError("there is no job under the cursor", hint="2 shows the jobs")
        if needs not in self._app.session.desk.able(key[0]):
            raise UsageError(f"{key[0]} {otherwise}", hint="ask its own commands")
        return key

    def act_help(self, argument: str) -> None:
        """The keys of this screen."""
        from console.ui.screens.texts import HelpScreen

        app = self._app
        if app.kind != "help":
            app.push_screen(HelpScreen(app.kind))

    def act_notices(self, argument: str) -> None:
        """All notices."""
        from console.ui.screens.texts import NoticesScreen

        if self._app.kind != "notices":
            self._app.push_screen(NoticesScreen())

    def act_command(self, argument: str) -> None:
        """Open the command line, with what it begins with."""
        from console.ui.prompt import Prompt

        app = self._app
        app.base.ask(Prompt(":", argument, app.command_history, app.commands.complete, replace=False))

    def act_palette(self, argument: str) -> None:
        """Search all actions."""
        from console.ui.screens.palette import Palette

        app = self._app
        app.push_screen(Palette(app.offered(app.kind)), app.chosen)


class Doing:
    """The console itself."""

    def __init__(self, app: QuarterdeckApp) -> None:
        self._app = app

    def act_pause(self, argument: str) -> None:
        """Stop asking, or go on."""
        app = self._app
        app.paused = not app.paused
        app.session.pause(app.paused)
        key = app.key_for("pause")
        app.say(
            f"paused: nothing is asked; {key} goes on" if app.paused else "live again", "warn" if app.paused else "ok"
        )

    def act_refresh(self, argument: str) -> None:
        """Set the pace. UsageError when it is no number of seconds."""
        if argument in ("", "auto"):
            self._app.session.set_refresh(None)
            self._app.say("each source at its own pace", "info")
            return
        try:
            seconds = float(argument.removesuffix("s"))
        except ValueError:
            seconds = 0.0
        if not 0.2 <= seconds <= 3600:
            raise UsageError("not a number of seconds from 0.2 to 3600", argument, "refresh 5, or refresh auto")
        self._app.session.set_refresh(seconds)
        self._app.say(f"what is on screen is asked for every {seconds:g} s", "info")

    def act_theme(self, argument: str) -> None:
        """Take another theme. ConfigError when it cannot be read."""
        app = self._app
        names = app.theme_names()
        if not argument:
            current = app.styles_of_theme.theme.name
            at = names.index(current) if current in names else -1
            argument = names[(at + 1) % len(names)]
        app.set_theme(argument)
        theme = app.styles_of_theme.theme
        app.say(f"theme {theme.name}: {theme.summary}", "info")

    def act_copy(self, argument: str) -> None:
        """Copy to the clipboard of the terminal."""
        screen = self._app.base
        text = screen.clip()
        if text:
            self._app.copy_to_clipboard(text)
            lines = text.count("\n") + 1
            self._app.say(f"copied {text if lines == 1 else f'{lines} lines'}", "ok")

    def act_write(self, argument: str) -> None:
        """Write what is shown to a new file, in the background; how it ended is said."""
        screen = self._app.base
        name = argument or f"quarterdeck-{screen.kind}.txt"
        self._app.run_worker(self._write(name, screen.picture()), name="writing", group="write", exit_on_error=False)

    async def _write(self, name: str, picture: Iterator[str]) -> None:
        from console.render.plain import marked

        app = self._app
        lines: list[str] = []
        began = said = time.monotonic()
        for line in picture:
            lines.append(line)
            if time.monotonic() - began > WRITE_SLICE_S:
                if began - said > 1:
                    app.say(f"writing {name}: {len(lines):,} lines", "info")
                    said = began
                await app.rest()
                began = time.monotonic()
        text = marked(app.view, "".join(f"{line}\n" for line in lines))
        try:
            path = await asyncio.to_thread(app.session.save, name, text)
        except OSError as error:
            app.say(f"{name} cannot be written: {error.strerror or error}", "bad")
            return
        app.say(f"written to {path}", "ok")

    def act_suspend(self, argument: str) -> None:
        """Go back to the shell until `fg`."""
        try:
            self._app.action_suspend_process()
        except SuspendNotSupported:
            self._app.say("this terminal cannot suspend", "warn")

    def act_quit(self, argument: str) -> None:
        """Leave; while something is carried out, begin nothing more of it first."""
        app = self._app
        if any([app.acting.stop(), app.runs.stop()]):
            again = app.key_for("quit")
            app.say(f"what runs is waited for, nothing else begins; {again} again leaves at once", "warn")
            return
        app.exit(0)
