"""What plans are made of: nodes, the pods on them, and what protects or loses those. As the server sent it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from console.model import Job, Node
from console.text import clean
from plugins.kubernetes.objects import Meta, Struct, WorkObject
from plugins.kubernetes.pods import JobKey

_MIRROR = "kubernetes.io/config.mirror"
_BACKOFF_LIMIT = 6
"""Of a Job that names none."""
_DISRUPTION = "DisruptionTarget"


class Volume(Struct, frozen=True):
    """A volume of a pod, as far as it matters whether it outlives the pod."""

    name: str = ""
    empty_dir: dict[str, Any] | None = None


class HeldSpec(Struct, frozen=True):
    """`spec` of a pod, as far as evicting it goes."""

    node_name: str | None = None
    termination_grace_period_seconds: int | None = None
    volumes: list[Volume] | None = None


class HeldStatus(Struct, frozen=True):
    """`status` of the same."""

    phase: str = ""


class HeldPod(Struct, frozen=True):
    """A pod on a node that is drained."""

    metadata: Meta = Meta()
    spec: HeldSpec = HeldSpec()
    status: HeldStatus = HeldStatus()

    @property
    def name(self) -> str:
        """`namespace/name`"""
        return clean(f"{self.metadata.namespace}/{self.metadata.name}", limit=320)

    @property
    def stays(self) -> bool:
        """Whether it is none that a drain evicts."""
        owner = self.metadata.owner
        return (
            (owner is not None and owner.kind == "DaemonSet")
            or _MIRROR in (self.metadata.annotations or {})
            or self.status.phase in ("Succeeded", "Failed")
            or self.metadata.deletion_timestamp is not None
        )

    @property
    def job(self) -> tuple[str, str] | None:
        """Return (namespace, name) of the Job that would start it again, counting it as a failure."""
        owner = self.metadata.owner
        of_job = owner is not None and owner.kind == "Job" and owner.api_version == "batch/v1"
        return (self.metadata.namespace, owner.name) if of_job and owner is not None else None


class HeldNodeSpec(Struct, frozen=True):
    """`spec` of a node, as its cordon needs it."""

    unschedulable: bool | None = None


class HeldNode(Struct, frozen=True):
    """A node as its cordon needs it."""

    metadata: Meta = Meta()
    spec: HeldNodeSpec = HeldNodeSpec()


class Expression(Struct, frozen=True):
    """One of `matchExpressions`."""

    key: str = ""
    operator: str = ""
    values: list[str] | None = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels are as it wants them."""
        has, listed = self.key in labels, labels.get(self.key) in (self.values or ())
        return {"In": listed, "NotIn": not listed, "Exists": has, "DoesNotExist": not has}.get(self.operator, False)


class Selector(Struct, frozen=True):
    """A label selector; an empty one selects everything."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Expression] | None = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects what has these labels."""
        wanted = (self.match_labels or {}).items()
        return all(labels.get(key) == value for key, value in wanted) and all(
            each.matches(labels) for each in self.match_expressions or ()
        )


class BudgetSpec(Struct, frozen=True):
    """`spec` of a PodDisruptionBudget."""

    selector: Selector | None = None


class BudgetStatus(Struct, frozen=True):
    """`status` of the same."""

    disruptions_allowed: int = 0


class Budget(Struct, frozen=True):
    """A PodDisruptionBudget."""

    metadata: Meta = Meta()
    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()

    @property
    def name(self) -> str:
        """`namespace/name`"""
        return clean(f"{self.metadata.namespace}/{self.metadata.name}", limit=320)

    def protects(self, pod: HeldPod) -> bool:
        """Whether it is asked before a pod is evicted: pods that do not run yet are not protected."""
        meta, selector = pod.metadata, self.spec.selector
        same = meta.namespace == self.metadata.namespace and pod.status.phase != "Pending"
        return same and selector is not None and selector.matches(meta.labels or {})


class PodCondition(Struct, frozen=True):
    """One of `onPodConditions`."""

    type: str = ""
    status: str | None = None


class FailureRule(Struct, frozen=True):
    """One of the rules of a `podFailurePolicy`."""

    action: str = ""
    on_pod_conditions: list[PodCondition] | None = None


class FailurePolicy(Struct, frozen=True):
    """What a Job makes of pods that fail."""

    rules: list[FailureRule] | None = None


class RetrySpec(Struct, frozen=True):
    """`spec` of a Job, as far as it says how many pods may fail."""

    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    pod_failure_policy: FailurePolicy | None = None


class RetryStatus(Struct, frozen=True):
    """`status` of the same."""

    failed: int | None = None


class Retries(Struct, frozen=True):
    """A Job, as far as it says whether it outlives the loss of pods."""

    spec: RetrySpec = RetrySpec()
    status: RetryStatus = RetryStatus()

    def ends_with(self, count: int) -> bool:
        """Whether the Job fails when so many more of its pods are evicted."""
        policy = self.spec.pod_failure_policy
        for rule in policy.rules or () if policy is not None else ():
            if any(each.type == _DISRUPTION for each in rule.on_pod_conditions or ()):
                if rule.action in ("Ignore", "FailJob"):
                    return rule.action == "FailJob"
                break
        if self.spec.backoff_limit_per_index is not None:
            return False
        limit = self.spec.backoff_limit
        return (self.status.failed or 0) + count > (_BACKOFF_LIMIT if limit is None else limit)


class NodeTarget(msgspec.Struct, frozen=True):
    """One node with what is on it now, asked of the server."""

    node: Node
    held: HeldNode
    pods: Sequence[HeldPod] = ()
    jobs: Mapping[str, str] = {}
    """`namespace/name` of a pod to the id of the job that it belongs to."""

    @property
    def evicted(self) -> list[HeldPod]:
        """The pods that a drain evicts."""
        return [pod for pod in self.pods if not pod.stays]


class Ties(msgspec.Struct, frozen=True):
    """What pods that are to be evicted hang on."""

    budgets: Sequence[Budget] = ()
    retries: Mapping[tuple[str, str], Retries] = {}
    """(namespace, name) of a Job to how much it takes."""


class Managed(msgspec.Struct, frozen=True):
    """An object that is changed, and where it is."""

    path: str
    object: WorkObject


class JobTarget(msgspec.Struct, frozen=True):
    """One job with its own object, and Kueue's view of it where that decides over it."""

    job: Job
    own: Managed
    key: JobKey
    workload: Managed | None = None
    queued: bool = False
    """Kueue decides over it, whether its workload is known or not."""
