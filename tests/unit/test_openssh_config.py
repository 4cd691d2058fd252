"""OpenSSH's configuration, beside what ssh itself makes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from console.errors import ConfigError, SourceError
from console.transport.hostoptions import HostOptions, Target, build, parse_jumps, parse_target
from console.transport.openssh import ConfigFiles, matches, parse_ssh_g, resolve, user_name
from console.transport.pool import TransportPool

ENVIRON = {"SSH_AUTH_SOCK": "/run/agent", "DIR": "/keys"}


def options(text: str, name: str, home: Path) -> HostOptions:
    """Return the options of `name` by a configuration."""
    path = home / "config"
    path.write_text(text)
    target = parse_target(name)
    config = ConfigFiles(path, home)
    assert not config.needs_ssh()
    return build(target, resolve(config.directives(), target.host, target.user, "me"), home, ENVIRON)


def test_first_value_wins_and_identities_add_up(tmp_path: Path) -> None:
    got = options(
        "User first\nHost gpu* !gpu9\n  User second\n  Port 2200\n  IdentityFile ~/a\n"
        "Host *\n  Port 2300\n  IdentityFile ${DIR}/%h-%r\n  HostName %h.dc\n  IdentityAgent none\n",
        "gpu1", tmp_path,
    )  # fmt: skip
    assert (got.user, got.port, got.hostname) == ("first", 2200, "gpu1.dc")
    assert got.identity_files == (tmp_path / "a", Path("/keys/gpu1.dc-first"))
    assert got.identity_agent is None
    assert got.known_as == "[gpu1.dc]:2200"
    assert options("Host gpu* !gpu9\n Port 1\n", "gpu9", tmp_path).port == 22


def test_the_command_line_comes_first(tmp_path: Path) -> None:
    got = options("User a\nPort 1\nMatch user bob\n  IdentityFile /bob\n", "ssh://bob@h:2222", tmp_path)
    assert (got.user, got.port, got.identity_files) == ("bob", 2222, (Path("/bob"),))


def test_quotes_comments_equals_signs_and_odd_case(tmp_path: Path) -> None:
    got = options(
        'hOsT = "h 1" h1 # the host\n\tPORT=22 # the port\n  identityfile "/a b/#c" # x\n'
        "  UserKnownHostsFile '/k 1' /k2\n  proxycommand nc \"%h\" %p # not a comment\n",
        "h1", tmp_path,
    )  # fmt: skip
    assert got.port == 22
    assert got.identity_files == (Path("/a b/#c"),)
    assert got.known_hosts_files[:2] == (Path("/k 1"), Path("/k2"))
    assert got.proxy_command == 'nc "h1" 22 # not a comment'


def test_include_stands_under_the_host_that_includes_it(tmp_path: Path) -> None:
    (tmp_path / ".ssh" / "d").mkdir(parents=True)
    (tmp_path / ".ssh" / "d" / "2").write_text("User two\nHost *\n  Port 2\n")
    (tmp_path / ".ssh" / "d" / "1").write_text("User one\n")
    text = "Host a\n  Include d/*\n  Compression yes\nHost b\n  User bee\n"
    got = options(text, "a", tmp_path)
    assert (got.user, got.port, got.compression) == ("one", 2, True)
    got = options(text, "b", tmp_path)
    assert (got.user, got.port) == ("bee", 22)


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("Port 1\n")
    config = ConfigFiles(path, tmp_path)
    first = config.directives()
    assert config.directives() is first
    path.write_text("Port 2222\n")
    assert config.directives()[0].arguments == ("2222",)


def test_jump_and_command_keep_each_other_out(tmp_path: Path) -> None:
    got = options("ProxyJump a@j1:23,[::1]:24,j3\nProxyCommand nc %h %p\n", "h", tmp_path)
    assert got.proxy_jump == (Target("j1", "a", 23), Target("::1", None, 24), Target("j3"))
    assert got.proxy_command is None
    got = options("ProxyCommand none\nProxyJump j\n", "h", tmp_path)
    assert (got.proxy_jump, got.proxy_command) == ((), None)
    assert options("ProxyJump none\n", "h", tmp_path).proxy_jump == ()


def test_checks_stay_strict_and_keepalive_stays_quick(tmp_path: Path) -> None:
    got = options(
        "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nServerAliveInterval 5m\nServerAliveCountMax 99\n"
        "ConnectTimeout 1m30s\n",
        "h", tmp_path,
    )  # fmt: skip
    assert got.known_hosts_files[0] == Path("/dev/null")
    assert (got.keepalive_s, got.keepalive_count, got.connect_timeout_s) == (5, 3, 90)
    got = options("ServerAliveInterval 1\nServerAliveCountMax 2\nConnectTimeout none\n", "h", tmp_path)
    assert (got.keepalive_s, got.keepalive_count, got.connect_timeout_s) == (1, 2, None)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\nPort twenty\n", 2),
        ("Port 0\n", 1),
        ("Port 70000\n", 1),
        ("Host *\n  Compression perhaps\n", 2),
        ("ConnectTimeout soon\n", 1),
        ("ProxyJump -oProxyCommand=reboot\n", 1),
        ('Host *\n\n  User "a\n', 3),
        ("Port\n", 1),
        ("Match user\n", 1),
        ("HostName %q\n", 1),
    ],
)
def test_says_file_and_line_of_what_it_cannot_read(text: str, line: int, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        options(text, "h", tmp_path)
    assert caught.value.where == f"{tmp_path}/config:{line}"


def test_a_file_that_includes_itself_ends(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="includes itself"):
        options(f"Include {tmp_path}/config\n", "h", tmp_path)


def test_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        TransportPool(tmp_path / "none")
    (tmp_path / "bad").write_text('User "x\n')
    with pytest.raises(ConfigError) as caught:
        TransportPool(tmp_path / "bad")
    assert caught.value.where.endswith("bad:1")
    TransportPool(home=tmp_path)  # without a name none need be there


@pytest.mark.parametrize("line", ["Match exec true", "Match final", "Match canonical all", "CanonicalizeHostname yes"])
def test_what_only_ssh_can_decide_is_left_to_ssh(line: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(f"{line}\n  Port 3\n")
    assert ConfigFiles(path, tmp_path).needs_ssh()


@pytest.mark.parametrize(
    "text", ["", "-oProxyCommand=x", "a b", "x;y", "$(id)", "@h", "ssh://h:0", "ssh://h:x", "a@-b", "h/../x", "ssh://"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        parse_target(text)


def test_targets() -> None:
    assert parse_target("gpu1") == Target("gpu1")
    assert parse_target("a@b@gpu1.dc") == Target("gpu1.dc", "a@b")
    assert parse_target("fe80::1%eth0") == Target("fe80::1%eth0")
    assert parse_target("ssh://a@[::1]:22") == Target("::1", "a", 22)
    assert parse_jumps("none") == ()


def test_patterns_of_openssh_are_not_those_of_a_shell() -> None:
    assert matches("gpu1", "gpu?")
    assert not matches("gpu10", "gpu?")
    assert matches("a[1]", "a[1]")
    assert not matches("a1", "a[1]")
    assert not matches("gpu1", "*,!gpu1")
    assert not matches("x", "!gpu1")


NAMES = st.sampled_from(["a", "b", "ab", "a.b"])
PATTERNS = st.lists(st.sampled_from(["a", "b", "a*", "?b", "*", "!a", "!*b", "x"]), min_size=1, max_size=3)
SETTINGS = st.sampled_from(
    [
        "User one", "User two", "Port 1", "Port=2", "HostName %h.dc", "HostName other", "IdentityFile /k1",
        'IdentityFile "/k 2"', "IdentitiesOnly yes", "ProxyJump a", "ProxyJump u@b:3,a", "ProxyCommand nc %h %p",
        "ProxyJump none", "Compression yes", "ConnectTimeout 1m2", "ServerAliveInterval 3", "HostKeyAlias k",
        "UserKnownHostsFile /a /b", "CertificateFile /c", "GSSAPIAuthentication yes", "AddressFamily inet6",
    ]
)  # fmt: skip
CONDITIONS = st.one_of(
    PATTERNS.map(lambda patterns: f"Host {' '.join(patterns)}"),
    PATTERNS.map(lambda patterns: f"Match host {','.join(patterns)}"),
    PATTERNS.map(lambda patterns: f"Match originalhost {','.join(patterns)} !user one"),
    st.sampled_from(["Match all", "Match user one", f"Match localuser {user_name()}", "Match !host other"]),
)


@pytest.mark.real
@pytest.mark.skipif(shutil.which("ssh") is None and os.environ.get("CI") != "true", reason="ssh is not installed")
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, lines=st.lists(st.one_of(SETTINGS, CONDITIONS), max_size=14))
def test_agrees_with_ssh(name: str, lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("\n".join(lines) + "\n")
    said = subprocess.run(["ssh", "-G", "-F", str(path), "--", name], capture_output=True, text=True, check=False)
    config = ConfigFiles(path, tmp_path)
    target = parse_target(name)
    assume("jumphost loop" not in said.stderr)  # a jump host that jumps over itself: ssh -G refuses, we do at connect
    assert said.returncode == 0, said.stderr
    theirs = build(target, parse_ssh_g(said.stdout), tmp_path, ENVIRON)
    ours = build(target, resolve(config.directives(), name, None, user_name()), tmp_path, ENVIRON)
    for field in (
        "user", "port", "hostname", "host_key_alias", "certificate_files", "identities_only", "proxy_jump",
        "proxy_command", "compression", "connect_timeout_s", "keepalive_s", "gssapi", "family",
    ):  # fmt: skip
        assert getattr(ours, field) == getattr(theirs, field), (field, lines)
    if any(line.startswith("UserKnown") for line in lines) and ours.known_hosts_files[0] == Path("/a"):
        assert theirs.known_hosts_files[:2] == (Path("/a"), Path("/b"))
    if Path("/k1") in ours.identity_files:
        assert ours.identity_files == theirs.identity_files
