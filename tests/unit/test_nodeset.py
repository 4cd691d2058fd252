"""Node sets."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import UsageError
from console.nodeset import MAX_NODES, expand, fold

GROUPS = {"gpu": "n[3-5]", "big": "n[1-999999999]", "nested": "@gpu,n9"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu01", ["gpu01"]),
        ("gpu01.dc1.local", ["gpu01.dc1.local"]),
        ("alice@gpu01", ["alice@gpu01"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[01-02,10]-ib", ["n01-ib", "n02-ib", "n10-ib"]),
        ("n[1-5/2]", ["n1", "n3", "n5"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        (" n1, n2  n3\n", ["n1", "n2", "n3"]),
        ("n[1-3] ! n2", ["n1", "n3"]),
        ("n[1-3]&n[2-9]", ["n2", "n3"]),
        ("n1,n1", ["n1"]),
        ("@gpu", ["n3", "n4", "n5"]),
        ("n1,@gpu!n4", ["n1", "n3", "n5"]),
        ("@nested", ["n3", "n4", "n5", "n9"]),
        ("alice@n[1-2]", ["alice@n1", "alice@n2"]),
    ],
)
def test_expands_as_clustershell_does(text: str, names: list[str]) -> None:
    assert expand(text, GROUPS.get) == names


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("n[1-3", 2),
        ("n1]", 3),
        ("n[3-1]", 3),
        ("n[1,x]", 5),
        ("n[]", 3),
        ("n[1-5/0]", 3),
        ("n1;reboot", 3),
        ("n[1-999999999]", 2),
        ("r[1-1000]n[1-1000]", 11),
        ("a,n[1-99999999999999999999]", 5),
        ("n\x1b[2J", 2),
    ],
)
def test_says_where_a_nodeset_is_wrong(text: str, position: int) -> None:
    with pytest.raises(UsageError) as caught:
        expand(text)
    assert caught.value.where.endswith(f", character {position}")
    assert caught.value.where.isprintable()
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "  ", "n1,,n2", "@nobody-knows-it", "n1,@nobody-knows-it", "n1!n1", "@big", "@"])
def test_refuses_what_names_nobody_or_too_many(text: str) -> None:
    with pytest.raises(UsageError):
        expand(text, GROUPS.get)


def test_limit_is_inclusive() -> None:
    assert len(expand(f"n[1-{MAX_NODES}]")) == MAX_NODES
    with pytest.raises(UsageError, match="more than"):
        expand(f"n[0-{MAX_NODES}]")


@given(st.sets(st.from_regex(r"[a-z]{1,4}(0?[0-9]{1,3})?(-ib)?", fullmatch=True), max_size=30))
def test_fold_and_expand_are_inverse(names: set[str]) -> None:
    folded = fold(names)
    assert (set(expand(folded)) if names else folded) == (names or "")


def test_folds_short_and_keeps_odd_names() -> None:
    assert fold(["n2", "n1", "n10"]) == "n[1-2,10]"
    assert fold(["gpu01", "gpu02", "login"]) == "gpu[01-02],login"
    assert fold(["b", "a"]) == "a,b"
    assert fold([]) == ""
    assert fold(["n1", "n2", "we[ird"]) == "n[1-2],we[ird"


@given(st.text(max_size=30))
def test_no_text_does_worse_than_a_usage_error(text: str) -> None:
    try:
        names = expand(text)
    except UsageError:
        return
    assert 0 < len(names) <= MAX_NODES


def test_plain_names_do_not_import_clustershell() -> None:
    code = (
        "import sys; from console.nodeset import expand, fold; expand('gpu01'); fold(['a']); "
        "sys.exit(any(name.startswith('ClusterShell') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
