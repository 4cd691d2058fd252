"""The HTTP client on a real server: what it sends, what it refuses to do, and what each fault is called."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ipaddress
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from console.errors import (
    BadAnswer,
    ConfigError,
    ConnectionLost,
    Denied,
    SourceError,
    TimedOut,
    Unreachable,
    Unsupported,
)
from console.transport.http import HttpClient, HttpFailure, NotThere, address, checked_url
from console.transport.secret import Secret
from tests.unit.http_server import CHUNKED, Asked, answer, chunk, never, serving


async def fetch(url: str, path: str = "/x", **options: object) -> bytes:
    client = HttpClient(url, timeout_s=20)
    try:
        return await client.get(path, **options)  # type: ignore[arg-type]
    finally:
        await client.close()


async def test_it_asks_what_it_is_told_and_keeps_the_line() -> None:
    async with serving({"/base/x": answer(b"[1]")}) as server:
        client = HttpClient(f"{server.url}/base/", timeout_s=20)
        assert await client.get("/x", [("name", "a b&c=d/é"), ("n", 3)]) == b"[1]"
        assert await client.get("/x") == b"[1]"
        await client.close()
    assert server.lines == 1
    assert server.asked[0].query == {"name": "a b&c=d/é", "n": "3"}
    assert server.asked[0].headers["user-agent"] == "quarterdeck"
    assert "authorization" not in server.asked[0].headers


async def test_a_token_is_read_anew_each_time_and_goes_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    async with serving({}) as other, serving({"/x": answer(b"1")}) as server:
        server.answers["/away"] = answer(b"", 302, extra=f"Location: {other.url}/x\r\n")
        client = HttpClient(server.url, timeout_s=20, token=Secret(f"file:{file}", {}))
        await client.get("/x")
        file.write_text("second\n")
        await client.get("/x")
        with pytest.raises(HttpFailure, match="302") as caught:
            await client.get("/away")
        await client.close()
    assert [asked.headers["authorization"] for asked in server.asked[:2]] == ["Bearer first", "Bearer second"]
    assert caught.value.hint
    assert other.asked == []


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, Denied, "token"),
        (403, Denied, "token"),
        (404, NotThere, "no such"),
        (405, NotThere, "no such"),
        (429, HttpFailure, "429"),
        (500, HttpFailure, "it broke"),
        (503, Unreachable, "does not answer"),
    ],
)
async def test_a_status_is_an_error_of_the_true_kind_in_clean_words(
    status: int, kind: type[SourceError], words: str
) -> None:
    async with serving({"/x": answer(b"it broke \x1b]0;gotcha\x07\nhere" + b"y" * 99_999, status)}) as server:
        with pytest.raises(kind) as caught:
            await fetch(server.url)
    assert words in f"{caught.value} {caught.value.hint}"
    assert "\x1b" not in str(caught.value)
    assert "gotcha" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert caught.value.where == server.url


async def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="refused"):
            await fetch(f"http://127.0.0.1:{held.getsockname()[1]}")
    with pytest.raises(Unreachable):
        await fetch("http://no-such-host.invalid:1")


async def cut(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


async def hang_up(asked: Asked, writer: asyncio.StreamWriter) -> None:
    pass


async def garbage(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n")


async def long_head(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n")


async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED)
    while True:
        writer.write(chunk(b"z" * 65536))
        await writer.drain()


async def dripping(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED)
    while True:
        writer.write(chunk(b"."))
        await asyncio.sleep(0.05)


async def test_faults_on_the_line() -> None:
    faults: dict[str, tuple[object, type[SourceError]]] = {
        "/cut": (cut, ConnectionLost),
        "/hang-up": (hang_up, ConnectionLost),
        "/garbage": (garbage, BadAnswer),
        "/long-head": (long_head, BadAnswer),
        "/endless": (endless, BadAnswer),
    }
    async with serving({path: fault for path, (fault, _) in faults.items()}) as server:  # type: ignore[misc]
        for path, (_, kind) in faults.items():
            with pytest.raises(kind):
                await fetch(server.url, path, limit_bytes=1 << 20)


@pytest.mark.parametrize("handler", [never, dripping])
async def test_the_deadline_is_of_the_whole_answer(handler: object) -> None:
    async with serving({"/x": handler}) as server:  # type: ignore[dict-item]
        with pytest.raises(TimedOut, match=r"0\.3 s"):
            await fetch(server.url, timeout_s=0.3)


async def test_a_compressed_answer_is_limited_by_what_comes_out_of_it() -> None:
    bomb = gzip.compress(b"\0" * (8 << 20))
    async with serving({"/x": answer(bomb, extra="Content-Encoding: gzip\r\n")}) as server:
        with pytest.raises(BadAnswer, match="more than 1 MiB"):
            await fetch(server.url, limit_bytes=1 << 20)


async def test_an_answer_is_read_as_it_comes() -> None:
    go_on = asyncio.Event()

    async def two(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(b"one"))
        await go_on.wait()
        writer.write(chunk(b"two") + chunk(b""))

    async with serving({"/x": two, "/no": answer(b"gone", 404)}) as server:
        client = HttpClient(server.url, timeout_s=20)
        async with client.open("/x") as body:
            assert await body.read(20) == b"one"
            with pytest.raises(TimedOut):
                await body.read(0.05)
            go_on.set()
            assert await body.read(20) == b"two"
            assert await body.read(20) == b""
        with pytest.raises(NotThere):
            async with client.open("/no"):
                pass
        await client.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await client.get("/x")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody but itself has signed, and its key in the same file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(signed.public_bytes(pem) + private)
    return file


async def test_certificates_are_verified(certificate: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with serving({"/x": answer(b"1")}, tls) as server:
        with pytest.raises(Denied, match="not trusted") as caught:
            await fetch(server.url)
        assert "ca_file" in caught.value.hint
        client = HttpClient(server.url, timeout_s=20, ca_file=str(certificate))
        assert await client.get("/x") == b"1"
        await client.close()
        client = HttpClient(server.url, timeout_s=20, ca_file="/nonexistent/ca.pem")
        with pytest.raises(Unsupported, match="no certificates"):
            await client.get("/x")
        await client.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8265",
        "ftp://h",
        "http://",
        "http://h:0",
        "http://h:99999",
        "http://h/ x",
        "http://h?x=1",
        "http://é",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_url(url)
    assert caught.value.hint


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClient("https://ann:hunter2@example.org/")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_addresses() -> None:
    assert address("http://h") == ("h", 80)
    assert address("https://h/x") == ("h", 443)
    assert address("http://[::1]:8265") == ("::1", 8265)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    secret = Secret("env:TOKEN", {"TOKEN": " hunter2 "})
    assert secret.read() == "hunter2"
    assert "hunter2" not in repr(secret)
    (tmp_path / "t").write_bytes(b"two words")
    for reference in ("env:TOKEN", f"file:{tmp_path}/t", f"file:{tmp_path}/no"):
        with pytest.raises(Denied) as caught:
            Secret(reference, {}).read()
        assert caught.value.hint
        assert "two words" not in str(caught.value)
    with pytest.raises(Denied):
        Secret("env:TOKEN", {"TOKEN": "a\r\nX-Evil: 1"}).read()
    for text in ("hunter2", "env:", "file:", "vault:x"):
        with pytest.raises(ConfigError) as refused:
            Secret(text, {})
        assert "hunter2" not in f"{refused.value} {refused.value.hint}"


def test_aiohttp_is_not_imported_before_a_question() -> None:
    program = "import sys; import console.transport.http, console.transport.tunnel; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
