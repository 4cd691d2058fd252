"""Acting on one cluster: fresh looks past every cache, and exactly the commands that a plan names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from console.errors import CommandFailed, Denied, TimedOut
from console.model import Job, Node, Step
from console.slices import sliced
from plugins.pbs import failures, lookup
from plugins.pbs.client import Client
from plugins.pbs.jobs import JobReader
from plugins.pbs.nodes import NodeReader
from plugins.pbs.orders import Planner

_WHO = "qmgr -c 'print server' shows who they are"
_OPERATORS = f"it takes an operator or manager of PBS: {_WHO}"
_RIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "pbsnodes": _OPERATORS,
        "qsig": f"suspending {_OPERATORS.removeprefix('it ')}",
        "qrls": f"a hold is released by who may set it, those of operators and managers by these alone: {_WHO}",
    }
)
_OWNER = f"it takes the job's owner, or an operator or manager of PBS: {_WHO}"
_REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "Unknown queue": "qstat -Q lists the queues",
        "not enabled": "that queue takes no jobs now: qstat -Q lists the queues",
        "violates": "qstat -Qf shows the limits of the queue",
        "not rerunnable": "it was submitted so (qsub -r n): cancel it and submit it anew",
        "invalid for state": "qstat -f JOB tells its state",
        "Invalid request": "qstat -f JOB tells what it is: PBS refuses some requests for parts of arrays",
        "Unknown node": "pbsnodes -av lists the hosts",
        "Unknown Job": "it is over, or was never there: qstat -x JOB",
    }
)
"""Words of PBS to what can be done about them."""
_STATE_HINT = "qstat -f or pbsnodes -v tells its state"


class Acting:
    """What a person may do to hosts and jobs of one cluster."""

    def __init__(self, cluster: str, client: Client, nodes: NodeReader, jobs: JobReader) -> None:
        self._client = client
        self._nodes = nodes
        self._jobs = jobs
        self.planner = Planner(cluster, client.commands, client.where)

    async def look_nodes(self, names: Sequence[str]) -> tuple[Node, ...]:
        """Return these hosts as pbs_server has them now; what it does not know is left out. SourceError."""
        listing = await sliced(self._nodes.anew().read(await self._client.nodes()))
        wanted = frozenset(names)
        return tuple(node for node in listing.nodes if node.name in wanted)

    async def look_jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """Return these jobs as pbs_server has them now, also those that have just ended. SourceError."""
        found = []
        for start in range(0, len(ids), lookup.SEVERAL):
            found += await lookup.some(self._client, ids[start : start + lookup.SEVERAL])
        wanted = frozenset(ids)
        return tuple(self._jobs.job(one.id, one.row) for one in found if one.id in wanted)

    async def perform(self, step: Step) -> None:
        """Run exactly what a step says. Raises SourceError in PBS's own words."""
        try:
            done = await self._client.transport.run(step.run.argv, timeout_s=step.timeout_s)
        except TimedOut as late:
            raise TimedOut(f"{late.what}: whether it happened is not known", self._client.where, late.hint) from None
        if done.exit_status == 0:
            return
        said = failures.words(done.stderr)
        if any(word in said for word in ("Unauthorized Request", "No Permission")):
            programs = (word.rpartition("/")[2] for word in step.run.argv)
            hint = next((_RIGHTS[name] for name in programs if name in _RIGHTS), _OWNER)
            raise Denied(f"pbs_server does not let you: {said}", self._client.where, hint)
        error = self._client.failure(step.run.argv, done)
        if isinstance(error, CommandFailed):
            hint = next((hint for words, hint in _REFUSALS.items() if words in said), _STATE_HINT)
            raise CommandFailed(said or error.what, self._client.where, hint)
        raise error
