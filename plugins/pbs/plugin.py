"""The plugin itself: is there a PBS here, and how is it opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from console.errors import ConfigError
from console.plugin import API_VERSION, Backend, Detection, Settings, Site
from console.text import clean
from plugins.pbs.settings import PbsSettings

_CONF = "/etc/pbs.conf"
_CONF_BYTES = 1 << 16


class PbsPlugin:
    """Finds the PBS of this host and opens any other by its settings."""

    api_version = API_VERSION
    name = "pbs"
    summary = "PBS Pro and OpenPBS: hosts, queues, reservations and jobs through qstat and pbsnodes, here or over SSH"
    settings_type: type[Settings] = PbsSettings

    async def detect(self, site: Site) -> list[Detection]:
        """See `Plugin`: a pbs.conf and its qstat must be there; pbs_server is not asked.

        A qstat alone says nothing: Torque, Grid Engine and Slurm's emulation have one too.
        """
        named = site.environ.get("PBS_CONF_FILE")
        path = named or _CONF
        conf = _read(path)
        if conf is None:
            return []
        settings: dict[str, Any] = {"pbs_conf": named} if named and named.startswith("/") else {}
        qstat = site.which("qstat")
        home = conf.get("PBS_EXEC", "")
        if qstat is None and home.startswith("/") and os.access(f"{home}/bin/qstat", os.X_OK):
            qstat, settings["bin"] = f"{home}/bin/qstat", f"{home}/bin"
        if qstat is None:
            return []
        server = site.environ.get("PBS_SERVER") or conf.get("PBS_SERVER") or conf.get("PBS_PRIMARY", "")
        cluster = clean(server.partition(",")[0].partition(".")[0], limit=64)
        evidence = f"qstat at {clean(qstat)}, pbs.conf at {clean(path)}"
        if named:
            evidence += " by PBS_CONF_FILE"
        return [Detection(cluster=cluster or "pbs", evidence=evidence, settings=settings)]

    def open(self, settings: Any, site: Site) -> Backend:
        """See `Plugin`."""
        from plugins.pbs.backend import PbsBackend

        if not isinstance(settings, PbsSettings):
            raise ConfigError("these are not settings of PBS", site.cluster, 'kind = "pbs"')
        return PbsBackend(settings, site)


def _read(path: str) -> dict[str, str] | None:
    """Return the settings of a pbs.conf, none when it may not be read; None when there is no such file."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(_CONF_BYTES).decode("utf-8", "replace")
    except PermissionError:
        return {}
    except (OSError, ValueError):
        return None
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            found[key.strip()] = value.strip().strip('"')
    return found
