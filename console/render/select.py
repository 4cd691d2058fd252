"""NODES of the command line and the palette: nodesets, and groups that the store knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from console.errors import UsageError
from console.model import NodeState
from console.nodeset import expand
from console.render import nodes
from console.render.tables.base import by_name
from console.store import NodeView, Store
from console.suggest import nearest

_COMMA = re.compile(r",(?![^\[]*\])")
"""A comma outside brackets."""

_SETS = "!&^"


def _of_state(store: Store, value: str) -> list[str]:
    words = [state.value for state in NodeState]
    if value not in words:
        raise _unknown("state", value, words)
    return [key for key, node in store.nodes.items() if node.state == value]


def _of_partition(store: Store, value: str) -> list[str]:
    known = {name for node in store.nodes.values() for name in _names(node, "partitions")}
    if value not in known:
        raise _unknown("partition", value, known)
    return [key for key, node in store.nodes.items() if value in _names(node, "partitions")]


def _of_feature(store: Store, value: str) -> list[str]:
    known = {name for node in store.nodes.values() for name in _names(node, "features")}
    if value not in known:
        raise _unknown("feature", value, known)
    return [key for key, node in store.nodes.items() if value in _names(node, "features")]


def _of_rack(store: Store, value: str) -> list[str]:
    racks = {key: nodes.facet_text(node, "rack") for key, node in store.nodes.items()}
    if value not in racks.values():
        raise _unknown("rack", value, [rack for rack in racks.values() if rack])
    return [key for key, rack in racks.items() if rack == value]


def _of_cluster(store: Store, value: str) -> list[str]:
    if value not in store.clusters:
        raise _unknown("cluster", value, store.clusters)
    return [key for key, node in store.nodes.items() if any(facet.cluster == value for facet in node.facets.values())]


def _of_job(store: Store, value: str) -> list[str]:
    cluster, _, job_id = value.rpartition("/")
    found = [key for key in store.jobs if key[1] == job_id and cluster in ("", key[0])]
    if not found:
        raise UsageError(f"no job is called {value}", hint="qd jobs lists them")
    return [key for key, node in store.nodes.items() if any(job in found for job in node.jobs)]


_SELECTORS: Mapping[str, Callable[[Store, str], list[str]]] = MappingProxyType(
    {
        "state": _of_state,
        "partition": _of_partition,
        "queue": _of_partition,
        "feature": _of_feature,
        "rack": _of_rack,
        "cluster": _of_cluster,
        "job": _of_job,
    }
)


def select_nodes(text: str, store: Store) -> list[str]:
    """Return the keys of the nodes that NODES names, in natural order, each once.

    `gpu[01-16,20]`, `gpu03`, `@drained` (any state, or `@all`), `@state:down`, `@partition:gpu`,
    `@feature:F`, `@rack:R`, `@cluster:C`, `@job:8812`, groups of ClusterShell; joined by commas, and by the
    operators `!` `&` `^` of ClusterShell.
    UsageError when something in it is not known, or when it is empty.
    """
    chosen: dict[str, None] = {}
    parts = [part.strip() for part in _COMMA.split(text) if part.strip()]
    if not parts:
        raise UsageError("no node is named", hint="for example gpu[01-16], @drained or @job:8812")
    if any(sign in text for sign in _SETS):
        return by_name(_known(expand(text, lambda name: ",".join(_group(store, name) or ()) or None), store))
    for part in parts:
        own = _group(store, part[1:]) if part.startswith("@") else None
        names = own if own is not None else _known(expand(part), store)
        chosen.update(dict.fromkeys(names))
    return by_name(chosen)


def _group(store: Store, name: str) -> list[str] | None:
    """Return the nodes of a group that the store knows, None when it knows no such group."""
    if name in ("all", "*"):
        return list(store.nodes)
    if name in [state.value for state in NodeState]:
        return _of_state(store, name)
    selector, colon, value = name.partition(":")
    if colon and selector in _SELECTORS:
        return _SELECTORS[selector](store, value)
    return None


def _known(names: Iterable[str], store: Store) -> list[str]:
    """Return the keys of these names. UsageError for the first that no source lists."""
    keys: dict[str, None] = {}
    for name in names:
        key = name if name in store.nodes else name.split(".", 1)[0]
        if key not in store.nodes:
            close = nearest(name, store.nodes)
            hint = f"did you mean {close}?" if close else "qd nodes lists them"
            raise UsageError(f"no node is called {name}", hint=hint)
        keys[key] = None
    return list(keys)


def _names(node: NodeView, field: str) -> set[str]:
    return {name for facet in node.facets.values() for name in getattr(facet, field)}


def _unknown(what: str, value: str, valid: Iterable[str]) -> UsageError:
    names = sorted(set(valid))
    close = nearest(value, names)
    hint = f"did you mean {close}?" if close else f"known: {', '.join(names[:20])}" if names else ""
    return UsageError(f"no {what} is called {value}", hint=hint)
