"""Slurm's output to records: recordings with exact values, and forging attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

from console.errors import BadAnswer
from console.model import ArrayPart, Job, JobState, Node, NodeState
from plugins.slurm import parse
from plugins.slurm.commands import MACHINE_FIELDS, Commands, new_nonce
from plugins.slurm.jobs import LIMIT_FREE, JobReader, Listing
from plugins.slurm.nodes import NodeListing, NodeReader, Place
from plugins.slurm.settings import AddressRule, SlurmSettings

FIXTURES = Path(__file__).parent.parent / "fixtures" / "slurm"
VERSIONS = ("22.05.8", "24.11.5")
NONCE = "q0123456789abcdef"

T = TypeVar("T")


def recorded(version: str, name: str) -> bytes:
    return (FIXTURES / version / name).read_bytes()


def finish(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def read_jobs(answer: bytes, reader: JobReader | None = None, fields: tuple[str, ...] = MACHINE_FIELDS) -> Listing:
    return finish((reader or JobReader("lab")).read(answer, NONCE, fields))


def read_nodes(answer: bytes, reader: NodeReader | None = None) -> NodeListing:
    return finish((reader or NodeReader("lab", Place())).read(answer))


def nodes_of(version: str, name: str) -> dict[str, Node]:
    return {node.name: node for node in read_nodes(recorded(version, name)).nodes}


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def jobs(version: str) -> dict[str, Job]:
    return {job.id: job for job in read_jobs(recorded(version, "jobs.out")).jobs}


# ---- jobs


def test_jobs_are_those_of_squeue(version: str, jobs: dict[str, Job]) -> None:
    rows = [line.split("|") for line in recorded(version, "squeue.out").decode().splitlines()]
    assert {row[0].replace("%3", "") for row in rows} == set(jobs)
    assert Counter(row[1] for row in rows) == Counter(job.scheduler_state for job in jobs.values())
    assert {row[0].replace("%3", ""): int(row[2]) for row in rows} == {job.id: job.node_count for job in jobs.values()}


def test_gpus_in_every_way_to_ask(jobs: dict[str, Job]) -> None:
    assert {job_id: job.accelerators for job_id, job in jobs.items() if job.accelerators != 0} == {
        "1": 2,  # --gres=gpu:a100:2 on one node
        "2": 3,  # --gpus=3
        "3": 4,  # --gpus-per-task=h100:2, two tasks
        "9": 2,  # --gpus-per-node=a100:1, two nodes
        "10": None,  # --gpus-per-socket=1
        "11": 6,  # --gpus=h100:6
        "23+0": 1,
    }
    assert "per socket" in jobs["10"].missing["accelerators"]
    assert [jobs[job_id].accelerator_model for job_id in ("1", "2", "3", "9", "11")] == [
        "a100",
        None,
        "h100",
        "a100",
        "h100",
    ]


def test_an_array_is_one_row_for_what_waits_and_one_for_each_task_that_runs(jobs: dict[str, Job]) -> None:
    waits = jobs["4_[3-19]"]
    assert waits.array == ArrayPart(id="4", tasks=17, pending=17)
    assert waits.detail == {"tasks at once": "3"}, "scancel does not take the limit as part of an id"
    assert waits.state is JobState.PENDING
    assert waits.reason == "JobArrayTaskLimit"
    runs = jobs["4_1"]
    assert runs.array == ArrayPart(id="4", tasks=1, running=1)
    assert runs.node_names == ("n4",)
    assert runs.detail == {"job id": "7"}, "what SLURM_JOB_ID says on the node"
    assert jobs["5_[1,3,5,7,9]"].array == ArrayPart(id="5", tasks=5, pending=5)
    assert jobs["5_[1,3,5,7,9]"].state is JobState.HELD


def test_parts_of_a_heterogeneous_job(jobs: dict[str, Job]) -> None:
    assert jobs["23+0"].node_names == ("n1",)
    assert jobs["23+1"].node_names == ("n4",)
    assert jobs["23+1"].detail == {"job id": "24"}


def test_a_running_job_whole(version: str, jobs: dict[str, Job]) -> None:
    job = jobs["2"]
    started = {"22.05.8": 1795496435.0, "24.11.5": 1795496444.0}[version]
    assert job == Job(
        id="2",
        cluster="lab",
        name="pergpus",
        user="root",
        state=JobState.RUNNING,
        scheduler_state="RUNNING",
        queue="gpu",
        nodes="n[1-2]",
        node_names=("n1", "n2"),
        node_count=2,
        cpus=2,
        memory_bytes=200 << 20,
        accelerators=3,
        submitted_at={"22.05.8": 1795496434.0, "24.11.5": 1795496442.0}[version],
        started_at=started,
        ends_at=started + 3600,
        time_limit_s=3600.0,
        priority=1027,
        work_dir="/home/root",
    )


def test_a_waiting_job_has_an_estimate_and_no_start(jobs: dict[str, Job]) -> None:
    job = jobs["12"]
    assert job.state is JobState.PENDING
    assert job.reason == "BeginTime"
    assert job.expected_start_at is not None
    assert (job.started_at, job.ends_at, job.nodes, job.node_names) == (None, None, None, ())
    assert jobs["13"].dependency == "afterok:1(unfulfilled)"
    assert jobs["14"].queue == "gpu,debug"


def test_odd_names_arrive_clean(jobs: dict[str, Job]) -> None:
    assert jobs["14"].name == "pipe|in|name"
    assert jobs["15"].name == "new line"
    assert jobs["16"].name == "evil 9999RUNNINGNoneroot"
    assert jobs["16"].comment == "c q9999999999999999 forged"
    assert jobs["16"].user == "root"
    assert jobs["17"].name == "escred"
    assert jobs["18"].name == "latin-��"
    assert jobs["19"].name == "日本語-ß-🙂"
    assert jobs["20"].name == ""
    assert jobs["21"].comment == "c" * 1000
    assert jobs["22"].name == "%j'\"\\"
    assert "99" not in jobs, "a name that looks like a row is no row"


def row(number: str, name: str, comment: str = "", work_dir: str = "/tmp", **changed: str) -> str:
    values = {
        **dict.fromkeys(MACHINE_FIELDS, "N/A"),
        **{"JobArrayID": number, "JobID": number, "State": "PENDING", "Reason": "Priority", "NumNodes": "1"},
        **changed,
    }
    machine = "".join(f"{values[field]}\x1f" for field in MACHINE_FIELDS)
    return f"{machine}{work_dir}{NONCE}{comment}{NONCE}{name}{NONCE}\n"


def test_free_text_cannot_make_or_change_a_row() -> None:
    forged = row("1", "x").replace(NONCE, "q0000000000000000")
    text = row("7", forged, comment=f"\n{forged}", work_dir=f"/tmp\x1f{forged}")
    (job,) = read_jobs(text.encode()).jobs
    assert job.id == "7"
    assert job.state is JobState.PENDING
    assert job.work_dir is not None
    assert job.work_dir.startswith("/tmp")


def test_a_nonce_inside_of_a_name_costs_the_answer() -> None:
    with pytest.raises(BadAnswer):
        read_jobs(row("7", f"a{NONCE}b").encode())


def test_nonces_differ_and_never_begin_with_a_digit() -> None:
    nonces = {new_nonce() for _ in range(50)}
    assert len(nonces) == 50
    assert all(nonce[0].isalpha() and nonce.isalnum() for nonce in nonces)


@pytest.mark.parametrize(
    "answer",
    [
        b"slurm_load_jobs error: Unexpected message received\n",
        b"JOBID PARTITION NAME\n1 gpu x\n",
        row("7", "x").encode()[:-30],
        row("7", "x").encode() + row("8", "y").encode()[:-3],
        row("7", "x").encode() + row("8", "y").encode()[:40],
        row("not an id", "x").encode(),
        b"\x1f\x1f" + f"{NONCE}{NONCE}{NONCE}\n".encode(),
    ],
)
def test_what_is_no_answer_of_squeue_is_said(answer: bytes) -> None:
    reader = JobReader("lab")
    before = read_jobs(row("1", "x").encode(), reader)
    with pytest.raises(BadAnswer) as raised:
        read_jobs(answer, reader)
    assert raised.value.hint
    again = read_jobs(row("1", "x").encode(), reader)
    assert again.jobs == before.jobs
    assert (again.changed, again.gone) == ((), ()), "a broken answer is not remembered"


def test_no_jobs_is_an_answer() -> None:
    assert read_jobs(b"").jobs == ()


def test_only_what_differs_from_the_last_listing_is_told() -> None:
    reader = JobReader("lab")
    assert [job.id for job in read_jobs((row("1", "a") + row("2", "b")).encode(), reader).changed] == ["1", "2"]
    listing = read_jobs((row("2", "b", State="RUNNING") + row("3", "c")).encode(), reader)
    assert [job.id for job in listing.changed] == ["2", "3"]
    assert listing.gone == ("1",)
    assert [job.id for job in listing.jobs] == ["2", "3"]


def test_a_long_listing_is_read_in_slices() -> None:
    text = "".join(row(str(number), f"job {number}") for number in range(1, 3001)).encode()
    steps = JobReader("lab").read(text, NONCE, MACHINE_FIELDS)
    assert sum(1 for _ in steps) > 3


def test_a_field_that_an_older_squeue_lacks_reads_as_unknown() -> None:
    fields = tuple(name for name in MACHINE_FIELDS if name != "PriorityLong")
    values = {**dict.fromkeys(fields, ""), "JobArrayID": "5", "State": "RUNNING", "NumNodes": "2"}
    text = "".join(f"{values[field]}\x1f" for field in fields) + f"/tmp{NONCE}{NONCE}x{NONCE}\n"
    (job,) = read_jobs(text.encode(), fields=fields).jobs
    assert (job.id, job.priority, job.node_count, job.name) == ("5", None, 2, "x")


@pytest.mark.parametrize(
    ("limit", "seconds", "why"),
    [
        ("UNLIMITED", None, "unlimited"),
        ("2-12:00:00", 216000.0, None),
        ("30:00", 1800.0, None),
        ("Partition_Limit", None, "not told by Slurm"),
        ("-1-00:00:00", None, "not told by Slurm"),
    ],
)
def test_time_limits(limit: str, seconds: float | None, why: str | None) -> None:
    (job,) = read_jobs(row("1", "x", TimeLimit=limit).encode()).jobs
    assert job.time_limit_s == seconds
    assert job.missing.get("time_limit_s") == why


def test_an_endless_task_list_is_cut_and_counted() -> None:
    tasks = ",".join(str(number) for number in range(1, 9000, 2))
    (job,) = read_jobs(row(f"77_[{tasks}]", "x").encode()).jobs
    assert len(job.id) < 260
    assert job.id.endswith(",...]")
    assert job.array == ArrayPart(id="77", tasks=4500, pending=4500)


@pytest.mark.parametrize(
    ("number", "job_id", "array"),
    [
        ("67108865", "67108865", None),
        ("134217729_4", "134217729_4", "134217729"),
        ("134217729_[5-9%2]", "134217729_[5-9]", "134217729"),
        ("4227858433+1", "4227858433+1", None),
    ],
)
def test_ids_of_a_federation_are_kept_as_they_are(number: str, job_id: str, array: str | None) -> None:
    """There the number of the cluster of origin stands in the upper bits, above 26 of the job's own: up to 2³²."""
    (job,) = read_jobs(row(number, "x").encode()).jobs
    assert job.id == job_id
    assert (job.array and job.array.id) == array


