"""Values of actions: one notation for every backend."""

from __future__ import annotations

import pytest

from console.actions.values import canonical
from console.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", "5400"), ("90m", "5400"), ("12h", "43200"), ("1d12h", "129600"), ("45s", "45"), ("30:15", "1815"),
        ("12:00:00", "43200"), ("1-12:00:00", "129600"), ("2-0", "172800"), ("1-1:30", "91800"),
        ("UNLIMITED", "unlimited"), ("infinite", "unlimited"),
    ],
)  # fmt: skip
def test_a_time_limit_is_read_in_every_usual_notation(text: str, seconds: str) -> None:
    assert canonical("timelimit", text) == seconds


@pytest.mark.parametrize("text", ["", "0", "x", "1:2:3:4", "-5", "1h30", "12h x", "٣", "1e3"])
def test_what_is_no_time_limit_is_said(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        canonical("timelimit", text)
    assert "1d12h" in caught.value.hint


def test_a_priority_is_a_whole_number() -> None:
    assert canonical("priority", " 100 ") == "100"
    with pytest.raises(UsageError):
        canonical("priority", "high")
