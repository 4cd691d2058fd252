"""The contract suite over every plugin of this repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from console.registry import BUILT_IN, Registry
from console.testing import PluginContract

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "hosts": {"hosts": "localhost"},
    "kubernetes": {},
    "local": {},
    "pbs": {},
    "ray": {"url": "http://127.0.0.1:9"},
    "simulated": {"nodes": 8, "seed": 1},
    "slurm": {},
}
"""What opens each of them."""
FOUND_ANYWHERE = ("local",)


def test_every_plugin_is_tested() -> None:
    assert set(SETTINGS) == set(BUILT_IN)


@pytest.mark.parametrize("name", SETTINGS)
class TestBuiltIn(PluginContract):
    """Each plugin in turn."""

    @pytest.fixture(autouse=True)
    def chosen(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the plugin."""
        monkeypatch.setattr(type(self), "plugin", Registry().load(name), raising=False)
        monkeypatch.setattr(type(self), "settings", SETTINGS[name])
        monkeypatch.setattr(type(self), "found_anywhere", name in FOUND_ANYWHERE)
