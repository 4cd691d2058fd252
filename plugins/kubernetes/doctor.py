"""What works with this cluster, what is denied, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from console.errors import Denied, QuarterdeckError, SourceError
from console.plugin import Check, CheckState
from console.text import clean
from plugins.kubernetes.access import Rights
from plugins.kubernetes.client import Client
from plugins.kubernetes.kinds import AGGREGATED, WANTED, Resource, discovered
from plugins.kubernetes.kubeconfig import Access
from plugins.kubernetes.objects import Version


async def examine(client: Client, rights: Rights, find: Callable[[], Access]) -> list[Check]:
    """Look at everything once. Raises nothing."""
    try:
        access = find()
    except QuarterdeckError as error:
        return [_failed("kubeconfig", error)]
    checks = [Check(subject="kubeconfig", state=CheckState.OK, detail=f"{access.origin}, {clean(access.server)}")]
    checks.append(_login(access))
    try:
        body = await client.get("/version")
        version = clean(msgspec.json.decode(body, type=Version).git_version)
        checks.append(Check(subject="API server", state=CheckState.OK, detail=f"{client.where} answers, {version}"))
        checks.append(await _whoami(rights))
        found, _unsure = discovered(await client.get("/apis", accept=AGGREGATED))
    except SourceError as error:
        return [*checks, _failed("API server", error)]
    except msgspec.MsgspecError as error:
        detail = f"{client.where} answers something else: {error}"
        remedy = "is there a proxy or another server at that address?"
        return [*checks, Check(subject="API server", state=CheckState.FAILED, detail=detail, remedy=remedy)]
    checks += [await _readable(rights, resource) for resource in found]
    absent = [f"{each.plural}.{each.group}" for each in WANTED if each not in {one.wanted for one in found}]
    if absent:
        checks.append(Check(subject="not installed", state=CheckState.ABSENT, detail=", ".join(absent)))
    checks.append(await _logs(rights))
    return checks


def _failed(subject: str, error: QuarterdeckError) -> Check:
    state = CheckState.DENIED if isinstance(error, Denied) else CheckState.FAILED
    return Check(subject=subject, state=state, detail=str(error), remedy=error.hint or "try the same with kubectl")


def _login(access: Access) -> Check:
    """Say by what we log in, without trying it."""
    if access.exec_plugin is not None:
        how = f"exec plugin {clean(access.exec_plugin.command)}"
    elif access.token_file is not None:
        how = f"token file {clean(str(access.token_file))}, read again every minute"
    elif access.token is not None:
        how = "a token"
    elif access.basic is not None:
        how = "a password"
    elif access.auth_provider is not None:
        how = f"auth-provider {clean(str(access.auth_provider.get('name', '')))}"
    elif access.certificate_files is not None or access.certificate is not None:
        how = "a client certificate"
    else:
        remedy = "log in as you do for kubectl, or name a user in the context"
        return Check(
            subject="login", state=CheckState.WARNING, detail="the context names no credentials", remedy=remedy
        )
    if not access.verify:
        remedy = "give certificate-authority in the kubeconfig instead"
        detail = f"{how}; the server's certificate is not checked (insecure-skip-tls-verify)"
        return Check(subject="login", state=CheckState.WARNING, detail=detail, remedy=remedy)
    return Check(subject="login", state=CheckState.OK, detail=how)


async def _whoami(rights: Rights) -> Check:
    try:
        user = await rights.user()
    except SourceError as error:
        if isinstance(error, Denied):
            return _failed("user", error)
        return Check(subject="user", state=CheckState.ABSENT, detail=f"the server does not tell: {error}")
    return Check(subject="user", state=CheckState.OK, detail=f"the server knows us as {user or 'nobody it would name'}")


async def _readable(rights: Rights, resource: Resource) -> Check:
    """Say whether a kind may be listed and watched: everywhere, in some namespaces, or not."""
    subject = resource.name
    try:
        verb = await rights.missing(resource, None)
        if verb is None:
            return Check(subject=subject, state=CheckState.OK, detail="may be listed and watched")
        allowed = []
        if resource.wanted.namespaced:
            names = rights.namespaces()
            allowed = [name for name in names if await rights.missing(resource, name) is None]
    except SourceError as error:
        return _failed(subject, error)
    if allowed:
        detail = f"only of {clean(', '.join(allowed))}"
        remedy = "name further namespaces in the configuration (namespaces), or ask for a ClusterRole"
        return Check(subject=subject, state=CheckState.WARNING, detail=detail, remedy=remedy)
    return Check(
        subject=subject,
        state=CheckState.DENIED,
        detail=f"may not {verb} {subject} in the whole cluster",
        remedy=f"ask for a role with verbs list and watch on {subject}; see: kubectl auth can-i {verb} {subject} -A",
    )


async def _logs(rights: Rights) -> Check:
    try:
        names = rights.namespaces()
        allowed = [name for name in names if await rights.may("get", "", "pods", name, "log")]
    except SourceError as error:
        return _failed("logs", error)
    if allowed:
        return Check(subject="logs", state=CheckState.OK, detail=f"may be read in {clean(', '.join(allowed))}")
    return Check(
        subject="logs",
        state=CheckState.DENIED,
        detail=f"may not get pods/log in {clean(', '.join(names))}",
        remedy="ask for a role with verb get on pods/log",
    )
