"""`qd snapshot`: the state of everything, once."""

from __future__ import annotations

import argparse

from console.commands.call import Call


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes how to print and how long to wait."""
    parser.add_argument("--json", action="store_true", help="one JSON object; see docs/commands.md")
    parser.add_argument("--wait", metavar="S", help="seconds until a source that is silent has failed (10)")


def run(call: Call) -> int:
    """Connect, look, print; list on standard error what did not answer."""
    from console.commands.state import finish, look, output_width, parse_wait

    wait_s = parse_wait(call.options.wait)
    config = call.config()
    view, outcome = look(call, config, wait_s)
    if call.options.json:
        from console.render.snapshot import snapshot_json

        call.say_json(snapshot_json(view.store, view.now, view.simulated))
    else:
        from console.render.plain import marked, snapshot_text

        call.say(marked(view, snapshot_text(view, output_width())).rstrip("\n"))
    return finish(call, view, outcome)
