"""Asks for everything that bears on why a job waits, what it lacks while it runs, or how it ended."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from console.errors import Denied, SourceError, Unreachable
from console.model import Explanation
from plugins.ray import commands, holdings, resources, wire
from plugins.ray.causes import Facts, build
from plugins.ray.client import Client
from plugins.ray.holdings import Want
from plugins.ray.nodes import read as read_nodes
from plugins.ray.settings import AddressRule

T = TypeVar("T")

_DRIVER = "_ray_internal_job_actor_"
"""Name of the actor that starts a job's script, before its submission id."""


async def explain(client: Client, cluster: str, job_id: str, rule: AddressRule) -> Explanation:
    """Ask for everything that bears on one job. Raises SourceError; NoSuchJob."""
    facts = Facts(await client.job(job_id))
    status = facts.row.status
    if status in ("PENDING", "RUNNING"):
        listing = await client.nodes()
        facts.machines = read_nodes(listing, cluster, rule).machines
    if status == "PENDING":
        await _look_for_driver(client, facts)
    elif facts.row.job_id:
        await _look_at_work(client, facts, facts.row.job_id)
    if facts.holding.wants:
        facts.autoscaler = await _part(_autoscaler(client), facts, "autoscaler") or ()
    return build(facts, cluster)


async def _autoscaler(client: Client) -> tuple[str, ...]:
    return wire.autoscaler(await client.ask(commands.STATUS))


async def _look_for_driver(client: Client, facts: Facts) -> None:
    """Find what the job's own driver needs: an actor of Ray's own that has no place yet."""
    waiting = await _part(client.actors(state="PENDING_CREATION"), facts, "the state API")
    for actor in waiting.rows if waiting else ():
        if actor.name == f"{_DRIVER}{facts.row.submission_id}":
            facts.holding.wants.append(Want("its driver", (resources.plain(actor.required_resources),)))


async def _look_at_work(client: Client, facts: Facts, job: str) -> None:
    """Look at actors, placement groups and tasks of a job that began."""
    running = facts.row.status == "RUNNING"

    async def counts() -> dict[str, int]:
        return wire.task_counts(await client.ask(commands.task_counts(job)))

    actors = await _part(client.actors(job=job), facts, "actors")
    groups = await _part(client.groups(), facts, "placement groups") if running else None
    waiting = await _part(client.tasks("PENDING_NODE_ASSIGNMENT", job=job), facts, "tasks") if running else None
    at_work = await _part(client.tasks("RUNNING", job=job), facts, "tasks") if running else None
    failed = await _part(client.tasks("FAILED", job=job), facts, "tasks")
    facts.tasks = await _part(counts(), facts, "task counts") or {}
    mine = [group for group in (groups.rows if groups else ()) if group.creator_job_id == job]
    added = holdings.add_up(mine, actors.rows if actors else (), at_work.rows if at_work else ())
    facts.holding = added.get(job, facts.holding)
    facts.holding.wants += holdings.task_wants(waiting.rows if waiting else ())
    facts.dead_actors = tuple(actor for actor in (actors.rows if actors else ()) if actor.state == "DEAD")
    facts.failed_tasks = failed.rows if failed else ()


async def _part(asking: Awaitable[T], facts: Facts, what: str) -> T | None:
    """Return an answer, None with the reason noted where this Ray does not tell."""
    try:
        return await asking
    except (Unreachable, Denied):
        raise
    except SourceError as error:
        facts.missing[what] = str(error)
        return None
