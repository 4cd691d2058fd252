"""Four schedulers that think differently in one console: real Slurm, Kubernetes, PBS and Ray, at once."""

from __future__ import annotations

import json
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.needs import need
from tests.real.four import JOBS, SHARED, Four, missing, wait
from tests.real.kube_cluster import job, pod_spec
from tests.real.qd import qd
from tests.terminal import QD, Tmux

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]

CLUSTERS = ("hall-2", "cloud", "old-hall", "ray")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    need(missing())
    with Four(tmp_path_factory.mktemp("four")) as found:
        found.work()
        yield found


def ask(four: Four, *arguments: str) -> subprocess.CompletedProcess[str]:
    return qd("--config", str(four.config), *arguments, env=four.environ)


def snapshot(four: Four) -> dict[str, Any]:
    return dict(json.loads(ask(four, "snapshot", "--json").stdout))


def ids(state: dict[str, Any]) -> dict[str, str]:
    """Return the id of each job by its name."""
    return {one["name"]: one["id"] for one in state["jobs"]}


def test_all_four_are_there_and_one_machine_is_one_row(four: Four) -> None:
    state = snapshot(four)
    assert {one["name"]: one["kind"] for one in state["clusters"]} == {
        "hall-2": "slurm", "cloud": "kubernetes", "old-hall": "pbs", "ray": "ray"
    }  # fmt: skip
    assert {one["state"] for one in state["sources"]} <= {"ok", "unsupported"}
    assert {one["cluster"] for one in state["jobs"]} == set(CLUSTERS)
    nodes = {one["name"]: one for one in state["nodes"]}
    assert set(nodes[SHARED]["cluster"]) == {"hall-2", "cloud"}
    assert len(nodes) == 16
    found = {one["name"]: one["state"] for one in state["jobs"]}
    assert [found[name] for name in ("pretrain-7b", "sft-13b", "cfd")] == ["running"] * 3
    assert [found[name] for name in ("finetune", "too-wide", "waits")] == ["pending", "pending", "held"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("finetune", "waits for 2 nodes with 4 a100 GPUs"),
        ("too-wide", "nvidia.com/gpu"),
        ("waits", "held by its owner"),
        ("/root/", "too-big"),
    ],
)
def test_each_says_why_its_job_waits(four: Four, name: str, words: str) -> None:
    found = next(one for one in snapshot(four)["jobs"] if one["name"].startswith(name))
    answer = json.loads(ask(four, "explain", f"{found['cluster']}/{found['id']}", "--json").stdout)
    told = " ".join([answer["summary"], *(f"{one['code']} {one['text']}" for one in answer["causes"])])
    assert words in told


def test_quota_dependency_and_reservation_in_words(four: Four) -> None:
    slurm, kube, pbs = four.slurm, four.kube, four.pbs
    first = ids(snapshot(four))["pretrain-7b"]
    after = slurm.submit("-J", "after", f"--dependency=afterok:{first}")
    slurm.run("scontrol", "create", "reservation", "ReservationName=maint", "starttime=now+1hour", "duration=60",
              "nodes=n4", "users=root")  # fmt: skip
    reserved = slurm.submit("-J", "reserved", "--reservation=maint", "-p", "debug")
    quota = {"metadata": {"name": "gpus"}, "spec": {"hard": {"requests.nvidia.com/gpu": "16"}}}
    kube.create("/api/v1/namespaces/lab/resourcequotas", quota)
    kube.create(JOBS, job("over", 1, pod_spec(8)))
    chained = pbs.submit("-N", "chained", "-W", f"depend=afterok:{ids(snapshot(four))['cfd']}")
    try:
        told = {
            after: f"hall-2/{after}",
            reserved: f"hall-2/{reserved}",
            "over": "cloud/lab/job/over",
            chained: f"old-hall/{chained}",
        }
        words = {after: first, reserved: "maint", "over": "of 16", chained: "cfd"}

        def all_told() -> bool:
            answers = {key: ask(four, "explain", name).stdout for key, name in told.items()}
            return all(words[key] in answers[key] for key in told)

        wait(all_told, f"{words}", 90)
    finally:
        kube.delete("/api/v1/namespaces/lab/resourcequotas/gpus")
        slurm.run("scancel", after, reserved)
        slurm.run("scontrol", "delete", "ReservationName=maint", check=False)
        pbs.run("qdel", chained, check=False)


