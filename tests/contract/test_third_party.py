"""A plugin of somebody else: the one of the documentation, installed by pip; and broken ones beside it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.strangers import GOOD, install

ROOT = Path(__file__).parents[2]
EXAMPLE = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "plugins.md").read_text(), re.DOTALL)[0]
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "quarterdeck-nomad"
version = "1.0"

[project.entry-points."quarterdeck.plugins"]
nomad = "quarterdeck_nomad:plugin"

[tool.hatch.build.targets.wheel]
only-include = ["quarterdeck_nomad.py"]
"""
SUITE = """
from console.testing import PluginContract
from quarterdeck_nomad import plugin


class TestNomad(PluginContract):
    plugin = plugin
"""
BROKEN = {
    "raises": "raise RuntimeError('no licence')",
    "leaves": "raise SystemExit(3)",
    "old": GOOD.replace("api_version = API_VERSION", "api_version = 0"),
    "hangs": GOOD.replace("return [Detection(", "import asyncio; await asyncio.sleep(3600); return [Detection("),
    "floods": GOOD.replace("return [Detection(", "return 100000 * [Detection("),
    "breaks": GOOD.replace("return [Detection(", "1 / 0; return [Detection("),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the example of the documentation."""
    project, target = tmp_path_factory.mktemp("nomad"), tmp_path_factory.mktemp("site")
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "quarterdeck_nomad.py").write_text(EXAMPLE)
    words = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *words, "--target", str(target), str(project)],
        check=True,
        timeout=120,
    )
    return target


def environment(home: Path, *folders: Path) -> dict[str, str]:
    """Return an environment whose home is empty and which sees these plugins."""
    path = [*map(str, folders), str(ROOT), *(entry for entry in sys.path if entry)]
    return {
        "PATH": f"{home}/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(path),
    }


def with_nomad(home: Path) -> Path:
    """Put the program that the example asks into a home."""
    program = home / "bin" / "nomad"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf 'client1\\nclient2\\n'\n")
    program.chmod(0o755)
    return home


def qd(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "console.cli", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def plugins_of(answer: str) -> dict[str, dict[str, Any]]:
    """Return what the doctor says of each plugin."""
    return {check["subject"]: check for check in json.loads(answer)["checks"] if check["section"] == "plugins"}


def test_the_plugin_of_the_documentation_is_listed_and_shows_its_nodes(site: Path, tmp_path: Path) -> None:
    environ = environment(with_nomad(tmp_path), site)
    doctor = qd(environ, "doctor", "--json", "--cluster", "nomad")
    listed = plugins_of(doctor.stdout)
    assert listed["nomad"]["state"] == "ok"
    assert listed["nomad"]["detail"] == "Nomad clients"
    nodes = qd(environ, "nodes", "--json", "--cluster", "nomad")
    assert nodes.returncode == 0, nodes.stderr
    assert [node["name"] for node in json.loads(nodes.stdout)["nodes"]] == ["client1", "client2"]


def test_the_plugin_of_the_documentation_keeps_the_contract(site: Path, tmp_path: Path) -> None:
    (tmp_path / "test_nomad.py").write_text(SUITE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(
        command, env=environment(tmp_path, site), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[5-9] passed", done.stdout), done.stdout


def test_broken_plugins_cost_a_notice_each_and_nothing_else(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for name, source in BROKEN.items():
        install(folder, name, source)
    environ = environment(with_nomad(tmp_path), site, folder)
    nodes = qd(environ, "nodes", "--json", "--wait", "8")
    assert "Traceback" not in nodes.stderr
    names = [node["name"] for node in json.loads(nodes.stdout)["nodes"]]
    assert names == ["client1", "client2"], "the good one works beside them"
    for name in BROKEN:
        notices = [line for line in nodes.stderr.splitlines() if re.search(rf"\b{name}\b", line)]
        assert notices, f"{name}: not a word in\n{nodes.stderr}"
        assert len(notices) <= 2, notices[:5]
    doctor = plugins_of(qd(environ, "doctor", "--json", "--cluster", "local").stdout)
    for name in ("raises", "leaves", "old"):
        assert doctor[name]["state"] == "failed", doctor[name]
        assert doctor[name]["remedy"]
