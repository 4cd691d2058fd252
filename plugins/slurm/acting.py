"""Acting on one cluster: fresh looks past every cache, and exactly the commands that a plan names."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from console.errors import CommandFailed, Denied, TimedOut
from console.model import Job, Node, Step
from console.nodeset import fold
from console.slices import sliced
from plugins.slurm import failures
from plugins.slurm.client import Client
from plugins.slurm.details import choose, job_id
from plugins.slurm.nodes import NodeReader
from plugins.slurm.orders import Planner
from plugins.slurm.questions import Questions
from plugins.slurm.settings import SlurmSettings

_NOT_FOUND = b"not found"
_OPERATOR = "it takes an operator or the job's owner: sacctmgr show user $USER shows AdminLevel"


class Acting:
    """What a person may do to nodes and jobs of one cluster."""

    def __init__(
        self, cluster: str, settings: SlurmSettings, client: Client, nodes: NodeReader, questions: Questions
    ) -> None:
        self._client = client
        self._nodes = nodes
        self._gres = settings.gres
        self._questions = questions
        self.planner = Planner(cluster, self._argv, client.where)

    def _argv(self, program: str, *arguments: str) -> tuple[str, ...]:
        commands = self._client.commands
        head = ("env", f"SLURM_CONF={commands.slurm_conf}") if commands.slurm_conf is not None else ()
        return (*head, commands.program(program), *arguments)

    async def look_nodes(self, names: Sequence[str]) -> tuple[Node, ...]:
        """Return these nodes as slurmctld has them now; what it does not know is left out. SourceError."""
        done = await self._client.ask(self._client.commands.nodes(fold(names)), answers=(_NOT_FOUND,))
        if _NOT_FOUND in done.stderr or _NOT_FOUND in done.stdout:
            done = await self._client.ask(self._client.commands.nodes())
        reader = NodeReader(self._nodes.cluster, self._nodes.place, self._gres)
        listing = await sliced(reader.read(done.stdout))
        wanted = frozenset(names)
        return tuple(node for node in listing.nodes if node.name in wanted)

    async def look_jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """Return these jobs as slurmctld has them now, under the ids that were asked for. SourceError."""
        wanted = [asked for text in ids if (asked := job_id(text)) is not None]
        if not wanted:
            return ()
        found = await self._questions.show([one.ask for one in wanted])
        jobs = []
        for one in wanted:
            own = [detail for detail in found if detail.number == one.number or detail.job.id == one.text]
            detail = choose(found if own else (), one)
            if detail is not None:
                jobs.append(_named(detail.job, one.text))
        return tuple(jobs)

    async def perform(self, step: Step) -> None:
        """Run exactly what a step says. Raises SourceError in Slurm's own words."""
        argv = list(step.run.argv)
        program = next(word for word in argv if word.rpartition("/")[2] in ("scontrol", "scancel"))
        done = await self._client.transport.run(argv, timeout_s=step.timeout_s)
        if done.exit_status == 0 and b"rror" not in done.stderr:
            return
        said = failures.words(done.stderr or done.stdout)
        where = self._client.where
        if any(words in said.lower() for words in ("permission denied", "invalid user id")):
            raise Denied(f"slurmctld does not let you: {said}", where, _OPERATOR)
        error = failures.failure(program.rpartition("/")[2], done.exit_status, done.stderr or done.stdout, where)
        if isinstance(error, TimedOut):
            raise TimedOut(f"{error.what}: whether it happened is not known", where, error.hint)
        if isinstance(error, CommandFailed):
            raise CommandFailed(said or error.what, where, "scontrol show node or job tells its state")
        raise error


def _named(job: Job, text: str) -> Job:
    return job if job.id == text else msgspec.structs.replace(job, id=text)
