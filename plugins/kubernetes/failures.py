"""What it means that a request to the API server failed, in words that help. Pure.

401                               Denied: the credentials are refused
403 as system:anonymous           Denied: no credentials were sent
403                               Denied, with the verb and the resource that are missing
404                               Missing (Unsupported): no such object, or no such API
410                               Expired: list anew
409, a patch that does not fit     Conflict: it is not as it was when that was meant
429, 500, 503, 504 Retry-After    Busy, with the seconds
500, two budgets for one pod      CommandFailed: no eviction of it is possible
500 from a kubelet                Unreachable: the node, not the API server
anything else                     CommandFailed, with the server's own words
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping

import msgspec

from console.errors import (
    BadAnswer,
    CommandFailed,
    ConnectionLost,
    Denied,
    SourceError,
    TimedOut,
    Unreachable,
    Unsupported,
)
from console.text import clean

_MAX_WAIT_S = 300.0
_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)"| (?P<cluster>at the cluster scope))?'
)
_KUBELET = re.compile(r'Get "https://(?P<host>[^/"]+)/containerLogs/[^"]*": (?P<why>.*)', re.DOTALL)
_BUDGET = "DisruptionBudget"
_TWO_BUDGETS = "more than one PodDisruptionBudget"
_MISFIT = "the server rejected our request due to an error in our request"
"""All that is said of a JSON patch whose tests fail."""
LOGIN_HINT = "log in again as you do for kubectl, then try: kubectl auth whoami"
SERVER_HINT = "kubectl get --raw /readyz?verbose tells which part of it is ill"


class Cause(msgspec.Struct, frozen=True):
    """One of `details.causes`."""

    reason: str = ""
    message: str = ""
    field: str = ""


class Details(msgspec.Struct, frozen=True):
    """`details` of a Status."""

    name: str = ""
    kind: str = ""
    group: str = ""
    causes: list[Cause] = []
    retry_after: int | None = msgspec.field(name="retryAfterSeconds", default=None)


class _ListMeta(msgspec.Struct, frozen=True):
    continue_: str = msgspec.field(name="continue", default="")


class Status(msgspec.Struct, frozen=True):
    """A Status object: what the API server answers when it does not answer."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: Details | None = None
    metadata: _ListMeta | None = None


class Conflict(CommandFailed):
    """It is not, or no longer, what the request says that it is."""


class Expired(SourceError):
    """A version or a continue token that is too old."""


class Busy(Unreachable):
    """It asks to be left alone for `retry_after_s` seconds, or did not say how long (None)."""

    def __init__(self, what: str, where: str, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(what, where, hint)
        self.retry_after_s = retry_after_s


class Refused(Busy):
    """It did nothing of what was asked (429)."""

    def __init__(self, what: str, where: str, hint: str, retry_after_s: float | None, budget: str) -> None:
        super().__init__(what, where, hint, retry_after_s)
        self.budget = budget
        """The server's own words on the PodDisruptionBudget that does not let go; empty: it has no room itself."""


class Missing(Unsupported):
    """There is no such object, or no such API (`api` is True)."""

    def __init__(self, what: str, where: str, hint: str = "", *, api: bool = False) -> None:
        super().__init__(what, where, hint)
        self.api = api


class Forbidden(Denied):
    """May not; `verb` and `resource` say what, as RBAC calls them."""

    def __init__(self, what: str, where: str, hint: str, verb: str, resource: str) -> None:
        super().__init__(what, where, hint)
        self.verb = verb
        self.resource = resource


def read_status(body: bytes) -> Status:
    """Return the Status of an answer; one that holds only its text when it is something else."""
    try:
        return msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, ValueError):
        return Status(message=body[:500].decode("utf-8", "replace"))


