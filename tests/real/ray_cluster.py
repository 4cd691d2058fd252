"""A real Ray on this machine: a head and two workers with pretended GPUs, all children of ours.

    with RayCluster(tmp_path) as ray:
        ray.submit("train", "python train.py")

    python -m tests.real.ray_cluster [--record DIRECTORY | run COMMAND …]

Ray lives in a virtual environment of its own, made by `scripts/setup.sh systems`; nothing of it is imported here. Nodes:
head (1 CPU), w1 and w2 (2 CPUs, 4 GPUs each, `accelerator_type:H100`), each with a host name of its own where this user
may make namespaces. Every instance has its own directory and ports; nothing outlives it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from plugins.ray import commands
from tests.real.fleet import can_unshare
from tests.real.slurm_cluster import free_ports, wait_until

START_S = 120.0
"""Ray starts a dozen processes for each node."""
NODES = ("head", "w1", "w2")
_NAMED = os.environ.get("QD_TEST_RAY")
"""Read before a test is sealed from its surroundings."""
_MARK = "QD_RAY_NODE"
"""A variable that all processes of a node carry: Ray starts some of them in sessions of their own."""
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_DEDUP_LOGS": "0",
}


def home() -> Path | None:
    """Return the virtual environment that holds Ray; None when there is none."""
    places = [Path(_NAMED)] if _NAMED else sorted(_cache().glob("ray-*"), reverse=True)
    return next((place for place in places if (place / "bin" / "ray").exists()), None)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~").expanduser() / ".cache") / "quarterdeck"


def missing() -> str | None:
    """Return why no Ray can be started here; None when one can."""
    if home() is None:
        return f"no Ray in {_cache()}/ray-*: scripts/setup.sh systems installs it, QD_TEST_RAY names another place"
    return None


class RayCluster:
    """One head and two workers. A context manager."""

    def __init__(self, base: Path, environ: Mapping[str, str] | None = None) -> None:
        """`environ` adds to the environment of every node."""
        place = home()
        assert place is not None, missing()
        self.place = place
        # Ray puts sockets below it, whose paths must be short.
        self.base = Path(tempfile.mkdtemp(prefix="qdray-", dir="/tmp"))
        self.work = base
        self.namespaces = can_unshare()
        self.port, self.dashboard, *self._agents = free_ports(2 + len(NODES))
        self.url = f"http://127.0.0.1:{self.dashboard}"
        self._environ = {**_ENVIRONMENT, **(environ or {})}
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> RayCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def python(self) -> str:
        """The interpreter that has Ray."""
        return str(self.place / "bin" / "python")

    # ---- life

    def start(self) -> None:
        """Start the head, then the workers, and wait until all are alive."""
        head = ["--head", f"--port={self.port}", "--include-dashboard=true", "--dashboard-host=127.0.0.1"]
        head += [f"--dashboard-port={self.dashboard}", f"--temp-dir={self.base}", "--num-cpus=1", "--num-gpus=0"]
        self._spawn("head", self._agents[0], head)
        wait_until(lambda: self.alive() >= 1, START_S, "the head starts")
        for name, agent in zip(NODES[1:], self._agents[1:], strict=True):
            resources = json.dumps({"accelerator_type:H100": 1, f"rack_{name}": 2})
            worker = [f"--address=127.0.0.1:{self.port}", "--num-cpus=2", "--num-gpus=4", f"--resources={resources}"]
            self._spawn(name, agent, worker)
            wait_until(lambda: self.alive() == len(self._nodes), START_S, f"{name} joins")

    def _spawn(self, name: str, agent: int, arguments: list[str]) -> None:
        ray = [str(self.place / "bin" / "ray"), "start", *arguments, "--block", f"--node-name={name}"]
        ray += ["--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={agent}"]
        ray += ["--object-store-memory=80000000", "--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"]
        if self.namespaces:
            ray = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name, *ray]
        log = (self.base / f"{name}.out").open("wb")
        with log:
            self._nodes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *ray],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **self._environ,
                    _MARK: f"{self.base}/{name}",
                    "PATH": f"{self.place}/bin:{os.environ.get('PATH', '')}",
                },
                start_new_session=True,
                cwd=self.work,
            )

    def kill(self, name: str) -> None:
        """End a node at once, with all that runs there."""
        node = self._nodes.pop(name)
        mark = f"{_MARK}={self.base}/{name}".encode()
        while pids := [pid for pid in _all_pids() if mark in _environ(pid)]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            node.poll()
        node.wait()

    def stop(self) -> None:
        """End everything."""
        for name in reversed(list(self._nodes)):
            self.kill(name)
        # What was killed while it wrote may leave a file behind one that was removed already.
        while self.base.exists():
            shutil.rmtree(self.base, ignore_errors=True)

    # ---- asking it

    def get(self, path: str) -> Any:
        """Return the JSON of an answer."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=20) as answer:
            return json.load(answer)

    def alive(self) -> int:
        """Return how many nodes are alive; 0 while nobody answers."""
        try:
            nodes = self.get("/nodes?view=summary&nocache=1")["data"]["summary"]
        except (OSError, ValueError, KeyError):
            return 0
        return sum(node["raylet"].get("state") == "ALIVE" and "hostname" in node for node in nodes)

    def submit(self, name: str, script: str, **more: Any) -> str:
        """Submit a Python script under a submission id and return that."""
        file = self.work / f"{name}.py"
        file.write_text(script)
        body = {"submission_id": name, "entrypoint": f"{self.python} -u {file}", **more}
        request = urllib.request.Request(f"{self.url}/api/jobs/", json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(json.load(answer)["submission_id"])

    def status(self, name: str) -> str:
        """Return the state of a job."""
        return str(self.get(f"/api/jobs/{name}")["status"])

    def wait_for(self, name: str, *states: str) -> None:
        """Wait until a job is in one of these states."""
        wait_until(lambda: self.status(name) in states, START_S, f"{name} is {' or '.join(states)}")

    def logged(self, name: str) -> str:
        """Return what a job's driver printed."""
        return str(self.get(f"/api/jobs/{name}/logs")["logs"])

    def cancel(self, name: str) -> None:
        """Stop a job."""
        request = urllib.request.Request(f"{self.url}/api/jobs/{name}/stop", b"", method="POST")
        with urllib.request.urlopen(request, timeout=30):
            pass


RUNNING = """
import sys, time
import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

ray.init(log_to_driver=False)

@ray.remote(num_cpus=1, num_gpus=2)
class Trainer:
    def speak(self, word):
        print(f"trainer says {word}", flush=True)
        return ray.get_runtime_context().get_node_id()

group = placement_group([{"GPU": 2, "CPU": 1}], name="trainers")
ray.get(group.ready())
inside = Trainer.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group)).remote()
outside = Trainer.options(num_cpus=0, num_gpus=1, name="lonely").remote()
print("on", ray.get([inside.speak.remote("hello"), outside.speak.remote("here")]), flush=True)
too_big = placement_group([{"GPU": 8}], name="too-big")

@ray.remote(num_cpus=0, num_gpus=3)
def wide():
    time.sleep(3600)

wide_tasks = [wide.remote() for _ in range(3)]
step = 0
while True:
    print(f"step {step} loss {1 / (step + 1):.4f}", flush=True)
    step += 1
    time.sleep(0.5)
"""
"""Holds three GPUs, waits for a group that no node can hold and for tasks that there is no room for, and prints."""

FAILING = """
import ray, sys

ray.init(log_to_driver=False)

@ray.remote(num_cpus=0)
class Fragile:
    def work(self):
        raise RuntimeError("a bad \\x1b[31mshard\\x1b[0m")

print("loading", flush=True)
fragile = Fragile.remote()
try:
    ray.get(fragile.work.remote())
except Exception as error:
    print("it broke:", type(error).__name__, flush=True)
sys.exit(3)
"""


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environ(pid: int) -> list[bytes]:
    """Return the variables that a process was started with; none of one that is gone or a corpse."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def record(cluster: RayCluster, into: Path) -> None:
    """Write down what the dashboard answers about a job that runs, one that failed and one that waits.

    `nodes` is what it says after a worker died.
    """
    cluster.wait_for("failing", "FAILED")
    wait_until(lambda: "step 20" in cluster.logged("running"), START_S, "the job prints")
    cluster.submit("waiting", "print(1)", entrypoint_num_gpus=6)
    job, failed = cluster.get("/api/jobs/running"), cluster.get("/api/jobs/failing")
    wait_until(lambda: bool(_usage(cluster)), START_S, "usage is told")
    into.mkdir(parents=True, exist_ok=True)
    requests = {
        "version": commands.VERSION,
        "nodes-alive": commands.NODES,
        "jobs": commands.JOBS,
        "groups": commands.groups(),
        "status": commands.STATUS,
        "actors-alive": commands.actors(state="ALIVE"),
        "actors-waiting": commands.actors(state="PENDING_CREATION"),
        "actors-of-running": commands.actors(job=job["job_id"]),
        "actors-of-failing": commands.actors(job=failed["job_id"]),
        "tasks-running": commands.tasks("RUNNING"),
        "tasks-waiting": commands.tasks("PENDING_NODE_ASSIGNMENT", job=job["job_id"]),
        "tasks-failed": commands.tasks("FAILED", job=failed["job_id"]),
        "task-counts": commands.task_counts(job["job_id"]),
        "log-files": commands.log_files(job["driver_node_id"], "worker-*"),
    }
    for name, request in requests.items():
        _write(cluster, request, into / f"{name}.json")
    cluster.kill("w2")
    wait_until(lambda: cluster.alive() == len(NODES) - 1, START_S, "the death of w2 is seen")
    _write(cluster, commands.NODES, into / "nodes.json")


def _usage(cluster: RayCluster) -> dict[str, str]:
    return dict(cluster.get("/nodes?view=summary&nocache=1")["data"]["nodeLogicalResources"])


def _write(cluster: RayCluster, request: commands.Request, file: Path) -> None:
    answer = cluster.get(f"{request.path}?{urlencode(request.query)}")
    for node in answer["data"]["summary"] if request is commands.NODES else ():
        for part in ("agent", "cmdline", "gcs"):
            node.pop(part, None)
    file.write_text(json.dumps(answer, indent=1) + "\n")


def main() -> int:
    """Run a Ray until interrupted, or as long as a command runs; or record what it answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="a directory: record there what the dashboard answers")
    parser.add_argument("run", nargs="*", help="`run COMMAND …`: with RAY_API_SERVER_ADDRESS set")
    options = parser.parse_args()
    if why := missing():
        sys.exit(why)
    with tempfile.TemporaryDirectory() as work, RayCluster(Path(work)) as cluster:
        cluster.submit("running", RUNNING, metadata={"team": "llm"})
        cluster.submit("failing", FAILING)
        print(f"RAY_API_SERVER_ADDRESS={cluster.url}", flush=True)
        if options.record:
            record(cluster, options.record)
        elif options.run:
            environ = {**os.environ, "RAY_API_SERVER_ADDRESS": cluster.url}
            return subprocess.run(options.run[1:], env=environ, check=False).returncode
        else:
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
