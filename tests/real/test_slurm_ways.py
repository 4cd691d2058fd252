"""Slurm's records by squeue and scontrol, by slurmrestd and by pyslurm: the same, and what each says when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.errors import ConnectionLost, Denied, SourceError, Unreachable
from console.model import Job, JobState, Node, NodeState, Queue, Records, Reservation
from console.plugin import CheckState
from console.session import World
from console.transport.pool import TransportPool
from plugins.slurm import by_rest
from plugins.slurm.backend import SlurmBackend
from plugins.slurm.by_pyslurm import ByPyslurm
from plugins.slurm.settings import SlurmSettings, WayName
from tests.needs import need
from tests.real import slurm_newer
from tests.real.fleet import SshFleet
from tests.real.fleet import missing as ssh_missing
from tests.real.slurm_cluster import SlurmCluster, missing_accounting, wait_until
from tests.real.slurm_cluster import missing as slurm_missing
from tests.real.test_slurm import Site

pytestmark = pytest.mark.real

ODD = 'odd\n\x1b[31mred\x1f|"q" \\ %s ünï'
Record = Node | Job | Queue | Reservation
Check = Callable[[Any, Any], bool]


def _same_words(text: Any, other: Any) -> bool:
    """Whether the flags of a state are the same, in whatever order."""
    first, *flags = text.split("+")
    return bool(first == other.split("+")[0] and set(flags) == set(other.split("+")[1:]))


ALLOWED: dict[WayName, dict[tuple[type, str], tuple[str, Check]]] = {
    WayName.REST: {
        (Queue, "default"): (
            "from v0.0.40 on slurmrestd does not tell which partition is the default",
            lambda text, other: text and not other,
        ),
        (Node, "scheduler_state"): ("it has its own order of the flags", _same_words),
    },
    WayName.PYSLURM: {
        (Job, "accelerators"): (
            "pyslurm 25.11 cannot read what a waiting job asks for per job, socket or task",
            lambda text, other: other is None,
        ),
        (Job, "missing"): (
            "and says so",
            lambda text, other: other == {**text, "accelerators": "pyslurm does not tell what was asked for"},
        ),
        (Job, "accelerator_model"): (
            "of which model they are it knows by the GPUs that are held, squeue by what was asked for",
            lambda text, other: other is None or (text is None and other in ("a100", "h100")),
        ),
        (Job, "dependency"): (
            "it tells what a job depends on in the order of the kinds of dependency",
            lambda text, other: set(text.split(",")) == set(other.split(",")),
        ),
        (Node, "detail"): (
            "it does not tell in which reservation a node is",
            lambda text, other: {label: words for label, words in text.items() if label != "reservation"} == other,
        ),
    },
}
"""All that may differ from what squeue and scontrol tell: the reason, and whether such a difference is that one."""


def populate(slurm: SlurmCluster) -> None:
    """Bring the cluster into a state that holds a bit of everything, and that stays."""
    slurm.submit("-w", "n3", "--gres=gpu:2", "-J", "pretrain", "--comment", ODD, "-t", "20:00:00", "-n", "2")
    first = slurm.submit("-w", "n1", "--gpus=1", "-J", ODD)
    slurm.submit("-p", "debug", "--array=0-9%2", "-J", "sweep")
    split = slurm.submit("-p", "debug", "--array=0-19", "-H")
    for tasks, change in (
        ("0-3", "Comment=x"),
        ("6-7", "TimeLimit=5"),
        ("8", "Name=other"),
        ("9", "StartTime=now+9hours"),
    ):
        slurm.run("scontrol", "update", f"JobId={split}_[{tasks}]", change)
    slurm.run("scontrol", "release", f"{split}_9")
    slurm.submit("-d", f"afterok:{first},afterany:{first}", "-J", "after")
    slurm.submit("-d", "singleton", "-J", "sweep")
    slurm.submit("-H", "-t", "UNLIMITED", "--gpus-per-task=2", "-n", "2")
    slurm.submit("-H", "--gpus-per-socket=1", "--sockets-per-node=1")
    slurm.submit("--begin=now+10hours", "--gres=gpu:a100:4", "-N", "2", "--mem=1G")
    slurm.submit("-H", "-n", "1", ":", "-n", "2", "--gres=gpu:1")
    slurm.submit("-H", "--qos=normal", "-J", "")
    times = ("StartTime=now+5hours", "Duration=60", "Nodes=n4", "Users=root", "Flags=IGNORE_JOBS")
    slurm.run("scontrol", "create", "reservation", "ReservationName=later", *times)
    slurm.submit("-p", "debug", "--reservation=later")
    running = ("squeue", "-h", "-t", "R", "-O", "JobID")
    wait_until(lambda: len(slurm.run(*running).stdout.split()) >= 4, 30, "two jobs and two tasks of the array run")
    slurm.run("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=Xid 79 [a@1]\nsecond line, ünï")
    slurm.run("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=fan", "Comment=row 3")


@contextlib.contextmanager
def public() -> Iterator[Path]:
    """Lend a directory that slurmrestd, another user, can reach; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="qd-ways-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module", params=["system", "25.11"])
