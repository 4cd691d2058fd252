"""Five thousand nodes and twenty thousand pods from a real API server, beside the official client's typed lists."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.programs import QD, app, home
from benchmarks.pty import Terminal
from benchmarks.report import Part, Row
from tests.real.kube_cluster import KubeCluster, node, pod_spec

NODES, PODS, GANG = 5000, 20_000, 64
WRITERS = 8
NAMESPACE = "train"
Request = tuple[str, str, dict[str, Any], str]
"""Method, path, body, type of the body."""
JSON, MERGE = "application/json", "application/merge-patch+json"


class Writer:
    """Keeps connections to the API server and sends requests as fast as it answers."""

    def __init__(self, kube: KubeCluster) -> None:
        self._kube = kube
        self._local = threading.local()
        self.done = 0

    def send(self, request: Request) -> None:
        """Send one; AssertionError when it is refused."""
        method, path, body, kind = request
        connection = getattr(self._local, "connection", None)
        if connection is None:
            pki = self._kube.base / "pki"
            tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
            tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
            host, _, port = self._kube.url.removeprefix("https://").partition(":")
            connection = self._local.connection = http.client.HTTPSConnection(host, int(port), context=tls, timeout=60)
        connection.request(method, path, json.dumps(body), {"Content-Type": kind})
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status < 300, f"{method} {path}: {answer.status} {data[:300]!r}"
        self.done += 1

    def all(self, requests: Iterable[Request]) -> None:
        """Send all of them."""
        with ThreadPoolExecutor(WRITERS) as pool:
            for _ in pool.map(self.send, requests, chunksize=16):
                pass


def machines(count: int) -> Iterable[Request]:
    """Yield nodes with eight GPUs each, ready."""
    for number in range(count):
        each = node(f"gpu{number:05}")
        each["status"]["conditions"] = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        yield "POST", "/api/v1/nodes", each, JSON


def jobs(pods: int) -> Iterable[Request]:
    """Yield one Indexed Job for each gang."""
    for number in range(-(-pods // GANG)):
        spec = {"parallelism": GANG, "completions": GANG, "completionMode": "Indexed",
                "template": {"spec": pod_spec(2)}}  # fmt: skip
        yield "POST", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", {
            "metadata": {"name": f"train-{number:04}"}, "spec": spec,
        }, JSON  # fmt: skip


def pods(count: int, nodes: int, owners: Sequence[str]) -> Iterable[Request]:
    """Yield pods of two GPUs, four a node, each the child of its Job."""
    for number in range(count):
        gang, index = divmod(number, GANG)
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": f"train-{gang:04}", "uid": owners[gang],
                 "controller": True}  # fmt: skip
        meta = {"name": f"train-{gang:04}-{index}", "ownerReferences": [owner],
                "labels": {"batch.kubernetes.io/job-completion-index": str(index)}}  # fmt: skip
        spec = {**pod_spec(2), "nodeName": f"gpu{number // 4 % nodes:05}"}
        yield "POST", f"/api/v1/namespaces/{NAMESPACE}/pods", {"metadata": meta, "spec": spec}, JSON


def running(count: int) -> Iterable[Request]:
    """Yield what makes them run."""
    status = {"status": {"phase": "Running", "startTime": "2026-11-24T10:00:00Z"}}
    for number in range(count):
        gang, index = divmod(number, GANG)
        yield "PATCH", f"/api/v1/namespaces/{NAMESPACE}/pods/train-{gang:04}-{index}/status", status, MERGE


def fill(kube: KubeCluster, writer: Writer, nodes: int, pod_count: int) -> None:
    """Bring everything into the API server."""
    kube.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    kube.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    writer.all(machines(nodes))
    writer.all(jobs(pod_count))
    _, found = kube.call("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs?limit=10000")
    owners = [item["metadata"]["uid"] for item in sorted(found["items"], key=lambda one: str(one["metadata"]["name"]))]
    writer.all(pods(pod_count, nodes, owners))
    writer.all(running(pod_count))


def lists(kube: KubeCluster) -> float:
    """Return how many lists the API server has answered so far; those of its own parts are none of ours."""
    tls = ssl.create_default_context(cafile=str(kube.base / "pki" / "ca.crt"))
    tls.load_cert_chain(kube.base / "pki" / "admin.crt", kube.base / "pki" / "admin.key")
    host, _, port = kube.url.removeprefix("https://").partition(":")
    connection = http.client.HTTPSConnection(host, int(port), context=tls, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    asked = re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", text, re.MULTILINE)
    ours = re.compile('(?=.*resource="(?:nodes|pods|jobs)")(?=.*verb="LIST")')
    return sum(float(count) for labels, count in asked if ours.match(labels))


def on_screen(kubeconfig: Path, nodes: int, env: dict[str, str]) -> dict[str, float]:
    """Run the console until it shows all nodes; return its CPU, memory and how long that took."""
    config = Path(env["HOME"]) / "kube.toml"
    config.write_text(f'[[cluster]]\nname = "kube"\nkind = "kubernetes"\nkubeconfig = "{kubeconfig}"\n')
    shown = f"{nodes}/{nodes}"
    with Terminal((*QD, "--config", str(config)), env=env) as terminal:
        took = terminal.wait(lambda screen: shown in "\n".join(screen.display[:4]), 120.0)
        terminal.run(1.0)
        times = [process.cpu_times() for process in terminal.tree()]
        rss = sum(process.memory_info().rss for process in terminal.tree())
    return {"wall_s": took or float("nan"), "cpu_s": sum(one.user + one.system for one in times), "rss": float(rss)}


def said(argv: Sequence[str], timeout_s: float = 300.0) -> list[dict[str, float]]:
    """Return the lines of JSON that a program prints."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@contextmanager
