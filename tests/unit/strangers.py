"""Plugins of other people, installed as they would be: a module and the metadata of its distribution."""

from __future__ import annotations

from pathlib import Path

GOOD = """
from console.model import ClusterKind
from console.plugin import API_VERSION, Check, CheckState, Detection, Settings


class Quiet:
    kind = ClusterKind.RAY
    requests_per_minute = None

    def __init__(self, cluster):
        self.cluster = cluster

    async def doctor(self):
        return [Check(subject="ray", state=CheckState.OK)]

    async def close(self):
        pass


class Plugin:
    api_version = API_VERSION
    name = "NAME"
    summary = "a plugin of somebody else"
    settings_type = Settings

    async def detect(self, site):
        return [Detection(cluster="found-NAME", evidence="it is always here")]

    def open(self, settings, site):
        return Quiet(site.cluster)


plugin = Plugin()
"""


def install(folder: Path, name: str, source: str = GOOD, target: str = "plugin") -> None:
    """Put a plugin under a folder that is, or will be, on the module path."""
    module = f"stranger_{name.replace('-', '_')}"
    (folder / f"{module}.py").write_text(source.replace("NAME", name))
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[quarterdeck.plugins]\n{name} = {module}:{target}\n")
