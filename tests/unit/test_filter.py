"""Filters and node selectors: what they find, what they refuse, and that no pattern runs for ever."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import UsageError
from console.model import NodeState
from console.render.filter import compile_filter
from console.render.patterns import compile_pattern
from console.render.tables import TABLES
from console.render.view import View
from console.store import Store
from tests.unit.records import job, listing, node, queue
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
        ("gpu[01,10],cpu01", ["cpu01", "gpu01", "gpu10"]),
        ("gpu[01-99].dc1.local", ["gpu01", "gpu10"]),
        ("gpu[2-9]", ["gpu2"]),
        ("gpu[90-99]", []),
        ("@drained", ["gpu10"]),
        ("!@drained", ["cpu01", "gpu01", "gpu2"]),
        ("!gpu[01,10]", ["cpu01", "gpu2"]),
        ("gpu[01,10] @drained", ["gpu10"]),
        ("gpu[01,10] util>80", ["gpu01"]),
        ("@state:down", ["cpu01"]),
        ("@drained,@down,gpu2", ["cpu01", "gpu2", "gpu10"]),
        ("@partition:gpu", ["gpu01", "gpu2", "gpu10"]),
        ("@queue:gpu", ["gpu01", "gpu2", "gpu10"]),
        ("@rack:r1", ["gpu01", "gpu2"]),
        ("@cluster:lab", ["cpu01", "gpu01", "gpu2", "gpu10"]),
        ("@job:8812", ["gpu01"]),
        ("@job:lab/8812", ["gpu01"]),
        ("@job:other/8812", []),
        ("@job:881", []),
        ("@all", ["cpu01", "gpu01", "gpu2", "gpu10"]),
        ("@all!@drained", ["cpu01", "gpu01", "gpu2"]),
        ("@all!@drained!@down", ["gpu01", "gpu2"]),
        ("gpu[01,10]&@state:drained", ["gpu10"]),
        ("gpu[01,10]^gpu[2,10]", ["gpu01", "gpu2"]),
        ("@drained,,", ["gpu10"]),
        ("@maintenance", []),
        ('"@drained"', []),
    ],
)
def test_words_that_name_nodes(store: Store, text: str, wanted: list[str]) -> None:
    assert found(store, "fleet", text) == wanted


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("jobs", "gpu[01-09]", [("lab", "8812")]),
        ("jobs", "@job:8812", [("lab", "8812")]),
        ("jobs", "@drained", []),
        ("jobs", "8813_[1-9]", [("lab", "8813_[1-9]")]),
        ("jobs", "!@all 8813", [("lab", "8813_[1-9]")]),
        ("network", "gpu[01-02] state:down", [("gpu01", "mlx5_1/1")]),
        ("network", "@drained", []),
        ("storage", "gpu[01-02] state:hung", [("gpu01", "mount", "/home")]),
        ("sources", "gpu[2-3]", ["ssh:gpu2"]),
    ],
)
def test_in_other_tables_nodes_choose_what_is_on_them(store: Store, name: str, text: str, wanted: list[Any]) -> None:
    assert found(store, name, text) == wanted


def test_a_job_on_a_node_that_no_source_lists_is_found_by_its_name() -> None:
    store = Store()
    store.apply(queue("slurm:lab/jobs", job("7", node_names=("ghost3",), nodes="ghost3"), job("8")))
    assert found(store, "jobs", "ghost[1-4]") == [("lab", "7")]


def test_an_array_is_named_by_the_number_of_all_its_tasks() -> None:
    store = Store()
    store.apply(listing("slurm:lab/nodes", node("n1"), node("n2"), node("n3")))
    store.apply(queue("slurm:lab/jobs", job("90_1", node_names=("n1",)), job("90_2", node_names=("n3",))))
    assert found(store, "fleet", "@job:90") == ["n1", "n3"]
    assert found(store, "fleet", "@job:90_2") == ["n3"]


def test_nodes_called_by_their_whole_names_are_found_by_the_short_ones() -> None:
    store = Store(lambda _cluster, name: name)
    store.apply(listing("slurm:lab/nodes", node("gpu1.dc1.local"), node("10.0.0.1"), node("10")))
    assert found(store, "fleet", "gpu[1-2]") == ["gpu1.dc1.local"]
    assert found(store, "fleet", "10.0.0.[1-9]") == ["10.0.0.1"]


def test_a_node_is_chosen_by_what_it_is_when_it_is_looked_at() -> None:
    store = Store()
    store.apply(listing("slurm:lab/nodes", node("n1")))
    table = TABLES["fleet"]
    keep = compile_filter("@drained", table)
    assert not keep(table.row(View(store, NOW), "n1"))
    store.apply(listing("slurm:lab/nodes", node("n1", state=NodeState.DRAINED)))
    assert keep(table.row(View(store, NOW), "n1"))


def test_groups_of_the_site_are_asked_for_where_that_is_allowed(store: Store) -> None:
    asked = []

    def groups(name: str) -> list[str]:
        asked.append(name)
        return ["gpu01", "gpu10"]

    table = TABLES["fleet"]
    keep = compile_filter("@site:big!gpu[10-11]", table, store, groups)
    assert [key for key in table.rows(store) if keep(table.row(View(store, NOW), key))] == ["gpu01"]
    assert asked == ["site:big"]
    compile_filter("@drained @rack:r1", table, store, groups)
    assert asked == ["site:big"], "what the store knows is not asked for"


@pytest.mark.parametrize(
    ("text", "what", "where", "hint"),
    [
        ("@state:drian", "no state is called drian", "@state:drian", "did you mean drain"),
        ("@partition:gpus", "no partition is called gpus", "@partition:gpus", "did you mean gpu?"),
        ("@partition:", "no partition is called ", "@partition:", "known: "),
        ("@rack:nowhere", "no rack is called nowhere", "@rack:nowhere", "known: r1, r2"),
        ("@job:1", "no job is called 1", "@job:1", "qd jobs"),
        ("@cluster:x", "no cluster is called x", "@cluster:x", "known: lab"),
        ("@drianed", "no group is called drianed", "@drianed", "did you mean @drained?"),
        ("@", "no group is called", "@", "groups: @all, @up"),
        ("@,", "no group is called", "@", ""),
        ("@all!", "nodes are missing after !", "@all!", "gpu[01-16,20]"),
        ("&gpu[1-2]", "nodes are missing before &", "&gpu[1-2]", ""),
        ("gpu[01", "a bracket opens and never closes", "gpu[01, character 4", "gpu[01-16,20]"),
        ("gpu[1-2]]", "a bracket closes that never opened", "gpu[1-2]], character 9", ""),
        ("gpu[1-99999999]", "more than 100000 nodes", "gpu[1-99999999]", ""),
        ("gpu[]", "an empty range", "gpu[], character 5", ""),
        ("gpu*[1-2]", "has no *", "gpu*[1-2]", "~^gpu~"),
        ("[\x1b]", "cannot stand in a nodeset", "character", ""),
    ],
)
def test_nodes_that_cannot_be(store: Store, text: str, what: str, where: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile_filter(text, TABLES["fleet"], store)
    assert what in caught.value.what
    assert where in caught.value.where
    assert hint in caught.value.hint
    assert str(caught.value).isprintable()


def test_what_a_store_without_nodes_does_not_know_may_still_come() -> None:
    for text in ("@partition:gpu", "@rack:r1", "@job:1", "@cluster:x"):
        compile_filter(text, TABLES["fleet"], Store())
        compile_filter(text, TABLES["fleet"])