def watched(kubeconfig: str, nodes: int, seconds: float) -> Iterator[Callable[[], dict[str, float]]]:
    """Run a session that has listed everything; what is lent waits for what the seconds after that cost."""
    argv = app("kube_session", kubeconfig, str(nodes), str(seconds))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout
        output.readline()

        def after() -> dict[str, float]:
            found: dict[str, float] = json.loads(output.readline())
            return found

        yield after
        process.wait(30)


class Moving:
    """Changes pods as fast as the server takes it."""

    def __init__(self, writer: Writer, pod_count: int) -> None:
        self._writer, self._pods = writer, pod_count
        self._stopped = threading.Event()
        self._began, self._before = time.perf_counter(), writer.done
        self._threads = [threading.Thread(target=self._go_on, args=(start,)) for start in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _go_on(self, number: int) -> None:
        while not self._stopped.is_set():
            gang, index = divmod(number % self._pods, GANG)
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/train-{gang:04}-{index}/status"
            self._writer.send(("PATCH", path, {"status": {"message": str(number)}}, MERGE))
            number += WRITERS

    def stop(self) -> float:
        """End it; return changes a second."""
        rate = (self._writer.done - self._before) / (time.perf_counter() - self._began)
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        return rate


def run(quick: bool = False) -> Part:
    """Fill a control plane and measure."""
    nodes, pod_count = (500, 2000) if quick else (NODES, PODS)
    part = Part(f"{nodes:,} nodes and {pod_count:,} pods of a real Kubernetes API server")
    with tempfile.TemporaryDirectory(prefix="qd-bench-kube-") as base, home() as env:  # noqa: SIM117
        with KubeCluster(Path(base), KubeCluster.PARTS[:2]) as kube:
            writer = Writer(kube)
            fill(kube, writer, nodes, pod_count)
            kubeconfig = str(kube.kubeconfig())
            (client,) = said(app("kube_client", kubeconfig))
            (listed,) = said(app("kube_session", kubeconfig, str(nodes)))
            screen = on_screen(Path(kubeconfig), nodes, env)
            seconds = 10 if quick else 60
            with watched(kubeconfig, nodes, seconds) as session:
                before = lists(kube)
                rest = session()
                relists = lists(kube) - before
            with watched(kubeconfig, nodes, 20) as session:
                moving = Moving(writer, pod_count)
                moved = session()
                rate = moving.stop()
    percent = 100 * moved["cpu_s"] / moved["wall_s"]
    cpu, memory = client["cpu_s"], client["rss"] / 1e6
    part.rows += [
        Row("listed, read and merged: CPU", listed["cpu_s"], "s", "typed lists", cpu, limit_ratio=0.1),
        Row("on the screen: CPU of the whole console", screen["cpu_s"], "s", "typed lists", cpu),
        Row("on the screen: after", screen["wall_s"], "s", "typed lists", client["wall_s"]),
        Row("memory of the whole console", screen["rss"] / 1e6, "MB", "typed lists", memory, limit_ratio=0.25),
        Row("memory of 10,000 pods", (listed["rss"] - listed["rss_before"]) / 1e6 * 10_000 / pod_count, "MB"),
        Row("the loop held at the most", 1000 * listed["lag_s"], "ms", limit=50),
        Row("lists a minute at rest", relists * 60 / seconds, "", limit=0),
        Row("CPU at rest", 100 * rest["cpu_s"] / rest["wall_s"], "% of a core"),
        Row(f"{rate:,.0f} pod changes a second: CPU", percent, "% of a core"),
        Row("the same for 1,000 a second", percent * 1000 / rate, "% of a core", limit=30),
        Row("the loop held at the most meanwhile", 1000 * moved["lag_s"], "ms", limit=50),
    ]
    part.notes.append(
        "The server, its etcd and whoever changes the pods share the two cores with what is measured. k9s is not "
        "beside it: no package index has it. The import of the client (0.3 s) counts on the screen and nowhere else."
    )
    return part
