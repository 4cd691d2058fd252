"""What this user may do, as the API server says: asked before a kind is called denied, and by the doctor."""

from __future__ import annotations

from typing import Any

import msgspec

from console.text import clean
from plugins.kubernetes.client import Client
from plugins.kubernetes.kinds import Resource
from plugins.kubernetes.objects import AccessReview, SelfReview

_ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
READ = ("list", "watch")


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

    async def user(self) -> str | None:
        """Return who the server takes us for; None where it does not tell (before 1.28). Raises SourceError."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = await self._client.post(_SELF, body)
            return clean(msgspec.json.decode(answer, type=SelfReview).status.user_info.username) or None
        except msgspec.MsgspecError:
            return None
