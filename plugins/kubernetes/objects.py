"""The objects of the API, with the fields that are used and no others: decoding skips the rest unread. Pure.

Everything here is as the server sent it; `console.text.clean` is called where records are made of it. Objects of
one kind come as `Listing` (a page of a list) and `Event` (a line of a watch) with the items still as bytes, because
one broken object of a custom resource must not cost the others.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Struct(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Base: field names in camelCase, everything has a default."""


class Owner(Struct, frozen=True):
    """One of `ownerReferences`."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Meta(Struct, frozen=True):
    """`metadata`."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[Owner] | None = None

    @property
    def owner(self) -> Owner | None:
        """Return the owner that controls it."""
        return next((owner for owner in self.owner_references or () if owner.controller), None)


class Condition(Struct, frozen=True):
    """One of `status.conditions`."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None
    last_heartbeat_time: str | None = None


# ---- nodes


class Taint(Struct, frozen=True):
    """Keeps pods away that do not tolerate it."""

    key: str = ""
    value: str | None = None
    effect: str = ""
    time_added: str | None = None


class NodeSpec(Struct, frozen=True):
    """`spec` of a node."""

    unschedulable: bool | None = None
    taints: list[Taint] | None = None
    provider_id: str | None = msgspec.field(name="providerID", default=None)


class Address(Struct, frozen=True):
    """A name or address of a node."""

    type: str = ""
    address: str = ""


class NodeInfo(Struct, frozen=True):
    """What the kubelet says of itself."""

    kubelet_version: str = ""
    os_image: str = ""
    kernel_version: str = ""
    container_runtime_version: str = ""


class NodeStatus(Struct, frozen=True):
    """`status` of a node."""

    capacity: dict[str, str] | None = None
    allocatable: dict[str, str] | None = None
    conditions: list[Condition] | None = None
    addresses: list[Address] | None = None
    node_info: NodeInfo | None = None


class NodeObject(Struct, frozen=True):
    """v1 Node."""

    metadata: Meta = Meta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


# ---- pods


class Resources(Struct, frozen=True):
    """`resources` of a container."""

    requests: dict[str, str | int | float] | None = None
    limits: dict[str, str | int | float] | None = None
    claims: list[dict[str, str]] | None = None


class Container(Struct, frozen=True):
    """A container of a pod template."""

    name: str = ""
    resources: Resources | None = None
    restart_policy: str | None = None


class Gate(Struct, frozen=True):
    """A scheduling gate."""

    name: str = ""


class PodSpec(Struct, frozen=True):
    """`spec` of a pod or of a pod template."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    node_name: str | None = None
    scheduler_name: str | None = None
    scheduling_gates: list[Gate] | None = None
    priority: int | None = None
    priority_class_name: str | None = None
    overhead: dict[str, str] | None = None
    node_selector: dict[str, str] | None = None


class Waiting(Struct, frozen=True):
    """State of a container that does not run yet, or again."""

    reason: str | None = None
    message: str | None = None


class Terminated(Struct, frozen=True):
    """State of a container that ended."""

    exit_code: int = 0
    reason: str | None = None
    message: str | None = None
    signal: int | None = None
    finished_at: str | None = None


class Running(Struct, frozen=True):
    """State of a container that runs."""

    started_at: str | None = None


class ContainerState(Struct, frozen=True):
    """One of three."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct, frozen=True):
    """One of `status.containerStatuses`."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState | None = None
    last_state: ContainerState | None = None


class PodStatus(Struct, frozen=True):
    """`status` of a pod."""

    phase: str = ""
    reason: str | None = None
    message: str | None = None
    start_time: str | None = None
    conditions: list[Condition] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    container_statuses: list[ContainerStatus] | None = None


class PodObject(Struct, frozen=True):
    """v1 Pod."""

    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


# ---- jobs of every kind: what they have in common, the rest stays a plain value


class WorkObject(Struct, frozen=True):
    """A Job, JobSet, PyTorchJob, RayJob, …: `spec` and `status` as they come."""

    metadata: Meta = Meta()
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


# ---- lists, watches


class ListMeta(Struct, frozen=True):
    """`metadata` of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class Listing(Struct, frozen=True):
    """A page of a list."""

    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


class Page(Struct, Generic[T], frozen=True):
    """The same with items of a kind that is nearly always whole: then they need not be looked at twice."""

    metadata: ListMeta = ListMeta()
    items: list[T] | None = None


class Event(Struct, frozen=True):
    """A line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: msgspec.Raw = msgspec.Raw(b"null")


class Versioned(Struct, frozen=True):
    """Any object, as far as its version."""

    metadata: Meta = Meta()


# ---- events of objects


class Involved(Struct, frozen=True):
    """What an event is about."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Series(Struct, frozen=True):
    """How often, in the newer shape."""

    count: int | None = None
    last_observed_time: str | None = None


class EventObject(Struct, frozen=True):
    """v1 Event, in both of its shapes."""

    metadata: Meta = Meta()
    involved_object: Involved = Involved()
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    series: Series | None = None


class EventList(Struct, frozen=True):
    """A list of events."""

    items: list[EventObject] = []


# ---- quotas


class QuotaStatus(Struct, frozen=True):
    """`status` of a ResourceQuota."""

    hard: dict[str, str] | None = None
    used: dict[str, str] | None = None


class QuotaObject(Struct, frozen=True):
    """v1 ResourceQuota."""

    metadata: Meta = Meta()
    status: QuotaStatus = QuotaStatus()


class QuotaList(Struct, frozen=True):
    """A list of quotas."""

    items: list[QuotaObject] = []


class ReviewStatus(Struct, frozen=True):
    """`status` of a SelfSubjectAccessReview."""

    allowed: bool = False
    reason: str = ""


class AccessReview(Struct, frozen=True):
    """The answer to `may I`."""

    status: ReviewStatus = ReviewStatus()


class UserInfo(Struct, frozen=True):
    """Who the server takes us for."""

    username: str = ""
    groups: list[str] = []


class SelfStatus(Struct, frozen=True):
    """`status` of a SelfSubjectReview."""

    user_info: UserInfo = UserInfo()


class SelfReview(Struct, frozen=True):
    """The answer to `who am I`."""

    status: SelfStatus = SelfStatus()


class Version(Struct, frozen=True):
    """The answer of /version."""

    git_version: str = ""
