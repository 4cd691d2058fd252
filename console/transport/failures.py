"""What goes wrong between here and a host, in words: what happened, where, what to do next."""

from __future__ import annotations

import base64
import errno
import os
import shlex
import socket
from dataclasses import dataclass, field

import asyncssh

from console.errors import (
    BadAnswer,
    ConnectionLost,
    Denied,
    HostKeyChanged,
    HostKeyUnknown,
    SourceError,
    TimedOut,
    Unreachable,
    Unsupported,
)
from console.text import clean
from console.transport.hostkeys import HostKeys, fingerprint
from console.transport.hostoptions import DEFAULT_PORT, HostOptions
from console.transport.identities import Offer

_WAITED_FOR = {
    "connect": "no answer",
    "greeting": "connected, but no SSH server spoke",
}


@dataclass
class Attempt:
    """What is known of a connect that may fail."""

    options: HostOptions
    phase: str = "connect"
    known: HostKeys = field(default_factory=HostKeys)
    offer: Offer = field(default_factory=Offer)
    shown_kind: str = ""
    shown_key: bytes = b""
    """The host key that was not trusted, in wire form."""
    banner: str = ""

    @property
    def where(self) -> str:
        """The host as the user names it, and its address when that differs."""
        options = self.options
        address = options.hostname if options.port == DEFAULT_PORT else f"{options.hostname}:{options.port}"
        return options.name if address == options.name else f"{options.name} ({address})"


def connect_error(error: BaseException, attempt: Attempt, timeout_s: float) -> SourceError:
    """Return the error of our own tree for a connect that failed."""
    where = attempt.where
    if isinstance(error, TimeoutError):
        what = _WAITED_FOR.get(attempt.phase, "no answer")
        return TimedOut(f"{what} within {timeout_s:g} s", where, "is the machine up, and does a firewall let SSH pass?")
    if isinstance(error, socket.gaierror):
        return Unreachable(
            f"the name does not resolve: {clean(error.strerror or str(error))}", where,
            "check the name, or give HostName in the ssh configuration",
        )  # fmt: skip
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return _host_key_error(error, attempt)
    if isinstance(error, asyncssh.PermissionDenied):
        return _login_error(attempt)
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return _key_exchange_error(error, attempt)
    if isinstance(error, asyncssh.ChannelOpenError):
        return Unreachable(
            f"the jump host could not reach it: {clean(error.reason)}", where,
            "check that the jump host knows the name and may connect",
        )  # fmt: skip
    if isinstance(error, asyncssh.ProtocolError | asyncssh.ProtocolNotSupported):
        return BadAnswer(
            f"what answers there is no SSH server: {clean(error.reason)}",
            where,
            "check the port in the ssh configuration",
        )
    if isinstance(error, asyncssh.DisconnectError):
        return _dropped_error(error, attempt)
    if isinstance(error, OSError):
        return _socket_error(error, attempt)
    return Unreachable(f"cannot connect: {clean(str(error))}", where, f"try it by hand: ssh {attempt.options.name}")


def lost_error(error: BaseException | None, where: str) -> SourceError:
    """Return the error for a connection that worked and then died."""
    if isinstance(error, asyncssh.ConnectionLost) and "keepalive" in str(error):
        hint = "is the machine overloaded, rebooting, or cut off from the network?"
        return ConnectionLost("the connection died: the host stopped answering", where, hint)
    reason = clean(str(error)) if error is not None else ""
    what = f"the connection died: {reason}" if reason else "the connection was closed"
    return ConnectionLost(what, where, "is the machine rebooting? the log of its sshd says who closed it")


def open_error(error: asyncssh.ChannelOpenError, where: str) -> SourceError:
    """Return the error for a connection on which the server opens no further session."""
    return Denied(
        f"the server opens no session: {clean(error.reason)}", where,
        "the account may not run commands, or MaxSessions in its sshd_config is reached",
    )  # fmt: skip


def _socket_error(error: OSError, attempt: Attempt) -> SourceError:
    hints = {
        errno.ECONNREFUSED: "is sshd running there, and is the port right?",
        errno.EHOSTUNREACH: "is the machine up and in a network that this one reaches?",
        errno.ENETUNREACH: "is there a route to its network?",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
    }
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _dropped_error(error, attempt)
    # asyncio puts words of its own into strerror.
    what = os.strerror(error.errno).lower() if error.errno else clean(str(error))
    return Unreachable(what, attempt.where, hints.get(error.errno or 0, f"try it by hand: ssh {attempt.options.name}"))


def _dropped_error(error: Exception, attempt: Attempt) -> SourceError:
    reason = clean(getattr(error, "reason", "") or str(error))
    lowered = reason.lower()
    where = attempt.where
    if "too many authentication failures" in lowered:
        return Denied(
            f"login as {attempt.options.user} refused: too many keys were offered", where,
            "name the right key: IdentityFile, and IdentitiesOnly yes",
        )  # fmt: skip
    if "login timeout" in lowered:
        return TimedOut("connected, but the login did not end", where, "is the machine overloaded?")
    return Unreachable(
        f"the server closed the connection before the login{f': {reason}' if reason else ''}", where,
        "it may be overloaded or starting (MaxStartups in its sshd_config), or refuse this address",
    )  # fmt: skip