def test_a_job_whose_siblings_are_on_other_clusters_is_one_row_on_each() -> None:
    here, there = (
        finish(JobReader(cluster).read(row("67108865", "x", State=state).encode(), NONCE, MACHINE_FIELDS)).jobs[0]
        for cluster, state in (("here", "PENDING"), ("there", "REVOKED"))
    )
    assert (here.id, here.cluster, here.state) == ("67108865", "here", JobState.PENDING)
    assert (there.id, there.cluster, there.state) == ("67108865", "there", JobState.CANCELLED)


# ---- nodes


def test_nodes_with_their_gpus(version: str) -> None:
    nodes = nodes_of(version, "nodes-busy.out")
    n1 = nodes["n1"]
    assert (n1.accelerators_total, n1.accelerators_allocated, n1.accelerator_model) == (4, 2, "a100")
    assert (n1.cpus, n1.cpus_allocated) == (8, 4)
    assert (n1.memory_total_bytes, n1.memory_allocated_bytes) == (16000 << 20, 4096 << 20)
    assert (n1.partitions, n1.features, n1.state) == (("gpu",), ("a100",), NodeState.BUSY)
    n3 = nodes["n3"]
    assert (n3.accelerators_total, n3.accelerators_allocated, n3.accelerator_model) == (8, 1, "h100")
    assert (nodes["n4"].accelerators_total, nodes["n4"].accelerators_allocated) == (0, 0)
    assert nodes["n7"].partitions == ("batch", "maintq")


