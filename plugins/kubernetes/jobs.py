"""Records of jobs: one for each tree of job objects and pods. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from console.model import ArrayPart, Job, JobState
from console.nodeset import fold
from plugins.kubernetes.board import Board, job_id
from plugins.kubernetes.pods import JobKey, Pod
from plugins.kubernetes.queues import Admission, Gang
from plugins.kubernetes.works import Work

OVER = frozenset((JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.TIMEOUT))
_RANKS_SHOWN = 64
_REASON = 300
_MISSING_USER = "Kubernetes keeps no owner of a job; user_label in the configuration names a label that does"


def is_running(pod: Pod) -> bool:
    """Whether a pod does what it is there for: a phase of Running also covers containers that wait to be restarted."""
    return pod.phase == "Running" and pod.word in ("Running", "Terminating")


def waits(pod: Pod) -> bool:
    """Whether a pod has not ended and does not run."""
    return pod.phase not in ("Succeeded", "Failed") and not is_running(pod)


class JobMaker:
    """Makes records of the jobs on a board."""

    def __init__(self, cluster: str, board: Board) -> None:
        self._cluster = cluster
        self._board = board

    def record(self, key: JobKey) -> Job | None:
        """Return the record of a listed job; None when it is none (any more)."""
        board = self._board
        pods = board.pods_of(key)
        if not board.is_listed(key, pods):
            return None
        works = list(board.parts(key))
        work = works[0] if works and works[0].key == key else None
        admission = board.admission_of(key)
        gang = board.gang_of(pods)
        state = _state(work, works, pods, admission)
        nodes = tuple(dict.fromkeys(pod.node for pod in pods if pod.node is not None))
        holding = [pod for pod in pods if pod.holds]
        started = _started(work, pods) if state is not JobState.PENDING else None
        user = (work.user if work else "") or next((pod.user for pod in pods if pod.user), "")
        counted = holding if state not in OVER and holding else []
        return Job(
            id=job_id(key),
            cluster=self._cluster,
            name=key[2],
            user=user or None,
            account=key[1],
            state=state,
            scheduler_state=_word(work, pods),
            reason=_reason(state, work, pods, admission, gang),
            queue=_queue(key, work, pods, admission, gang),
            nodes=fold(nodes) or None,
            node_names=nodes,
            node_count=len(nodes) or None,
            cpus=_sum(work, counted, pods, "millicores"),
            memory_bytes=_sum(work, counted, pods, "memory_bytes"),
            accelerators=self._accelerators(work, counted, pods),
            accelerator_model=self._model(work, nodes),
            submitted_at=_submitted(work, pods),
            started_at=started,
            ends_at=_ends(state, work, pods, started),
            time_limit_s=work.limit_s if work else None,
            priority=_priority(pods, admission),
            array=_array(key, work, pods),
            exit_code=_exit_code(state, pods),
            detail=_detail(key, pods, admission, gang),
            missing={} if user else {"user": _MISSING_USER},
        )

    def _accelerators(self, work: Work | None, holding: Sequence[Pod], pods: Sequence[Pod]) -> int:
        """Return what it holds; where nothing runs, what it asks for."""
        counted = holding or pods
        found = self._board.accelerators_of(counted)
        if holding or work is None:
            return found
        return max(found, work.accelerators)

    def _model(self, work: Work | None, nodes: Sequence[str]) -> str | None:
        for name in nodes[:1]:
            if (facts := self._board.nodes.get(name)) is not None and facts.model:
                return facts.model
        return (work.model if work else "") or None


def _state(work: Work | None, works: Sequence[Work], pods: Sequence[Pod], admission: Admission | None) -> JobState:
    if work is not None and work.state is not None:
        return work.state
    if work is not None and work.deleted:
        return JobState.COMPLETING
    if any(is_running(pod) for pod in pods):
        if all(pod.word == "Terminating" for pod in pods if is_running(pod)):
            return JobState.COMPLETING
        return JobState.RUNNING
    if admission is not None and not admission.active:
        return JobState.HELD
    if work is not None and work.suspended:
        if admission is not None or work.queue:
            return JobState.PENDING
        return JobState.SUSPENDED if work.started is not None else JobState.HELD
    if work is None and pods and not any(part.state is None for part in works):
        if any(pod.phase == "Failed" for pod in pods):
            return JobState.FAILED if all(pod.phase in ("Succeeded", "Failed") for pod in pods) else JobState.PENDING
        if all(pod.phase == "Succeeded" for pod in pods):
            return JobState.COMPLETED
    return JobState.PENDING


def words(pods: Sequence[Pod]) -> str:
    """Return how many pods are in which state: `3 Running, 13 Unschedulable`."""
    counts = Counter(pod.word for pod in pods)
    return ", ".join(f"{count} {word}" for word, count in counts.most_common(6))


def _word(work: Work | None, pods: Sequence[Pod]) -> str | None:
    if work is not None and work.state is not None and work.word:
        return work.word
    if work is not None and work.suspended:
        return work.word or "Suspended"
    if len({pod.word for pod in pods}) == 1:
        return pods[0].word
    return words(pods) or (work.word if work else "") or None


def telling_pod(pods: Sequence[Pod]) -> Pod | None:
    """Return the pod that says best why a job does not run: one that waits with a reason, else one that failed."""
    waiting = [pod for pod in pods if waits(pod)]
    for candidates in (waiting, [pod for pod in pods if pod.phase == "Failed"]):
        said = [pod for pod in candidates if pod.message]
        if said or candidates:
            return (said or candidates)[0]
    return None


def _reason(
    state: JobState, work: Work | None, pods: Sequence[Pod], admission: Admission | None, gang: Gang | None
) -> str | None:
    text = _why(state, work, pods, admission, gang)
    return text[:_REASON] or None


def _why(
    state: JobState, work: Work | None, pods: Sequence[Pod], admission: Admission | None, gang: Gang | None
) -> str:
    if state in OVER:
        pod = telling_pod(pods) if state is not JobState.COMPLETED else None
        own = _joined(work.word, work.message) if work is not None and state is not JobState.COMPLETED else ""
        return "; ".join(part for part in (own, _joined(pod.word, pod.message) if pod else "") if part)
    if work is not None and work.suspended and not any(is_running(pod) for pod in pods):
        if admission is not None and not admission.active:
            return "held: spec.active of its workload is false"
        if admission is not None and not admission.admitted:
            return _joined(admission.reason, admission.message) or "waits for its queue"
        return "suspended" if admission is None and not work.queue else "suspended: waits for its queue"
    pod = telling_pod(pods)
    if pod is None or not waits(pod):
        return absent(work)
    said = _joined(pod.word, pod.message)
    if gang is not None and gang.message and pod.word in ("Pending", "Unschedulable"):
        said = _joined("gang", gang.message)
    waiting = sum(1 for each in pods if waits(each))
    return said if waiting == len(pods) else f"{waiting} of {len(pods)} pods wait: {said}"


def absent(work: Work | None) -> str:
    """Say that pods are missing that nobody could create; why, only events tell."""
    if work is None or work.key[0] != "job" or work.tasks is None or work.active is None:
        return ""
    wanted = work.tasks if work.completions is None else min(work.tasks, work.completions - (work.succeeded or 0))
    if work.active >= wanted:
        return ""
    return f"{wanted - work.active} of {wanted} pods could not be created"


def _joined(word: str, message: str) -> str:
    return f"{word}: {message}" if word and message and not message.startswith(word) else message or word


def _queue(
    key: JobKey, work: Work | None, pods: Sequence[Pod], admission: Admission | None, gang: Gang | None
) -> str | None:
    name = (admission.queue if admission else "") or (work.queue if work else "")
    name = name or next((pod.queue for pod in pods if pod.queue), "")
    if name and key[0] != "vcjob":
        return f"{key[1]}/{name}"
    return name or (gang.queue if gang else "") or None


def _sum(work: Work | None, holding: Sequence[Pod], pods: Sequence[Pod], field: str) -> int | None:
    total: int = sum(getattr(pod, field) for pod in holding or pods)
    if not holding and work is not None:
        total = max(total, getattr(work, field))
    return (math.ceil(total / 1000) if field == "millicores" else total) or None


def _submitted(work: Work | None, pods: Sequence[Pod]) -> float | None:
    if work is not None:
        return work.created
    return min((pod.created for pod in pods if pod.created is not None), default=None)


def _started(work: Work | None, pods: Sequence[Pod]) -> float | None:
    if work is not None and work.started is not None:
        return work.started
    return min((pod.started for pod in pods if pod.started is not None), default=None)


def _ends(state: JobState, work: Work | None, pods: Sequence[Pod], started: float | None) -> float | None:
    if state in OVER:
        ended = work.ended if work is not None else None
        return ended or max((pod.ended for pod in pods if pod.ended is not None), default=None)
    if started is not None and work is not None and work.limit_s is not None:
        return started + work.limit_s
    return None


def _priority(pods: Sequence[Pod], admission: Admission | None) -> int | None:
    if admission is not None:
        return admission.priority
    return max((pod.priority for pod in pods if pod.priority is not None), default=None)


def _array(key: JobKey, work: Work | None, pods: Sequence[Pod]) -> ArrayPart | None:
    if work is None or not work.indexed or work.completions is None or work.completions < 2:
        return None
    if work.tasks is None or work.tasks >= work.completions:
        return None  # all its pods run at the same time: ranks of one job, not jobs of an array
    running = sum(1 for pod in pods if is_running(pod)) if pods else work.ready or 0
    done = (work.succeeded or 0) if work.state is None else work.completions
    pending = max(work.completions - done - running, 0)
    return ArrayPart(id=job_id(key), tasks=work.completions, running=running, pending=pending)


def _exit_code(state: JobState, pods: Sequence[Pod]) -> int | None:
    if state not in OVER:
        return None
    codes = [pod.exit_code for pod in pods if pod.exit_code is not None]
    return next((code for code in codes if code), codes[0] if codes else None)


def _detail(key: JobKey, pods: Sequence[Pod], admission: Admission | None, gang: Gang | None) -> dict[str, str]:
    found = {"kind": key[0], "namespace": key[1], "pods": words(pods)}
    placed = [pod for pod in pods if pod.node is not None]
    if any(pod.rank is not None for pod in placed):
        ranks = [f"{rank_name(pod)} {pod.node}" for pod in placed[:_RANKS_SHOWN]]
        more = f", and {len(placed) - _RANKS_SHOWN} more" if len(placed) > _RANKS_SHOWN else ""
        found["ranks"] = ", ".join(ranks) + more
    restarts = sum(pod.restarts for pod in pods)
    if restarts:
        found["restarts"] = str(restarts)
    if admission is not None:
        where = f" by {admission.cluster_queue}" if admission.cluster_queue else ""
        word = "admitted" if admission.admitted else "quota reserved" if admission.reserved else "waits"
        found["Kueue"] = f"{word}{where}" + (f": {admission.message}" if admission.message else "")
    if gang is not None:
        members = f", needs {gang.members} together" if gang.members else ""
        found["gang"] = f"{gang.phase or 'no phase yet'}{members}" + (f": {gang.message}" if gang.message else "")
    return {name: text for name, text in found.items() if text}


def rank_name(pod: Pod) -> str:
    """Return what a pod is called among those of its job: `0`, `worker 3`, else its own name."""
    if pod.rank is None:
        return f"{pod.role} {pod.name}".strip() if pod.role else pod.name
    return f"{pod.role} {pod.rank}".strip()
