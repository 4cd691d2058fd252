"""`python -m benchmarks [PART…]`: measure, print, and write benchmarks/RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.report import machine, markdown, write

PARTS = {
    "first_paint": "first paint and this host's numbers, beside an empty Textual app and htop",
    "keys": "key press to frame with 10,000 nodes and 100,000 jobs, beside a DataTable",
    "fleet": "1,000 nodes × 8 GPUs live at 2 s: CPU and memory, and where it goes",
    "idle": "an idle screen: CPU and bytes to the terminal",
    "ssh_hosts": "200 sshd hosts live at 2 s, beside a bare asyncssh stream",
    "run": "qd run on 50 and 200 sshd hosts, beside clush and a bare asyncssh loop",
    "micro": "simulation, store and parsers one by one",
    "kube": "5,000 nodes and 20,000 pods of a real API server, beside the client's typed lists",
    "dead": "four clusters of which three are dead, beside the fourth alone",
    "plan": "planning a drain of 1,000 nodes with 5,000 jobs",
    "listings": "qstat of 10,000 jobs and squeue of 100,000, read to records",
    "logs": "10 GiB opened at the end; 1 GiB searched backwards, beside grep",
    "slurm_requests": "requests to slurmctld, beside watch squeue and watch sinfo",
}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="; ".join(f"{k}: {v}" for k, v in PARTS.items()))
    parser.add_argument("--dry", action="store_true", help="do not write RESULTS.md")
    parser.add_argument("--quick", action="store_true", help="short runs, to see that it works")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    done: dict[str, str] = {}
    where = machine()
    for name in arguments.parts or PARTS:
        print(f"… {name}", file=sys.stderr, flush=True)
        part = importlib.import_module(f"benchmarks.{name}").run(quick=arguments.quick)
        part.notes.append(f"*{where}.*")
        done[name] = markdown(part)
        print(done[name], flush=True)
        if not arguments.dry:
            write({name: done[name]}, Path(__file__).with_name("RESULTS.md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
