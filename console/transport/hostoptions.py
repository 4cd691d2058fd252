"""How one host is reached: OpenSSH's settings, typed, with defaults and tokens filled in."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from console.errors import SourceError
from console.text import clean
from console.transport.openssh import Values, environment_value, expand_home, user_name

DEFAULT_PORT = 22
DEFAULT_KEEPALIVE_S = 5.0
DEFAULT_KEEPALIVE_COUNT = 3
_IDENTITIES = ("id_rsa", "id_ecdsa", "id_ed25519")
_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_TIME = re.compile(r"(\d+)([smhdwSMHDW]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}


@dataclass(frozen=True)
class Target:
    """A host as the user names it: `[user@]host`, with a port in the `ssh://` form only."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        text = f"{self.user}@{self.host}" if self.user else self.host
        return f"{text}:{self.port}" if self.port else text

    @property
    def argument(self) -> str:
        """The same as ssh takes it."""
        if self.port is None:
            return str(self)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{f'{self.user}@' if self.user else ''}{host}:{self.port}"


@dataclass(frozen=True)
class HostOptions:
    """Everything that connecting to one host takes."""

    name: str
    """As the user calls it."""
    hostname: str
    port: int
    user: str
    host_key_alias: str | None
    identity_files: tuple[Path, ...]
    certificate_files: tuple[Path, ...]
    identities_only: bool
    identity_agent: str | None
    """Path of the agent's socket."""
    known_hosts_files: tuple[Path, ...]
    """The first is where a new key belongs."""
    revoked_host_keys: Path | None
    proxy_jump: tuple[Target, ...]
    proxy_command: str | None
    connect_timeout_s: float | None
    keepalive_s: float
    keepalive_count: int
    family: int
    bind_address: str | None
    compression: bool
    gssapi: bool
    host_key_algorithms: str | None
    kex_algorithms: str | None
    ciphers: str | None
    macs: str | None

    @property
    def known_as(self) -> str:
        """The name that known_hosts files know it by: alias, name, or `[name]:port`."""
        name = (self.host_key_alias or self.hostname).lower()
        # An alias stands as it is, whatever the port.
        return name if self.port == DEFAULT_PORT or self.host_key_alias else f"[{name}]:{self.port}"


def parse_target(text: str) -> Target:
    """Return the target of `[user@]host` or `ssh://[user@]host[:port]`. ValueError when it is none."""
    rest = text.removeprefix("ssh://")
    user, at, host = rest.rpartition("@")
    port: int | None = None
    if rest != text or host.startswith("["):
        match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::(\d{1,5}))?/?", host)
        if match is None:
            raise ValueError(f"not a host: {text!r}")
        host = match.group(1) or match.group(2)
        port = int(match.group(3)) if match.group(3) else None
    if not host or host.startswith("-") or re.search(r"[\s\x00-\x1f\x7f'`\"$\\;&<>|(){}/]", host):
        raise ValueError(f"not a host: {text!r}")
    if (at and not user) or user.startswith("-") or (port is not None and not 0 < port < 65536):
        raise ValueError(f"not a host: {text!r}")
    return Target(host, user or None, port)


def parse_jumps(text: str) -> tuple[Target, ...]:
    """Return the hops of a ProxyJump value, first hop first. ValueError when one is no host."""
    if text.lower() == "none":
        return ()
    # Unlike in a bare host name a port may follow here.
    return tuple(parse_target(part if part.startswith("ssh://") else f"ssh://{part}") for part in text.split(","))


def build(target: Target, values: Values, home: Path, environ: Mapping[str, str]) -> HostOptions:
    """Return the options of `target`. SourceError, naming file and line, for a value without sense."""
    reader = _Reader(target, values, home, environ)
    files = tuple(reader.path(text) for text in reader.words("userknownhostsfile", _KNOWN_HOSTS))
    files += tuple(reader.path(text) for text in reader.words("globalknownhostsfile", _GLOBAL_KNOWN_HOSTS))
    identities = values.lists.get("identityfile") or tuple(f"~/.ssh/{name}" for name in _IDENTITIES)
    revoked = reader.word("revokedhostkeys")
    keepalive = reader.seconds("serveraliveinterval") or 0.0
    return HostOptions(
        name=target.host,
        hostname=reader.hostname,
        port=reader.port,
        user=reader.user,
        host_key_alias=reader.word("hostkeyalias"),
        identity_files=tuple(reader.path(text) for text in identities if text.lower() != "none"),
        certificate_files=tuple(
            reader.path(text) for text in values.lists.get("certificatefile", ()) if text.lower() != "none"
        ),
        identities_only=reader.flag("identitiesonly", default=False),
        identity_agent=reader.agent(),
        known_hosts_files=tuple(file for file in files if file.name != "none"),
        revoked_host_keys=reader.path(revoked) if revoked else None,
        proxy_jump=reader.jumps(),
        proxy_command=reader.command(),
        connect_timeout_s=reader.seconds("connecttimeout"),
        keepalive_s=min(keepalive, DEFAULT_KEEPALIVE_S) if keepalive else DEFAULT_KEEPALIVE_S,
        keepalive_count=min(reader.number("serveralivecountmax", DEFAULT_KEEPALIVE_COUNT), DEFAULT_KEEPALIVE_COUNT),
        family=_FAMILIES.get((reader.word("addressfamily") or "any").lower(), socket.AF_UNSPEC),
        bind_address=reader.word("bindaddress"),
        compression=reader.flag("compression", default=False),
        gssapi=reader.flag("gssapiauthentication", default=False),
        host_key_algorithms=reader.word("hostkeyalgorithms"),
        kex_algorithms=reader.word("kexalgorithms"),
        ciphers=reader.word("ciphers"),
        macs=reader.word("macs"),
    )


