"""The plugin itself: is there a Slurm here, and how is it opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from console.errors import ConfigError
from console.plugin import API_VERSION, Backend, Detection, Settings, Site
from console.text import clean
from plugins.slurm.settings import SlurmSettings

_PLACES = (
    "/etc/slurm/slurm.conf",
    "/run/slurm/conf/slurm.conf",
    "/etc/slurm-llnl/slurm.conf",
    "/usr/local/etc/slurm.conf",
    "/opt/slurm/etc/slurm.conf",
)
"""Where releases and distributions look; /run/slurm/conf is what slurmd and sackd keep of a configless cluster."""
_CONF_BYTES = 1 << 20


def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (path, how it is known) in the order in which Slurm's commands look."""
    if path := environ.get("SLURM_CONF"):
        yield path, "SLURM_CONF"
        return
    for path in _PLACES:
        yield path, "found"


class SlurmPlugin:
    """Finds the Slurm of this host and opens any other by its settings."""

    api_version = API_VERSION
    name = "slurm"
    summary = "Slurm clusters: nodes, queues and jobs by squeue and scontrol, slurmrestd or pyslurm, here or over SSH"
    settings_type: type[Settings] = SlurmSettings

    async def detect(self, site: Site) -> list[Detection]:
        """See `Plugin`: the commands must be there and a slurm.conf; slurmctld is not asked."""
        squeue, scontrol = site.which("squeue"), site.which("scontrol")
        if squeue is None or scontrol is None:
            return []
        for path, how in _candidates(site.environ):
            text = _read(path)
            if text is None:
                continue
            evidence = f"squeue at {clean(squeue)}, slurm.conf at {clean(path)}"
            if how == "SLURM_CONF":
                evidence += " by SLURM_CONF"
            # Slurm's commands look for themselves in the place they were built for, and in SLURM_CONF; in others not.
            settings = {} if how == "SLURM_CONF" or path == _PLACES[0] else {"slurm_conf": path}
            return [Detection(cluster=_name(text), evidence=evidence, settings=settings)]
        if server := site.environ.get("SLURM_CONF_SERVER"):
            evidence = f"squeue at {clean(squeue)}, SLURM_CONF_SERVER={clean(server)}"
            return [Detection(cluster="slurm", evidence=evidence)]
        return []

    def open(self, settings: Any, site: Site) -> Backend:
        """See `Plugin`."""
        from plugins.slurm.backend import SlurmBackend

        if not isinstance(settings, SlurmSettings):
            raise ConfigError("these are not settings of Slurm", site.cluster, 'kind = "slurm"')
        return SlurmBackend(settings, site)


def _name(text: str) -> str:
    """Return the name that the cluster has for itself, whether slurmctld answers or not."""
    from plugins.slurm.parse import conf_cluster_name

    return conf_cluster_name(text) or "slurm"


def _read(path: str) -> str | None:
    """Return the text of a slurm.conf, "" when it may not be read, None when there is none."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_CONF_BYTES).decode("utf-8", "replace")
    except PermissionError:
        return ""
    except (OSError, ValueError):
        return None
