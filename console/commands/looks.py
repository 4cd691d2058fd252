"""Mistakes in `[ui]` that must not keep the console closed: each costs one notice with file, line and key."""

from __future__ import annotations

import msgspec

from console.config import Config, UiSettings
from console.errors import ConfigError, UsageError
from console.render import themes
from console.render.tables import TABLES
from console.suggest import nearest
from console.text import clean
from console.ui.actions import ACTIONS
from console.ui.keymap import Keymap


def usable(config: Config) -> tuple[UiSettings, list[str]]:
    """Return the settings without what does not exist, and a notice for each thing that was left out."""
    notices: list[str] = []
    theme = _theme(config, notices)
    columns = {}
    for table_id, names in config.ui.columns.items():
        kept = _columns(config, table_id, names, notices)
        if kept:
            columns[table_id] = kept
    keymap = {}
    for action, keys in config.ui.keymap.items():
        faults = Keymap(ACTIONS, {action: keys}).notices
        if faults:
            notices += [f"{config.where('ui', 'keymap', action)}: {clean(fault)}" for fault in faults]
        else:
            keymap[action] = keys
    return msgspec.structs.replace(config.ui, theme=theme, columns=columns, keymap=keymap), notices


def _theme(config: Config, notices: list[str]) -> str | None:
    name = config.ui.theme
    if name is None:
        return None
    try:
        themes.load(name, config.theme_dir)
    except ConfigError as error:
        # A mistake inside a theme has a place of its own; a theme that does not exist was named in the settings.
        where = error.where or config.where("ui", "theme")
        notices.append(f"{where}: {error.what}" + (f"; {error.hint}" if error.hint else ""))
        return None
    return name


def _columns(config: Config, table_id: str, names: list[str], notices: list[str]) -> list[str]:
    table = TABLES.get(table_id)
    if table is None:
        close = nearest(table_id, TABLES)
        hint = f"did you mean {close}?" if close else f"tables: {', '.join(TABLES)}"
        notices.append(clean(f"{config.where('ui', 'columns', table_id)}: there is no such table; {hint}"))
        return []
    kept = []
    for index, name in enumerate(names):
        try:
            kept.append(table.column(name).id)
        except UsageError as error:
            where = config.where("ui", "columns", table_id, index)
            notices.append(clean(f"{where}: {error.what}; {error.hint}"))
    return kept
