"""What a `[[cluster]]` table with `kind = "kubernetes"` may say."""

from __future__ import annotations

import enum

from console.plugin import Settings


class AddressRule(enum.StrEnum):
    """By which of its names our own probe reaches a node."""

    NONE = "none"
    """Not at all: who may use a cluster may rarely log in to its nodes."""
    NAME = "name"
    """The name of the node object."""
    HOSTNAME = "hostname"
    INTERNAL_IP = "internal-ip"
    EXTERNAL_IP = "external-ip"


class KubernetesSettings(Settings):
    """Settings of one cluster; everything has a default that does what kubectl does."""

    context: str | None = None
    """Context of the kubeconfig; None: the current one."""
    kubeconfig: str | None = None
    """Path, or several with colons between them; None: KUBECONFIG, else ~/.kube/config, else the pod that we are in."""
    namespaces: tuple[str, ...] = ()
    """Namespaces to read where not all may be listed, beside the one of the context."""
    accelerators: tuple[str, ...] = ()
    """Further resources that are accelerators, beside those of NVIDIA, AMD, Intel and Habana."""
    user_label: str | None = None
    """Label or annotation of a job that names its owner; Kubernetes itself keeps none."""
    address: AddressRule = AddressRule.NONE
    finished_hours: float = 24.0
    """How long jobs that ended stay in the list, as long as Kubernetes keeps them."""
    timeout_s: float = 10.0
    """How long the API server may take for one answer (one page of a list)."""
