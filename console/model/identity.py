"""Which names mean the same machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

NameRule = Callable[[str, str], str]
"""From (cluster, name) to the identity of the machine."""


def short_host(_cluster: str, name: str) -> str:
    """Return the short host name; an IP address stays whole."""
    head, dot, _ = name.partition(".")
    if not dot or head.isdigit() or ":" in name:
        return name
    return head


def with_aliases(rule: NameRule, aliases: Mapping[str, str]) -> NameRule:
    """Return a rule that knows further names of machines: alias to the name it stands under elsewhere."""

    def key(cluster: str, name: str) -> str:
        other = aliases.get(name) or aliases.get(rule(cluster, name))
        return rule(cluster, name if other is None else other)

    return key if aliases else rule


class Identity:
    """Gives each machine one key, whoever reports it.

    The rule decides, with one exception: two names of one source are two machines, so where the rule makes them
    the same (`web.a.example` and `web.b.example`), the later one keeps its whole name as its key.
    """

    def __init__(self, rule: NameRule | None = None) -> None:
        self._rule = rule or short_host
        self._holders: dict[tuple[str, str], str] = {}
        self._whole: dict[tuple[str, str], int] = {}

    def key(self, cluster: str, name: str) -> str:
        """Return the key that this name has now."""
        if self._whole and (cluster, name) in self._whole:
            return name
        return self._rule(cluster, name)

    def claim(self, source: str, cluster: str, name: str) -> str:
        """Return the key of a name that a source begins to list; give it back with `release`."""
        key = self._rule(cluster, name)
        if self._holders.setdefault((source, key), name) == name:
            return key
        self._whole[(cluster, name)] = self._whole.get((cluster, name), 0) + 1
        return name

    def release(self, source: str, cluster: str, name: str) -> None:
        """Forget a name that a source lists no longer."""
        slot = (source, self._rule(cluster, name))
        if self._holders.get(slot) == name:
            del self._holders[slot]
        elif (cluster, name) in self._whole:
            self._whole[(cluster, name)] -= 1
            if not self._whole[(cluster, name)]:
                del self._whole[(cluster, name)]
