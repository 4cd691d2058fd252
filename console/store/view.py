"""One machine as the store shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from console.model import Finding, Node, NodeState, Reservation, Sample, SourceState, SourceStatus

JobKey = tuple[str, str]
"""(cluster, id)."""

PLAIN_KINDS = frozenset({"ssh", "local", "hosts"})
"""Kinds of sources that list machines without scheduling on them: a scheduler's words come first."""

LAYER_KINDS = frozenset({"ray"})
"""Kinds of sources that schedule inside of what another scheduler gave them: where it lists the machine too, its words
come first. A Ray that ended there says nothing about the machine."""

BUSY_PERCENT = 1.0
"""An accelerator works from this utilisation on, where no scheduler says what is allocated."""


@dataclass(slots=True)
class NodeView:
    """One machine, whoever reports it: what schedulers list (facets) and what a probe measured (sample)."""

    key: str
    """Its identity: the short host name, by default."""
    facets: dict[str, Node] = field(default_factory=dict)
    """Source name to what that source lists; schedulers first."""
    sample: Sample | None = None
    sample_source: str | None = None
    jobs: tuple[JobKey, ...] = ()
    """Running jobs on it."""
    findings: tuple[Finding, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    """Those that include it, the ones to come too."""
    probe: SourceStatus | None = None
    """How the probe of this one node is doing; None when there is none (now)."""
    state: NodeState = NodeState.UNKNOWN
    """The state over all: see `derive_state`."""

    @property
    def primary(self) -> Node | None:
        """The facet whose words are shown first: a scheduler's before a plain host list's."""
        return next(iter(self.facets.values()), None)


def derive_state(view: NodeView, plain: set[str]) -> NodeState:
    """Return the state of a machine over all that is known; `plain` names the sources that schedule nothing.

    A scheduler that knows a state has the word: whether we can log in there changes nothing about it. Without one
    the machine is what its probe says: `up` or `busy` when it answers, `unreachable` when it does not. Where the
    probe has no word (denied, not asked yet, not asked at all) it is what the plain list says.
    """
    words = NodeState.UNKNOWN
    for source, node in view.facets.items():
        if node.state is not NodeState.UNKNOWN:
            if source not in plain:
                return node.state
            words = node.state
            break
    if view.probe is None:
        return words
    state = view.probe.state
    if state is SourceState.UNREACHABLE:
        return NodeState.UNREACHABLE
    if state is SourceState.OK or state is SourceState.LATE:
        return NodeState.BUSY if view.sample is not None and _in_use(view.sample) else NodeState.UP
    return words


def _in_use(sample: Sample) -> bool:
    return any(gpu.processes or (gpu.utilization_percent or 0.0) >= BUSY_PERCENT for gpu in sample.accelerators)
