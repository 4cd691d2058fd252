"""Node sets: `gpu[01-16,20],login1` and groups (`@gpu`), in the notation of ClusterShell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from console.errors import UsageError
from console.text import clean

MAX_NODES = 100_000
"""More names than this are a slip of the pen, not a cluster."""

_PLAIN = re.compile(r"[A-Za-z0-9_.:+-]+(?:@[A-Za-z0-9_.:+-]+)?")
_WITHOUT_NUMBER = re.compile(r"[^\[\]@,&!^*%\s0-9]+")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.:+@,&!^*/\[\]-]")
_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18})(?:/(\d{1,9}))?)?")
_HINT = "a nodeset reads like gpu[01-16,20],login1 or @group"

Groups = Callable[[str], str | None]
"""Returns the nodeset of a group (named without `@`), or None when it knows no such group."""


def expand(text: str, groups: Groups | None = None) -> list[str]:
    """Return the node names of a nodeset, in ClusterShell's order, each once.

    Blanks separate like commas. `groups` is asked for `@group` before ClusterShell's own configuration is.
    UsageError, with the position of the fault (counted from 1), when it cannot be read, is empty, names a group
    that nobody knows, or names more than MAX_NODES.
    """
    text = re.sub(r"\s+", ",", re.sub(r"\s*([,!&^])\s*", r"\1", text.strip()))
    if _PLAIN.fullmatch(text):
        return [text]
    _check(text)
    names = [str(name) for name in _parse(text, groups)]
    if not names:
        raise UsageError("the nodeset is empty", clean(text) or "''", _HINT)
    return names


def fold(names: Iterable[str]) -> str:
    """Return the shortest nodeset of these names; an empty text for none."""
    return _fold(tuple(sorted(set(names))))


@lru_cache(maxsize=1024)
def _fold(unique: tuple[str, ...]) -> str:
    # The nodes of a job are folded again whenever anything of it changes.
    if len(unique) < 2 or all(_WITHOUT_NUMBER.fullmatch(name) for name in unique):
        return ",".join(unique)
    from ClusterShell.NodeSet import NodeSet, NodeSetException

    # Names that the notation cannot carry stand beside the folded ones as they are.
    odd = [name for name in unique if not _PLAIN.fullmatch(name)]
    try:
        folded = str(NodeSet.fromlist([name for name in unique if _PLAIN.fullmatch(name)]))
    except NodeSetException:
        return ",".join(unique)
    return ",".join(part for part in (folded, *odd) if part)


def _parse(text: str, groups: Groups | None) -> Any:
    """Return the ClusterShell NodeSet of a text that `_check` let pass."""
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
    from ClusterShell.NodeUtils import GroupResolverError, GroupSourceError

    grouped = "@" in text or "*" in text
    try:
        nodes = NodeSet(text, resolver=_resolver(groups) if grouped else RESOLVER_NOGROUP)
    except (NodeSetException, GroupResolverError, GroupSourceError, ValueError, OSError) as error:
        raise _fault(str(error), text, None) from None
    if len(nodes) > MAX_NODES:
        raise _fault(f"it names {len(nodes)} nodes, more than {MAX_NODES}", text, None)
    return nodes


def _resolver(groups: Groups | None) -> Any:
    """Return a ClusterShell group resolver that asks `groups` first and knows no empty group."""
    from ClusterShell.NodeSet import std_group_resolver
    from ClusterShell.NodeUtils import GroupResolver

    standard = std_group_resolver()

    class Resolver(GroupResolver):  # type: ignore[misc]  # ClusterShell is untyped
        def group_nodes(self, group: str, namespace: str | None = None) -> list[str]:
            found = groups(group if namespace is None else f"{namespace}:{group}") if groups else None
            nodes = standard.group_nodes(group, namespace) if found is None else [found]
            if not any(nodes):
                raise ValueError(f"nobody knows the group @{group}")
            for part in nodes:
                _check(part)
            return list(nodes)

        def all_nodes(self, namespace: str | None = None) -> list[str]:
            return list(standard.all_nodes(namespace))

        def grouplist(self, namespace: str | None = None) -> list[str]:
            return list(standard.grouplist(namespace))

    return Resolver()


def _check(text: str) -> None:
    """Refuse what cannot be read, or would fill the memory, before ClusterShell sees it."""
    if illegal := _ILLEGAL.search(text):
        raise _fault(f"{illegal.group()!r} cannot stand in a nodeset", text, illegal.start())
    total = 0
    product = 1
    index = 0
    while index < len(text):
        char = text[index]
        if char == "]":
            raise _fault("a bracket closes that never opened", text, index)
        if char == "[":
            end = text.find("]", index)
            if end < 0:
                raise _fault("a bracket opens and never closes", text, index)
            product *= _count(text, index + 1, end)
            if total + product > MAX_NODES:
                raise _fault(f"it names more than {MAX_NODES} nodes", text, index)
            index = end
        elif char in ",&!^":
            total, product = total + product, 1
        index += 1


def _count(text: str, start: int, end: int) -> int:
    """Return how many numbers stand between two brackets."""
    total = 0
    for part in text[start:end].split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise _fault(f"not a range: {part!r}" if part else "an empty range", text, start)
        first, last, step = (int(group) if group else None for group in match.groups())
        if first is not None and last is not None:
            if last < first or step == 0:
                raise _fault(f"not a range: {part!r}", text, start)
            total += (last - first) // (step or 1)
        total += 1
        start += len(part) + 1
    return total


def _fault(what: str, text: str, index: int | None) -> UsageError:
    where = clean(text) if index is None else f"{clean(text)}, character {index + 1}"
    return UsageError(f"cannot read the nodeset: {clean(what)}", where, _HINT)
