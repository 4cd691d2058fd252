"""The Storage table: every mount and every disk of the fleet, worst first."""

from __future__ import annotations

from dataclasses import dataclass

from console.model import Disk, Mount, MountState
from console.render import nodes, units
from console.render.cells import Cell
from console.render.glyphs import MOUNT_SIGNS
from console.render.tables.base import Column, RowId, Table, by_name, natural_key
from console.render.view import View
from console.store import Changes, NodeView, Store


@dataclass(slots=True)
class StorageRow:
    """One mount or one disk of one node; the other of the two is None."""

    view: View
    node: NodeView
    mount: Mount | None
    disk: Disk | None

    def rated(self, text: str, style: str = "text") -> Cell:
        """Return a measured number; `stale` when it is older than it should be."""
        if text == self.view.missing:
            return Cell(text, "muted")
        return Cell(text, "stale" if nodes.is_stale(self.view.store, self.node, self.view.now) else style)

    @property
    def device(self) -> Mount | Disk:
        """Whichever it is."""
        found = self.mount or self.disk
        if found is None:
            raise ValueError("a row of the Storage table is a mount or a disk")
        return found


def node_rows(node: NodeView) -> list[RowId]:
    """Return (node, `mount`, path) and (node, `disk`, name) of one node."""
    if node.sample is None:
        return []
    mounts: list[RowId] = [(node.key, "mount", mount.path) for mount in node.sample.mounts]
    # The same path may be mounted twice, one over the other; the last one is what a program sees.
    return list(dict.fromkeys(mounts)) + [(node.key, "disk", disk.name) for disk in node.sample.disks]


def rows(store: Store) -> list[RowId]:
    """Return the ids of all mounts and disks, by node."""
    return [row_id for key in by_name(store.nodes) for row_id in node_rows(store.nodes[key])]


def row(view: View, row_id: RowId) -> StorageRow | None:
    """Return one mount or disk."""
    node = view.store.nodes.get(row_id[0])
    if node is None or node.sample is None:
        return None
    if row_id[1] == "mount":
        for mount in reversed(node.sample.mounts):
            if mount.path == row_id[2]:
                return StorageRow(view, node, mount, None)
    else:
        for disk in node.sample.disks:
            if disk.name == row_id[2]:
                return StorageRow(view, node, None, disk)
    return None


def changed(store: Store, changes: Changes) -> set[RowId]:
    """Return the mounts and disks of the nodes that changed."""
    return {row_id for key in changes.nodes if key in store.nodes for row_id in node_rows(store.nodes[key])}


def name(row: StorageRow) -> str:
    """Return the path of a mount, the name of a disk."""
    return row.mount.path if row.mount is not None else row.disk.name if row.disk is not None else ""


def total_bytes(row: StorageRow) -> int | None:
    """Return its size."""
    return row.mount.total_bytes if row.mount is not None else row.disk.size_bytes if row.disk is not None else None


def free_bytes(row: StorageRow) -> int | None:
    """Return what is free on a mount."""
    return None if row.mount is None else row.mount.free_bytes


def used_percent(row: StorageRow) -> float | None:
    """Return how full a mount is."""
    if row.mount is None or row.mount.free_bytes is None or not row.mount.total_bytes:
        return None
    return 100 * (1 - row.mount.free_bytes / row.mount.total_bytes)


def busy_percent(row: StorageRow) -> float | None:
    """Return how busy a disk is."""
    return None if row.disk is None else row.disk.busy_percent


def rtt(row: StorageRow) -> float | None:
    """Return the round trip of a network mount, seconds."""
    return None if row.mount is None else row.mount.rtt_s


def badness(row: StorageRow) -> float:
    """Return what orders them worst first: state, then how full, then round trip or how busy."""
    score = 0.0
    if row.mount is not None:
        state = row.mount.state
        # Unchecked is not worse than a full disk: it only says that nobody asked.
        score += 0.0 if state is MountState.UNCHECKED else MOUNT_SIGNS[state].rank * 1e6
        used = used_percent(row) or 0.0
        score += used * (100 if used >= 90 else 1) + min(row.mount.rtt_s or 0.0, 60.0) * 100
        score += 1.0
    return score + min(busy_percent(row) or 0.0, 100.0) / 100


def _state(row: StorageRow) -> Cell:
    if row.mount is None:
        return Cell(row.view.missing, "muted")
    return row.view.glyphs.state(MOUNT_SIGNS[row.mount.state])


