"""What works with this dashboard, what is denied, and how to mend it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from console.errors import Denied, SourceError, Unsupported
from console.plugin import Check, CheckState
from console.text import clean
from plugins.ray import commands, wire
from plugins.ray.client import HEAD_HINT, Client
from plugins.ray.settings import RaySettings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DRAINING = Check(
    subject="draining nodes",
    state=CheckState.ABSENT,
    detail="not offered: no dashboard drains a node or says that one drains, and one that Ray drained leaves for good",
    remedy="drain it in the scheduler that owns it; by hand, on the head node: ray drain-node --help",
)


async def examine(client: Client, settings: RaySettings) -> list[Check]:
    """Look at everything once. Raises nothing."""

    async def version() -> str:
        answer = wire.one(await client.ask(commands.VERSION), wire.Version, "its version")
        return f"Ray {clean(answer.ray_version, limit=64)}"

    async def nodes() -> str:
        states = [row.raylet.state for row in (await client.nodes()).nodes.rows]
        return f"{states.count('ALIVE')} alive, {len(states) - states.count('ALIVE')} dead or gone"

    async def jobs() -> str:
        return f"{len(wire.jobs(await client.ask(commands.JOBS)).rows)} are known"

    async def state() -> str:
        return f"{len((await client.groups()).rows)} placement groups are known"

    async def logs() -> str:
        alive = [row.raylet.node_id for row in (await client.nodes()).nodes.rows if row.raylet.state == "ALIVE"]
        node = next((node for node in alive if node), None)
        if node is None:
            raise Unsupported("no node is alive", client.where, "start nodes: ray start")
        return f"{len(wire.log_files(await client.ask(commands.log_files(node, '*'))))} files on the first node"

    first = await _look(f"dashboard at {client.where}", version)
    if first.state is not CheckState.OK:
        return [first, _token(settings)]
    checks = [first, _token(settings)]
    parts: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
        ("nodes", nodes),
        ("jobs API", jobs),
        ("state API", state),
        ("logs", logs),
    )
    for subject, look in parts:
        checks.append(await _look(subject, look))
    checks += [_DRAINING, _budget(settings)]
    return checks


async def _look(subject: str, look: Callable[[], Awaitable[str]]) -> Check:
    try:
        return Check(subject=subject, state=CheckState.OK, detail=await look())
    except SourceError as error:
        state = CheckState.DENIED if isinstance(error, Denied) else CheckState.FAILED
        if isinstance(error, Unsupported):
            state = CheckState.WARNING
        return Check(subject=subject, state=state, detail=str(error), remedy=error.hint or HEAD_HINT)


def _token(settings: RaySettings) -> Check:
    parts = urlsplit(settings.url)
    if settings.token is None:
        return Check(subject="token", state=CheckState.ABSENT, detail="none is named, none is sent")
    if parts.scheme == "http" and settings.via is None and parts.hostname not in _LOOPBACK:
        return Check(
            subject="token",
            state=CheckState.WARNING,
            detail="it travels unencrypted",
            remedy="name the dashboard by https, or reach it through a host: via",
        )
    return Check(subject="token", state=CheckState.OK, detail=clean(settings.token))


def _budget(settings: RaySettings) -> Check:
    budget = settings.requests_per_minute
    if budget is None:
        detail = "requests_per_minute is off"
        return Check(subject="budget", state=CheckState.WARNING, detail=detail, remedy="set it, 30 is the default")
    return Check(subject="budget", state=CheckState.OK, detail=f"at most {budget:g} requests a minute to the dashboard")
