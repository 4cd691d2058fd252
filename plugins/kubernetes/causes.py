"""Why a job does not run, or how it ended: the causes in plain words, the deciding one first. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from console.model import Cause, Job, JobState
from console.text import clean
from plugins.kubernetes.jobs import OVER, absent, is_running, waits
from plugins.kubernetes.objects import EventObject
from plugins.kubernetes.pending import explained, over_quota, scheduling
from plugins.kubernetes.pods import UNSEEN, Pod
from plugins.kubernetes.queues import Admission, Gang
from plugins.kubernetes.works import Work

_BACKOFF = {
    "ImagePullBackOff": "the image cannot be pulled",
    "ErrImagePull": "the image cannot be pulled",
    "InvalidImageName": "the name of the image cannot be read",
    "CrashLoopBackOff": "the program ends again and again, and is started more and more rarely",
    "CreateContainerConfigError": "a config map or secret that it names does not exist",
    "CreateContainerError": "the container cannot be created",
    "ContainerCreating": "its image is pulled or its volumes are mounted",
    "OOMKilled": "it used more memory than its limit and was killed",
    "Evicted": "the node evicted it",
    "DeadlineExceeded": "it ran longer than activeDeadlineSeconds",
    "BackoffLimitExceeded": "it failed more often than backoffLimit allows",
    "Terminating": "it is being deleted and has not ended yet",
}
_STEPS = {
    "ImagePullBackOff": "check the name of the image and imagePullSecrets",
    "ErrImagePull": "check the name of the image and imagePullSecrets",
    "CrashLoopBackOff": "read its log",
    "CreateContainerConfigError": "kubectl describe pod names what is absent",
    "OOMKilled": "raise the memory limit, or use less",
    "Evicted": "see the conditions of its node; ask for the disk and memory that it uses",
    "BackoffLimitExceeded": "read the log of a pod that failed",
    "ContainerCreating": "wait; when it lasts: kubectl describe pod",
}


def causes_of(
    job: Job,
    work: Work | None,
    pods: Sequence[Pod],
    pod: Pod | None,
    admission: Admission | None,
    gang: Gang | None,
    events: Sequence[EventObject],
    unknown: str | None,
) -> tuple[Cause, ...]:
    """Return the causes in the order in which they decide. `pod` is the one that tells most, `unknown` says why
    Kueue's view of the job is not known (None: it is)."""
    if job.state is JobState.COMPLETED:
        return ()
    if job.state in OVER:
        return tuple(_ended(work, pods))
    if work is not None and work.suspended and not any(is_running(each) for each in pods):
        return (_suspended(work, admission, unknown),)
    refused = _refused(work, events) if absent(work) or not pods else None
    if refused is not None:
        return (refused, *(_waiting(pod, gang) if pod is not None and waits(pod) else ()))
    if pod is None or not waits(pod):
        return ()
    return _waiting(pod, gang)


def _suspended(work: Work, admission: Admission | None, unknown: str | None) -> Cause:
    if admission is None:
        if work.queue and unknown is not None:
            return Cause(
                code="Suspended",
                text=f"it is suspended until queue {work.queue} admits it; what that waits for is not known: {unknown}",
                next_step="ask whoever runs the queue",
            )
        if work.queue:
            return Cause(
                code="Suspended",
                text=f"it is suspended until queue {work.queue} admits it, and Kueue has not looked at it",
                next_step="does that LocalQueue exist, and does Kueue run? kubectl get localqueue,workload",
            )
        patch = '{"spec":{"suspend":false}}'
        step = f"kubectl patch {work.key[0]} {work.key[2]} -n {work.key[1]} --type merge -p '{patch}'"
        return Cause(code="Suspended", text="somebody suspended it", next_step=step)
    if not admission.active:
        return Cause(code="Inactive", text="its workload is held: spec.active is false", next_step="activate it")
    text = admission.message or f"Kueue has not admitted it to queue {admission.queue} yet"
    step = "wait for quota in its queue, or ask for less"
    return Cause(code=admission.reason or "QuotaReserved=False", text=text, next_step=step)


