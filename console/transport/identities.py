"""The user's keys: files, certificates and agent, in the order in which ssh offers them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
from asyncssh.public_key import decode_ssh_certificate

from console.text import clean
from console.transport.hostkeys import fingerprint
from console.transport.hostoptions import HostOptions

_MAX_BYTES = 1 << 20


@dataclass
class Offer:
    """What one connection may show of its user."""

    pairs: list[asyncssh.SSHKeyPair] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """One for each pair: `~/.ssh/id_ed25519`, `agent: alice@laptop`."""
    problems: list[str] = field(default_factory=list)
    """Keys that could not be offered, and why."""
    locked: list[str] = field(default_factory=list)
    """Files with keys under a passphrase that no agent holds."""
    agent: asyncssh.SSHAgentClient | None = None
    """To be closed after the login."""


class Identities:
    """Reads key files once, and again when they change."""

    def __init__(self) -> None:
        self._keys: dict[Path, tuple[int, asyncssh.SSHKey | str]] = {}

    async def offer(self, options: HostOptions) -> Offer:
        """Return the keys for one connection: the agent's that are named by files, its others, then files."""
        offer = Offer()
        held = await self._agent_pairs(options, offer)
        certificates = self._certificates(options, offer)
        files: list[tuple[Path, asyncssh.SSHKey]] = []
        named: set[bytes] = set()
        for path in options.identity_files:
            loaded = self._load(path)
            public = None
            if isinstance(loaded, asyncssh.SSHKey):
                public = loaded.public_data
                if public not in held:
                    files.append((path, loaded))
            elif held:
                public = _public_data(path)
            if isinstance(loaded, str) and public not in held:
                offer.problems.append(f"{path} ({loaded})")
                if loaded == _LOCKED:
                    offer.locked.append(str(path))
            if public is not None:
                named.add(public)
        for pair in sorted(held.values(), key=lambda pair: _key_of(pair) not in named):
            if options.identities_only and _key_of(pair) not in named:
                continue
            self._add_agent_pair(offer, pair, certificates)
        for path, key in files:
            self._add_file_pairs(offer, path, key, certificates)
        return offer

    async def _agent_pairs(self, options: HostOptions, offer: Offer) -> dict[bytes, asyncssh.SSHKeyPair]:
        if not options.identity_agent:
            return {}
        try:
            offer.agent = await asyncssh.connect_agent(options.identity_agent)
            pairs = await offer.agent.get_keys()
        except (OSError, ValueError, asyncssh.Error) as error:
            offer.problems.append(f"the agent at {options.identity_agent} ({clean(str(error))})")
            return {}
        return {pair.public_data: pair for pair in pairs}

    def _certificates(self, options: HostOptions, offer: Offer) -> dict[bytes, asyncssh.SSHCertificate]:
        """Return certificates by the public data of their keys; those beside identity files included."""
        found: dict[bytes, asyncssh.SSHCertificate] = {}
        beside = [path.with_name(f"{path.name}-cert.pub") for path in options.identity_files]
        for path in (*options.certificate_files, *beside):
            try:
                certificate = asyncssh.read_certificate(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                offer.problems.append(f"{path} ({clean(str(error))})")
            else:
                found.setdefault(certificate.key.public_data, certificate)
        return found

    def _load(self, path: Path) -> asyncssh.SSHKey | str | None:
        """Return the private key of a file, why it cannot be used, or None where there is none."""
        try:
            status = path.stat()
        except OSError:
            return None
        cached = self._keys.get(path)
        if cached is None or cached[0] != status.st_mtime_ns:
            cached = (status.st_mtime_ns, _read(path, status))
            self._keys[path] = cached
        return cached[1]

    @staticmethod
    def _add_agent_pair(
        offer: Offer, pair: asyncssh.SSHKeyPair, certificates: dict[bytes, asyncssh.SSHCertificate]
    ) -> None:
        comment = clean(pair.get_comment(errors="replace") or "") or fingerprint(pair.public_data)
        certificate = certificates.get(pair.public_data)
        if certificate is not None:
            # One pair carries one credential; a user who has a certificate for a key means it to be shown.
            pair.set_certificate(certificate)
            comment += " with its certificate"
        offer.pairs.append(pair)
        offer.names.append(f"agent: {comment}")

    @staticmethod
    def _add_file_pairs(
        offer: Offer, path: Path, key: asyncssh.SSHKey, certificates: dict[bytes, asyncssh.SSHCertificate]
    ) -> None:
        certificate = certificates.get(key.public_data)
        if certificate is not None:
            offer.pairs += asyncssh.load_keypairs([(key, certificate)])
            offer.names.append(f"{path} with its certificate")
        else:
            offer.pairs += asyncssh.load_keypairs([key])
            offer.names.append(str(path))


_LOCKED = "locked by a passphrase"


def _read(path: Path, status: os.stat_result) -> asyncssh.SSHKey | str:
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        return f"ignored as ssh ignores it: its mode {status.st_mode & 0o777:04o} lets others read it"
    if status.st_size > _MAX_BYTES:
        return "not a key"
    try:
        return asyncssh.import_private_key(path.read_bytes())
    except asyncssh.KeyEncryptionError:
        return _LOCKED
    except asyncssh.KeyImportError as error:
        return _LOCKED if "passphrase" in str(error).lower() else f"not a usable key: {clean(str(error))}"
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _key_of(pair: asyncssh.SSHKeyPair) -> bytes:
    """Return the public key of a pair; an agent lists a certificate as a key of its own."""
    try:
        return decode_ssh_certificate(pair.public_data).key.public_data
    except asyncssh.KeyImportError:
        return pair.public_data


def _public_data(path: Path) -> bytes | None:
    """Return the public half that lies beside a private key (or is the file itself), for asking the agent."""
    for candidate in (path.with_name(f"{path.name}.pub"), path):
        try:
            return asyncssh.read_public_key(candidate).public_data
        except (OSError, ValueError):
            continue
    return None
