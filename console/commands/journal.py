"""`qd journal`: what was done, by whom and how it went; and its undo."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING

from console.commands.act import add_asking, carry_out, refuse_in_read_only
from console.commands.call import Call
from console.errors import UsageError

if TYPE_CHECKING:
    from console.model import Attempt

SHOWN = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes an attempt to show or undo."""
    parser.add_argument("attempt", metavar="ID", nargs="?", help="show this attempt whole")
    parser.add_argument("-n", "--lines", metavar="N", default=str(SHOWN), help=f"attempts shown ({SHOWN}); all: 0")
    parser.add_argument("--undo", metavar="ID", help="bring back what was there before this attempt: a plan of its own")
    add_asking(parser)


def run(call: Call) -> int:
    """Print attempts, the newest last, or undo one. Raises JournalError, UsageError and what acting raises."""
    if call.options.undo is not None:
        refuse_in_read_only(call)
        return asyncio.run(_undo(call, call.options.undo))
    return _show(call)


def _show(call: Call) -> int:
    from console.commands.state import glyphs_for, output_width
    from console.render.journal import attempt_json, attempt_text, journal_text
    from console.render.view import View
    from console.store import Store

    options = call.options
    found = _attempts(call)
    if options.attempt is not None:
        attempt = _named(found, options.attempt)
        found = {attempt.id: attempt}
    elif not (options.lines.isascii() and options.lines.isdigit()):
        raise UsageError(f"{options.lines!r} is not a number of attempts", "--lines", "--lines 50, or 0 for all")
    elif count := int(options.lines):
        found = dict(list(found.items())[-count:])
    if options.json:
        listed = [attempt_json(one) for one in found.values()]
        call.say_json({"schema": "quarterdeck/journal/1", "attempts": listed})
        return 0
    view = View(Store(), time.time(), glyphs_for(call.config(), call.environ))
    if options.attempt is not None:
        text = attempt_text(view, next(iter(found.values())), output_width())
    else:
        text = journal_text(view, list(found.values()), output_width())
    call.say(text.rstrip("\n"))
    return 0


async def _undo(call: Call, name: str) -> int:
    from console.commands.state import jobs_listed

    attempt = _named(_attempts(call), name)
    async with jobs_listed(call) as session:
        desk = session.actions
        return await carry_out(call, session, desk, await desk.undo_plan(attempt))


def _attempts(call: Call) -> dict[str, Attempt]:
    from console.actions.here import journal_here
    from console.actions.reading import attempts

    return attempts(journal_here(call.environ).entries())


def _named(found: dict[str, Attempt], name: str) -> Attempt:
    """Return the attempt of this id, or the only one that begins so. UsageError."""
    from console.text import clean

    same = [attempt for key, attempt in found.items() if key == name] or [
        attempt for key, attempt in found.items() if key.startswith(name)
    ]
    if len(same) != 1:
        what = "several attempts begin so" if same else "the journal knows no such attempt"
        raise UsageError(what, clean(name), "qd journal lists their ids")
    return same[0]