def _login_error(attempt: Attempt) -> SourceError:
    options, offer = attempt.options, attempt.offer
    shown = ", ".join(offer.names) if offer.names else "none"
    what = f"login as {clean(options.user)} refused; keys offered: {shown}"
    if offer.problems:
        what += f"; not offered: {', '.join(offer.problems)}"
    if attempt.banner:
        what += f"; it says: {attempt.banner}"
    if offer.locked:
        hint = f"unlock the key for the agent: ssh-add {shlex.quote(offer.locked[0])}"
    elif not offer.names:
        hint = "start an agent and ssh-add a key, or name one: IdentityFile in the ssh configuration"
    else:
        hint = f"put one of these keys into ~{clean(options.user)}/.ssh/authorized_keys there, or set User"
    return Denied(what, attempt.where, hint)


def _host_key_error(error: asyncssh.HostKeyNotVerifiable, attempt: Attempt) -> SourceError:
    options, known = attempt.options, attempt.known
    reason = clean(error.reason)
    if "revoked" in reason.lower():
        places = ", ".join(key.where for key in known.revoked)
        return HostKeyChanged(
            f"the host shows a key that is marked as revoked in {places}", attempt.where,
            "a stolen key may be used to impersonate this host: ask whoever runs it",
        )  # fmt: skip
    if not attempt.shown_key:
        return Denied(f"the certificate of the host is not valid: {reason}", attempt.where,
            "ask whoever signs the host certificates")  # fmt: skip
    shown = f"{attempt.shown_kind} {fingerprint(attempt.shown_key)}"
    if known.trusted:
        places = ", ".join(key.where for key in known.trusted)
        old = ", ".join(sorted({f"{key.kind} {_fingerprint_of(key.data)}" for key in known.trusted}))
        file = known.trusted[0].where.rpartition(":")[0]
        remove = f"ssh-keygen -f {shlex.quote(file)} -R {shlex.quote(options.known_as)}"
        return HostKeyChanged(
            f"THE HOST KEY HAS CHANGED: it shows {shown}, known is {old} ({places})", attempt.where,
            "somebody may be listening in, or the host was installed anew: ask whoever runs it; "
            f"then remove the old key with: {remove}",
        )  # fmt: skip
    if known.authorities:
        places = ", ".join(key.where for key in known.authorities)
        return HostKeyUnknown(
            f"the host key ({shown}) is signed by no known authority ({places})", attempt.where,
            f"add its key: {add_command(options)} (but first compare the fingerprint with the host's own; "
            "or have the host certified)",
        )  # fmt: skip
    return HostKeyUnknown(
        f"the host key ({shown}) is in no known_hosts file", attempt.where,
        f"add it: {add_command(options, attempt.shown_kind)} (but first compare the fingerprint with what the host "
        f"itself prints: ssh-keygen -lf /etc/ssh/ssh_host_{_short(attempt.shown_kind)}_key.pub)",
    )  # fmt: skip


def add_command(options: HostOptions, kind: str = "ssh-ed25519") -> str:
    """Return the command that adds a host's key to the user's known_hosts."""
    file = shlex.quote(str(options.known_hosts_files[0])) if options.known_hosts_files else "~/.ssh/known_hosts"
    port = "" if options.port == DEFAULT_PORT else f"-p {options.port} "
    command = f"ssh-keyscan {port}-t {_short(kind)} {shlex.quote(options.hostname)}"
    if options.host_key_alias:
        alias = options.host_key_alias.replace("/", "")
        command += f" | sed {shlex.quote(f's/^[^ ]*/{alias}/')}"
    if options.proxy_jump:
        # ssh-keyscan does not know of jump hosts, so it has to run on the last of them.
        command = f"ssh {shlex.quote(options.proxy_jump[-1].argument)} {shlex.quote(command)}"
    return f"{command} >> {file}"


def _key_exchange_error(error: asyncssh.KeyExchangeFailed, attempt: Attempt) -> SourceError:
    return Unsupported(
        f"no common algorithm: {clean(error.reason)}", attempt.where,
        "KexAlgorithms, Ciphers, MACs or HostKeyAlgorithms in the ssh configuration rule out all it offers",
    )  # fmt: skip


def _short(kind: str) -> str:
    """Return a key type as ssh-keyscan names it."""
    for name in ("ed25519", "ecdsa", "rsa"):
        if name in kind:
            return name
    return "ed25519"


def _fingerprint_of(data: str) -> str:
    try:
        return fingerprint(base64.b64decode(data))
    except ValueError:
        return "(unreadable)"
