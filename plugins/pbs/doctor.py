"""What works with this cluster, what is denied, and how to mend it."""

from __future__ import annotations

from console.errors import Denied, SourceError, Unsupported
from console.plugin import Check, CheckState
from console.text import clean
from plugins.pbs import answers, layout
from plugins.pbs.client import Client
from plugins.pbs.commands import PROGRAMS
from plugins.pbs.failures import HISTORY_HINT, no_program
from plugins.pbs.layout import Server
from plugins.pbs.settings import PbsSettings

_TIMEOUT_S = 5.0


def _failed(subject: str, error: SourceError) -> Check:
    state = CheckState.DENIED if isinstance(error, Denied) else CheckState.FAILED
    return Check(subject=subject, state=state, detail=str(error), remedy=error.hint or "run it by hand there")


async def examine(client: Client, settings: PbsSettings) -> list[Check]:
    """Look at everything once. Raises nothing."""
    checks = [await _program(client, program) for program in PROGRAMS]
    if any(check.state is not CheckState.OK for check in checks[:2]):
        return checks
    try:
        server = layout.server((await client.look(client.commands.server())).stdout)
    except SourceError as error:
        return [*checks, _failed("pbs_server", error)]
    checks += _server(server)
    checks += [await _nodes(client, settings), await _reservations(client), _budget(settings)]
    return checks


async def _program(client: Client, program: str) -> Check:
    subject = f"{program} on {client.where}"
    try:
        done = await client.transport.run(client.commands.version(program), timeout_s=_TIMEOUT_S)
    except Unsupported:
        return _failed(subject, no_program(program, client.where))
    except SourceError as error:
        return _failed(subject, error)
    if done.exit_status in (126, 127):
        return _failed(subject, no_program(program, client.where))
    words = clean((done.stdout.strip() or done.stderr.strip()).split(b"\n")[0], limit=100)
    if b"pbs_version" not in done.stdout + done.stderr:
        return Check(
            subject=subject,
            state=CheckState.FAILED,
            detail=f"it is not that of PBS: {words or f'status {done.exit_status}'}",
            remedy="set bin in the configuration to the directory of PBS's commands (often /opt/pbs/bin)",
        )
    return Check(subject=subject, state=CheckState.OK, detail=words)


def _server(server: Server) -> list[Check]:
    named = f"{server.name}, PBS {server.version or 'of an unknown release'}, {server.state or 'in no known state'}"
    checks = [Check(subject="pbs_server", state=CheckState.OK, detail=named)]
    if server.counters.scheduling is False:
        checks.append(
            Check(
                subject="scheduling",
                state=CheckState.WARNING,
                detail="it is off: no job starts",
                remedy="a manager of PBS turns it on: qmgr -c 'set server scheduling = True'",
            )
        )
    if server.private:
        checks.append(
            Check(
                subject="query_other_jobs",
                state=CheckState.WARNING,
                detail="off: PBS hides what others own",
                remedy="nothing to mend if you need your own only; else a manager of PBS sets it to True",
            )
        )
    if not server.history:
        checks.append(
            Check(
                subject="job history",
                state=CheckState.WARNING,
                detail="off: jobs that are over are neither listed nor explained, nor are their logs found",
                remedy=HISTORY_HINT,
            )
        )
    return checks


async def _nodes(client: Client, settings: PbsSettings) -> Check:
    """List the vnodes; without the resource that counts GPUs there are none to show."""
    try:
        answer = await client.nodes()
        count = sum(1 for _ in answers.entries(answer, "nodes", "pbsnodes"))
    except SourceError as error:
        return _failed("vnodes", error)
    names = " or ".join(settings.gpus)
    if not any(f'"{name}"'.encode() in answer for name in settings.gpus):
        return Check(
            subject="vnodes",
            state=CheckState.WARNING,
            detail=f"{count}, and none of them has the resource {names}: no GPUs are counted",
            remedy="set gpus in the configuration to the resource that counts them here, if there is one",
        )
    return Check(subject="vnodes", state=CheckState.OK, detail=f"{count}; GPUs are counted by {names}")


async def _reservations(client: Client) -> Check:
    argv = client.commands.reservations()
    try:
        done = await client.attempt(argv)
        if done.exit_status != 0:
            raise client.failure(argv, done)
        found = layout.reservations(done.stdout, "")
    except SourceError as error:
        state = CheckState.DENIED if isinstance(error, Denied) else CheckState.WARNING
        detail = f"{error}; reservations are not shown"
        return Check(subject="reservations", state=state, detail=detail, remedy=error.hint or "run pbs_rstat by hand")
    return Check(subject="reservations", state=CheckState.OK, detail=f"{len(found)}")


def _budget(settings: PbsSettings) -> Check:
    budget = settings.requests_per_minute
    if budget is None:
        detail = "requests_per_minute is off"
        return Check(subject="budget", state=CheckState.WARNING, detail=detail, remedy="set it, 24 is the default")
    return Check(subject="budget", state=CheckState.OK, detail=f"at most {budget:g} requests a minute to pbs_server")
