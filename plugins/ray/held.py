"""Which job of another scheduler a Ray cluster or one of its jobs lives in, where that can be seen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.text import clean

_HOLDERS = {
    "slurmjobid": "Slurm job",
    "pbsjobid": "PBS job",
    "rayioraycluster": "RayCluster",
    "rayiocluster": "RayCluster",
    "rayclustername": "RayCluster",
}
"""Names of variables, labels and metadata, their letters and digits only: the dashboard writes some in camel case."""


def holder(*places: Mapping[str, Any] | None) -> str | None:
    """Return `Slurm job 8812` or `RayCluster llama` out of labels, metadata or an environment; None: not said."""
    for place in places:
        for name, value in (place or {}).items():
            what = _HOLDERS.get("".join(filter(str.isalnum, name)).lower())
            if what is not None and isinstance(value, str | int) and value != "":
                return f"{what} {clean(str(value), limit=128)}"
    return None
