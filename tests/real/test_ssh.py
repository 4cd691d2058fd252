"""SSH against real sshd: what works, and every way in which it fails."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import resource
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from console.errors import (
    BadAnswer,
    ConnectionLost,
    Denied,
    HostKeyChanged,
    HostKeyUnknown,
    SourceError,
    TimedOut,
    Unreachable,
)
from console.transport import channel as channel_module
from console.transport.pool import TransportPool
from tests.needs import need
from tests.real.fleet import SshFleet, missing, write_key

pytestmark = pytest.mark.real


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SshFleet]:
    """Two nodes, h1 and h2, of this test alone."""
    need(missing())
    with SshFleet(2, tmp_path) as fleet:
        yield fleet


@asynccontextmanager
async def pooled(config: Path, **options: Any) -> AsyncIterator[TransportPool]:
    """Lend a pool; afterwards nothing of it may be left."""
    pool = TransportPool(config, **options)
    try:
        yield pool
    finally:
        await pool.close()
    await until(lambda: len(asyncio.all_tasks()) == 1, "the pool leaves tasks behind")


async def until(condition: Callable[[], Any], what: str, seconds: float = 10) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


async def failure(awaitable: Awaitable[object]) -> SourceError:
    """Return the error that something must end with; it says what and where."""
    with pytest.raises(SourceError) as caught:
        await awaitable
    assert caught.value.what
    assert caught.value.where
    return caught.value


def configured(fleet: SshFleet, extra: str) -> Path:
    """Return a configuration with lines before those of the fleet."""
    path = fleet.directory / "extra_config"
    path.write_text(f"{extra}\n{fleet.ssh_config.read_text()}")
    return path


def logins(fleet: SshFleet, index: int) -> int:
    return fleet.log(index).count("Accepted publickey")


# What works


async def test_run_gives_status_output_and_takes_input_and_environment(ssh_fleet: SshFleet) -> None:
    async with pooled(ssh_fleet.ssh_config) as pool:
        host = pool.get("ssh:n1")
        done = await host.run(
            ["sh", "-c", 'cat; printf %s "$WORD" >&2; exit 3'],
            timeout_s=20, stdin=b"\x00\xff\n", env={"WORD": "it's \\ ! é\n"},
        )  # fmt: skip
        assert (done.exit_status, done.stdout) == (3, b"\x00\xff\n")
        assert done.stderr.decode() == "it's \\ ! é\n"
        assert (await host.run(["sh", "-c", "kill -9 $$"], timeout_s=20)).exit_status == 137
        unknown = await host.run(["no-such-program"], timeout_s=20)
        assert unknown.exit_status == 127
        assert b"no-such-program" in unknown.stderr
        assert (await host.run(["hostname"], timeout_s=20)).stdout in (b"n1\n", os.uname().nodename.encode() + b"\n")


async def test_everything_to_one_host_shares_one_connection(fleet: SshFleet) -> None:
    async with pooled(fleet.ssh_config) as pool:
        host = pool.get("h1")
        assert pool.get("ssh:h1") is host
        stream = await host.open(["sh", "-c", "while read x; do echo $x; done"])
        answers = await asyncio.gather(*(host.run(["echo", str(n)], timeout_s=20) for n in range(12)))
        assert [int(answer.stdout) for answer in answers] == list(range(12))
        await stream.write(b"still here\n")
        assert await stream.read_line(5) == b"still here"
        await stream.close()
    assert logins(fleet, 0) == 1


async def test_a_server_that_allows_few_sessions_is_waited_for(tmp_path: Path) -> None:
    need(missing())
    with SshFleet(1, tmp_path, sshd_options=("MaxSessions 3",)) as fleet:
        async with pooled(fleet.ssh_config) as pool:
            host = pool.get("h1")
            stream = await host.open(["cat"])
            answers = await asyncio.gather(*(host.run(["echo", str(n)], timeout_s=20) for n in range(24)))
            assert [int(answer.stdout) for answer in answers] == list(range(24))
            await stream.close()
        assert logins(fleet, 0) == 1


async def test_a_server_that_allows_no_session_is_said_so(tmp_path: Path) -> None:
    need(missing())
    with SshFleet(1, tmp_path, sshd_options=("MaxSessions 0",)) as fleet:
        async with pooled(fleet.ssh_config) as pool:
            error = await failure(pool.get("h1").run(["true"], timeout_s=20))
            assert isinstance(error, Denied)
            assert "MaxSessions" in error.hint


async def test_callers_at_the_same_time_wait_for_one_attempt(fleet: SshFleet) -> None:
    async with pooled(fleet.ssh_config) as pool:
        host = pool.get("h1")
        first = asyncio.create_task(host.run(["true"], timeout_s=20))
        second = asyncio.create_task(host.run(["true"], timeout_s=20))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).exit_status == 0
        assert first.cancelled()
    assert logins(fleet, 0) == 1


async def test_noise_of_the_login_shell_and_banners_do_not_reach_the_output(tmp_path: Path) -> None:
    need(missing())
    banner = tmp_path / "banner"
    banner.write_text("WELCOME\n" * 100)
    with SshFleet(1, tmp_path, sshd_options=(f"Banner {banner}",)) as fleet:
        fleet.nodes[0].home.joinpath(".bashrc").write_text(
            "echo hello from bashrc; echo oops >&2; printf 'no newline'\n"
        )
        async with pooled(fleet.ssh_config) as pool:
            done = await pool.get("h1").run(["sh", "-c", "echo out; echo err >&2"], timeout_s=20)
            assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
            stream = await pool.get("h1").open(["echo", "first"])
            assert await stream.read_line(5) == b"first"
            await stream.close()


async def test_match_exec_is_answered_by_ssh_itself(fleet: SshFleet) -> None:
    address = fleet.nodes[0].address
    config = configured(fleet, f'Match exec "test %n = by-exec"\n  HostName {address}\n')
    async with pooled(config) as pool:
        assert (await pool.get("by-exec").run(["true"], timeout_s=20)).exit_status == 0


# Host keys


async def test_unknown_host_key_is_refused_with_the_command_that_adds_it(fleet: SshFleet) -> None:
    lines = fleet.known_hosts.read_text().splitlines(keepends=True)
    fleet.known_hosts.write_text(lines[1])
    config = configured(fleet, "StrictHostKeyChecking no")
    async with pooled(config) as pool:
        error = await failure(pool.get("h1").run(["true"], timeout_s=20))
        assert type(error) is HostKeyUnknown
        fingerprint = subprocess.run(
            ["ssh-keygen", "-lf", f"{fleet.nodes[0].key}.pub"], capture_output=True, text=True, check=True
        ).stdout.split()[1]
        assert fingerprint in error.what
        assert "fingerprint" in error.hint
        command = error.hint.removeprefix("add it: ").partition(" (but first ")[0]
        assert command.startswith("ssh-keyscan -p ")
        subprocess.run(command, shell=True, check=True, capture_output=True)
        assert (await pool.get("h1").run(["true"], timeout_s=20)).exit_status == 0


async def test_changed_host_key_is_said_with_its_place_and_never_accepted(fleet: SshFleet) -> None:
    async with pooled(configured(fleet, "StrictHostKeyChecking no")) as pool:
        assert (await pool.get("h1").run(["true"], timeout_s=20)).exit_status == 0
        fleet.change_key(0)
        await asyncio.sleep(0)
        error = await failure(pool.get("h1").run(["true"], timeout_s=20))
        if isinstance(error, ConnectionLost):  # the old connection was just found dead
            error = await failure(pool.get("h1").run(["true"], timeout_s=20))
        assert type(error) is HostKeyChanged
        assert f"{fleet.known_hosts}:1" in error.what
        assert "CHANGED" in error.what
        command = re.search(r"ssh-keygen -f .*", error.hint)
        assert command is not None
        subprocess.run(command.group(), shell=True, check=True, capture_output=True)
        assert type(await failure(pool.get("h1").run(["true"], timeout_s=20))) is HostKeyUnknown


async def test_host_that_shows_only_another_kind_of_key_has_changed(fleet: SshFleet) -> None:
    other = fleet.directory / "ecdsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(other)], check=True)
    kind, data = Path(f"{other}.pub").read_text().split()[:2]
    node = fleet.nodes[0]
    fleet.known_hosts.write_text(f"[{node.address}]:{fleet.port} {kind} {data}\n")
    async with pooled(fleet.ssh_config) as pool:
        error = await failure(pool.get("h1").run(["true"], timeout_s=20))
    assert type(error) is HostKeyChanged
    assert "ssh-ed25519" in error.what
    assert "ecdsa" in error.what


async def test_revoked_key_and_hashed_names(fleet: SshFleet) -> None:
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(fleet.known_hosts)], check=True, capture_output=True)
    assert fleet.nodes[0].address not in fleet.known_hosts.read_text()
    async with pooled(fleet.ssh_config) as pool:
        assert (await pool.get("h1").run(["true"], timeout_s=20)).exit_status == 0
    public = Path(f"{fleet.nodes[0].key}.pub").read_text()
    with fleet.known_hosts.open("a") as file:
        file.write(f"@revoked * {public}")
    async with pooled(fleet.ssh_config) as pool:
        error = await failure(pool.get("h1").run(["true"], timeout_s=20))
    assert type(error) is HostKeyChanged
    assert "revoked" in error.what
    assert f"{fleet.known_hosts}:3" in error.what


async def test_revoked_host_keys_file_is_honoured(fleet: SshFleet) -> None:
    public = Path(f"{fleet.nodes[0].key}.pub")
    revoked = fleet.directory / "revoked"
    revoked.write_text(public.read_text())
    krl = fleet.directory / "krl"
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", str(krl), str(public)], check=True)
    for file in (revoked, krl, fleet.directory / "not-there"):
        async with pooled(configured(fleet, f"RevokedHostKeys {file}")) as pool:
            error = await failure(pool.get("h1").run(["true"], timeout_s=20))
            assert str(file) in str(error)
            assert isinstance(error, HostKeyChanged) == (file is revoked)
            if file is revoked:
                assert (await pool.get("h2").run(["true"], timeout_s=20)).exit_status == 0
            else:  # what cannot be read might revoke anybody
                await failure(pool.get("h2").run(["true"], timeout_s=20))


def certify(fleet: SshFleet, index: int, principals: str) -> str:
    """Give a node a host certificate; return the public key of the authority."""
    authority = fleet.directory / "authority"
    if not authority.exists():
        write_key(authority)
    node = fleet.nodes[index]
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", node.name, "-h", "-n", principals, f"{node.key}.pub"],
        check=True, capture_output=True,
    )  # fmt: skip
    node.extra.append(f"HostCertificate {node.key}-cert.pub")
    fleet.restart(index)
    return Path(f"{authority}.pub").read_text()


async def test_host_certificates(fleet: SshFleet) -> None:
    public = certify(fleet, 0, fleet.nodes[0].address)
    certify(fleet, 1, "somebody-else")
    fleet.known_hosts.write_text(f"@cert-authority * {public}")
    async with pooled(fleet.ssh_config) as pool:
        assert (await pool.get("h1").run(["true"], timeout_s=20)).exit_status == 0
        error = await failure(pool.get("h2").run(["true"], timeout_s=20))
        assert isinstance(error, Denied)
        assert "certificate" in error.what
    fleet.known_hosts.write_text(f"@cert-authority * {write_key(fleet.directory / 'stranger')}\n")
    async with pooled(fleet.ssh_config) as pool:
        error = await failure(pool.get("h1").run(["true"], timeout_s=20))
        assert type(error) is HostKeyUnknown
        assert f"{fleet.known_hosts}:1" in error.what
    async with pooled(configured(fleet, "HostKeyAlias the-alias")) as pool:
        fleet.known_hosts.write_text(f"the-alias {Path(f'{fleet.nodes[0].key}.pub').read_text()}")
        assert (await pool.get("h1").run(["true"], timeout_s=20)).exit_status == 0


# Login


async def test_refused_login_says_who_and_with_which_keys(fleet: SshFleet) -> None:
    other = fleet.directory / "other key"
    write_key(other)
    config = configured(fleet, f'Host h1\n  IdentityFile "{other}"\nHost h2\n  User nosuchuser\nHost *')
    fleet.authorized_keys.write_text("")
    async with pooled(config) as pool:
        error = await failure(pool.get("h1").run(["true"], timeout_s=20))
        assert type(error) is Denied
        assert f"as {fleet.user} " in error.what
        assert str(other) in error.what
        assert str(fleet.user_key) in error.what
        assert "authorized_keys" in error.hint
        error = await failure(pool.get("h2").run(["true"], timeout_s=20))
        assert "nosuchuser" in error.what


async def test_key_under_a_passphrase_needs_the_agent(fleet: SshFleet) -> None:
    key = fleet.user_key
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key)], check=True, capture_output=True)
    async with pooled(fleet.ssh_config) as pool:
        error = await failure(pool.get("h1").run(["true"], timeout_s=20))
        assert type(error) is Denied
        assert "passphrase" in error.what
        assert error.hint == f"unlock the key for the agent: ssh-add {key}"
    socket = fleet.directory / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        await until(socket.exists, "no agent")
        askpass = fleet.directory / "askpass"
        askpass.write_text("#!/bin/sh\necho secret\n")
        askpass.chmod(0o700)
        subprocess.run(
            ["ssh-add", str(key)], check=True, capture_output=True,
            env={**os.environ, "SSH_AUTH_SOCK": str(socket), "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"},
        )  # fmt: skip
        text = fleet.ssh_config.read_text().replace("IdentityAgent none", "IdentityAgent SSH_AUTH_SOCK")
        fleet.ssh_config.write_text(text)
        async with pooled(fleet.ssh_config, environ={"SSH_AUTH_SOCK": str(socket)}) as pool:
            assert (await pool.get("h1").run(["true"], timeout_s=20)).exit_status == 0
        async with pooled(fleet.ssh_config, environ={"SSH_AUTH_SOCK": "/nonexistent"}) as pool:
            error = await failure(pool.get("h1").run(["true"], timeout_s=20))
            assert "/nonexistent" in error.what
    finally:
        agent.terminate()
        agent.wait()


async def test_key_that_others_may_read_is_not_used(fleet: SshFleet) -> None:
    fleet.user_key.chmod(0o644)
    async with pooled(fleet.ssh_config) as pool:
        error = await failure(pool.get("h1").run(["true"], timeout_s=20))
    assert type(error) is Denied
    assert "0644" in error.what


async def test_user_certificates(tmp_path: Path) -> None:
    need(missing())
    authority = tmp_path / "user_ca"
    write_key(authority)
    with SshFleet(1, tmp_path, sshd_options=(f"TrustedUserCAKeys {authority}.pub",)) as fleet:
        fleet.authorized_keys.write_text("")
        subprocess.run(
            ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", fleet.user, f"{fleet.user_key}.pub"],
            check=True, capture_output=True,
        )  # fmt: skip
        async with pooled(fleet.ssh_config) as pool:
            assert (await pool.get("h1").run(["true"], timeout_s=20)).exit_status == 0
        elsewhere = tmp_path / "elsewhere-cert.pub"
        Path(f"{fleet.user_key}-cert.pub").rename(elsewhere)
        async with pooled(fleet.ssh_config) as pool:
            assert type(await failure(pool.get("h1").run(["true"], timeout_s=20))) is Denied
        async with pooled(configured(fleet, f"CertificateFile {elsewhere}")) as pool:
            assert (await pool.get("h1").run(["true"], timeout_s=20)).exit_status == 0


async def test_account_whose_shell_runs_nothing(fleet: SshFleet) -> None:
    fleet.nodes[0].home.joinpath(".bashrc").write_text("echo This account is closed.; exit 1\n")
    async with pooled(fleet.ssh_config) as pool:
        error = await failure(pool.get("h1").run(["true"], timeout_s=20))
        assert type(error) is Denied
        assert "This account is closed." in error.what
        stream = await pool.get("h1").open(["true"])
        assert type(await failure(stream.read_line(10))) is Denied
        await stream.close()


# Through others


async def test_jump_hosts_share_their_connection(tmp_path: Path) -> None:
    need(missing())
    with SshFleet(4, tmp_path) as fleet:
        async with pooled(configured(fleet, "Host h2 h3 h4\n  ProxyJump h1\nHost *")) as pool:
            done = await asyncio.gather(*(pool.get(f"h{n}").run(["true"], timeout_s=20) for n in (2, 3, 4)))
            assert [answer.exit_status for answer in done] == [0, 0, 0]
        assert logins(fleet, 0) == 1
        async with pooled(configured(fleet, f"Host h4\n  ProxyJump h1,{fleet.user}@h2,h3\nHost *")) as pool:
            assert (await pool.get("h4").run(["true"], timeout_s=20)).exit_status == 0
            fleet.hang_up(1)
            await asyncio.sleep(0.3)
            assert (await pool.get("h4").run(["true"], timeout_s=20)).exit_status == 0
        fleet.kill(0)
        async with pooled(configured(fleet, "Host h4\n  ProxyJump h1\nHost *")) as pool:
            error = await failure(pool.get("h4").run(["true"], timeout_s=20))
            assert isinstance(error, Unreachable)
            assert "h1" in error.what
            assert "h4" in error.where
        async with pooled(configured(fleet, "Host h2\n  ProxyJump h3\nHost h3\n  ProxyJump h2\nHost *")) as pool:
            error = await failure(pool.get("h2").run(["true"], timeout_s=20))
            assert "circle" in error.what


async def test_proxy_command_ends_with_the_connection(fleet: SshFleet) -> None:
    relay = (
        "import socket,sys,threading,os\n"
        "s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
        "def up():\n"
        "  while (d:=os.read(0,65536)): s.sendall(d)\n"
        "  os._exit(0)\n"
        "threading.Thread(target=up,daemon=True).start()\n"
        "while (d:=s.recv(65536)): os.write(1,d)\n"
    )
    script = fleet.directory / "relay.py"
    script.write_text(relay)
    config = configured(fleet, f"ProxyCommand python3 {script} %h %p")
    async with pooled(config) as pool:
        assert (await pool.get("h1").run(["true"], timeout_s=20)).exit_status == 0
        assert str(script) in children()
    await until(lambda: str(script) not in children(), "the proxy command is left behind")
    async with pooled(configured(fleet, "ProxyCommand exit 3")) as pool:
        assert isinstance(await failure(pool.get("h1").run(["true"], timeout_s=20)), Unreachable)


def children() -> str:
    return subprocess.run(
        ["ps", "-ww", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    ).stdout


# What does not answer


async def test_nobody_there(fleet: SshFleet) -> None:
    fleet.kill(1)
    config = configured(fleet, "Host lost\n  HostName no-such-host.invalid\nHost *")
    async with pooled(config) as pool:
        refused = await failure(pool.get("h2").run(["true"], timeout_s=20))
        assert type(refused) is Unreachable
        assert refused.what == "connection refused"
        assert fleet.nodes[1].address in refused.where
        assert refused.hint
        lost = await failure(pool.get("lost").run(["true"], timeout_s=20))
        assert type(lost) is Unreachable
        assert "resolve" in lost.what


@asynccontextmanager
async def impostor(
    fleet: SshFleet, behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[Path]:
    """Put a server of our own behind the name `odd`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield configured(fleet, f"Host odd\n  HostName 127.0.0.1\n  Port {port}\nHost *")
    finally:
        server.close()
        await server.wait_closed()


