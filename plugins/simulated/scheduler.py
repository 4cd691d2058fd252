"""Jobs come, wait, run and end; nodes are given to them and taken back."""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import TypeVar

from console.model import JobState
from plugins.simulated.cast import PROFILES, REASONS, USERS, names_of
from plugins.simulated.layout import Pool
from plugins.simulated.state import Changes, SimJob, SimNode

LISTED_AFTER_END = 60
"""Ticks for which an ended job is still listed, as Slurm's MinJobAge does."""
AGE_WEIGHT = 1
"""Priority that a job gains with every tick of waiting."""
DEPTH = 400
"""Waiting jobs of a pool that are looked at: the depth of backfill."""
TRIES = 24
"""Of these, how many are tried in one tick."""
FIRST = 4
"""Waiting jobs of a pool that wait for resources; the others wait for them."""
ESTIMATED = 200
"""Waiting jobs of a pool that get an estimated start, as bf_max_job_test limits it."""

Item = TypeVar("Item")

_PREFERRED = (JobState.COMPLETED,) * 17 + (JobState.FAILED,) * 2 + (JobState.TIMEOUT,)


def _deck(shares: list[tuple[Item, float]]) -> tuple[Item, ...]:
    """Return 256 entries in these shares: drawing from them is one look-up, which counts for 100,000 jobs."""
    total = sum(share for _, share in shares)
    deck: list[Item] = []
    upto = 0.0
    for item, share in shares:
        upto += 256 * share / total
        deck += [item] * (round(upto) - len(deck))
    return tuple(deck)


def _sort(queue: list[tuple[int, int, SimJob]]) -> Iterator[None]:
    """Sort in place as `list.sort` does, but yield often: tens of thousands would hold the event loop."""
    parts = []
    for start in range(0, len(queue), 2000):
        parts.append(sorted(queue[start : start + 2000]))
        yield
    for at, entry in enumerate(heapq.merge(*parts)):
        queue[at] = entry
        if at % 500 == 0:
            yield


