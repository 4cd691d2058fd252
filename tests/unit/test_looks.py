"""Mistakes in `[ui]`: one notice each, with file, line and key; the console opens all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.commands.looks import usable
from console.config import Config, Overrides, load


def config_of(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load(Overrides(config=str(path)), {"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('[ui]\ntheme = "drak"\n', ":2: ui.theme", "did you mean dark?"),
        ('[ui.columns]\nfleat = ["node"]\n', ":2: ui.columns.fleat", "did you mean fleet?"),
        ('[ui.columns]\nfleet = ["node",\n "stat"]\n', ":3: ui.columns.fleet[2]", "did you mean state?"),
        ('[ui.keymap]\nfiltre = "f"\n', ":2: ui.keymap.filtre", "did you mean filter?"),
        ('[ui.keymap]\nfilter = "no key"\n', ":2: ui.keymap.filter", "is no key"),
    ],
)
def test_a_mistake_costs_one_notice_and_nothing_else(tmp_path: Path, text: str, where: str, what: str) -> None:
    settings, notices = usable(config_of(tmp_path, text))
    assert len(notices) == 1
    assert f"{tmp_path}/config.toml{where}: " in notices[0]
    assert what in notices[0]
    assert (settings.theme, settings.keymap) == (None, {})
    assert settings.columns in ({}, {"fleet": ["node"]})


def test_a_broken_theme_of_the_user_is_named_with_its_own_file_and_line(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "quarterdeck" / "themes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('[styles.bad]\nfg = "redd"\n')
    _settings, notices = usable(config_of(tmp_path, '[ui]\ntheme = "mine"\n'))
    assert notices[0].startswith(f"{folder}/mine.toml:2: styles.bad.fg: ")


def test_what_is_right_stays(tmp_path: Path) -> None:
    text = '[ui]\ntheme = "light"\n[ui.columns]\nfleet = ["node", "state"]\n[ui.keymap]\nfilter = "f"\n'
    config = config_of(tmp_path, text)
    settings, notices = usable(config)
    assert notices == []
    assert settings == config.ui
