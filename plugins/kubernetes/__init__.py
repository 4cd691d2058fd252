"""Kubernetes: nodes, jobs of every usual kind, queues, explanations and logs, kept up to date by watches."""

from plugins.kubernetes.plugin import KubernetesPlugin

plugin = KubernetesPlugin()
