"""Who is hurt: the jobs that an action meets, what they hold, and when the last of them would end by itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from console.model import Effect, Interrupt, Job, Reservation
from console.nodeset import fold


def interrupts(
    jobs: Iterable[Job], effects: Mapping[str, Effect], now: float, targets: Iterable[str] = ()
) -> tuple[Interrupt, ...]:
    """Return the jobs as an action meets them, those that lose most first.

    `effects`: job id to what becomes of it, `runs on` where nothing is said. `targets`: the nodes that are acted on;
    none: the jobs themselves are.
    """
    names = frozenset(targets)
    found = [_interrupt(job, effects.get(job.id, Effect.RUNS_ON), now, names) for job in jobs]
    return tuple(sorted(found, key=lambda one: (not one.effect.hurts, -(one.accelerator_hours or 0.0), one.job)))


def _interrupt(job: Job, effect: Effect, now: float, targets: frozenset[str]) -> Interrupt:
    hit = [name for name in job.node_names if not targets or name in targets]
    return Interrupt(
        cluster=job.cluster,
        job=job.id,
        effect=effect,
        name=job.name,
        user=job.user,
        state=job.state.value,
        nodes=fold(hit) or None,
        nodes_hit=len(hit),
        node_count=len(job.node_names) or job.node_count,
        accelerators=job.accelerators,
        accelerator_hours=accelerator_hours(job, now),
        ends_at=job.ends_at,
    )


def accelerator_hours(job: Job, now: float) -> float | None:
    """Return what its accelerators worked since its start; None where either is not known."""
    if job.accelerators is None or job.started_at is None:
        return None
    return job.accelerators * max(now - job.started_at, 0.0) / 3600


def free_at(met: Sequence[Interrupt]) -> float | None:
    """Return when the last job that runs on has ended by itself, at the latest; None: not known, or none runs."""
    ends = [one.ends_at for one in met if not one.effect.hurts]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def broken_reservations(reservations: Iterable[Reservation], targets: Iterable[str], now: float) -> tuple[str, ...]:
    """Return a warning for each reservation, running or to come, that counts on a target."""
    names = frozenset(targets)
    return tuple(
        f"reservation {one.name} counts on {fold(hit)}"
        for one in reservations
        if (hit := [name for name in one.node_names if name in names]) and (one.ends_at is None or one.ends_at > now)
    )


def broken_gangs(met: Iterable[Interrupt]) -> tuple[str, ...]:
    """Return a warning for each job that is stopped although only some of its nodes are targets."""
    return tuple(
        f"job {one.job} stops as a whole: it runs on {one.node_count} nodes, of which {one.nodes} is a target"
        for one in met
        if one.effect.hurts and 0 < one.nodes_hit < (one.node_count or 0)
    )
