"""A real Kubernetes control plane on this machine: etcd, API server, controllers, scheduler, and kwok's fake nodes.

    with KubeCluster(tmp_path) as kube:
        kube.kubeconfig("ann")
        kube.create("/api/v1/namespaces", {"metadata": {"name": "lab"}})

    python -m tests.real.kube_cluster build

All parts are one program that is built once from Go modules (five minutes of both cores of a small machine, 2.9 GB of
cache that is thrown away again) and kept in ~/.cache/quarterdeck or the folder that QD_TEST_CACHE names. Every instance
has its own directory and ports on loopback; nothing outlives it. Kinds whose definitions are not at hand (Kueue, JobSet,
Volcano, Kubeflow, KubeRay, LeaderWorkerSet) are stand-in types with the real groups, versions and names and no schema.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kube_server import Authority

Object = dict[str, Any]
SOURCE = Path(__file__).parent / "kube"
START_S = 60.0
BUILD_S = 1800.0
LOGS = (
    b"2026-11-23T22:00:01.000000001Z stdout F step=1 loss=1.9134\n"
    b"2026-11-23T22:00:19.120000000Z stdout F step=2 loss=1.9127\n"
    b"2026-11-23T22:00:23.140000000Z stdout P step=3 \n"
    b"2026-11-23T22:00:23.140000001Z stdout F loss=1.9141\n"
)
STAND_INS = (
    ("kueue.x-k8s.io", "v1beta1", "Workload", "workloads"),
    ("kueue.x-k8s.io", "v1beta1", "LocalQueue", "localqueues"),
    ("jobset.x-k8s.io", "v1alpha2", "JobSet", "jobsets"),
    ("kubeflow.org", "v1", "PyTorchJob", "pytorchjobs"),
    ("ray.io", "v1", "RayJob", "rayjobs"),
    ("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", "leaderworkersets"),
    ("batch.volcano.sh", "v1alpha1", "Job", "jobs"),
)


def program() -> Path:
    """Return where the program is, or would be: its name tells what it was built from."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((SOURCE / name).read_bytes())
    folder = os.environ.get("QD_TEST_CACHE") or os.path.expanduser("~/.cache/quarterdeck")
    return Path(folder, f"kube-{digest.hexdigest()[:12]}")


def missing() -> str | None:
    """Return why no control plane can be started here; None: it can. No distribution has what it is built from."""
    if shutil.which("openssl") is None:
        return "openssl is not installed"
    if program().exists():
        return None
    if shutil.which("go") is None:
        return f"no Kubernetes: {program()} is not built, and go is not installed"
    wanted = _of_module("go ")
    found = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
    if _numbers(found) < _numbers(wanted):
        return f"no Kubernetes: go {wanted} is needed to build it, this is {found or 'none'}"
    return None


