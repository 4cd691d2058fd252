"""What goes wrong on the way to a host, in words; and what is not imported before it is needed."""

from __future__ import annotations

import base64
import errno
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from console.errors import BadAnswer, ConnectionLost, Denied, SourceError, TimedOut, Unreachable, Unsupported
from console.transport.connect import algorithms
from console.transport.failures import Attempt, add_command, connect_error, lost_error
from console.transport.hostkeys import HostKeys, KnownKey
from console.transport.hostoptions import HostOptions, Target, build
from console.transport.identities import Offer
from console.transport.openssh import Values

HOSTILE = "\x1b]52;c;cHduZWQ=\x07\x1b[2Jsorry\nfriend"


def options() -> HostOptions:
    values = Values({"port": ("2222",), "hostname": ("10.0.0.7",), "user": ("alice",)}, {}, {})
    return build(Target("gpu1"), values, Path("/home/alice"), {})


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (TimeoutError(), TimedOut, "within 7 s"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Unreachable, "does not resolve"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), Unreachable, "connection refused"),
        (OSError(errno.EHOSTUNREACH, "x"), Unreachable, "no route to host"),
        (OSError(errno.ENETUNREACH, "x"), Unreachable, "network is unreachable"),
        (OSError(errno.EMFILE, "x"), Unreachable, "too many open files"),
        (ConnectionResetError(errno.ECONNRESET, "x"), Unreachable, "closed the connection"),
        (asyncssh.ConnectionLost(HOSTILE), Unreachable, "before the login"),
        (asyncssh.DisconnectError(2, "Too many authentication failures"), Denied, "too many keys"),
        (asyncssh.DisconnectError(11, HOSTILE), Unreachable, "sorry"),
        (asyncssh.PermissionDenied("no"), Denied, "login as alice refused"),
        (asyncssh.KeyExchangeFailed(HOSTILE), Unsupported, "no common algorithm"),
        (asyncssh.ProtocolError(HOSTILE), BadAnswer, "no SSH server"),
        (asyncssh.ChannelOpenError(2, HOSTILE), Unreachable, "jump host"),
        (asyncssh.HostKeyNotVerifiable("Certificate expired"), Denied, "certificate"),
        (ValueError(HOSTILE), Unreachable, "cannot connect"),
    ],
)
def test_every_failure_has_its_kind_its_place_and_no_control_character(
    error: Exception, kind: type[SourceError], words: str
) -> None:
    got = connect_error(error, Attempt(options(), banner=""), 7)
    assert type(got) is kind
    assert words in got.what
    assert got.where == "gpu1 (10.0.0.7:2222)"
    assert got.what.isprintable()
    assert got.hint.isprintable()


def test_phase_tells_what_was_waited_for() -> None:
    assert "no SSH server spoke" in connect_error(TimeoutError(), Attempt(options(), "greeting"), 7).what
    assert "no answer" in connect_error(TimeoutError(), Attempt(options(), "connect"), 7).what


def test_refused_login_tells_all_that_helps() -> None:
    offer = Offer(names=["/k1", "agent: me@laptop"], problems=["/k2 (locked by a passphrase)"], locked=["/k 2"])
    got = connect_error(asyncssh.PermissionDenied("no"), Attempt(options(), offer=offer, banner="Keep out"), 7)
    assert "/k1, agent: me@laptop" in got.what
    assert "/k2 (locked by a passphrase)" in got.what
    assert "Keep out" in got.what
    assert got.hint == "unlock the key for the agent: ssh-add '/k 2'"
    got = connect_error(asyncssh.PermissionDenied("no"), Attempt(options()), 7)
    assert "keys offered: none" in got.what
    assert "IdentityFile" in got.hint


def test_unreadable_known_key_does_not_hide_the_change() -> None:
    known = HostKeys(trusted=(KnownKey("", "ssh-ed25519", "not base64!", "/kh:3"),))
    attempt = Attempt(options(), known=known, shown_kind="ssh-ed25519", shown_key=base64.b64decode("AAAA"))
    got = connect_error(asyncssh.HostKeyNotVerifiable("Host key is not trusted"), attempt, 7)
    assert "CHANGED" in got.what
    assert "/kh:3" in got.what


def test_command_that_adds_a_key() -> None:
    plain = options()
    assert add_command(plain) == "ssh-keyscan -p 2222 -t ed25519 10.0.0.7 >> /home/alice/.ssh/known_hosts"
    behind = replace(plain, port=22, proxy_jump=(Target("login1", "bob", 2200),), known_hosts_files=(Path("/k h"),))
    assert add_command(behind, "ecdsa-sha2-nistp256") == (
        "ssh ssh://bob@login1:2200 'ssh-keyscan -t ecdsa 10.0.0.7' >> '/k h'"
    )
    alias = replace(plain, host_key_alias="the-alias")
    assert "| sed 's/^[^ ]*/the-alias/' >>" in add_command(alias)


def test_lost_connection() -> None:
    assert "stopped answering" in lost_error(asyncssh.ConnectionLost("Server not responding to keepalive"), "h").what
    assert type(lost_error(None, "h")) is ConnectionLost
    assert lost_error(OSError(HOSTILE), "h").what.isprintable()


def test_algorithm_lists_of_openssh() -> None:
    possible, default = [b"a1", b"a2", b"b1"], [b"a1", b"b1"]
    assert algorithms(None, possible, default) == ["a1", "b1"]
    assert algorithms("b1,a2,unknown", possible, default) == ["b1", "a2"]
    assert algorithms("+a2", possible, default) == ["a1", "b1", "a2"]
    assert algorithms("-a*", possible, default) == ["b1"]
    assert algorithms("^b*", possible, default) == ["b1", "a1"]
    assert algorithms("unknown", possible, default) == ["a1", "b1"]


def test_asyncssh_is_not_imported_before_a_host_is_used() -> None:
    code = (
        "import asyncio, sys\n"
        "from console.transport.pool import TransportPool\n"
        "async def main():\n"
        "    pool = TransportPool(); pool.get('gpu1')\n"
        "    await pool.local().run(['true'], timeout_s=10)\n"
        "    await pool.close()\n"
        "asyncio.run(main())\n"
        "sys.exit(any(name in sys.modules for name in ('asyncssh', 'cryptography', 'ClusterShell')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
