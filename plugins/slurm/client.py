"""Runs Slurm's commands and tells failures apart: down, hung, slow, refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from console.errors import CommandFailed, ConnectionLost, SourceError, TimedOut, Unreachable, Unsupported
from console.text import clean
from console.transport.base import Completed, Transport
from plugins.slurm import failures, parse
from plugins.slurm.commands import Commands
from plugins.slurm.parse import Controller

PATIENCE_S = 1.5
"""An answer that is not there by then makes us ask whether slurmctld is there at all."""
ASIDE_S = 8.0
"""How long a person waits for what only rounds off an answer."""
PING_S = 2.5
"""A ping of a slurmctld that lives takes milliseconds; Slurm itself would wait ten seconds for a hung one."""


PROGRAMS = ("squeue", "scontrol", "sdiag", "sprio", "sacct", "sshare")


class Client:
    """One cluster's commands on one transport."""

    def __init__(self, commands: Commands, transport: Transport, timeout_s: float) -> None:
        self.commands = commands
        self.transport = transport
        self.where = transport.name
        self._timeout_s = timeout_s
        self._suspect = False
        self._closed = False
        self._ping: asyncio.Task[tuple[Controller, ...]] | None = None
        self.failures = 0
        """How many requests failed since the start: what was known before one may be old news after it."""
        self._extra = 0

    async def ask(self, argv: Sequence[str], *, answers: Sequence[bytes] = ()) -> Completed:
        """Run a command that must end well. Raises SourceError with the truest kind that can be known.

        `answers`: words on standard error with which a failure is an answer too (`Invalid job id`).

        Slurm's commands take ten seconds to say that slurmctld is down or hung. So an answer that is late brings a
        ping beside it, and after a failure the ping goes first: the truth is there in milliseconds, or in
        PATIENCE_S + PING_S at the latest, and a slow slurmctld that answers pings keeps its `timeout_s`.
        """
        try:
            if self._suspect:
                await self._insist()
            done = await self._run(argv)
            answered = any(words in done.stderr for words in answers)
            if not answered and (done.exit_status != 0 or _error_only(done)):
                raise failures.failure(_program(argv), done.exit_status, done.stderr, self.where)
        except SourceError as error:
            self.failures += 1
            # A ping says DOWN for other reasons too, so it goes first only after what it can explain.
            self._suspect = type(error) in (Unreachable, TimedOut)
            again, self._closed = self._closed, isinstance(error, ConnectionLost)
            if again and self._closed:
                raise failures.refused(self.where) from None
            raise
        self._suspect = self._closed = False
        return done

    async def aside(self, argv: Sequence[str], timeout_s: float = ASIDE_S) -> Completed:
        """Run a command whose failure says nothing about slurmctld. Raises SourceError when it does not run."""
        try:
            done = await self.transport.run(argv, timeout_s=min(timeout_s, self._timeout_s))
        except Unsupported:
            raise failures.no_program(_program(argv), self.where) from None
        if done.exit_status in (126, 127):
            raise failures.failure(_program(argv), done.exit_status, done.stderr, self.where)
        return done

    async def ping(self) -> tuple[Controller, ...]:
        """Return what `scontrol ping` says, shared by all who ask at this moment; empty: no answer in PING_S.

        Raises SourceError when the command itself cannot work here.
        """
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self._send_ping())
            # Whoever asked may have been cancelled meanwhile; then nobody fetches what became of it.
            self._ping.add_done_callback(lambda ping: ping.cancelled() or ping.exception())
        return await asyncio.shield(self._ping)

    def charge(self, requests: int) -> None:
        """Count requests that somebody asked for between the rounds of the feed."""
        self._extra += requests

    def take_extra(self) -> int:
        """Return how many requests nobody has counted since this was last asked: pings, and what was charged."""
        extra, self._extra = self._extra, 0
        return extra

    async def close(self) -> None:
        """Let go of a ping that is under way."""
        if self._ping is not None:
            self._ping.cancel()
            await asyncio.wait({self._ping})

    async def _send_ping(self) -> tuple[Controller, ...]:
        argv = self.commands.ping()
        try:
            done = await self.transport.run(argv, timeout_s=PING_S)
        except TimedOut:
            self._extra += 1
            if self.commands.slurm_conf is not None:
                await self._find_conf(self.commands.slurm_conf)
            return ()
        found = parse.controllers(done.stdout)
        self._extra += max(len(found), 1)
        if not any(controller.up for controller in found) and done.stderr.strip():
            error = failures.failure("scontrol", done.exit_status, done.stderr, self.where)
            # With munged gone a ping says DOWN as well; what it says beside that is the truth.
            if not found or not isinstance(error, CommandFailed):
                raise error
        return found

    async def _find_conf(self, path: str) -> None:
        """Raise when there is no such slurm.conf: Slurm's commands look for it for a minute and say nothing."""
        done = await self.transport.run(["test", "-r", path], timeout_s=PING_S)
        if done.exit_status != 0:
            raise Unsupported(f"no slurm.conf at {clean(path)}, or it may not be read", self.where, failures.CONF_HINT)

    async def _insist(self) -> None:
        """Raise when no slurmctld answers a ping."""
        found = await self.ping()
        if not any(controller.up for controller in found):
            raise failures.no_answer(found, PING_S, self.where)

    async def _run(self, argv: Sequence[str]) -> Completed:
        running = asyncio.ensure_future(self._start(argv))
        try:
            await asyncio.wait({running}, timeout=PATIENCE_S)
            if not running.done():
                pinging = asyncio.ensure_future(self._insist())
                try:
                    await asyncio.wait({running, pinging}, return_when=asyncio.FIRST_COMPLETED)
                    if not running.done():
                        await pinging
                finally:
                    await _end(pinging)
            return await running
        except TimedOut:
            if running.done() and not running.cancelled() and isinstance(running.exception(), TimedOut):
                raise failures.no_answer(await self.ping(), self._timeout_s, self.where) from None
            raise
        finally:
            await _end(running)

    async def _start(self, argv: Sequence[str]) -> Completed:
        try:
            return await self.transport.run(argv, timeout_s=self._timeout_s)
        except Unsupported:
            raise failures.no_program(_program(argv), self.where) from None


def _program(argv: Sequence[str]) -> str:
    """Return the program of Slurm that a command line runs."""
    return next((word for word in argv[1:] if word.rpartition("/")[2] in PROGRAMS), argv[0])


async def _end(task: asyncio.Future[Completed] | asyncio.Future[None]) -> None:
    """Cancel a task and wait until it is over, its outcome taken."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _error_only(done: Completed) -> bool:
    """Whether a command that claims success gave an error and nothing else."""
    return not done.stdout.strip() and b"rror" in done.stderr
