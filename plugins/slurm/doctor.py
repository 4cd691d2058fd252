"""What works with this cluster, what is denied, and how to mend it."""

from __future__ import annotations

from console.errors import Denied, SourceError, Unsupported
from console.plugin import Check, CheckState
from console.text import clean
from plugins.slurm import parse
from plugins.slurm.choice import Choice
from plugins.slurm.client import Client
from plugins.slurm.failures import DOWN_HINT, KEY_HINT, MUNGE_HINT, no_program
from plugins.slurm.settings import SlurmSettings, WayName

_TIMEOUT_S = 5.0
_FURTHER = (
    ("sprio", "qd explain does without the parts of a priority"),
    ("sacct", "jobs that slurmctld has forgotten are not found"),
)


def _failed(subject: str, error: SourceError) -> Check:
    state = CheckState.DENIED if isinstance(error, Denied) else CheckState.FAILED
    return Check(subject=subject, state=state, detail=str(error), remedy=error.hint or "run it by hand there")


async def examine(client: Client, settings: SlurmSettings, choice: Choice) -> list[Check]:
    """Look at everything once. Raises nothing."""
    checks = [await _program(client, program) for program in ("squeue", "scontrol", "sdiag")]
    here = all(check.state is CheckState.OK for check in checks[:2])
    ways = await choice.checks(here)
    if not here:
        if choice.name is not WayName.COMMANDS:
            checks = [_spared(check) for check in checks]
        return [*ways, *checks]
    checks += ways
    checks += await _controllers(client)
    checks.append(await _munge(client))
    checks += await _config(client)
    checks.append(await _counters(client))
    for program, lost in _FURTHER:
        check = await _program(client, program)
        if check.state is not CheckState.OK:
            check = Check(subject=check.subject, state=CheckState.ABSENT, detail=f"{check.detail}; {lost}")
        checks.append(check)
    checks.append(_budget(settings))
    return checks


def _spared(check: Check) -> Check:
    """Return that a command is not there where the lists do without it."""
    if check.state is CheckState.OK:
        return check
    detail = f"{check.detail}; without it nothing explains a job, shows its log or acts on it"
    return Check(subject=check.subject, state=CheckState.WARNING, detail=detail, remedy=check.remedy)


async def _program(client: Client, program: str) -> Check:
    subject = f"{program} on {client.where}"
    try:
        done = await client.transport.run(client.commands.version(program), timeout_s=_TIMEOUT_S)
    except Unsupported:
        return _failed(subject, no_program(program, client.where))
    except SourceError as error:
        return _failed(subject, error)
    if done.exit_status != 0:
        return _failed(subject, no_program(program, client.where))
    return Check(subject=subject, state=CheckState.OK, detail=clean(done.stdout.strip(), limit=100))


async def _controllers(client: Client) -> list[Check]:
    try:
        found = await client.ping()
    except SourceError as error:
        return [_failed("slurmctld", error)]
    if not found:
        detail = f"it takes connections and does not answer: {client.where}"
        return [Check(subject="slurmctld", state=CheckState.FAILED, detail=detail, remedy=DOWN_HINT)]
    checks = []
    for controller in found:
        subject = f"slurmctld, {controller.role} on {controller.host}"
        if controller.up:
            checks.append(Check(subject=subject, state=CheckState.OK, detail="answers"))
        else:
            state = CheckState.WARNING if any(each.up for each in found) else CheckState.FAILED
            checks.append(Check(subject=subject, state=state, detail="does not answer", remedy=DOWN_HINT))
    return checks


async def _munge(client: Client) -> Check:
    """Encode a credential. Not every cluster uses munge, and not every one has this command."""
    subject = f"munge on {client.where}"
    try:
        done = await client.transport.run(["env", "LC_ALL=C", "munge", "-n"], timeout_s=_TIMEOUT_S)
    except SourceError as error:
        return _failed(subject, error)
    if done.exit_status == 0:
        return Check(subject=subject, state=CheckState.OK, detail="gives credentials")
    if done.exit_status in (126, 127):
        return Check(
            subject=subject, state=CheckState.ABSENT, detail="no command to try it with; Slurm may not need it"
        )
    return Check(
        subject=subject,
        state=CheckState.WARNING,
        detail=clean(done.stderr.strip(), limit=200) or f"status {done.exit_status}",
        remedy=f"if this cluster uses munge at its usual socket: {MUNGE_HINT.format(where=client.where)}; "
        f"{KEY_HINT.format(where=client.where)}",
    )


async def _config(client: Client) -> list[Check]:
    try:
        config = parse.config((await client.ask(client.commands.config())).stdout)
    except SourceError as error:
        return [_failed("configuration", error)]
    named = f"cluster {config.cluster_name or 'without a name'}, Slurm {config.version or 'of an unknown release'}"
    checks = [Check(subject="configuration", state=CheckState.OK, detail=named)]
    hidden = sorted(config.private & {"jobs", "nodes", "partitions", "reservations"})
    if hidden:
        checks.append(
            Check(
                subject="PrivateData",
                state=CheckState.WARNING,
                detail=f"{', '.join(hidden)}: Slurm may hide what others own",
                remedy="nothing to mend if you need your own only; else ask for the operator role in sacctmgr",
            )
        )
    return checks


async def _counters(client: Client) -> Check:
    try:
        parse.counters((await client.ask(client.commands.diag())).stdout)
    except SourceError as error:
        return Check(
            subject="sdiag",
            state=CheckState.DENIED if isinstance(error, Denied) else CheckState.WARNING,
            detail=f"{error}; everything is listed anew each time instead, less often",
            remedy=error.hint or "run sdiag by hand",
        )
    return Check(subject="sdiag", state=CheckState.OK, detail="its counters tell when something changed")


def _budget(settings: SlurmSettings) -> Check:
    budget = settings.requests_per_minute
    if budget is None:
        detail = "requests_per_minute is off"
        return Check(subject="budget", state=CheckState.WARNING, detail=detail, remedy="set it, 24 is the default")
    return Check(subject="budget", state=CheckState.OK, detail=f"at most {budget:g} requests a minute to slurmctld")
