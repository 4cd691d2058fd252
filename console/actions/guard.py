"""The resume guard: what still stands against a node that is to take work again. Pure, over what the store knows."""

from __future__ import annotations

from console.model import MountState, SourceState
from console.store import NodeView


def stands_against(view: NodeView) -> tuple[str, ...]:
    """Return in words what is wrong, or not known, about a node; empty: nothing that is known."""
    return (*_findings(view), *_accelerators(view), *_links(view), *_mounts(view), *_probe(view))


def _findings(view: NodeView) -> list[str]:
    return [f"{one.severity.value}: {one.title}" for one in view.findings]


def _accelerators(view: NodeView) -> list[str]:
    listed = max((node.accelerators_total or 0 for node in view.facets.values()), default=0)
    if view.sample is None or not listed:
        return []
    seen = len(view.sample.accelerators)
    return [f"{seen} of {listed} GPUs answer"] if seen < listed else []


def _links(view: NodeView) -> list[str]:
    if view.sample is None:
        return []
    down = [link.name for link in view.sample.links if link.state == "down"]
    return [f"link down: {', '.join(down)}"] if down else []


def _mounts(view: NodeView) -> list[str]:
    if view.sample is None:
        return []
    bad = [mount for mount in view.sample.mounts if mount.state in (MountState.HUNG, MountState.SLOW)]
    return [f"mount {mount.path} is {mount.state.value}" for mount in bad]


def _probe(view: NodeView) -> list[str]:
    if view.probe is None:
        return ["nobody looked at the node itself"] if view.sample is None else []
    if view.probe.state in (SourceState.OK, SourceState.LATE):
        return []
    return [f"the node itself: {view.probe.error or view.probe.state.value}"]
