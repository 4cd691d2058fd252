"""A Slurm newer than the system's, with slurmrestd, auth/jwt and what pyslurm is built against.

It comes from an archive of a built Slurm 25.11, which is not part of this repository: `slurm-25.11*.tar.zst` in the
directory that QD_TEST_SLURM names, or else in ../shared/real/slurm-25.11 beside the checkout. The prefix is compiled
in, so it is unpacked to /opt/slurm-25.11, once. pyslurm lies in a virtual environment of its own, made by
`scripts/setup.sh systems` or named by QD_TEST_PYSLURM.
"""

from __future__ import annotations

import ctypes.util
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.real.slurm_cluster import SlurmCluster

PREFIX = Path("/opt/slurm-25.11")
ROOT = Path(__file__).parents[2]
_ARCHIVE = os.environ.get("QD_TEST_SLURM")
_PYSLURM = os.environ.get("QD_TEST_PYSLURM")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path("~").expanduser() / ".cache") / "quarterdeck"
"""All read before a test is sealed from its surroundings."""
_LIBRARIES = ("munge", "jwt", "json-c", "http_parser", "yaml")


def archive() -> Path | None:
    """Return the archive, None where there is none."""
    folder = Path(_ARCHIVE or ROOT.parent / "shared" / "real" / "slurm-25.11")
    return next(iter(sorted(folder.glob("slurm-25.11*.tar.zst"))), None)


def there() -> bool:
    """Whether it is unpacked, or can be."""
    return (PREFIX / "sbin" / "slurmctld").exists() or archive() is not None


def missing() -> str | None:
    """Return why it cannot run here although it is there; None when it can. Unpacks it."""
    gone = [name for name in _LIBRARIES if ctypes.util.find_library(name) is None]
    if gone:
        return f"not installed for Slurm 25.11: {', '.join(f'lib{name}' for name in gone)}"
    if (PREFIX / "sbin" / "slurmctld").exists():
        return None
    packed = archive()
    if packed is None or os.geteuid() != 0 or not shutil.which("zstd"):
        return f"unpacking Slurm 25.11 to {PREFIX} needs root and zstd"
    # By way of a temporary name: two callers at once must not see half of it.
    with tempfile.TemporaryDirectory(dir=PREFIX.parent, prefix=".slurm-") as folder:
        subprocess.run(["tar", "--zstd", "-xf", packed, "-C", folder], check=True, timeout=60)
        if not PREFIX.exists():
            (Path(folder) / PREFIX.relative_to("/")).rename(PREFIX)
    return None


def pyslurm() -> str | None:
    """Return the Python that has pyslurm; None where there is none."""
    places = [Path(_PYSLURM)] if _PYSLURM else sorted(_CACHE.glob("pyslurm-*"), reverse=True)
    whole = (place for place in places if any(place.glob("lib/python*/site-packages/pyslurm/__init__.py")))
    return next((str(place / "bin/python") for place in whole), None)


def cluster(base: Path, nodes: int = 4, *, accounting: bool = False) -> SlurmCluster:
    """Return a cluster of it, not started, that takes tokens; with `accounting` one that counts GPUs."""
    base.mkdir(parents=True, exist_ok=True)
    key = base / "jwt.key"
    key.write_bytes(secrets.token_bytes(32))
    key.chmod(0o600)
    jwt = f"AuthAltTypes=auth/jwt\nAuthAltParameters=jwt_key={key}\n"
    return SlurmCluster(base, nodes=nodes, prefix=PREFIX, extra=jwt, accounting=accounting)
