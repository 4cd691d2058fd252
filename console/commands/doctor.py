"""`qd doctor`: what works here, what is denied, and how to mend it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from console.commands.call import Call

if TYPE_CHECKING:
    from console.commands.surroundings import Section
    from console.config import Config
    from console.discover import Found, Opening
    from console.plugin import Check
    from console.registry import Registry
    from console.transport.pool import TransportPool

SCHEMA = "quarterdeck/doctor/1"
DEADLINE_S = 60.0
"""For all that one backend looks at."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes how to print."""
    parser.add_argument("--json", action="store_true", help="one JSON object; see docs/commands.md")


def run(call: Call) -> int:
    """Look at everything once, print it, and return what the worst of it means."""
    from console.commands.surroundings import configuration, packages, plugins, terminal
    from console.errors import QuarterdeckError
    from console.plugin import Check, CheckState
    from console.registry import Registry

    sections: list[Section] = [("terminal", terminal(call.environ, call.on_terminal()))]
    registry = Registry()
    backends: list[Section] = []
    try:
        config = call.config()
        sections.append(("configuration", configuration(call.environ, config)))
        backends = asyncio.run(_backends(config, registry, call))
        code = exit_code([check for _, checks in backends for check in checks])
    except QuarterdeckError as error:
        failed = Check(
            subject=error.where or "configuration",
            state=CheckState.FAILED,
            detail=error.what,
            remedy=error.hint or "see docs/configuration.md",
        )
        sections.append(("configuration", [failed]))
        code = error.exit_code
    sections += [("packages", packages()), ("plugins", plugins(registry)), *backends]
    _show(call, sections)
    return code


async def _backends(config: Config, registry: Registry, call: Call) -> list[Section]:
    """Open every backend of this run and let it look at itself, all at the same time."""
    from console.discover import wanted
    from console.session import World, open_pool

    pool = open_pool(config)
    try:
        found: Found = await wanted(config, registry, World(pool, call.environ))
        looks = [_backend(opening, pool, call) for opening in found.openings]
        sections = list(await asyncio.gather(*looks))
    finally:
        await pool.close()
    return [*_noticed(found.notices), *sections]


async def _backend(opening: Opening, pool: TransportPool, call: Call) -> Section:
    from console.errors import QuarterdeckError
    from console.plugin import Check, CheckState
    from console.session import World

    title = f"{opening.cluster} ({opening.plugin.name})"
    first = Check(subject="why it is shown", state=CheckState.OK, detail=opening.evidence)
    backend = None
    try:
        backend = opening.open(World(pool, call.environ, opening.cluster))
        async with asyncio.timeout(DEADLINE_S):
            return title, [first, *await backend.doctor()]
    except QuarterdeckError as error:
        fault, remedy = str(error), error.hint or "correct its settings"
    except TimeoutError:
        fault, remedy = f"no answer within {DEADLINE_S:g} s", "see whether its commands answer by hand"
    except Exception as error:  # noqa: BLE001 - a stranger's code: it costs this one section
        fault, remedy = f"its doctor broke: {type(error).__name__}: {error}", "update the plugin"
    finally:
        if backend is not None:
            await backend.close()
    return title, [first, Check(subject="backend", state=CheckState.FAILED, detail=fault, remedy=remedy)]


def _noticed(notices: Sequence[str]) -> list[Section]:
    from console.plugin import Check, CheckState

    remedy = "update or uninstall the package that brings it"
    checks = [Check(subject="notice", state=CheckState.WARNING, detail=notice, remedy=remedy) for notice in notices]
    return [("notices", checks)] if checks else []


def exit_code(checks: Sequence[Check]) -> int:
    """Return 0 when nothing failed, 1 when something did, and 4 or 3 when nothing works at all."""
    from console.plugin import CheckState

    states = [check.state for check in checks if check.subject != "why it is shown"]
    if CheckState.DENIED not in states and CheckState.FAILED not in states:
        return 0
    if CheckState.OK in states or CheckState.WARNING in states:
        return 1
    return 4 if CheckState.DENIED in states else 3


def _show(call: Call, sections: Sequence[Section]) -> None:
    from console.text import clean

    if call.options.json:
        from console import __version__

        checks = [
            {
                "section": title,
                "subject": clean(check.subject),
                "state": check.state.value,
                "detail": clean(check.detail),
                "remedy": clean(check.remedy),
            }
            for title, found in sections
            for check in found
        ]
        call.say_json({"schema": SCHEMA, "version": __version__, "checks": checks})
        return
    for number, (title, found) in enumerate(sections):
        call.say(f"{'' if number == 0 else chr(10)}{title}")
        for check in found:
            detail = f": {clean(check.detail)}" if check.detail else ""
            call.say(f"  {check.state.value:8}{clean(check.subject)}{detail}")
            if check.remedy:
                call.say(f"          → {clean(check.remedy)}")
