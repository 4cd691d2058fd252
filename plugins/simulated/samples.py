"""What a probe would measure on a simulated node.

A sample depends on the world and its tick only, never on who asks or how often.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from console.model import Accelerator, AcceleratorProcess, Host, JobState, Link, Sample
from plugins.simulated.faults import PORTS
from plugins.simulated.layout import CPUS, MEMORY_BYTES, bus_id, uuids
from plugins.simulated.state import Fault, FaultKind, SimJob, SimNode
from plugins.simulated.tables import NOISE_SIZE, VARIANTS, Tables
from plugins.simulated.world import World

IDLE_W = 72.0
_LOST = "Unable to determine the device handle: GPU is lost"
_MASK = NOISE_SIZE - 1


class Phase(NamedTuple):
    """What a job does at one tick, on each of its nodes."""

    utilization: float
    """Percent."""
    power: float
    """Share of the power limit above idle, 0 to 1."""
    spread: float
    """Width of the noise of the utilisation."""
    network: int
    """0 to 50: gigabytes per second on every InfiniBand port."""
    read: int
    """0 to 10: data being loaded."""
    write: int
    """0 to 10: a checkpoint being written."""
    cpu: int
    """Percent of the cores it holds."""


_LEAVING = Phase(0.0, 0.02, 0.0, 0, 0, 0, 1)


class Sampler:
    """Makes samples of a world."""

    def __init__(self, world: World, tables: Tables) -> None:
        self._world = world
        self._tables = tables
        self._phases: dict[int, Phase] = {}
        self._phase_tick = -1
        self._bases: dict[int, tuple[int, tuple[Accelerator, ...], Host]] = {}

    def sample(self, node: SimNode, observed_at: float) -> Sample | None:
        """Return what the node's probe would say now; None when the node is down."""
        if node.down:
            return None
        tick = self._world.tick
        if tick != self._phase_tick:
            self._phase_tick = tick
            self._phases.clear()
        base = self._bases.get(node.at.index)
        if base is None or base[0] != node.version:
            base = self._bases[node.at.index] = (node.version, self._accelerators(node), self._host(node))
        _, accelerators, host = base
        stall = self._stall(node, tick)
        measured, cpu, network, read, write = self._measure(node, accelerators, tick, stall)
        salt = node.at.salt
        noise = self._tables.noise
        variant = (salt + tick * 5) % VARIANTS
        links = self._tables.links(network, min(10, read // 2 + (1 if cpu > 2 else 0)), variant)
        for fault in node.faults:
            if fault.kind in (FaultKind.LINK_FLAP, FaultKind.LINK_ERRORS, FaultKind.LINK_DEGRADED):
                links = _struck(links, fault, tick, salt)
        io = 8 if stall == "hung" else 5 if stall == "slow" else min(3, (read + write) // 4)
        load = cpu * CPUS / 100 + (24 if stall == "hung" else 0)
        return Sample(
            node=node.at.name,
            observed_at=observed_at,
            clock_offset_s=round(noise[salt & _MASK] * 0.002, 4),
            host=replace(
                host,
                cpu_percent=cpu + 0.1 * (salt % 10),
                cores_percent=self._tables.cores(cpu, salt + tick),
                load1=round(abs(load + noise[(salt + tick) & _MASK] * 1.5) + 0.4, 2),
                load5=round(load + 0.5, 2),
                load15=round(load * 0.97 + 0.5, 2),
                pressure=self._tables.pressure(io, cpu // 10),
                uptime_s=float(tick - node.booted),
                power_w=float(int(190 + cpu * 5.2 + noise[(salt * 3 + tick) & _MASK] * 6)),
            ),
            accelerators=tuple(measured),
            links=links,
            disks=self._tables.disks(min(10, write // 2 + read // 3), variant),
            mounts=self._tables.mounts(read, write, variant, stall),
        )

    # ---- inside

    def _stall(self, node: SimNode, tick: int) -> str:
        fault = self._world.faults.stalls.get(node.at.row)
        if fault is None:
            return ""
        over = (tick - fault.start) / (fault.end - fault.start)
        return "hung" if 0.3 < over < 0.7 else "slow"

    def _measure(
        self, node: SimNode, bases: tuple[Accelerator, ...], tick: int, stall: str
    ) -> tuple[list[Accelerator], int, int, int, int]:
        noise = self._tables.noise
        salt = node.at.salt
        ambient = node.at.ambient_c
        measured: list[Accelerator] = []
        sick = {fault.part % len(bases): fault for fault in node.faults if fault.kind in _GPU_FAULTS}
        network = read = write = 0
        cpu = 1.0
        share = 100.0 / len(bases) / 100.0
        for gpu, base in enumerate(bases):
            job = node.slots[gpu]
            fault = sick.get(gpu) if sick else None
            if fault is not None and fault.kind is FaultKind.GPU_LOST:
                measured.append(_lost(base))
                continue
            wobble = noise[(salt + gpu * 517 + tick * 31) & _MASK]
            if job is None:
                # Nothing runs: the readings stay put for some ticks, as they do on real ones.
                calm = noise[(salt + gpu * 517 + (tick >> 3)) & _MASK]
                watts = float(int(IDLE_W + calm * 2 + gpu))
                measured.append(
                    replace(
                        base,
                        power_w=watts,
                        temperature_c=float(int(ambient + 5 + calm)),
                        memory_temperature_c=float(int(ambient + 9 + calm)),
                    )
                )
                continue
            phase = self._phase(job, tick, stall)
            network = max(network, phase.network)
            read = max(read, phase.read)
            write = max(write, phase.write)
            cpu += phase.cpu * share
            use = phase.utilization + wobble * phase.spread
            power = phase.power
            limit = base.power_limit_w or 700.0
            clock = base.clock_max_mhz or 1980
            throttle: tuple[str, ...] = ()
            hotter = 0.0
            if fault is not None and fault.kind is FaultKind.SLOW_GPU and power > 0.1:
                throttle, hotter, clock, power, use = (
                    ("hw_slowdown", "hw_thermal"),
                    22.0,
                    1155,
                    power * 0.55,
                    use * 0.98 + 2,
                )
            elif fault is not None and fault.kind is FaultKind.STUCK_RANK:
                use = power = 0.0
            watts = IDLE_W + (limit - IDLE_W) * power + wobble * 9 * (power + 0.1)
            if watts > limit - 4:
                watts = limit - 4 + wobble
                throttle = (*throttle, "sw_power_cap")
                clock -= 90 + int(wobble * 20)
            watts = float(int(watts))
            celsius = ambient + 3 + watts * 0.052 + (gpu & 3) * 1.4 + hotter
            use = 0.0 if use < 0.5 else 100.0 if use > 100 else float(int(use))
            measured.append(
                replace(
                    base,
                    utilization_percent=use,
                    power_w=watts,
                    temperature_c=float(int(celsius)),
                    memory_temperature_c=float(int(celsius + 7)),
                    clock_mhz=clock - (clock % 15),
                    throttle=throttle,
                )
            )
        return measured, int(min(cpu, 100)), network, read, write

    def _phase(self, job: SimJob, tick: int, stall: str) -> Phase:
        key = job.number if not stall else -job.number
        phase = self._phases.get(key)
        if phase is None:
            phase = self._make_phase(job, tick)
            if stall and phase.utilization > 0:
                phase = _starved(phase, stall)
            phase = self._phases[key] = phase if stall else self._dragged(job, phase)
        return phase

    def _make_phase(self, job: SimJob, tick: int) -> Phase:
        if job.state is JobState.COMPLETING:
            return _LEAVING
        noise = self._tables.noise
        number = job.number
        age = tick - job.start
        wobble = noise[(number * 13 + tick) & _MASK]
        slow = noise[(number * 7 + (tick >> 5)) & _MASK]
        kind = job.profile.name
        if kind in ("pretrain", "finetune", "burst"):
            if age < 25:
                return Phase(2.0 if age > 10 else 0.0, 0.05, 1.0, 0, 9, 0, 30)
            alone = job.node_count == 1
            every = 240 + number % 300
            writing = 9 if kind == "pretrain" else 5
            if age % every < writing:
                return Phase(8.0, 0.12, 4.0, 0 if alone else 1, 0, 9, 12)
            if number % 17 == 0 and (tick >> 4) % 3 == 0:
                return Phase(48.0 + wobble * 14, 0.45, 9.0, 0 if alone else 12, 6, 0, 55)
            network = 0 if alone else min(48, 18 + job.node_count // 2 + int(wobble * 4))
            return Phase(97.0 + wobble, 0.93 + slow * 0.03, 1.2, network, 1 + number % 3, 0, 9)
        if kind == "sweep":
            return Phase(74.0 + slow * 10 + wobble * 5, 0.58 + slow * 0.08, 6.0, 0, 2, 0, 20)
        if kind == "inference":
            busy = 46.0 + slow * 22
            return Phase(max(0.0, busy + wobble * 9), max(0.1, 0.35 + slow * 0.12), 5.0, 0, 0, 0, 6)
        if kind == "notebook":
            if noise[(number * 29 + (tick >> 5)) & _MASK] < 0.8:
                return Phase(0.0, 0.03, 0.0, 0, 0, 0, 1)
            return Phase(35.0 + wobble * 18, 0.3, 8.0, 0, 0, 0, 8)
        return Phase(82.0 + wobble * 8, 0.62, 7.0, 0, 3, 0, 15)

    def _dragged(self, job: SimJob, phase: Phase) -> Phase:
        """Everybody waits for the slowest: a slow or stuck GPU costs all ranks of its job."""
        if phase.utilization <= 0 or job.gpus < 2:
            return phase
        nodes = self._world.nodes
        for index in job.nodes:
            for fault in nodes[index].faults:
                if nodes[index].slots[fault.part % len(nodes[index].slots)] is not job:
                    continue
                if fault.kind is FaultKind.SLOW_GPU:
                    return phase._replace(
                        utilization=max(phase.utilization - 9, 1.0), power=phase.power * 0.72, spread=5.0
                    )
                if fault.kind is FaultKind.STUCK_RANK:
                    # Ranks that wait in a collective spin: busy by the counter, idle by the power meter.
                    return phase._replace(utilization=100.0, power=0.16, spread=0.0, network=0, read=0)
        return phase

    def _accelerators(self, node: SimNode) -> tuple[Accelerator, ...]:
        """Return the GPUs of a node as far as they hold still between changes of jobs and faults."""
        kind = node.at.kind
        noise = self._tables.noise
        found: list[Accelerator] = []
        errors = {
            fault.part % len(node.slots): 1 + fault.part % 5 for fault in node.faults if fault.kind is FaultKind.ECC
        }
        for gpu, identity in enumerate(uuids(node.at, len(node.slots))):
            job = node.slots[gpu]
            processes: tuple[AcceleratorProcess, ...] = ()
            used = 4 << 20
            if job is not None and job.state is JobState.RUNNING:
                filled = 0.86 if job.profile.whole else 0.55
                held = int(kind.memory_bytes * (filled + 0.05 * noise[(job.number + gpu) & _MASK]))
                pid = 4000 + (job.number * 37 + gpu * 101) % 4_000_000
                processes = (
                    AcceleratorProcess(
                        pid=pid, user=job.user, command=job.profile.command, memory_bytes=held, job=job.id
                    ),
                )
                used += held
            found.append(
                Accelerator(
                    index=gpu,
                    uuid=identity,
                    vendor="nvidia",
                    model=kind.model,
                    bus_id=bus_id(gpu),
                    utilization_percent=0.0,
                    memory_used_bytes=used,
                    memory_total_bytes=kind.memory_bytes,
                    power_w=IDLE_W,
                    power_limit_w=kind.power_limit_w,
                    temperature_c=node.at.ambient_c,
                    clock_mhz=345,
                    clock_max_mhz=kind.clock_max_mhz,
                    ecc_uncorrected=errors.get(gpu, 0),
                    ecc_corrected=(node.at.salt + gpu * 7) % 23 // 21,
                    pcie_generation=5,
                    pcie_width=16,
                    mig=False,
                    processes=processes,
                )
            )
        return tuple(found)

    def _host(self, node: SimNode) -> Host:
        used = len(node.slots) - node.free
        spare = MEMORY_BYTES - (38 << 30) - used * ((90 + node.at.salt % 60) << 30)
        return Host(
            hostname=node.at.name,
            kernel="5.14.0-503.40.1.el9_5.x86_64",
            os="Rocky Linux 9.5 (Blue Onyx)",
            cpus=CPUS,
            memory_total_bytes=MEMORY_BYTES,
            memory_available_bytes=spare,
            swap_total_bytes=0,
            swap_free_bytes=0,
        )


_GPU_FAULTS = (FaultKind.GPU_LOST, FaultKind.SLOW_GPU, FaultKind.STUCK_RANK)


def _lost(base: Accelerator) -> Accelerator:
    """Return a GPU that has fallen off the bus: known by name, silent about everything else."""
    silent = (
        "utilization_percent",
        "memory_used_bytes",
        "power_w",
        "temperature_c",
        "clock_mhz",
        "ecc_uncorrected",
    )
    return Accelerator(
        index=base.index,
        uuid=base.uuid,
        vendor=base.vendor,
        model=base.model,
        bus_id=base.bus_id,
        state="lost",
        missing=dict.fromkeys(silent, _LOST),
    )


def _starved(phase: Phase, stall: str) -> Phase:
    """Return a phase whose data does not come."""
    if stall == "hung":
        return phase._replace(utilization=0.0, power=0.06, spread=0.0, network=0, read=0, write=0, cpu=2)
    return phase._replace(utilization=phase.utilization * 0.35, power=phase.power * 0.4, spread=12.0, read=1, write=0)


def _struck(links: tuple[Link, ...], fault: Fault, tick: int, salt: int) -> tuple[Link, ...]:
    """Return the ports with one of them sick. The first port is Ethernet and stays well."""
    port = 1 + fault.part % PORTS
    link = links[port]
    age = tick - fault.start
    if fault.kind is FaultKind.LINK_DEGRADED:
        half = link.rate_bits_per_s // 2 if link.rate_bits_per_s else None
        cap = 24.6e9
        link = replace(
            link,
            rate_bits_per_s=half,
            rx_bytes_per_s=min(link.rx_bytes_per_s or 0.0, cap),
            tx_bytes_per_s=min(link.tx_bytes_per_s or 0.0, cap),
        )
    elif fault.kind is FaultKind.LINK_ERRORS:
        rate = 2 + fault.part % 180
        link = replace(link, errors_per_s=float(rate + (tick * 7 + salt) % 5), errors=rate * max(age, 1))
    else:
        flips = age // 9
        if flips % 3 == 0:
            link = replace(link, state="down", rx_bytes_per_s=0.0, tx_bytes_per_s=0.0, errors=flips * 14)
        else:
            link = replace(link, errors=flips * 14, errors_per_s=1.5, drops_per_s=float(fault.part % 4))
    return (*links[:port], link, *links[port + 1 :])
