"""Policy: who may do what, when, and what must be typed first."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from console.actions.policy import Person, Policy, load
from console.errors import ConfigError, Denied, UsageError
from console.model import Effect, Interrupt, Order, Plan, Seen

OPS = Person("alice", frozenset({"ops", "users"}))
USER = Person("bob", frozenset({"users"}))
FRIDAY = dt.datetime(2026, 11, 27, 19, 30, tzinfo=dt.UTC)


def plan(*names: str, action: str = "drain", gpus: int = 0, effect: Effect = Effect.RUNS_ON) -> Plan:
    met = (Interrupt(cluster="lab", job="8", effect=effect, accelerators=gpus),) if gpus else ()
    return Plan(
        id="p",
        action=action,
        made_at=1.0,
        orders=(Order(action=action, cluster="lab", names=names),),
        before=tuple(Seen(cluster="lab", name=name, state="up") for name in names),
        interrupts=met,
    )


def policy(tmp_path: Path, site: str = "", user: str = "") -> Policy:
    (tmp_path / "site.toml").write_text(site)
    (tmp_path / "user.toml").write_text(user)
    return load(tmp_path / "user.toml", system_file=tmp_path / "site.toml")


def test_without_files_everybody_may_and_says_why(tmp_path: Path) -> None:
    free = load(tmp_path / "none.toml", system_file=tmp_path / "nor.toml")
    free.check(plan("n1"), USER, "dimm", FRIDAY)
    with pytest.raises(UsageError, match="needs a reason"):
        free.check(plan("n1"), USER, "  ", FRIDAY)
    free.check(plan("n1", action="resume"), USER, None, FRIDAY)


def test_groups_actions_and_nodes(tmp_path: Path) -> None:
    text = """
        [[allow]]
        groups = ["ops"]
        [[allow]]
        groups = ["users"]
        actions = ["resume", "cancel"]
        nodes = "gpu[001-010]"
    """
    rules = policy(tmp_path, text)
    rules.check(plan("gpu050"), OPS, "dimm", FRIDAY)
    rules.check(plan("gpu001.example.org", action="resume"), USER, None, FRIDAY)
    rules.check(plan("8812", action="cancel"), USER, None, FRIDAY)
    with pytest.raises(Denied, match="bob may not drain here"):
        rules.check(plan("gpu001"), USER, "dimm", FRIDAY)
    with pytest.raises(Denied, match=r"may not resume gpu\[011-012\]"):
        rules.check(plan("gpu001", "gpu011", "gpu012", action="resume"), USER, None, FRIDAY)


def test_the_user_can_only_tighten(tmp_path: Path) -> None:
    site = '[[allow]]\ngroups = ["ops"]\n'
    with pytest.raises(Denied):
        policy(tmp_path, site, '[[allow]]\ngroups = ["users"]\n').check(plan("n1"), USER, "x", FRIDAY)
    with pytest.raises(Denied):
        policy(tmp_path, site, "read_only = true\n").check(plan("n1"), OPS, "x", FRIDAY)
    both = policy(tmp_path, "typed_above_nodes = 2\n", "typed_above_nodes = 50\n")
    assert both.typed(plan("n1", "n2", "n3")) == "3"
    with pytest.raises(UsageError, match="not enough"):
        policy(tmp_path, 'reason_pattern = "INC-"\n', 'reason_pattern = ".*"\n').check(plan("n1"), OPS, "x", FRIDAY)


@pytest.mark.parametrize(
    ("freeze", "when", "frozen"),
    [
        ("", FRIDAY, True),
        ('days = ["fri"]', FRIDAY, True),
        ('days = ["sat"]', FRIDAY, False),
        ('hours = "18:00-24:00"', FRIDAY, True),
        ('hours = "08:00-18:00"', FRIDAY, False),
        ('days = ["fri"]\nhours = "18:00-06:00"', FRIDAY + dt.timedelta(hours=8), True),
        ('days = ["fri"]\nhours = "18:00-06:00"', FRIDAY + dt.timedelta(hours=32), False),
        ("since = 2026-11-28T00:00:00Z", FRIDAY, False),
        ("until = 2026-11-27T19:30:00Z", FRIDAY, False),
        ("since = 2026-11-27T00:00:00\nuntil = 2026-11-28T00:00:00", FRIDAY, True),
        ('actions = ["reboot"]', FRIDAY, False),
    ],
)
def test_changes_are_frozen(tmp_path: Path, freeze: str, when: dt.datetime, frozen: bool) -> None:
    rules = policy(tmp_path, f'[[freeze]]\nwhy = "moving house"\n{freeze}\n')
    if frozen:
        with pytest.raises(Denied, match="moving house"):
            rules.check(plan("n1"), OPS, "x", when)
    else:
        rules.check(plan("n1"), OPS, "x", when)


def test_what_must_be_typed(tmp_path: Path) -> None:
    free = policy(tmp_path)
    assert free.typed(plan("n1", "n2", gpus=8)) is None
    assert free.typed(plan("n1", gpus=8, effect=Effect.EVICTED)) == "n1"
    assert free.typed(plan("n1", "n2", gpus=8, effect=Effect.ENDED)) == "2"
    strict = policy(tmp_path, "typed_above_nodes = 1\n")
    assert strict.typed(plan("n1")) is None
    assert strict.typed(plan("n1", "n2")) == "2"


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ('reason_pattern = "("\n', "site.toml:1", "INC"),
        ('[[allow]]\ngroups = ["a"]\nactions = ["drian"]\n', "site.toml:3", "drain"),
        ('[[allow]]\ngroups = ["a"]\nnodes = "gpu["\n', "site.toml:3", "nodeset"),
        ('[[freeze]]\nwhy = "x"\nhours = "25:00-26:00"\n', "site.toml:3", "18:00"),
        ('[[freeze]]\nwhy = "x"\ndays = ["friday"]\n', "site.toml:3", "fri"),
        ("raed_only = true\n", "site.toml:1", "read_only"),
        ("typed_above_nodes = -1\n", "site.toml:1", ""),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_whole(tmp_path: Path, text: str, where: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy(tmp_path, text)
    assert where in caught.value.where
    assert hint in caught.value.hint
