"""Finds plugins by entry point and loads one only when it is used.

The plugins of this distribution are known by name without a look at the installed packages, which costs tens
of milliseconds; others register in the entry-point group `quarterdeck.plugins`. A built-in name cannot be
taken over. A plugin that cannot be loaded is one PluginError in one line, never more.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from console.errors import PluginError
from console.plugin import API_VERSION, ENTRY_POINT_GROUP, Plugin, Settings
from console.text import clean

BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "hosts": "plugins.hosts:plugin",
        "kubernetes": "plugins.kubernetes:plugin",
        "local": "plugins.local:plugin",
        "pbs": "plugins.pbs:plugin",
        "ray": "plugins.ray:plugin",
        "simulated": "plugins.simulated:plugin",
        "slurm": "plugins.slurm:plugin",
    }
)
"""Must name what pyproject.toml names; a test compares them."""


class Registry:
    """The plugins that are installed, loaded or not."""

    def __init__(self) -> None:
        self._loaded: dict[str, Plugin] = {}
        self._failed: dict[str, PluginError] = {}
        self._third_party: dict[str, str] | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names of all plugins in alphabetical order, importing none of them."""
        return tuple(sorted({*BUILT_IN, *self._others()}))

    def others(self) -> tuple[str, ...]:
        """Return the names of the plugins that are not part of this distribution."""
        return tuple(sorted(self._others()))

    def load(self, name: str) -> Plugin:
        """Return the plugin; PluginError when there is none, when it breaks, or when it breaks the
        contract."""
        if name in self._failed:
            raise self._failed[name]
        if name not in self._loaded:
            try:
                self._loaded[name] = self._load(name)
            except PluginError as error:
                self._failed[name] = error
                raise
        return self._loaded[name]

    def _load(self, name: str) -> Plugin:
        target = BUILT_IN.get(name) or self._others().get(name)
        if target is None:
            from console.suggest import nearest

            close = nearest(name, self.names())
            hint = f"did you mean {close}?" if close else f"installed: {', '.join(self.names())}"
            raise PluginError("there is no such plugin", clean(name), hint)
        module_name, _, attribute = target.partition(":")
        try:
            found: Any = importlib.import_module(module_name)
            for part in attribute.split(".") if attribute else ():
                found = getattr(found, part)
        except (
            Exception,
            SystemExit,
        ) as error:  # a stranger's code runs here: whatever it does costs one notice
            what = f"cannot be loaded: {type(error).__name__}: {_first_line(error)}"
            raise PluginError(clean(what), clean(f"plugin {name} ({target})"), _mend(name)) from error
        fault = _fault(found, name)
        if fault:
            raise PluginError(clean(fault), clean(f"plugin {name} ({target})"), _mend(name))
        return cast(Plugin, found)

    def _others(self) -> dict[str, str]:
        if self._third_party is None:
            from importlib.metadata import entry_points

            found = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value))
            self._third_party = {}
            for point in found:
                if point.name not in BUILT_IN:
                    self._third_party.setdefault(point.name, point.value)
        return self._third_party


def _fault(plugin: Any, name: str) -> str | None:
    """Return in what a plugin breaks the contract, None when in nothing."""
    version = getattr(plugin, "api_version", None)
    if version != API_VERSION:
        if not isinstance(version, int):
            return "has no api_version"
        return f"speaks version {version} of the plugin contract, this console speaks {API_VERSION}"
    if getattr(plugin, "name", None) != name:
        return f"calls itself {getattr(plugin, 'name', None)!r}"
    if not isinstance(getattr(plugin, "summary", None), str):
        return "has no summary"
    settings = getattr(plugin, "settings_type", None)
    if not (isinstance(settings, type) and issubclass(settings, Settings)):
        return "has no settings_type that derives from console.plugin.Settings"
    for method in ("detect", "open"):
        if not callable(getattr(plugin, method, None)):
            return f"has no method {method}"
    return None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or "no message"


def _mend(name: str) -> str:
    if name in BUILT_IN:
        return "this installation is broken; install quarterdeck again"
    return "update or uninstall the package that brings it; the rest of the console works without it"
