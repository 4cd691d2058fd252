"""Reads kubeconfig files as kubectl does: several merged, paths relative to the file that names them.

Neither the package `kubernetes` nor the network is touched: this is also how `detect` looks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from console.errors import ConfigError
from console.text import clean

_MAX_BYTES = 16 << 20
INSTALL_HINT = "pip install 'quarterdeck[kubernetes]'"
_HINT = "kubectl config view shows what is read"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ExecPlugin(msgspec.Struct, frozen=True):
    """A program that gives credentials."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    api_version: str
    folder: Path
    """Where a command with a slash in it is relative to."""
    install_hint: str = ""
    provide_cluster_info: bool = False
    always_asks: bool = False
    """`interactiveMode: Always`: it cannot work without a terminal of its own."""


class Access(msgspec.Struct, frozen=True):
    """How one API server is reached, and as whom; nothing of it has been tried yet."""

    server: str
    origin: str
    """Where this stands, for errors: `context prod in /home/ann/.kube/config`."""
    context: str | None = None
    namespace: str | None = None
    user: str = ""
    """The user's name in the kubeconfig."""
    ca: bytes | None = None
    """PEM; None: those of the system."""
    verify: bool = True
    tls_server_name: str | None = None
    proxy: str | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    certificate_files: tuple[Path, Path] | None = None
    """Read anew whenever a connection is set up: they rotate."""
    token: str | None = None
    token_file: Path | None = None
    basic: tuple[str, str] | None = None
    exec_plugin: ExecPlugin | None = None
    auth_provider: Mapping[str, Any] | None = None
    impersonate: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """Without its secrets: it may end in a traceback."""
        return f"Access({self.server!r}, {self.origin!r})"


class _Entry(msgspec.Struct, frozen=True):
    value: Mapping[str, Any]
    folder: Path


class Kubeconfig(msgspec.Struct):
    """The merged content of the files; the first that names something wins."""

    files: tuple[Path, ...]
    current: str | None
    contexts: dict[str, _Entry]
    clusters: dict[str, _Entry]
    users: dict[str, _Entry]

    @property
    def where(self) -> str:
        """Return the files in words."""
        return clean(":".join(map(str, self.files)))

    def access(self, context: str | None = None) -> Access:
        """Return how a context is reached (None: the current one). ConfigError when it cannot be."""
        name = self.current if context is None else context
        if not name:
            raise ConfigError("no context is chosen", self.where, "kubectl config use-context NAME, or set context")
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)[:20]) or "none"
            raise ConfigError(f"there is no context {clean(name)}", self.where, clean(f"contexts: {known}"))
        chosen = self.contexts[name].value
        cluster = self._named("cluster", self.clusters, chosen, name)
        user = self._user(chosen, name)
        origin = f"context {clean(name)} in {self.where}"
        server = _text(cluster.value, "server", origin)
        if not server:
            raise ConfigError("its cluster names no server", origin, _HINT)
        return Access(
            server=server.rstrip("/"),
            origin=origin,
            context=name,
            namespace=_text(chosen, "namespace", origin) or None,
            user=_text(chosen, "user", origin) or "",
            ca=_data(cluster, "certificate-authority", origin),
            verify=cluster.value.get("insecure-skip-tls-verify") is not True,
            tls_server_name=_text(cluster.value, "tls-server-name", origin) or None,
            proxy=_text(cluster.value, "proxy-url", origin) or None,
            **_identity(user, origin),
        )

    def _named(self, kind: str, table: dict[str, _Entry], chosen: Mapping[str, Any], context: str) -> _Entry:
        name = chosen.get(kind)
        if not isinstance(name, str) or name not in table:
            what = f"context {clean(context)} names a {kind} that does not exist: {clean(str(name))}"
            raise ConfigError(what, self.where, _HINT)
        return table[name]

    def _user(self, chosen: Mapping[str, Any], context: str) -> _Entry:
        if not chosen.get("user"):
            return _Entry({}, Path())
        return self._named("user", self.users, chosen, context)


def paths(configured: str | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files to read, in order: the setting, KUBECONFIG, ~/.kube/config."""
    home = environ.get("HOME", "")
    text = configured or environ.get("KUBECONFIG") or ""
    named = [part for part in text.split(":") if part]
    if not named:
        return (Path(home, ".kube", "config"),) if home else ()
    return tuple(Path(home, part[2:]) if part.startswith("~/") else Path(part) for part in named)


def load(files: tuple[Path, ...]) -> Kubeconfig | None:
    """Return the merged files; None when none of them exists. ConfigError when one cannot be read or understood."""
    merged = Kubeconfig((), None, {}, {}, {})
    found: list[Path] = []
    for path in files:
        content = _read(path)
        if content is None:
            continue
        found.append(path)
        current = content.get("current-context")
        if not merged.current and isinstance(current, str):
            merged.current = current
        for plural, singular, table in (
            ("contexts", "context", merged.contexts),
            ("clusters", "cluster", merged.clusters),
            ("users", "user", merged.users),
        ):
            for name, value in _entries(content, plural, singular, path):
                table.setdefault(name, _Entry(value, path.parent))
    merged.files = tuple(found)
    return merged if found else None


def absent(files: tuple[Path, ...]) -> ConfigError:
    """Return that there is nothing to read."""
    where = clean(":".join(map(str, files))) or "no HOME, no KUBECONFIG"
    return ConfigError("there is no kubeconfig", where, "log in as you do for kubectl, or set kubeconfig")


def in_cluster(environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Access | None:
    """Return how the API server is reached from the pod that we run in; None when we do not."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (folder / "token").is_file():
        return None
    try:
        ca = (folder / "ca.crt").read_bytes()
        namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        ca, namespace = None, ""
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(
        server=server,
        origin="the service account of this pod",
        namespace=namespace or None,
        user="service account",
        ca=ca,
        token_file=folder / "token",
    )


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}", clean(str(path)), "mend it, or its rights"
        ) from None
    import yaml

    try:
        content = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise ConfigError("is no YAML", clean(where), "mend it, or name another: KUBECONFIG=…") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError("is no kubeconfig", clean(str(path)), "name another: KUBECONFIG=…")
    return content


