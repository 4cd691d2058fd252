"""Near misses: what somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """Return the valid word closest to this one, or None when none is close."""
    from difflib import get_close_matches  # costs a millisecond that only a mistake should pay

    found = get_close_matches(word, list(valid), n=1, cutoff=0.55)
    return found[0] if found else None
