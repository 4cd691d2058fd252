"""The Network table: every link of the fleet, worst first."""

from __future__ import annotations

from dataclasses import dataclass

from console.model import Link
from console.render import nodes, units
from console.render.cells import Cell
from console.render.glyphs import link_sign
from console.render.spark import heat_style
from console.render.tables.base import Column, RowId, Table, by_name, natural_key
from console.render.view import View
from console.store import Changes, NodeView, Store


@dataclass(slots=True)
class LinkRow:
    """One port of one node."""

    view: View
    node: NodeView
    link: Link

    def rated(self, text: str, style: str = "text") -> Cell:
        """Return a measured number; `stale` when it is older than it should be."""
        if text == self.view.missing:
            return Cell(text, "muted")
        return Cell(text, "stale" if nodes.is_stale(self.view.store, self.node, self.view.now) else style)


def node_rows(node: NodeView) -> list[RowId]:
    """Return (node, link) of the links of one node."""
    return [] if node.sample is None else [(node.key, link.name) for link in node.sample.links]


def rows(store: Store) -> list[RowId]:
    """Return (node, link) of all links, by node and then as the node lists them."""
    return [row_id for key in by_name(store.nodes) for row_id in node_rows(store.nodes[key])]


def row(view: View, row_id: RowId) -> LinkRow | None:
    """Return one link."""
    node = view.store.nodes.get(row_id[0])
    if node is None or node.sample is None:
        return None
    for link in node.sample.links:
        if link.name == row_id[1]:
            return LinkRow(view, node, link)
    return None


def changed(store: Store, changes: Changes) -> set[RowId]:
    """Return the links of the nodes that changed."""
    return {row_id for key in changes.nodes if key in store.nodes for row_id in node_rows(store.nodes[key])}


def load(row: LinkRow) -> float | None:
    """Return how full the busier direction is, percent of its rate."""
    link = row.link
    busier = max(nodes.known((link.rx_bytes_per_s, link.tx_bytes_per_s)), default=None)
    share = nodes.fraction(None if busier is None else busier * 8, link.rate_bits_per_s)
    return None if share is None else 100 * share


def badness(row: LinkRow) -> float:
    """Return what orders links worst first: state, then errors, then drops, then load."""
    link = row.link
    score = link_sign(link.state).rank * 1e9
    score += min(link.errors_per_s or 0.0, 1e5) * 1e3 + min(link.drops_per_s or 0.0, 1e5) * 10
    return score + min(load(row) or 0.0, 100.0) / 100


def _load(row: LinkRow) -> Cell:
    value = load(row)
    return row.rated(units.percent(value, row.view.missing), heat_style(None if value is None else value / 100))


def _faults(row: LinkRow, value: float | None, style: str) -> Cell:
    return row.rated(units.rate(value, row.view.missing), style if value else "text")


def _counted(row: LinkRow, value: int | None) -> Cell:
    return row.view.number(units.number(value, row.view.missing))


def _text(row: LinkRow) -> str:
    link = row.link
    parts = (row.node.key, link.name, link.kind.value, link.state, link.device)
    return "\n".join(part for part in parts if part)


# fmt: off
COLUMNS: tuple[Column[LinkRow], ...] = (
    Column(
        "node", "NODE", 14, lambda row: Cell(row.node.key, "name"), lambda row: row.node.key,
        "short host name", 1, order=lambda row: natural_key(row.node.key), min_width=10, max_width=24,
        names=("host",),
    ),
    Column(
        "link", "LINK", 12, lambda row: Cell(row.link.name), lambda row: row.link.name,
        "interface or RDMA port", 2, order=lambda row: natural_key(row.link.name), min_width=10, max_width=16,
        names=("name",),
    ),
    Column(
        "kind", "KIND", 10, lambda row: Cell(row.link.kind.value), lambda row: row.link.kind.value,
        "ethernet, infiniband, roce", 8,
    ),
    Column(
        "state", "STATE", 9, lambda row: row.view.glyphs.state(link_sign(row.link.state)),
        lambda row: link_sign(row.link.state).word, "sorts worst first: down, then errors, drops, load", 3,
        order=badness,
    ),
    Column(
        "rate", "RATE", 5,
        lambda row: row.view.number(units.bits(row.link.rate_bits_per_s, row.view.missing)),
        lambda row: row.link.rate_bits_per_s, "what the link can carry, bits/s", 6, align="right",
        unit="rate",
    ),
    Column(
        "rx", "RX B/s", 6, lambda row: row.rated(units.rate(row.link.rx_bytes_per_s, row.view.missing)),
        lambda row: row.link.rx_bytes_per_s, "received, bytes/s", 4, align="right", unit="rate",
    ),
    Column(
        "tx", "TX B/s", 6, lambda row: row.rated(units.rate(row.link.tx_bytes_per_s, row.view.missing)),
        lambda row: row.link.tx_bytes_per_s, "sent, bytes/s", 5, align="right", unit="rate",
    ),
    Column(
        "load", "LOAD%", 5, _load, load, "the busier direction, percent of the rate", 9, align="right",
        unit="percent",
    ),
    Column(
        "errors", "ERR/s", 5, lambda row: _faults(row, row.link.errors_per_s, "bad"),
        lambda row: row.link.errors_per_s, "errors a second", 7, align="right", unit="rate", names=("err",),
    ),
    Column(
        "drops", "DROP/s", 6, lambda row: _faults(row, row.link.drops_per_s, "warn"),
        lambda row: row.link.drops_per_s, "dropped packets a second", 10, align="right", unit="rate",
        names=("drop",),
    ),
    Column(
        "errtotal", "ERRORS", 7, lambda row: _counted(row, row.link.errors), lambda row: row.link.errors,
        "errors since boot", 11, align="right", unit="number",
    ),
    Column(
        "droptotal", "DROPS", 7, lambda row: _counted(row, row.link.drops), lambda row: row.link.drops,
        "dropped packets since boot", 12, align="right", unit="number",
    ),
    Column(
        "mtu", "MTU", 5, lambda row: row.view.number(units.number(row.link.mtu, row.view.missing)),
        lambda row: row.link.mtu, "largest packet, bytes", 13, align="right", unit="number",
    ),
    Column(
        "device", "DEVICE", 12, lambda row: row.view.text(row.link.device), lambda row: row.link.device,
        "the interface of an RDMA port, or the RDMA device of an interface", 14, max_width=16,
    ),
)
# fmt: on

TABLE: Table[LinkRow] = Table(
    id="network",
    title="Network",
    noun="link",
    columns=COLUMNS,
    rows=rows,
    row=row,
    changed=changed,
    text=_text,
    nodes=lambda row: (row.node,),
    default_sort=("state", True),
    empty="no link measured yet",
)
