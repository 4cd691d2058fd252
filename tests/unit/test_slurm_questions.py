"""Questions about one job on a scripted transport: what is asked, what it costs, where the output is looked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from console.errors import Denied, NoSuchFile, NoSuchJob, Unreachable, Unsupported
from console.model import JobState, LogStream
from console.plugin import CheckState, Explainer, Logs
from console.transport.base import Completed, Transport
from plugins.slurm.backend import SlurmBackend
from plugins.slurm.commands import HISTORY_FIELDS
from plugins.slurm.settings import AddressRule, SlurmSettings

ONE = Path(__file__).parent.parent / "fixtures" / "slurm" / "22.05.8" / "one"
MORE = ONE.parent
NONCE = b"q0123456789abcdef"


def done(out: bytes = b"", err: bytes = b"", status: int = 0) -> Completed:
    return Completed(exit_status=status, stdout=out, stderr=err, seconds=0.01)


def said(name: str) -> Completed:
    return done((ONE / f"{name}.out").read_bytes())


UNKNOWN = done(err=b"slurm_load_jobs error: Invalid job id specified\n", status=1)
NO_ACCOUNTING = done(err=b"Slurm accounting storage is disabled\n", status=1)


class Slurm:
    """A transport that answers as a small cluster did; every answer may be replaced."""

    def __init__(self, name: str = "local") -> None:
        self.name = name
        self.asked: list[str] = []
        self.argv: list[list[str]] = []
        self.files: dict[str, bytes | None] = {}
        """Path to content; None: it may not be read."""
        self.answers: dict[str, Completed] = {
            "sprio": said("sprio"),
            "sacct": NO_ACCOUNTING,
            "show licenses": said("licenses"),
            "show assoc_mgr": done(b"No associations currently cached in Slurm.\n"),
            "show node": said("explain-nodes"),
            "show partition": said("explain-partitions"),
            "show reservation": said("explain-reservations"),
            "show config": done((MORE / "config.out").read_bytes()),
            "sdiag": done((MORE / "sdiag.out").read_bytes()),
            "squeue": said("explain-jobs"),
            "job 3": said("job-resources"),
        }

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        limit_bytes: int = 256 << 20,
    ) -> Completed:
        if argv[0] == "sh":
            return self._read(argv[4])
        words = list(argv)
        key = next((key for key in self.answers if key in " ".join(words)), "nothing")
        if "squeue" in words and "--jobs" in words:
            key = f"job {words[words.index('--jobs') + 1]}"
        self.asked.append(key)
        self.argv.append(words)
        answer = self.answers.get(key, UNKNOWN)
        nonce = next((word for word in words if ":q" in word or word.startswith("--delimiter=")), "")
        mark = nonce.rpartition(":")[2].rpartition("=")[2].encode()
        return done(answer.stdout.replace(NONCE, mark), answer.stderr, answer.exit_status)

    def _read(self, path: str) -> Completed:
        if path not in self.files:
            return done(status=44)
        data = self.files[path]
        return done(status=45) if data is None else done(f"{len(data)} 1:1 0\n".encode() + data)

    async def close(self) -> None:
        """Nothing to close."""

    def take(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


class Site:
    def __init__(self, *transports: Slurm) -> None:
        self.environ: Mapping[str, str] = {}
        self.cluster = "lab"
        self.transports = {transport.name: transport for transport in transports}

    def which(self, program: str) -> str | None:
        return None

    def transport(self, via: str | None = None) -> Transport:
        return self.transports[via or "local"]  # type: ignore[return-value]

    def expand(self, nodeset: str) -> list[str]:
        return [nodeset]

    def now(self) -> float:
        return 1_795_669_200.0


@pytest.fixture
def slurm() -> Slurm:
    return Slurm()


@pytest.fixture
def backend(slurm: Slurm) -> SlurmBackend:
    return SlurmBackend(SlurmSettings(), Site(slurm, Slurm("ssh:n1"), Slurm("ssh:n9")))


def test_it_offers_both(backend: SlurmBackend) -> None:
    assert isinstance(backend, Explainer)
    assert isinstance(backend, Logs)


# ---- explain


async def test_one_question_for_the_job_and_one_for_its_priority(backend: SlurmBackend, slurm: Slurm) -> None:
    await backend.inventory()
    await backend.jobs()
    slurm.take()
    found = await backend.explain("3")
    assert slurm.take() == ["job 3", "sprio"]
    assert found.position == 1
    assert [part.name for part in found.priority] == ["job size", "partition", "nice"]
    assert [fit.nodes for fit in found.fits] == ["n[1-2]"]
    # The listing is not asked for again, and the three requests are counted.
    records = await backend.jobs()
    assert slurm.take() == []
    assert records.requests == 3


async def test_no_nonce_is_used_twice(backend: SlurmBackend, slurm: Slurm) -> None:
    await backend.explain("3")
    await backend.explain("3")
    formats = [argv[-1] for argv in slurm.argv if "squeue" in argv]
    assert len(set(formats)) == 2


@pytest.mark.parametrize("text", ["foo", "-j", "3;reboot", "3 4", ""])
async def test_what_is_no_id_is_asked_of_nobody(backend: SlurmBackend, slurm: Slurm, text: str) -> None:
    with pytest.raises(NoSuchJob):
        await backend.explain(text)
    assert slurm.asked == []


async def test_a_job_that_nobody_knows(backend: SlurmBackend, slurm: Slurm) -> None:
    await backend.jobs()
    slurm.take()
    with pytest.raises(NoSuchJob, match="keeps no accounting"):
        await backend.explain("99")
    assert slurm.take() == ["job 99", "sacct"]
    # slurmctld answered: its listings are as good as before.
    await backend.jobs()
    assert slurm.take() == []


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (done(), NoSuchJob, "accounting has none"),
        (done(err=b"env: 'sacct': No such file or directory\n", status=127), NoSuchJob, "no such program"),
        (
            done(err=b"sacct: error: Problem talking to the database: Connection refused\n", status=1),
            Unreachable,
            "Conn",
        ),
    ],
)
async def test_without_a_word_of_accounting(
    backend: SlurmBackend, slurm: Slurm, answer: Completed, error: type[Exception], words: str
) -> None:
    slurm.answers["sacct"] = answer
    with pytest.raises(error, match=words):
        await backend.explain("99")


async def test_an_ended_job_out_of_accounting(backend: SlurmBackend, slurm: Slurm) -> None:
    value = {"JobID": "99", "JobIDRaw": "99", "State": "FAILED", "ExitCode": "3:0", "User": "alice", "WorkDir": "/w"}
    row = b"".join(value.get(name, "").encode() + NONCE for name in HISTORY_FIELDS) + b"\n"
    slurm.answers["sacct"] = done(err=b'sacct: error: Invalid field requested: "StdOut"\n', status=1)

    run = slurm.run

    async def old(argv: Sequence[str], **rest: object) -> Completed:
        # As before 24.05: it refuses the field, and answers without it.
        if "sacct" in argv and "StdOut" not in argv[-1]:
            slurm.answers["sacct"] = done(row)
        return await run(argv, **rest)  # type: ignore[arg-type]

    slurm.run = old  # type: ignore[method-assign]
    found = await backend.explain("99")
    assert (found.state, found.summary) == (JobState.FAILED, "It failed (exit code 3).")
    (stream,) = await backend.log_streams("99")
    assert stream.path == "/w/slurm-99.out"
    assert "accounting does not keep the name" in stream.detail


async def test_limits_are_asked_for_when_one_is_the_reason(backend: SlurmBackend, slurm: Slurm) -> None:
    text = (ONE / "job-resources.out").read_bytes()
    text = text.replace(b"Resources", b"AssocGrpGRES").replace(b"(null)" + NONCE + b"gpu", b"research" + NONCE + b"gpu")
    slurm.answers["job 3"] = done(text)
    slurm.answers["show assoc_mgr"] = done(
        b"ClusterName=lab Account=research UserName= Partition= ID=3 GrpTRES=cpu=N(4),gres/gpu=8(6) MaxJobs= \n"
    )
    found = await backend.explain("3")
    assert "show assoc_mgr" in slurm.take()
    (limit,) = found.limits
    assert (limit.scope, limit.used, limit.limit, limit.asked) == ("account research", 6, 8, 4)
    slurm.answers["show assoc_mgr"] = done(err=b"slurm_load_assoc_mgr_info error: Access/permission denied\n", status=1)
    found = await backend.explain("3")
    assert found.limits == ()
    assert "permission denied" in found.missing["limits"]


async def test_a_dependency_that_is_listed_no_longer_is_asked_for_by_name(backend: SlurmBackend, slurm: Slurm) -> None:
    slurm.answers["job 4"] = said("job-dependency")
    slurm.answers["job 1"] = said("job-failed")
    found = await backend.explain("4")
    assert "job 1" in slurm.take()
    assert [(one.id, one.name, one.state) for one in found.dependencies] == [("1", None, None)]
    slurm.answers["job 1"] = said("job-running")
    found = await backend.explain("4")
    assert [(one.name, one.state) for one in found.dependencies] == [("hog", JobState.RUNNING)]


async def test_without_sprio_the_rest_is_there(backend: SlurmBackend, slurm: Slurm) -> None:
    slurm.answers["sprio"] = done(err=b"env: 'sprio': No such file or directory\n", status=127)
    found = await backend.explain("3")
    assert found.causes[0].code == "Resources"
    assert "no such program: sprio" in found.missing["priority"]


async def test_fields_that_squeue_does_not_know_are_left_out(backend: SlurmBackend, slurm: Slurm) -> None:
    from plugins.slurm.details import FIELDS, rows

    values = dict(
        zip(FIELDS, rows(slurm.answers["job 3"].stdout, NONCE.decode(), len(FIELDS), "squeue")[0], strict=True)
    )
    kept = [name for name in FIELDS if name != "PreemptTime"]
    row = b"".join(values[name].encode() + NONCE for name in kept) + b"\n"
    slurm.answers["job 3"] = done(row, b"squeue: error: Invalid job format specification: PreemptTime\n")
    assert (await backend.explain("3")).state is JobState.PENDING
    assert "PreemptTime" not in slurm.argv[-2][-1]


# ---- logs


def running(slurm: Slurm, **facts: str) -> None:
    """Let job 1 be one that runs on n1 and writes to /w/1.log."""
    from plugins.slurm.details import FIELDS, rows

    text = (ONE / "job-running.out").read_bytes()
    value = dict(zip(FIELDS, rows(text, NONCE.decode(), len(FIELDS), "squeue")[0], strict=True))
    value |= {"STDOUT": "/w/%j.log", "STDERR": "/w/%j.log", **facts}
    slurm.answers["job 1"] = done(b"".join(value[name].encode() + NONCE for name in FIELDS) + b"\n")


async def test_a_job_that_has_not_started_has_no_output(backend: SlurmBackend) -> None:
    assert await backend.log_streams("3") == ()


async def test_the_output_is_looked_for_here_and_then_on_the_node(backend: SlurmBackend, slurm: Slurm) -> None:
    running(slurm)
    (stream,) = await backend.log_streams("1")
    assert (stream.name, stream.path, stream.hosts) == ("stdout", "/w/1.log", ("local", "ssh:n1"))
    node = backend._site.transport("ssh:n1")
    assert isinstance(node, Slurm)
    node.files["/w/1.log"] = b"far\n"
    reader = await backend.open_log(stream)
    assert (await reader.tail(100)).data == b"far\n"
    slurm.files["/w/1.log"] = b"near\n"
    reader = await backend.open_log(stream)
    assert (await reader.tail(100)).data == b"near\n"


async def test_through_a_login_host_the_output_is_looked_for_there() -> None:
    login = Slurm("ssh://login1")
    running(login)
    backend = SlurmBackend(SlurmSettings(via="ssh://login1"), Site(login))
    (stream,) = await backend.log_streams("1")
    assert stream.hosts == ("ssh:login1", "ssh:n1")


async def test_without_a_way_to_the_nodes_only_here(slurm: Slurm) -> None:
    running(slurm)
    backend = SlurmBackend(SlurmSettings(address=AddressRule.NONE), Site(slurm))
    (stream,) = await backend.log_streams("1")
    assert stream.hosts == ("local",)


async def test_nowhere_and_forbidden_are_told_apart(backend: SlurmBackend, slurm: Slurm) -> None:
    running(slurm)
    (stream,) = await backend.log_streams("1")
    with pytest.raises(NoSuchFile):
        await backend.open_log(stream)
    slurm.files["/w/1.log"] = None
    with pytest.raises(Denied):
        await backend.open_log(stream)


async def test_a_name_with_the_node_in_it_is_tried_in_both_forms(slurm: Slurm) -> None:
    running(slurm, STDOUT="/w/%j-%N.log", STDERR="/w/%j-%N.log")
    backend = SlurmBackend(SlurmSettings(), Site(slurm))
    await backend.inventory()
    (stream,) = await backend.log_streams("1")
    own = os.uname().nodename.partition(".")[0]
    assert (stream.path, stream.hosts) == ("/w/1-n1.log", ("local",))
    slurm.files[f"/w/1-{own}.log"] = b"22.05"
    assert (await (await backend.open_log(stream)).tail(9)).data == b"22.05"
    slurm.files["/w/1-n1.log"] = b"25.11"
    assert (await (await backend.open_log(stream)).tail(9)).data == b"25.11"


async def test_a_job_on_a_terminal_and_one_that_writes_to_nowhere(backend: SlurmBackend, slurm: Slurm) -> None:
    running(slurm, BatchFlag="0")
    with pytest.raises(Unsupported, match="terminal"):
        await backend.log_streams("1")
    running(slurm, STDOUT="/dev/null", STDERR="/dev/null")
    with pytest.raises(Unsupported, match="/dev/null"):
        await backend.log_streams("1")


async def test_a_path_with_control_characters_is_shown_clean_and_opened_as_it_is(
    backend: SlurmBackend, slurm: Slurm
) -> None:
    running(slurm, STDOUT="/w/\x1b[31m%j\nx.log")
    found = await backend.log_streams("1")
    assert found[0].path == "/w/1 x.log"
    slurm.files["/w/\x1b[31m1\nx.log"] = b"yes"
    assert (await (await backend.open_log(found[0])).tail(9)).data == b"yes"


async def test_of_a_heterogeneous_job_the_first_part_writes(backend: SlurmBackend, slurm: Slurm) -> None:
    slurm.answers["job 16+1"] = slurm.answers["job 16+0"] = said("job-het")
    with pytest.raises(Unsupported, match="/dev/null"):
        await backend.log_streams("16+1")
    assert slurm.take()[-1] == "job 16+0"


async def test_a_stream_without_a_key_is_opened_by_its_path(backend: SlurmBackend, slurm: Slurm) -> None:
    slurm.files["/w/1.log"] = b"yes"
    reader = await backend.open_log(LogStream(name="stdout", path="/w/1.log", hosts=("local",)))
    assert (await reader.tail(9)).data == b"yes"


async def test_the_doctor_says_what_is_lost_without_the_further_programs(backend: SlurmBackend, slurm: Slurm) -> None:
    slurm.answers["sacct"] = done(err=b"env: 'sacct': No such file or directory\n", status=127)
    slurm.answers["scontrol --version"] = done(b"slurm-wlm 22.05.8\n")
    checks = {check.subject: check for check in await backend.doctor()}
    assert checks["sprio on local"].state is CheckState.OK
    assert checks["sacct on local"].state is CheckState.ABSENT
    assert "not found" in checks["sacct on local"].detail
