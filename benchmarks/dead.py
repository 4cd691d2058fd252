"""Four clusters of which three are dead: the living one as quick as alone."""

from __future__ import annotations

import socket
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.programs import QD, home
from benchmarks.pty import Terminal
from benchmarks.report import Part, Row

LIVING = '[[cluster]]\nname = "living"\nkind = "simulated"\nnodes = 256\n'
KUBECONFIG = """\
{{"current-context": "c", "clusters": [{{"name": "c", "cluster": {{"server": "http://127.0.0.1:{port}"}}}}],
"users": [{{"name": "u", "user": {{}}}}], "contexts": [{{"name": "c", "context": {{"cluster": "c", "user": "u"}}}}]}}
"""


def dead(folder: Path, port: int) -> str:
    """Return three clusters: commands that hang for ever, a server that takes connections and says nothing, a port
    that nobody listens on."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("squeue", "sinfo", "scontrol", "qstat", "pbsnodes"):
        (programs / name).write_text("#!/bin/sh\nexec sleep 1000\n")
        (programs / name).chmod(0o755)
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.format(port=port))
    return (
        f'[[cluster]]\nname = "hangs"\nkind = "pbs"\nbin = "{programs}"\n'
        f'[[cluster]]\nname = "silent"\nkind = "kubernetes"\nkubeconfig = "{kubeconfig}"\n'
        '[[cluster]]\nname = "refused"\nkind = "ray"\nurl = "http://127.0.0.1:9"\n'
    )


def shown(config: Path, env: Mapping[str, str]) -> tuple[float, float]:
    """Return seconds until the living cluster stands on the screen, and the CPU seconds of the first ten."""
    with Terminal((*QD, "--config", str(config)), env=dict(env)) as terminal:
        took = terminal.wait(lambda screen: "/256 up" in "\n".join(screen.display[:4]), 60.0)
        terminal.run(10.0 - (took or 0.0))
        times = [process.cpu_times() for process in terminal.tree()]
    return took or float("nan"), sum(one.user + one.system for one in times)


def run(quick: bool = False) -> Part:
    """Start the console on one living cluster, alone and beside the dead, in turn."""
    part = Part("Four clusters of which three are dead")
    with home() as env, tempfile.TemporaryDirectory(prefix="qd-bench-dead-") as base, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        folder = Path(base)
        alone, four = folder / "alone.toml", folder / "four.toml"
        alone.write_text(LIVING)
        four.write_text(dead(folder, silent.getsockname()[1]) + LIVING)
        rounds = [(shown(alone, env), shown(four, env)) for _ in range(2 if quick else 7)]
    by_itself, beside = ([one[at] for one in rounds] for at in (0, 1))
    wall = [statistics.median(took for took, _ in each) for each in (beside, by_itself)]
    cpu = [statistics.median(spent for _, spent in each) for each in (beside, by_itself)]
    part.rows += [
        Row("the living cluster on the screen after", wall[0], "s", "alone", wall[1], limit_ratio=1.25),
        Row("CPU of the first ten seconds", cpu[0], "s", "alone", cpu[1]),
    ]
    part.notes.append(
        "One hangs in its commands, one takes connections and never answers, one refuses them. The import of their "
        "plugins and clients is in the figures."
    )
    return part