def _refused(work: Work | None, events: Sequence[EventObject]) -> Cause | None:
    """Return why its pods could not be created: only an event on the job tells."""
    event = next((each for each in reversed(events) if each.reason == "FailedCreate"), None)
    if event is None:
        if not absent(work):
            return None
        text = f"{absent(work)}; its event is gone (they are kept for an hour)"
        return Cause(code="FailedCreate", text=text, next_step="kubectl describe tells more at the next try")
    message = clean(event.message, limit=600)
    quota = over_quota(message)
    if quota is None:
        return Cause(code="FailedCreate", text=message, next_step="mend what is said, it is tried again by itself")
    parts = [
        f"{name.removeprefix('requests.')}: asked {asked}, "
        f"used {quota.used.get(name, '?')} of {quota.limit.get(name, '?')}"
        for name, asked in quota.asked.items()
    ]
    text = f"its pods would exceed quota {quota.name} of the namespace ({'; '.join(parts)})"
    step = "wait until others of the namespace end, ask for less, or ask for a larger quota"
    return Cause(code="exceeded quota", text=text, next_step=step)


def _waiting(pod: Pod, gang: Gang | None) -> tuple[Cause, ...]:
    """Return why a pod that exists does not run."""
    where = f" on {pod.node}" if pod.node else ""
    if pod.node is not None:
        text = _BACKOFF.get(pod.word, pod.word)
        said = f": {pod.message}" if pod.message else ""
        step = _STEPS.get(pod.word, "kubectl describe pod tells more")
        return (Cause(code=pod.word, text=f"{text}{where}{said}", next_step=step),)
    if gang is not None and gang.message:
        step = "wait until all of its pods fit at once; see the queue of its scheduler"
        return (Cause(code="Unschedulable", text=f"its gang waits: {gang.message}", next_step=step), *_unseen(pod))
    if pod.word == "SchedulingGated":
        text = f"a scheduling gate holds it back: {pod.message.removeprefix('held by ')}"
        return (Cause(code="SchedulingGated", text=text, next_step="whoever set the gate must take it away"),)
    if pod.word == "Unschedulable":
        found = scheduling(pod.message)
        return found.causes or (explained(pod.message or "Unschedulable"),)
    return _unseen(pod) or (Cause(code=pod.word, text=pod.message or "it has no node yet", next_step="wait"),)


def _unseen(pod: Pod) -> tuple[Cause, ...]:
    """Return that no scheduler has looked at a pod: it has no condition at all."""
    if not pod.message.startswith(UNSEEN):
        return ()
    step = "name a scheduler that runs in spec.schedulerName, or start it"
    return (Cause(code="no scheduler", text=pod.message, next_step=step),)


def _ended(work: Work | None, pods: Sequence[Pod]) -> Iterable[Cause]:
    failed = [pod for pod in pods if pod.phase == "Failed"]
    counts = Counter((pod.word, pod.message, pod.exit_code) for pod in failed)
    for (word, message, code), count in counts.most_common(5):
        said = f": {message}" if message else f", exit code {code}" if code is not None else ""
        many = f"{count} pods: " if count > 1 else ""
        text = f"{many}{_BACKOFF.get(word, word)}{said}"
        yield Cause(code=word, text=text, next_step=_STEPS.get(word, "read its log"))
    if work is not None and work.word:
        text = _BACKOFF.get(work.word, work.message or work.word)
        yield Cause(code=work.word, text=text, next_step=_STEPS.get(work.word, ""))


def summary(job: Job, work: Work | None, pods: Sequence[Pod], causes: tuple[Cause, ...]) -> str:
    """Return one sentence for people."""
    waiting = sum(1 for pod in pods if waits(pod))
    first = causes[0].text if causes else ""
    if job.state is JobState.COMPLETED:
        return "It completed."
    if job.state in OVER:
        return f"It ended ({job.state}): {first}." if first else f"It ended ({job.state})."
    if job.state is JobState.RUNNING:
        if not causes:
            return "It runs."
        wanted = max(len(pods), work.tasks or 0) if work is not None else len(pods)
        return f"It runs with {len(pods) - waiting} of {wanted} pods; the others wait: {first}."
    return f"It waits: {first}." if first else "It waits, and nobody has said why yet."
