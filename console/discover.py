"""Which backends to open: those that are configured or, without any configuration, what is here.

Without configuration every plugin is asked what it finds (`detect`). A cluster stands before this host:
whoever types `qd` on a login node wants the cluster. This host alone is shown when nothing else is found, or
on request (`--cluster local`, or a `[[cluster]]` of kind `local`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from console import toml_source
from console.config import ClusterConfig, Config
from console.errors import ConfigError, PluginError, QuarterdeckError, UsageError
from console.plugin import Backend, Detection, Plugin, Settings, Site
from console.registry import Registry
from console.text import clean

DETECT_DEADLINE_S = 2.0
MOST_FOUND = 32
"""Clusters that one plugin may find; whoever has more names them in the configuration."""
NEVER_DETECTED = ("hosts", "simulated")
"""Built-in plugins that show only what they are asked for; they are not even imported to be asked."""
THIS_HOST = "local"


@dataclass(frozen=True, slots=True)
class Opening:
    """One backend to open: `opening.open(site)`."""

    cluster: str
    plugin: Plugin
    settings: Settings
    evidence: str
    """Why it is shown, in words."""
    origin: ClusterConfig | None = None
    """The configured table; None when it was found."""

    def open(self, site: Site) -> Backend:
        """Return the backend. Raises ConfigError with file and line, or PluginError when the plugin
        breaks."""
        try:
            return self.plugin.open(self.settings, site)
        except (ConfigError, UsageError) as error:
            if self.origin is None or self.origin.document is None:
                raise
            raise self.origin.error((), str(error), error.hint) from error
        except QuarterdeckError:
            raise
        except Exception as error:  # a stranger's code runs here: whatever it does costs this one backend
            what = f"cannot be opened: {type(error).__name__}: {error}"
            raise PluginError(clean(what), clean(f"plugin {self.plugin.name}"), "see `qd doctor`") from error


@dataclass(slots=True)
class Found:
    """What is to be opened, and what was noticed on the way."""

    openings: list[Opening] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


async def wanted(config: Config, registry: Registry, site: Site) -> Found:
    """Return the backends of this run.

    Raises ConfigError for a configured cluster that cannot be, UsageError for a `--cluster` that does not
    exist. A plugin that breaks while it is asked what is here costs one notice.
    """
    if config.clusters:
        return Found(configured(config, registry))
    candidates = [name for name in registry.names() if name not in (*NEVER_DETECTED, THIS_HOST)]
    if config.only == (THIS_HOST,):
        candidates = []
    found = await _detected(registry, site, candidates)
    if not found.openings or not all(_is_called(found.openings, name) for name in config.only):
        here = await _detected(registry, site, [THIS_HOST])
        found = Found(found.openings + here.openings, found.notices + here.notices)
    for name in config.only:
        if not _is_called(found.openings, name):
            raise _unknown(name, [opening.cluster for opening in found.openings])
    if config.only:
        named = (opening for opening in found.openings if {opening.cluster, opening.plugin.name} & {*config.only})
        found.openings = list(named)
    return found


def _is_called(openings: Sequence[Opening], name: str) -> bool:
    """Whether one of these is meant by a name: that of the cluster, or of the plugin that found it."""
    return any(name in (opening.cluster, opening.plugin.name) for opening in openings)


def configured(config: Config, registry: Registry) -> list[Opening]:
    """Return the configured clusters of this run, loaded and checked; errors as in `wanted`."""
    tables = {cluster.name: cluster for cluster in config.clusters}
    for name in config.only:
        if name not in tables:
            raise _unknown(name, list(tables))
    names = [name for name in tables if name in config.only] if config.only else list(tables)
    return [_configured(tables[name], registry) for name in names]


def _unknown(name: str, names: Sequence[str]) -> UsageError:
    from console.suggest import nearest

    close = nearest(name, names)
    hint = f"did you mean {close}? " if close else ""
    known = f"clusters: {', '.join(names)}" if names else "nothing is configured or found here"
    return UsageError(clean(f"no cluster is called {name}"), "--cluster", clean(hint + known))


def _configured(cluster: ClusterConfig, registry: Registry) -> Opening:
    try:
        plugin = registry.load(cluster.kind)
    except PluginError as error:
        if cluster.document is None:
            raise
        what = f"{cluster.kind}: {error.what}"
        raise cluster.error(("kind",), what, error.hint) from error
    try:
        settings = toml_source.check(cluster.settings, plugin.settings_type)
    except toml_source.MisfitError as fault:
        raise cluster.error(fault.key, fault.what, fault.hint) from None
    evidence = cluster.document.where(("cluster", cluster.index)) if cluster.document else "asked for"
    return Opening(cluster.name, plugin, settings, clean(evidence), cluster)


async def _detected(registry: Registry, site: Site, names: Sequence[str]) -> Found:
    """Ask plugins what is here, all at once."""
    found = Found()
    plugins: list[Plugin] = []
    for name in names:
        try:
            plugins.append(registry.load(name))
        except PluginError as error:
            found.notices.append(f"{error.where}: {error.what}")
    answers = await asyncio.gather(*(_ask(plugin, site) for plugin in plugins))
    taken: set[str] = set()
    for plugin, answer in zip(plugins, answers, strict=True):
        if isinstance(answer, str):
            found.notices.append(clean(f"plugin {plugin.name}: {answer}"))
            continue
        if len(answer) > MOST_FOUND:
            found.notices.append(
                clean(f"plugin {plugin.name}: found {len(answer):,} clusters, the first {MOST_FOUND} are shown")
            )
        for opening in answer[:MOST_FOUND]:
            name, number = opening.cluster, 1
            while name in taken:
                number += 1
                name = f"{opening.cluster}-{number}"
            taken.add(name)
            found.openings.append(replace(opening, cluster=name))
    return found


async def _ask(plugin: Plugin, site: Site) -> list[Opening] | str:
    """Return what one plugin finds, or in words why it does not say."""
    try:
        async with asyncio.timeout(DETECT_DEADLINE_S):
            detections: list[Detection] = await plugin.detect(site)
        return [
            Opening(
                clean(detection.cluster) or plugin.name,
                plugin,
                toml_source.check(detection.settings, plugin.settings_type),
                clean(detection.evidence),
            )
            for detection in detections
        ]
    except TimeoutError:
        return f"did not say within {DETECT_DEADLINE_S:g} s whether it is wanted here"
    except toml_source.MisfitError as fault:
        return f"found settings that it does not take: {toml_source.show_key(fault.key)}: {fault.what}"
    except QuarterdeckError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code: it costs one notice
        return f"broke while looking what is here: {type(error).__name__}: {error}"
