"""The state of everything, once: connect, wait until every source has answered or failed, look, say what
failed."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from console.commands.call import Call
from console.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from console.config import Config
    from console.render.glyphs import Glyphs
    from console.render.view import View
    from console.session import Outcome, Session

WAIT_S = 10.0


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Session]:
    """Open a session without a screen and close it whatever happens."""
    from console.session import Session

    session = Session(config, headless=True)
    try:
        await session.start()
        yield session
    finally:
        await session.close()


@asynccontextmanager
async def jobs_listed(call: Call, telemetry: str = "off", config: Config | None = None) -> AsyncIterator[Session]:
    """Open a session that lists nodes and jobs; wait until every scheduler has answered or failed.

    With telemetry `off` no node is bothered. `config` stands for that of the call.
    """
    import msgspec

    wait_s = parse_wait(call.options.wait)
    async with opened(msgspec.structs.replace(config or call.config(), telemetry=telemetry)) as session:
        await session.settle(wait_s)
        for notice in session.notices:
            call.complain(f"qd: {notice}")
        yield session


def look(call: Call, config: Config, wait_s: float) -> tuple[View, Outcome]:
    """Return what is there after every source has answered or failed, or after `wait_s`; and how they
    ended."""
    from console.render.view import View

    async def settled() -> tuple[View, Outcome]:
        async with opened(config) as session:
            await session.settle(wait_s)
            for notice in session.notices:
                call.complain(f"qd: {notice}")
            view = View(session.store, time.time(), glyphs_for(config, call.environ), session.simulated)
            return view, session.outcome()

    return asyncio.run(settled())


def finish(call: Call, view: View, outcome: Outcome) -> int:
    """List on standard error what failed, each target by its name, and return the exit code.

    With `-v` every other source is listed too, with how long its last answer took.
    """
    from console.render.snapshot import source_state

    if call.options.verbose:
        for status in view.store.sources.values():
            if status not in outcome.failed:
                took = "" if status.latency_s is None else f": answered in {1000 * status.latency_s:.0f} ms"
                call.complain(f"qd: {source_state(status)}: {status.name}{took}")
    hint = None
    for status in outcome.failed:
        where = status.node or status.name
        call.complain(f"qd: {source_state(status)}: {where}: {status.error or 'no answer in time'}")
        if status.hint and status.hint != hint:
            call.complain(f"    {status.hint}")
        hint = status.hint
    return outcome.exit_code


def glyphs_for(config: Config, environ: Mapping[str, str]) -> Glyphs:
    """Return what standard output takes, unless the configuration says it; a file takes what its terminal may not."""
    from console.render.glyphs import fitting

    utf8 = sys.stdout is not None and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return fitting(config.ui.ascii, environ if utf8 and sys.stdout.isatty() else {}, utf8)


def output_width() -> int:
    """Return the columns of the terminal, or a generous width where standard output is none."""
    from console.render.plain import WIDE

    if sys.stdout is None or not sys.stdout.isatty():
        return WIDE
    return shutil.get_terminal_size((80, 24)).columns


def parse_wait(text: str | None) -> float:
    """Return the seconds of `--wait`; what is usual when it is not given. Raises UsageError."""
    if text is None:
        return WAIT_S
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 3600:
        raise UsageError(f"{text!r} is not a number of seconds up to 3600", "--wait", "--wait 10")
    return value
