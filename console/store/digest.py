"""One pass over a sample: its row for the history and its share of the fleet totals."""

from __future__ import annotations

from array import array
from math import nan
from typing import NamedTuple

from console.model import Link, LinkKind, MountState, Sample
from console.store.view import BUSY_PERCENT

NODE_SERIES = (
    "cpu_percent",
    "memory_percent",
    "load1",
    "power_w",
    "utilization_percent",
    "accelerator_memory_percent",
    "rx_bytes_per_s",
    "tx_bytes_per_s",
    "read_bytes_per_s",
    "write_bytes_per_s",
    "nfs_rtt_s",
    "nfs_read_bytes_per_s",
    "nfs_write_bytes_per_s",
)
"""Of a node: means over its accelerators, sums over its links, disks and mounts, the slowest mount's round trip."""
ACCELERATOR_SERIES = ("utilization_percent", "memory_used_bytes", "power_w", "temperature_c")
"""Of one accelerator; `index` is its index."""
LINK_SERIES = ("rx_bytes_per_s", "tx_bytes_per_s")
"""Of one link; `index` is its name."""
FLEET_SERIES = ("utilization_percent", "power_w", "traffic_bytes_per_s", "gpus_busy")
"""Of the whole fleet."""


class Layout:
    """Which column of a row is what: one object for all nodes of the same shape."""

    __slots__ = ("accelerators", "links", "width")

    def __init__(self, accelerators: tuple[int, ...], links: tuple[str, ...]) -> None:
        self.accelerators = accelerators
        self.links = links
        self.width = len(NODE_SERIES) + len(accelerators) * len(ACCELERATOR_SERIES) + len(links) * len(LINK_SERIES)

    def column(self, series: str, index: int | str | None = None) -> int | None:
        """Return the column of a series; None when there is no such."""
        base = len(NODE_SERIES)
        if index is None:
            return NODE_SERIES.index(series) if series in NODE_SERIES else None
        if isinstance(index, int):
            if series not in ACCELERATOR_SERIES or index not in self.accelerators:
                return None
            place = self.accelerators.index(index) * len(ACCELERATOR_SERIES)
            return base + place + ACCELERATOR_SERIES.index(series)
        if series not in LINK_SERIES or index not in self.links:
            return None
        base += len(self.accelerators) * len(ACCELERATOR_SERIES)
        return base + self.links.index(index) * len(LINK_SERIES) + LINK_SERIES.index(series)

    def unknown(self) -> array[float]:
        """Return a row of which nothing is known."""
        return array("f", [nan]) * self.width

    def names(self) -> list[tuple[str, int | str | None]]:
        """Return what each column is, in order."""
        return [
            *((series, None) for series in NODE_SERIES),
            *((series, index) for index in self.accelerators for series in ACCELERATOR_SERIES),
            *((series, name) for name in self.links for series in LINK_SERIES),
        ]


