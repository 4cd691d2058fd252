"""What has ended, on a real Slurm with slurmdbd and MariaDB."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.needs import need
from tests.real.qd import qd
from tests.real.slurm_cluster import SlurmCluster, missing, missing_accounting, wait_until

pytestmark = pytest.mark.real

_GATHER = "JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=1\nMinJobAge=2\n"
_WEIGHTS = "PriorityType=priority/multifactor\nPriorityWeightFairshare=1000\nPriorityWeightAge=10\n"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A cluster that keeps accounts and forgets ended jobs at once."""
    need(missing() or missing_accounting())
    with SlurmCluster(tmp_path_factory.mktemp("kept"), extra=_GATHER + _WEIGHTS, accounting=True) as cluster:
        yield cluster


def jobs(cluster: SlurmCluster, home: Path) -> dict[str, dict[str, Any]]:
    """Return `qd jobs --json` by id."""
    done = qd("jobs", "--json", env={"SLURM_CONF": str(cluster.conf), "HOME": str(home)})
    return {job["id"]: job for job in json.loads(done.stdout)["jobs"]}


def until(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, 60, what)


def test_what_ended_today_stays_with_what_it_used(kept: SlurmCluster, tmp_path: Path) -> None:
    work = '#!/bin/sh\nsrun -n1 python3 -c "b=bytearray(80<<20)\nimport time\ne=time.time()+3\nwhile time.time()<e: pass"\n'
    good = kept.run(
        "sbatch", "--parsable", "-o/dev/null", "-Alab", "-J", "good", "--gres=gpu:1", stdin=work
    ).stdout.strip()
    bad = kept.run("sbatch", "--parsable", "-o/dev/null", "-J", "bad", stdin="#!/bin/sh\nexit 3\n").stdout.strip()
    gone = kept.submit("-J", "gone", "--begin=now+1hour")
    kept.run("scancel", gone)
    until(lambda: not kept.run("squeue", "-h", "-t", "all").stdout.strip(), "slurmctld has forgotten them")
    until(lambda: jobs(kept, tmp_path).keys() >= {good, bad, gone}, "accounting tells of all")
    found = jobs(kept, tmp_path)
    assert [found[one]["state"] for one in (good, bad, gone)] == ["completed", "failed", "cancelled"]
    assert found[bad]["exit_code"] == 3
    usage = found[good]["usage"]
    assert 60 << 20 < usage["memory_peak_bytes"] < 400 << 20
    assert 30 < usage["cpu_percent"] <= 100
    assert (found[good]["accelerators"], found[good]["account"]) == (1, "lab")
    listed = qd("jobs", "state:completed", env={"SLURM_CONF": str(kept.conf), "HOME": str(tmp_path)})
    assert good in listed.stdout
    running = qd("jobs", "state:running", env={"SLURM_CONF": str(kept.conf), "HOME": str(tmp_path)})
    assert good not in running.stdout


def test_fair_share_is_told_where_it_weighs(kept: SlurmCluster, tmp_path: Path) -> None:
    blocker = kept.submit("-Alab", "--exclusive", "-N3")
    waits = kept.submit("-Alab", "--exclusive", "-N3")
    env = {"SLURM_CONF": str(kept.conf), "HOME": str(tmp_path)}

    def notes() -> list[str]:
        done = qd("explain", waits, "--json", env=env)
        return [part["note"] for part in json.loads(done.stdout or "{}").get("priority", []) if part["note"]]

    until(lambda: any("of account lab" in note for note in notes()), "the share is told")
    kept.run("scancel", blocker, waits)


def test_sources_say_how_slurmctld_is_doing(kept: SlurmCluster, tmp_path: Path) -> None:
    done = qd("snapshot", "--json", env={"SLURM_CONF": str(kept.conf), "HOME": str(tmp_path)})
    (listed,) = [one for one in json.loads(done.stdout)["sources"] if one["name"].endswith("/jobs")]
    assert "messages to slurmdbd" in listed["facts"]["waiting"]
    assert "last cycle" in listed["facts"]["scheduler"]


def test_without_its_database_the_lists_go_on(kept: SlurmCluster, tmp_path: Path) -> None:
    job = kept.submit("-J", "alive")
    kept.kill("slurmdbd")
    try:
        begun = time.monotonic()
        done = qd("jobs", "--json", env={"SLURM_CONF": str(kept.conf), "HOME": str(tmp_path)})
        answer = json.loads(done.stdout)
        assert time.monotonic() - begun < 20
        assert job in {one["id"] for one in answer["jobs"]}
        (history,) = [one for one in answer["sources"] if one["name"].endswith("/history")]
        assert history["state"] != "ok"
        (listed,) = [one for one in answer["sources"] if one["name"].endswith("/jobs")]
        assert listed["state"] == "ok"
    finally:
        kept.start_slurmdbd()
        kept.cancel_all()


def test_a_cluster_without_accounting_says_so_once(slurm: SlurmCluster, tmp_path: Path) -> None:
    done = qd("jobs", "--json", env={"SLURM_CONF": str(slurm.conf), "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    (history,) = [one for one in json.loads(done.stdout)["sources"] if one["name"].endswith("/history")]
    assert history["state"] == "unsupported"
    assert "keeps no accounting" in history["error"]
