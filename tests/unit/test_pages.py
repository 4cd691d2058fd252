"""Heat map, details and pages: they fit, they say why a value is missing, and they name the right GPU."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from console.model import AcceleratorProcess, Batch, Job, JobState, Node, NodeState, Records, Sample
from console.render.cells import Line, cell_width, line_text
from console.render.details import details
from console.render.glyphs import ASCII, UNICODE
from console.render.gpus import gpu_reasons
from console.render.heat import (
    HeatMetric,
    describe,
    gpu_cell,
    heat_layout,
    heat_legend,
    heat_line,
    level,
)
from console.render.job_page import job_sections
from console.render.lines import Section
from console.render.node_page import node_sections
from console.render.ranks import own_gpus
from console.render.tables import TABLES
from console.render.themes import STYLES
from console.render.view import View
from console.store import Store
from tests.unit.render_data import NOW, gpu, lab, source

WIDTHS = [40, 60, 78, 100, 158, 240]


@pytest.fixture(scope="module")
def store() -> Store:
    return lab()


@pytest.fixture
def view(store: Store) -> View:
    return View(store, NOW)


def text_of(sections: list[Section]) -> str:
    return "\n".join([*(line_text(line) for section in sections for line in section.lines)])


def check_lines(lines: list[Line] | tuple[Line, ...]) -> None:
    for line in lines:
        for cell in line:
            assert {style for _, style in cell.parts} <= set(STYLES)
            assert "None" not in cell.text
            assert "nan" not in cell.text
            assert "\n" not in cell.text


# ---- heat map


def test_levels() -> None:
    one = gpu(0, 50.0, power_w=350.0, temperature_c=60.0)
    assert level(one, HeatMetric.UTILIZATION) == 0.5
    assert level(one, HeatMetric.POWER) == 0.5
    assert level(one, HeatMetric.TEMPERATURE) == 0.5
    assert level(one, HeatMetric.MEMORY) == 71 / 80
    assert level(one, HeatMetric.ERRORS) == 0.0
    assert level(gpu(0, ecc_uncorrected=1), HeatMetric.ERRORS) == 1.0
    assert level(gpu(0, throttle=("hw_slowdown",)), HeatMetric.ERRORS) == 0.5
    assert level(gpu(0, throttle=("gpu_idle",)), HeatMetric.ERRORS) == 0.0
    assert level(gpu(0, ecc_uncorrected=None), HeatMetric.ERRORS) is None
    assert level(gpu(0, power_limit_w=None), HeatMetric.POWER) is None
    assert level(gpu(0, power_limit_w=0.0), HeatMetric.POWER) is None
    assert level(gpu(0, temperature_c=10.0), HeatMetric.TEMPERATURE) == 0.0


def test_a_cell_tells_its_level_without_colour() -> None:
    assert gpu_cell(gpu(0, 99.0), HeatMetric.UTILIZATION, UNICODE) == ("█", "heat9", ())
    assert gpu_cell(gpu(0, 0.0), HeatMetric.UTILIZATION, UNICODE) == ("▁", "heat0", ())
    assert gpu_cell(gpu(0, 55.0), HeatMetric.UTILIZATION, ASCII) == ("5", "heat5", ())
    assert gpu_cell(gpu(0, None), HeatMetric.UTILIZATION, UNICODE) == ("–", "muted", ())
    assert gpu_cell(gpu(0, state="lost"), HeatMetric.UTILIZATION, ASCII) == ("X", "bad", ())
    assert gpu_cell(None, HeatMetric.UTILIZATION, UNICODE) == ("–", "muted", ())


@pytest.mark.parametrize("by_rack", [False, True])
@pytest.mark.parametrize("width", [20, 40, 80, 160, 250])
def test_the_map_fits_and_finds_every_gpu(view: View, width: int, by_rack: bool) -> None:
    keys = ["gpu01", "gpu2", "gpu10", "cpu01"]
    layout = heat_layout(view, keys, width, by_rack)
    shown = [key for line in layout.lines for key in line.nodes]
    assert sorted(shown) == ["gpu01", "gpu10", "gpu2"], "a node without GPUs is not on the map"
    for index in range(len(layout.lines)):
        line = heat_line(view, layout, index, HeatMetric.UTILIZATION)
        check_lines([line])
        assert cell_width(line_text(line)) <= max(width, layout.label_width + 1 + layout.per_node + 1)
    for key in shown:
        for position in range(layout.per_node):
            place = layout.place(key, position)
            assert place is not None
            assert layout.node_at(*place) == (key, position)
    assert layout.place("cpu01") is None
    assert layout.node_at(99, 0) is None
    assert layout.node_at(0, 10_000) is None


def test_the_map_draws_what_is_there(view: View) -> None:
    layout = heat_layout(view, ["gpu01", "gpu2"], 80)
    assert line_text(heat_line(view, layout, 0, HeatMetric.UTILIZATION)) == "gpu01 ██████▁✗  gpu2  ––––––––"
    racks = heat_layout(view, ["gpu01", "gpu2", "gpu10"], 80, by_rack=True)
    assert [line_text(heat_line(view, racks, i, HeatMetric.POWER)).rstrip() for i in range(2)] == [
        "r1 ██████–✗ ––––––––",
        "r2 ––––––––",
    ]
    view.now = NOW + 60
    styles = {cell.style for cell in heat_line(view, layout, 0, HeatMetric.UTILIZATION)}
    assert "stale" in styles
    assert not any(style.startswith("heat") for style in styles)


def test_a_node_that_went_leaves_a_hole(view: View) -> None:
    layout = heat_layout(view, ["gpu01"], 80)
    other = View(Store(), NOW)
    assert line_text(heat_line(other, layout, 0, HeatMetric.UTILIZATION)) == "gpu01 " + " " * 8


@pytest.mark.parametrize("metric", list(HeatMetric))
def test_legend_and_description(view: View, metric: HeatMetric) -> None:
    for glyphs in (UNICODE, ASCII):
        legend = heat_legend(metric, glyphs)
        check_lines([legend])
        assert metric.value in line_text(legend)
        assert not glyphs.ascii or line_text(legend).isascii()
    assert "12%" in line_text(describe(view, "gpu01", 6))
    assert "–/700 W" in line_text(describe(view, "gpu01", 6))
    assert "lost" in line_text(describe(view, "gpu01", 7))
    assert "not measured" in line_text(describe(view, "gpu2", 0))


# ---- details


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", sorted(TABLES))
def test_details_of_every_row_fit(view: View, name: str, width: int) -> None:
    table = TABLES[name]
    for row_id in table.rows(view.store):
        lines = details(table.row(view, row_id), view, width)
        assert lines
        check_lines(lines)
        if width >= 78:
            assert all(cell_width(line_text(line)) <= width for line in lines)


def shown(name: str, row_id: Any, view: View, width: int = 100) -> str:
    return "\n".join(line_text(line) for line in details(TABLES[name].row(view, row_id), view, width))


def test_details_tell_whole_what_a_table_cuts(view: View) -> None:
    text = shown("fleet", "gpu2", view, 60)
    assert "Permission denied (publickey)" in text
    assert "add your key there" in text
    gpu01 = shown("fleet", "gpu01", view)
    for part in ("GPU 7 is lost", "Xid 79", "fallen off the bus", "drain gpu01", "8812 alice train llm"):
        assert part in gpu01
    link = shown("network", ("gpu01", "mlx5_1/1"), view)
    assert "down" in link
    mount = shown("storage", ("gpu01", "mount", "/home"), view)
    assert "– never asked of a network mount" in mount
    assert "61.0k ms" in mount
    job = shown("jobs", ("lab", "8813_[1-9]"), view)
    assert "in 2h00m, estimated" in job
    assert "– unlimited" in job
    assert "9 tasks, 0 running, 9 pending" in job
    assert "exit code" in shown("jobs", ("lab", "9000"), view)


def test_a_long_comment_stands_whole_on_the_node_page_and_in_the_details_of_a_job() -> None:
    store = lab()
    long = ("Größe der Läufe: 日本語 " * 200)[:4000].strip()
    node = Node(name="gpu01", cluster="lab", state=NodeState.BUSY, detail={"comment": long, "extra": long})
    job = Job(id="1", cluster="lab", state=JobState.RUNNING, comment=long)
    store.apply(Batch(status=source("slurm:lab/nodes"), records=Records(nodes=(node,), jobs=(job,))))
    view = View(store, NOW)
    page = "".join(line_text(line) for line in node_sections(view, "gpu01", 100)[0].lines)
    pane = "".join(line_text(line) for line in details(TABLES["jobs"].row(view, ("lab", "1")), view, 100))
    packed = long.replace(" ", "")
    assert page.replace(" ", "").count(packed) == 2
    assert pane.replace(" ", "").count(packed) == 1


def test_details_of_something_else_is_a_bug() -> None:
    with pytest.raises(TypeError):
        details(object(), View(Store(), NOW), 80)


# ---- pages


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("key", ["gpu01", "gpu2", "gpu10", "cpu01"])
def test_node_page_fits(view: View, key: str, width: int) -> None:
    for section in node_sections(view, key, width):
        assert section.lines
        assert len(section.opens) in (0, len(section.lines))
        check_lines(section.lines)
        if width >= 78:
            assert all(cell_width(line_text(line)) <= width for line in section.lines), section.title


def test_node_page_says_where_values_come_from(view: View) -> None:
    sections = node_sections(view, "gpu01", 120)
    assert [section.title for section in sections] == [
        "state",
        "findings",
        "accelerators",
        "processes on accelerators",
        "jobs",
        "machine",
        "history",
        "links",
        "mounts",
        "disks",
        "where this comes from",
    ]
    text = text_of(sections)
    for part in (
        "gpu 6  power_w: not supported by this device",
        "gpu 7  utilization_percent: GPU is lost",
        "python train.py",
        "RAPL is readable by root only",
        "ssh:gpu01  ● live, 1s ago",
        "accelerators by nvml",
        "0.40% of a core",
    ):
        assert part in text
    jobs = next(section for section in sections if section.title == "jobs")
    assert jobs.target(0) == ("job", ("lab", "8812"))
    assert sections[0].target(0) is None


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        (10_800.2, "▲ 3h00m ahead of this one"),
        (-86_400.0, "▲ 1d00h behind this one"),
        (2.0, "▲ 2s ahead of this one"),
        (-1.9, None),
        (0.0, None),
        (None, None),
    ],
)
def test_a_clock_that_is_off_is_said(offset: float | None, said: str | None) -> None:
    store = lab()
    node = store.nodes["gpu01"]
    assert node.sample is not None
    node.sample = msgspec.structs.replace(node.sample, clock_offset_s=offset)
    lines = [line for section in node_sections(View(store, NOW), "gpu01", 100) for line in section.lines]
    found = [line for line in lines if line_text(line).startswith("its clock")]
    assert [line_text(line).split(None, 2)[2] for line in found] == ([] if said is None else [said])
    assert all(line[1].style == "warn" for line in found)


def test_node_page_without_a_sample_says_why(view: View) -> None:
    assert "not measured: Permission denied (publickey)" in text_of(node_sections(view, "gpu2", 100))
    assert "no source measures this node" in text_of(node_sections(view, "cpu01", 100))
    assert "never answered" in text_of(node_sections(view, "gpu10", 100))
    assert "no source lists nobody any more" in text_of(node_sections(view, "nobody", 100))


@pytest.mark.parametrize("width", WIDTHS)
def test_job_page_shows_ranks(view: View, width: int) -> None:
    sections = job_sections(view, ("lab", "8812"), width)
    ranks = sections[-1]
    assert ranks.title == "ranks"
    check_lines(ranks.lines)
    assert len(ranks.lines) == 1 + 8
    assert ranks.target(0) is None
    assert ranks.target(1) == ("node", "gpu01")
    if width >= 100:
        text = text_of(sections)
        assert "slow: median is 97%" in text
        assert "✗ lost" in text
        assert all(cell_width(line_text(line)) <= width for line in ranks.lines)


def test_job_page_of_a_job_that_waits_or_went(view: View) -> None:
    assert "it runs nowhere now" in text_of(job_sections(view, ("lab", "8814"), 100))
    assert "lists lab/1 no longer" in text_of(job_sections(view, ("lab", "1"), 100))


def shared_store(job_of_processes: str | None) -> Store:
    """One node with two jobs; the processes of GPUs 2 and 3 say whose they are, or nothing."""
    processes = (AcceleratorProcess(pid=1, job=job_of_processes),)
    gpus = tuple(msgspec.structs.replace(gpu(index), processes=processes if index >= 2 else ()) for index in range(4))
    jobs = tuple(
        Job(id=job_id, cluster="lab", state=JobState.RUNNING, node_names=("n1", "n9"), nodes="n[1,9]", accelerators=2)
        for job_id in ("7", "8")
    )
    store = Store()
    store.apply(
        Batch(
            status=source("slurm:lab/nodes"),
            records=Records(
                nodes=(Node(name="n1", cluster="lab", state=NodeState.BUSY),), jobs=jobs, complete=("nodes", "jobs")
            ),
        )
    )
    sample = Sample(node="n1", observed_at=NOW, accelerators=gpus)
    store.apply(Batch(status=source("ssh:n1", kind="ssh", node="n1"), records=Records(samples=(sample,))))
    return store


def test_on_a_shared_node_ranks_are_those_of_its_own_processes() -> None:
    store = shared_store("7")
    node = store.nodes["n1"]
    mine, sure = own_gpus(node, store.jobs["lab", "7"])
    assert ([one.index for one in mine], sure) == ([2, 3], True)
    others, sure = own_gpus(node, store.jobs["lab", "8"])
    assert (len(others), sure) == (4, False)
    text = text_of(job_sections(View(store, NOW), ("lab", "8"), 120))
    assert "shared with other jobs, all GPUs shown: n1" in text
    assert "1 of its nodes are not known here" in text


def test_on_a_shared_node_nothing_is_sure_while_processes_are_not_known() -> None:
    store = shared_store("7")
    node = store.nodes["n1"]
    assert node.sample is not None
    blind = msgspec.structs.replace(node.sample.accelerators[0], missing={"processes": "not named yet"})
    gpus = (blind, *node.sample.accelerators[1:])
    node.sample = msgspec.structs.replace(node.sample, accelerators=gpus)
    shown_gpus, sure = own_gpus(node, store.jobs["lab", "7"])
    assert (len(shown_gpus), sure) == (4, False)


def test_one_reason_for_many_values_of_many_gpus_is_said_once() -> None:
    view = View(Store(), NOW)
    left_out = {"clock_mhz": "not asked", "throttle": "not asked"}
    gpus = tuple(
        msgspec.structs.replace(gpu(index), missing={**left_out, **({"power_w": "asleep"} if index == 2 else {})})
        for index in range(4)
    )
    lines = [line_text(line) for line in gpu_reasons(view, gpus, 78)]
    assert lines == ["– gpu 0,1,2,3  clock_mhz, throttle: not asked", "– gpu 2  power_w: asleep"]
    narrow = gpu_reasons(view, gpus, 30)
    assert all(cell_width(line_text(line)) <= 30 for line in narrow)


def test_pages_and_details_are_ascii_in_ascii_mode(store: Store) -> None:
    view = View(store, NOW, ASCII, simulated=True)
    lines: list[Line] = []
    for key in ("gpu01", "gpu2", "cpu01"):
        lines += [line for section in node_sections(view, key, 158) for line in section.lines]
    for job_key in store.jobs:
        lines += [line for section in job_sections(view, job_key, 158) for line in section.lines]
    for table in TABLES.values():
        for row_id in table.rows(store):
            if row_id != "gpu10":  # its reason is not ours
                lines += details(table.row(view, row_id), view, 100)
    assert [line_text(line) for line in lines if not line_text(line).isascii()] == []
