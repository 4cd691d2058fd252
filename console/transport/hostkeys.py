"""known_hosts files: which keys a host may show, and where each of them stands.

Plain, hashed and wildcard entries, `[host]:port`, `@cert-authority` and `@revoked`, as sshd(8) describes them.
Keys stay base64 text here: most of a long file is never looked at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from console.errors import SourceError, Unsupported
from console.transport.openssh import matches

_MAX_BYTES = 64 << 20
_KRL_MAGIC = b"SSHKRL\n\0"


@dataclass(frozen=True)
class KnownKey:
    """One line of a known_hosts file."""

    marker: str
    """Empty, `cert-authority` or `revoked`."""
    kind: str
    """`ssh-ed25519`"""
    data: str
    """Base64."""
    where: str
    """FILE:LINE"""


@dataclass(frozen=True)
class HostKeys:
    """All that is known of one host."""

    trusted: tuple[KnownKey, ...] = ()
    authorities: tuple[KnownKey, ...] = ()
    revoked: tuple[KnownKey, ...] = ()


class _File:
    """One known_hosts file, indexed."""

    def __init__(self, path: Path, text: str) -> None:
        self._exact: dict[str, list[KnownKey]] = {}
        self._hashed: list[tuple[bytes, bytes, KnownKey]] = []
        self._patterns: list[tuple[list[str], KnownKey]] = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            marker = words.pop(0)[1:] if words[0].startswith("@") else ""
            if len(words) < 3 or marker not in ("", "cert-authority", "revoked"):
                continue  # as ssh does: a line that makes no sense trusts nobody
            self._add(words[0], KnownKey(marker, words[1], words[2], f"{path}:{number}"))

    def _add(self, names: str, key: KnownKey) -> None:
        if names.startswith("|1|"):
            try:
                salt, digest = (base64.b64decode(part) for part in names[3:].split("|", 1))
            except (ValueError, binascii.Error):
                return
            self._hashed.append((salt, digest, key))
        elif any(char in names for char in "*?!"):
            self._patterns.append((names.lower().split(","), key))
        else:
            for name in names.lower().split(","):
                self._exact.setdefault(name, []).append(key)

    def find(self, name: str) -> Iterable[KnownKey]:
        """Yield the keys of a host: its name in lower case, as `known_as` says it."""
        yield from self._exact.get(name, ())
        data = name.encode()
        for salt, digest, key in self._hashed:
            if hmac.digest(salt, data, "sha1") == digest:
                yield key
        for patterns, key in self._patterns:
            if matches(name, patterns):
                yield key


class KnownHosts:
    """Reads known_hosts files once, and again when they change."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[tuple[int, int], _File]] = {}

    def lookup(self, files: Sequence[Path], name: str) -> HostKeys:
        """Return what the files say of a host. SourceError when one of them is there but cannot be read."""
        found = [key for path in files if (file := self._load(path)) is not None for key in file.find(name)]
        return HostKeys(
            tuple(key for key in found if not key.marker),
            tuple(key for key in found if key.marker == "cert-authority"),
            tuple(key for key in found if key.marker == "revoked"),
        )

    @staticmethod
    def revoked(path: Path) -> tuple[KnownKey, ...]:
        """Return the keys of a RevokedHostKeys file in its text form.

        SourceError, so that nobody is trusted, when it cannot be read or is in the binary form (a KRL).
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            what = f"cannot read the revoked host keys: {error.strerror}"
            hint = "make it readable, or correct RevokedHostKeys in the ssh configuration"
            raise SourceError(what, str(path), hint) from None
        if data.startswith(_KRL_MAGIC):
            raise Unsupported(
                "RevokedHostKeys is a binary list, which is not read here, so no host is trusted", str(path),
                "list the keys as text, one public key a line, or as @revoked lines in known_hosts",
            )  # fmt: skip
        lines = enumerate(data.decode("utf-8", "replace").splitlines(), 1)
        words = ((number, line.split()) for number, line in lines)
        return tuple(
            KnownKey("revoked", parts[0], parts[1], f"{path}:{number}")
            for number, parts in words
            if len(parts) > 1 and not parts[0].startswith("#")
        )

    def _load(self, path: Path) -> _File | None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            cached = self._files.get(path)
            if cached is not None and cached[0] == stamp:
                return cached[1]
            if status.st_size > _MAX_BYTES:
                hint = "is it one? UserKnownHostsFile in the ssh configuration names another"
                raise SourceError("the known_hosts file is too long", str(path), hint)
            file = _File(path, path.read_text("utf-8", "replace"))
        except FileNotFoundError:
            return None
        except OSError as error:
            what = f"cannot read the known_hosts file: {error.strerror}"
            hint = "make it readable, or name another: UserKnownHostsFile in the ssh configuration"
            raise SourceError(what, str(path), hint) from None
        self._files[path] = (stamp, file)
        return file


def fingerprint(data: bytes) -> str:
    """Return the SHA256 fingerprint of a public key (its wire form), as ssh-keygen prints it."""
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode("ascii").rstrip("=")
    return f"SHA256:{digest}"