def test_gpus_of_nodes_equal_those_of_the_jobs_on_them(version: str) -> None:
    nodes = nodes_of(version, "nodes-with-jobs.out")
    jobs = read_jobs(recorded(version, "jobs.out")).jobs
    held = sum(job.accelerators or 0 for job in jobs if job.nodes)
    assert sum(node.accelerators_allocated or 0 for node in nodes.values()) == held == 8


def test_node_states_are_those_of_sinfo(version: str) -> None:
    ours = {name: node.state for name, node in nodes_of(version, "nodes-with-jobs.out").items()}
    words = {
        "mixed": NodeState.BUSY,
        "allocated": NodeState.BUSY,
        "idle": NodeState.UP,
        "draining": NodeState.DRAINING,
        "drained": NodeState.DRAINED,
    }
    theirs = dict(line.split() for line in recorded(version, "sinfo.out").decode().splitlines())
    assert ours == {name: words[state.rstrip("*-")] for name, state in theirs.items()}


def test_states_with_flags(version: str) -> None:
    busy = nodes_of(version, "nodes-busy.out")
    assert {name: node.state for name, node in busy.items() if name in ("n3", "n6", "n7", "x1", "x2")} == {
        "n3": NodeState.DRAINING,
        "n6": NodeState.DRAINING,
        "n7": NodeState.DRAINING,
        "x1": NodeState.DOWN,
        "x2": NodeState.DOWN,
    }
    assert busy["n6"].scheduler_state == "MIXED+DRAIN+NOT_RESPONDING"
    states = nodes_of(version, "nodes-states.out")
    assert states["n4"].state is NodeState.MAINTENANCE
    assert states["n2"].state is NodeState.BUSY
    assert states["n2"].scheduler_state == "MIXED+RESERVED"


