"""Questions about one job: what is asked of Slurm for an explanation, and where its output lies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

import msgspec

from console.errors import Denied, NoSuchFile, NoSuchJob, SourceError, Unreachable, Unsupported
from console.model import Explanation, Job, LogStream, Records
from console.plugin import LogReader, Site
from console.slices import sliced
from console.text import clean
from console.transport.base import Completed, Transport
from console.transport.files import find_file
from plugins.slurm import accounting, commands, facts, outputs, parse, queueing, usage
from plugins.slurm.client import Client
from plugins.slurm.commands import HISTORY_FIELDS, OUTPUT_FIELDS
from plugins.slurm.details import FIELDS, Detail, JobId, choose, details, history, job_id
from plugins.slurm.explain import Surroundings, explanation
from plugins.slurm.jobs import JobReader
from plugins.slurm.nodes import NodeReader
from plugins.slurm.reasons import Kind, meaning
from plugins.slurm.settings import AddressRule, SlurmSettings

MOST_DEPENDENCIES = 50
"""Of the jobs that one waits for and that are listed no longer, how many are asked about."""
_NOT_KNOWN = b"Invalid job id"
_BAD_FIELD = b"Invalid job format"
_DATABASE = "is slurmdbd up? sacctmgr ping tells"
ACCOUNTING_S = 30.0
"""How long a database may take to list a day."""
_FAIR_SHARE = "fair share"
_FORGOTTEN = "it is forgotten some minutes after its end (MinJobAge)"


class Questions:
    """Asks about single jobs of one cluster, each time with one small request for the job and one for its company."""

    def __init__(
        self, cluster: str, settings: SlurmSettings, site: Site, client: Client, jobs: JobReader, nodes: NodeReader
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._site = site
        self._client = client
        self._jobs = jobs
        self._nodes = nodes
        self._reader = JobReader(cluster, settings.gres)
        self._fields: tuple[str, ...] = FIELDS
        self._history_fields: tuple[str, ...] = (*HISTORY_FIELDS, *OUTPUT_FIELDS)

    # ---- the job itself

    async def detail(self, text: str) -> Detail:
        """Return a job of slurmctld, else of accounting. Raises NoSuchJob, SourceError."""
        wanted = job_id(text)
        if wanted is None:
            raise NoSuchJob(f"{clean(text, limit=80)} is no id of a Slurm job", self._cluster, "8812, 8812_7 or 32+1")
        found = choose(await self.show([wanted.ask]), wanted)
        return found if found is not None else await self._recorded(wanted)

    async def show(self, ids: list[str]) -> list[Detail]:
        """Return what slurmctld knows of these jobs; nothing of those that it does not know."""
        nonce = commands.new_nonce()
        argv = self._client.commands.jobs(ids, nonce, self._fields)
        done = await self._client.ask(argv, answers=(_NOT_KNOWN, _BAD_FIELD))
        self._client.charge(commands.QUEUE_COST)
        if _NOT_KNOWN in done.stderr:
            return []
        if lacking := frozenset(parse.unknown_fields(done.stderr)) & frozenset(self._fields):
            self._fields = tuple(name for name in self._fields if name not in lacking)
            return await self.show(ids)
        return details(done.stdout, nonce, self._fields, self._reader)

    async def _recorded(self, wanted: JobId) -> Detail:
        """Return an ended job out of accounting. NoSuchJob when that does not have it either, or is not kept."""
        what = f"slurmctld knows no job {wanted.text}"
        nonce = commands.new_nonce()
        argv = self._client.commands.history(wanted.ask, nonce, self._history_fields)
        try:
            done = await self._client.aside(argv)
        except Unsupported as error:
            why = f"{what}, and accounting cannot be asked: {error.what}"
            raise NoSuchJob(why, self._cluster, _FORGOTTEN) from None
        if b"Invalid field" in done.stderr and self._history_fields != HISTORY_FIELDS:
            self._history_fields = HISTORY_FIELDS
            return await self._recorded(wanted)
        if done.exit_status != 0:
            said = facts.said(done)
            if "disabled" in said:
                raise NoSuchJob(f"{what}, and this cluster keeps no accounting", self._cluster, _FORGOTTEN)
            raise Unreachable(f"{what}, and accounting gives no answer: {said}", self._cluster, _DATABASE)
        found = history(done.stdout, nonce, self._history_fields, self._cluster, self._settings.gres)
        detail = choose(found, wanted)
        if detail is None:
            raise NoSuchJob(f"{what}, and accounting has none", self._cluster, "qd jobs lists what there is")
        return detail

    async def finished(self, since: float) -> Records:
        """Return what ended since a time. Raises Unsupported where no accounting is kept, SourceError."""
        nonce = commands.new_nonce()
        argv = self._client.commands.ended(accounting.clock(since), accounting.ENDED, nonce, accounting.FIELDS)
        done = await self._client.aside(argv, ACCOUNTING_S)
        if done.exit_status != 0:
            said = facts.said(done)
            if "disabled" in said:
                what = "this cluster keeps no accounting (AccountingStorageType)"
                raise Unsupported(what, self._client.where, "ended jobs are shown while slurmctld remembers them")
            if "permission" in said.lower():
                raise Denied(
                    f"slurmdbd does not show this to this user: {said}", self._client.where, "ask its operators"
                )
            raise Unreachable(f"accounting gives no answer: {said}", self._client.where, _DATABASE)
        jobs = await sliced(accounting.ended(done.stdout, nonce, self._cluster, self._settings.gres))
        return Records(ended_jobs=jobs, detail="sacct, what ended today")

    # ---- why it waits

    async def explain(self, text: str, layout: facts.Layout) -> Explanation:
        """Return why a job is where it is. Raises NoSuchJob, SourceError; what only rounds it off may be missing."""
        detail = await self.detail(text)
        around = Surroundings(
            nodes=tuple(self._nodes.listed) or None,
            queues=layout.queues,
            reservations=layout.reservations or (),
        )
        if outputs.waits(detail):
            if self._jobs.seen:
                around.company = await sliced(queueing.company(detail.job, tuple(self._jobs.listed)))
            await asyncio.gather(*self._company(detail, around))
        return explanation(detail, text, around)

    def _company(self, detail: Detail, around: Surroundings) -> list[Awaitable[None]]:
        """Return the further questions that this job is worth; each puts its answer, or why there is none, in place."""
        means = meaning(detail.job.reason or "None")
        asked: list[Awaitable[None]] = [self._ask_priority(detail, around)]
        if means.kind is Kind.LIMIT or means.limit is not None:
            asked.append(self._ask_limits(detail, around))
        elif means.code == "Licenses":
            asked.append(self._ask_licenses(detail, around))
        company = around.company or queueing.Company()
        if ids := queueing.unknown(detail.job.dependency, company.needed):
            asked.append(self._ask_dependencies(ids[:MOST_DEPENDENCIES], around))
        return asked

    async def _ask_priority(self, detail: Detail, around: Surroundings) -> None:
        if not detail.job.priority:
            around.missing["priority"] = "a held job has none"
            return
        done = await self._round_off("priority", self._client.commands.priority(detail.number), around)
        if done is not None:
            self._client.charge(commands.PRIORITY_COST)
            around.priority, why = facts.priority(done, detail.job.queue)
            if why is not None:
                around.missing["priority"] = why
            if any(part.name == _FAIR_SHARE for part in around.priority):
                await self._ask_share(detail.job, around)

    async def _ask_share(self, job: Job, around: Surroundings) -> None:
        if not job.account or not job.user:
            return
        try:
            done = await self._client.aside(self._client.commands.shares(job.account, job.user))
        except SourceError:
            return  # it only says where a number comes from that is shown anyway
        self._client.charge(commands.SHARES_COST)
        note = facts.share_note(done, job.account, job.user)
        around.priority = tuple(
            msgspec.structs.replace(part, note=note) if part.name == _FAIR_SHARE else part for part in around.priority
        )

    async def _ask_limits(self, detail: Detail, around: Surroundings) -> None:
        job = detail.job
        code = meaning(job.reason or "None").limit
        name = job.qos if code is not None and code.owner == "QOS" else job.account
        if code is None or not name:
            around.missing["limits"] = "Slurm does not say which limit it is"
            return
        done = await self._round_off("limits", self._client.commands.limits(code.owner, name), around)
        if done is not None:
            self._client.charge(commands.LIMITS_COST)
            uid, names = detail.fact("UserID"), self._settings.gres
            around.limits = usage.limits(done.stdout, job, code, uid=uid, gres_names=names)
            if not around.limits:
                around.missing["limits"] = facts.why_no_limits(done, job)

    async def _ask_licenses(self, detail: Detail, around: Surroundings) -> None:
        done = await self._round_off("limits", self._client.commands.licenses(), around)
        if done is not None:
            self._client.charge(commands.LICENSES_COST)
            around.limits = facts.licenses(done.stdout, detail.fact("Licenses") or "")

    async def _ask_dependencies(self, ids: list[str], around: Surroundings) -> None:
        try:
            found = await self.show(ids)
        except SourceError as error:
            around.missing["dependencies"] = str(error)
            return
        around.ended = {name: detail.job for detail in found for name in (detail.number, detail.job.id)}

    async def _round_off(self, field: str, argv: list[str], around: Surroundings) -> Completed | None:
        try:
            return await self._client.aside(argv)
        except SourceError as error:
            around.missing[field] = str(error)
            return None

    # ---- what it wrote

    async def log_streams(self, text: str) -> tuple[LogStream, ...]:
        """Return the files that a job writes; none before it starts. Raises NoSuchJob, Unsupported, SourceError."""
        detail = await self.detail(text)
        if detail.fact("HetJobOffset") not in (None, "0"):
            # Only the first part of a heterogeneous job runs the script, and only its output is written.
            detail = await self.detail(f"{detail.fact('HetJobID')}+0")
        if not outputs.has_begun(detail):
            return ()
        hosts, names = self._hosts(detail)
        found = outputs.outputs(detail, names[0])
        if not found:
            raise Unsupported(outputs.why_none(detail), f"{self._cluster}/{text}", "only batch jobs write files")
        others = {output.name: output.path for output in outputs.outputs(detail, names[-1])}
        return tuple(_stream(output, others.get(output.name), hosts) for output in found)

    async def open_log(self, stream: LogStream) -> LogReader:
        """Open a file on the first host that has it. Raises NoSuchFile, Denied, Unreachable."""
        path = stream.key.get("path") or stream.path or ""
        try:
            return await find_file([self._transport(host) for host in stream.hosts], path)
        except NoSuchFile:
            if (other := stream.key.get("or")) is None:
                raise
            return await find_file([self._transport(host) for host in stream.hosts], other)

    def _hosts(self, detail: Detail) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        """Return where the output may lie, and the short names of the job's first host that `%N` may give.

        Where the commands run first: homes and scratch are there too, and nothing needs a way into the nodes. `%N` is
        what Slurm calls the node, in older releases what the node calls itself.
        """
        place = self._nodes.place
        batch = detail.fact("BatchHost") or next(iter(detail.job.node_names), None)
        node = next((node for node in self._nodes.listed if node.name == batch), None)
        if node is not None:
            address = node.address
        else:
            address = f"ssh:{batch}" if batch and place.rule is not AddressRule.NONE else None
        own = None
        if address is not None and place.rule is AddressRule.HOSTNAME:
            own = place.hostname if address == "local" else address.removeprefix("ssh:")
        names = [name.partition(".")[0] for name in (batch, own) if name]
        return _distinct((place.here, address)), tuple(dict.fromkeys(names)) or (None,)

    def _transport(self, host: str) -> Transport:
        return self._client.transport if host == self._nodes.place.here else self._site.transport(host)


def _stream(output: outputs.Output, other: str | None, hosts: tuple[str, ...]) -> LogStream:
    """Return an output to be opened; `other` is the name that it has where `%N` means something else."""
    guess = "accounting does not keep the name: this is where Slurm writes when none is given"
    key = {"path": output.path}
    if other is not None and other != output.path:
        key["or"] = other
    return LogStream(
        name=output.name,
        path=clean(output.path),
        hosts=hosts,
        rank=output.rank,
        detail=guess if output.guessed else "",
        key=key,
    )


def _distinct(hosts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(host for host in hosts if host is not None))
