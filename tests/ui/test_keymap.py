"""Keys, their names, and what may go wrong in a keymap."""

from __future__ import annotations

import pytest

from console.actions.desk import ActionDesk
from console.model import Plan
from console.store import Store
from console.ui.acting import Intent
from console.ui.actions import ACTIONS, CHOOSER, EVERYWHERE, by_id
from console.ui.app import QuarterdeckApp
from console.ui.doing import Doing, Going
from console.ui.keymap import Keymap, key_of, parse_key
from console.ui.running import Running
from console.ui.screens.chooser import Arranging, Choosing
from console.ui.screens.fleet import FleetScreen
from console.ui.screens.handlers import Motions
from console.ui.screens.listing import ListScreen
from console.ui.screens.log import LogScreen
from console.ui.screens.plan import PlanScreen
from console.ui.screens.run import RunKeys
from console.ui.screens.texts import HelpScreen
from tests.ui.harness import NotingSession


async def never(_desk: ActionDesk) -> Plan:
    """Make no plan."""
    raise AssertionError


def test_contract_keys() -> None:
    keymap = Keymap(ACTIONS, {})
    contract = {
        ":": "command", "/": "filter", "escape": "back", "enter": "open", "space": "mark", "v": "mark-range",
        "a": "mark-all", "j": "down", "k": "up", "h": "left", "l": "right", "g": "top", "G": "bottom",
        "ctrl-d": "half-down", "ctrl-u": "half-up", "<": "sort-left", ">": "sort-right", "S": "sort-reverse",
        "1": "screen-fleet", "2": "screen-jobs", "7": "screen-journal", "d": "drain", "r": "resume", "4": "screen-network", "5": "screen-storage", "9": "screen-sources",
        "tab": "pane", "?": "help", "ctrl-p": "palette", "y": "copy", "w": "write", "z": "zoom", "p": "pause",
        "m": "map", "q": "quit",
    }  # fmt: skip
    assert {key: action.id for key in contract if (action := keymap.find(key, "fleet"))} == contract


@pytest.mark.parametrize("key", list("tn"))
def test_keys_of_actions_that_do_not_exist_yet_are_free(key: str) -> None:
    assert Keymap(ACTIONS, {}).find(key, "fleet") is None


def test_defaults_do_not_clash_and_everything_is_done_by_somebody() -> None:
    seen: set[tuple[str, str]] = set()
    for action in ACTIONS:
        for screen in action.screens:
            assert screen in EVERYWHERE
            for key in action.keys:
                assert parse_key(key) == key
                assert (screen, key) not in seen, (screen, key)
                seen.add((screen, key))
    plan = PlanScreen(Intent("drain", NotingSession(Store()), never))
    screens = (FleetScreen(None), LogScreen(("lab", "1")), plan)
    doers = [
        Going,
        Doing,
        Running,
        RunKeys,
        Choosing,
        Arranging,
        *(type(handler) for screen in screens for handler in screen.handlers),
    ]
    for action in ACTIONS:
        assert action.order or any(hasattr(doer, action.method) for doer in doers), action.id
    assert len(by_id()) == len(ACTIONS)


def test_what_a_screen_offers_can_be_done_there() -> None:
    base = [Going, Doing, Running]
    screens = {"fleet": FleetScreen(None), "help": HelpScreen("fleet")}
    screens |= {kind: ListScreen(kind, None) for kind in ("jobs", "network", "storage", "journal", "sources")}
    for kind, screen in screens.items():
        doers = [*base, *map(type, screen.handlers)]
        for action in Keymap(ACTIONS, {}).offered(kind):
            assert action.order or any(hasattr(doer, action.method) for doer in doers), (kind, action.id)


def test_what_a_chooser_offers_can_be_done_there() -> None:
    for action in Keymap(ACTIONS, {}).offered(CHOOSER):
        assert any(hasattr(doer, action.method) for doer in (Choosing, Arranging, Motions)), action.id


@pytest.mark.parametrize(
    ("key", "character", "name"),
    [
        ("slash", "/", "/"), ("G", "G", "G"), ("upper_g", "G", "G"), ("space", " ", "space"), ("ctrl+d", "\x04", "ctrl-d"),
        ("escape", None, "escape"), ("comma", ",", "comma"), ("tab", "\t", "tab"), ("f1", None, "f1"),
    ],
)  # fmt: skip
def test_names_of_pressed_keys(key: str, character: str | None, name: str) -> None:
    assert key_of(key, character) == name


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("j", "j"), (" J ", "J"), ("ctrl-D", "ctrl-d"), ("ctrl+d", "ctrl-d"), ("esc", "escape"), ("PgDn", "pagedown"),
        ("F5", "f5"), ("shift-tab", "shift-tab"), ("", None), ("jj", None), ("hyper-x", None), ("f13", None),
    ],
)  # fmt: skip
def test_names_in_settings(text: str, key: str | None) -> None:
    assert parse_key(text) == key


def test_keys_may_be_swapped() -> None:
    keymap = Keymap(ACTIONS, {"down": "k, down", "up": "j,up"})
    assert keymap.notices == []
    assert keymap.find("k", "fleet") is by_id()["down"]
    assert keymap.find("j", "fleet") is by_id()["up"]


def test_an_action_may_lose_its_keys() -> None:
    keymap = Keymap(ACTIONS, {"quit": ""})
    assert keymap.notices == []
    assert keymap.find("q", "fleet") is None


def test_two_new_keys_that_clash_are_said() -> None:
    keymap = Keymap(ACTIONS, {"down": "t", "up": "t"})
    assert len(keymap.notices) == 1
    found = keymap.find("t", "jobs")
    assert found is not None
    assert found.id in ("down", "up")


def test_the_app_only_lists_what_exists() -> None:
    methods = [name for name in vars(QuarterdeckApp) if callable(getattr(QuarterdeckApp, name))]
    assert not [name for name in methods if name.startswith("act_")]
