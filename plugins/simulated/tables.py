"""Sub-records that are alike on many nodes, made once and shared: ports, disks, mounts, cores.

A level of load and a variant choose an entry. Entries are made when they are first asked for, always the same
for the same seed. So a tick of a thousand nodes makes only what is truly of one node.
"""

from __future__ import annotations

import random

from console.model import Disk, Link, LinkKind, Mount, MountState, Pressure
from plugins.simulated.layout import CPUS

NOISE_SIZE = 4096
VARIANTS = 8
NDR = 400_000_000_000
"""Bits per second of an InfiniBand NDR port."""
LEVELS = 50
"""Of traffic: one step is one gigabyte per second and port."""


class Tables:
    """Shared sub-records of one simulation."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"tables:{seed}")
        self.noise = [max(-2.5, min(2.5, rng.gauss(0, 1))) for _ in range(NOISE_SIZE)]
        """Normal noise of width 1, cut at 2.5. Index it modulo NOISE_SIZE."""
        self._seed = seed
        self._links: dict[tuple[int, int, int], tuple[Link, ...]] = {}
        self._disks: dict[tuple[int, int], tuple[Disk, ...]] = {}
        self._mounts: dict[tuple[int, int, int, str], tuple[Mount, ...]] = {}
        self._cores: dict[int, tuple[int, ...]] = {}
        self._pressures: dict[tuple[int, int], Pressure] = {}

    def _rng(self, *key: object) -> random.Random:
        return random.Random(f"{self._seed}:{key}")

    def links(self, level: int, ethernet: int, variant: int) -> tuple[Link, ...]:
        """Return an Ethernet port at `ethernet` (0-10) and eight InfiniBand ports at `level` (0-LEVELS)."""
        key = (level, ethernet, variant)
        found = self._links.get(key)
        if found is None:
            found = self._links[key] = tuple(self._make_links(key))
        return found

    def _make_links(self, key: tuple[int, int, int]) -> list[Link]:
        level, ethernet, _ = key
        rng = self._rng("links", key)
        links = [
            Link(
                name="bond0",
                kind=LinkKind.ETHERNET,
                state="up",
                rate_bits_per_s=200_000_000_000,
                rx_bytes_per_s=float(int(2e4 + ethernet * 9e8 * (0.9 + 0.2 * rng.random()))),
                tx_bytes_per_s=float(int(3e4 + ethernet * 6e7 * (0.9 + 0.2 * rng.random()))),
                errors_per_s=0.0,
                drops_per_s=0.0,
                errors=0,
                drops=rng.randrange(3),
                mtu=9000,
            )
        ]
        for port in range(8):
            rate = level * 1e9 * (0.96 + 0.08 * rng.random()) if level else 150.0 * rng.random()
            links.append(
                Link(
                    name=f"mlx5_{port}/1",
                    kind=LinkKind.INFINIBAND,
                    state="up",
                    rate_bits_per_s=NDR,
                    rx_bytes_per_s=float(int(min(rate, 49.2e9))),
                    tx_bytes_per_s=float(int(min(rate * (0.98 + 0.04 * rng.random()), 49.2e9))),
                    errors_per_s=0.0,
                    drops_per_s=0.0,
                    errors=0,
                    drops=0,
                    mtu=4096,
                    device=f"ib{port}",
                )
            )
        return links

    def disks(self, level: int, variant: int) -> tuple[Disk, ...]:
        """Return the block devices of a node; `level` (0 to 10) of work on the data disks."""
        key = (level, variant)
        found = self._disks.get(key)
        if found is None:
            rng = self._rng("disks", key)
            rates = [level * 6e8 * (0.8 + 0.4 * rng.random()) for _ in range(2)]
            found = self._disks[key] = (
                Disk(
                    name="nvme0n1",
                    model="SAMSUNG MZ1L21T9HCLS",
                    size_bytes=1_920_383_410_176,
                    read_bytes_per_s=0.0,
                    write_bytes_per_s=float(rng.randrange(4000, 90000)),
                    busy_percent=float(rng.randrange(2)),
                ),
                Disk(
                    name="md0",
                    model=None,
                    size_bytes=30_725_970_919_424,
                    read_bytes_per_s=float(int(rates[0])),
                    write_bytes_per_s=float(int(rates[1] * 0.4)),
                    busy_percent=float(min(100, int(level * 8 + rng.random() * 6))),
                    missing={"model": "a software array"},
                ),
            )
        return found

    def mounts(self, read: int, write: int, variant: int, stall: str = "") -> tuple[Mount, ...]:
        """Return the mounts of a node. `read` and `write` 0 to 10; `stall` empty, `slow` or `hung`."""
        key = (read, write, variant, stall)
        found = self._mounts.get(key)
        if found is None:
            found = self._mounts[key] = tuple(self._make_mounts(key))
        return found

    def _make_mounts(self, key: tuple[int, int, int, str]) -> list[Mount]:
        read, write, _, stall = key
        rng = self._rng("mounts", key)
        tb = 10**12
        state, rtt, retransmits = MountState.OK, round(0.0004 + 0.0012 * rng.random() + read * 2e-4, 5), 0.0
        slower = 1.0
        silent = {"total_bytes": "not asked of a network mount"}
        if stall == "slow":
            state, rtt, retransmits, slower = (
                MountState.SLOW,
                round(0.2 + 2.2 * rng.random(), 3),
                round(rng.random() * 3, 1),
                0.05,
            )
        elif stall == "hung":
            state, slower = MountState.HUNG, 0.0
            silent["rtt_s"] = "no request was answered in this interval"
        return [
            Mount(
                path="/",
                source="/dev/nvme0n1p2",
                type="ext4",
                total_bytes=1_760 * 10**9,
                free_bytes=(1_100 + rng.randrange(200)) * 10**9,
                state=MountState.OK,
            ),
            Mount(
                path="/raid",
                source="/dev/md0",
                type="xfs",
                total_bytes=30 * tb,
                free_bytes=(8 + rng.randrange(16)) * tb,
                state=MountState.OK,
            ),
            Mount(
                path="/home",
                source="nfs-home.cluster:/export/home",
                type="nfs4",
                network=True,
                state=state,
                rtt_s=None if stall == "hung" else rtt,
                ops_per_s=float(int(40 * rng.random() * slower)),
                read_bytes_per_s=float(int(2e6 * rng.random() * slower)),
                write_bytes_per_s=float(int(8e5 * rng.random() * slower)),
                retransmits_per_s=retransmits,
                missing=silent,
            ),
            Mount(
                path="/datasets",
                source="nfs-data.cluster:/export/datasets",
                type="nfs4",
                network=True,
                state=state,
                rtt_s=None if stall == "hung" else rtt,
                ops_per_s=float(int((5 + read * 900) * slower)),
                read_bytes_per_s=float(int(read * 9e8 * slower * (0.9 + 0.2 * rng.random()))),
                write_bytes_per_s=0.0,
                retransmits_per_s=retransmits,
                missing=silent,
            ),
            Mount(
                path="/scratch",
                source="10.12.0.4@o2ib:10.12.0.5@o2ib:/scratch",
                type="lustre",
                network=True,
                total_bytes=8_400 * tb,
                free_bytes=(900 + rng.randrange(60)) * tb,
                state=MountState.OK,
                ops_per_s=float(rng.randrange(20) + write * 400),
                read_bytes_per_s=float(int(1e5 * rng.random())),
                write_bytes_per_s=float(int(write * 1.4e9 * (0.9 + 0.2 * rng.random()))),
                missing={"rtt_s": "lustre does not report it here"},
            ),
        ]

    def cores(self, percent: int, variant: int) -> tuple[int, ...]:
        """Return the load of every core, `percent` on average."""
        table = self._cores.get(percent)
        if table is None:
            noise = self.noise
            table = self._cores[percent] = tuple(
                [max(0, min(100, int(percent * (1 + 0.5 * noise[at * 7 % NOISE_SIZE])))) for at in range(CPUS + 64)]
            )
        start = variant % 64
        return table[start : start + CPUS]

    def pressure(self, io: int, cpu: int) -> Pressure:
        """Return pressures; both 0 to 10, tens of percent."""
        key = (io, cpu)
        found = self._pressures.get(key)
        if found is None:
            rng = self._rng("pressure", key)
            found = self._pressures[key] = Pressure(
                cpu=round(cpu * 1.5 + rng.random() * 0.4, 2),
                memory=0.0,
                io=round(min(99.0, io * 9.5 + rng.random() * 0.5), 2),
                memory_full=0.0,
                io_full=round(min(97.0, io * 7.5 + rng.random() * 0.3), 2),
            )
        return found
