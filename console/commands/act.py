"""Every acting command: plan, show, ask, carry out, verify. The same path as the keys of the console take."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from console.actions import ORDERS
from console.commands.call import Call
from console.errors import Denied, UsageError

if TYPE_CHECKING:
    from console.actions.desk import ActionDesk, Result
    from console.actions.execute import Execution, Progress
    from console.model import Order, Plan
    from console.render.view import View
    from console.session import Session

HEALTH_S = 5.0
"""How long nodes have to show how they are before they are resumed."""
WORDS: Mapping[str, str] = MappingProxyType({"uncordon": "resume"})
"""Commands that are other words for an action."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes targets, perhaps a value, a reason, and how to be asked."""
    action = _action(parser.prog.rpartition(" ")[2])
    kind = ORDERS[action]
    if kind.of_nodes:
        what = "gpu[01-16,20], @drained, @state:down, @partition:gpu, @job:8812"
        parser.add_argument("targets", metavar="NODES", nargs="+", help=what)
    else:
        what = "ids, cluster/id, or a filter as qd jobs takes it"
        parser.add_argument("targets", metavar="JOBS", nargs="+", help=what)
    if kind.needs_value:
        parser.add_argument("value", metavar="VALUE", help=kind.needs_value)
    needed = "; needed" if kind.needs_reason else ""
    parser.add_argument("--reason", metavar="R", help=f"why: it is kept where the next one looks{needed}")
    add_asking(parser)


def add_asking(parser: argparse.ArgumentParser) -> None:
    """Add what every acting command takes."""
    parser.add_argument("--plan", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="the plan and its outcome as one JSON object")
    parser.add_argument("--wait", metavar="S", help="seconds until a source that is silent has failed (10)")


def run(call: Call) -> int:
    """Carry one action out. Raises UsageError, Denied, SourceError, JournalError before anything has run."""
    options = call.options
    refuse_in_read_only(call)
    action = _action(call.command)
    if ORDERS[action].needs_reason and not (options.reason or "").strip() and not options.plan:
        raise UsageError(f"{call.command} needs a reason", "--reason", 'say why: --reason "INC-123 Xid 79 on gpu3"')
    return asyncio.run(_act(call, action))


def refuse_in_read_only(call: Call) -> None:
    """Raise Denied where this run may change nothing: before anything is connected to."""
    if call.config().read_only:
        raise Denied("nothing is changed here: read-only", "--read-only", "start qd without it")


def _action(command: str) -> str:
    return WORDS.get(command, command)


async def _act(call: Call, action: str) -> int:
    from console.commands.state import jobs_listed

    looks = action == "resume"
    async with jobs_listed(call, telemetry="visible" if looks else "off") as session:
        desk = session.actions
        orders = _orders(call, session, desk, action)
        if looks:
            await _look_at(session, orders)
        return await carry_out(call, session, desk, await desk.plan(orders))


async def _look_at(session: Session, orders: Sequence[Order]) -> None:
    """Let the probes look at nodes before they take work again: what they find stands in the plan."""
    from console.model import Attention

    keys = {session.store.key(order.cluster, name) for order in orders for name in order.names}
    session.attend(Attention(visible=tuple(sorted(keys))))
    await session.settle(HEALTH_S)


def _orders(call: Call, session: Session, desk: ActionDesk, action: str) -> tuple[Order, ...]:
    from console.commands import targets

    options, store = call.options, session.store
    reason, value = options.reason, getattr(options, "value", None)
    if not store.nodes and not store.jobs:
        raise_silence(session)
    if ORDERS[action].of_nodes:
        return desk.node_orders(action, targets.nodes(store, options.targets), reason=reason, value=value)
    able = [cluster for cluster in store.clusters if action in desk.able(cluster)]
    return desk.job_orders(action, targets.jobs(store, options.targets, able), reason=reason, value=value)


def raise_silence(session: Session) -> None:
    """Raise what keeps every source silent: then nothing can be named either."""
    from console.errors import Unreachable

    outcome = session.outcome()
    for status in outcome.failed[:1]:
        kind = Denied if outcome.exit_code == Denied.exit_code else Unreachable
        raise kind(status.error or "no answer in time", status.name, status.hint or "qd doctor says more")