class Layouts:
    """The layouts in use, each once."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, ...], tuple[str, ...]], Layout] = {}

    def of(self, sample: Sample) -> Layout:
        """Return the layout of a sample."""
        shape = (
            tuple([gpu.index for gpu in sample.accelerators]),
            tuple([link.name for link in sample.links]),
        )
        layout = self._known.get(shape)
        if layout is None:
            if len(self._known) > 4096:  # only nodes that rename their links for ever come here
                self._known.clear()
            layout = self._known[shape] = Layout(*shape)
        return layout


class Share(NamedTuple):
    """What one sample adds to the totals. Whole numbers: adding and taking away leaves nothing behind."""

    gpus: int = 0
    gpus_working: int = 0
    gpus_sick: int = 0
    gpus_measured: int = 0
    utilization_sum: int = 0
    """Hundredths of a percent."""
    power_known: int = 0
    power_mw: int = 0
    traffic_known: int = 0
    traffic_bytes_per_s: int = 0
    links_down: int = 0
    mounts_bad: int = 0
    measured: int = 0


NO_SHARE = Share()


def digest(sample: Sample) -> tuple[array[float], Share]:
    """Return the row of a sample, in the order of its layout, and what it adds to the totals."""
    row = array("f", _UNKNOWN)
    working = sick = measured = 0
    utilization = gpu_power = 0.0
    power_known = False
    used = size = 0
    for gpu in sample.accelerators:
        percent, memory, watts = gpu.utilization_percent, gpu.memory_used_bytes, gpu.power_w
        if percent is not None:
            measured += 1
            utilization += percent
            if percent >= BUSY_PERCENT:
                working += 1
        if watts is not None:
            power_known = True
            gpu_power += watts
        if memory is not None and gpu.memory_total_bytes is not None:
            used += memory
            size += gpu.memory_total_bytes
        if gpu.state != "ok" or gpu.ecc_uncorrected:
            sick += 1
        heat = gpu.temperature_c
        row.append(nan if percent is None else percent)
        row.append(nan if memory is None else memory)
        row.append(nan if watts is None else watts)
        row.append(nan if heat is None else heat)
    if measured:
        row[4] = utilization / measured
    if size:
        row[5] = 100.0 * used / size
    host = sample.host
    if host is not None:
        _host(row, sample)
        if host.power_w is not None:
            power_known = True
            gpu_power += host.power_w
    if power_known:
        row[3] = gpu_power
    traffic, down = _links(row, sample.links)
    _disks(row, sample)
    bad = _mounts(row, sample)
    share = Share(
        len(sample.accelerators),
        working,
        sick,
        measured,
        round(utilization * 100),
        power_known,
        round(gpu_power * 1000),
        traffic is not None,
        0 if traffic is None else round(traffic),
        down,
        bad,
        1,
    )
    return row, share


_UNKNOWN = (nan,) * len(NODE_SERIES)


def _host(row: array[float], sample: Sample) -> None:
    host = sample.host
    if host is None:
        return
    if host.cpu_percent is not None:
        row[0] = host.cpu_percent
    if host.memory_available_bytes is not None and host.memory_total_bytes:
        row[1] = 100.0 * (1.0 - host.memory_available_bytes / host.memory_total_bytes)
    if host.load1 is not None:
        row[2] = host.load1


def _links(row: array[float], links: tuple[Link, ...]) -> tuple[float | None, int]:
    """Add the links' columns; return the bytes per second of all and how many are down.

    An interface whose RDMA port is counted is left out of the sums: its bytes are the port's bytes.
    """
    received = sent = None
    down = 0
    ports = {link.device for link in links if link.kind is not LinkKind.ETHERNET}
    for link in links:
        rx, tx = link.rx_bytes_per_s, link.tx_bytes_per_s
        row.append(nan if rx is None else rx)
        row.append(nan if tx is None else tx)
        if link.state == "down":
            down += 1
        if link.kind is LinkKind.ETHERNET and link.name in ports:
            continue
        if rx is not None:
            received = rx if received is None else received + rx
        if tx is not None:
            sent = tx if sent is None else sent + tx
    if received is not None:
        row[6] = received
    if sent is not None:
        row[7] = sent
    if received is None and sent is None:
        return None, down
    return (received or 0.0) + (sent or 0.0), down


def _disks(row: array[float], sample: Sample) -> None:
    reads = [disk.read_bytes_per_s for disk in sample.disks if disk.read_bytes_per_s is not None]
    writes = [disk.write_bytes_per_s for disk in sample.disks if disk.write_bytes_per_s is not None]
    if reads:
        row[8] = sum(reads)
    if writes:
        row[9] = sum(writes)


def _mounts(row: array[float], sample: Sample) -> int:
    """Set the mounts' columns; return how many are slow or hung."""
    bad = 0
    slowest = read = write = None
    for mount in sample.mounts:
        if mount.state is MountState.HUNG or mount.state is MountState.SLOW:
            bad += 1
        if not mount.network:
            continue
        if mount.rtt_s is not None and (slowest is None or mount.rtt_s > slowest):
            slowest = mount.rtt_s
        if mount.read_bytes_per_s is not None:
            read = (read or 0.0) + mount.read_bytes_per_s
        if mount.write_bytes_per_s is not None:
            write = (write or 0.0) + mount.write_bytes_per_s
    if slowest is not None:
        row[10] = slowest
    if read is not None:
        row[11] = read
    if write is not None:
        row[12] = write
    return bad
