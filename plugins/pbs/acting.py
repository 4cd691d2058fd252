"""Acting on one cluster: fresh looks past every cache, and exactly the commands that a plan names."""

from __future__ import annotations

from collections.abc import Sequence

from console.errors import CommandFailed, Denied, TimedOut
from console.model import Job, Node, Step
from console.slices import sliced
from plugins.pbs import failures, lookup
from plugins.pbs.client import Client
from plugins.pbs.jobs import JobReader
from plugins.pbs.nodes import NodeReader
from plugins.pbs.orders import Planner

_RIGHTS = "it takes an operator or manager of PBS, or the job's owner: qmgr -c 'print server' shows who they are"


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
            raise Denied(f"pbs_server does not let you: {said}", self._client.where, _RIGHTS)
        error = self._client.failure(step.run.argv, done)
        if isinstance(error, CommandFailed):
            raise CommandFailed(said or error.what, self._client.where, "qstat -f or pbsnodes -v tells its state")
        raise error
