"""`qd explain JOB`: why it waits or failed, in words."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING

from console.commands.call import Call

if TYPE_CHECKING:
    from console.model import Explanation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes a job and how to print."""
    parser.add_argument("job", metavar="JOB", help="its id, or cluster/id where several clusters have one")
    parser.add_argument("--json", action="store_true", help="one JSON object; see docs/commands.md")
    parser.add_argument("--wait", metavar="S", help="seconds until a scheduler that is silent has failed (10)")


def run(call: Call) -> int:
    """Print what its scheduler knows. Raises UsageError for a job that nobody knows, SourceError without an answer."""
    from console.commands.state import glyphs_for, output_width
    from console.render.explanation import explanation_json, explanation_text
    from console.render.view import View
    from console.store import Store

    found = asyncio.run(_ask(call))
    if call.options.json:
        call.say_json(explanation_json(found))
        return 0
    view = View(Store(), time.time(), glyphs_for(call.config(), call.environ))
    call.say(explanation_text(view, found, output_width()).rstrip("\n"))
    return 0


async def _ask(call: Call) -> Explanation:
    from console.commands.state import jobs_listed
    from console.plugin import Explainer

    async with jobs_listed(call) as session:
        key = await session.desk.find(call.options.job, list(session.store.jobs), Explainer)
        return await session.desk.explain(key)
