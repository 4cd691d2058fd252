"""Policy: who may do what to which nodes, when, and what must be typed first.

`/etc/quarterdeck/policy.toml` is the site's; `policy.toml` beside the user's configuration can only tighten it: every
file that is there must allow what is done. This is help against mistakes, not a security boundary: that is sudo, Slurm
and RBAC, which decide for themselves who may do what.
"""

from __future__ import annotations

import datetime as dt
import grp
import os
import pwd
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from console import toml_source
from console.actions import ORDERS
from console.errors import Denied, UsageError
from console.model import Plan
from console.nodeset import expand, fold
from console.suggest import nearest
from console.text import clean
from console.toml_source import Document

SYSTEM_FILE = Path("/etc/quarterdeck/policy.toml")
ANY = "*"
OTHER_ACTIONS = ("run", "tune", "submit")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Allow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[allow]]`: members of these groups may do these actions on these nodes."""

    groups: tuple[str, ...]
    actions: tuple[str, ...] = (ANY,)
    nodes: str | None = None
    """A nodeset; unset: all."""


class Freeze(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[freeze]]`: a time in which nothing is changed, in the local time of this host."""

    why: str
    actions: tuple[str, ...] = (ANY,)
    days: tuple[str, ...] = ()
    hours: str | None = None
    """`18:00-24:00`, also over midnight."""
    since: dt.datetime | None = None
    until: dt.datetime | None = None


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand in a policy file."""

    read_only: bool = False
    reason_pattern: str | None = None
    """A regular expression that every reason must contain: a ticket."""
    reason_required: tuple[str, ...] = ()
    """Actions that need a reason beyond those that always do."""
    typed_above_nodes: _Count | None = None
    typed_above_accelerators: _Count | None = None
    allow: tuple[Allow, ...] = ()
    """None at all: everybody may do everything."""
    freeze: tuple[Freeze, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts."""

    user: str
    groups: frozenset[str]


class Policy:
    """The rules of all files, each with the file that it came from."""

    def __init__(self, rules: Sequence[tuple[str, Rules]] = (), *, read_only: str | None = None) -> None:
        """`read_only` says who else took the actions away (`--read-only`, the configuration)."""
        self._rules = tuple(rules)
        self._read_only = read_only

    @property
    def read_only(self) -> str | None:
        """Return who took every action away; None: nobody."""
        return self._read_only or next((where for where, rules in self._rules if rules.read_only), None)

    def check_writable(self) -> None:
        """Raise Denied when every action is taken away."""
        if (who := self.read_only) is not None:
            raise Denied("nothing is changed here: read-only", clean(who), "start qd without it")

    def check(self, plan: Plan, person: Person, reason: str | None, now: dt.datetime) -> None:
        """Raise Denied for what a rule forbids, UsageError for a reason that is missing or too poor."""
        self.check_writable()
        for where, rules in self._rules:
            _check_allowed(where, rules, plan, person)
            _check_frozen(where, rules, plan.action, now)
        self._check_reason(plan.action, reason)

    def _check_reason(self, action: str, reason: str | None) -> None:
        kind = ORDERS.get(action)
        needed = kind is not None and kind.needs_reason
        for where, rules in self._rules:
            needed = needed or action in rules.reason_required or ANY in rules.reason_required
            if rules.reason_pattern and (needed or reason) and not re.search(rules.reason_pattern, reason or ""):
                hint = f"it must contain {clean(rules.reason_pattern)}, as {clean(where)} asks"
                raise UsageError("this reason is not enough", clean(reason or "no reason"), hint)
        if needed and not (reason or "").strip():
            raise UsageError(f"{action} needs a reason", "--reason", 'say why: --reason "INC-123 Xid 79 on gpu3"')

    def typed(self, plan: Plan) -> str | None:
        """Return what must be typed before a plan runs: the number of its nodes, or the name of the one; None: nothing.

        Asked for where a plan stops somebody's work, and above the numbers that the rules name.
        """
        names = [one.name for one in plan.before]
        held = sum(one.accelerators or 0 for one in plan.interrupts if one.effect.hurts)
        wanted = any(one.effect.hurts for one in plan.interrupts)
        for _, rules in self._rules:
            wanted = wanted or (rules.typed_above_nodes is not None and len(names) > rules.typed_above_nodes)
            most = rules.typed_above_accelerators
            wanted = wanted or (most is not None and held > most)
        if not wanted or not names:
            return None
        return names[0] if len(names) == 1 else str(len(names))


def _check_allowed(where: str, rules: Rules, plan: Plan, person: Person) -> None:
    if not rules.allow:
        return
    mine = [one for one in rules.allow if person.groups & set(one.groups) and _covers(one.actions, plan.action)]
    if not mine:
        hint = f"{clean(where)} says who may; you are in: {', '.join(sorted(person.groups)) or 'no group'}"
        raise Denied(f"{person.user} may not {plan.action} here", clean(where), hint)
    kind = ORDERS.get(plan.action)
    if any(one.nodes is None for one in mine) or (kind is not None and not kind.of_nodes):
        return
    allowed = {name for one in mine if one.nodes is not None for name in expand(one.nodes)}
    left = [one.name for one in plan.before if one.name not in allowed and one.name.partition(".")[0] not in allowed]
    if left:
        hint = f"{clean(where)} names the nodes that you may"
        raise Denied(f"{person.user} may not {plan.action} {fold(left)}", clean(where), hint)


def _check_frozen(where: str, rules: Rules, action: str, now: dt.datetime) -> None:
    for freeze in rules.freeze:
        if _covers(freeze.actions, action) and _holds(freeze, now):
            raise Denied(f"changes are frozen: {clean(freeze.why)}", clean(where), "wait until it is over, or ask them")


def _covers(actions: Sequence[str], action: str) -> bool:
    return ANY in actions or action in actions


def _holds(freeze: Freeze, now: dt.datetime) -> bool:
    if freeze.since is not None and now < _local(freeze.since, now):
        return False
    if freeze.until is not None and now >= _local(freeze.until, now):
        return False
    if not freeze.hours:
        return not freeze.days or _DAYS[now.weekday()] in freeze.days
    match = _HOURS.fullmatch(freeze.hours)
    if match is None:  # checked when it was read
        return True
    begin, end = (int(match[a]) * 60 + int(match[b]) for a, b in ((1, 2), (3, 4)))
    minute = now.hour * 60 + now.minute
    # After midnight the freeze is that of the day on which it began.
    day = now if begin <= end or minute >= begin else now - dt.timedelta(days=1)
    inside = begin <= minute < end if begin <= end else minute >= begin or minute < end
    return inside and (not freeze.days or _DAYS[day.weekday()] in freeze.days)


def _local(moment: dt.datetime, now: dt.datetime) -> dt.datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)


def load(user_file: Path | None, *, read_only: str | None = None, system_file: Path = SYSTEM_FILE) -> Policy:
    """Return the policy of the site and the user. ConfigError for a file that cannot be used: nothing is guessed."""
    rules = []
    for path in (system_file, user_file):
        if path is not None:
            try:
                document = toml_source.read(path)
            except FileNotFoundError:
                continue
            rules.append((str(path), _rules(document)))
    return Policy(rules, read_only=read_only)


def _rules(document: Document) -> Rules:
    rules = toml_source.convert(document, (), document.values, Rules)
    if rules.reason_pattern is not None:
        try:
            re.compile(rules.reason_pattern)
        except re.error as error:
            hint = 'for example reason_pattern = "INC-[0-9]+"'
            raise document.error(("reason_pattern",), f"is not a regular expression: {error}", hint) from None
    _check_names(document, rules.reason_required, ("reason_required",))
    for index, allow in enumerate(rules.allow):
        _check_names(document, allow.actions, ("allow", index, "actions"))
        if allow.nodes is not None:
            try:
                expand(allow.nodes)
            except UsageError as error:
                raise document.error(("allow", index, "nodes"), str(error), error.hint) from None
    for index, freeze in enumerate(rules.freeze):
        _check_names(document, freeze.actions, ("freeze", index, "actions"))
        if freeze.hours is not None and not _HOURS.fullmatch(freeze.hours):
            raise document.error(("freeze", index, "hours"), "is no span of hours", 'for example hours = "18:00-24:00"')
        for day in freeze.days:
            if day not in _DAYS:
                raise document.error(("freeze", index, "days"), f"{day} is no day", f"days: {', '.join(_DAYS)}")
    return rules


def _check_names(document: Document, names: Sequence[str], key: toml_source.KeyPath) -> None:
    known = (ANY, *ORDERS, *OTHER_ACTIONS)
    for name in names:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close}?" if close else f"actions: {', '.join(known)}"
            raise document.error(key, f"no action is called {name}", hint)


def person_here() -> Person:
    """Return who runs this process, with all groups. Numbers stand for what has no name."""
    names = set()
    for number in {*os.getgroups(), os.getegid()}:
        try:
            names.add(grp.getgrgid(number).gr_name)
        except KeyError:
            names.add(str(number))
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return Person(name, frozenset(names))