def slurm(request: pytest.FixtureRequest) -> Iterator[SlurmCluster]:
    """A cluster of each release there is, in a state that holds a bit of everything, with slurmrestd on a socket."""
    with public() as base, older(base) if request.param == "system" else newer(base) as cluster:
        populate(cluster)
        yield cluster


def older(base: Path, nodes: int = 4) -> SlurmCluster:
    """Return a cluster of the system's Slurm, or skip."""
    need(slurm_missing())
    need(None if Path("/usr/sbin/slurmrestd").exists() else "slurmrestd is not installed")
    return SlurmCluster(base, nodes=nodes)


def newer(base: Path, nodes: int = 4, *, accounting: bool = False) -> SlurmCluster:
    """Return a cluster of Slurm 25.11, or skip."""
    if not slurm_newer.there():
        pytest.skip("there is no archive of Slurm 25.11: QD_TEST_SLURM names its directory")
    need(slurm_newer.missing() or (missing_accounting() if accounting else None))
    return slurm_newer.cluster(base, nodes, accounting=accounting)


def pyslurm(cluster: SlurmCluster) -> str:
    """Return the Python whose pyslurm fits this cluster, or skip."""
    if cluster.prefix is None:
        pytest.skip("pyslurm of PyPI fits Slurm 25.11 alone")
    python = slurm_newer.pyslurm()
    if python is None:
        pytest.skip("there is no pyslurm: scripts/setup.sh systems builds it, QD_TEST_PYSLURM names its environment")
    return python


@contextlib.asynccontextmanager
async def opened(cluster: SlurmCluster, settings: SlurmSettings, **environ: str) -> AsyncIterator[SlurmBackend]:
    site = Site({**cluster.environ, **environ})
    if cluster.prefix is not None:
        settings.bin = str(cluster.prefix / "bin")
    backend = SlurmBackend(settings, site)
    try:
        yield backend
    finally:
        await backend.close()
        await site.local.close()


Everything = tuple[Records, Records]


async def everything(backend: SlurmBackend) -> Everything:
    """Return all that a fresh backend tells."""
    return await backend.inventory(), await backend.jobs()


def tables(told: Everything) -> dict[type, dict[str, Record]]:
    inventory, jobs = told
    return {
        Node: {node.name: node for node in inventory.nodes},
        Queue: {queue.name: queue for queue in inventory.queues},
        Reservation: {reservation.name: reservation for reservation in inventory.reservations},
        Job: {job.id: job for job in jobs.jobs},
    }


def differences(text: Everything, other: Everything, way: WayName) -> list[str]:
    """Return field by field what differs and may not."""
    found = []
    for kind, mine in tables(text).items():
        others = tables(other)[kind]
        found += [f"{kind.__name__} {name} is listed by one only" for name in sorted(mine.keys() ^ others.keys())]
        for name in sorted(mine.keys() & others.keys()):
            for field in mine[name].__struct_fields__:
                here, there = getattr(mine[name], field), getattr(others[name], field)
                allowed = ALLOWED[way].get((kind, field))
                if here != there and (allowed is None or not allowed[1](here, there)):
                    found.append(f"{kind.__name__} {name}.{field}: {here!r} by text, {there!r} by {way}")
    return found