def test_a_machine_of_two_schedulers_is_drained_in_both_and_taken_back(four: Four) -> None:
    slurm, kube = four.slurm, four.kube
    mine = slurm.submit("-J", "on-it", "-w", SHARED, "-t", "30")
    shared = next(node for node in kube.call("GET", "/api/v1/nodes")[1]["items"]
                  if node["metadata"]["name"].partition(".")[0] == SHARED)["metadata"]["name"]  # fmt: skip

    def scheduled() -> bool:
        return kube.call("GET", f"/api/v1/nodes/{shared}")[1]["spec"].get("unschedulable") is not True

    def of_slurm() -> str:
        return slurm.run("scontrol", "-o", "show", "node", SHARED).stdout

    try:
        wait(lambda: slurm.run("squeue", "-h", "-j", mine, "-o", "%T").stdout.strip() == "RUNNING", "the job runs")
        look = ask(four, "drain", SHARED, "--reason", "INC-4711", "--plan", "--json")
        assert look.returncode == 0, look.stderr
        assert scheduled()
        done = ask(four, "drain", SHARED, "--reason", "INC-4711", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        plan = json.loads(done.stdout)
        assert {order["cluster"] for order in plan["orders"]} == {"hall-2", "cloud"}
        assert (mine, "runs on") in {(one["job"], one["effect"]) for one in plan["interrupts"]}
        phases = [step["phase"] for step in plan["steps"]]
        assert phases.count(0) == 2, "nothing is evicted before both take no new work"
        assert not scheduled()
        assert "DRAIN" in of_slurm()
        assert "INC-4711" in of_slurm()
        back = ask(four, "journal", "--undo", plan["id"], "--yes", "--json")
        assert back.returncode == 0, back.stderr
        assert scheduled()
        assert "DRAIN" not in of_slurm()
    finally:
        slurm.run("scancel", mine)
        slurm.run("scontrol", "update", f"NodeName={SHARED}", "State=RESUME", check=False)
        kube.patch(f"/api/v1/nodes/{shared}", {"spec": {"unschedulable": None}})


def test_the_log_of_a_running_job_of_each_is_followed(four: Four, tmp_path: Path) -> None:
    script = "#!/bin/sh\ni=0\nwhile :; do i=$((i+1)); echo step $i; sleep 0.3; done\n"
    out = tmp_path / "slurm.log"
    slurm_job = four.slurm.run("sbatch", "--parsable", "-o", str(out), stdin=script).stdout.strip()
    pbs_job = four.pbs.submit("-N", "talks", "-k", "oed", script=script)
    four.kube.create(JOBS, job("talks", 1, pod_spec(0)))
    names = (f"hall-2/{slurm_job}", f"old-hall/{pbs_job}", "cloud/lab/job/talks", f"ray/{_of(four, 'ray')}")
    try:
        for name in names:
            assert _followed(four, name), name
    finally:
        four.slurm.run("scancel", slurm_job)
        four.pbs.run("qdel", pbs_job, check=False)
        four.kube.call("DELETE", f"{JOBS}/talks", {"propagationPolicy": "Background"})


def _of(four: Four, cluster: str) -> str:
    return next(str(one["id"]) for one in snapshot(four)["jobs"] if one["cluster"] == cluster)


def _followed(four: Four, name: str) -> bool:
    """Whether `qd logs -f` prints a step, within patience."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with subprocess.Popen(
            [*QD, "--config", str(four.config), "logs", "-f", name],
            env=four.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                assert process.stdout is not None
                until = time.monotonic() + 15
                while time.monotonic() < until:
                    if select.select([process.stdout], [], [], 0.5)[0]:
                        line = process.stdout.readline()
                        if "step" in line:
                            return True
                        if not line:
                            break
            finally:
                process.kill()
        time.sleep(0.5)
    return False


def test_each_dies_in_turn_and_the_others_go_on(four: Four, tmp_path: Path) -> None:
    """Ray is last: without its head there is no way back."""
    with Tmux(tmp_path, (200, 50), "--config", str(four.config), "jobs", environ=four.environ) as screen:
        screen.shows("pretrain-7b", "sft-13b", "cfd", "rlhf")
        for number, dead in enumerate(CLUSTERS):
            four.kill(dead)
            screen.keys("9")
            wait(lambda dead=dead: _source_state(screen, dead) not in ("", "live"), f"{dead} is seen to be gone", 90)  # type: ignore[misc]
            screen.keys("2")
            screen.shows("pretrain-7b", "sft-13b", "cfd", "rlhf")
            if dead != "old-hall":
                name = f"alive{number}"
                held = four.pbs.submit("-N", name, "-h")
                screen.shows(name, seconds=60)
                four.pbs.run("qdel", held)
            else:
                name = "alive-slurm"
                held = four.slurm.submit("-J", name, "--hold")
                screen.shows(name, seconds=60)
                four.slurm.run("scancel", held)
            screen.keys("9", "G", "g")
            if dead != "ray":
                four.revive(dead)
                wait(lambda dead=dead: _source_state(screen, dead) == "live", f"{dead} is back", 120)  # type: ignore[misc]
            screen.keys("2")


def _source_state(screen: Tmux, cluster: str) -> str:
    """Return the word of the first source of a cluster's jobs on the Sources screen."""
    for line in screen.text().splitlines():
        if f":{cluster}/jobs" in line:
            words = line.replace("▶", " ").split()
            return words[2] if len(words) > 2 else ""
    return ""


def test_three_dead_clusters_do_not_delay_the_fourth(four: Four, tmp_path: Path) -> None:
    """A hole that swallows packets, a port that refuses, a command that hangs: the fourth answers first, alone."""
    hang = tmp_path / "bin"
    hang.mkdir()
    for program in ("qstat", "pbsnodes", "pbs_rstat"):
        (hang / program).write_text("#!/bin/sh\nexec sleep 600\n")
        (hang / program).chmod(0o755)
    slurm = f'[[cluster]]\nname = "hall-2"\nkind = "slurm"\nslurm_conf = "{four.slurm.conf}"\ntelemetry = "off"\n'
    dead = (
        f'[[cluster]]\nname = "hangs"\nkind = "pbs"\nbin = "{hang}"\n'
        '[[cluster]]\nname = "refuses"\nkind = "ray"\nurl = "http://127.0.0.1:9"\n'
        '[[cluster]]\nname = "hole"\nkind = "ray"\nurl = "http://192.0.2.1:8265"\n'
    )
    (tmp_path / "one.toml").write_text(slurm)
    (tmp_path / "four.toml").write_text(slurm + dead)
    with Tmux(tmp_path, (160, 48), "--config", str(tmp_path / "four.toml"), "jobs", environ=four.environ) as screen:
        screen.shows("pretrain-7b")
        screen.keys("9")
        wait(lambda: _source_state(screen, "hall-2") == "live", "the living one is live", 20)
        assert _source_state(screen, "hangs") != "live"
    begun = time.monotonic()
    done = qd("--config", str(tmp_path / "four.toml"), "snapshot", "--json", "--wait", "4", env=four.environ)
    assert time.monotonic() - begun < 30, "--wait bounds it"
    state = json.loads(done.stdout)
    assert done.returncode == 1
    assert {one["cluster"] for one in state["jobs"]} == {"hall-2"}
    silent = {one["cluster"] for one in state["sources"] if one["state"] not in ("ok", "unsupported")}
    assert silent == {"hangs", "refuses", "hole"}
