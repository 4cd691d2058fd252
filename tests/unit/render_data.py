"""A small store with everything in it that a screen must be able to show."""

from __future__ import annotations

import msgspec

from console.model import (
    Accelerator,
    AcceleratorProcess,
    Actor,
    ArrayPart,
    Attempt,
    Batch,
    Call,
    Cluster,
    ClusterKind,
    Disk,
    Finding,
    Host,
    Job,
    JobState,
    Link,
    LinkKind,
    Mount,
    MountState,
    Node,
    NodeState,
    Order,
    OutcomeState,
    Plan,
    Pressure,
    ProbeCost,
    Records,
    Sample,
    Severity,
    SourceState,
    SourceStatus,
    Step,
    StepOutcome,
)
from console.store import Store

NOW = 1_795_479_505.0
"""2026-11-24T00:18:25Z"""
GIB = 1 << 30
TIB = 1 << 40


def gpu(index: int, percent: float | None = 97.0, **more: object) -> Accelerator:
    """An H100 at work."""
    values: dict[str, object] = {
        "index": index,
        "uuid": f"GPU-{index}",
        "vendor": "nvidia",
        "model": "NVIDIA H100 80GB HBM3",
        "utilization_percent": percent,
        "memory_used_bytes": 71 * GIB,
        "memory_total_bytes": 80 * GIB,
        "power_w": 688.0,
        "power_limit_w": 700.0,
        "temperature_c": 64.0,
        "clock_mhz": 1980,
        "ecc_uncorrected": 0,
        **more,
    }
    return Accelerator(**values)  # type: ignore[arg-type]


def source(name: str, state: SourceState = SourceState.OK, **more: object) -> SourceStatus:
    """A source of the cluster `lab`."""
    values: dict[str, object] = {
        "name": name,
        "kind": "slurm",
        "cluster": "lab",
        "state": state,
        "since": NOW - 600,
        "observed_at": NOW - 1,
        "period_s": 2.0,
        **more,
    }
    return SourceStatus(**values)  # type: ignore[arg-type]


def sample_of_gpu01() -> Sample:
    """Eight GPUs (one lost, one without power reading), links, mounts, disks."""
    process = AcceleratorProcess(pid=4242, user="alice", command="python train.py", memory_bytes=70 * GIB, job="8812")
    gpus = [gpu(index, processes=(process,)) for index in range(6)]
    gpus.append(gpu(6, 12.0, power_w=None, missing={"power_w": "not supported by this device"}))
    gpus.append(Accelerator(index=7, state="lost", missing={"utilization_percent": "GPU is lost"}))
    return Sample(
        node="gpu01",
        observed_at=NOW - 1,
        host=Host(
            hostname="gpu01",
            kernel="6.1.0",
            cpus=64,
            cpu_percent=12.5,
            cores_percent=(10, 20, 100, 0),
            load1=8.25,
            load5=8.0,
            load15=7.5,
            memory_total_bytes=TIB,
            memory_available_bytes=TIB // 2,
            pressure=Pressure(cpu=1.0, memory=0.0),
            uptime_s=90_000.0,
            missing={"power_w": "RAPL is readable by root only"},
        ),
        accelerators=tuple(gpus),
        links=(
            Link(name="eth0", kind=LinkKind.ETHERNET, state="up", rate_bits_per_s=25 * 10**9, rx_bytes_per_s=1e6,
                 tx_bytes_per_s=2e6, errors_per_s=0.0, drops_per_s=3.0, errors=0, drops=17),
            Link(name="mlx5_0/1", kind=LinkKind.INFINIBAND, state="up", rate_bits_per_s=400 * 10**9,
                 rx_bytes_per_s=40e9, tx_bytes_per_s=38e9, errors_per_s=0.0, drops_per_s=0.0, device="ib0"),
            Link(name="ib0", kind=LinkKind.ETHERNET, state="up", rx_bytes_per_s=5e6, tx_bytes_per_s=5e6),
            Link(name="mlx5_1/1", kind=LinkKind.INFINIBAND, state="down"),
        ),
        disks=(Disk(name="nvme0n1", model="PM9A3", size_bytes=4 * TIB, read_bytes_per_s=1e9, busy_percent=60.0),),
        mounts=(
            Mount(path="/", source="/dev/nvme0n1p2", type="ext4", total_bytes=TIB, free_bytes=TIB // 20,
                  state=MountState.OK),
            Mount(path="/home", source="nfs:/home", type="nfs4", state=MountState.HUNG, network=True, rtt_s=61.0,
                  missing={"total_bytes": "never asked of a network mount"}),
        ),
        cost=ProbeCost(cpu_percent=0.4, bytes_per_s=900.0, python="3.9.2", accelerators="nvml"),
    )  # fmt: skip