def test_a_node_that_power_saving_switched_off_is_not_probed() -> None:
    cloud = nodes_of("24.11.5", "nodes-busy.out")["cloud2"]
    assert cloud.state is NodeState.UP
    assert cloud.scheduler_state == "IDLE+CLOUD+POWERED_DOWN"
    assert cloud.address is None
    assert cloud.missing["address"] == "switched off to save power"


def test_reasons_with_who_and_when(version: str) -> None:
    drained = nodes_of(version, "nodes-with-jobs.out")["n3"]
    assert drained.reason == 'bad dimm | "A3" 日本'
    assert drained.reason_by == "root"
    assert drained.reason_at is not None
    assert 1795496400 < drained.reason_at < 1795496500
    assert nodes_of(version, "nodes-busy.out")["x2"].reason == "never installed"


def test_a_reason_of_two_lines_loses_its_colours_and_nothing_else() -> None:
    node = nodes_of("24.11.5", "nodes-epoch.out")["n4"]
    assert (node.reason, node.reason_by, node.reason_at) == ("line1 line2 | red", "root", 1795478125.0)
    assert node.detail["reservation"] == "maint"
    assert node.booted_at == 1795473010.0


LINE = "NodeName=n1 Arch=x86_64 CPUAlloc=0 CPUTot=8 Gres=gpu:4 NodeAddr=n1 NodeHostName=n1"
REST = "RealMemory=16000 AllocMem=0 State=IDLE Partitions=gpu BootTime=None CfgTRES=cpu=8"


@pytest.mark.parametrize(
    "free",
    [
        "Reason=x State=DOWN [root@1795478125]",
        "Comment=State=DOWN CPUTot=1 Reason=fake",
        "Extra={} State=DOWN\nState=DOWN",
    ],
)
def test_free_text_of_a_node_cannot_change_its_state(free: str) -> None:
    (node,) = read_nodes(f"{LINE} OS=Linux 6 {REST} {free}\n".encode()).nodes
    assert node.state is NodeState.UP
    assert node.cpus == 8