class _Reader:
    """Reads single values of one host: type, default, tokens."""

    def __init__(self, target: Target, values: Values, home: Path, environ: Mapping[str, str]) -> None:
        self._target = target
        self._values = values
        self._home = home
        self._environ = environ
        self.user = target.user or self.word("user") or user_name()
        self.port = target.port or self.number("port", DEFAULT_PORT)
        if not 0 < self.port < 65536:
            raise self._wrong("port")
        self.hostname = target.host
        if name := self.word("hostname"):
            self.hostname = self._expand(name, {"%": "%", "h": target.host}, "hostname")
        self.hostname = self.hostname.lower()

    def words(self, keyword: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        return self._values.single.get(keyword, default)

    def word(self, keyword: str) -> str | None:
        words = self.words(keyword)
        return None if not words or words[0].lower() == "none" else words[0]

    def flag(self, keyword: str, *, default: bool) -> bool:
        word = (self.word(keyword) or "").lower()
        if not word:
            return default
        if word not in ("yes", "no", "true", "false"):
            raise self._wrong(keyword)
        return word in ("yes", "true")

    def number(self, keyword: str, default: int) -> int:
        word = self.word(keyword)
        if word is None:
            return default
        if not word.isascii() or not word.isdigit():
            raise self._wrong(keyword)
        return int(word)

    def seconds(self, keyword: str) -> float | None:
        word = self.word(keyword)
        if word is None:
            return None
        if not re.fullmatch(f"(?:{_TIME.pattern})+", word):
            raise self._wrong(keyword)
        return float(sum(int(count) * _UNITS[unit.lower()] for count, unit in _TIME.findall(word)))

    def path(self, text: str) -> Path:
        """Return a path with `~`, `%` tokens and `${}` replaced."""
        if "%" not in text and "$" not in text:
            return expand_home(text, self._home)
        try:
            text = environment_value(text, self._environ)
        except KeyError as error:
            what = f"{error.args[0]} is not set, but the ssh configuration uses it"
            raise SourceError(what, clean(text), f"set it: export {error.args[0]}=…") from None
        return expand_home(self._expand(text, self._tokens(), "path"), self._home)

    def agent(self) -> str | None:
        words = self.words("identityagent")
        word = words[0] if words else "SSH_AUTH_SOCK"
        if word.lower() == "none":
            return None
        if word == "SSH_AUTH_SOCK":
            return self._environ.get("SSH_AUTH_SOCK") or None
        if word.startswith("$") and not word.startswith("${"):
            return self._environ.get(word[1:]) or None
        return str(self.path(word))

    def jumps(self) -> tuple[Target, ...]:
        words = self.words("proxyjump")
        try:
            return parse_jumps(self._expand(words[0], self._tokens(), "proxyjump")) if words else ()
        except ValueError:
            raise self._wrong("proxyjump") from None

    def command(self) -> str | None:
        command = self.word("proxycommand")
        return self._expand(command, self._tokens(), "proxycommand") if command else None

    def _tokens(self) -> dict[str, str]:
        local = socket.gethostname()
        alias = self.word("hostkeyalias") or self.hostname
        jump = (self.words("proxyjump") or ("",))[0]
        digest = hashlib.sha1(f"{local}{self.hostname}{self.port}{self.user}".encode(), usedforsecurity=False)
        return {
            "%": "%", "C": digest.hexdigest(), "d": str(self._home), "h": self.hostname,
            "i": str(os.getuid()), "j": jump, "k": alias, "L": local.partition(".")[0], "l": local,
            "n": self._target.host, "p": str(self.port), "r": self.user, "u": user_name(),
        }  # fmt: skip

    def _expand(self, text: str, tokens: Mapping[str, str], keyword: str) -> str:
        def token(match: re.Match[str]) -> str:
            if match.group(1) not in tokens:
                raise self._wrong(keyword)
            return tokens[match.group(1)]

        return re.sub(r"%(.?)", token, text)

    def _wrong(self, keyword: str) -> SourceError:
        value = clean(" ".join(self.words(keyword)))
        where = self._values.where.get(keyword, self._target.host)
        return SourceError(f"the ssh configuration has no usable {keyword}: {value!r}", where, "see ssh_config(5)")