def nodes_of_lab() -> tuple[Node, ...]:
    """Busy, idle, drained, down."""
    common = {"cluster": "lab", "partitions": ("gpu", "all"), "cpus": 64, "memory_total_bytes": TIB}
    return (
        Node(name="gpu01", state=NodeState.BUSY, scheduler_state="ALLOCATED", accelerators_total=8,
             accelerators_allocated=8, cpus_allocated=64, rack="r1", **common),  # type: ignore[arg-type]
        Node(name="gpu2", state=NodeState.UP, scheduler_state="IDLE", accelerators_total=8,
             accelerators_allocated=0, cpus_allocated=0, rack="r1", **common),  # type: ignore[arg-type]
        Node(name="gpu10", state=NodeState.DRAINED, scheduler_state="IDLE+DRAIN", reason="bad nvlink [x] 模",
             reason_by="root", reason_at=NOW - 3600, accelerators_total=8, rack="r2", **common),  # type: ignore[arg-type]
        Node(name="cpu01", state=NodeState.DOWN, scheduler_state="DOWN*", reason="Not responding",
             accelerators_total=0, **{**common, "partitions": ("all",)}),  # type: ignore[arg-type]
    )  # fmt: skip


def jobs_of_lab() -> tuple[Job, ...]:
    """Running, pending (an array), held, failed."""
    return (
        Job(id="8812", cluster="lab", name="train llm", user="alice", account="ml", state=JobState.RUNNING,
            scheduler_state="RUNNING", queue="gpu", nodes="gpu01", node_names=("gpu01",), node_count=1,
            accelerators=8, submitted_at=NOW - 7200, started_at=NOW - 3600, ends_at=NOW + 300,
            time_limit_s=3900.0, priority=1000),
        Job(id="8813_[1-9]", cluster="lab", name="sweep", user="bob", state=JobState.PENDING,
            scheduler_state="PENDING", reason="Resources", queue="gpu", accelerators=16, submitted_at=NOW - 60,
            expected_start_at=NOW + 7200, array=ArrayPart(id="8813", tasks=9, pending=9),
            missing={"time_limit_s": "unlimited"}),
        Job(id="8814", cluster="lab", name="", user="carol", state=JobState.HELD, reason="JobHeldUser"),
        Job(id="9000", cluster="lab", name="x", user="alice", state=JobState.FAILED, reason="NonZeroExitCode",
            started_at=NOW - 500, ends_at=NOW - 400, exit_code=3),
    )  # fmt: skip


def lab() -> Store:
    """A Slurm cluster of four nodes, one of them measured, one whose probe is refused."""
    store = Store()
    store.apply(
        Batch(
            status=source("slurm:lab/nodes", requests_per_minute=2.0, latency_s=0.02),
            records=Records(
                cluster=Cluster(name="lab", kind=ClusterKind.SLURM, version="24.11.5"),
                nodes=nodes_of_lab(),
                complete=("nodes",),
            ),
        )
    )
    store.apply(Batch(status=source("slurm:lab/jobs"), records=Records(jobs=jobs_of_lab(), complete=("jobs",))))
    probe = source("ssh:gpu01", kind="ssh", node="gpu01", cpu_percent=0.4, detail="python 3.9, nvml")
    store.apply(Batch(status=probe, records=Records(samples=(sample_of_gpu01(),))))
    denied = source("ssh:gpu2", SourceState.DENIED, kind="ssh", node="gpu2", error="Permission denied (publickey)",
                    hint="add your key there", observed_at=None)  # fmt: skip
    store.apply(Batch(status=denied))
    waiting = source("ssh:gpu10", SourceState.CONNECTING, kind="ssh", node="gpu10", observed_at=None)
    store.apply(Batch(status=waiting))
    finding = Finding(id="f1", severity=Severity.CRITICAL, title="GPU 7 is lost", evidence="Xid 79", nodes=("gpu01",),
                      cause="fallen off the bus", action="drain gpu01", since=NOW - 60)  # fmt: skip
    store.apply(Batch(status=source("slurm:lab/nodes", requests_per_minute=2.0), records=Records(findings=(finding,))))
    store.keep_attempts({attempt.id: attempt for attempt in attempts_of_lab()})
    return store


def attempts_of_lab() -> tuple[Attempt, ...]:
    """One drain that went well, and one whose console ended within it."""
    by = Actor(user="ann", uid=1000, host="login1", pid=7, tty="/dev/pts/3", origin="10.0.0.9")
    order = Order(action="drain", cluster="lab", names=("gpu2", "gpu10"), reason="INC-4711 DIMM errors", by="ann")
    step = Step(cluster="lab", names=order.names, run=Call(argv=("scontrol", "update")), text="drain gpu[2,10]")
    plan = Plan(id="1124-100000-aaaa", action="drain", made_at=NOW - 900, orders=(order,), steps=(step,))
    done = tuple(StepOutcome(cluster="lab", target=name, state=OutcomeState.DONE) for name in order.names)
    other = msgspec.structs.replace(plan, id="1124-100500-bbbb", action="resume")
    return (
        Attempt(id=plan.id, by=by, plan=plan, reason=order.reason, started_at=NOW - 900, begun=(0,), outcomes=done,
                finished=(0,), ended_at=NOW - 899, ended="done"),
        Attempt(id=other.id, by=by, plan=other, reason=None, started_at=NOW - 600, begun=(0,)),
    )  # fmt: skip
