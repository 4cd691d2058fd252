"""Times as Kubernetes writes them. Pure."""

from __future__ import annotations

import datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def unix(text: str | None) -> float | None:
    """Return an RFC 3339 time as Unix seconds; None when there is none or it cannot be read."""
    if not text:
        return None
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()