class _Lane:
    """The queue and the free nodes of one pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.queue: list[tuple[int, int, SimJob]] = []
        self.empty: list[int] = []
        """Nodes with all GPUs free that take work, sorted."""
        self.partial: dict[int, int] = {}
        """Nodes with some GPUs free, to how many."""
        self.profiles = _deck([(profile, profile.weight) for profile in PROFILES if profile.queue in pool.partitions])
        self.running = 0
        self.seconds = 1.0
        """Sum of the lengths of what runs, for the estimate of starts."""
        self.dirty = True


class Scheduler:
    """Holds every job. `step` moves time by one tick."""

    def __init__(
        self,
        nodes: list[SimNode],
        pools: tuple[Pool, ...],
        *,
        jobs: int,
        rng: random.Random,
        speed: float,
        changes: Changes,
    ) -> None:
        self.nodes = nodes
        self.jobs: dict[int, SimJob] = {}
        self.waiting: list[SimJob] = []
        self.lanes = [_Lane(pool) for pool in pools]
        self._rng = rng
        self._target = jobs
        self._speed = speed
        self._changes = changes
        self._gpus = len(nodes[0].slots) if nodes else 0
        self._events: list[tuple[int, int, int, str]] = []
        """(tick, order, job number, what)"""
        self._after: dict[str, list[int]] = {}
        """Job id to the jobs that wait for its end."""
        self._next = 811_203
        self._order = 0
        self._cursor = 0
        self._names = {id(profile): names_of(profile, rng) for profile in PROFILES}
        self._reasons = _deck(list(REASONS))
        self._shares = _deck([(lane, len(lane.pool.nodes)) for lane in self.lanes])

    # ---- the beginning

    def build(self) -> Iterator[None]:
        """Fill the nodes and the queue as if it had always run; yields often."""
        for lane in self.lanes:
            refused = 0
            while refused < 80 and (lane.empty or lane.partial) and len(self.jobs) < self._target:
                yield
                job = self._draw(lane, 0, array=False)
                ran = int(self._rng.random() * job.seconds)
                job.submit = -ran - self._rng.randrange(30, 40000)
                job.weight -= job.submit * AGE_WEIGHT
                if not self._start(lane, job, 0, ran):
                    refused += 1
                    self._forget(job)
        while len(self.jobs) < self._target:
            yield
            lane = self._shares[int(self._rng.random() * 256)]
            job = self._draw(lane, 0)
            job.submit = -int(self._rng.random() ** 2 * 60000)
            job.weight -= job.submit * AGE_WEIGHT
            self._wait(lane, job, 0, sort=False)
        for lane in self.lanes:
            yield from _sort(lane.queue)

    # ---- one tick

    def step(self, tick: int) -> None:
        """Let everything happen that is due."""
        events = self._events
        while events and events[0][0] <= tick:
            _, _, number, what = heapq.heappop(events)
            job = self.jobs.get(number)
            if job is not None:
                self._happen(job, what, tick)
        self._submit(tick)
        for lane in self.lanes:
            if lane.dirty:
                self._schedule(lane, tick)
        self._review(tick)

    def fail(self, job: SimJob, tick: int, reason: str, exit_code: int) -> None:
        """End a running job before its time."""
        if job.state is JobState.RUNNING:
            job.end = tick
            self._complete(job, tick, JobState.FAILED, reason, exit_code)

    def cancel(self, job: SimJob, tick: int) -> None:
        """End a job because somebody said so."""
        if job.state is JobState.RUNNING:
            job.end = tick
            self._complete(job, tick, JobState.CANCELLED, None, None)
        elif job.place >= 0 and job.blocked:
            job.blocked = False
            insort(self.lanes[job.pool].queue, (-job.weight, job.number, job))
            self._cancel(job, tick)
        elif job.place >= 0:
            self._cancel(job, tick)
        self._changes.jobs[job.number] = job

    def hold(self, job: SimJob) -> None:
        """Keep a waiting job from starting."""
        lane = self.lanes[job.pool]
        if job.place >= 0 and not job.blocked:
            del lane.queue[bisect_left(lane.queue, (-job.weight, job.number))]
        job.blocked, job.state, job.reason = True, JobState.HELD, "JobHeldUser"
        self._changes.jobs[job.number] = job

    def free(self, job: SimJob, tick: int) -> None:
        """Let a held job start."""
        self._happen(job, "eligible", tick)

    def take_away(self, node: SimNode) -> None:
        """Stop giving this node to jobs."""
        lane = self.lanes[node.at.pool]
        at = bisect_left(lane.empty, node.at.index)
        if at < len(lane.empty) and lane.empty[at] == node.at.index:
            del lane.empty[at]
        lane.partial.pop(node.at.index, None)
        node.version += 1
        self._changes.nodes[node.at.index] = None

    def release(self, node: SimNode) -> None:
        """Give this node to jobs again, as far as it is free and takes work."""
        self.take_away(node)
        lane = self.lanes[node.at.pool]
        if node.schedulable and node.free:
            if node.free == self._gpus:
                insort(lane.empty, node.at.index)
            else:
                lane.partial[node.at.index] = node.free
            lane.dirty = True

    def rank(self, job: SimJob) -> int | None:
        """Return how many jobs of its pool stand before this one; None when it is not considered."""
        if job.place < 0 or job.blocked:
            return None
        return bisect_left(self.lanes[job.pool].queue, (-job.weight, job.number))

    def estimate(self, job: SimJob, tick: int) -> int | None:
        """Return the tick at which a waiting job will probably start, where anybody would guess."""
        rank = self.rank(job)
        lane = self.lanes[job.pool]
        if rank is None or rank >= ESTIMATED or not lane.running:
            return job.eligible if job.eligible is not None and job.eligible > tick else None
        mean = lane.seconds / lane.running
        return tick + int(20 + (rank + 1) * mean / lane.running)

    # ---- inside

    def _draw(self, lane: _Lane, tick: int, array: bool = True) -> SimJob:
        rng = self._rng
        profile = lane.profiles[int(rng.random() * 256)]
        user, account = USERS[int(rng.random() ** 1.6 * len(USERS))]
        size = profile.gpus[int(rng.random() * len(profile.gpus))]
        if profile.whole:
            nodes = max(1, min(size, len(lane.pool.nodes) // (4 if len(lane.pool.nodes) > 8 else 2)))
            gpus = nodes * self._gpus
        else:
            nodes, gpus = 1, min(size, self._gpus)
        low, high = profile.seconds
        limit = low * (high / low) ** rng.random()
        number = self._next
        self._next += 1
        names = self._names[id(profile)]
        tasks = int(2 + rng.random() ** 3 * 400) if array and profile.array and rng.random() < 0.25 else 0
        job = SimJob(
            number=number,
            id=str(number),
            name=names[int(rng.random() * len(names))],
            user=user,
            account=account,
            profile=profile,
            pool=lane.pool.index,
            gpus=gpus,
            node_count=nodes,
            seconds=max(5, int(limit * (0.2 + 0.8 * rng.random()) / self._speed)),
            limit_s=int(limit // 300 + 1) * 300,
            weight=int(rng.random() * 20000) + (30000 if profile.qos == "high" else 0) - tick * AGE_WEIGHT,
            submit=tick,
            tasks=tasks,
            waiting=tasks,
        )
        self.jobs[number] = job
        return job

    def _forget(self, job: SimJob) -> None:
        del self.jobs[job.number]

    def _later(self, tick: int, job: SimJob, what: str) -> None:
        self._order += 1
        heapq.heappush(self._events, (tick, self._order, job.number, what))

    def _wait(self, lane: _Lane, job: SimJob, tick: int, sort: bool = True) -> None:
        rng = self._rng
        job.place = len(self.waiting)
        self.waiting.append(job)
        reason = self._reasons[int(rng.random() * 256)]
        if reason != "Priority" and not job.tasks:
            self._block(job, reason, tick)
        if not job.blocked:
            entry = (-job.weight, job.number, job)
            if sort:
                insort(lane.queue, entry)
                lane.dirty = True
            else:
                lane.queue.append(entry)
        self._changes.jobs[job.number] = job

    def _block(self, job: SimJob, reason: str, tick: int) -> None:
        rng = self._rng
        job.reason, job.blocked = reason, True
        due = tick + int(rng.expovariate(1 / (1800 / self._speed))) + 5
        if reason == "Dependency":
            other = self.jobs.get(self._next - 1 - int(rng.random() * 400))
            if other is None or other is job or other.state in (JobState.COMPLETED, JobState.FAILED):
                job.reason, job.blocked = "Priority", False
                return
            job.dependency = f"afterok:{other.id}"
            self._after.setdefault(other.id, []).append(job.number)
            return
        if reason == "BeginTime":
            job.eligible = due
        elif reason.startswith("JobHeld"):
            job.state = JobState.HELD
            due += 1800
        elif reason.startswith("ReqNodeNotAvail"):
            pool = self.lanes[job.pool].pool.nodes
            job.reason = reason + self.nodes[pool[int(rng.random() * len(pool))]].at.name
        self._later(due, job, "eligible")

    def _happen(self, job: SimJob, what: str, tick: int) -> None:
        if what == "eligible" and job.blocked and job.place >= 0:
            job.blocked, job.reason, job.eligible, job.state = False, "Priority", None, JobState.PENDING
            insort(self.lanes[job.pool].queue, (-job.weight, job.number, job))
            self.lanes[job.pool].dirty = True
            self._changes.jobs[job.number] = job
        elif what == "end" and job.state is JobState.RUNNING and tick >= job.end:
            outcome = _PREFERRED[int(self._rng.random() * len(_PREFERRED))]
            code = {JobState.COMPLETED: 0, JobState.FAILED: 1}.get(outcome)
            reason = {JobState.FAILED: "NonZeroExitCode", JobState.TIMEOUT: "TimeLimit"}.get(outcome)
            self._complete(job, tick, outcome, reason, code)
        elif what in ("completed", "failed", "timeout", "cancelled") and job.state is JobState.COMPLETING:
            self._end(job, tick, JobState(what))
        elif what == "gone":
            self._forget(job)
            self._changes.jobs.pop(job.number, None)
            self._changes.gone[job.id] = None

    def _complete(self, job: SimJob, tick: int, outcome: JobState, reason: str | None, code: int | None) -> None:
        job.state, job.reason, job.exit_code, job.end = JobState.COMPLETING, reason, code, tick
        self._changes.jobs[job.number] = job
        for index in job.nodes:
            self.nodes[index].version += 1
            self._changes.nodes[index] = None
        self._later(tick + 2 + int(self._rng.random() * 8), job, str(outcome))

    def _end(self, job: SimJob, tick: int, outcome: JobState) -> None:
        job.state = outcome
        lane = self.lanes[job.pool]
        lane.running -= 1
        lane.seconds -= job.seconds
        for index in job.nodes:
            node = self.nodes[index]
            node.slots = tuple([None if holder is job else holder for holder in node.slots])
            node.free = node.slots.count(None)
            self.release(node)
        self._changes.jobs[job.number] = job
        self._later(tick + LISTED_AFTER_END, job, "gone")
        for number in self._after.pop(job.id, ()):
            follower = self.jobs.get(number)
            if follower is None or not follower.blocked:
                continue
            if outcome is JobState.COMPLETED:
                self._happen(follower, "eligible", tick)
            else:
                follower.reason = "DependencyNeverSatisfied"
                self._changes.jobs[number] = follower

    def _start(self, lane: _Lane, job: SimJob, tick: int, ran: int = 0) -> bool:
        if job.profile.whole:
            if len(lane.empty) < job.node_count:
                return False
            chosen = lane.empty[: job.node_count]
            del lane.empty[: job.node_count]
            share = self._gpus
        else:
            share = job.gpus
            fits = [index for index, free in lane.partial.items() if free >= share][:1] if lane.partial else []
            chosen = fits or lane.empty[:1]
            if not chosen:
                return False
            if not fits:
                del lane.empty[:1]
            lane.partial.pop(chosen[0], None)
        job.nodes = tuple(chosen)
        for index in chosen:
            node = self.nodes[index]
            slots = list(node.slots)
            for gpu in [gpu for gpu, holder in enumerate(slots) if holder is None][:share]:
                slots[gpu] = job
            node.slots = tuple(slots)
            node.free -= share
            node.version += 1
            if node.free:
                lane.partial[index] = node.free
            self._changes.nodes[index] = None
        job.state, job.reason, job.start = JobState.RUNNING, None, tick - ran
        job.end = max(job.start + job.seconds, tick + 1)
        lane.running += 1
        lane.seconds += job.seconds
        self._changes.jobs[job.number] = job
        self._later(job.end, job, "end")
        return True

    def _schedule(self, lane: _Lane, tick: int) -> None:
        """Start what fits, in the order of priority, smaller jobs past larger ones that do not fit."""
        lane.dirty = False
        position = tried = 0
        too_large = 1 << 30
        while position < min(len(lane.queue), DEPTH) and (lane.empty or lane.partial):
            job = lane.queue[position][2]
            if job.gpus >= too_large:
                position += 1
                continue
            tried += 1
            if tried > TRIES:
                lane.dirty = True
                break
            if not (self._start_task(lane, job, tick) if job.tasks else self._start(lane, job, tick)):
                too_large = job.gpus
                position += 1
            elif not job.waiting:
                self._leave(lane, job, position)
        for _, number, job in lane.queue[:FIRST]:
            self._changes.jobs[number] = job

    def _start_task(self, lane: _Lane, array: SimJob, tick: int) -> bool:
        if not lane.empty and not any(free >= array.gpus for free in lane.partial.values()):
            return False
        task = self._draw(lane, tick, array=False)
        index = array.tasks - array.waiting
        task.id, task.array = f"{array.number}_{index}", array.number
        for field in (
            "name",
            "user",
            "account",
            "profile",
            "gpus",
            "node_count",
            "limit_s",
            "weight",
            "submit",
        ):
            setattr(task, field, getattr(array, field))
        task.tasks = task.waiting = 0
        task.seconds = max(5, int(array.seconds * (0.7 + 0.6 * self._rng.random())))
        if not self._start(lane, task, tick):
            self._forget(task)
            return False
        array.waiting -= 1
        self._changes.jobs[array.number] = array
        return True

    def _leave(self, lane: _Lane, job: SimJob, position: int) -> None:
        """Take a job out of the queue and the list of what waits; an array that has all started is gone."""
        del lane.queue[position]
        last = self.waiting.pop()
        if last is not job:
            last.place = job.place
            self.waiting[job.place] = last
        job.place = -1
        if job.tasks:
            self._forget(job)
            self._changes.jobs.pop(job.number, None)
            self._changes.gone[job.id] = None

    def _submit(self, tick: int) -> None:
        missing = self._target - len(self.jobs)
        if missing <= 0 or self._rng.random() < 0.4:
            return
        for _ in range(min(missing, 1 + self._target // 2000)):
            lane = self._shares[int(self._rng.random() * 256)]
            self._wait(lane, self._draw(lane, tick), tick)

    def _cancel(self, job: SimJob, tick: int) -> None:
        """Let its owner change their mind about a waiting job."""
        if not job.blocked:
            lane = self.lanes[job.pool]
            self._leave(lane, job, bisect_left(lane.queue, (-job.weight, job.number)))
            self._later(tick + LISTED_AFTER_END, job, "gone")
            job.state, job.reason, job.end = JobState.CANCELLED, None, tick

    def _review(self, tick: int) -> None:
        """Look at one hundredth of what waits: priorities have grown, estimates moved."""
        count = len(self.waiting)
        if not count:
            return
        for _ in range(max(1, count // 100)):
            self._cursor = (self._cursor + 1) % count
            job = self.waiting[self._cursor]
            self._changes.jobs[job.number] = job
        if self._rng.random() < min(0.3, count / 20000) and not job.tasks:
            self._cancel(job, tick)
