"""slurmrestd: what recorded answers mean, and what comes of answers that are none."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import BadAnswer, ConfigError, ConnectionLost, Denied, SourceError, Unreachable, Unsupported
from console.model import ArrayPart, JobState, NodeState, SourceState
from console.plugin import CheckState
from console.transport.base import Completed
from plugins.slurm import parse, rest, rest_wire
from plugins.slurm.arrays import folded
from plugins.slurm.backend import SlurmBackend
from plugins.slurm.by_rest import ByRest
from plugins.slurm.elements import Elements
from plugins.slurm.jobs import JobReader, in_slices
from plugins.slurm.nodes import NodeReader, Place
from plugins.slurm.settings import SlurmSettings, WayName
from plugins.slurm.states import job_word
from tests.unit.http_server import Answer, Asked, Server, answer, as_json, never, serving
from tests.unit.test_slurm_backend import Script, Site

FIXTURES = Path(__file__).parents[1] / "fixtures" / "slurm" / "24.11.5"
RECORDED = FIXTURES / "rest"
T = TypeVar("T")


def body(name: str) -> bytes:
    return (RECORDED / f"{name}.json").read_bytes()


def finished(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value


def elements(text: bytes, name: str, kind: type[T], size: int = 1 << 16) -> tuple[list[T], bytes]:
    """Return the objects of a list that comes `size` bytes at a time, and the answer without it."""
    found: list[T] = []
    reader = Elements(name, kind, "here")
    for start in range(0, len(text), size):
        found += reader.feed(text[start : start + size])
    last, envelope = reader.end()
    return found + last, envelope


# ---- recorded: v0.0.40 of Slurm 24.11, beside what scontrol said at the same moment


def test_nodes_are_those_of_scontrol() -> None:
    text = finished(NodeReader("lab", Place()).read((FIXTURES / "nodes-busy.out").read_bytes())).nodes
    wires, envelope = elements(body("nodes"), "nodes", rest_wire.NodeWire, 1000)
    assert msgspec.json.decode(envelope)["meta"]["slurm"]["release"] == "24.11.5"
    told = finished(NodeReader("lab", Place()).take([(each, each) for each in wires], rest.node)).nodes
    assert len(told) == 12
    for mine, other in zip(text, told, strict=True):
        # scontrol was not asked for times as numbers; the order of the flags is each one's own.
        changed = {name: getattr(other, name) for name in ("booted_at", "reason_at")}
        if "NOT_RESPONDING" in (mine.scheduler_state or ""):
            changed["reason_by"] = other.reason_by
        assert set((mine.scheduler_state or "").split("+")) == set((other.scheduler_state or "").split("+"))
        assert msgspec.structs.replace(mine, **changed, scheduler_state=other.scheduler_state) == other


def test_partitions_and_reservations_are_those_of_scontrol() -> None:
    answered = rest_wire.decode(body("partitions"), rest_wire.Partitions, "here").partitions
    told = [parse.partition(rest.partition(each), "lab") for each in answered]
    text = parse.partitions((FIXTURES / "partitions.out").read_bytes(), "lab")
    assert told == [msgspec.structs.replace(queue, default=False) for queue in text], "v0.0.40 tells of no default"
    held = rest_wire.decode(body("reservations"), rest_wire.Reservations, "here").reservations
    first, second = (parse.reservation(rest.reservation(each, 1795476300.0), "lab") for each in held)
    assert (first.name, first.state, first.nodes, first.users) == ("maint1", "ACTIVE", "n7", ("root",))
    assert first.flags == ("MAINT", "IGNORE_JOBS", "SPEC_NODES")
    assert second.state == "INACTIVE", "it begins later"


def test_jobs_of_every_kind() -> None:
    wires, _ = elements(body("jobs"), "jobs", rest_wire.JobWire)
    told = [job for wire in wires if (job := rest.job(wire)) is not None]
    jobs = {job.id: job for job in finished(JobReader("lab").take(in_slices(told), tuple)).jobs}
    assert "37" not in jobs, "it has failed, and squeue lists it no longer"
    assert jobs["4_[3-19]"].array == ArrayPart(id="4", tasks=17, pending=17)
    assert jobs["4_[3-19]"].detail == {"tasks at once": "3"}
    assert jobs["4_0"].array == ArrayPart(id="4", tasks=1, running=1)
    assert jobs["35+0"].state is JobState.RUNNING
    assert jobs["35+1"].detail["job id"] == "36"
    assert jobs["8"].state is JobState.HELD
    assert jobs["6"].dependency == "afterok:1(unfulfilled)"
    assert jobs["17"].scheduler_state == "CONFIGURING"
    assert jobs["16"].missing == {"time_limit_s": "unlimited"}
    assert jobs["14"].expected_start_at == 1795479799.0
    assert jobs["54"].reservation
    assert (jobs["1"].accelerators, jobs["1"].accelerator_model, jobs["1"].node_names) == (2, "a100", ("n1",))
    assert jobs["1"].time_limit_s == 3600.0
    assert jobs["34"].name == "bad-\ufffd\ufffd-utf8"


def test_counters_and_weather() -> None:
    diag = rest_wire.decode(body("diag"), rest_wire.Diag, "here").statistics
    assert diag is not None
    pulse = rest.pulse(diag)
    text = parse.counters((FIXTURES / "sdiag.out").read_bytes())
    assert pulse.counters.jobs == text.jobs
    assert pulse.counters.since == text.since
    assert pulse.counters.requests.keys() <= {*text.requests, "REQUEST_FED_INFO", "REQUEST_LICENSE_INFO"}
    assert pulse.weather.users["alice"] == 58
    pings = rest_wire.decode(body("ping"), rest_wire.Pings, "here")
    config = rest.config(pings)
    assert (config.cluster_name, config.version) == ("lab", "24.11.5")
    assert [(each.host, each.up) for each in config.controllers] == [("vm", True)]


# ---- parts


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (("RUNNING", "CONFIGURING", "POWER_UP_NODE"), "CONFIGURING"),
        (("COMPLETED", "COMPLETING"), "COMPLETING"),
        (("PENDING", "REQUEUE_HOLD"), "REQUEUE_HOLD"),
        (("PENDING",), "PENDING"),
        (("COMPLETED",), None),
        (("CANCELLED",), None),
        ((), ""),
        (("NEWEST",), "NEWEST"),
    ],
)
def test_one_word_of_a_state_and_its_flags(words: tuple[str, ...], word: str | None) -> None:
    assert job_word(words) == word


def told(job_id: str, state: str = "PENDING", name: str = "a", reason: str = "Priority") -> dict[str, str]:
    return {"JobArrayID": job_id, "State": state, "Name": name, "Reason": reason, "Partition": "gpu"}


def test_waiting_tasks_stand_in_the_row_of_the_others() -> None:
    rows = [told("4_[7-9,20%2]"), told("4_0"), told("4_2", reason="BeginTime"), told("4_1"), told("4_3", name="b")]
    rows += [told("4_5", state="RUNNING"), told("5_1"), told("6"), told("7+0")]
    listed = [(row["JobArrayID"], row["Reason"]) for row in folded(rows)]
    assert listed[0] == ("4_[0-2,7-9,20%2]", "Priority,BeginTime")
    assert [job_id for job_id, _ in listed[1:]] == ["4_3", "4_5", "5_1", "6", "7+0"]
    assert [row["JobArrayID"] for row in folded([told("4_0"), told("4_1")])] == ["4_0", "4_1"], "nobody to stand with"


class Thing(msgspec.Struct):
    a: str = ""
    n: int = 0


TEXTS = st.text(alphabet=st.sampled_from('a"\\{}[],: \n}{é'), max_size=12)


@given(
    st.lists(st.tuples(TEXTS, st.integers(0, 9)), max_size=6),
    st.sampled_from([None, 1]),
    st.integers(1, 40),
    TEXTS,
)
def test_objects_are_found_however_they_come(
    things: list[tuple[str, int]], indent: int | None, size: int, comment: str
) -> None:
    listed = [{"a": text, "more": [{"a": text}, {"a": comment}], "n": number} for text, number in things]
    whole: dict[str, Any] = {"meta": {"a": comment}, "things": listed, "errors": [{"error": comment}], "last": [{}]}
    data = json.dumps(whole, indent=indent, ensure_ascii=False).encode()
    found, envelope = elements(data, "things", Thing, size)
    assert [(each.a, each.n) for each in found] == things
    assert json.loads(envelope) == {**whole, "things": []}


@pytest.mark.parametrize(
    "text",
    [
        b'{"things": [{"a": "x", "n": 1}, {"a": "y", "n"',
        b'{"things": [{"a": "x", "n": 1}, {"a": "y", "n": "many"}]}',
        b'{"things": [{"a": "x", "n": "many"}, {"a": "y", "n": 1}]}',
        b'{"meta": "' + b"x" * (3 << 20),
    ],
)
def test_an_answer_that_is_cut_or_of_another_form_is_refused(text: bytes) -> None:
    with pytest.raises(BadAnswer) as caught:
        elements(text, "things", Thing)
    assert caught.value.hint


# ---- asking


VERSION = "v0.0.42"


def service(version: str = VERSION) -> dict[str, Answer]:
    """Return a slurmrestd of one version with the recorded answers."""
    names = ("nodes", "jobs", "partitions", "reservations", "diag", "ping")
    return {f"/slurm/{version}/{name}": answer(body(name)) for name in names}


Make = Callable[..., SlurmBackend]


@pytest.fixture
async def backend() -> AsyncIterator[Make]:
    """Open backends that ask a server; all are closed in the end."""
    opened: list[SlurmBackend] = []

    def make(server: Server, script: Script | None = None, **settings: Any) -> SlurmBackend:
        site = Site(script or Script(), settings.pop("environ", {}))
        opened.append(SlurmBackend(SlurmSettings(**{"way": WayName.REST, "rest": server.url, **settings}), site))
        return opened[-1]

    yield make
    for each in opened:
        await each.close()


async def test_the_version_is_found_by_asking_once_and_again_after_an_upgrade(backend: Make) -> None:
    async with serving(service()) as server:
        it = backend(server)
        inventory = await it.inventory()
        assert {node.state for node in inventory.nodes} >= {NodeState.BUSY, NodeState.DRAINING, NodeState.DOWN}
        assert inventory.complete == ("queues", "reservations", "nodes")
        assert inventory.detail is not None
        assert inventory.detail.startswith(f"slurmrestd {VERSION} at {server.url}, Slurm 24.11.5")
        jobs = await it.jobs()
        assert len(jobs.jobs) == 14
        assert [path for path in server.paths() if "/ping" in path] == [
            *(f"/slurm/v0.0.{number}/ping" for number in (45, 44, 43, 42)),
            f"/slurm/{VERSION}/ping",
        ]
        server.answers.clear()
        server.answers.update(service("v0.0.45"))
        it._listed.clear()
        with pytest.raises(SourceError, match="no such thing"):
            await it.jobs()
        assert (await it.jobs()).detail == jobs.detail.replace(VERSION, "v0.0.45") if jobs.detail else False


def errors(*words: tuple[str, str], status: int = 500) -> bytes:
    told = [{"description": description, "error": error, "error_number": 1} for description, error in words]
    return as_json({"jobs": [], "errors": told, "meta": {}}, status)


async def garbage(_asked: Asked, writer: Any) -> None:
    writer.write(b"\x00\xff not http at all\r\n\r\n")
    await writer.drain()


FAULTS: list[tuple[Answer, type[SourceError], str]] = [
    (answer(b"{}"), BadAnswer, ""),
    (answer(b"<html>nginx</html>", 200, "text/html"), BadAnswer, "nginx"),
    (answer(body("jobs")[:40_000]), BadAnswer, "not known|whole answer"),
    (answer(b'{"jobs": [{"job_id": "one"}]}'), BadAnswer, "job_id"),
    (answer(b'{"jobs": "none"}'), BadAnswer, ""),
    (
        errors(("Unable to query jobs", "Unable to contact slurm controller (connect failure)")),
        Unreachable,
        "slurmctld",
    ),
    (answer(body("ctld-down"), 502), Unreachable, "Unable to contact slurm controller"),
    (errors(("", "Zero Bytes were transmitted or received"), status=200), ConnectionLost, "slurmctld"),
    (errors(("Failure to query jobs", "Protocol authentication error"), status=511), Denied, "authentication"),
    (errors(("Unable to query jobs", "Access/permission denied")), Denied, "does not show this"),
    (errors(("Failed while looking for jobs", "Unspecified error")), Unreachable, "slurmctld"),
    (errors(("no", "luck\x1b[31m")), BadAnswer, "no: luck"),
    (answer(b"Authentication failure", 401, "text/plain"), Denied, "401"),
    (answer(b"<html><title>x</title>Bad gateway</html>", 502, "text/html"), Unreachable, "Bad gateway"),
    (garbage, BadAnswer, "HTTP"),
    (never, Unreachable, "no answer within"),
]


@pytest.mark.parametrize(("reply", "kind", "words"), FAULTS)
async def test_what_is_no_answer_is_said_and_the_next_one_taken(
    backend: Make, reply: Answer, kind: type[SourceError], words: str
) -> None:
    async with serving(service()) as server:
        it = backend(server)
        way = it._choice.taken
        assert isinstance(way, ByRest)
        await it.inventory()
        if reply is never:
            way._http._timeout_s = 0.3
        server.answers[f"/slurm/{VERSION}/jobs"] = reply
        with pytest.raises(kind) as caught:
            await it.jobs()
        assert caught.value.hint
        assert "\x1b" not in str(caught.value)
        assert re.search(words, str(caught.value))
        server.answers.update(service())
        way._http._timeout_s = 20.0
        assert len((await it.jobs()).jobs) == 14


async def test_an_answer_that_is_far_too_long_is_given_up(backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.slurm.by_rest.LIMIT_BYTES", 1000)
    async with serving(service()) as server:
        it = backend(server)
        with pytest.raises(BadAnswer, match="more than"):
            await it.jobs()


async def test_no_slurmrestd_that_is_known(backend: Make) -> None:
    async with serving({}) as server:
        it = backend(server)
        with pytest.raises(SourceError, match=r"v0\.0\.38 to v0\.0\.45") as caught:
            await it.inventory()
        assert caught.value.state is SourceState.ERROR, "loud: who asks for this way wants to know"
        assert len(set(server.paths())) == 8


async def test_reservations_that_are_refused_cost_only_themselves(backend: Make) -> None:
    async with serving(service()) as server:
        server.answers[f"/slurm/{VERSION}/reservations"] = errors(("", "Access/permission denied"))
        it = backend(server)
        inventory = await it.inventory()
        assert inventory.complete == ("queues", "nodes")


# ---- tokens


async def test_a_token_goes_into_its_header_and_nowhere_else(backend: Make, tmp_path: Path) -> None:
    place = tmp_path / "jwt"
    place.write_text("eyJ.one.x\n")
    async with serving(service()) as server:
        it = backend(server, rest_token=f"file:{place}")
        await it.jobs()
        place.write_text("eyJ.two.x\n")
        it._listed.clear()
        await it.jobs()
        sent = [asked.headers["x-slurm-user-token"] for asked in server.asked]
        assert sent[0] == "eyJ.one.x"
        assert sent[-1] == "eyJ.two.x"
        assert all("authorization" not in asked.headers for asked in server.asked)
        place.unlink()
        it._listed.clear()
        with pytest.raises(Denied) as caught:
            await it.jobs()
        assert str(place) in str(caught.value)


async def test_slurm_s_own_place_for_a_token_is_used(backend: Make) -> None:
    async with serving(service()) as server:
        it = backend(server, environ={"SLURM_JWT": "eyJ.env.x"})
        await it.jobs()
        assert {asked.headers["x-slurm-user-token"] for asked in server.asked} == {"eyJ.env.x"}


async def test_scontrol_is_asked_for_a_token_and_again_when_it_is_refused(backend: Make) -> None:
    script = Script()
    given: list[str] = []

    def run(token: str) -> Callable[..., Any]:
        async def answer_with(argv: Any, *, timeout_s: float, **_: Any) -> Any:
            assert argv[-2:] == ["token", "lifespan=1800"]
            given.append(token)
            return Completed(exit_status=0, stdout=f"SLURM_JWT={token}\n".encode(), stderr=b"", seconds=0.01)

        return answer_with

    async with serving(service()) as server:
        it = backend(server, script, rest_token="scontrol")
        script.run = run("eyJ.1.x")  # type: ignore[method-assign]
        await it.jobs()
        await it.inventory()
        assert given == ["eyJ.1.x"]
        server.answers[f"/slurm/{VERSION}/jobs"] = answer(b"Authentication failure", 401, "text/plain")
        it._listed.clear()
        with pytest.raises(Denied) as caught:
            await it.jobs()
        assert "eyJ" not in f"{caught.value} {caught.value.hint} {vars(it._choice.taken)}"
        script.run = run("eyJ.2.x")  # type: ignore[method-assign]
        server.answers.update(service())
        await it.jobs()
        assert given == ["eyJ.1.x", "eyJ.2.x"]
        script.run = run("")  # type: ignore[method-assign]
        server.answers[f"/slurm/{VERSION}/jobs"] = answer(b"no", 401, "text/plain")
        for _ in range(2):
            it._listed.clear()
            with pytest.raises(Denied):
                await it.jobs()


# ---- settings, and the choice


@pytest.mark.parametrize(
    "settings",
    [
        {"way": WayName.REST},
        {"rest": "slurm1:6820"},
        {"rest": "unix:relative/socket"},
        {"rest": "unix:/run/s", "via": "ssh://login1"},
        {"rest": "http://user:word@slurm1:6820"},
        {"rest": "http://slurm1:6820", "rest_token": "eyJ.written.down"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        SlurmBackend(SlurmSettings(**settings), Site(Script()))
    assert caught.value.hint
    assert "eyJ" not in f"{caught.value} {caught.value.hint}"


async def test_auto_takes_the_commands_where_they_are_and_slurmrestd_where_they_are_not(backend: Make) -> None:
    async with serving(service()) as server:
        script = Script()
        it = backend(server, script, way=WayName.AUTO)
        assert (await it.jobs()).detail == "squeue; on change, by sdiag"
        assert server.asked == []
        checks = {check.subject: check for check in await it.doctor()}
        assert checks["slurmrestd"].state is CheckState.OK
        assert "not taken: squeue and scontrol are here and cost less" in checks["slurmrestd"].detail
        server.answers.clear()
        checks = {check.subject: check for check in await it.doctor()}
        assert checks["slurmrestd"].state is CheckState.WARNING, "it is not taken anyway"

        server.answers.update(service())
        script.answers["--version"] = Unsupported("no such program", "local", "install it")
        it = backend(server, script, way=WayName.AUTO)
        both = await asyncio.gather(it.jobs(), it.inventory())
        assert all("slurmrestd" in (records.detail or "") for records in both)
        checks = {check.subject: check for check in await it.doctor()}
        assert checks["way"].detail == "records come by slurmrestd: there is no squeue at local"
        assert "without it nothing explains a job" in checks["squeue on local"].detail


async def test_doctor_says_of_each_way_why_it_is_not_taken(backend: Make) -> None:
    async with serving(service()) as server:
        it = backend(server, way=WayName.COMMANDS, pyslurm="/nowhere/python")
        checks = {check.subject: check for check in await it.doctor()}
        assert checks["way"].detail.endswith('the settings say way = "commands"')
        assert 'not taken: the settings say way = "commands", way = "rest" takes it' in checks["slurmrestd"].detail
        assert checks["pyslurm"].state is CheckState.WARNING
        assert checks["pyslurm"].remedy


async def test_a_way_that_is_named_is_not_replaced(backend: Make) -> None:
    it = backend(Server(url="http://127.0.0.1:1"))
    with pytest.raises(Unreachable):
        await it.jobs()
    with pytest.raises(Unreachable):
        await it.inventory()
    checks = {check.subject: check for check in await it.doctor()}
    assert checks["slurmrestd"].state is CheckState.FAILED
