"""Which kinds of objects are read, and where this server has them. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import msgspec

from console.text import clean

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
"""One answer names every resource of every group; servers before 1.27 answer with groups and versions only."""


class Role(enum.Enum):
    """What a kind is for."""

    NODE = "node"
    POD = "pod"
    WORK = "work"
    """Jobs: what is listed as a job, or belongs to one."""
    ADMISSION = "admission"
    """Kueue's Workload: the queue's view of a job."""
    QUEUE = "queue"
    GANG = "gang"
    """Pods that start together or not at all."""
    CLAIM = "claim"
    """Devices that pods hold by claims."""
    SLICE = "slice"
    """Devices that a driver gives out by claims."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kind that we know to read."""

    group: str
    plural: str
    kind: str
    role: Role
    short: str = ""
    """As ids of jobs call it, unique among jobs: `job`, `jobset`."""
    namespaced: bool = True


NODES = Wanted("", "nodes", "Node", Role.NODE, namespaced=False)
PODS = Wanted("", "pods", "Pod", Role.POD, "pod")
JOBS = Wanted("batch", "jobs", "Job", Role.WORK, "job")
WANTED = (
    NODES,
    PODS,
    JOBS,
    Wanted("jobset.x-k8s.io", "jobsets", "JobSet", Role.WORK, "jobset"),
    Wanted("kubeflow.org", "pytorchjobs", "PyTorchJob", Role.WORK, "pytorchjob"),
    Wanted("kubeflow.org", "mpijobs", "MPIJob", Role.WORK, "mpijob"),
    Wanted("kubeflow.org", "tfjobs", "TFJob", Role.WORK, "tfjob"),
    Wanted("trainer.kubeflow.org", "trainjobs", "TrainJob", Role.WORK, "trainjob"),
    Wanted("ray.io", "rayjobs", "RayJob", Role.WORK, "rayjob"),
    Wanted("ray.io", "rayclusters", "RayCluster", Role.WORK, "raycluster"),
    Wanted("leaderworkerset.x-k8s.io", "leaderworkersets", "LeaderWorkerSet", Role.WORK, "lws"),
    Wanted("batch.volcano.sh", "jobs", "Job", Role.WORK, "vcjob"),
    Wanted("scheduling.volcano.sh", "podgroups", "PodGroup", Role.GANG),
    Wanted("resource.k8s.io", "resourceclaims", "ResourceClaim", Role.CLAIM),
    Wanted("resource.k8s.io", "resourceslices", "ResourceSlice", Role.SLICE, namespaced=False),
    Wanted("kueue.x-k8s.io", "workloads", "Workload", Role.ADMISSION),
    Wanted("kueue.x-k8s.io", "localqueues", "LocalQueue", Role.QUEUE),
    Wanted("kueue.x-k8s.io", "clusterqueues", "ClusterQueue", Role.QUEUE, namespaced=False),
)
"""In the order in which they are shown in errors."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as one server has it."""

    wanted: Wanted
    version: str

    @property
    def name(self) -> str:
        """As RBAC and kubectl call it: `pods`, `workloads.kueue.x-k8s.io`."""
        return f"{self.wanted.plural}.{self.wanted.group}" if self.wanted.group else self.wanted.plural

    def path(self, namespace: str | None = None) -> str:
        """Return the path of its list; of one namespace, or (None) of all."""
        root = f"/apis/{self.wanted.group}/{self.version}" if self.wanted.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.wanted.plural}" if namespace else f"{root}/{self.wanted.plural}"


CORE = (Resource(NODES, "v1"), Resource(PODS, "v1"))
"""What every server has; it is not in /apis."""


ASSUMED = (*CORE, Resource(JOBS, "v1"))
"""What is tried where /apis may not be read."""


class _Name(msgspec.Struct, frozen=True):
    name: str = ""


class _Plural(msgspec.Struct, frozen=True):
    resource: str = ""
    verbs: list[str] = []


class _Version(msgspec.Struct, frozen=True):
    version: str = ""
    resources: list[_Plural] | None = None
    """None: not said, as by servers before 1.27."""


class _Group(msgspec.Struct, frozen=True):
    metadata: _Name = _Name()
    name: str = ""
    versions: list[_Version] = []


class _Groups(msgspec.Struct, frozen=True):
    items: list[_Group] = []
    groups: list[_Group] = []


def discovered(body: bytes) -> tuple[list[Resource], list[tuple[Wanted, str]]]:
    """Return what /apis says: the resources that are there, and (wanted, version) that must still be looked for.

    Versions come in the server's order of preference; the first that has the resource counts.
    msgspec.DecodeError when it is something else.
    """
    answer = msgspec.json.decode(body, type=_Groups)
    groups = {group.metadata.name or group.name: group for group in (*answer.items, *answer.groups)}
    found, unsure = list(CORE), []
    for wanted in WANTED:
        group = groups.get(wanted.group) if wanted.group else None
        for version in group.versions if group is not None else ():
            if version.resources is None:
                unsure.append((wanted, clean(version.version)))
                break
            if any(each.resource == wanted.plural and "watch" in each.verbs for each in version.resources):
                found.append(Resource(wanted, clean(version.version)))
                break
    return found, unsure


class _ResourceName(msgspec.Struct, frozen=True):
    name: str = ""


class _ResourceList(msgspec.Struct, frozen=True):
    resources: list[_ResourceName] = []


def has(body: bytes, wanted: Wanted) -> bool:
    """Whether an answer of /apis/GROUP/VERSION names the resource."""
    return any(each.name == wanted.plural for each in msgspec.json.decode(body, type=_ResourceList).resources)
