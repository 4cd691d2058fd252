"""Filters and node selectors: what they find, what they refuse, and that no pattern runs for ever."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import UsageError
from console.render.filter import compile_filter
from console.render.patterns import compile_pattern
from console.render.select import select_nodes
from console.render.tables import TABLES
from console.render.view import View
from console.store import Store
from tests.unit.render_data import NOW, lab


@pytest.fixture(scope="module")
def store() -> Store:
    return lab()


def found(store: Store, name: str, text: str) -> list[Any]:
    view = View(store, NOW)
    table = TABLES[name]
    keep = compile_filter(text, table)
    return [row_id for row_id in table.rows(store) if keep(table.row(view, row_id))]


FLEET = [
    ("", ["cpu01", "gpu01", "gpu2", "gpu10"]),
    ("   ", ["cpu01", "gpu01", "gpu2", "gpu10"]),
    ("GPU", ["gpu01", "gpu2", "gpu10"]),
    ("gpu nvlink", ["gpu10"]),
    ("!gpu", ["cpu01"]),
    ("!!gpu", ["gpu01", "gpu2", "gpu10"]),
    ("模", ["gpu10"]),
    ('"bad nvlink"', ["gpu10"]),
    ("'bad nvlink'", ["gpu10"]),
    ('!"bad nvlink" gpu', ["gpu01", "gpu2"]),
    ('"[x]"', ["gpu10"]),
    ("alice", ["gpu01"]),
    ("8812", ["gpu01"]),
    ("85", ["gpu01"]),
    ("state:down", ["cpu01"]),
    ("state:down,drained", ["cpu01", "gpu10"]),
    ("STATE:DRAIN", ["gpu10"]),
    ("state=drain", []),
    ("state!=up", ["cpu01", "gpu01", "gpu10"]),
    ("!state:up", ["cpu01", "gpu01", "gpu10"]),
    ("util>80", ["gpu01"]),
    ("util>=85.3", []),
    ("util<90", ["gpu01"]),
    ("!util>80", ["cpu01", "gpu2", "gpu10"]),
    ("util:85", ["gpu01"]),
    ("util=", ["cpu01", "gpu2", "gpu10"]),
    ("util!=", ["gpu01"]),
    ("mem>490G", ["gpu01"]),
    ("mem:497G", ["gpu01"]),
    ("mem>500GiB", []),
    ("power>4k", ["gpu01"]),
    ("power<4.2k", ["gpu01"]),
    ("net>70G", ["gpu01"]),
    ("uptime>1d", ["gpu01"]),
    ("uptime>1d2h", []),
    ("alloc=0", ["gpu2"]),
    ("~^gpu\\d+$~", ["gpu01", "gpu2", "gpu10"]),
    ("node:~^gpu\\d\\d$~", ["gpu01", "gpu10"]),
    ("!~gpu~", ["cpu01"]),
    ("~bad nvlink~", ["gpu10"]),
    ("host:gpu01", ["gpu01"]),
    ("reason:respond", ["cpu01"]),
    ('reason:"Not responding"', ["cpu01"]),
    ("10.0.0.1:5", []),
]


@pytest.mark.parametrize(("text", "wanted"), FLEET)
def test_fleet(store: Store, text: str, wanted: list[str]) -> None:
    assert found(store, "fleet", text) == wanted


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("jobs", "time>30m", [("lab", "8812")]),
        ("jobs", "left<10m", [("lab", "8812")]),
        ("jobs", "gpus>=8 user:bob", [("lab", "8813_[1-9]")]),
        ("jobs", "start>30m", [("lab", "8812")]),
        ("jobs", "submitted<2m", [("lab", "8813_[1-9]")]),
        ("jobs", "train", [("lab", "8812")]),
        ("network", "state:down", [("gpu01", "mlx5_1/1")]),
        ("network", "rate>100G", [("gpu01", "mlx5_0/1")]),
        ("network", "drops>0", [("gpu01", "eth0")]),
        ("network", "rx>1.5M", [("gpu01", "mlx5_0/1"), ("gpu01", "ib0")]),
        ("storage", "rtt>10ms", [("gpu01", "mount", "/home")]),
        ("storage", "state:hung", [("gpu01", "mount", "/home")]),
        ("storage", "used>90", [("gpu01", "mount", "/")]),
        ("storage", "size>2T", [("gpu01", "disk", "nvme0n1")]),
        ("sources", "denied", ["ssh:gpu2"]),
        ("sources", "state:live kind:slurm", ["slurm:lab/jobs", "slurm:lab/nodes"]),
    ],
)
def test_other_tables(store: Store, name: str, text: str, wanted: list[Any]) -> None:
    assert found(store, name, text) == wanted


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("stat:down", "no column stat", "did you mean state"),
        ("nosuchfield>3", "no column nosuchfield", "columns: node"),
        ("util>high", "is no number", "for example 80"),
        ("util>", "nothing is no number", "for example"),
        ("uptime>soon", "is no number", "2h30m"),
        ("util>10ms", "is no time", ""),
        ("state>up", "state is text", "state:up"),
        ("state:", "needs a value", "state="),
        ("~(~", "no regular expression", ""),
        ("~(a+)+b~", "never end", "several words"),
        ("x" * 1001, "longer than", ""),
        ("!", "ends in the middle", ""),
    ],
)
def test_mistakes_say_what_and_what_instead(text: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile_filter(text, TABLES["fleet"])
    assert what in str(caught.value)
    assert hint in caught.value.hint


@given(st.text(max_size=60))
def test_any_text_compiles_or_is_a_usage_error(text: str) -> None:
    try:
        compile_filter(text, TABLES["fleet"])
    except UsageError:
        pass


@given(st.text(alphabet="ab(|)*+?{}[]^\\.1,~!:<>='\" ", max_size=30))
def test_any_syntax_compiles_or_is_a_usage_error(text: str) -> None:
    try:
        compile_filter(text, TABLES["jobs"])
    except UsageError:
        pass


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+b", "(a*)*", "(a|a)*b", "(a|ab)+c", "(.*)*x", "((a)+)+", "(?:a+){2,}", "(a+){20}", ".*.*x", "a*a*a*b", "\\d+\\d+x",
     "(a)\\1", "(?P<x>a)(?P=x)", "a.*b.*c.*d.*e", "([a-z]+)*$", "(?=(a+))+", "a{1,1000}", "(x+x+)+y", "(?i:(a+)+)",
     "(a?){50}", "a?" * 40, "(a{0,50}){0,50}", "(a{,9})+", "(a|a)" * 20, "(?x: a+ a+ )", "a{2,}a{2,}", "(a{,})+"],
)  # fmt: skip
def test_patterns_that_might_not_end_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="never end"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["gpu(01|02)", "^gpu\\d+$", "[a-z]+-[0-9]+", "a.*b.*c", "(abc)+", "x{2,3}", "\\(a+\\)+", "[(+*]+", "(?:ab)?c", "[^]]+", ".*?x", "a|b|c", "[a-z]+\\d+", "\\d+\\.\\d*"],
)  # fmt: skip
def test_patterns_that_people_write_pass(pattern: str) -> None:
    compile_pattern(pattern)


@given(st.text(alphabet="ab|()*+?.[]^$", max_size=12), st.sampled_from(["a" * 512, "ab" * 256, "a" * 511 + "!"]))
def test_what_passes_ends(pattern: str, subject: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except UsageError:
        return
    start = time.process_time()
    compiled.search(subject)
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("gpu01", ["gpu01"]),
        ("gpu01.dc1.local", ["gpu01"]),
        ("gpu[01,10],cpu01", ["cpu01", "gpu01", "gpu10"]),
        ("@drained", ["gpu10"]),
        ("@state:down", ["cpu01"]),
        ("@drained,@down,gpu2", ["cpu01", "gpu2", "gpu10"]),
        ("@partition:gpu", ["gpu01", "gpu2", "gpu10"]),
        ("@rack:r1", ["gpu01", "gpu2"]),
        ("@cluster:lab", ["cpu01", "gpu01", "gpu2", "gpu10"]),
        ("@job:8812", ["gpu01"]),
        ("@job:lab/8812", ["gpu01"]),
        ("@all", ["cpu01", "gpu01", "gpu2", "gpu10"]),
        ("@all!@drained", ["cpu01", "gpu01", "gpu2"]),
        ("gpu[01,10]&@state:drained", ["gpu10"]),
    ],
)
def test_node_selectors(store: Store, text: str, wanted: list[str]) -> None:
    assert select_nodes(text, store) == wanted


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("gpu99", "no node is called gpu99", ""),
        ("gpu011", "no node is called gpu011", "did you mean gpu01?"),
        ("@state:drian", "no state is called drian", "did you mean drain"),
        ("@partition:gpus", "no partition is called gpus", "did you mean gpu?"),
        ("@rack:nowhere", "no rack is called nowhere", "known: r1, r2"),
        ("@job:1", "no job is called 1", "qd jobs"),
        ("@cluster:x", "no cluster is called x", "known: lab"),
        ("", "no node is named", "@drained"),
        (" , ", "no node is named", ""),
        ("gpu[01", "", ""),
    ],
)
def test_selectors_that_name_nothing(store: Store, text: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        select_nodes(text, store)
    assert what in str(caught.value)
    assert hint in caught.value.hint


def test_a_selector_may_be_empty_without_being_wrong(store: Store) -> None:
    assert select_nodes("@maintenance", store) == []