def build() -> Path:
    """Return the program, built when it is not there yet. AssertionError with the last words when that fails."""
    wanted = program()
    if wanted.exists():
        return wanted
    wanted.parent.mkdir(parents=True, exist_ok=True)
    version = _of_module("k8s.io/kubernetes ")
    name = "k8s.io/component-base/version"
    flags = f"-s -w -X {name}.gitVersion={version} -X {name}.gitMajor=1 -X {name}.gitMinor={version.split('.')[1]}"
    part = wanted.with_suffix(f".{os.getpid()}")
    argv = ["nice", "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(part), "."]
    with tempfile.TemporaryDirectory(prefix="kube-build-") as cache:
        environ = {**os.environ, "GOCACHE": cache, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
        done = subprocess.run(
            argv, cwd=SOURCE, env=environ, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
    assert done.returncode == 0, f"go build failed: {done.stderr[-2000:]}"
    part.rename(wanted)
    return wanted


def _of_module(what: str) -> str:
    """Return the version that go.mod says of something."""
    lines = (line.strip() for line in (SOURCE / "go.mod").read_text(encoding="utf-8").splitlines())
    return next(line.split()[1] for line in lines if line.startswith(what))


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def wait_until(done: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Return what `done` gives as soon as it gives anything; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.1)
    return found


class KubeCluster:
    """One control plane. `parts` names what runs; all of it by default."""

    PARTS = ("etcd", "apiserver", "controller-manager", "scheduler", "kwok")

    def __init__(self, base: Path, parts: tuple[str, ...] = PARTS) -> None:
        self.base = base
        self.parts = parts
        self.logs = base / "logs"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._program = build()
        self._tokens: dict[str, str] = {}
        self._pki = base / "pki"

    def __enter__(self) -> KubeCluster:
        try:
            self._prepare()
            for part in self.parts[:2]:
                self.start(part)
            wait_until(self._ready, "the API server", START_S)
            for part in self.parts[2:]:
                self.start(part)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        for part in reversed(list(self._running)):
            self.stop(part, signal.SIGKILL)

    # ---- processes

    def start(self, part: str) -> None:
        """Start a part, or start it again."""
        log = (self.base / f"{part}.log").open("ab")
        self._running[part] = subprocess.Popen(
            [str(self._program), part, *self._flags(part)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.base,
        )
        log.close()

    def stop(self, part: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End a part and wait for it."""
        process = self._running.pop(part)
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(70)

    def signal(self, part: str, what: signal.Signals) -> None:
        """Send a signal (SIGSTOP, SIGCONT) to a part."""
        self._running[part].send_signal(what)

    def ready(self) -> None:
        """Wait until the API server answers."""
        wait_until(self._ready, "the API server", START_S)

    # ---- users

    def kubeconfig(self, user: str = "admin", namespace: str = "default") -> Path:
        """Return a kubeconfig: `admin` may everything by certificate, any other user is known by a token."""
        if user == "admin":
            who: Object = {
                "client-certificate": str(self._pki / "admin.crt"),
                "client-key": str(self._pki / "admin.key"),
            }
        else:
            who = {"token": f"{user}-token"}
        path = self.base / f"{user}.kubeconfig"
        config = {
            "current-context": "kube",
            "clusters": [
                {"name": "kube", "cluster": {"server": self.url, "certificate-authority": str(self._pki / "ca.crt")}}
            ],
            "users": [{"name": user, "user": who}],
            "contexts": [{"name": "kube", "context": {"cluster": "kube", "user": user, "namespace": namespace}}],
        }
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://127.0.0.1:{self._ports[0]}"

    # ---- objects

    def call(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> tuple[int, Object]:
        """Ask the API server as its administrator; return status and answer."""
        tls = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
        tls.load_cert_chain(self._pki / "admin.crt", self._pki / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self._ports[0], context=tls, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(data) if data.startswith(b"{") else {}

    def create(self, path: str, *objects: Object) -> None:
        """Create objects; AssertionError when one is refused."""
        for each in objects:
            code, answer = self.call("POST", path, each)
            assert code in (200, 201, 202), f"POST {path}: {code} {answer.get('message')}"

    def patch(self, path: str, body: Object) -> None:
        """Merge into an object; AssertionError when that is refused."""
        code, answer = self.call("PATCH", path, body, "application/merge-patch+json")
        assert code == 200, f"PATCH {path}: {code} {answer.get('message')}"

    def delete(self, path: str) -> None:
        """Delete an object; AssertionError when that is refused."""
        code, answer = self.call("DELETE", path)
        assert code in (200, 202), f"DELETE {path}: {code} {answer.get('message')}"

    # ---- making it

    def _prepare(self) -> None:
        self._ports = _free_ports(4)
        for folder in (self._pki, self.logs, self.base / "etcd"):
            folder.mkdir(parents=True)
        (self.logs / "train.log").write_bytes(LOGS)
        authority = Authority(self._pki)
        names = "IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc"
        authority.issue("apiserver", f"extendedKeyUsage=serverAuth\nsubjectAltName={names}")
        authority.issue("kubelet", "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1")
        for who, subject in (
            ("admin", "/O=system:masters/CN=admin"),
            ("controller-manager", "/CN=system:kube-controller-manager"),
            ("scheduler", "/CN=system:kube-scheduler"),
        ):
            authority.issue(who, "extendedKeyUsage=clientAuth", subject)
        authority.issue("service-account", "extendedKeyUsage=clientAuth")
        users = ("viewer", "alice", "nobody")
        lines = [f"{user}-token,{user},{number}" for number, user in enumerate(users, 1000)]
        (self._pki / "tokens.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for who in ("controller-manager", "scheduler"):
            self._internal_kubeconfig(who)
        stages = (SOURCE / "kwok.yaml").read_text(encoding="utf-8").replace("@LOGS@", str(self.logs))
        (self.base / "kwok.yaml").write_text(stages, encoding="utf-8")

    def _internal_kubeconfig(self, who: str) -> None:
        ca = base64.b64encode((self._pki / "ca.crt").read_bytes()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": self.url, "certificate-authority-data": ca}}],
            "users": [
                {
                    "name": "x",
                    "user": {"client-certificate": f"{self._pki}/{who}.crt", "client-key": f"{self._pki}/{who}.key"},
                }
            ],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        }
        (self._pki / f"{who}.yaml").write_text(json.dumps(config), encoding="utf-8")

    def _flags(self, part: str) -> list[str]:
        api, etcd, peer, kubelet = self._ports
        pki = self._pki
        internal = [f"--kubeconfig={pki}/{part}.yaml", f"--authentication-kubeconfig={pki}/{part}.yaml",
                    f"--authorization-kubeconfig={pki}/{part}.yaml", "--leader-elect=false", "--bind-address=127.0.0.1",
                    "--secure-port=0"]  # fmt: skip
        flags = {
            "etcd": [
                "--name=one", f"--data-dir={self.base}/etcd", "--unsafe-no-fsync", "--log-level=warn",
                f"--listen-client-urls=http://127.0.0.1:{etcd}", f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster=one=http://127.0.0.1:{peer}",
            ],
            "apiserver": [
                f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
                f"--secure-port={api}", "--endpoint-reconciler-type=none", f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.crt",
                f"--token-auth-file={pki}/tokens.csv", "--authorization-mode=Node,RBAC",
                "--service-cluster-ip-range=10.96.0.0/16", f"--kubelet-client-certificate={pki}/admin.crt",
                f"--kubelet-client-key={pki}/admin.key", f"--kubelet-certificate-authority={pki}/ca.crt",
                "--kubelet-preferred-address-types=InternalIP",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={pki}/service-account.key",
                f"--service-account-signing-key-file={pki}/service-account.key", "--profiling=false",
                "--shutdown-delay-duration=0s",
            ],
            "controller-manager": [
                *internal, f"--service-account-private-key-file={pki}/service-account.key",
                f"--root-ca-file={pki}/ca.crt", "--use-service-account-credentials=true",
                "--controllers=*,-cloud-node-lifecycle,-service-lb-controller,-node-route-controller",
                "--node-monitor-period=2s", "--node-monitor-grace-period=20s",
            ],
            "scheduler": internal,
            "kwok": [
                f"--kubeconfig={self.kubeconfig()}", f"--config={self.base}/kwok.yaml",
                "--manage-nodes-with-label-selector=quarterdeck.test/alive=true", "--node-ip=127.0.0.1",
                f"--node-port={kubelet}", f"--server-address=127.0.0.1:{kubelet}",
                f"--tls-cert-file={pki}/kubelet.crt", f"--tls-private-key-file={pki}/kubelet.key",
                "--node-lease-duration-seconds=40",
            ],
        }  # fmt: skip
        return flags[part]

    def _ready(self) -> bool:
        for part, process in self._running.items():
            if process.poll() is not None:
                words = (self.base / f"{part}.log").read_text(errors="replace")[-2000:]
                raise AssertionError(f"{part} ended with {process.returncode}: {words}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.call("GET", "/readyz")[0] == 200
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


# ---- a small training cluster


def node(name: str, gpus: int = 8, product: str = "NVIDIA-H100-80GB-HBM3") -> Object:
    """Return a node that kwok keeps alive."""
    has = {"cpu": "192", "memory": "2000Gi", "pods": "110", "ephemeral-storage": "7000Gi"}
    labels = {"quarterdeck.test/alive": "true", "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": "hall-1"}
    if gpus:
        has |= {"nvidia.com/gpu": str(gpus), "rdma/hca": "8"}
        labels |= {"nvidia.com/gpu.product": product}
    return {"metadata": {"name": name, "labels": labels}, "status": {"capacity": has, "allocatable": has}}


def pod_spec(gpus: int, **rest: Any) -> Object:
    """Return the spec of a pod that wants GPUs."""
    wants = {"cpu": "1", "memory": "1Gi", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    container = {"name": "train", "image": "example/train", "resources": {"requests": wants, "limits": wants}}
    tolerations = [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]
    return {"restartPolicy": "Never", "containers": [container], "tolerations": tolerations, **rest}


def job(
    name: str, pods: int, spec: Object, notes: Object | None = None, labels: Object | None = None, **rest: Any
) -> Object:
    """Return an Indexed Job."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "parallelism": pods,
            "completions": pods,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "template": {"metadata": {"annotations": notes or {}}, "spec": spec},
            **rest,
        },
    }


def stand_in(group: str, version: str, kind: str, plural: str) -> Object:
    """Return the definition of a custom resource with the names of the real one and no schema of its own."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = {"name": version, "served": True, "storage": True, "subresources": {"status": {}}, "schema": schema}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, stand-in for tests"},
        },
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [served]},
    }


def furnish(kube: KubeCluster) -> None:
    """Fill it: six nodes, two namespaces, stand-in types; alice may edit `lab` and nothing else, viewer reads all."""
    kube.create("/api/v1/nodes", *(node(f"gpu{number}") for number in range(1, 6)), node("cpu1", 0))
    for name in ("lab", "other"):
        kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    kube.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", *(stand_in(*each) for each in STAND_INS))
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    read = ["get", "list", "watch"]
    kube.create(
        f"{rbac}/clusterroles",
        {"metadata": {"name": "reads"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": read}]},
    )
    kube.create(f"{rbac}/clusterrolebindings", _binding("viewer", "reads"))
    kube.create(f"{rbac}/namespaces/lab/rolebindings", _binding("alice", "edit"))
    for name in ("lab", "other"):
        _wait_for(kube, f"/api/v1/namespaces/{name}/serviceaccounts/default")
    wait_until(lambda: _all_ready(kube), "six nodes to report")


def _wait_for(kube: KubeCluster, path: str) -> None:
    wait_until(lambda: kube.call("GET", path)[0] == 200, path)


def _binding(user: str, role: str) -> Object:
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": user},
        "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": group},
    }


def _all_ready(kube: KubeCluster) -> bool:
    nodes = kube.call("GET", "/api/v1/nodes")[1].get("items", [])
    return len(nodes) == 6 and all(
        not any(taint["key"] == "node.kubernetes.io/not-ready" for taint in each["spec"].get("taints", []))
        and any(one["type"] == "Ready" and one["status"] == "True" for one in each["status"].get("conditions", []))
        for each in nodes
    )


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeCluster]:
    """A furnished control plane for all tests."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    with KubeCluster(tmp_path_factory.mktemp("kube")) as found:
        furnish(found)
        yield found


if __name__ == "__main__":
    if sys.argv[1:] != ["build"]:
        sys.exit("usage: python -m tests.real.kube_cluster build")
    print(build())