async def test_server_that_accepts_and_never_speaks(fleet: SshFleet) -> None:
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    async with impostor(fleet, silent) as config, pooled(config, connect_timeout_s=0.5) as pool:
        error = await failure(pool.get("odd").run(["true"], timeout_s=20))
        assert type(error) is TimedOut
        assert "no SSH server spoke" in error.what
        await asyncio.wait_for(gone.wait(), 5)


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-1.0-old\r\n", b"\x00\xff" * 4000])
async def test_server_that_speaks_something_else(fleet: SshFleet, greeting: bytes) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        await reader.read()

    async with impostor(fleet, odd) as config, pooled(config, connect_timeout_s=1) as pool:
        error = await failure(pool.get("odd").run(["true"], timeout_s=20))
        assert isinstance(error, BadAnswer | TimedOut | Unreachable)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", error.what + error.hint)


async def test_server_that_greets_with_a_flood_costs_no_memory(fleet: SshFleet) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(1600):
            writer.write(b"x" * 65536)
            await writer.drain()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with impostor(fleet, flood) as config, pooled(config, connect_timeout_s=5) as pool:
        await failure(pool.get("odd").run(["true"], timeout_s=20))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10


async def test_server_that_hangs_up_before_the_login(fleet: SshFleet) -> None:
    async def full(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    async with impostor(fleet, full) as config, pooled(config) as pool:
        error = await failure(pool.get("odd").run(["true"], timeout_s=20))
    assert type(error) is Unreachable
    assert "MaxStartups" in error.hint


async def test_node_that_freezes_after_the_login(fleet: SshFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "OPEN_TIMEOUT_S", 0.5)
    async with pooled(configured(fleet, "ServerAliveInterval 30")) as pool:
        host = pool.get("h1")
        await host.run(["true"], timeout_s=20)
        fleet.stop(0)
        try:
            assert type(await failure(host.open(["true"]))) is TimedOut
            assert type(await failure(host.run(["true"], timeout_s=0.3))) is TimedOut
        finally:
            fleet.cont(0)
        assert (await host.run(["true"], timeout_s=20)).exit_status == 0
        await until(lambda: not fleet.commands(0), "something runs that nobody asked for")


async def test_keepalive_finds_a_frozen_node(fleet: SshFleet) -> None:
    config = configured(fleet, "ServerAliveInterval 1\nServerAliveCountMax 1")
    async with pooled(config) as pool:
        host = pool.get("h1")
        stream = await host.open(["sleep", "60"])
        fleet.stop(0)
        try:
            error = await failure(stream.read_line(20))
            assert type(error) is ConnectionLost
            assert "stopped answering" in error.what
        finally:
            fleet.cont(0)
        await stream.close()
        assert (await host.run(["true"], timeout_s=20)).exit_status == 0


# What breaks while it runs


async def test_connection_that_drops_is_made_anew(fleet: SshFleet) -> None:
    async with pooled(fleet.ssh_config) as pool:
        host = pool.get("h1")
        stream = await host.open(["sh", "-c", "printf 'whole\\nhalf'; sleep 60"])
        assert await stream.read_line(10) == b"whole"
        fleet.hang_up(0)
        assert type(await failure(stream.read_line(10))) is ConnectionLost
        assert type(await failure(stream.write(b"x"))) is ConnectionLost
        await stream.close()
        assert (await host.run(["true"], timeout_s=20)).exit_status == 0
        fleet.restart(0)
        assert (await host.run(["true"], timeout_s=20)).exit_status == 0
        fleet.kill(0)
        assert isinstance(await failure(host.run(["true"], timeout_s=20)), Unreachable)


async def test_program_that_dies_in_the_middle_of_a_line(fleet: SshFleet) -> None:
    async with pooled(fleet.ssh_config) as pool:
        stream = await pool.get("h1").open(["sh", "-c", "echo one; printf tw; echo last words >&2; exit 9"])
        assert await stream.read_line(10) == b"one"
        error = await failure(stream.read_line(10))
        assert type(error) is ConnectionLost
        assert "status 9" in error.what
        assert "last words" in error.what
        await stream.close()


async def test_flood_without_a_newline_costs_no_memory(fleet: SshFleet) -> None:
    async with pooled(fleet.ssh_config) as pool:
        host = pool.get("h1")
        await host.run(["true"], timeout_s=20)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        stream = await host.open(["sh", "-c", "head -c 100000000 /dev/zero; sleep 60"])
        assert type(await failure(stream.read_line(20, limit_bytes=1 << 20))) is BadAnswer
        assert type(await failure(stream.read_line(1))) is BadAnswer
        await stream.close()
        assert type(await failure(host.run(["yes"], timeout_s=20, limit_bytes=1 << 20))) is BadAnswer
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 24 << 10
        assert (await host.run(["true"], timeout_s=20)).exit_status == 0
        await until(lambda: not fleet.commands(0), "the flood runs on")


async def test_slow_reader_holds_the_program_back(fleet: SshFleet) -> None:
    async with pooled(fleet.ssh_config) as pool:
        host = pool.get("h1")
        stream = await host.open(["sh", "-c", "yes 0123456789 | head -n 30000000"])
        assert await stream.read_line(10) == b"0123456789"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(3):
            assert (await host.run(["true"], timeout_s=20)).exit_status == 0
        assert any("head" in line for line in fleet.commands(0))
        for _ in range(50_000):
            assert await stream.read_line(10) == b"0123456789"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # of 330 MB
        await stream.close()
        await until(lambda: not fleet.commands(0), "the program runs on")


async def test_program_that_takes_no_input(fleet: SshFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "_WRITE_TIMEOUT_S", 0.5)
    async with pooled(fleet.ssh_config) as pool:
        stream = await pool.get("h1").open(["sleep", "60"])

        async def pour() -> None:
            for _ in range(200):
                await stream.write(b"x" * 65536)

        assert type(await failure(pour())) is TimedOut
        await stream.close()


async def test_cancel_and_timeout_leave_no_process_on_either_side(fleet: SshFleet) -> None:
    stubborn = "trap '' TERM HUP INT PIPE; sleep 1000 & sleep 1000"
    async with pooled(fleet.ssh_config) as pool:
        host = pool.get("h1")
        running = asyncio.create_task(host.run(["sh", "-c", stubborn], timeout_s=60))
        await until(lambda: sum("sleep" in line for line in fleet.commands(0)) >= 2, "it does not run")
        started = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - started < 1
        await until(lambda: not fleet.commands(0), "a cancelled command runs on")
        assert type(await failure(host.run(["sh", "-c", stubborn], timeout_s=0.5))) is TimedOut
        stream = await host.open(["sh", "-c", stubborn])
        await until(lambda: sum("sleep" in line for line in fleet.commands(0)) >= 2, "it does not run")
        started = time.monotonic()
        await stream.close()
        assert time.monotonic() - started < 2
        await stream.close()
        await until(lambda: not fleet.commands(0), "a closed channel's program runs on")
        stream = await host.open(["sh", "-c", stubborn])
    await until(lambda: not fleet.pids(0)[1:], "the pool leaves something on the node")


async def test_close_gives_every_descriptor_back(fleet: SshFleet) -> None:
    async def once() -> None:
        async with pooled(fleet.ssh_config) as pool:
            await asyncio.gather(*(pool.get(name).run(["true"], timeout_s=20) for name in fleet.names))
            await pool.get("h1").open(["cat"])

    await once()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await once()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_cancelled_connect_leaves_nothing(fleet: SshFleet) -> None:
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    async with impostor(fleet, silent) as config, pooled(config) as pool:
        attempt = asyncio.create_task(pool.get("odd").run(["true"], timeout_s=60))
        await asyncio.sleep(0.3)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await asyncio.wait_for(gone.wait(), 5)


# Many


@pytest.mark.parametrize(("count", "dead"), [(40, 10), pytest.param(200, 50, marks=pytest.mark.slow)])
async def test_the_dead_do_not_hold_up_the_living(tmp_path: Path, count: int, dead: int) -> None:
    need(missing())
    with SshFleet(count, tmp_path) as fleet:
        # The dead come first and hang in every way: frozen ones accept and never speak, others refuse.
        for index in range(dead):
            (fleet.stop if index % 2 else fleet.kill)(index)
        async with pooled(fleet.ssh_config, connect_timeout_s=30) as pool:
            started = time.monotonic()
            tasks = [asyncio.create_task(pool.get(name).run(["true"], timeout_s=60)) for name in fleet.names]
            alive = await asyncio.gather(*tasks[dead:])
            seconds = time.monotonic() - started
            assert all(answer.exit_status == 0 for answer in alive)
            assert seconds < 25, "the living waited for the dead"
            for task in tasks[:dead]:
                task.cancel()
            await asyncio.wait(tasks[:dead])
        for index in range(1, dead, 2):
            fleet.cont(index)
