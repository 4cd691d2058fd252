"""Runs PBS's commands and tells failures apart: down, hung, slow, refused."""

from __future__ import annotations

from collections.abc import Sequence

from console.errors import SourceError, TimedOut, Unsupported
from console.transport.base import Completed, Transport
from plugins.pbs import failures
from plugins.pbs.commands import PROGRAMS, Commands

LOOK_S = 5.0
"""How long a small question to pbs_server may take. It has no ping, and its commands wait for ever for one that is
stopped; one that is only busy answers this within milliseconds, or a second."""
_ALIVE_S = 5.0


class Client:
    """One cluster's commands on one transport."""

    def __init__(self, commands: Commands, transport: Transport, timeout_s: float) -> None:
        self.commands = commands
        self.transport = transport
        self.where = transport.name
        self._timeout_s = timeout_s
        self._answered = False
        self.failures = 0
        """How many requests failed since the start: what was known before one may be old news after it."""

    async def look(self, argv: Sequence[str]) -> Completed:
        """Ask a small question. Raises SourceError: TimedOut after LOOK_S, or later while nothing ever answered.

        The first answer may have to wait for a connection to the host where the commands run.
        """
        patience = LOOK_S if self._answered else max(LOOK_S, self._timeout_s)
        return await self._ask(argv, patience, failures.no_answer(patience, self.where))

    async def list(self, argv: Sequence[str]) -> Completed:
        """Ask for a listing. Raises SourceError with the truest kind that can be known."""
        error = failures.slow_answer(_program(argv), self._timeout_s, self.where)
        return await self._ask(argv, self._timeout_s, error)

    async def nodes(self) -> bytes:
        """Return what pbsnodes lists; as long as a server has no nodes that is an error to it."""
        try:
            return (await self.list(self.commands.nodes())).stdout
        except failures.NoNodes:
            return b"{}"

    async def attempt(self, argv: Sequence[str]) -> Completed:
        """Run a command whose exit status is for the caller to read. Raises SourceError when it cannot run at all."""
        try:
            return await self.transport.run(argv, timeout_s=self._timeout_s)
        except Unsupported:
            raise failures.no_program(_program(argv), self.where) from None
        except TimedOut:
            await self._insist()
            raise failures.no_answer(self._timeout_s, self.where) from None

    def failure(self, argv: Sequence[str], done: Completed) -> SourceError:
        """Return the error that the exit status of `attempt` stands for."""
        return failures.failure(_program(argv), done.exit_status, done.stderr, self.where)

    async def _ask(self, argv: Sequence[str], timeout_s: float, late: TimedOut) -> Completed:
        try:
            try:
                done = await self.transport.run(argv, timeout_s=timeout_s)
            except Unsupported:
                raise failures.no_program(_program(argv), self.where) from None
            except TimedOut:
                await self._insist()
                raise late from None
            if done.exit_status != 0:
                raise self.failure(argv, done)
        except failures.NoNodes:
            raise
        except SourceError:
            self.failures += 1
            self._answered = False
            raise
        self._answered = True
        return done

    async def _insist(self) -> None:
        """Raise what is wrong with the host where the commands run, if anything is: then PBS is not to blame."""
        await self.transport.run(["env", "true"], timeout_s=_ALIVE_S)


def _program(argv: Sequence[str]) -> str:
    """Return the program of PBS that a command line runs."""
    return next((word for word in argv[1:] if word.rpartition("/")[2] in PROGRAMS), argv[0])
