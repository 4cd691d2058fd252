"""pyslurm in its child process: what the child says of it, and what is said of a child that fails."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from console.errors import BadAnswer, ConnectionLost, Denied, SourceError, TimedOut, Unreachable
from console.model import SourceState
from console.plugin import CheckState
from console.transport.local import LocalTransport
from plugins.slurm import by_pyslurm, pyslurm_child
from plugins.slurm.backend import SlurmBackend
from plugins.slurm.by_pyslurm import ByPyslurm
from plugins.slurm.settings import SlurmSettings, WayName
from tests.unit.test_slurm_backend import Script, Site

STAND_IN = '''
"""Stands in for pyslurm where a fault is wanted that the real one does not have at will."""
import os, signal, sys, time
__version__ = "25.11.2"
FAULT = open({fault!r}).read().strip()
if FAULT == "exit at import":
    sys.stderr.write("fatal: Could not establish a configuration source\\n")
    os._exit(1)
if FAULT == "hang at import":
    time.sleep(600)

class Thing:
    def __init__(self, **values):
        self.__dict__.update(values)

class Job(Thing):
    id, state, array_id, array_tasks_waiting, heterogeneous_id = 7, "PENDING", None, None, None
    state_reason, dependencies, allocated_tres, requested_tres = "Priority", None, None, None
    @property
    def name(self):
        raise UnicodeDecodeError("utf-8", b"bad \\xff name", 4, 5, "invalid start byte")

class Jobs:
    @staticmethod
    def load():
        what = open({fault!r}).read().strip()
        if what == "hang":
            time.sleep(600)
        if what == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == "print":
            os.write(1, b"libslurm: said something\\n")
        if what == "noise":
            os.write(2, b"python: error: noise\\n" * 5000)
        if what.startswith("raise "):
            raise RuntimeError(what[6:])
        if what == "many":
            return {{number: Job(id=number) for number in range(1000)}}
        return {{7: Job()}}

class slurmctld:
    class Config:
        @staticmethod
        def load():
            return Thing(accounting_storage_tres=["cpu"], cluster_name="lab", version="25.11.7", private_data=[])
    @staticmethod
    def ping_all():
        return [Thing(hostname="vm", is_primary=True, is_responding=True, index=0)]
'''


class Here(Site):
    """This host as it is."""

    def __init__(self) -> None:
        super().__init__(Script())
        self.local = LocalTransport()

    def transport(self, via: str | None = None) -> Any:
        return self.local


@pytest.fixture
async def child(tmp_path: Path) -> AsyncIterator[Callable[[str], ByPyslurm]]:
    """Set the fault of the stand-in; return the way that asks it."""
    fault = tmp_path / "fault"
    (tmp_path / "pyslurm.py").write_text(STAND_IN.format(fault=str(fault)))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    site = Here()
    backend = SlurmBackend(SlurmSettings(way=WayName.PYSLURM, pyslurm=str(python)), site)
    way = backend._choice.taken
    assert isinstance(way, ByPyslurm)

    def use(what: str) -> ByPyslurm:
        fault.write_text(what)
        way._timeout_s = 0.5 if what == "hang" else 20.0
        return way

    yield use
    await backend.close()
    await site.local.close()


async def jobs(way: ByPyslurm) -> tuple[Any, ...]:
    steps = (await way.jobs()).read()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return tuple(end.value.jobs)


async def test_one_job_of_one_user_breaks_nothing(child: Callable[[str], ByPyslurm]) -> None:
    (job,) = await jobs(child(""))
    assert (job.id, job.name, job.reason) == ("7", "bad � name", "Priority")
    assert job.accelerators is None
    assert job.missing["accelerators"] == "pyslurm does not tell what was asked for"


async def test_many_jobs_come_in_pieces(child: Callable[[str], ByPyslurm]) -> None:
    assert len(await jobs(child("many"))) == 1000


@pytest.mark.parametrize("what", ["print", "noise"])
async def test_what_libslurm_prints_is_no_answer(child: Callable[[str], ByPyslurm], what: str) -> None:
    assert len(await jobs(child(what))) == 1


FAULTS: list[tuple[str, type[SourceError], str]] = [
    ("hang", TimedOut, "its process was ended"),
    ("crash", ConnectionLost, "the process of pyslurm died"),
    ("raise Unable to contact slurm controller (connect failure)", Unreachable, "slurmctld does not answer"),
    ("raise Protocol authentication error", Denied, "credential"),
    ("raise luck\x1b[31m", BadAnswer, "pyslurm says: luck"),
]


@pytest.mark.parametrize(("what", "kind", "words"), FAULTS)
async def test_a_fault_costs_one_answer(
    child: Callable[[str], ByPyslurm], what: str, kind: type[SourceError], words: str
) -> None:
    await jobs(child(""))
    with pytest.raises(kind, match=words) as caught:
        await jobs(child(what))
    assert caught.value.hint
    assert "\x1b" not in str(caught.value)
    way = child("")
    assert len(await jobs(way)) == 1
    assert way.failures == 1


@pytest.mark.parametrize(
    ("what", "words"), [("exit at import", "Could not establish a configuration"), ("hang at import", "did not start")]
)
async def test_a_pyslurm_that_does_not_start_is_of_no_use_here(
    child: Callable[[str], ByPyslurm], what: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_pyslurm, "START_S", 0.5 if what == "hang at import" else 20.0)
    way = child(what)
    with pytest.raises(SourceError, match=words) as caught:
        await jobs(way)
    assert caught.value.hint
    assert caught.value.state is SourceState.ERROR, "loud: who asks for this way wants to know"
    monkeypatch.setattr(by_pyslurm, "START_S", 20.0)
    assert len(await jobs(child(""))) == 1, "it is started anew"


async def test_a_question_that_is_given_up_leaves_no_answer_behind(child: Callable[[str], ByPyslurm]) -> None:
    way = child("hang")
    asking = asyncio.create_task(way.jobs())
    await asyncio.sleep(0.2)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert way._channel is None
    assert len(await jobs(child(""))) == 1


async def test_questions_wait_for_one_another(child: Callable[[str], ByPyslurm]) -> None:
    way = child("")
    asked: list[Awaitable[Any]] = [way.ping(), way.jobs(), way.config(), way.ping()]
    first, listing, (config, cost), _ = await asyncio.gather(*asked)
    assert first[0].host == "vm"
    assert listing.requests == 2
    assert (config.cluster_name, cost) == ("lab", 2)


async def test_doctor_and_a_python_that_has_none() -> None:
    site = Here()
    backend = SlurmBackend(SlurmSettings(way=WayName.PYSLURM), site)
    checks = {check.subject: check for check in await backend.doctor()}
    assert checks["way"].detail == 'records come by pyslurm: the settings say way = "pyslurm"'
    assert checks["pyslurm"].state is CheckState.FAILED
    assert "No module named 'pyslurm'" in checks["pyslurm"].detail
    assert "pyslurm" not in sys.modules
    await backend.close()
    await site.local.close()


# ---- what the child makes of pyslurm's objects


def thing(**values: Any) -> Any:
    return types.SimpleNamespace(**values)


@pytest.mark.parametrize(
    ("job", "job_id"),
    [
        ({"id": 9}, "9"),
        ({"id": 9, "array_id": 4, "array_task_id": None}, "4_0"),
        ({"id": 9, "array_id": 4, "array_task_id": 3}, "4_3"),
        ({"id": 9, "array_id": 4, "array_tasks_waiting": "3-19", "array_tasks_parallel": 3}, "4_[3-19%3]"),
        ({"id": 9, "array_id": 4, "array_tasks_waiting": "3-19", "array_tasks_parallel": None}, "4_[3-19]"),
        ({"id": 9, "heterogeneous_id": 8, "heterogeneous_offset": 1}, "8+1"),
        ({"id": 8, "heterogeneous_id": 8, "heterogeneous_offset": None}, "8+0"),
    ],
)
def test_ids(job: dict[str, Any], job_id: str) -> None:
    empty = {"array_id": None, "array_tasks_waiting": None, "heterogeneous_id": None}
    assert pyslurm_child.job_id(thing(**{**empty, **job})) == job_id


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, ""),
        ({"afterok": ["1(unfulfilled)", 2], "afterany": [], "singleton": False, "satisfy": "all"}, "afterok:1(unfulfilled),afterok:2"),
        ({"afterok": [1], "afterany": [2], "singleton": False, "satisfy": "any"}, "afterok:1?afterany:2"),
        ({"afterok": [], "singleton": True, "satisfy": "all"}, "singleton"),
        ({"afterok": [], "singleton": False, "satisfy": "all"}, "singleton(unfulfilled)"),
    ],
)  # fmt: skip
def test_dependencies(found: Any, words: str) -> None:
    assert pyslurm_child.dependency(thing(dependencies=found)) == words


def test_which_gpus_of_a_node_are_held_is_put_together_from_its_jobs() -> None:
    def job(**held: Any) -> Any:
        return thing(get_resource_layout_per_node=lambda: held)

    broken = thing(get_resource_layout_per_node=lambda: 1 / 0)
    gpus = {"n1": {"gres": {"gpu:a100": {"count": 2, "indexes": "0,2"}}}, "n2": {"gres": {}}}
    other = {"n1": {"gres": {"gpu:a100": {"count": 1, "indexes": "1"}, "gpu:h100": {"count": 1, "indexes": "5"}}}}
    jobs = dict(enumerate((job(**gpus), job(**other), broken)))
    pyslurm = thing(Jobs=thing(load=lambda: jobs))
    assert pyslurm_child.gres_in_use(pyslurm) == {"n1": "gpu:a100:3(IDX:0-2),gpu:h100:1(IDX:5)"}
    assert pyslurm_child.gres_held(job(**gpus)) == {"gres/gpu:a100": "2"}


def test_lists_of_tres() -> None:
    assert pyslurm_child.tres(None) == {}
    assert pyslurm_child.listed(pyslurm_child.tres({"cpu": 1, "mem": "100M"})) == "cpu=1,mem=100M"
    found = thing(cpu=thing(count=4), mem=thing(count=400), node=None, gres={"gpu:a100": thing(count=2)})
    assert pyslurm_child.listed(pyslurm_child.tres(found)) == "cpu=4,gres/gpu:a100=2,mem=400M"
