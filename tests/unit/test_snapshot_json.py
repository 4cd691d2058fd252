"""`--json`: every key of the contract, nothing null without a reason, no control character."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from console.model import Accelerator, Batch, Cluster, ClusterKind, Host, Job, Node, Records, Sample, SourceState
from console.render.snapshot import snapshot_json
from console.store import Store
from tests.unit.render_data import NOW, lab, sample_of_gpu01, source

CONTRACT = {
    "sources": "name kind cluster state error since observed_at period_s requests_per_minute",
    "clusters": "name kind version",
    "nodes": "name cluster state scheduler_state reason reason_by reason_at partitions cpus cpus_allocated "
    "memory_total_bytes accelerators_total accelerators_allocated jobs sources host accelerators links disks mounts missing",
    "host": "cpu_percent load1 memory_available_bytes pressure uptime_s kernel power_w",
    "pressure": "cpu memory io",
    "accelerators": "index uuid vendor model utilization_percent memory_used_bytes memory_total_bytes power_w "
    "power_limit_w temperature_c clock_mhz throttle ecc_uncorrected processes",
    "processes": "pid user command memory_bytes job",
    "links": "name kind state rate_bits_per_s rx_bytes_per_s tx_bytes_per_s errors_per_s drops_per_s",
    "disks": "name read_bytes_per_s write_bytes_per_s busy_percent",
    "mounts": "path source type total_bytes free_bytes state rtt_s",
    "jobs": "id cluster name user account state scheduler_state reason queue nodes node_count accelerators submitted_at "
    "started_at ends_at elapsed_s time_limit_s priority array",
    "array": "id tasks running pending",
    "findings": "id severity title evidence cause action source nodes jobs since",
}
ENUMS = {
    ("sources", "state"): "ok late unreachable denied unsupported error",
    ("clusters", "kind"): "slurm pbs kubernetes ray ssh local simulated",
    ("nodes", "state"): "up busy draining drained down unreachable unknown reserved maintenance",
    ("links", "kind"): "ethernet infiniband roce",
    ("mounts", "state"): "ok unchecked slow hung",
    ("jobs", "state"): "pending running completing suspended held completed failed cancelled timeout preempted unknown",
    ("findings", "severity"): "critical warning info",
}
LISTS = {
    "cluster",
    "partitions",
    "jobs",
    "sources",
    "accelerators",
    "links",
    "disks",
    "mounts",
    "throttle",
    "processes",
}


@pytest.fixture(scope="module")
def snapshot() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(snapshot_json(lab(), NOW, False)))
    return found


def by_name(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(item for item in items if item["name"] == name)


def check(kind: str, item: dict[str, Any]) -> None:
    """Check one object and all in it against the contract."""
    assert set(CONTRACT[kind].split()) <= set(item), kind
    for (owner, key), words in ENUMS.items():
        if owner == kind:
            assert item[key] in words.split(), (kind, key)
    for key, value in item.items():
        if value is None:
            assert item["missing"].get(key), f"{kind}.{key} is null without a reason"
        if key in LISTS and kind in ("nodes", "accelerators"):
            assert isinstance(value, list), (kind, key)
        if key.endswith("_at") and value is not None:
            assert len(value) == 20
            assert value.endswith("Z")
        if key in CONTRACT and isinstance(value, dict):
            check(key, value) if key != "pressure" else None
        if key in CONTRACT and isinstance(value, list) and value and isinstance(value[0], dict):
            for child in value:
                check(key, child)


def test_every_key_of_the_contract_is_there(snapshot: dict[str, Any]) -> None:
    assert list(snapshot) == ["schema", "observed_at", "simulated", "sources", "clusters", "nodes", "jobs", "findings"]
    assert snapshot["schema"] == "quarterdeck/snapshot/1"
    assert snapshot["observed_at"] == "2026-11-24T00:18:25Z"
    assert snapshot["simulated"] is False
    for kind in ("sources", "clusters", "nodes", "jobs", "findings"):
        assert snapshot[kind]
        for item in snapshot[kind]:
            check(kind, item)


def test_a_measured_node(snapshot: dict[str, Any]) -> None:
    node = by_name(snapshot["nodes"], "gpu01")
    assert node["cluster"] == ["lab"]
    assert (node["state"], node["scheduler_state"], node["jobs"]) == ("busy", "ALLOCATED", ["8812"])
    assert node["sources"] == ["slurm:lab/nodes", "ssh:gpu01"]
    assert node["host"]["memory_available_bytes"] == 1 << 39
    assert node["host"]["missing"]["power_w"] == "RAPL is readable by root only"
    assert node["host"]["pressure"] == {"cpu": 1.0, "memory": 0.0, "io": None}
    assert node["host"]["missing"]["pressure.io"]
    gpus = node["accelerators"]
    assert [gpu["index"] for gpu in gpus] == list(range(8))
    assert gpus[6]["power_w"] is None
    assert gpus[6]["missing"]["power_w"] == "not supported by this device"
    assert gpus[7]["missing"]["utilization_percent"] == "GPU is lost"
    assert gpus[0]["processes"][0]["job"] == "8812"
    home = next(mount for mount in node["mounts"] if mount["path"] == "/home")
    assert (home["state"], home["total_bytes"], home["rtt_s"]) == ("hung", None, 61.0)


def test_a_node_that_nobody_measures_says_why(snapshot: dict[str, Any]) -> None:
    node = by_name(snapshot["nodes"], "gpu2")
    assert node["host"] is None
    assert node["accelerators"] == []
    for sensor in ("host", "accelerators", "links", "disks", "mounts"):
        assert node["missing"][sensor] == "Permission denied (publickey)"
    assert by_name(snapshot["nodes"], "cpu01")["missing"]["host"] == "no source measures this node"
    drained = by_name(snapshot["nodes"], "gpu10")
    assert (drained["reason"], drained["reason_by"], drained["reason_at"]) == (
        "bad nvlink [x] 模",
        "root",
        "2026-11-23T23:18:25Z",
    )


@pytest.mark.parametrize(
    ("listed", "said"),
    [({}, "no NVIDIA, AMD or Habana device"), ({"accelerators_total": "Slurm counts no GRES"}, "Slurm counts no GRES")],
)
def test_why_nobody_counts_accelerators_is_what_the_probe_says_unless_a_list_does(
    listed: dict[str, str], said: str
) -> None:
    store = Store()
    nodes = (Node(name="vm", cluster="vm", missing=listed),)
    store.apply(Batch(status=source("local:vm/nodes", kind="local"), records=Records(nodes=nodes)))
    sample = Sample(node="vm", observed_at=NOW, missing={"accelerators": "no NVIDIA, AMD or Habana device"})
    store.apply(Batch(status=source("local", kind="local", node="vm"), records=Records(samples=(sample,))))
    (node,) = snapshot_json(store, NOW, False)["nodes"]
    assert node["accelerators_total"] is None
    assert node["missing"]["accelerators_total"] == said
    assert node["missing"]["accelerators"] == "no NVIDIA, AMD or Habana device"


def test_lists_that_nobody_read_are_not_shown_as_empty() -> None:
    store = Store()
    missing = {"processes": "not read", "throttle": "not asked"}
    gpus = (Accelerator(index=0, missing=missing), Accelerator(index=1))
    sample = Sample(node="n1", observed_at=NOW, accelerators=gpus)
    nodes = (Node(name="n1", cluster="hosts"),)
    store.apply(Batch(status=source("hosts:hosts/nodes", kind="ssh"), records=Records(nodes=nodes)))
    store.apply(Batch(status=source("ssh:n1", kind="ssh", node="n1"), records=Records(samples=(sample,))))
    (node,) = snapshot_json(store, NOW, False)["nodes"]
    blind, idle = node["accelerators"]
    assert blind["processes"] == blind["throttle"] == idle["processes"] == []
    assert blind["missing"].items() >= missing.items()
    assert not set(missing) & set(idle["missing"])


def test_sources_never_say_connecting(snapshot: dict[str, Any]) -> None:
    waiting = by_name(snapshot["sources"], "ssh:gpu10")
    assert waiting["state"] == "unreachable"
    assert waiting["error"] == "no answer within 600 s"
    store = Store()
    store.apply(Batch(status=source("a", SourceState.CONNECTING)))
    assert snapshot_json(store, NOW, False)["sources"][0]["state"] == "late"


def test_jobs(snapshot: dict[str, Any]) -> None:
    running, waiting, held, failed = snapshot["jobs"]
    assert (running["id"], running["elapsed_s"], running["nodes"]) == ("8812", 3600.0, "gpu01")
    assert waiting["array"]["tasks"] == 9
    assert waiting["elapsed_s"] is None
    assert waiting["missing"]["elapsed_s"] == "it has not started"
    assert waiting["missing"]["time_limit_s"] == "unlimited"
    assert held["state"] == "held"
    assert failed["elapsed_s"] == 100.0


def test_sections_and_keys_choose(snapshot: dict[str, Any]) -> None:
    store = lab()
    only = snapshot_json(store, NOW, True, sections=("nodes",), node_keys=["gpu10", "gpu2", "nobody"])
    assert list(only) == ["schema", "observed_at", "simulated", "nodes"]
    assert [node["name"] for node in only["nodes"]] == ["gpu10", "gpu2"]
    jobs = snapshot_json(store, NOW, True, sections=("jobs",), job_keys=[("lab", "9000")])
    assert [job["id"] for job in jobs["jobs"]] == ["9000"]


def texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (str(key), *texts(item))]
    return [text for item in value for text in texts(item)] if isinstance(value, (list, tuple)) else []


def test_no_control_character_even_from_a_source_that_forgot_to_clean() -> None:
    evil = "a\x1b]52;c;eA==\x07b\x9b2J\u202ec\nd"
    store = Store()
    sample = msgspec.structs.replace(
        sample_of_gpu01(),
        node=evil,
        accelerators=tuple(
            msgspec.structs.replace(gpu, model=evil, throttle=(evil,), missing={"power_w": evil})
            for gpu in sample_of_gpu01().accelerators
        ),
        missing={"links": evil},
        links=(),
    )
    records = Records(
        cluster=Cluster(name=evil, kind=ClusterKind.SLURM, version=evil),
        nodes=(Node(name="n1", cluster=evil, reason=evil, scheduler_state=evil, partitions=(evil,)),),
        jobs=(Job(id=evil, cluster=evil, name=evil, user=evil, comment=evil, missing={"priority": evil}),),
        samples=(msgspec.structs.replace(sample, node="n1"),),
    )
    store.apply(Batch(status=source("s", kind="ssh", node="n1", error=evil, hint=evil, detail=evil), records=records))
    found = snapshot_json(store, NOW, False)
    assert found["nodes"][0]["accelerators"]
    for text in texts(found):
        assert text.isprintable(), repr(text)
        assert "\u202e" not in text


def test_numbers_are_json_numbers() -> None:
    store = Store()
    sample = Sample(node="n1", observed_at=NOW, host=Host(load1=float("nan")))
    store.apply(
        Batch(
            status=source("s", kind="ssh", node="n1"),
            records=Records(nodes=(Node(name="n1", cluster="lab"),), samples=(sample,)),
        )
    )
    encoded = json.dumps(snapshot_json(store, NOW, False), allow_nan=False)
    assert json.loads(encoded)["nodes"][0]["host"]["load1"] is None
