"""Findings of all sources, and which of them concern which node."""

from __future__ import annotations

from console.model import Finding, Records, SourceStatus
from console.model.identity import Identity
from console.store.merged import Merged


class FindingTable:
    """All findings by id, and an index by node."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._merged: Merged[str, Finding] = Merged()
        self.shown = self._merged.shown
        self._nodes_of: dict[str, tuple[str, ...]] = {}
        self._findings_on: dict[str, dict[str, None]] = {}

    def on_node(self, key: str) -> tuple[Finding, ...]:
        """Return the findings that name a node."""
        return tuple([self.shown[finding] for finding in self._findings_on.get(key, ())])

    def apply(self, status: SourceStatus, records: Records) -> set[str] | None:
        """Take a listing; return the nodes that are concerned, or None when nothing changed."""
        findings = {finding.id: finding for finding in records.findings}
        changed = self._merged.replace(status.name, findings, "findings" in records.complete)
        if not changed:
            return None
        touched: set[str] = set()
        for finding_id in changed:
            finding = self.shown.get(finding_id)
            names = () if finding is None else finding.nodes
            new = tuple(dict.fromkeys(self._identity.key(status.cluster, name) for name in names))
            old = self._nodes_of.pop(finding_id, ())
            touched.update(old, new)
            for node in old:
                concerned = self._findings_on[node]
                concerned.pop(finding_id, None)
                if not concerned:
                    del self._findings_on[node]
            for node in new:
                self._findings_on.setdefault(node, {})[finding_id] = None
            if new:
                self._nodes_of[finding_id] = new
        return touched