def _used(row: StorageRow) -> Cell:
    value = used_percent(row)
    style = "text" if value is None or value < 90 else "warn" if value < 97 else "bad"
    return row.rated(units.percent(value, row.view.missing), style)


def _kind(row: StorageRow) -> str:
    return row.mount.type if row.mount is not None else "disk"


def _origin(row: StorageRow) -> str | None:
    return row.mount.source if row.mount is not None else row.disk.model if row.disk is not None else None


def _rtt(row: StorageRow) -> Cell:
    value = rtt(row)
    style = "text" if value is None or value < 0.1 else "warn" if value < 1 else "bad"
    return row.rated(units.milliseconds(value, row.view.missing), style)


def _ops(row: StorageRow) -> float | None:
    return None if row.mount is None else row.mount.ops_per_s


def _retransmits(row: StorageRow) -> float | None:
    return None if row.mount is None else row.mount.retransmits_per_s


def _text(row: StorageRow) -> str:
    parts = (row.node.key, name(row), _kind(row), row.mount.state.value if row.mount else "", _origin(row))
    return "\n".join(part for part in parts if part)


# fmt: off
COLUMNS: tuple[Column[StorageRow], ...] = (
    Column(
        "node", "NODE", 14, lambda row: Cell(row.node.key, "name"), lambda row: row.node.key,
        "short host name", 1, order=lambda row: natural_key(row.node.key), min_width=10, max_width=24,
        names=("host",),
    ),
    Column(
        "path", "PATH", 18, lambda row: Cell(name(row)), name, "where it is mounted, or the disk", 2,
        order=lambda row: natural_key(name(row)), min_width=14, max_width=40, names=("name", "mount", "disk"),
    ),
    Column(
        "type", "TYPE", 7, lambda row: Cell(_kind(row)), _kind, "type of file system, or disk", 6,
        max_width=10, names=("kind",),
    ),
    Column(
        "state", "STATE", 11, _state, lambda row: row.mount.state.value if row.mount else None,
        "ok, slow, hung, unchecked; sorts worst first: state, how full, round trip", 3, order=badness,
    ),
    Column(
        "used", "USE%", 4, _used, used_percent, "how full", 4, align="right", unit="percent", names=("full",),
    ),
    Column(
        "free", "FREE", 5, lambda row: row.view.number(units.size(free_bytes(row), row.view.missing)),
        free_bytes, "free space", 7, align="right", unit="bytes",
    ),
    Column(
        "size", "SIZE", 5, lambda row: row.view.number(units.size(total_bytes(row), row.view.missing)),
        total_bytes, "size", 9, align="right", unit="bytes", names=("total",),
    ),
    Column(
        "rtt", "RTT ms", 6, _rtt, rtt, "round trip of a network mount, ms (filter in seconds)", 5,
        align="right", unit="seconds",
    ),
    Column(
        "read", "READ/s", 6, lambda row: row.rated(units.rate(row.device.read_bytes_per_s, row.view.missing)),
        lambda row: row.device.read_bytes_per_s, "read, bytes/s", 8, align="right", unit="rate",
    ),
    Column(
        "write", "WRT/s", 6,
        lambda row: row.rated(units.rate(row.device.write_bytes_per_s, row.view.missing)),
        lambda row: row.device.write_bytes_per_s, "written, bytes/s", 10, align="right", unit="rate",
    ),
    Column(
        "busy", "BUSY%", 5, lambda row: row.rated(units.percent(busy_percent(row), row.view.missing)),
        busy_percent, "share of time in which a disk worked", 11, align="right", unit="percent",
    ),
    Column(
        "ops", "OPS/s", 5, lambda row: row.rated(units.rate(_ops(row), row.view.missing)), _ops,
        "requests of a network mount a second", 12, align="right", unit="rate",
    ),
    Column(
        "retrans", "RTRN/s", 6, lambda row: row.rated(units.rate(_retransmits(row), row.view.missing)),
        _retransmits, "requests sent again a second", 13, align="right", unit="rate",
    ),
    Column(
        "source", "SOURCE", 20, lambda row: row.view.text(_origin(row), "muted"), _origin,
        "device or server:/export; the model of a disk", 14, min_width=12, max_width=40, names=("origin",),
    ),
)
# fmt: on

TABLE: Table[StorageRow] = Table(
    id="storage",
    title="Storage",
    noun="device",
    columns=COLUMNS,
    rows=rows,
    row=row,
    changed=changed,
    text=_text,
    nodes=lambda row: (row.node,),
    default_sort=("state", True),
    empty="no mount or disk measured yet",
)
