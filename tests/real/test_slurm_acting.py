"""`qd drain`, `qd resume`, job control and the journal on a real Slurm."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.qd import qd
from tests.real.slurm_cluster import SlurmCluster, wait_until
from tests.terminal import QD

pytestmark = pytest.mark.real

HOSTILE = 'bad "dimm"; rm -rf / $(reboot) `id` ünï'


class Admin:
    """`qd` as an admin calls it."""

    def __init__(self, cluster: SlurmCluster, home: Path) -> None:
        self.cluster = cluster
        kept = {"SLURM_CONF": cluster.environ["SLURM_CONF"]}
        self.env = {**kept, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "XDG_CONFIG_HOME": str(home)}

    def acts(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """Run a command with `--yes --json` and return its plan and outcome."""
        done = qd(*arguments, "--yes", "--json", env=self.env)
        assert done.returncode == status, done.stderr
        return dict(json.loads(done.stdout))

    def node(self, name: str) -> str:
        """Return what scontrol says of a node."""
        return self.cluster.run("scontrol", "-o", "show", "node", name).stdout

    def attempts(self) -> list[dict[str, Any]]:
        """Return the journal."""
        return list(json.loads(qd("journal", "--json", env=self.env).stdout)["attempts"])


@pytest.fixture
def admin(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Admin]:
    yield Admin(slurm, tmp_path)
    slurm.cancel_all()
    slurm.run("scontrol", "update", "NodeName=ALL", "State=RESUME", check=False)


def _runs(cluster: SlurmCluster, job: str) -> bool:
    return "RUNNING" in cluster.run("squeue", "-h", "-j", job, "-o", "%T").stdout


def test_a_drain_under_a_running_job_is_planned_done_journalled_and_undone(admin: Admin) -> None:
    slurm = admin.cluster
    job = slurm.submit("-w", "n1", "--gres=gpu:2", "-J", "pretrain")
    wait_until(lambda: _runs(slurm, job), 30, "the job runs")
    slurm.run("scontrol", "update", "NodeName=n3", "State=DRAIN", "Reason=Xid 79")
    plan = json.loads(qd("drain", "n[1-3]", "--reason", HOSTILE, "--plan", "--json", env=admin.env).stdout)
    assert plan["schema"] == "quarterdeck/plan/1"
    (met,) = plan["interrupts"]
    assert (met["job"], met["effect"], met["nodes"], met["accelerators"]) == (job, "runs on", "n1", 2)
    assert plan["unchanged"] == {"n3": "is drained already: Xid 79 (root)"}
    assert "State=DRAIN" not in admin.node("n1")
    assert "DRAIN" not in admin.node("n1")

    done = admin.acts("drain", "n[1-3]", "--reason", HOSTILE)
    assert done["verified"]
    assert [(one["target"], one["state"]) for one in done["outcomes"]] == [("n1", "done"), ("n2", "done")]
    assert "MIXED+DRAIN" in admin.node("n1")
    assert "IDLE+DRAIN" in admin.node("n2")
    assert f"Reason={HOSTILE}" in admin.node("n2")
    assert "Reason=Xid 79" in admin.node("n3")
    assert _runs(slurm, job)
    (attempt,) = admin.attempts()
    assert (attempt["outcome"], attempt["reason"], attempt["id"]) == ("done", HOSTILE, done["id"])

    back = admin.acts("journal", "--undo", done["id"])
    assert back["verified"]
    assert back["undoes"] == done["id"]
    assert "DRAIN" not in admin.node("n1") + admin.node("n2")
    assert "Reason=Xid 79" in admin.node("n3")


def test_the_undo_of_a_resume_brings_back_the_former_reason(admin: Admin) -> None:
    admin.cluster.run("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=Xid 79 on gpu3")
    done = admin.acts("resume", "n2")
    assert any("Xid 79 on gpu3" in text for text in done["warnings"])
    assert "DRAIN" not in admin.node("n2")
    admin.acts("journal", "--undo", done["id"])
    assert "IDLE+DRAIN" in admin.node("n2")
    assert "Reason=Xid 79 on gpu3" in admin.node("n2")


def test_read_only_is_denied_and_slurmctld_hears_nothing(admin: Admin) -> None:
    before = admin.cluster.requests()
    done = qd("--read-only", "drain", "n1", "--reason", "x", "--yes", env=admin.env)
    assert done.returncode == 4
    assert "read-only" in done.stderr
    after = admin.cluster.requests()
    assert after.get("REQUEST_UPDATE_NODE") == before.get("REQUEST_UPDATE_NODE")
    assert admin.attempts() == []


def test_without_a_yes_nothing_happens(admin: Admin) -> None:
    done = qd("drain", "n1", "--reason", "x", env=admin.env)
    assert (done.returncode, "DRAIN" in admin.node("n1")) == (2, False)
    assert "--yes" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("drain", "n9", "--reason", "x"), 2, "no such node: n9"),
        (("drain", "n1"), 2, "needs a reason"),
        (("drain", "n1", "--reason", "x" * 5000), 2, "at most"),
        (("drain", "@partition:nope", "--reason", "x"), 2, "nope"),
        (("cancel", "999999"), 2, "999999"),
        (("timelimit", "user:nobody-at-all", "10"), 2, "no job matches"),
    ],
)
def test_bad_input_is_said_and_nothing_runs(admin: Admin, arguments: tuple[str, ...], status: int, words: str) -> None:
    done = qd(*arguments, "--yes", env=admin.env)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert admin.attempts() == []


def test_jobs_are_held_released_changed_and_cancelled(admin: Admin) -> None:
    slurm = admin.cluster
    job = slurm.submit("--begin=now+1hour", "-t", "60")
    admin.acts("hold", job)
    assert "JobHeld" in slurm.run("squeue", "-h", "-j", job, "-o", "%r").stdout
    held = admin.acts("hold", job)
    assert held["steps"] == []
    changed = admin.acts("timelimit", job, "30")
    assert slurm.run("squeue", "-h", "-j", job, "-o", "%l").stdout.strip() == "30:00"
    admin.acts("journal", "--undo", changed["id"])
    assert slurm.run("squeue", "-h", "-j", job, "-o", "%l").stdout.strip() == "1:00:00"
    admin.acts("release", job)
    assert "JobHeld" not in slurm.run("squeue", "-h", "-j", job, "-o", "%r").stdout
    assert admin.acts("cancel", job)["verified"]
    again = qd("journal", "--undo", admin.attempts()[-1]["id"], "--yes", env=admin.env)
    assert (again.returncode, "cannot be undone" in again.stderr) == (2, True)


def test_a_policy_denies_and_asks_for_a_ticket(admin: Admin, tmp_path: Path) -> None:
    policy = tmp_path / "quarterdeck" / "policy.toml"
    policy.parent.mkdir()
    policy.write_text('reason_pattern = "INC-[0-9]+"\n[[freeze]]\nwhy = "moving house"\nactions = ["reboot"]\n')
    done = qd("drain", "n1", "--reason", "because", "--yes", env=admin.env)
    assert (done.returncode, "INC-[0-9]+" in done.stderr) == (2, True)
    assert admin.acts("drain", "n1", "--reason", "INC-1 because")["verified"]
    frozen = qd("reboot", "n2", "--reason", "INC-2", "--yes", env=admin.env)
    assert (frozen.returncode, "moving house" in frozen.stderr) == (4, True)


class Asked:
    """`qd` on a terminal of its own, which asks before it acts."""

    def __init__(self, admin: Admin, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        environ = {**os.environ, **admin.env, "LC_ALL": "C.UTF-8", "TERM": "xterm"}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *QD, *arguments], env=environ, stdin=slave, stdout=slave, stderr=slave
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def shows(self, words: str) -> None:
        """Wait until it says this."""
        end = time.monotonic() + 30
        while words not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self._master], [], [], 0.2)[0]:
                self.text += os.read(self._master, 65536).decode("utf-8", "replace")

    def types(self, text: str) -> None:
        """Type, as a person does: ctrl-c is the terminal's to turn into a signal."""
        self.text = ""
        os.write(self._master, text.encode())

    def ends(self) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(30)
        finally:
            os.close(self._master)


