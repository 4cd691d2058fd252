"""kubeconfig files as kubectl reads them, and the credentials that come out of them."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from console.errors import ConfigError, Denied, PluginError, TimedOut
from console.transport.local import LocalTransport
from plugins.kubernetes import credentials as credentials_module
from plugins.kubernetes import kubeconfig, plugin
from plugins.kubernetes.credentials import Credentials
from plugins.kubernetes.kubeconfig import Access
from tests.unit.kube_server import Site, write_kubeconfig


def access(path: Path, context: str | None = None) -> Access:
    config = kubeconfig.load((path,))
    assert config is not None
    return config.access(context)


def write(path: Path, **content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


# ---- which files, and what they say together


def test_the_first_file_that_names_something_wins_and_absent_files_do_not_matter(tmp_path: Path) -> None:
    one = write(
        tmp_path / "a" / "one",
        contexts=[{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        clusters=[{"name": "c", "cluster": {"server": "https://one.example:6443/"}}],
    )
    two = write(
        tmp_path / "b" / "two",
        **{"current-context": "prod"},
        clusters=[{"name": "c", "cluster": {"server": "https://two.example"}}],
        users=[{"name": "u", "user": {"token": "t"}}],
    )
    environ = {"KUBECONFIG": f"{one}:{tmp_path / 'absent'}::{two}", "HOME": str(tmp_path)}
    config = kubeconfig.load(kubeconfig.paths(None, environ))
    assert config is not None
    assert config.files == (one, two)
    found = config.access()
    assert (found.server, found.token, found.context) == ("https://one.example:6443", "t", "prod")


def test_secrets_are_not_in_the_words_of_an_access(tmp_path: Path) -> None:
    found = access(write_kubeconfig(tmp_path / "config", "https://x", {"token": "s3cret-token"}))
    assert "s3cret" not in repr(found)
    assert "s3cret" not in str(found)


def test_home_is_looked_at_where_nothing_is_named_and_the_setting_stands_over_all(tmp_path: Path) -> None:
    assert kubeconfig.paths(None, {"HOME": "/home/ann"}) == (Path("/home/ann/.kube/config"),)
    assert kubeconfig.paths("~/a:b", {"HOME": "/home/ann", "KUBECONFIG": "c"}) == (Path("/home/ann/a"), Path("b"))
    assert kubeconfig.paths(None, {}) == ()
    assert kubeconfig.load((tmp_path / "absent",)) is None


def test_paths_are_relative_to_the_file_that_names_them_and_data_stands_over_files(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.crt").write_bytes(b"AUTHORITY")
    path = write_kubeconfig(
        tmp_path / "config",
        "https://x",
        {"tokenFile": "pki/token", "client-certificate": "pki/c.crt", "client-key": "pki/c.key"},
        **{"certificate-authority": "pki/ca.crt", "tls-server-name": "kube.example", "proxy-url": "http://proxy:3128"},
    )
    found = access(path)
    assert found.ca == b"AUTHORITY"
    assert found.token_file == tmp_path / "pki" / "token"
    assert found.certificate_files == (tmp_path / "pki" / "c.crt", tmp_path / "pki" / "c.key")
    assert (found.tls_server_name, found.proxy, found.verify) == ("kube.example", "http://proxy:3128", True)
    data = base64.b64encode(b"DATA").decode()
    both: dict[str, Any] = {"certificate-authority": "pki/ca.crt", "certificate-authority-data": data}
    path = write_kubeconfig(tmp_path / "config", "https://x", **both)
    assert access(path).ca == b"DATA"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("contexts: [", "is no YAML"),
        ("- a\n- b\n", "is no kubeconfig"),
        ("contexts: 5\n", "contexts is no list"),
        ("contexts: [{context: {}}]\n", "an entry of contexts has no name"),
        ("{}", "no context is chosen"),
        ("current-context: prod\n", "there is no context prod"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n", "a cluster that does not exist: c"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
            "clusters: [{name: c, cluster: {server: 'https://x'}}]\n",
            "a user that does not exist: u",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {}}]\n",
            "names no server",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n"
            "clusters: [{name: c, cluster: {server: 5}}]\n",
            "server is no text",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n"
            "clusters: [{name: c, cluster: {server: 'https://x', certificate-authority: gone.crt}}]\n",
            "certificate-authority cannot be read",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "config"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        access(path)
    assert says in error.value.what
    assert str(path) in error.value.where
    assert error.value.hint


def test_yaml_of_a_stranger_makes_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("contexts: !!python/object/apply:os.system ['touch /tmp/owned']\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is no YAML"):
        access(path)


def test_a_pod_reaches_its_own_server(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    assert kubeconfig.in_cluster(environ, tmp_path) is None
    (tmp_path / "token").write_text("t", encoding="utf-8")
    (tmp_path / "ca.crt").write_text("CA", encoding="utf-8")
    (tmp_path / "namespace").write_text("lab\n", encoding="utf-8")
    found = kubeconfig.in_cluster(environ, tmp_path)
    assert found is not None
    assert (found.server, found.namespace, found.token_file) == ("https://[fd00::1]:443", "lab", tmp_path / "token")
    assert kubeconfig.in_cluster({}, tmp_path) is None


# ---- detect


async def test_detect_offers_the_current_context_without_asking_anybody(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://192.0.2.1:6443")
    site = Site({"KUBECONFIG": str(path)})
    started = time.monotonic()
    (found,) = await plugin.detect(site)
    assert time.monotonic() - started < 5, "192.0.2.1 answers nobody: it was not to be asked"
    assert found.cluster == "lab"
    assert found.settings == {"context": "lab"}
    assert "192.0.2.1" in found.evidence
    assert str(path) in found.evidence


async def test_detect_finds_nothing_where_no_context_is_current_and_says_what_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("contexts: []\n", encoding="utf-8")
    assert await plugin.detect(Site({"KUBECONFIG": str(path)})) == []
    path.write_text("contexts: [", encoding="utf-8")
    with pytest.raises(ConfigError):
        await plugin.detect(Site({"KUBECONFIG": str(path)}))


async def test_names_that_clouds_give_contexts_become_short(tmp_path: Path) -> None:
    path = write(
        tmp_path / "config",
        **{"current-context": "arn:aws:eks:eu-1:1:cluster/prod east"},
        contexts=[{"name": "arn:aws:eks:eu-1:1:cluster/prod east", "context": {"cluster": "c"}}],
        clusters=[{"name": "c", "cluster": {"server": "https://x"}}],
    )
    (found,) = await plugin.detect(Site({"KUBECONFIG": str(path)}))
    assert found.cluster == "prod-east"


async def test_without_the_package_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["plugins.kubernetes.plugin"], "find_spec", lambda _name: None)
    site = Site({"KUBECONFIG": str(write_kubeconfig(tmp_path / "config", "https://x"))})
    with pytest.raises(PluginError) as error:
        await plugin.detect(site)
    assert "pip install" in error.value.hint
    with pytest.raises(PluginError):
        plugin.open(plugin.settings_type(), site)


# ---- credentials

EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "interactiveMode": "IfAvailable"}


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def credential(**status: str) -> str:
    return json.dumps({"apiVersion": EXEC["apiVersion"], "kind": "ExecCredential", "status": status})


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def login(tmp_path: Path, user: dict[str, Any], clock: Clock | None = None) -> Credentials:
    found = access(write_kubeconfig(tmp_path / "config", "https://x:6443", user))
    return Credentials(found, LocalTransport(), clock or Clock())


async def test_an_exec_plugin_is_run_beside_the_kubeconfig_without_input_and_told_what_it_needs(tmp_path: Path) -> None:
    script(
        tmp_path / "login",
        'printf "%s" "$KUBERNETES_EXEC_INFO" > info; cat > input; printf "%s" "$MODE $1" > args\n'
        f"echo '{credential(token='abc')}'",
    )
    user = {"exec": {**EXEC, "args": ["get"], "env": [{"name": "MODE", "value": "eks"}], "provideClusterInfo": True}}
    script(tmp_path / "login", f"cd {tmp_path}\n" + (tmp_path / "login").read_text().split("\n", 1)[1])
    secret = await login(tmp_path, user).secret()
    assert secret.authorization == "Bearer abc"
    info = json.loads((tmp_path / "info").read_text())
    assert info["spec"]["interactive"] is False
    assert info["spec"]["cluster"]["server"] == "https://x:6443"
    assert (tmp_path / "input").read_bytes() == b"", "it must not read the console's keys"
    assert (tmp_path / "args").read_text() == "eks get"


async def test_an_exec_plugin_is_run_again_when_its_token_expires_and_when_it_is_refused(tmp_path: Path) -> None:
    clock = Clock()
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock.now + 300))
    runs = tmp_path / "runs"
    script(tmp_path / "login", f"echo x >> {runs}\necho '{credential(token='t', expirationTimestamp=soon)}'")
    held = login(tmp_path, {"exec": EXEC}, clock)
    first = await held.secret()
    assert await held.secret() is first
    clock.now += 299
    assert await held.secret() is not first
    assert runs.read_text().count("x") == 2
    clock.now -= 299
    held.refused(await held.secret())
    await held.secret()
    assert runs.read_text().count("x") == 3


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("echo 'log in first: https://sso.example' >&2; exit 1", "failed with status 1: log in first"),
        ("echo '\x1b[31mred\x1b[0m' >&2; exit 3", "failed with status 3: red"),
        ("echo hello", "no ExecCredential"),
        ('echo \'{"apiVersion":"v1","kind":"ExecCredential","status":{"token":"t"}}\'', "speaks v1"),
        (f"echo '{credential()}'", "neither a token nor a certificate"),
        (f"echo '{credential(clientCertificateData='c')}'", "neither a token nor a certificate"),
    ],
)
async def test_an_exec_plugin_that_fails_is_named_with_its_own_words(tmp_path: Path, body: str, says: str) -> None:
    script(tmp_path / "login", body)
    with pytest.raises(Denied) as error:
        await login(tmp_path, {"exec": EXEC}).secret()
    assert says in error.value.what
    assert "./login of context lab" in error.value.where
    assert "\x1b" not in str(error.value)
    assert error.value.hint


async def test_an_exec_plugin_that_is_absent_or_wants_a_terminal_or_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = {"exec": {**EXEC, "command": "no-such-login", "installHint": "brew install it"}}
    with pytest.raises(Denied) as error:
        await login(tmp_path, absent).secret()
    assert (error.value.what, error.value.hint) == ("its exec plugin is not installed", "brew install it")
    with pytest.raises(Denied, match="wants a terminal"):
        await login(tmp_path, {"exec": {**EXEC, "interactiveMode": "Always"}}).secret()
    monkeypatch.setattr(credentials_module, "EXEC_TIMEOUT_S", 0.2)
    script(tmp_path / "login", "sleep 60")
    with pytest.raises(TimedOut, match="does not end"):
        await login(tmp_path, {"exec": EXEC}).secret()


async def test_a_plugin_that_a_person_answers_outlives_who_gave_up_waiting(tmp_path: Path) -> None:
    runs, go = tmp_path / "runs", tmp_path / "go"
    wait = f"while [ ! -e {go} ]; do sleep 0.05; done"
    script(tmp_path / "login", f"echo x >> {runs}\n{wait}\necho '{credential(token='t')}'")
    held = login(tmp_path, {"exec": EXEC})
    for _ in range(2):
        waiting = asyncio.create_task(held.secret())
        async with asyncio.timeout(20):
            while not runs.exists():
                await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait({waiting})
    go.touch()
    assert (await asyncio.wait_for(held.secret(), 20)).authorization == "Bearer t"
    assert runs.read_text() == "x\n", "run once"
    await held.close()


async def test_close_ends_a_plugin_that_still_waits(tmp_path: Path) -> None:
    script(tmp_path / "login", f"echo $$ > {tmp_path}/pid\nexec sleep 600")
    held = login(tmp_path, {"exec": EXEC})
    waiting = asyncio.create_task(held.secret())
    async with asyncio.timeout(20):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            await asyncio.sleep(0.01)
    pid = (tmp_path / "pid").read_text().strip()
    await asyncio.wait_for(held.close(), 20)
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert not Path("/proc", pid).exists()


async def test_an_exec_plugin_may_give_a_certificate(tmp_path: Path) -> None:
    script(tmp_path / "login", f"echo '{credential(clientCertificateData='CERT', clientKeyData='KEY')}'")
    secret = await login(tmp_path, {"exec": EXEC}).secret()
    assert (secret.authorization, secret.certificate, secret.key) == (None, b"CERT", b"KEY")


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "token").write_text("one\n", encoding="utf-8")
    held = login(tmp_path, {"tokenFile": "token"}, clock)
    assert (await held.secret()).authorization == "Bearer one"
    (tmp_path / "token").write_text("two\n", encoding="utf-8")
    assert (await held.secret()).authorization == "Bearer one"
    clock.now += 61
    assert (await held.secret()).authorization == "Bearer two"
    (tmp_path / "token").unlink()
    clock.now += 61
    with pytest.raises(Denied, match="token file cannot be read"):
        await held.secret()


async def test_passwords_and_impersonation(tmp_path: Path) -> None:
    user = {"username": "ann", "password": "pw", "as": "bob", "as-groups": ["dev"]}
    held = login(tmp_path, user)
    assert (await held.secret()).authorization == "Basic " + base64.b64encode(b"ann:pw").decode()
    assert held.access.impersonate == {"Impersonate-User": "bob", "Impersonate-Group": "dev"}


async def test_an_auth_provider_is_left_to_the_official_client(tmp_path: Path) -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": 4_000_000_000}).encode()).decode().rstrip("=")
    provider = {"name": "oidc", "config": {"id-token": f"h.{payload}.s", "client-id": "q"}}
    assert (await login(tmp_path, {"auth-provider": provider}).secret()).authorization == f"Bearer h.{payload}.s"
    with pytest.raises(Denied, match="auth-provider"):
        await login(tmp_path, {"auth-provider": {"name": "oidc", "config": {}}}).secret()
    with pytest.raises(Denied, match="not known"):
        await login(tmp_path, {"auth-provider": {"name": "azure", "config": {}}}).secret()
