"""An API server of ours for tests: real HTTP, with TLS by a CA of its own where asked, recorded or made-up objects.

It pages, watches, sends bookmarks, forgets old versions, refuses, hangs and breaks as it is told, and keeps a record
of what it was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from console.transport.local import LocalTransport

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kubernetes"
Object = dict[str, Any]


def recorded(name: str) -> bytes:
    """Return a recorded body by its name without suffixes."""
    for suffix in (".json", ".txt"):
        if (path := FIXTURES / f"{name}{suffix}").exists():
            return path.read_bytes()
        if (path := FIXTURES / f"{name}{suffix}.gz").exists():
            return gzip.decompress(path.read_bytes())
    raise FileNotFoundError(name)


def items(name: str) -> list[Object]:
    """Return the objects of a recorded list."""
    return list(json.loads(recorded(name))["items"])


RECORDED = {
    "/api/v1/nodes": "nodes",
    "/api/v1/pods": "pods",
    "/apis/batch/v1/jobs": "jobs",
    "/apis/jobset.x-k8s.io/v1alpha2/jobsets": "jobsets",
    "/apis/scheduling.volcano.sh/v1beta1/podgroups": "volcano-podgroups",
    "/apis/kueue.x-k8s.io/v1beta1/workloads": "kueue-workloads",
    "/apis/kueue.x-k8s.io/v1beta1/localqueues": "kueue-localqueues",
    "/apis/kueue.x-k8s.io/v1beta1/clusterqueues": "kueue-clusterqueues",
    "/apis/trainer.kubeflow.org/v1alpha1/trainjobs": "trainjobs-empty",
    "/api/v1/events": "events-core",
    "/api/v1/resourcequotas": "resourcequotas",
}
"""Path of a whole list to the recording of it."""


def status(code: int, reason: str, message: str, **more: Any) -> bytes:
    """Return a Status body."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return json.dumps({**body, "message": message, "reason": reason, "code": code, **more}).encode()


@dataclass
class Fault:
    """What happens instead of an answer, to requests whose path and query hold `match`."""

    match: str
    code: int = 0
    """0: no answer at all, the connection is dropped; -1: none for ever."""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1 << 30
    without: str = ""
    """Only requests that do not hold this."""