def _entries(content: Mapping[str, Any], plural: str, singular: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    listed = content.get(plural) or []
    if not isinstance(listed, list):
        raise ConfigError(f"{plural} is no list", clean(str(path)), _HINT)
    found: list[tuple[str, Mapping[str, Any]]] = []
    for each in listed:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise ConfigError(f"an entry of {plural} has no name", clean(str(path)), _HINT)
        value = each.get(singular) or {}
        if not isinstance(value, dict):
            raise ConfigError(f"{clean(each['name'])} in {plural} is no table", clean(str(path)), _HINT)
        found.append((each["name"], value))
    return found


def _text(table: Mapping[str, Any], key: str, origin: str) -> str:
    value = table.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ConfigError(f"{key} is no text", origin, _HINT)
    return value


def _data(entry: _Entry, key: str, origin: str) -> bytes | None:
    """Return what KEY-data holds, or the file that KEY names; data wins, as in kubectl."""
    if text := _text(entry.value, f"{key}-data", origin):
        try:
            return base64.b64decode(text, validate=False)
        except (binascii.Error, ValueError):
            raise ConfigError(f"{key}-data is no base64", origin, _HINT) from None
    if name := _text(entry.value, key, origin):
        path = entry.folder / name
        try:
            return path.read_bytes()
        except OSError as error:
            what = f"{key} cannot be read: {clean(str(path))}: {error.strerror}"
            raise ConfigError(what, origin, _HINT) from None
    return None


def _identity(entry: _Entry, origin: str) -> dict[str, Any]:
    """Return the fields of Access that say who we are."""
    user = entry.value
    found: dict[str, Any] = {"impersonate": _impersonated(user, origin)}
    certificate, key = _text(user, "client-certificate", origin), _text(user, "client-key", origin)
    if certificate and key and not user.get("client-certificate-data") and not user.get("client-key-data"):
        found["certificate_files"] = (entry.folder / certificate, entry.folder / key)
    else:
        found["certificate"] = _data(entry, "client-certificate", origin)
        found["key"] = _data(entry, "client-key", origin)
    if name := _text(user, "tokenFile", origin):
        found["token_file"] = entry.folder / name
    elif token := _text(user, "token", origin):
        found["token"] = token
    elif user.get("username"):
        found["basic"] = (_text(user, "username", origin), _text(user, "password", origin))
    elif isinstance(user.get("exec"), dict):
        found["exec_plugin"] = _exec(user["exec"], entry.folder, origin)
    elif isinstance(user.get("auth-provider"), dict):
        found["auth_provider"] = user["auth-provider"]
    return found


def _impersonated(user: Mapping[str, Any], origin: str) -> dict[str, str]:
    headers = {}
    if name := _text(user, "as", origin):
        headers["Impersonate-User"] = name
    if uid := _text(user, "as-uid", origin):
        headers["Impersonate-Uid"] = uid
    if user.get("as-groups"):
        # aiohttp takes one header once; the API server reads several groups from several headers only.
        groups = [group for group in user["as-groups"] if isinstance(group, str)]
        if len(groups) > 1:
            raise ConfigError("as-groups names more than one group", origin, "use a context with one, or none")
        headers["Impersonate-Group"] = groups[0] if groups else ""
    return headers


def _exec(table: Mapping[str, Any], folder: Path, origin: str) -> ExecPlugin:
    command = _text(table, "command", origin)
    if not command:
        raise ConfigError("its exec plugin has no command", origin, _HINT)
    variables = table.get("env") or []
    return ExecPlugin(
        command=command,
        args=tuple(str(arg) for arg in table.get("args") or ()),
        env={str(each.get("name")): str(each.get("value", "")) for each in variables if isinstance(each, dict)},
        api_version=_text(table, "apiVersion", origin) or "client.authentication.k8s.io/v1",
        folder=folder,
        install_hint=clean(_text(table, "installHint", origin), limit=300),
        provide_cluster_info=table.get("provideClusterInfo") is True,
        always_asks=table.get("interactiveMode") == "Always",
    )