def test_an_operating_system_cannot_name_a_state() -> None:
    (node,) = read_nodes(f"{LINE} OS=Linux State=DOWN Partitions=evil RealMemory=1 AllocMem=1 {REST}\n".encode()).nodes
    assert node.state is NodeState.UP
    assert node.partitions == ("gpu",)
    assert node.detail["OS"] == "Linux State=DOWN Partitions=evil RealMemory=1 AllocMem=1"


def test_a_forged_line_does_not_replace_the_first_one_and_is_told() -> None:
    reader = NodeReader("lab", Place())
    text = f"{LINE} OS=Linux {REST} Comment=x\n{LINE} OS=x {REST.replace('IDLE', 'DOWN')}\n"
    (node,) = read_nodes(text.encode(), reader).nodes
    assert node.state is NodeState.UP
    assert reader.twice == ("n1",)


LONG = ("Größe der Läufe: 日本語 🚀 " * 200)[:4000]


def test_what_people_wrote_of_a_node_is_whole_to_4096_characters_and_no_longer() -> None:
    (node,) = read_nodes(f"{LINE} OS=Linux {REST} Reason={LONG} Comment={LONG} Extra={LONG}\n".encode()).nodes
    assert node.reason == node.detail["comment"] == node.detail["extra"] == LONG.strip()
    (node,) = read_nodes(f"{LINE} OS=Linux {REST} Comment={LONG * 1000} Extra={LONG * 1000}\n".encode()).nodes
    for label in ("comment", "extra"):
        assert len(node.detail[label]) == LIMIT_FREE
        assert node.detail[label].startswith(LONG)


def test_the_comment_of_a_job_is_whole_to_4096_characters_and_no_longer() -> None:
    (whole,) = read_jobs(row("7", "train", comment=LONG).encode()).jobs
    assert whole.comment == LONG
    (cut,) = read_jobs(row("7", "train", comment=LONG * 1000).encode()).jobs
    assert cut.comment is not None
    assert len(cut.comment) == LIMIT_FREE


