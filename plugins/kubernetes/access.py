"""What this user may do, as the API server says: asked before a kind is called denied, and by the doctor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from console.model import Call
from console.text import clean
from plugins.kubernetes.client import Client
from plugins.kubernetes.failures import forbidden
from plugins.kubernetes.kinds import Resource
from plugins.kubernetes.objects import AccessReview, SelfReview

_ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
READ = ("list", "watch")
_VERBS: Mapping[str, str] = MappingProxyType({"PATCH": "patch", "POST": "create", "DELETE": "delete"})


class Right(NamedTuple):
    """A right as RBAC calls it."""

    verb: str
    group: str
    plural: str
    namespace: str
    """Empty: what it is about is in no namespace."""
    part: str
    """`eviction` of pods; empty: the object itself."""

    @property
    def resource(self) -> str:
        """`pods/eviction`, `jobs.batch`"""
        return f"{self.plural}{'.' + self.group if self.group else ''}{'/' + self.part if self.part else ''}"


def needed(call: Call) -> Right:
    """Return the right that a request needs which changes one object."""
    parts = call.path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return Right(_VERBS[call.method], group, rest[0], namespace, rest[2] if len(rest) > 2 else "")


class Rights:
    """Asks for rights by SelfSubjectAccessReview, and knows which namespaces to try."""

    def __init__(self, client: Client, configured: tuple[str, ...]) -> None:
        self._client = client
        self._configured = configured

    def namespaces(self) -> tuple[str, ...]:
        """Return the namespaces to read where not all may be: those of the settings and that of the context."""
        return tuple(dict.fromkeys((*self._configured, self._client.access().namespace or "default")))

    async def missing(self, resource: Resource, namespace: str | None) -> str | None:
        """Return the first verb of reading that is not given on a resource; None: all are. Raises SourceError."""
        for verb in READ:
            if not await self.may(verb, resource.wanted.group, resource.wanted.plural, namespace):
                return verb
        return None

    async def may(self, verb: str, group: str, plural: str, namespace: str | None, subresource: str = "") -> bool:
        """Whether a verb is given, in one namespace or (None) in all. Raises SourceError."""
        attributes: dict[str, Any] = {"verb": verb, "group": group, "resource": plural}
        if namespace is not None:
            attributes["namespace"] = namespace
        if subresource:
            attributes["subresource"] = subresource
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        try:
            return msgspec.json.decode(await self._client.post(_ACCESS, body), type=AccessReview).status.allowed
        except msgspec.MsgspecError:
            return False

    async def lacking(self, calls: Iterable[Call]) -> list[str]:
        """Return in words which rights requests need that this user does not have, each once. Raises SourceError."""
        rights = dict.fromkeys(map(needed, calls))
        asked = (self.may(one.verb, one.group, one.plural, one.namespace or None, one.part) for one in rights)
        given = await asyncio.gather(*asked)
        refused = [right for right, may in zip(rights, given, strict=True) if not may]
        errors = [forbidden(one.verb, one.resource, one.namespace, self._client.where) for one in refused]
        return [f"you {error.what} ({error.hint})" for error in errors]

    async def user(self) -> str | None:
        """Return who the server takes us for; None where it does not tell (before 1.28). Raises SourceError."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = await self._client.post(_SELF, body)
            return clean(msgspec.json.decode(answer, type=SelfReview).status.user_info.username) or None
        except msgspec.MsgspecError:
            return None
