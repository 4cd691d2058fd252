"""NODES as words of a filter: nodesets, and groups that the store knows.

    gpu[01-16,20]   the nodes of these names
    @drained        the nodes in this state; @all: every node
    @state:S  @partition:P  @queue:Q  @feature:F  @rack:R  @cluster:C  @job:ID
    A,B  A!B  A&B  A^B   both, A without B, what is in both, what is in one of them; from left to right

A node is looked at when its row is, so what is shown follows the states as they change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from console.errors import UsageError
from console.model import NodeState
from console.model.identity import short_host
from console.nodeset import expand
from console.render import nodes
from console.store import NodeView, Store
from console.store.view import JobKey
from console.suggest import nearest
from console.text import clean

Holds = Callable[[NodeView], bool]
"""Whether a node belongs."""

SiteGroups = Callable[[str], list[str]]
"""Returns the node names of a group that the store does not know. UsageError when nobody knows it."""

_STATES = tuple(state.value for state in NodeState)
_TERM = re.compile(r"([,!&^]?)((?:\[[^\]]*\]?|[^,!&^\[])*)")
"""An operator and what follows it; operators inside brackets are none."""
_HINT = "NODES read like gpu[01-16,20], @drained, @partition:gpu or @job:8812"


class _Selector(NamedTuple):
    """One kind of group: `@kind:value`."""

    holds: Callable[[NodeView, str], bool]
    known: Callable[[Store], Iterable[str]]
    """The values that some node or job has."""


def _names(node: NodeView, field: str) -> set[str]:
    return {name for facet in node.facets.values() for name in getattr(facet, field)}


def _among(field: str) -> _Selector:
    """Return the selector of a field that lists names."""
    return _Selector(
        lambda node, value: value in _names(node, field),
        lambda store: {name for node in store.nodes.values() for name in _names(node, field)},
    )


def _any_is(value: str, jobs: Iterable[JobKey]) -> bool:
    """Whether a job is among these: `8812`, `cluster/8812`, or an array by the number of all its tasks."""
    cluster, _, wanted = value.rpartition("/")
    return any(cluster in ("", where) and wanted in (job, job.partition("_")[0]) for where, job in jobs)


_SELECTORS: Mapping[str, _Selector] = MappingProxyType(
    {
        "partition": _among("partitions"),
        "queue": _among("partitions"),
        "feature": _among("features"),
        "rack": _Selector(
            lambda node, value: nodes.facet_text(node, "rack") == value,
            lambda store: {rack for node in store.nodes.values() if (rack := nodes.facet_text(node, "rack"))},
        ),
        "cluster": _Selector(
            lambda node, value: any(facet.cluster == value for facet in node.facets.values()),
            lambda store: store.clusters,
        ),
    }
)


def is_nodes(word: str) -> bool:
    """Whether a word of a filter is NODES; `8813_[1-9]` and `8813[1-9]` are ids of job arrays."""
    return word.startswith("@") or ("[" in word and re.match(r"\d+_?\[", word) is None)


def compile_nodes(text: str, store: Store | None = None, site_groups: SiteGroups | None = None) -> Holds:
    """Return what tells whether a node is among NODES.

    UsageError for what cannot be read and for a group that nobody knows; with a store that lists nodes also for a
    value that none of them has (`@partition:gpus`). A name that no node has is no error: it finds nothing.
    """
    terms: list[tuple[str, Holds]] = []
    for match in _TERM.finditer(text):
        sign, part = match.groups()
        if not part and sign in ("", ","):
            continue
        if not part or (sign not in ("", ",") and not terms):
            raise UsageError(f"nodes are missing {'after' if not part else 'before'} {sign}", clean(text), _HINT)
        terms.append((sign, _term(part, store, site_groups)))
    if not terms:
        raise UsageError("no node is named", clean(text), _HINT)
    return terms[0][1] if len(terms) == 1 else lambda node: _combined(terms, node)


def _combined(terms: list[tuple[str, Holds]], node: NodeView) -> bool:
    found = False
    for sign, holds in terms:
        match sign:
            case "!":
                found = found and not holds(node)
            case "&":
                found = found and holds(node)
            case "^":
                found = found != holds(node)
            case _:
                found = found or holds(node)
    return found


def _term(part: str, store: Store | None, site_groups: SiteGroups | None) -> Holds:
    if part.startswith("@"):
        return _group(part[1:], store, site_groups)
    if "*" in part:
        raise UsageError("a nodeset has no *", clean(part), "~^gpu~ finds every name that begins so")
    return _named(expand(part))


def _named(names: Iterable[str]) -> Holds:
    """Return the test for these names, short or whole, however the nodes are called."""
    wanted = {key for name in names for key in (name, short_host("", name))}
    return lambda node: node.key in wanted or short_host("", node.key) in wanted


def _group(name: str, store: Store | None, site_groups: SiteGroups | None) -> Holds:
    kind, colon, value = name.partition(":")
    if name == "all":
        return lambda _node: True
    if name in _STATES or (kind == "state" and value in _STATES):
        state = value or name
        return lambda node: node.state == state
    if colon and kind == "state":
        raise _unknown(kind, value, name, _STATES)
    if colon and kind == "job":
        return _job(value, store)
    if colon and kind in _SELECTORS:
        selector = _SELECTORS[kind]
        if store is not None and store.nodes and value not in (known := set(selector.known(store))):
            raise _unknown(kind, value, name, known)
        return lambda node: selector.holds(node, value)
    if site_groups is None:
        close = nearest(name, _STATES)
        hint = f"did you mean @{close}?" if close else f"groups: @all, {', '.join(f'@{state}' for state in _STATES)}"
        raise UsageError(f"no group is called {clean(name)}", clean(f"@{name}"), hint)
    return _named(site_groups(name))


def _job(value: str, store: Store | None) -> Holds:
    if store is not None and store.jobs and not _any_is(value, store.jobs):
        raise UsageError(f"no job is called {clean(value)}", clean(f"@job:{value}"), "qd jobs lists them")
    return lambda node: _any_is(value, node.jobs)


def _unknown(what: str, value: str, name: str, valid: Iterable[str]) -> UsageError:
    names = sorted(set(valid))
    close = nearest(value, names)
    hint = f"did you mean {close}?" if close else f"known: {', '.join(names[:20])}" if names else "no node has one"
    return UsageError(f"no {what} is called {clean(value)}", clean(f"@{name}"), hint)
