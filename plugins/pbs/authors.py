"""Who wrote the comment of a host: PBS keeps a comment and nobody's name, so the name stands in it. Pure."""

from __future__ import annotations

import re

_SIGNED = re.compile(r"(.*) \(by ([^\s()]{1,64})\)", re.DOTALL)


def signed(reason: str, by: str) -> str:
    """Return a comment that says who gave the reason: `INC-4711 DIMM errors (by alice)`."""
    return f"{reason} (by {by})" if re.fullmatch(r"[^\s()]{1,64}", by) else reason


def unsigned(comment: str | None) -> tuple[str | None, str | None]:
    """Return (reason, who gave it); a comment that nobody signed is the reason as it stands."""
    found = _SIGNED.fullmatch(comment or "")
    return (comment, None) if found is None else (found[1], found[2])
