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
    ConnectionLost,
    Denied,
    SourceError,
    TimedOut,
    Unreachable,
    Unsupported,
)
from console.model import NodeState
from console.plugin import CheckState
from console.transport.base import Channel, Completed, Transport
from plugins.slurm import client as client_module
from plugins.slurm import plugin
from plugins.slurm.backend import JOBS_MAX_AGE_S, NODES_MAX_AGE_S, WHOLE_AGAIN_S, SlurmBackend
from plugins.slurm.settings import SlurmSettings

FIXTURES = Path(__file__).parent.parent / "fixtures" / "slurm" / "24.11.5"
NONCE = b"q0123456789abcdef"
HANG = Completed(exit_status=-1, stdout=b"", stderr=b"", seconds=0.0)
"""Stands for a command that never ends."""


def ok(name: str) -> Completed:
    return Completed(exit_status=0, stdout=(FIXTURES / name).read_bytes(), stderr=b"", seconds=0.01)


def bad(name: str, status: int = 1) -> Completed:
    return Completed(exit_status=status, stdout=b"", stderr=(FIXTURES / name).read_bytes(), seconds=0.01)


class Script:
    """A transport that answers from recordings; `answers` may be changed while it runs."""

    def __init__(self, name: str = "local") -> None:
        self.name = name
        self.asked: list[str] = []
        self.argv: list[list[str]] = []
        self.running = 0
        self.answers: dict[str, Completed | SourceError] = {
            "squeue": ok("jobs.out"),
            "show node": ok("nodes-with-jobs.out"),
            "show partition": ok("partitions.out"),
            "show reservation": ok("reservation-epoch.out"),
            "show config": ok("config.out"),
            "ping": ok("ping-up.out"),
            "sdiag": ok("sdiag.out"),
            "munge": Completed(exit_status=0, stdout=b"MUNGE:x:", stderr=b"", seconds=0.01),
            "test": Completed(exit_status=0, stdout=b"", stderr=b"", seconds=0.01),
            "--version": Completed(exit_status=0, stdout=b"slurm 24.11.5\n", stderr=b"", seconds=0.01),
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
        words = [word for word in argv if not word.startswith("-u")]
        line = " ".join(words)
        key = next(key for key in ("--version", *self.answers) if key in line)
        self.asked.append(key)
        self.argv.append(list(argv))
        answer = self.answers[key]
        if isinstance(answer, SourceError):
            raise answer
        self.running += 1
        try:
            if answer is HANG:
                try:
                    async with asyncio.timeout(timeout_s):
                        await asyncio.Event().wait()
                except TimeoutError:
                    raise TimedOut("it did not end", self.name) from None
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        if key == "squeue" and answer.stdout:
            nonce = argv[-1].rpartition("Name:")[2].encode()
            return msgspec.structs.replace(answer, stdout=answer.stdout.replace(NONCE, nonce))
        return answer

    async def open(self, argv: Sequence[str]) -> Channel:
        raise Unsupported("no channels here")

    async def close(self) -> None:
        """Nothing to close."""

    def take(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked

    def count(self, what: str, more: int = 1) -> None:
        """Let slurmctld count one more of something."""
        answer = self.answers["sdiag"]
        assert isinstance(answer, Completed)
        lines = []
        for line in answer.stdout.decode().splitlines(keepends=True):
            if line.strip().startswith((f"{what} ", f"{what}:")):
                mark = "count:" if "count:" in line else ":"
                head, _, tail = line.partition(mark)
                number = tail.split()[0]
                line = f"{head}{mark}{tail.replace(number, str(int(number) + more), 1)}"
            lines.append(line)
        self.answers["sdiag"] = msgspec.structs.replace(answer, stdout="".join(lines).encode())


class Site:
    def __init__(self, transport: Script, environ: Mapping[str, str] | None = None) -> None:
        self.environ: Mapping[str, str] = environ or {}
        self.cluster = "lab"
        self.time = 1_795_500_000.0
        self.vias: list[str | None] = []
        self._transport = transport
        self.programs: dict[str, str] = {}

    def which(self, program: str) -> str | None:
        return self.programs.get(program)

    def transport(self, via: str | None = None) -> Transport:
        self.vias.append(via)
        return self._transport

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
def backend(site: Site) -> SlurmBackend:
    return SlurmBackend(SlurmSettings(), site)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait seconds for what hangs."""
    monkeypatch.setattr(client_module, "PATIENCE_S", 0.02)
    monkeypatch.setattr(client_module, "PING_S", 0.05)


async def test_the_first_answers_bring_everything(backend: SlurmBackend, script: Script) -> None:
    inventory = await backend.inventory()
    assert inventory.complete == ("queues", "reservations", "nodes")
    assert {node.name for node in inventory.nodes} == {"n1", "n2", "n3", "n4"}
    assert inventory.cluster is not None
    assert inventory.cluster.version == "24.11.5"
    assert inventory.requests == 1 + 2 + 1 + 1 + 2
    jobs = await backend.jobs()
    assert jobs.complete == ("jobs",)
    assert len(jobs.jobs) == 24
    assert jobs.requests == 2, "the counters of a moment ago serve here too"
    assert jobs.detail is not None
    assert jobs.detail.startswith("squeue 24.11.5")


async def test_while_nothing_happens_one_small_question_serves_both(
    backend: SlurmBackend, script: Script, site: Site
) -> None:
    await backend.inventory()
    await backend.jobs()
    script.take()
    site.time += 5
    jobs, inventory = await asyncio.gather(backend.jobs(), backend.inventory())
    assert script.take() == ["sdiag"]
    assert jobs.requests + inventory.requests == 1
    assert (jobs.jobs, jobs.gone_jobs, jobs.complete) == ((), (), ())
    assert (inventory.nodes, inventory.complete) == ((), ())


async def test_a_minute_of_silence_costs_less_than_the_budget(backend: SlurmBackend, site: Site) -> None:
    await backend.inventory()
    await backend.jobs()
    spent = 0
    for _ in range(60):
        site.time += 5
        spent += (await backend.jobs()).requests + (await backend.inventory()).requests
    assert spent / 5 < 20, "requests a minute, over five minutes"


@pytest.mark.parametrize(
    ("what", "asked"),
    [
        ("Jobs submitted", ["squeue"]),
        ("REQUEST_UPDATE_NODE", ["show node"]),
        ("Jobs completed", ["show node", "squeue"]),
        ("REQUEST_JOB_INFO", []),
        ("REQUEST_CREATE_RESERVATION", ["show node", "show partition", "show reservation", "squeue"]),
    ],
)
async def test_what_changed_is_listed_and_nothing_else(
    backend: SlurmBackend, script: Script, site: Site, what: str, asked: list[str]
) -> None:
    await backend.inventory()
    await backend.jobs()
    script.take()
    site.time += 5
    script.count(what)
    await backend.inventory()
    await backend.jobs()
    assert sorted(set(script.take()) - {"sdiag"}) == asked


async def test_a_listing_tells_the_differences(backend: SlurmBackend, script: Script, site: Site) -> None:
    await backend.inventory()
    site.time += 5
    script.count("REQUEST_UPDATE_NODE")
    nodes = script.answers["show node"]
    assert isinstance(nodes, Completed)
    lines = (
        nodes.stdout.replace(b"State=IDLE", b"State=IDLE+DRAIN")
        .replace(b"MIXED+DRAIN", b"MIXED")
        .splitlines(keepends=True)
    )
    gone = next(index for index, line in enumerate(lines) if line.startswith(b"NodeName=n2 "))
    del lines[gone]
    script.answers["show node"] = msgspec.structs.replace(nodes, stdout=b"".join(lines))
    records = await backend.inventory()
    assert {node.name: node.state for node in records.nodes}["n3"] is NodeState.BUSY
    assert records.gone_nodes == ("n2",)
    assert "nodes" not in records.complete


async def test_what_no_counter_tells_is_seen_when_listings_grow_old(
    backend: SlurmBackend, script: Script, site: Site
) -> None:
    await backend.inventory()
    await backend.jobs()
    script.take()
    site.time += NODES_MAX_AGE_S
    await backend.inventory()
    assert "show node" in script.take()
    site.time += JOBS_MAX_AGE_S
    await backend.jobs()
    assert "squeue" in script.take()
    site.time += WHOLE_AGAIN_S
    assert (await backend.jobs()).complete == ("jobs",)


async def test_a_clock_that_jumps_back_does_not_freeze_the_tables(
    backend: SlurmBackend, script: Script, site: Site
) -> None:
    await backend.jobs()
    script.take()
    site.time -= 3600
    await backend.jobs()
    assert script.take() == ["sdiag", "squeue"]


async def test_a_host_without_sdiag_lists_everything_each_time(
    backend: SlurmBackend, script: Script, site: Site
) -> None:
    script.answers["sdiag"] = Completed(
        exit_status=127, stdout=b"", stderr=b"env: 'sdiag': No such file or directory\n", seconds=0.01
    )
    for _ in range(2):
        site.time += 5
        await backend.jobs()
    assert script.asked == ["sdiag", "squeue", "squeue"]


async def test_without_sdiag_everything_is_listed_each_time(backend: SlurmBackend, script: Script, site: Site) -> None:
    script.answers["sdiag"] = Completed(
        exit_status=1, stdout=b"", stderr=b"slurm_get_statistics: Access/permission denied\n", seconds=0.01
    )
    for _ in range(3):
        site.time += 5
        records = await backend.jobs()
    assert script.asked.count("squeue") == 3
    assert script.asked.count("sdiag") == 1
    assert records.detail is not None
    assert "sdiag is refused" in records.detail


async def test_a_slurmctld_that_is_down_is_said_and_asked_cheaply(
    backend: SlurmBackend, script: Script, site: Site
) -> None:
    first = await backend.jobs()
    script.take()
    script.answers["sdiag"] = bad("ctld-down.err")
    script.answers["ping"] = ok("ping-down.out")
    site.time += 5
    with pytest.raises(Unreachable, match="slurmctld does not answer"):
        await backend.jobs()
    script.take()
    site.time += 5
    with pytest.raises(Unreachable, match=r"slurmctld is down \(primary on vm\)"):
        await backend.jobs()
    assert script.take() == ["ping"], "Slurm's own commands would take ten seconds to say so"
    script.answers |= {"ping": ok("ping-up.out"), "sdiag": ok("sdiag.out")}
    site.time += 5
    again = await backend.jobs()
    assert "squeue" in script.take(), "after an outage nothing is taken for granted"
    assert (len(first.jobs), again.jobs) == (24, ()), "and what is the same is not told twice"


async def test_a_connection_that_is_always_closed_is_a_refusal(backend: SlurmBackend, script: Script) -> None:
    closed = Completed(exit_status=1, stdout=b"", stderr=b"x: Zero Bytes were transmitted or received\n", seconds=0.01)
    script.answers |= {"sdiag": closed, "squeue": closed, "ping": ok("ping-down.out")}
    with pytest.raises(ConnectionLost, match="starting anew"):
        await backend.jobs()
    for _ in range(2):
        with pytest.raises(Denied, match="credential"):
            await backend.jobs()
    assert "ping" not in script.asked, "it would say DOWN, which is not so"


@pytest.mark.usefixtures("impatient")
async def test_a_hung_slurmctld_is_told_from_a_slow_one(backend: SlurmBackend, script: Script) -> None:
    script.answers |= {"sdiag": HANG, "ping": HANG}
    with pytest.raises(TimedOut, match="hung"):
        await backend.jobs()
    assert script.running == 0, "nothing is left running"
    await backend.close()


@pytest.mark.usefixtures("impatient")
async def test_a_slow_slurmctld_keeps_its_time(site: Site, script: Script) -> None:
    backend = SlurmBackend(SlurmSettings(timeout_s=0.3), site)
    script.answers["sdiag"] = HANG
    with pytest.raises(TimedOut, match="answers pings, but not this"):
        await backend.jobs()
    assert script.running == 0
    await backend.close()


@pytest.mark.usefixtures("impatient")
async def test_a_cancelled_question_leaves_nothing_running(backend: SlurmBackend, script: Script) -> None:
    script.answers |= {"sdiag": HANG, "ping": HANG}
    asking = asyncio.ensure_future(backend.inventory())
    await asyncio.sleep(0.03)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await backend.close()
    assert script.running == 0


@pytest.mark.usefixtures("impatient")
async def test_a_slurm_conf_that_is_not_there(site: Site, script: Script) -> None:
    backend = SlurmBackend(SlurmSettings(slurm_conf="/no/such/slurm.conf"), site)
    script.answers |= {"sdiag": HANG, "ping": HANG, "test": bad("ctld-down.err")}
    with pytest.raises(Unsupported, match=r"no slurm\.conf at /no/such/slurm\.conf"):
        await backend.jobs()


async def test_an_error_with_exit_status_zero_is_an_error(backend: SlurmBackend, script: Script) -> None:
    script.answers["squeue"] = Completed(
        exit_status=0, stdout=b"", stderr=b"slurm_load_jobs error: Unexpected message received\n", seconds=0.01
    )
    with pytest.raises(BadAnswer, match="Unexpected message received"):
        await backend.jobs()
    script.answers["squeue"] = Completed(exit_status=0, stdout=b"error: no\n", stderr=b"", seconds=0.01)
    with pytest.raises(BadAnswer, match="something else than jobs"):
        await backend.jobs()


async def test_half_an_answer_is_not_taken(backend: SlurmBackend, script: Script, site: Site) -> None:
    await backend.jobs()
    whole = script.answers["squeue"]
    assert isinstance(whole, Completed)
    script.answers["squeue"] = msgspec.structs.replace(whole, stdout=whole.stdout[:3000])
    site.time += JOBS_MAX_AGE_S
    with pytest.raises(BadAnswer, match="middle"):
        await backend.jobs()
    script.answers["squeue"] = whole
    site.time += 5
    records = await backend.jobs()
    assert (records.jobs, records.gone_jobs) == ((), ())


async def test_a_failed_answer_loses_nothing_of_the_others(backend: SlurmBackend, script: Script, site: Site) -> None:
    nodes = script.answers["show node"]
    script.answers["show node"] = bad("munge-down.err")
    with pytest.raises(Unreachable, match="munged does not run"):
        await backend.inventory()
    script.answers["show node"] = nodes
    site.time += 5
    records = await backend.inventory()
    assert records.complete == ("queues", "reservations", "nodes")
    assert records.queues
    assert records.reservations


async def test_reservations_that_may_not_be_seen_cost_only_themselves(backend: SlurmBackend, script: Script) -> None:
    script.answers["show reservation"] = Completed(
        exit_status=1, stdout=b"", stderr=b"slurm_load_reservations error: Access/permission denied\n", seconds=0.01
    )
    records = await backend.inventory()
    assert records.nodes
    assert records.queues
    assert "reservations" not in records.complete


async def test_private_data_is_told(backend: SlurmBackend, script: Script) -> None:
    config = script.answers["show config"]
    assert isinstance(config, Completed)
    private = config.stdout.replace(b"PrivateData             = none", b"PrivateData             = jobs,nodes")
    script.answers["show config"] = msgspec.structs.replace(config, stdout=private)
    inventory = await backend.inventory()
    assert inventory.detail is not None
    assert "PrivateData=nodes" in inventory.detail
    jobs = await backend.jobs()
    assert jobs.detail is not None
    assert "PrivateData=jobs" in jobs.detail


async def test_nodes_that_may_not_be_seen_are_denied(backend: SlurmBackend, script: Script) -> None:
    script.answers["show node"] = Completed(
        exit_status=1, stdout=b"", stderr=b"slurm_load_node error: Access/permission denied\n", seconds=0.01
    )
    with pytest.raises(Denied):
        await backend.inventory()


async def test_a_backup_controller_at_work_is_told(backend: SlurmBackend, script: Script, site: Site) -> None:
    config = script.answers["show config"]
    assert isinstance(config, Completed)
    pings = b"Slurmctld(primary) at a is DOWN\nSlurmctld(backup) at b is UP\n"
    stdout = config.stdout.replace(b"Slurmctld(primary) at vm is UP\n", pings)
    script.answers["show config"] = msgspec.structs.replace(config, stdout=stdout)
    records = await backend.inventory()
    assert records.detail is not None
    assert "backup controller b is at work; down: primary a" in records.detail
    assert records.requests == 1 + 2 + 1 + 1 + 3
    both = Completed(exit_status=0, stdout=pings.replace(b"DOWN", b"UP"), stderr=b"", seconds=0.01)
    script.answers["ping"] = both
    site.time += 61
    records = await backend.inventory()
    assert records.detail is not None
    assert "controller" not in records.detail


async def test_fields_that_squeue_does_not_know_are_left_out(backend: SlurmBackend, script: Script, site: Site) -> None:
    whole = script.answers["squeue"]
    assert isinstance(whole, Completed)

    def without(index: int) -> bytes:
        kept = [b"\x1f".join(part for at, part in enumerate(row.split(b"\x1f")) if at != index) for row in plain]
        return (NONCE + b"\n").join(kept)

    stderr = b"squeue: error: Invalid job format specification: PriorityLong\n"
    # The name of one job holds separators of its own; that row is of no use here.
    script.answers["squeue"] = Completed(exit_status=0, stdout=b"", stderr=stderr, seconds=0.01)
    with pytest.raises(BadAnswer):
        await backend.jobs()
    plain = [row for row in whole.stdout.split(NONCE + b"\n") if b"evil" not in row]
    whole = msgspec.structs.replace(whole, stdout=(NONCE + b"\n").join(plain))
    short = without(11)
    calls: list[str] = []
    plain_run = script.run

    async def run(argv: Sequence[str], **options: float) -> Completed:
        done = await plain_run(argv, timeout_s=options["timeout_s"])
        if "squeue" in argv:
            calls.append(argv[-1])
            if "PriorityLong" in argv[-1]:
                return msgspec.structs.replace(done, stderr=stderr)
        return done

    script.answers["squeue"] = msgspec.structs.replace(whole, stdout=short)
    script.run = run  # type: ignore[method-assign, assignment]
    site.time += 5
    records = await SlurmBackend(SlurmSettings(), site).jobs()
    assert len(records.jobs) == 23
    assert all(job.priority is None for job in records.jobs)
    assert ["PriorityLong" in call for call in calls] == [True, False]
    assert records.requests == 1 + 2 + 2


async def test_commands_run_where_the_settings_say(script: Script) -> None:
    site = Site(script, {"SLURM_CONF": "/here/slurm.conf"})
    backend = SlurmBackend(SlurmSettings(via="ssh://login1", bin="/opt/slurm/bin"), site)
    records = await backend.inventory()
    assert site.vias == ["ssh://login1"]
    assert any("/opt/slurm/bin/scontrol" in argv for argv in script.argv)
    assert not any("SLURM_CONF=/here/slurm.conf" in argv for argv in script.argv), "that path is of this host"
    assert records.detail is not None
    assert "through ssh://login1" in records.detail
    assert {node.address for node in records.nodes} == {"ssh:login1"}, "its NodeAddr is that host's own loopback"
    await SlurmBackend(SlurmSettings(), site).jobs()
    assert "SLURM_CONF=/here/slurm.conf" in script.argv[-1]


@pytest.mark.parametrize(
    "settings", [SlurmSettings(slurm_conf="slurm.conf"), SlurmSettings(bin="~/bin"), SlurmSettings(bin="bin")]
)
def test_paths_that_cannot_be_are_refused(site: Site, settings: SlurmSettings) -> None:
    with pytest.raises(ConfigError, match="absolute path"):
        plugin.open(settings, site)


async def test_what_is_here(site: Site, tmp_path: Path) -> None:
    assert await plugin.detect(site) == []
    site.programs = {"squeue": "/usr/bin/squeue", "scontrol": "/usr/bin/scontrol"}
    conf = tmp_path / "slurm.conf"
    site.environ = {"SLURM_CONF": str(conf)}
    assert await plugin.detect(site) == [], "SLURM_CONF names a file that is not there"
    conf.write_text("ClusterName=prod-a\n")
    (found,) = await plugin.detect(site)
    assert found.cluster == "prod-a"
    assert str(conf) in found.evidence
    assert found.settings == {}
    conf.write_text("SlurmctldHost=a\n")
    assert (await plugin.detect(site))[0].cluster == "slurm"


async def test_doctor_when_all_is_well(backend: SlurmBackend) -> None:
    checks = await backend.doctor()
    ways = {check.subject: check.state for check in checks if check.state is not CheckState.OK}
    assert ways == {"slurmrestd": CheckState.ABSENT, "pyslurm": CheckState.ABSENT}
    assert [check.subject for check in checks][:3] == ["squeue on local", "scontrol on local", "sdiag on local"]


@pytest.mark.parametrize(
    ("answers", "subject", "state"),
    [
        ({"--version": bad("ctld-down.err", 127)}, "squeue on local", CheckState.FAILED),
        ({"ping": ok("ping-down.out")}, "slurmctld, primary on vm", CheckState.FAILED),
        ({"ping": bad("ping-munge-down.err")}, "slurmctld", CheckState.FAILED),
        ({"munge": bad("ping-munge-down.err")}, "munge on local", CheckState.WARNING),
        ({"show config": bad("munge-wrong-key.err")}, "configuration", CheckState.DENIED),
        ({"sdiag": Unreachable("gone", "login1", "look")}, "sdiag", CheckState.WARNING),
        ({"--version": Denied("no", "login1", "ask")}, "squeue on local", CheckState.DENIED),
    ],
)
async def test_doctor_says_what_is_wrong_and_how_to_mend_it(
    backend: SlurmBackend,
    script: Script,
    answers: dict[str, Completed | SourceError],
    subject: str,
    state: CheckState,
) -> None:
    script.answers |= answers
    checks = {check.subject: check for check in await backend.doctor()}
    assert checks[subject].state is state
    assert checks[subject].detail
    assert checks[subject].remedy
