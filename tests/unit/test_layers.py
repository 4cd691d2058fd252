"""Who may import what, by lists of what is allowed: a module that is new is forbidden until it is listed.

The order of the layers, and who may see Textual, is said to import-linter in pyproject.toml.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import grimp
import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ("console", "plugins", "themes")
VERSION = "console"
"""The package itself holds the version and nothing else: a client may say who asks."""

ALLOWED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "plugins": frozenset(
            {
                *(
                    "console.errors",
                    "console.model",
                    "console.nodeset",
                    "console.plugin",
                    "console.runs",
                    "console.slices",
                ),
                *("console.text", "console.transport"),
            }
        ),
        "themes": frozenset(),
        "console.ui": frozenset(
            {
                *("console.actions", "console.errors", "console.logs", "console.model", "console.render"),
                *("console.store", "console.suggest", "console.text", "console.triage"),
            }
        ),
    }
)
"""A package to what it may import of the house beside itself, submodules included."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import of the house, those inside of functions and of TYPE_CHECKING too."""
    return grimp.build_graph(*HOUSE, cache_dir=None)


def within(module: str, package: str) -> bool:
    """Whether a module is the package or inside it."""
    return module == package or module.startswith(f"{package}.")


def strays(graph: grimp.ImportGraph, package: str, allowed: frozenset[str]) -> list[str]:
    """Return what modules of a package import that is neither theirs nor allowed, as `importer -> imported`."""
    return sorted(
        f"{module} -> {imported}"
        for module in graph.modules
        if within(module, package)
        for imported in graph.find_modules_directly_imported_by(module)
        if imported != VERSION and not any(within(imported, ok) for ok in (package, *allowed))
    )


@pytest.mark.parametrize("package", ALLOWED)
def test_nothing_is_imported_that_is_not_allowed(graph: grimp.ImportGraph, package: str) -> None:
    assert any(within(module, package) for module in graph.modules), "else nothing would be checked"
    assert strays(graph, package, ALLOWED[package]) == []


def test_a_stray_import_is_seen() -> None:
    graph = grimp.ImportGraph()
    for module in ("plugins.new.backend", "plugins.new.parse", "console.model.job", "console.models", "console.later"):
        graph.add_module(module)
        graph.add_import(importer="plugins.new.backend", imported=module)
    assert strays(graph, "plugins", ALLOWED["plugins"]) == [
        "plugins.new.backend -> console.later",
        "plugins.new.backend -> console.models",
    ]


def test_every_package_that_is_shipped_is_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(HOUSE)
    assert set(project["tool"]["importlinter"]["root_packages"]) == set(HOUSE)
