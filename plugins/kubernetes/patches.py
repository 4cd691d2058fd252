"""Changes of one object that say what it must be for them: a JSON patch whose tests fail where it is not. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from console.model import Call

_SAME_IN_ALL = re.compile(r"[\t\n\r\x20-\x25\x27-\x3b\x3d\x3f-\x7e]*")
"""Texts that every writer of JSON writes alike. The server compares what is written: Go escapes `<`, `>` and `&`, and
leaves all letters as they are."""


class Change(NamedTuple):
    """One field that changes; None on either side: it is not there."""

    path: tuple[str, ...]
    old: Any
    new: Any


def patch(path: str, uid: str, changes: Sequence[Change]) -> Call:
    """Return the request that makes changes to one object, if it is still the one with this uid and as they have it.

    What somebody else changed since is so not overwritten: the server refuses the whole.
    """
    operations: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": uid}]
    for change in changes:
        place = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in change.path)
        if not isinstance(change.old, str) or _SAME_IN_ALL.fullmatch(change.old):
            operations.append({"op": "test", "path": place, "value": change.old})
        if change.new is not None:
            operations.append({"op": "add", "path": place, "value": change.new})
        elif change.old is not None:
            operations.append({"op": "remove", "path": place})
    return Call(method="PATCH", path=path, body=compact(operations))


def back(changes: Sequence[Change]) -> list[Change]:
    """Return what takes changes back."""
    return [Change(change.path, change.new, change.old) for change in reversed(changes)]


def compact(body: object) -> str:
    """Return JSON in ASCII without a blank: what others wrote into an object reaches no terminal raw."""
    return json.dumps(body, separators=(",", ":"), sort_keys=True)
