"""The backend on a scripted transport: what it asks when, what it tells, and how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from console.errors import (
    BadAnswer,
    ConfigError,
    Denied,
    NoSuchFile,
    NoSuchJob,
    SourceError,
    TimedOut,
    Unreachable,
    Unsupported,
)
from console.model import JobState, NodeState, Records
from console.plugin import CheckState, Explainer, Inventory, Logs, Queue
from console.transport.base import Channel, Completed, Transport
from plugins.pbs import client as client_module
from plugins.pbs import plugin
from plugins.pbs.backend import JOBS_MAX_AGE_S, LAYOUT_MAX_AGE_S, NODES_MAX_AGE_S, WHOLE_AGAIN_S, PbsBackend
from plugins.pbs.settings import PbsSettings
from tests.unit.pbs_recordings import completed, recording

HANG = Completed(exit_status=-1, stdout=b"", stderr=b"", seconds=0.0)
"""Stands for a command that never ends."""
SERVER, JOBS, QUEUES, NODES, RSTAT = "-B -f", "qstat -f", "-Q -f", "pbsnodes", "pbs_rstat"


class Script:
    """A transport that answers from recordings; `answers` may be changed while it runs. The first key that fits wins."""

    def __init__(self, name: str = "local") -> None:
        self.name = name
        self.asked: list[str] = []
        self.argv: list[list[str]] = []
        self.answers: dict[str, Completed | SourceError] = {
            "--version": Completed(exit_status=0, stdout=b"pbs_version = 23.06.06\n", stderr=b"", seconds=0.01),
            SERVER: completed("03_mixed/qstat_B_f_json.json"),
            QUEUES: completed("03_mixed/qstat_Q_f_json.json"),
            "-x -t": completed("05_control/qstat_array_t_after.json"),
            "-x -f": completed("03_mixed/qstat_x_f_json.json"),
            JOBS: completed("03_mixed/qstat_f_json.json"),
            NODES: completed("03_mixed/pbsnodes_av_json.json"),
            RSTAT: completed("08_indented/pbs_rstat.txt"),
            "env true": Completed(exit_status=0, stdout=b"", stderr=b"", seconds=0.01),
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
        line = " ".join(argv)
        key = next(key for key in self.answers if key in line)
        self.asked.append(key)
        self.argv.append(list(argv))
        answer = self.answers[key]
        if isinstance(answer, SourceError):
            raise answer
        if answer is HANG:
            await asyncio.sleep(min(timeout_s, 0.05))
            raise TimedOut("it did not end", self.name)
        await asyncio.sleep(0)
        return answer

    async def open(self, argv: Sequence[str]) -> Channel:
        raise Unsupported("no channels here")

    async def close(self) -> None:
        """Nothing to close."""

    def take(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked

    def one_job(self, job_id: str, name: str = "03_mixed/qstat_f_json.json") -> None:
        """Let qstat show one job of a recording when it is asked for that one."""
        table = msgspec.json.decode(recording(name))["Jobs"]
        answer = msgspec.json.format(msgspec.json.encode({"Jobs": {job_id: table[job_id]}}), indent=4)
        shown = Completed(exit_status=0, stdout=answer, stderr=b"", seconds=0.01)
        self.answers = {f"-f -F json {job_id}": shown, **self.answers}

    def count(self, total: int) -> None:
        """Let the server count so many jobs."""
        done = completed("03_mixed/qstat_B_f_json.json")
        stdout = done.stdout.replace(b'"total_jobs":\t19', b'"total_jobs":\t%d' % total)
        self.answers[SERVER] = msgspec.structs.replace(done, stdout=stdout)


class Site:
    def __init__(self, transport: Script, environ: Mapping[str, str] | None = None) -> None:
        self.environ: Mapping[str, str] = environ or {}
        self.cluster = "lab"
        self.time = 1_795_474_700.0
        self.vias: list[str | None] = []
        self.transports: dict[str | None, Transport] = {}
        self._transport = transport
        self.programs: dict[str, str] = {}

    def which(self, program: str) -> str | None:
        return self.programs.get(program)

    def transport(self, via: str | None = None) -> Transport:
        self.vias.append(via)
        return self.transports.get(via, self._transport)

    def expand(self, nodeset: str) -> list[str]:
        return [nodeset]

    def now(self) -> float:
        return self.time


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def site(script: Script) -> Site:
    return Site(script)


@pytest.fixture
def backend(site: Site) -> PbsBackend:
    return PbsBackend(PbsSettings(), site)


async def both(backend: PbsBackend) -> tuple[Records, Records]:
    return await backend.inventory(), await backend.jobs()


# ---- what it tells


def test_it_has_the_capabilities_that_it_promises(backend: PbsBackend) -> None:
    for capability in (Inventory, Queue, Explainer, Logs):
        assert isinstance(backend, capability)


async def test_the_first_answers_are_whole(script: Script, backend: PbsBackend) -> None:
    inventory, jobs = await both(backend)
    assert inventory.complete == ("queues", "reservations", "nodes")
    assert len(inventory.nodes) == 8
    assert [queue.name for queue in inventory.queues] == ["workq", "gpu", "long", "route"]
    assert inventory.reservations[0].name == "R9.pbs01"
    assert inventory.cluster is not None
    assert inventory.cluster.version == "23.06.06"
    assert jobs.complete == ("jobs",)
    assert len(jobs.jobs) == 13
    # One look at the server serves both; qstat -f and pbs_rstat make two requests each.
    assert script.take() == [SERVER, QUEUES, RSTAT, NODES, JOBS]
    assert inventory.requests + jobs.requests == 7
    assert inventory.detail == "pbsnodes 23.06.06; on change, by qstat -B"


async def test_hosts_of_arrays_come_from_the_list_of_hosts(backend: PbsBackend) -> None:
    _, jobs = await both(backend)
    sweep = next(job for job in jobs.jobs if job.id == "3[].pbs01")
    assert sweep.node_names == ("gpu003", "gpu004", "gpu006")


async def test_hosts_of_arrays_that_come_later_cost_no_request(script: Script, site: Site, backend: PbsBackend) -> None:
    jobs = await backend.jobs()
    sweep = next(job for job in jobs.jobs if job.id == "3[].pbs01")
    assert sweep.nodes is None
    assert "pbsnodes" in sweep.missing["nodes"]
    await backend.inventory()
    script.take()
    jobs = await backend.jobs()
    assert script.take() == []
    assert {job.id: job.nodes for job in jobs.jobs} == {"3[].pbs01": "gpu[003-004,006]", "4[].pbs01": "gpu003"}
    assert "nodes" not in jobs.jobs[0].missing
    assert (await backend.jobs()).jobs == ()


async def test_nothing_is_listed_while_nothing_changed(script: Script, site: Site, backend: PbsBackend) -> None:
    await both(backend)
    script.take()
    site.time += 6
    inventory, jobs = await both(backend)
    assert script.take() == [SERVER]
    assert (inventory.nodes, inventory.complete, inventory.requests) == ((), (), 1)
    assert (jobs.jobs, jobs.complete, jobs.requests) == ((), (), 0)


async def test_a_count_that_changed_lists_jobs_and_hosts_and_tells_what_changed(
    script: Script, site: Site, backend: PbsBackend
) -> None:
    await both(backend)
    script.take()
    site.time += 6
    script.count(20)
    script.answers[JOBS] = completed("05_control/qstat_x_f_json.json")
    inventory, jobs = await both(backend)
    assert script.take() == [SERVER, NODES, JOBS]
    assert inventory.nodes == ()
    assert jobs.complete == ()
    assert {job.id for job in jobs.jobs} >= {"5.pbs01", "13.pbs01"}
    assert jobs.gone_jobs == ("8.pbs01",)


async def test_listings_that_grow_old_are_asked_for_anew(script: Script, site: Site, backend: PbsBackend) -> None:
    await both(backend)
    script.take()
    site.time += NODES_MAX_AGE_S
    await both(backend)
    assert script.take() == [SERVER, NODES]
    site.time += JOBS_MAX_AGE_S - NODES_MAX_AGE_S
    await both(backend)
    assert script.take() == [SERVER, JOBS]
    site.time += LAYOUT_MAX_AGE_S
    await both(backend)
    assert script.take() == [SERVER, QUEUES, RSTAT, NODES, JOBS]


async def test_everything_is_told_anew_now_and_then(site: Site, backend: PbsBackend) -> None:
    await both(backend)
    site.time += WHOLE_AGAIN_S
    inventory, jobs = await both(backend)
    assert "nodes" in inventory.complete
    assert jobs.complete == ("jobs",)
    assert len(jobs.jobs) == 13


async def test_a_quiet_hour_costs_less_than_the_budget(site: Site, backend: PbsBackend) -> None:
    requests = 0
    for _ in range(720):
        requests += sum(records.requests for records in await both(backend))
        site.time += 5
    assert requests / 60 < PbsSettings().requests_per_minute  # type: ignore[operator]


async def test_an_empty_cluster_is_an_answer(script: Script, backend: PbsBackend) -> None:
    script.answers[JOBS] = completed("01_empty/qstat_f_json.json")
    script.answers[NODES] = completed("08_indented/no_nodes.txt")
    inventory, jobs = await both(backend)
    assert (jobs.jobs, jobs.complete) == ((), ("jobs",))
    assert inventory.nodes == ()
    assert "nodes" in inventory.complete


async def test_what_keeps_it_from_being_the_whole_truth_is_said(script: Script, backend: PbsBackend) -> None:
    done = completed("03_mixed/qstat_B_f_json.json")
    stdout = done.stdout.replace(b'"query_other_jobs":\t"True"', b'"query_other_jobs":\t"False"')
    stdout = stdout.replace(b'"scheduling":\t"True"', b'"scheduling":\t"False"')
    script.answers[SERVER] = msgspec.structs.replace(done, stdout=stdout)
    jobs = await backend.jobs()
    assert jobs.detail is not None
    assert "query_other_jobs is off" in jobs.detail
    assert "scheduling is off" in jobs.detail


async def test_reservations_that_cannot_be_seen_are_not_claimed_to_be_none(script: Script, backend: PbsBackend) -> None:
    script.answers[RSTAT] = Completed(exit_status=159, stdout=b"", stderr=b"pbs_rstat: Unauthorized Request", seconds=0)
    inventory = await backend.inventory()
    assert "reservations" not in inventory.complete
    assert "queues" in inventory.complete


async def test_a_host_without_pbs_rstat_has_all_but_reservations(script: Script, backend: PbsBackend) -> None:
    script.answers[RSTAT] = Unsupported("no such program: env", "local")
    inventory = await backend.inventory()
    assert inventory.complete == ("queues", "nodes")


# ---- how it fails


async def test_a_dead_server_prints_valid_json_and_is_unreachable(script: Script, backend: PbsBackend) -> None:
    """Only the exit status tells it from a cluster without jobs."""
    empty, dead = completed("01_empty/qstat_f_json.json"), completed("07_errors/qstat_bad_server_refused.txt")
    assert dead.exit_status == 255
    script.answers[SERVER] = msgspec.structs.replace(dead, stdout=empty.stdout)
    for ask in (backend.inventory, backend.jobs):
        with pytest.raises(Unreachable, match="does not run"):
            await ask()


async def test_a_server_that_dies_between_two_questions_costs_no_jobs(
    script: Script, site: Site, backend: PbsBackend
) -> None:
    await both(backend)
    site.time += JOBS_MAX_AGE_S
    empty, dead = completed("01_empty/qstat_f_json.json"), completed("07_errors/qstat_bad_server_refused.txt")
    script.answers[JOBS] = msgspec.structs.replace(dead, stdout=empty.stdout)
    with pytest.raises(Unreachable):
        await backend.jobs()
    script.answers[JOBS] = completed("03_mixed/qstat_f_json.json")
    script.take()
    assert (await backend.jobs()).gone_jobs == ()


async def test_after_a_failure_everything_is_listed_anew(script: Script, site: Site, backend: PbsBackend) -> None:
    await both(backend)
    site.time += 6
    good = script.answers[SERVER]
    script.answers[SERVER] = completed("07_errors/qstat_bad_server_refused.txt")
    with pytest.raises(Unreachable):
        await backend.jobs()
    script.answers[SERVER] = good
    script.take()
    await both(backend)
    assert script.take() == [SERVER, QUEUES, RSTAT, NODES, JOBS]


async def test_a_hung_server_is_timed_out_and_said_to_hang(
    script: Script, backend: PbsBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LOOK_S", 0.02)
    script.answers[SERVER] = HANG
    with pytest.raises(TimedOut, match="answers nothing"):
        await backend.inventory()
    assert script.take() == [SERVER, "env true"], "the host itself is well"


async def test_a_host_that_is_gone_is_no_fault_of_the_server(script: Script, backend: PbsBackend) -> None:
    script.answers[SERVER] = HANG
    script.answers["env true"] = Unreachable("no route to host", "login1")
    with pytest.raises(Unreachable, match="no route"):
        await backend.inventory()


async def test_a_listing_that_takes_too_long_is_no_hung_server(script: Script, backend: PbsBackend) -> None:
    script.answers[JOBS] = HANG
    with pytest.raises(TimedOut, match="answers, but not qstat"):
        await backend.jobs()


async def test_the_first_look_has_time_to_connect(script: Script, backend: PbsBackend) -> None:
    times: list[float] = []
    run = script.run

    async def timed(argv: Sequence[str], *, timeout_s: float, **more: bytes) -> Completed:
        times.append(timeout_s)
        return await run(argv, timeout_s=timeout_s)

    script.run = timed  # type: ignore[method-assign,assignment]
    await backend.jobs()
    assert times[0] >= 10, "as long as a connection may take to be made"


async def test_no_program_and_no_permission(script: Script, backend: PbsBackend) -> None:
    script.answers[SERVER] = Unsupported("no such program: env", "local")
    with pytest.raises(Unsupported, match="no such program: qstat"):
        await backend.jobs()
    script.answers[SERVER] = completed("08_indented/iff_qstat.txt")
    with pytest.raises(Denied):
        await backend.jobs()


async def test_half_an_answer_is_refused_and_nothing_is_gone(script: Script, site: Site, backend: PbsBackend) -> None:
    await both(backend)
    site.time += JOBS_MAX_AGE_S
    good = completed("03_mixed/qstat_f_json.json")
    script.answers[JOBS] = msgspec.structs.replace(good, stdout=good.stdout[: len(good.stdout) // 2])
    with pytest.raises(BadAnswer):
        await backend.jobs()
    script.answers[JOBS] = good
    assert (await backend.jobs()).gone_jobs == ()


# ---- explanations and logs


async def test_a_job_is_explained_with_what_is_known_already(script: Script, backend: PbsBackend) -> None:
    await both(backend)
    script.take()
    script.one_job("9.pbs01")
    told = await backend.explain("9.pbs01")
    assert told.dependencies[0].name == "train_70b"
    assert script.take() == ["-f -F json 9.pbs01", QUEUES]


async def test_a_job_is_explained_without_any_listing(script: Script, backend: PbsBackend) -> None:
    script.one_job("6.pbs01")
    told = await backend.explain("6.pbs01")
    assert told.state is JobState.PENDING
    assert told.fits[0].nodes == "gpu[001-004,006]"


async def test_dependencies_that_are_over_are_asked_for_once(script: Script, backend: PbsBackend) -> None:
    script.one_job("9.pbs01")
    told = await backend.explain("9.pbs01")
    assert told.dependencies[0].state is JobState.RUNNING
    asked = [argv for argv in script.argv if argv[-1] == "0.pbs01"]
    assert len(asked) == 1
    assert "-x" in asked[0]


async def test_an_unknown_job_is_said_to_be_unknown(script: Script, backend: PbsBackend) -> None:
    script.answers = {"json 99": completed("07_errors/qstat_unknown_json.txt"), **script.answers}
    with pytest.raises(NoSuchJob):
        await backend.explain("99")
    assert [argv[-1] for argv in script.argv] == ["99", "99[]"], "it could have been an array"


@pytest.mark.parametrize("job_id", ["", "-x", "12; rm -rf /", "12@elsewhere", "a.pbs01", "1\n2", "3[1-5]"])
async def test_what_is_no_job_id_is_never_run(script: Script, backend: PbsBackend, job_id: str) -> None:
    for ask in (backend.explain, backend.log_streams):
        with pytest.raises(NoSuchJob):
            await ask(job_id)
    assert script.argv == []


async def test_without_history_live_jobs_are_found_all_the_same(script: Script, backend: PbsBackend) -> None:
    script.one_job("6.pbs01")
    script.answers = {"-x": completed("08_indented/no_history.txt"), **script.answers}
    assert (await backend.explain("6.pbs01")).job == "6.pbs01"


async def test_streams_of_a_job_and_of_an_array(script: Script, backend: PbsBackend) -> None:
    script.one_job("0.pbs01")
    (out,) = await backend.log_streams("0.pbs01")
    assert (out.path, out.hosts) == ("/var/spool/pbs/spool/0.pbs01.OU", ("ssh:gpu001",))
    script.one_job("3[].pbs01")
    script.answers = {"-x -t": completed("05_control/qstat_array_t_after.json"), **script.answers}
    streams = await backend.log_streams("3[].pbs01")
    assert streams[0].name == "task 1 stdout"
    assert streams[0].path == "/var/spool/pbs/spool/3[1].pbs01.OU"
    assert {stream.rank for stream in streams} >= {1, 2, 3}


async def test_a_log_is_opened_on_its_host_and_looked_for_where_it_was_left(
    script: Script, site: Site, backend: PbsBackend, tmp_path: Path
) -> None:
    from console.transport.local import LocalTransport

    elsewhere = LocalTransport()
    site.transports = {"ssh:gpu001": elsewhere}
    script.one_job("0.pbs01")
    (out,) = await backend.log_streams("0.pbs01")
    missing = msgspec.structs.replace(out, path=str(tmp_path / "none"))
    with pytest.raises(NoSuchFile):
        await backend.open_log(missing)
    (tmp_path / "left").write_bytes(b"words\n")
    key = {"undelivered": str(tmp_path / "left"), "undelivered_on": "ssh:gpu001"}
    reader = await backend.open_log(msgspec.structs.replace(missing, key=key))
    assert (await reader.tail(100)).data == b"words\n"
    assert site.vias == [None, "ssh:gpu001", "ssh:gpu001", "ssh:gpu001"]
    await elsewhere.close()


# ---- settings, detection, doctor


def test_settings_decide_how_commands_run(script: Script) -> None:
    site = Site(script)
    settings = PbsSettings(via="ssh://login1", pbs_conf="/opt/pbs.conf", server="pbs02", bin="/opt/pbs/bin")
    backend = PbsBackend(settings, site)
    assert site.vias == ["ssh://login1"]
    assert backend.client.commands.server() == [
        *("env", "LC_ALL=C", "TZ=UTC", "PBS_CONF_FILE=/opt/pbs.conf", "PBS_SERVER=pbs02"),
        *("/opt/pbs/bin/qstat", "-B", "-f", "-F", "json"),
    ]


@pytest.mark.parametrize(
    "settings",
    [PbsSettings(pbs_conf="pbs.conf"), PbsSettings(bin="b"), PbsSettings(server="-x"), PbsSettings(mom_home="spool")],
)
def test_settings_that_cannot_work_are_refused(settings: PbsSettings, site: Site) -> None:
    with pytest.raises(ConfigError):
        plugin.open(settings, site)


async def test_detection_needs_a_pbs_conf_and_its_qstat(site: Site, tmp_path: Path) -> None:
    site.environ = {"PBS_CONF_FILE": str(tmp_path / "pbs.conf")}
    site.programs = {"qstat": "/usr/bin/qstat"}
    assert await plugin.detect(site) == [], "a qstat alone may be that of Torque or of Slurm"
    (tmp_path / "pbs.conf").write_text(f'PBS_SERVER="pbs01.dc1"\nPBS_EXEC={tmp_path}\n#PBS_X=1\n')
    (found,) = await plugin.detect(site)
    assert (found.cluster, found.settings) == ("pbs01", {"pbs_conf": str(tmp_path / "pbs.conf")})
    site.programs = {}
    assert await plugin.detect(site) == []
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "qstat").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "qstat").chmod(0o755)
    (found,) = await plugin.detect(site)
    assert found.settings["bin"] == str(tmp_path / "bin")


async def test_the_doctor_is_content(backend: PbsBackend) -> None:
    checks = {check.subject: check for check in await backend.doctor()}
    assert {check.state for check in checks.values()} == {CheckState.OK}
    assert checks["vnodes"].detail == "10; GPUs are counted by ngpus"
    assert "23.06.06" in checks["pbs_server"].detail


async def test_the_doctor_says_what_is_wrong(script: Script, backend: PbsBackend) -> None:
    script.answers["--version"] = Completed(exit_status=0, stdout=b"Version: 6.1.3\n", stderr=b"", seconds=0.01)
    assert "not that of PBS" in (await backend.doctor())[0].detail
    script.answers["--version"] = Unsupported("no such program: env", "local")
    assert (await backend.doctor())[0].state is CheckState.FAILED
    script.answers["--version"] = Script().answers["--version"]
    script.answers[SERVER] = completed("08_indented/iff_qstat.txt")
    last = (await backend.doctor())[-1]
    assert (last.state, last.subject) == (CheckState.DENIED, "pbs_server")
    done = completed("03_mixed/qstat_B_f_json.json")
    stdout = done.stdout.replace(b'"True"', b'"False"')
    script.answers[SERVER] = msgspec.structs.replace(done, stdout=stdout)
    script.answers[NODES] = completed("08_indented/no_nodes.txt")
    script.answers[RSTAT] = completed("08_indented/down_rstat.txt")
    states = {check.subject: check.state for check in await backend.doctor()}
    for subject in ("scheduling", "query_other_jobs", "job history", "vnodes", "reservations"):
        assert states[subject] is CheckState.WARNING


async def test_hosts_that_are_offline_drain(script: Script, backend: PbsBackend) -> None:
    done = completed("03_mixed/pbsnodes_av_json.json")
    stdout = done.stdout.replace(b'"state":\t"job-exclusive"', b'"state":\t"offline"')
    script.answers[NODES] = msgspec.structs.replace(done, stdout=stdout)
    states = {node.name: node.state for node in (await backend.inventory()).nodes}
    assert states["gpu001"] is NodeState.DRAINING