async def compare(cluster: SlurmCluster, settings: SlurmSettings) -> Everything:
    """Read by squeue and scontrol before and after: when those two are the same, so must be what came between."""
    for _ in range(20):
        told: list[Everything] = []
        for each in (SlurmSettings(), settings, SlurmSettings()):
            async with opened(cluster, each) as backend:
                told.append(await everything(backend))
        if tables(told[0]) == tables(told[2]):
            assert differences(told[0], told[1], WayName(settings.way)) == []
            return told[1]
        await asyncio.sleep(0.5)
    raise AssertionError("the cluster does not come to rest")


# ---- the same records


async def test_slurmrestd_tells_the_same_as_squeue_and_scontrol(
    slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = slurm.start_rest()
    versions = ("v0.0.38",) if slurm.prefix is None else ("v0.0.44", "v0.0.43", "v0.0.42", "v0.0.41")
    for version in versions:
        monkeypatch.setattr(by_rest, "VERSIONS", ("v0.0.99", version))
        inventory, jobs = await compare(slurm, SlurmSettings(way=WayName.REST, rest=rest))
        assert f"slurmrestd {version}" in (inventory.detail or "")
        assert {NodeState.DRAINING, NodeState.DOWN} <= {node.state for node in inventory.nodes}
        assert {JobState.RUNNING, JobState.PENDING, JobState.HELD} == {job.state for job in jobs.jobs}
        assert jobs.facts["threads"].endswith("at work")


async def test_pyslurm_tells_the_same_as_squeue_and_scontrol(slurm: SlurmCluster) -> None:
    inventory, _ = await compare(slurm, SlurmSettings(way=WayName.PYSLURM, pyslurm=pyslurm(slurm)))
    assert "pyslurm 25.11" in (inventory.detail or "")
    held = {node.name: node.detail.get("GRES in use") for node in inventory.nodes}
    assert held["n3"] == "gpu:h100:2(IDX:0-1)", "which GPUs are held, by the jobs that hold them"


async def test_gpus_that_the_cluster_counts_are_known_to_every_way() -> None:
    with public() as base, newer(base, accounting=True) as cluster:
        running = cluster.submit("--gres=gpu:a100:2")
        cluster.submit("--gpus=2", "-n", "2", "-N", "1")
        cluster.submit("-H", "--gpus-per-task=h100:1", "-n", "2")
        cluster.submit("-H", "--gpus=3")
        cluster.submit("-H")
        state = ("squeue", "-h", "-j", running, "-o", "%T")
        wait_until(lambda: "RUNNING" in cluster.run(*state).stdout, 30, "the job runs")
        for settings in (
            SlurmSettings(way=WayName.REST, rest=cluster.start_rest()),
            SlurmSettings(way=WayName.PYSLURM, pyslurm=pyslurm(cluster)),
        ):
            _, jobs = await compare(cluster, settings)
            assert sorted(job.accelerators or 0 for job in jobs.jobs) == [0, 2, 2, 2, 3]


async def test_what_each_way_costs_slurmctld_is_what_is_said(slurm: SlurmCluster) -> None:
    ways = [SlurmSettings(), SlurmSettings(way=WayName.REST, rest=slurm.start_rest())]
    if slurm.prefix is not None and (python := slurm_newer.pyslurm()) is not None:
        ways.append(SlurmSettings(way=WayName.PYSLURM, pyslurm=python))
    for settings in ways:
        async with opened(slurm, settings) as backend:
            before = slurm.requests()
            inventory, jobs = await everything(backend)
            after = slurm.requests()
        # What the nodes say is not ours; the second question of this test itself is counted too.
        new = {name: count - before.get(name, 0) for name, count in after.items() if name.startswith("REQUEST_")}
        assert sum(new.values()) - 1 == inventory.requests + jobs.requests, (settings.way, new)


async def test_a_change_is_seen_by_every_way(slurm: SlurmCluster) -> None:
    ways = [SlurmSettings(way=WayName.REST, rest=slurm.start_rest())]
    if slurm.prefix is not None and (python := slurm_newer.pyslurm()) is not None:
        ways.append(SlurmSettings(way=WayName.PYSLURM, pyslurm=python))
    for settings in ways:
        async with opened(slurm, settings) as backend:
            await everything(backend)
            quiet = await backend.jobs()
            assert quiet.jobs == ()
            job = slurm.submit("-H", "-J", "new")
            backend._pulse = None
            records = await backend.jobs()
            assert [each.id for each in records.jobs if each.name == "new"] == [job]
            slurm.run("scancel", job)
            backend._pulse = None
            assert job in (await backend.jobs()).gone_jobs


# ---- which way is taken


async def test_doctor_says_which_way_is_taken_and_why(slurm: SlurmCluster) -> None:
    rest = slurm.start_rest()
    async with opened(slurm, SlurmSettings(rest=rest)) as backend:
        checks = {check.subject: check for check in await backend.doctor()}
    assert checks["way"].detail == "records come by squeue, scontrol and sdiag: they cost least"
    assert checks["slurmrestd"].state is CheckState.OK
    assert 'not taken: squeue and scontrol are here and cost less, way = "rest" takes it' in checks["slurmrestd"].detail
    assert checks["pyslurm"].state is CheckState.ABSENT
    async with opened(slurm, SlurmSettings(rest=rest)) as backend:
        backend.settings.bin = "/nowhere"
    nowhere = SlurmBackend(SlurmSettings(rest=rest, bin="/nowhere"), Site(slurm.environ))
    checks = {check.subject: check for check in await nowhere.doctor()}
    assert checks["way"].detail == "records come by slurmrestd: there is no squeue at local"
    assert checks["squeue on local"].state is CheckState.WARNING
    assert "slurmrestd" in ((await nowhere.inventory()).detail or "")
    await nowhere.close()


# ---- when it breaks


@pytest.fixture
def broken() -> Iterator[SlurmCluster]:
    """A small cluster of 25.11 to break."""
    with public() as base, newer(base, nodes=1) as cluster:
        yield cluster


@pytest.fixture
def own() -> Iterator[SlurmCluster]:
    """A small cluster of the system's Slurm to break."""
    with public() as base, older(base, nodes=1) as cluster:
        yield cluster


async def failing(backend: SlurmBackend, kind: type[SourceError]) -> SourceError:
    """Return the error that a question ends with, which has a hint."""
    with pytest.raises(kind) as caught:
        await backend.jobs()
    assert caught.value.hint
    return caught.value


async def test_slurmrestd_that_dies_is_said_and_the_commands_go_on(slurm: SlurmCluster) -> None:
    rest = slurm.start_rest()
    async with opened(slurm, SlurmSettings(way=WayName.REST, rest=rest)) as backend:
        assert (await backend.jobs()).jobs
        slurm.kill("slurmrestd")
        backend._pulse = None
        error = await failing(backend, Unreachable)
        assert rest in str(error)
        async with opened(slurm, SlurmSettings()) as other:
            assert (await other.jobs()).jobs
        slurm.start_rest()
        assert (await backend.jobs()).complete == (), "the same table, told on"


async def test_a_slurmctld_behind_slurmrestd_that_dies_is_said(own: SlurmCluster) -> None:
    async with opened(own, SlurmSettings(way=WayName.REST, rest=own.start_rest())) as backend:
        await backend.jobs()
        own.kill("slurmctld")
        backend._pulse = None
        assert "slurmctld" in str(await failing(backend, Unreachable))


async def test_tokens(broken: SlurmCluster, tmp_path: Path) -> None:
    rest = broken.start_rest(jwt=True)

    def token(lifespan_s: int) -> str:
        return broken.run("scontrol", "token", f"lifespan={lifespan_s}").stdout.strip().removeprefix("SLURM_JWT=")

    place = tmp_path / "token"
    place.write_text(token(600))
    file = SlurmSettings(way=WayName.REST, rest=rest, rest_token=f"file:{place}")
    async with opened(broken, file) as backend:
        await backend.jobs()
        place.write_text(short := token(1))
        await asyncio.sleep(3)
        backend._pulse = None
        error = await failing(backend, Denied)
        assert short not in f"{error} {error.hint} {error!r}"
        place.write_text(token(600))  # it rotates
        assert (await backend.jobs()).complete == ()
        place.write_text(token(600)[:-6] + "AAAAAA")
        backend._pulse = None
        assert "rest_token" in (await failing(backend, Denied)).hint
    plain = SlurmSettings(way=WayName.REST, rest=rest)
    async with opened(broken, plain, SLURM_JWT=token(600)) as backend:
        assert (await backend.jobs()).complete == ("jobs",)
    async with opened(broken, plain) as backend:
        error = await failing(backend, Denied)
        assert "401" in str(error)
        assert "rest_token" in error.hint
    async with opened(broken, SlurmSettings(way=WayName.REST, rest=rest, rest_token="scontrol")) as backend:
        assert (await backend.jobs()).complete == ("jobs",)
        way = backend._choice.taken
        assert isinstance(way, by_rest.ByRest)
        assert way._asked is not None
        assert way._asked.read() not in repr(vars(way)) + repr(way._asked)


async def test_a_pyslurm_that_is_killed_or_stuck_costs_one_answer(broken: SlurmCluster) -> None:
    settings = SlurmSettings(way=WayName.PYSLURM, pyslurm=pyslurm(broken))
    async with opened(broken, settings) as backend:
        await backend.jobs()
        for how, kind in ((signal.SIGSEGV, ConnectionLost), (signal.SIGSTOP, Unreachable)):
            way = backend._choice.taken
            assert isinstance(way, ByPyslurm)
            os.kill(_child(backend), how)
            way._timeout_s = 1.0
            await asyncio.sleep(0.1)
            backend._pulse = None
            assert "pyslurm" in str(await failing(backend, kind))
            way._timeout_s = 20.0
            assert (await backend.jobs()).requests, "a new process answers"


async def test_a_slurmctld_that_pyslurm_does_not_reach_is_said(broken: SlurmCluster) -> None:
    settings = SlurmSettings(way=WayName.PYSLURM, pyslurm=pyslurm(broken))
    async with opened(broken, settings) as backend:
        await backend.jobs()
        broken.kill("slurmctld")
        backend._pulse = None
        assert "slurmctld does not answer" in str(await failing(backend, Unreachable))


async def test_a_slurm_that_does_not_fit_pyslurm_is_said(own: SlurmCluster) -> None:
    python = slurm_newer.pyslurm()
    if python is None:
        pytest.skip("there is no pyslurm: scripts/setup.sh systems builds it, QD_TEST_PYSLURM names its environment")
    async with opened(own, SlurmSettings(way=WayName.PYSLURM, pyslurm=python)) as backend:
        assert "slurmctld" in str(await failing(backend, SourceError))


async def test_a_python_without_pyslurm_is_said(own: SlurmCluster) -> None:
    async with opened(own, SlurmSettings(way=WayName.PYSLURM)) as backend:
        assert "No module named 'pyslurm'" in str(await failing(backend, SourceError))


def _child(backend: SlurmBackend) -> int:
    """Return the pid of the process that holds pyslurm."""
    way = backend._choice.taken
    assert isinstance(way, ByPyslurm)
    channel: Any = way._channel
    return int(channel.transport.get_pid())


@pytest.mark.slow
async def test_both_work_through_a_login_node(broken: SlurmCluster, tmp_path: Path) -> None:
    need(ssh_missing())
    broken.submit("--gres=gpu:1", "-J", ODD)
    url = broken.start_rest(jwt=True)
    common: dict[str, Any] = {"via": "ssh://login1", "slurm_conf": str(broken.conf), "bin": f"{broken.prefix}/bin"}
    settings = [
        SlurmSettings(**common),
        SlurmSettings(**common, way=WayName.REST, rest=url, rest_token="scontrol"),
        SlurmSettings(**common, way=WayName.PYSLURM, pyslurm=pyslurm(broken)),
    ]
    with SshFleet(1, tmp_path, prefix="login") as fleet:
        for _ in range(20):
            told = []
            for each in (*settings, settings[0]):
                pool = TransportPool(fleet.ssh_config)
                backend = SlurmBackend(each, World(pool, {}, "lab"))
                try:
                    told.append(await everything(backend))
                finally:
                    await backend.close()
                    await pool.close()
            if tables(told[0]) == tables(told[3]):
                break
    assert differences(told[0], told[1], WayName.REST) == []
    assert differences(told[0], told[2], WayName.PYSLURM) == []
    assert "through login1" in (told[1][0].detail or "")
    assert {node.address for node in told[2][0].nodes} == {"ssh:login1"}
