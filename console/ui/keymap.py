"""Which key does what on which screen; remapped by action id from the settings, with a check of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from console.suggest import nearest
from console.ui.actions import Action, by_id

_NAMED = frozenset(
    (
        *("space", "enter", "escape", "tab", "backspace", "delete", "insert", "comma"),
        *("up", "down", "left", "right", "home", "end", "pageup", "pagedown"),
        *(f"f{number}" for number in range(1, 13)),
    )
)
_ALIASES: Mapping[str, str] = MappingProxyType(
    {"esc": "escape", "return": "enter", "pgup": "pageup", "pgdn": "pagedown", "del": "delete"}
)
_MODIFIED = re.compile(r"(?:ctrl|alt|shift|ctrl-shift)-(.+)\Z")


def key_of(key: str, character: str | None) -> str:
    """Return the name of a pressed key as settings and help write it, from Textual's name and the character."""
    if character is not None and len(character) == 1 and character.isprintable() and character not in " ,":
        return character
    return _ALIASES.get(key, key).replace("+", "-")


def parse_key(text: str) -> str | None:
    """Return a key of the settings as `key_of` names it, None when there is no such key."""
    text = text.strip()
    if len(text) == 1:
        return text if text.isprintable() else None
    lowered = text.lower().replace("+", "-")
    lowered = _ALIASES.get(lowered, lowered)
    if lowered in _NAMED:
        return lowered
    modified = _MODIFIED.match(lowered)
    if modified is None:
        return None
    base = _ALIASES.get(modified[1], modified[1])
    if base in _NAMED or (len(base) == 1 and base.isprintable()):
        return lowered.removesuffix(modified[1]) + base
    return None


class Keymap:
    """Keys of all screens. `notices` has one line for each mistake; the defaults stand in its place."""

    def __init__(self, actions: Sequence[Action], changed: Mapping[str, str]) -> None:
        self.actions = tuple(actions)
        self.notices: list[str] = []
        self.keys: dict[str, tuple[str, ...]] = {action.id: action.keys for action in actions}
        known = by_id(actions)
        wanted = {
            action_id: keys
            for action_id, text in changed.items()
            if (keys := self._read(action_id, text, known)) is not None
        }
        self.keys.update(wanted)
        for action_id in wanted:
            other = self._clash(known[action_id], known)
            if other is not None:
                key, holder = other
                self.notices.append(f"keymap: {action_id}: {key} is the key of {holder.id}; the default stays")
                self.keys[action_id] = known[action_id].keys
        self._of_screen: dict[str, dict[str, Action]] = {}
        for action in actions:
            for screen in action.screens:
                keys_here = self._of_screen.setdefault(screen, {})
                for key in self.keys[action.id]:
                    keys_here.setdefault(key, action)

    def _read(self, action_id: str, text: str, known: Mapping[str, Action]) -> tuple[str, ...] | None:
        if action_id not in known:
            close = nearest(action_id, known)
            hint = f"; did you mean {close}?" if close else ""
            self.notices.append(f"keymap: no action is called {action_id}{hint}")
            return None
        keys: list[str] = []
        for part in text.split(",") if text.strip() else []:
            key = parse_key(part)
            if key is None:
                self.notices.append(
                    f"keymap: {action_id}: {part.strip() or 'an empty word'!s} is no key; the default stays"
                )
                return None
            keys.append(key)
        return tuple(dict.fromkeys(keys))

    def _clash(self, action: Action, known: Mapping[str, Action]) -> tuple[str, Action] | None:
        for key in self.keys[action.id]:
            for other_id, other_keys in self.keys.items():
                other = known[other_id]
                if other_id != action.id and key in other_keys and set(other.screens) & set(action.screens):
                    return key, other
        return None

    def find(self, key: str, screen: str) -> Action | None:
        """Return what a key does on a screen."""
        return self._of_screen.get(screen, {}).get(key)

    def offered(self, screen: str) -> list[Action]:
        """Return the actions that exist on a screen."""
        return [action for action in self.actions if screen in action.screens]

    def shown(self, action: Action) -> str:
        """Return the first key of an action as people write it; empty when it has none."""
        keys = self.keys[action.id]
        return show_key(keys[0]) if keys else ""


def show_key(key: str) -> str:
    """Return a key as footer and help show it."""
    short = {"escape": "esc", "pagedown": "pgdn", "pageup": "pgup", "comma": ","}
    return short.get(key, key)