@dataclass
class KubeServer:
    """Start it with `async with server.running():`."""

    lists: dict[str, list[Object]] = field(default_factory=dict)
    page_size: int = 0
    """Pages are at most so long, whatever is asked for; 0: as asked for."""
    tokens: dict[str, str] | None = None
    """Token to user; None: everybody may come in."""
    forbidden: set[str] = field(default_factory=set)
    """Resources that may not be listed in the whole cluster: `nodes`, `workloads.kueue.x-k8s.io`."""
    namespaces: set[str] = field(default_factory=set)
    """Namespaces in which everything may be listed nevertheless."""
    discovery: bytes = b""
    asked: list[str] = field(default_factory=list)
    """METHOD path?query of every request."""
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    """`namespace/pod` to its log with times; absent: 204."""
    version: int = 1000
    oldest: int = 0
    """Watches from before this version are too old."""
    bookmarks_s: float | None = None
    port: int = 0
    tls: ssl.SSLContext | None = None
    _history: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    """(version, list, namespace, line) of every event, for watches from an older version."""
    _watchers: list[tuple[str, str, asyncio.Queue[bytes | None]]] = field(default_factory=list)
    _log_waiters: list[asyncio.Queue[bytes | None]] = field(default_factory=list)

    @classmethod
    def of_recordings(cls) -> KubeServer:
        """Return a server with the recorded cluster."""
        server = cls(discovery=recorded("discovery-aggregated"))
        server.lists = {path: items(name) for path, name in RECORDED.items()}
        server.lists |= {f"/apis/resource.k8s.io/v1/{plural}": [] for plural in ("resourceclaims", "resourceslices")}
        return server

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[KubeServer]:
        """Listen on a free port (or again on the one it had) until the block ends."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self.tls, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            self.end_watches()
            await runner.cleanup()

    # ---- what happens in the cluster

    def put(self, path: str, new: Object) -> None:
        """Create or replace an object of a list and tell the watchers."""
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        held = self.lists.setdefault(path, [])
        for index, old in enumerate(held):
            if _name(old) == _name(new):
                held[index] = new
                return self._tell(path, "MODIFIED", new)
        held.append(new)
        return self._tell(path, "ADDED", new)

    def delete(self, path: str, namespace: str, name: str) -> None:
        """Delete an object and tell the watchers."""
        self.version += 1
        held = self.lists[path]
        gone = next(each for each in held if _name(each) == (namespace, name))
        held.remove(gone)
        self._tell(path, "DELETED", {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}})

    def forget(self) -> None:
        """Compact: no version up to now can be watched from any more."""
        self.version += 1
        self.oldest = self.version

    def send(self, path: str, line: bytes) -> None:
        """Send a line to the watchers of a list as it is."""
        for watched, _namespace, queue in self._watchers:
            if watched == path:
                queue.put_nowait(line)

    def end_watches(self) -> None:
        """End every stream cleanly."""
        for _path, _namespace, queue in self._watchers:
            queue.put_nowait(None)
        for queue in self._log_waiters:
            queue.put_nowait(None)

    def write_log(self, line: bytes) -> None:
        """Send a line to everybody who follows a log."""
        for queue in self._log_waiters:
            queue.put_nowait(line)

    def _tell(self, path: str, kind: str, each: Object) -> None:
        line = json.dumps({"type": kind, "object": each}).encode() + b"\n"
        self._history.append((self.version, path, each["metadata"].get("namespace", ""), line))
        for watched, namespace, queue in self._watchers:
            if watched == path and namespace in ("", each["metadata"].get("namespace", "")):
                queue.put_nowait(line)

    def watches(self, path: str) -> int:
        """Return how many watch a list now."""
        return sum(1 for watched, _namespace, _queue in self._watchers if watched == path)

    def count(self, what: str, without: str = "watch=1") -> int:
        """Return how many requests held a text, and not another."""
        return sum(1 for line in self.asked if what in line and (not without or without not in line))

    # ---- answers

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        line = f"{request.method} {request.path_qs}"
        self.asked.append(line)
        self.headers.append(dict(request.headers))
        fault = next((each for each in self.faults if each.match in line and not _holds(each.without, line)), None)
        if fault is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
            return await self._fail(fault, request)
        if self.tokens is not None:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer" or token not in self.tokens:
                return _json(recorded("nodes-expired"), 401)
        if request.method == "POST" and request.path.endswith("/eviction"):
            return await self._evict(request)
        if request.method == "POST":
            return await self._review(request)
        if request.path == "/version":
            return _json(recorded("version"))
        if request.path == "/apis":
            return _json(self.discovery)
        if request.path.endswith("/log"):
            return await self._log(request)
        return await self._objects(request)

    async def _fail(self, fault: Fault, request: web.Request) -> web.StreamResponse:
        if fault.code == -1:
            await asyncio.sleep(3600)
        if fault.code == 0:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(status=fault.code, body=fault.body, headers=fault.headers)

    async def _objects(self, request: web.Request) -> web.StreamResponse:
        if len(request.path.strip("/").split("/")) < 4 and request.path.startswith("/apis/"):
            return web.Response(status=404, text="404 page not found")
        path, namespace, plural, name = _split(request.path)
        held = self.lists.get(path)
        if held is None:
            return web.Response(status=404, text="404 page not found")
        group = path.split("/")[2] if path.startswith("/apis/") else ""
        resource = f"{plural}.{group}" if group else plural
        if resource in self.forbidden and namespace not in self.namespaces:
            scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
            verb = "watch" if "watch" in request.query else "list"
            said = f'{resource} is forbidden: User "alice" cannot {verb} resource "{plural}" in API group "{group}" {scope}'
            return _json(status(403, "Forbidden", said), 403)
        if namespace:
            held = [each for each in held if each["metadata"].get("namespace") == namespace]
        if name:
            found = next((each for each in held if each["metadata"]["name"] == name), None)
            if found is None:
                return _json(status(404, "NotFound", f'{plural} "{name}" not found'), 404)
            return _json(json.dumps(found).encode())
        held = [each for each in held if _selected(each, request.query)]
        if "watch" in request.query:
            return await self._watch(path, namespace, request)
        return self._list(held, request)

    def _list(self, held: list[Object], request: web.Request) -> web.StreamResponse:
        limit = int(request.query.get("limit", "0")) or len(held)
        limit = min(limit, self.page_size or limit) or 1
        start = int(request.query.get("continue", "0"))
        more = str(start + limit) if start + limit < len(held) else ""
        meta = {"resourceVersion": str(self.version), "continue": more}
        body = {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": held[start : start + limit]}
        return _json(json.dumps(body).encode())

    async def _watch(self, path: str, namespace: str, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        entry = (path, namespace, queue)
        await response.prepare(request)
        if int(request.query.get("resourceVersion") or self.version) < self.oldest:
            await response.write(recorded("watch-expired"))
            return response
        self._watchers.append(entry)
        since = int(request.query.get("resourceVersion") or self.version)
        for version, listed, where, past in self._history:
            if listed == path and version > since and namespace in ("", where):
                queue.put_nowait(past)
        try:
            while True:
                line: bytes | None
                try:
                    async with asyncio.timeout(self.bookmarks_s):
                        line = await queue.get()
                except TimeoutError:
                    meta = {"resourceVersion": str(self.version)}
                    line = json.dumps({"type": "BOOKMARK", "object": {"metadata": meta}}).encode() + b"\n"
                if line is None:
                    return response
                await response.write(line)
        finally:
            self._watchers.remove(entry)

    async def _log(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.split("/")
        text = self.logs.get(f"{parts[4]}/{parts[6]}")
        if text is None:
            return web.Response(status=204)
        lines = text.splitlines(keepends=True)
        if "tailLines" in request.query:
            count = int(request.query["tailLines"])
            lines = lines[-count:] if count else []
        if since := request.query.get("sinceTime"):
            # To the second, as the API server hands it on.
            lines = [line for line in lines if line[:19] >= since[:19].encode()]
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"".join(lines))
        if "follow" in request.query:
            queue: asyncio.Queue[bytes | None] = asyncio.Queue()
            self._log_waiters.append(queue)
            try:
                while (line := await queue.get()) is not None:
                    await response.write(line)
            finally:
                self._log_waiters.remove(queue)
        return response

    async def _evict(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.split("/")
        self.delete("/api/v1/pods", parts[4], parts[6])
        return _json(status(201, "", ""), 201)

    async def _review(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("selfsubjectreviews"):
            return _json(recorded("whoami-admin"), 201)
        asks = (await request.json())["spec"]["resourceAttributes"]
        resource = f"{asks['resource']}.{asks['group']}" if asks.get("group") else asks["resource"]
        allowed = resource not in self.forbidden or asks.get("namespace") in self.namespaces
        return _json(json.dumps({"status": {"allowed": allowed}}).encode(), 201)


def _holds(text: str, line: str) -> bool:
    return bool(text) and text in line


def _json(body: bytes, code: int = 200) -> web.Response:
    return web.Response(status=code, body=body, content_type="application/json")


def _name(each: Object) -> tuple[str, str]:
    return each["metadata"].get("namespace", ""), each["metadata"]["name"]


def _split(path: str) -> tuple[str, str, str, str]:
    """Return (path of the list in all namespaces, namespace, plural, name)."""
    parts = path.strip("/").split("/")
    root, rest = parts[: 2 if parts[0] == "api" else 3], parts[2 if parts[0] == "api" else 3 :]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    return "/" + "/".join([*root, rest[0]]), namespace, rest[0], rest[1] if len(rest) > 1 else ""


def _selected(each: Object, query: Any) -> bool:
    for name, value in (pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair):
        if each["metadata"].get("labels", {}).get(name) != value:
            return False
    selector = query.get("fieldSelector", "")
    if selector.startswith("involvedObject.name="):
        return bool(each["involvedObject"]["name"] == selector.partition("=")[2])
    if selector.startswith("spec.nodeName="):
        return bool(each["spec"].get("nodeName") == selector.partition("=")[2])
    return True


# ---- certificates and kubeconfigs


class Authority:
    """A certificate authority in a folder, made with openssl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.crt"
        self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
        extensions = ("-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=critical,keyCertSign")
        self._run(
            "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=test", "-days", "9", "-out", "ca.crt", *extensions
        )

    def issue(self, name: str, extensions: str, subject: str = "") -> tuple[Path, Path]:
        """Return (certificate, key) of a new identity."""
        (self.folder / f"{name}.ext").write_text(
            f"subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n{extensions}\n", encoding="utf-8"
        )
        self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
        self._run("req", "-new", "-key", f"{name}.key", "-subj", subject or f"/CN={name}", "-out", f"{name}.csr")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9", "-extfile", f"{name}.ext")
        self._run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signed)
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def server(self, *, ask_client: bool = False) -> ssl.SSLContext:
        """Return a server's context for 127.0.0.1, which may insist on a client certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server", "subjectAltName=IP:127.0.0.1,DNS:kube.example"))
        if ask_client:
            context.load_verify_locations(self.certificate)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)


def write_kubeconfig(
    path: Path, server: str, user: Object | None = None, *, namespace: str = "", **cluster: Any
) -> Path:
    """Write a kubeconfig with one context called `lab`."""
    context = {"cluster": "lab", "user": "ann", **({"namespace": namespace} if namespace else {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "ann", "user": user or {}}],
        "contexts": [{"name": "lab", "context": context}],
    }
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    return path


class Site:
    """A site with an environment of its own."""

    def __init__(self, environ: dict[str, str], cluster: str = "kube") -> None:
        self.environ: Mapping[str, str] = environ
        self.cluster = cluster
        self.clock: float | None = None
        self.local = LocalTransport()

    def which(self, program: str) -> str | None:
        """See `console.plugin.Site`."""
        return None

    def transport(self, via: str | None = None) -> Any:
        """See `console.plugin.Site`."""
        return self.local

    def expand(self, nodeset: str) -> list[str]:
        """See `console.plugin.Site`."""
        return [nodeset]

    def now(self) -> float:
        """See `console.plugin.Site`; `clock` stops it."""
        return time.time() if self.clock is None else self.clock
