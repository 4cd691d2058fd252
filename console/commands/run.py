"""`qd run`: one command on many nodes, equal answers folded."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from console.commands.act import asked, refuse_in_read_only
from console.commands.call import Call
from console.errors import Denied, Unreachable, UsageError

if TYPE_CHECKING:
    from console.actions.errand import Errand
    from console.actions.running import Run, RunDesk, RunPlan
    from console.config import Config
    from console.model import Answer, Group
    from console.session import Session

TIMEOUT_S = 60.0
FAN_OUT = 256
CONNECTS = 64
"""Logins at a time."""
PROGRESS_S = 0.25
INPUT_BYTES = 256 << 20
_LINE_BYTES = 1 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes nodes, how to run, and after `--` what to run."""
    add = parser.add_argument
    add("targets", metavar="NODES", nargs="+", help="gpu[01-16,20], @drained, @state:down, @partition:gpu, @job:8812")
    add("-u", "--user", metavar="USER", help="run it as USER, by sudo -n")
    add("--sudo", action="store_const", const="root", dest="user", help="the same as -u root")
    add("-f", "--fanout", metavar="N", default=str(FAN_OUT), help=f"nodes at a time ({FAN_OUT})")
    add("--timeout", metavar="S", default=f"{TIMEOUT_S:g}", help=f"seconds on each node ({TIMEOUT_S:g}); 0: no limit")
    add("--stdin", metavar="FILE", help="given to it on every node; -: what comes in here")
    add("--script", metavar="FILE", help="send this script and run it, with what follows -- as its arguments")
    add("--live", action="store_true", help="print each line as it comes, led by its node; nothing is folded")
    add("--diff", action="store_true", help="show the other answers as differences from that of most")
    add("--reason", metavar="R", help="why: it stands in the journal")
    add("--plan", action="store_true", help="show what would run, and run nothing")
    add("--yes", action="store_true", help="do not ask, not even where the policy wants the number of nodes typed")
    add("--json", action="store_true", help="the plan, every outcome and the groups as one JSON object")
    add("--wait", metavar="S", help="seconds until a source that is silent has failed (10)")
    parser.usage = f"{parser.prog} [OPTIONS] NODES -- COMMAND [ARGUMENT…]"


def run(call: Call) -> int:
    """Run it and return the exit code. Raises UsageError, Denied, JournalError before anything has run."""
    refuse_in_read_only(call)
    errand = _errand(call)
    errand.check()
    fan_out = _number("--fanout", call.options.fanout, 1, 10_000)
    return asyncio.run(_run(call, errand, int(fan_out)))


def _errand(call: Call) -> Errand:
    from console.actions.errand import Errand, Script

    options = call.options
    script = None
    if options.script is not None:
        script = Script(Path(options.script).name, _read("--script", options.script))
    timeout_s = _number("--timeout", options.timeout, 0, 30 * 86400)
    return Errand(
        argv=tuple(call.tail),
        user=options.user,
        script=script,
        stdin=b"" if options.stdin is None else _read("--stdin", options.stdin),
        timeout_s=timeout_s or None,
    )


