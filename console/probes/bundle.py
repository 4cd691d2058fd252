"""What travels to a node: a bootstrap on the command line, then all modules in one compressed piece.

The command that a probe starts is one line of plain characters, fit for any login shell: `sh` looks for a
Python and hands it the bootstrap, which says hello and then waits for as many bytes as it is told. A node
without Python goes on in `sh` (`console.probes.shell`).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from console.errors import Unsupported

PROTOCOL = 2
"""Changes with the commands and the lines of `console.probes.node.main` and `console.probes.shell`."""

HELLO = "quarterdeck-probe"
PACKAGE = "console.probes.node"
MODULES = (
    "base",
    "host",
    "network",
    "rdma",
    "disks",
    "mounts",
    "jobs",
    "nvml",
    "compute_apps",
    "nvidia_smi",
    "amd",
    "habana",
    "accelerators",
    "cost",
    "main",
)

PYTHON_MIN = (3, 6)
PYTHONS = ("python3", "/usr/libexec/platform-python", "/usr/local/bin/python3", "/opt/bin/python3")
"""Interpreters to try on a node. The second is what Enterprise Linux 8 has when nobody installed one."""

OPTIONS = ("-I", "-S", "-B", "-c")
"""Nothing from the user's environment or site packages, no byte code written anywhere."""

BOOTSTRAP = (
    "import os,sys,zlib;"
    "os.write(1,(chr(10)+{hello}+chr(32).join(["
    "{slash}+str({protocol}),"
    "{python}+chr(46).join(map(str,sys.version_info[:3])),"
    "{nvidia}+str(int(any(map(os.path.exists,{devices}))))"
    "])+chr(10)).encode());"
    "sys.version_info<{minimum} and os._exit(0);"
    "f=open(0,{mode},closefd=False);"
    "exec(compile(zlib.decompress(f.read(int(f.read(8)))),{name},{exec}))"
).format(
    hello=f'"{HELLO}"',
    slash='"/"',
    protocol=PROTOCOL,
    python='"python="',
    nvidia='"nvidia="',
    devices='("/proc/driver/nvidia","/dev/nvidiactl","/dev/dxg")',
    minimum=f"({PYTHON_MIN[0]},{PYTHON_MIN[1]})",
    mode='"rb"',
    name='"quarterdeck-probe"',
    exec='"exec"',
)
"""Reads with a buffer: the console sends nothing after the bundle before the first line has come."""

FIND_PYTHON = (
    f'for p in {" ".join(PYTHONS)}; do command -v $p >/dev/null 2>&1 && exec $p {" ".join(OPTIONS)} "$0"; done; '
)

_LOADER = """
import sys, types
class Bundle:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return type(sys.__spec__)(name, Bundle) if name in SOURCES else None
    @staticmethod
    def create_module(spec):
        return None
    @staticmethod
    def exec_module(module):
        name = module.__name__
        exec(compile(SOURCES.pop(name), "<" + name + ">", "exec"), module.__dict__)
for package in ("console", "console.probes", "console.probes.node"):
    sys.modules[package] = types.ModuleType(package)
    sys.modules[package].__path__ = []
sys.meta_path.insert(0, Bundle)
from console.probes.node.main import run
def load_nvml():
    import pynvml
    return pynvml
run(SETTINGS, load_nvml if "pynvml" in SOURCES else None)
"""
"""Compiles a module when it is first imported: what this node has no hardware for is half of the start."""


@cache
def _modules() -> tuple[tuple[str, str], ...]:
    folder = resources.files(PACKAGE)
    return tuple((f"{PACKAGE}.{name}", (folder / f"{name}.py").read_text("utf-8")) for name in MODULES)


@cache
def nvml_source() -> str:
    """Return the source of the installed `pynvml`. Raises Unsupported when it is not installed as source."""
    spec = find_spec("pynvml")
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise Unsupported("the Python module pynvml is not installed here", "", "pip install nvidia-ml-py")
    return Path(spec.origin).read_text("utf-8")


@cache
def _packed(settings: tuple[tuple[str, str | float], ...], nvml: bool) -> bytes:
    sources = dict(_modules()) | ({"pynvml": nvml_source()} if nvml else {})
    source = f"SOURCES = {sources!r}\nSETTINGS = {dict(settings)!r}\n{_LOADER}"
    packed = zlib.compress(source.encode("utf-8"), 9)
    return b"%08d" % len(packed) + packed


def payload(settings: Mapping[str, str | float], *, nvml: bool) -> bytes:
    """Return what the bootstrap reads: eight digits of length and that many bytes.

    `settings`: period_s, budget_percent, root (see `console.probes.node.main.run`). With `nvml` the bindings
    travel too: 50 KB, only for nodes that have the driver. Made once and kept: a fleet asks for the same one
    a thousand times.
    """
    return _packed(tuple(sorted(settings.items())), nvml)


def remote_command(fallback: str) -> list[str]:
    """Return the argv that looks for a Python there and else goes on with `fallback`, a line for `sh`."""
    return ["sh", "-c", FIND_PYTHON + fallback, BOOTSTRAP]


def python_command(interpreter: tuple[str, ...]) -> list[str]:
    """Return the argv that starts the bootstrap in a given interpreter."""
    return [*interpreter, *OPTIONS, BOOTSTRAP]
