"""What the screens look like. Look at each picture before it is accepted: `pytest tests/ui --snapshot-update`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from tests.ui.harness import Console, Looks, press, settle

SMALL, LARGE = (80, 24), (160, 48)
Compare = Callable[..., bool]

SCREENS: dict[str, tuple[str, ...]] = {
    "fleet": (),
    "heat": ("j", "m"),
    "jobs": ("2",),
    "network": ("4",),
    "storage": ("5",),
    "journal": ("7",),
    "sources": ("9",),
    "node": ("j", "enter"),
    "job": ("2", "G", "enter"),
    "help": ("question_mark",),
}


def compare(snap_compare: Compare, size: tuple[int, int], keys: tuple[str, ...], **looks: object) -> bool:
    """Compare the console after these keys with its picture."""
    app = Console(looks=Looks(**looks))  # type: ignore[arg-type]

    async def before(pilot: Pilot[int]) -> None:
        await settle(pilot, app)
        await press(pilot, app, *keys)

    return snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
@pytest.mark.parametrize("screen", SCREENS)
def test_screen(snap_compare: Compare, screen: str, size: tuple[int, int]) -> None:
    assert compare(snap_compare, size, SCREENS[screen])


def test_marks_and_filter(snap_compare: Compare) -> None:
    assert compare(snap_compare, SMALL, ("j", "space", "slash", *"gpu", "enter"))


def test_palette(snap_compare: Compare) -> None:
    assert compare(snap_compare, SMALL, ("ctrl+p", *"sort"))


def test_columns(snap_compare: Compare) -> None:
    assert compare(snap_compare, SMALL, ("C",))


@pytest.mark.parametrize("theme", ["light", "mono"])
def test_theme(snap_compare: Compare, theme: str) -> None:
    assert compare(snap_compare, SMALL, ("j", "space"), theme=theme)


def test_ascii(snap_compare: Compare) -> None:
    assert compare(snap_compare, LARGE, ("j", "m"), ascii=True)