def test_a_person_is_asked_and_may_say_no_or_leave(admin: Admin) -> None:
    for answer, status in (("n\n", 1), ("\n", 1), ("\x03", 130)):
        asked = Asked(admin, "drain", "n1", "--reason", "x")
        asked.shows("drain? [y/N]")
        asked.types(answer)
        assert asked.ends() == status
    assert "DRAIN" not in admin.node("n1")
    assert admin.attempts() == []
    asked = Asked(admin, "drain", "n1", "--reason", "x")
    asked.shows("drain? [y/N]")
    asked.types("y\n")
    asked.shows("it became as planned")
    assert asked.ends() == 0
    assert "DRAIN" in admin.node("n1")


def test_the_world_that_changed_while_one_read_is_shown_and_asked_about_again(admin: Admin) -> None:
    asked = Asked(admin, "drain", "n[1-2]", "--reason", "mine")
    asked.shows("drain? [y/N]")
    admin.cluster.run("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=theirs")
    asked.types("y\n")
    asked.shows("meanwhile the world changed")
    asked.shows("n1 is drained already: theirs")
    asked.types("y\n")
    asked.shows("it became as planned")
    assert asked.ends() == 0
    assert "Reason=theirs" in admin.node("n1")
    assert "Reason=mine" in admin.node("n2")


def test_who_ends_somebodys_work_types_its_name(admin: Admin) -> None:
    job = admin.cluster.submit("-J", "pretrain")
    wait_until(lambda: _runs(admin.cluster, job), 30, "the job runs")
    asked = Asked(admin, "cancel", job)
    asked.shows(f"type {job} to cancel")
    asked.types("y\n")
    assert asked.ends() == 1
    assert _runs(admin.cluster, job)
    asked = Asked(admin, "cancel", job)
    asked.shows(f"type {job} to cancel")
    asked.types(f"{job}\n")
    asked.shows("it became as planned")
    assert asked.ends() == 0
