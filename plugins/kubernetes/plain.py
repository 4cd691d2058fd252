"""Reads custom resources without trust: a field of the wrong type counts as absent, so that a broken object costs
itself at most. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.text import clean

TEXT = 1000
"""Characters of a message that are kept."""


def dig(value: Any, *path: str) -> Any:
    """Return what lies at a path of tables, None where one of them is no table or absent."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def integer(value: Any) -> int | None:
    """Return a whole number that JSON can carry, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53 else None


def text(value: Any, limit: int = 253) -> str:
    """Return a clean text, empty for anything else."""
    return clean(value, limit=limit) if isinstance(value, str) else ""


def tables(value: Any) -> list[dict[str, Any]]:
    """Return the tables of a list, empty for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def held_conditions(status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the conditions that are True, by type."""
    return {text(each.get("type")): each for each in tables(dig(status, "conditions")) if each.get("status") == "True"}