async def carry_out(call: Call, session: Session, desk: ActionDesk, plan: Plan) -> int:
    """Show a plan, ask, run and verify it; return the exit code."""
    options = call.options
    view = view_of(call, session)
    if options.plan or not options.json:
        show(call, view, plan)
    if options.plan:
        return 0
    if not plan.steps:
        if options.json:
            _say_json(call, plan, None)
        return 0
    confirmed: Plan | None = plan
    if not options.yes:
        confirmed = await _confirmed(call, view, desk, plan)
    if confirmed is None:
        call.complain("qd: nothing was changed")
        return 1
    execution = desk.execution(confirmed, report=_reporter(call))
    with _interruptible(call, execution):
        result = await desk.carry_out(confirmed, execution)
    if options.json:
        _say_json(call, confirmed, result)
    return _finish(call, view, confirmed, result)


async def _confirmed(call: Call, view: View, desk: ActionDesk, plan: Plan) -> Plan | None:
    """Ask until a plan that still holds is confirmed; None: no."""
    if not call.on_terminal():
        raise UsageError("somebody must say yes", "standard input is no terminal", "--yes, or --plan to look only")
    while await asked(plan):
        fresh, changes = await desk.again(plan)
        if not changes:
            return plan
        call.complain("qd: meanwhile the world changed:")
        for text in changes:
            call.complain(f"    {text}")
        plan = fresh
        show(call, view, plan)
    return None


async def asked(plan: Plan) -> bool:
    """Ask for the yes that a plan needs; whether it was said."""
    what = f"type {plan.confirm} to {plan.action}: " if plan.confirm else f"{plan.action}? [y/N] "
    sys.stdout.flush()
    sys.stderr.write(what)
    sys.stderr.flush()
    answer = (await _line()).strip()
    return answer == plan.confirm if plan.confirm else answer.lower() in ("y", "yes")


async def _line() -> str:
    """Return what is typed, without holding the loop: ctrl-c ends it, and connections stay alive meanwhile."""
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(sys.stdin, typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()


def show(call: Call, view: View, plan: Plan) -> None:
    """Print a plan, as text or JSON."""
    from console.commands.state import output_width
    from console.render.plan import plan_json, plan_text

    if call.options.json:
        call.say_json(plan_json(plan))
    else:
        call.say(plan_text(view, plan, output_width()).rstrip("\n"))


def view_of(call: Call, session: Session) -> View:
    """Return what is drawn with."""
    from console.commands.state import glyphs_for
    from console.render.view import View

    return View(session.store, time.time(), glyphs_for(call.config(), call.environ), session.simulated)


def _reporter(call: Call) -> Callable[[Progress], None]:
    """Return what says how far it is, where a person looks and it takes long enough to wonder."""
    said = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal said
        if progress.total > len(progress.outcomes) and sys.stderr.isatty() and time.monotonic() - said > 1:
            said = time.monotonic()
            left = progress.left_s
            rest = "" if left is None else f", {left:.0f} s left"
            call.complain(f"qd: {len(progress.outcomes)} of {progress.total}, {progress.rate:.1f}/s{rest}")

    return report


@contextmanager
def _interruptible(call: Call, execution: Execution) -> Iterator[None]:
    """Let ctrl-c begin no further step; a second one ends what runs."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        if execution.stopped and task is not None:
            task.cancel()
            return
        execution.stop()
        call.complain("qd: interrupted: what runs is waited for, nothing else begins; again: end it now")

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _say_json(call: Call, plan: Plan, result: Result | None) -> None:
    from console.render.plan import plan_json

    if result is None:
        call.say_json(plan_json(plan, (), {}))
    else:
        call.say_json(plan_json(plan, result.outcomes, result.unmet))


def _finish(call: Call, view: View, plan: Plan, result: Result) -> int:
    """Say how it went, each failure on standard error, and return the exit code."""
    from console.commands.state import output_width
    from console.model import OutcomeState
    from console.render.cells import line_text
    from console.render.plan import outcome_lines

    if not call.options.json:
        call.say()
        for line in outcome_lines(view, result.outcomes, result.unmet, output_width()):
            call.say(line_text(line).rstrip())
    failed = [one for one in result.outcomes if one.state is not OutcomeState.DONE]
    for one in failed:
        call.complain(f"qd: {one.state.value}: {one.target}: {one.detail}")
    for key, why in result.unmet.items():
        if not any((one.cluster, one.target) == key for one in failed):
            call.complain(f"qd: not verified: {key[1]}: {why}")
    if failed:
        call.complain(f"    qd journal shows it; qd journal --undo {plan.id} takes back what was done")
    if result.verified and not failed:
        return 0
    denied = failed and len(failed) == len(result.outcomes) and all(one.denied for one in failed)
    return Denied.exit_code if denied else 1
