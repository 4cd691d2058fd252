"""What a probe measured on one node at one moment."""

from __future__ import annotations

import enum

from console.model.base import Record


class Pressure(Record, frozen=True):
    """Share of the last ten seconds in which some (`*_full`: all) tasks waited, percent (`/proc/pressure`)."""

    cpu: float | None = None
    memory: float | None = None
    io: float | None = None
    memory_full: float | None = None
    io_full: float | None = None


class Host(Record, frozen=True):
    """The machine itself."""

    hostname: str | None = None
    kernel: str | None = None
    os: str | None = None
    cpus: int | None = None
    cpu_percent: float | None = None
    """Busy share of all cores over the last interval; None on the first tick."""
    cores_percent: tuple[int, ...] = ()
    """The same per core, rounded."""
    load1: float | None = None
    load5: float | None = None
    load15: float | None = None
    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None
    pressure: Pressure | None = None
    uptime_s: float | None = None
    power_w: float | None = None
    """CPU packages and memory as RAPL counts them."""
    missing: dict[str, str] = {}


class AcceleratorProcess(Record, frozen=True):
    """A process that holds memory or time of an accelerator."""

    pid: int
    user: str | None = None
    command: str | None = None
    memory_bytes: int | None = None
    job: str | None = None
    """Job id or pod, from its cgroup or SLURM_JOB_ID."""


class Accelerator(Record, frozen=True):
    """One GPU or other accelerator."""

    index: int
    uuid: str | None = None
    vendor: str | None = None
    """nvidia | amd | habana"""
    model: str | None = None
    bus_id: str | None = None
    state: str = "ok"
    """ok | lost | error"""
    utilization_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    memory_temperature_c: float | None = None
    clock_mhz: int | None = None
    clock_max_mhz: int | None = None
    throttle: tuple[str, ...] = ()
    """Why it runs below its clocks: sw_power_cap, hw_slowdown, sw_thermal, hw_thermal, power_brake, …"""
    ecc_uncorrected: int | None = None
    """Since the driver was loaded (volatile)."""
    ecc_corrected: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    mig: bool | None = None
    mig_devices: int | None = None
    processes: tuple[AcceleratorProcess, ...] = ()
    missing: dict[str, str] = {}


class LinkKind(enum.StrEnum):
    """What a network link is."""

    ETHERNET = "ethernet"
    INFINIBAND = "infiniband"
    ROCE = "roce"


class Link(Record, frozen=True):
    """One network port."""

    name: str
    """`eth0`, or `mlx5_0/1` for port 1 of an RDMA device."""
    kind: LinkKind
    state: str | None = None
    """up | down | init | armed | unknown"""
    rate_bits_per_s: int | None = None
    rx_bytes_per_s: float | None = None
    tx_bytes_per_s: float | None = None
    errors_per_s: float | None = None
    drops_per_s: float | None = None
    errors: int | None = None
    """Since boot."""
    drops: int | None = None
    mtu: int | None = None
    device: str | None = None
    """The network interface of an RDMA port, or the RDMA device of an interface."""
    missing: dict[str, str] = {}


class Disk(Record, frozen=True):
    """One block device."""

    name: str
    model: str | None = None
    size_bytes: int | None = None
    read_bytes_per_s: float | None = None
    write_bytes_per_s: float | None = None
    busy_percent: float | None = None
    missing: dict[str, str] = {}


class MountState(enum.StrEnum):
    """How a mount is doing."""

    OK = "ok"
    UNCHECKED = "unchecked"
    """Of a kind that a question may hang on, and nothing else tells."""
    SLOW = "slow"
    HUNG = "hung"


class Mount(Record, frozen=True):
    """One mounted file system that holds data."""

    path: str
    source: str
    type: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    state: MountState = MountState.UNCHECKED
    network: bool = False
    rtt_s: float | None = None
    """NFS: round trip of the requests of the last interval."""
    ops_per_s: float | None = None
    read_bytes_per_s: float | None = None
    write_bytes_per_s: float | None = None
    retransmits_per_s: float | None = None
    missing: dict[str, str] = {}


class ProbeCost(Record, frozen=True):
    """What the probe itself costs and how it reads."""

    cpu_percent: float | None = None
    """Of one core."""
    bytes_per_s: float | None = None
    rss_bytes: int | None = None
    python: str | None = None
    accelerators: str | None = None
    """nvml | nvidia-smi | amdgpu sysfs | hl-smi | none"""
    period_s: float | None = None
    """The pace it keeps now; longer than asked when it was over its budget."""


class Sample(Record, frozen=True):
    """All that one probe saw of its node in one tick. Rates are None on the first tick of a connection."""

    node: str
    observed_at: float
    """Unix seconds of this console's clock, when the sample arrived."""
    clock_offset_s: float | None = None
    """The node's clock minus this console's."""
    host: Host | None = None
    accelerators: tuple[Accelerator, ...] = ()
    links: tuple[Link, ...] = ()
    disks: tuple[Disk, ...] = ()
    mounts: tuple[Mount, ...] = ()
    cost: ProbeCost | None = None
    missing: dict[str, str] = {}
    """Whole sensors that are not there or broke: `accelerators`, `links`, `host`, … to the reason."""