def failure(code: int, body: bytes, headers: Mapping[str, str], where: str, user: str = "") -> SourceError:
    """Return the error that an answer other than 2xx stands for. `where` names the server, `user` who asked."""
    status = read_status(body)
    said = clean(status.message.strip(), limit=600)
    wait = _retry_after(headers, status)
    if code == 401:
        who = f" of user {clean(user)}" if user else ""
        return Denied(f"the credentials{who} are refused; has the token expired?", where, LOGIN_HINT)
    if code == 403:
        return _forbidden(status.message, said, where, user)
    if code == 404:
        return Missing(said or "there is no such thing", where, "", api=status.code == 0)
    if code == 410:
        return Expired(said or "too old", where)
    if code == 409 or (code == 422 and said == _MISFIT):
        what = said if code == 409 else "it is not as the plan has it"
        return Conflict(what, where, "it was changed meanwhile: look at it, then plan anew")
    if code == 429:
        causes = [each for each in (status.details.causes if status.details else ()) if each.reason == _BUDGET]
        words = clean(" ".join(each.message for each in causes), limit=600)
        what = said if causes else "the API server has no room for this user's requests now"
        return Refused(what, where, "it is asked again soon", wait, words)
    if code == 500 and _TWO_BUDGETS in status.message:
        return CommandFailed(said, where, "kubectl get pdb -A shows them: one of them must let go of the pod")
    if (found := _KUBELET.search(status.message)) is not None:
        what = f"the kubelet of the node does not answer ({clean(found['host'])}): {clean(found['why'], limit=200)}"
        return Unreachable(what, where, "kubectl describe node tells how the node is; the API server itself is well")
    if code in (500, 502, 503, 504):
        what = f"the API server answers {code}: {said or 'no word'}"
        return (
            TimedOut(what, where, SERVER_HINT) if code == 504 and wait is None else Busy(what, where, SERVER_HINT, wait)
        )
    return CommandFailed(f"the API server answers {code}: {said or 'no word'}", where, "try the same with kubectl -v 6")


def _forbidden(message: str, said: str, where: str, user: str) -> Denied:
    found = _FORBIDDEN.search(message)
    if found is None:
        return Denied(said or "may not", where, "ask the administrators of the cluster")
    if found["user"] == "system:anonymous":
        who = f" for user {clean(user)}" if user else ""
        what = f"no credentials were sent{who}: the server saw system:anonymous"
        return Denied(what, where, LOGIN_HINT)
    resource = clean(found["resource"] + (f".{found['group']}" if found["group"] else ""))
    return forbidden(clean(found["verb"]), resource, clean(found["namespace"] or ""), where)


def forbidden(verb: str, resource: str, namespace: str, where: str) -> Forbidden:
    """Return that RBAC does not give a verb on a resource, in one namespace or (empty) in all of the cluster."""
    scope = f"in namespace {namespace}" if namespace else "in the whole cluster"
    flag = f"-n {namespace}" if namespace else "-A"
    hint = f"needs a role with verb {verb} on {resource}; see: kubectl auth can-i {verb} {resource} {flag}"
    return Forbidden(f"may not {verb} {resource} {scope}", where, hint, verb, resource)


def _retry_after(headers: Mapping[str, str], status: Status) -> float | None:
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return min(float(text), _MAX_WAIT_S)
    if status.details is not None and status.details.retry_after is not None:
        return min(max(float(status.details.retry_after), 0.0), _MAX_WAIT_S)
    return None


def no_connection(error: BaseException, where: str, *, origin: str, proxy: str | None = None) -> SourceError:
    """Return what it means that no answer came at all."""
    import aiohttp

    if isinstance(error, TimeoutError):
        return TimedOut("the API server does not answer in time", where, SERVER_HINT)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return _tls(error, where, origin)
    words = clean(str(error), limit=300) or type(error).__name__
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        named = f" {clean(proxy)}" if proxy else ""
        return Unreachable(
            f"the proxy{named} does not let us through: {words}", where, "look at proxy-url, HTTPS_PROXY"
        )
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return CommandFailed(f"this is no address of an API server: {words}", where, f"look at {origin}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable("there is no such host", where, f"is the VPN up? else look at {origin}")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = getattr(error.os_error, "strerror", None) or words
        return Unreachable(
            f"no connection to the API server: {clean(reason)}", where, f"is it up? else look at {origin}"
        )
    return ConnectionLost(f"the connection to the API server broke: {words}", where, "it is asked again soon")


def in_doubt(error: SourceError) -> SourceError:
    """Return an error of a request that changes something; it says so where that may have happened nevertheless."""
    if isinstance(error, Refused) or not isinstance(error, TimedOut | ConnectionLost | Busy):
        return error
    hint = "look at it before you do it again"
    return type(error)(f"{error.what}: whether it happened is not known", error.where, hint)


def _tls(error: BaseException, where: str, origin: str) -> SourceError:
    words = str(getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error)
    said = clean(words.partition("] ")[2] or words, limit=200)
    if "CERTIFICATE_VERIFY_FAILED" in words or "verify failed" in words or "doesn't match" in words:
        what = f"the server's certificate is not trusted: {said}"
        return Denied(what, where, f"compare certificate-authority and server of {origin}")
    if "ALERT" in words.upper():
        return Denied(f"the server refuses our certificate: {said}", where, LOGIN_HINT)
    return BadAnswer(f"no TLS with the API server: {said}", where, f"look at the server's address in {origin}")
