"""`qd nodes` and `qd jobs`: one table of the state, filtered as `/` filters it in the console.

`qd jobs` is both: the console on its Jobs screen where a person sits (a terminal, nothing asked for in
particular but `--mine`), the table for scripts (FILTER, `--json`, `--wait`, or no terminal).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from console.commands.call import Call

if TYPE_CHECKING:
    from console.render.tables.base import RowId
    from console.render.view import View

TABLE_OF: Mapping[str, str] = MappingProxyType({"nodes": "fleet", "jobs": "jobs"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes a filter and how to print."""
    what = "words, field:value, field>80, !word, ~regex~, gpu[01-16], @drained; all of them must hold"
    parser.add_argument("filter", metavar="FILTER", nargs="*", help=what)
    parser.add_argument("--json", action="store_true", help="one JSON object; see docs/commands.md")
    parser.add_argument("--wait", metavar="S", help="seconds until a source that is silent has failed (10)")
    parser.add_argument("--mine", action="store_true", help="only jobs of the user who asks")


def run(call: Call) -> int:
    """Open the Jobs screen, or print the rows that the filter leaves and list what did not answer."""
    from console.errors import UsageError

    options = call.options
    if options.mine and call.command != "jobs":
        raise UsageError(f"{call.command} have no owner", "--mine", "qd jobs --mine shows your jobs")
    in_particular = options.filter or options.json or options.wait
    if call.command == "jobs" and not in_particular and call.on_terminal():
        from console.commands.screens import open_console

        return open_console(call, "jobs", f'user="{user_name(call.environ)}"' if options.mine else "")
    return _print(call)


def _print(call: Call) -> int:
    import msgspec

    from console.commands.state import finish, look, output_width, parse_wait
    from console.nodeset import expand
    from console.render.filter import compile_filter
    from console.render.plain import NO_OWNERS, marked, nobody_owns, sorted_rows, table_text
    from console.render.tables import TABLES

    options = call.options
    wait_s = parse_wait(options.wait)
    table = TABLES[TABLE_OF[call.command]]
    asked = " ".join(options.filter)
    owner = user_name(call.environ) if options.mine else None
    text = asked if owner is None else f'user="{owner}" {asked}'

    def site_groups(name: str) -> list[str]:
        return expand(f"@{name}")

    keep = compile_filter(text, table, site_groups=site_groups)
    config = call.config()
    if call.command == "jobs":
        # Jobs are the scheduler's to tell; no node is bothered for them.
        config = msgspec.structs.replace(config, telemetry="off")
    view, outcome = look(call, config, wait_s)
    if not outcome.failed:
        # Now a partition or job that is asked for and is not there is a slip of the pen.
        keep = compile_filter(text, table, view.store, site_groups)
    rows = ((row_id, table.row(view, row_id)) for row_id in sorted_rows(table, view))
    ids = [row_id for row_id, row in rows if row is not None and keep(row)]
    if options.json:
        call.say_json(_json(call.command, view, ids))
    elif not ids and table.rows(view.store):
        call.say(nothing_left(table.noun, owner, asked))
        if owner is not None and nobody_owns(view.store):
            call.say(NO_OWNERS)
    else:
        call.say(marked(view, table_text(view, table.id, output_width(), ids)).rstrip("\n"))
    return finish(call, view, outcome)


def nothing_left(noun: str, owner: str | None, asked: str) -> str:
    """Return what to say when there are rows, and the filter leaves none: `no job of alice matches gpus>8`."""
    whose = f" of {owner}" if owner is not None else ""
    matching = f" matches {asked}" if asked else ""
    return f"no {noun}{whose}{matching}"


def _json(command: str, view: View, ids: list[RowId]) -> dict[str, Any]:
    from console.render.snapshot import snapshot_json

    keys: Any = ids
    chosen = {"node_keys": keys} if command == "nodes" else {"job_keys": keys}
    return snapshot_json(view.store, view.now, view.simulated, sections=("sources", command), **chosen)


def user_name(environ: Mapping[str, str]) -> str:
    """Return the name of the user who runs this process; the number where it has no name."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return environ.get("USER") or str(os.getuid())