@pytest.mark.parametrize("answer", [b"slurm_load_node error: something\n", b"NodeName=n1 CPUTot=8\n"])
def test_what_is_no_list_of_nodes_is_said(answer: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_nodes(answer)


def test_nodes_that_did_not_change_are_not_told_again(version: str) -> None:
    reader = NodeReader("lab", Place())
    answer = recorded(version, "nodes-busy.out")
    assert read_nodes(answer, reader).changed
    louder = answer.replace(b"CPULoad=0.48", b"CPULoad=9.99").replace(b"FreeMem=19", b"FreeMem=29")
    assert read_nodes(louder, reader).changed == ()
    listing = read_nodes(answer.replace(b"State=MIXED+DRAIN ", b"State=MIXED "), reader)
    assert [node.name for node in listing.changed] == ["n3"]
    lines = answer.splitlines(keepends=True)
    assert read_nodes(b"".join(lines[1:]), reader).gone == (lines[0].split()[0].decode().removeprefix("NodeName="),)


@pytest.mark.parametrize(
    ("rule", "addr", "host", "address"),
    [
        (AddressRule.HOSTNAME, "10.0.0.1", "gpu1.dc", "ssh:gpu1.dc"),
        (AddressRule.NAME, "10.0.0.1", "gpu1.dc", "ssh:n1"),
        (AddressRule.ADDR, "10.0.0.1", "gpu1.dc", "ssh:10.0.0.1"),
        (AddressRule.NONE, "10.0.0.1", "gpu1.dc", None),
        (AddressRule.HOSTNAME, "10.0.0.1", "login7.dc", "local"),
        (AddressRule.HOSTNAME, "127.0.0.1", "gpu1", "local"),
        (AddressRule.HOSTNAME, "10.0.0.1", "-oProxyCommand=id", None),
    ],
)
def test_how_a_node_is_reached(rule: AddressRule, addr: str, host: str, address: str | None) -> None:
    line = LINE.replace("NodeAddr=n1", f"NodeAddr={addr}").replace("NodeHostName=n1", f"NodeHostName={host}")
    reader = NodeReader("lab", Place(rule=rule, hostname="login7"))
    (node,) = read_nodes(f"{line} OS=Linux {REST}\n".encode(), reader).nodes
    assert node.address == address
    assert (node.address is None) == ("address" in node.missing)


# ---- the rest


def test_partitions(version: str) -> None:
    queues = {queue.name: queue for queue in parse.partitions(recorded(version, "partitions.out"), "lab")}
    assert set(queues) == {"gpu", "debug", "batch", "burst", "maintq"}
    gpu = queues["gpu"]
    assert (gpu.default, gpu.state, gpu.nodes, gpu.nodes_total, gpu.time_limit_s) == (True, "UP", "n[1-3]", 3, 86400.0)
    assert queues["maintq"].state == "DOWN"
    assert queues["burst"].time_limit_s is None
    assert queues["burst"].missing == {"time_limit_s": "unlimited"}


def test_reservations(version: str) -> None:
    found = {each.name: each for each in parse.reservations(recorded(version, "reservations.out"), "lab")}
    assert set(found) == {"maint1", "class"}
    assert found["maint1"].flags == ("MAINT", "IGNORE_JOBS", "SPEC_NODES")
    assert (found["maint1"].state, found["maint1"].nodes, found["maint1"].users) == ("ACTIVE", "n7", ("root",))
    assert found["class"].accounts == ("research",)
    assert (found["maint1"].node_names, found["class"].node_names) == (("n7",), ("n1", "n2"))
    (maint,) = parse.reservations(recorded(version, "reservation-epoch.out"), "lab")
    assert maint.starts_at is not None
    assert maint.ends_at == maint.starts_at + 3600
    assert parse.reservations(recorded(version, "reservations-none.out"), "lab") == ()


def test_a_reservation_whose_nodes_cannot_be_read_stands_without_them() -> None:
    for nodes in ("n[1-", "(null)", "n[1-999999999]"):
        (found,) = parse.reservations(f"ReservationName=r Nodes={nodes} State=ACTIVE".encode(), "lab")
        assert (found.name, found.node_names) == ("r", ())


def test_configuration_and_controllers(version: str) -> None:
    config = parse.config(recorded(version, "config.out"))
    assert (config.cluster_name, config.version, config.private) == ("lab", version, frozenset())
    (controller,) = config.controllers
    assert (controller.role, controller.host, controller.up) == ("primary", "vm", True)
    assert [each.up for each in parse.controllers(recorded(version, "ping-down.out"))] == [False]
    with pytest.raises(BadAnswer):
        parse.config(b"hello\n")


def test_private_data() -> None:
    config = parse.config(b"ClusterName = x\nPrivateData             = jobs,nodes\nSLURM_VERSION = 23.02.1\n")
    assert config.private == {"jobs", "nodes"}


def test_the_name_of_the_cluster_in_slurm_conf() -> None:
    assert parse.conf_cluster_name("# ClusterName=old\n  clustername = prod-a # x\n") == "prod-a"
    assert parse.conf_cluster_name("SlurmctldHost=a\n") is None


def test_counters(version: str) -> None:
    counters = parse.counters(recorded(version, "sdiag.out"))
    assert counters.since is not None
    assert counters.jobs["submitted"] == {"22.05.8": 72, "24.11.5": 71}[version]
    assert counters.requests["REQUEST_SUBMIT_BATCH_JOB"] == 55
    assert counters.requests["REQUEST_UPDATE_NODE"] == 10
    assert "root" not in counters.requests
    with pytest.raises(BadAnswer):
        parse.counters(b"hello\n")


def test_no_word_of_the_users_environment_reaches_a_command() -> None:
    argv = Commands(SlurmSettings(bin="/opt/slurm/bin"), "/etc/slurm/slurm.conf").queue("qx")
    assert argv[0] == "env"
    unset = {argv[index + 1] for index, word in enumerate(argv) if word == "-u"}
    assert {"SQUEUE_FORMAT", "SQUEUE_PARTITION", "SQUEUE_USERS", "SLURM_CLUSTERS", "SQUEUE_STATES"} <= unset
    assert {"LC_ALL=C", "SLURM_TIME_FORMAT=%s", "SLURM_CONF=/etc/slurm/slurm.conf"} <= set(argv)
    assert "/opt/slurm/bin/squeue" in argv