def _read(option: str, name: str) -> bytes:
    """Return a file, or standard input. UsageError when it cannot be read, or is too large to be sent everywhere."""
    try:
        if name == "-" and option == "--stdin":
            data = sys.stdin.buffer.read(INPUT_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(INPUT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror or error}", option, "name a file of yours") from None
    if len(data) > INPUT_BYTES:
        hint = "put it on a shared file system, or copy it with scp"
        raise UsageError(f"{name} has more than {INPUT_BYTES >> 20} MiB", option, hint)
    return data


def _number(option: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UsageError(f"{text!r} is not a number from {least:g} to {most:g}", option, f"{option} {max(least, 8):g}")
    return value


async def _run(call: Call, errand: Errand, fan_out: int) -> int:
    from console.commands import targets
    from console.commands.act import raise_silence
    from console.commands.state import jobs_listed

    async with jobs_listed(call, config=_in_a_hurry(call.config())) as session:
        if not session.store.nodes:
            raise_silence(session)
        desk = session.runner
        planned = desk.plan(targets.nodes(session.store, call.options.targets), errand, call.options.reason)
        return await _carry_out(call, session, desk, planned, fan_out)


def _in_a_hurry(config: Config) -> Config:
    """Return the configuration with more logins at a time, unless somebody set how many: no screen waits for them."""
    import msgspec

    from console.transport.pool import DEFAULT_MAX_CONNECTS

    if config.ssh.max_connects != DEFAULT_MAX_CONNECTS:
        return config
    return msgspec.structs.replace(config, ssh=msgspec.structs.replace(config.ssh, max_connects=CONNECTS))


async def _carry_out(call: Call, session: Session, desk: RunDesk, planned: RunPlan, fan_out: int) -> int:
    from console.render.answers import fold_answers

    options, plan = call.options, planned.plan
    if options.plan or (plan.confirm and not options.yes and not options.json):
        _show(call, session, planned)
    if options.plan:
        return 0
    if plan.confirm and not options.yes:
        if not call.on_terminal():
            raise UsageError("somebody must say yes", "standard input is no terminal", "--yes, or --plan to look only")
        if not await asked(plan):
            call.complain("qd: nothing was run")
            return 1
    screen = _Screen(call)
    run = desk.run(planned, fan_out=fan_out, heard=screen.heard if options.live else None, ended=screen.ended)
    screen.run = run
    with _interruptible(call, run):
        watching = asyncio.create_task(screen.watch())
        try:
            answers = await run.run()
        finally:
            watching.cancel()
            screen.erase()
    groups = fold_answers(answers)
    _say(call, planned, answers, groups)
    return _finish(call, answers, groups)


def _show(call: Call, session: Session, planned: RunPlan) -> None:
    from console.commands.act import show, view_of

    show(call, view_of(call, session), planned.plan)


def _say(call: Call, planned: RunPlan, answers: tuple[Answer, ...], groups: tuple[Group, ...]) -> None:
    from console.render.answers import groups_json, groups_text, outcomes_json
    from console.render.plan import plan_json

    if call.options.json:
        outcomes = outcomes_json(answers)
        call.say_json({**plan_json(planned.plan), "outcomes": outcomes, "groups": groups_json(groups)})
    elif not call.options.live:
        call.say(groups_text(groups, diff=call.options.diff).rstrip("\n"))


def _finish(call: Call, answers: tuple[Answer, ...], groups: tuple[Group, ...]) -> int:
    from console.render.answers import failures

    for line in failures(groups):
        call.complain(f"qd: {line}")
    if call.options.live:
        for hint in dict.fromkeys(group.answer.hint for group in groups if group.answer.hint):
            call.complain(f"    {hint}")
    if not any(group.answer.detail for group in groups):
        return 0
    if all(one.denied for one in answers):
        return Denied.exit_code
    return Unreachable.exit_code if all(one.unreachable for one in answers) else 1


class _Screen:
    """What is seen while it runs: lines as they come, or one line that says how far it is."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._live = call.options.live
        self._lines: dict[tuple[str, int], bytes] = {}
        """Node and stream to what is no whole line yet."""
        self._shown = False
        self.run: Run | None = None

    def heard(self, node: str, stream: int, data: bytes) -> None:
        """Print whole lines."""
        key = (node, stream)
        *lines, rest = (self._lines.get(key, b"") + data).split(b"\n")
        if len(rest) > _LINE_BYTES:
            lines, rest = [*lines, rest], b""
        self._lines[key] = rest
        for line in lines:
            self._print(node, stream, line)
        self._call.flush()

    def ended(self, answer: Answer) -> None:
        """Print what is left of a node's last line."""
        for stream in (1, 2):
            if rest := self._lines.pop((answer.node, stream), b""):
                self._print(answer.node, stream, rest)

    def _print(self, node: str, stream: int, line: bytes) -> None:
        from console.text import clean

        text = f"{node}: {clean(line, limit=_LINE_BYTES).rstrip()}"
        self._call.say(text) if stream == 1 else self._call.complain(text)

    async def watch(self) -> None:
        """Say again and again how far it is, where a person looks and waits."""
        if self._live or sys.stderr is None or not sys.stderr.isatty():
            return
        import shutil

        from console.render.answers import Numbers, progress_text

        while True:
            await asyncio.sleep(PROGRESS_S)
            if (run := self.run) is None:
                continue
            slowest = tuple(sorted(run.running, key=run.running.__getitem__))
            now = Numbers(len(run.answers), run.total, run.rate, time.monotonic() - run.began, slowest)
            sys.stderr.write(f"\r{progress_text(now, shutil.get_terminal_size().columns - 1)}\x1b[K")
            sys.stderr.flush()
            self._shown = True

    def erase(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False


@contextmanager
def _interruptible(call: Call, run: Run) -> Iterator[None]:
    """Let ctrl-c end what runs and begin nothing more; a second one leaves at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        if run.stopped and task is not None:
            task.cancel()
            return
        run.stop()
        call.complain("\nqd: interrupted: what runs is ended, nothing else begins; again: leave at once")

    with suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
