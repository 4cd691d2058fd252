"""NODES and JOBS of the acting commands: what a person names, found among what is there, or said to be missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from console.errors import UsageError
from console.text import clean

if TYPE_CHECKING:
    from console.store import NodeView, Store
    from console.store.view import JobKey

_ID = re.compile(r"\d[\w.\[\],:%+-]*")
"""How ids of Slurm and PBS begin; other words are a filter."""


def nodes(store: Store, words: Sequence[str]) -> list[NodeView]:
    """Return the nodes that NODES names, in their own order. UsageError for names that nobody has."""
    from console.model.identity import short_host
    from console.nodeset import expand, fold
    from console.render.select import compile_nodes

    text = ",".join(words)
    holds = compile_nodes(text, store, lambda name: expand(f"@{name}"))
    found = [view for view in store.nodes.values() if holds(view)]
    if "@" not in text and not set(text) & set("!&^"):
        known = {name for view in found for name in (view.key, short_host("", view.key))}
        left = [name for name in expand(text) if name not in known and short_host("", name) not in known]
        if left:
            raise UsageError("no such node", clean(fold(left)), "qd nodes lists what there is")
    if not found:
        raise UsageError("that is no node at all", clean(text), "qd nodes lists what there is, with the same words")
    return found


def jobs(store: Store, words: Sequence[str], able: Sequence[str]) -> list[JobKey]:
    """Return the jobs that JOBS names: ids, cluster/id, or a filter over the table. UsageError when it is none.

    `able`: the clusters that can do what is asked; an id that stands in no list (a task of an array) is theirs when
    there is one of them only.
    """
    found: list[JobKey] = []
    for word in words:
        key = _job(store, word, able)
        if key is None:
            return _filtered(store, " ".join(words), able)
        found.append(key)
    return list(dict.fromkeys(found))


def _job(store: Store, word: str, able: Sequence[str]) -> JobKey | None:
    cluster, slash, rest = word.partition("/")
    if slash and cluster in store.clusters:
        return cluster, rest
    same = [key for key in store.jobs if key[1] == word]
    if len(same) > 1:
        names = ", ".join("/".join(key) for key in same)
        raise UsageError(f"several clusters have a job {clean(word)}", hint=f"name one: {names}")
    if same:
        return same[0]
    if not _ID.fullmatch(word):
        return None
    if len(able) == 1:
        return able[0], word
    raise UsageError("no job is called so", clean(word), "qd jobs lists them; cluster/id names one that is in no list")


def _filtered(store: Store, text: str, able: Sequence[str]) -> list[JobKey]:
    import time

    from console.nodeset import expand
    from console.render.filter import compile_filter
    from console.render.tables import TABLES
    from console.render.view import View

    table = TABLES["jobs"]
    keep = compile_filter(text, table, store, lambda name: expand(f"@{name}"))
    view = View(store, time.time())
    rows = ((key, table.row(view, key)) for key in store.jobs if key[0] in able)
    found = [key for key, row in rows if row is not None and keep(row)]
    if not found:
        raise UsageError("no job matches", clean(text), "qd jobs takes the same words and shows what they find")
    return found
