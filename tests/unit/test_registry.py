"""Plugins: found without being imported, loaded when used, checked; a broken one costs one notice."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from console.config import ClusterConfig, Config
from console.discover import wanted
from console.errors import ConfigError, PluginError, UsageError
from console.registry import BUILT_IN, Registry
from console.session import World
from console.transport.pool import TransportPool
from tests.unit.strangers import GOOD, install


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the module path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def site(folder: Path) -> World:
    """A site without any program."""
    return World(TransportPool(home=folder), {"PATH": str(folder)})


def test_built_in_names_are_those_of_the_distribution() -> None:
    declared = tomllib.loads(Path("pyproject.toml").read_text())["project"]["entry-points"]["quarterdeck.plugins"]
    assert dict(BUILT_IN) == declared


def test_names_import_nothing(folder: Path) -> None:
    install(folder, "quiet-one", "raise RuntimeError('imported')")
    registry = Registry()
    assert set(registry.names()) == {*BUILT_IN, "quiet-one"}
    assert registry.others() == ("quiet-one",)
    assert "stranger_quiet_one" not in sys.modules


def test_a_plugin_is_loaded_once(folder: Path) -> None:
    install(folder, "fine", GOOD)
    registry = Registry()
    assert registry.load("fine") is registry.load("fine")
    assert registry.load("fine").summary == "a plugin of somebody else"


def test_a_built_in_name_cannot_be_taken_over(folder: Path) -> None:
    install(folder, "local", "raise SystemExit('mine')")
    assert type(Registry().load("local")).__module__.startswith("plugins.local")


@pytest.mark.parametrize(
    ("source", "target", "what"),
    [
        ("raise RuntimeError('first\\nsecond')", "plugin", "cannot be loaded: RuntimeError: first"),
        ("import no_such_module_here", "plugin", "cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)", "plugin", "cannot be loaded: SystemExit: 3"),
        ("def f(:", "plugin", "cannot be loaded: SyntaxError"),
        (GOOD, "absent", "cannot be loaded: AttributeError"),
        (GOOD.replace("= API_VERSION", "= 2"), "plugin", "speaks version 2 of the plugin contract, this console speaks 1"),
        (GOOD.replace("    api_version = API_VERSION\n", ""), "plugin", "has no api_version"),
        (GOOD.replace('"NAME"', '"other"'), "plugin", "calls itself 'other'"),
        (GOOD.replace("settings_type = Settings", "settings_type = dict"), "plugin", "has no settings_type"),
        (GOOD.replace("def detect", "def look"), "plugin", "has no method detect"),
        (GOOD.replace("def open", "def start"), "plugin", "has no method open"),
        (GOOD.replace("summary =", "title ="), "plugin", "has no summary"),
        ("raise RuntimeError('\\x1b]52;c;aGk=\\x07\\x1b[2J')", "plugin", "cannot be loaded: RuntimeError"),
    ],
)  # fmt: skip
async def test_a_broken_plugin_is_one_clean_line(
    folder: Path, site: World, source: str, target: str, what: str
) -> None:
    # A name of its own each time: Python remembers modules.
    name = f"broken{abs(hash((source, target)))}"
    install(folder, name, source, target)
    with pytest.raises(PluginError) as caught:
        Registry().load(name)
    assert caught.value.what.startswith(what)
    assert caught.value.where == f"plugin {name} (stranger_{name}:{target})"
    assert all(ord(char) >= 32 for char in f"{caught.value}{caught.value.hint}")
    found = await wanted(Config(), Registry(), site)
    assert [notice for notice in found.notices if what in notice] == found.notices
    assert len(found.notices) == 1
    assert [opening.plugin.name for opening in found.openings] == ["local"]


def test_an_unknown_plugin_names_the_nearest() -> None:
    with pytest.raises(PluginError, match="no such plugin") as caught:
        Registry().load("slrum")
    assert caught.value.hint == "did you mean slurm?"


async def test_what_is_found_stands_before_this_host(folder: Path, site: World) -> None:
    install(folder, "found-a", GOOD)
    found = await wanted(Config(), Registry(), site)
    assert [opening.cluster for opening in found.openings] == ["found-found-a"]
    assert found.openings[0].evidence == "it is always here"
    both = await wanted(Config(only=("found-a", "local")), Registry(), site)
    assert [opening.plugin.name for opening in both.openings] == ["found-a", "local"]
    here = await wanted(Config(only=("local",)), Registry(), site)
    assert [opening.plugin.name for opening in here.openings] == ["local"]
    with pytest.raises(UsageError, match="no cluster is called fuond"):
        await wanted(Config(only=("fuond",)), Registry(), site)


async def test_two_clusters_of_one_name_are_told_apart(folder: Path, site: World) -> None:
    source = GOOD.replace("found-NAME", "prod")
    install(folder, "twin-a", source)
    install(folder, "twin-b", source)
    found = await wanted(Config(), Registry(), site)
    assert [opening.cluster for opening in found.openings] == ["prod", "prod-2"]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("import asyncio; await asyncio.sleep(60)", "did not say within"),
        ("raise KeyError('x')", "broke while looking what is here: KeyError"),
        ("raise SystemExit", "broke while looking what is here: SystemExit"),
        ("return None", "broke while looking what is here: TypeError"),
        ("return [Detection(cluster='c', evidence='e', settings={'telemetri': 1})]", "settings that it does not take"),
    ],
)
async def test_a_detection_that_fails_is_one_notice(
    folder: Path, site: World, monkeypatch: pytest.MonkeyPatch, body: str, what: str
) -> None:
    monkeypatch.setattr("console.discover.DETECT_DEADLINE_S", 0.2)
    name = f"detect{abs(hash(body))}"
    source = GOOD.replace('return [Detection(cluster="found-NAME", evidence="it is always here")]', body)
    install(folder, name, source)
    found = await wanted(Config(), Registry(), site)
    assert len(found.notices) == 1
    assert found.notices[0].startswith(f"plugin {name}: {what}") or what in found.notices[0]
    assert [opening.plugin.name for opening in found.openings] == ["local"]


async def test_a_plugin_that_cannot_be_opened_is_one_error(folder: Path, site: World) -> None:
    install(folder, "shut", GOOD.replace("return Quiet(site.cluster)", "raise ZeroDivisionError('oh')"))
    found = await wanted(Config(), Registry(), site)
    with pytest.raises(PluginError, match="cannot be opened: ZeroDivisionError: oh"):
        found.openings[0].open(site)


async def test_a_configured_cluster_of_no_plugin_is_an_error(site: World) -> None:
    config = Config(clusters=(ClusterConfig(name="a", kind="slrum"),))
    with pytest.raises(PluginError) as caught:
        await wanted(config, Registry(), site)
    assert caught.value.hint == "did you mean slurm?"


async def test_settings_of_a_plugin_are_checked_when_it_is_loaded(site: World) -> None:
    config = Config(clusters=(ClusterConfig(name="a", kind="simulated", settings={"nodes": 4, "sead": 1}),))
    with pytest.raises(ConfigError) as caught:
        await wanted(config, Registry(), site)
    assert (caught.value.what, caught.value.hint) == ("unknown key", "did you mean seed?")
