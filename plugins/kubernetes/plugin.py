"""The plugin itself: is there a Kubernetes here, and how is it opened."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from console.errors import ConfigError, PluginError
from console.plugin import API_VERSION, Backend, Detection, Settings, Site
from console.text import clean
from plugins.kubernetes import kubeconfig
from plugins.kubernetes.settings import KubernetesSettings


class KubernetesPlugin:
    """Finds the current context of kubectl and opens any other by its settings."""

    api_version = API_VERSION
    name = "kubernetes"
    summary = "Kubernetes clusters: nodes, jobs of every usual kind, queues and logs, by watching the API server"
    settings_type: type[Settings] = KubernetesSettings

    async def detect(self, site: Site) -> list[Detection]:
        """See `Plugin`: reads the kubeconfig, or sees that we run in a pod; nobody is asked.

        Raises PluginError when there is one and the package to use it is not installed.
        """
        files = kubeconfig.paths(None, site.environ)
        config = kubeconfig.load(files)
        if config is not None and config.current:
            access = config.access()
            evidence = f"{access.origin}, {clean(access.server)}"
            name, settings = clean(config.current), {"context": config.current}
        elif (here := kubeconfig.in_cluster(site.environ)) is not None:
            evidence, name, settings = f"{here.origin}, {clean(here.server)}", "kubernetes", {}
        else:
            return []
        _need_package(evidence)
        return [Detection(cluster=_short(name), evidence=evidence, settings=settings)]

    def open(self, settings: Any, site: Site) -> Backend:
        """See `Plugin`. The kubeconfig is read when it is first used: it may be mended meanwhile."""
        from plugins.kubernetes.backend import KubernetesBackend

        if not isinstance(settings, KubernetesSettings):
            raise ConfigError("these are not settings of Kubernetes", site.cluster, 'kind = "kubernetes"')
        _need_package(site.cluster)
        return KubernetesBackend(settings, site)


def _need_package(where: str) -> None:
    """Raise PluginError when the official client is not installed; it is looked for, not imported."""
    if find_spec("kubernetes") is None:
        raise PluginError("the package kubernetes is not installed", where, kubeconfig.INSTALL_HINT)


def _short(context: str) -> str:
    """Return a name without the slashes and blanks that some clouds put into contexts: the last part of it."""
    last = context.rstrip("/").rpartition("/")[2]
    return "-".join(last.split()) or "kubernetes"
