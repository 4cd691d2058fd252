"""The journal: nothing is lost, whatever happens between two bytes."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.actions.journal import Journal, JournalError, new_id
from console.actions.reading import Watch, attempts
from console.model import Actor, Call, Entry, Order, OutcomeState, Plan, Seen, Step, StepOutcome

HERE = os.uname().nodename
REASON = "quotes \" ' newline \n ; rm -rf / \x1b[31m ünï \udcff".encode("utf-8", "replace").decode()


def actor(pid: int = 1) -> Actor:
    return Actor(user="alice", uid=1000, host=HERE, pid=pid)


def plan(names: tuple[str, ...] = ("n1", "n2"), plan_id: str = "a") -> Plan:
    """Return a plan of one step a node."""
    steps = tuple(Step(cluster="lab", names=(name,), run=Call(argv=("true", name))) for name in names)
    return Plan(
        id=plan_id,
        action="drain",
        made_at=1.0,
        orders=(Order(action="drain", cluster="lab", names=names, reason=REASON),),
        steps=steps,
        before=tuple(Seen(cluster="lab", name=name, state="up") for name in names),
    )


def outcome(name: str, state: OutcomeState = OutcomeState.DONE) -> StepOutcome:
    return StepOutcome(cluster="lab", target=name, state=state)


def story(plan_id: str = "a") -> list[Entry]:
    """Return everything that a whole attempt writes."""
    entries = [
        Entry(kind="start", attempt=plan_id, seq=1, at=1.0, by=actor(), plan=plan(plan_id=plan_id), reason=REASON)
    ]
    for at, name in enumerate(("n1", "n2")):
        entries.append(Entry(kind="begin", attempt=plan_id, seq=len(entries) + 1, at=2.0, step=at))
        entries.append(
            Entry(kind="outcome", attempt=plan_id, seq=len(entries) + 1, at=3.0, step=at, outcomes=(outcome(name),))
        )
    entries.append(Entry(kind="end", attempt=plan_id, seq=len(entries) + 1, at=4.0, ended="done"))
    return entries


def test_an_attempt_comes_back_as_it_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for entry in story():
        journal.append(entry)
    found = attempts(journal.entries())["a"]
    assert (found.plan, found.reason, found.by) == (plan(), REASON, actor())
    assert [one.target for one in found.outcomes] == ["n1", "n2"]
    assert (found.ended, found.in_doubt) == ("done", ())
    assert journal.path.stat().st_mode & 0o077 == 0


def test_nothing_there_is_no_error(tmp_path: Path) -> None:
    assert attempts(Journal(tmp_path / "never").entries()) == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(min_value=0), again=st.booleans())
def test_killed_at_any_byte_what_was_written_before_stands(tmp_path: Path, cut: int, again: bool) -> None:
    directory = tmp_path / f"{cut}-{again}"
    journal = Journal(directory)
    for entry in story():
        journal.append(entry, sync=False)
    data = journal.path.read_bytes()
    cut %= len(data) + 1
    journal.path.write_bytes(data[:cut])
    whole = data[:cut].count(b"\n")
    assert len(list(journal.entries())) in (whole, whole + 1)  # a last line may lack its end only
    if again:
        journal.append(story("b")[0], sync=False)
        found = attempts(journal.entries())
        assert "b" in found
        assert len(list(journal.entries())) in (whole + 1, whole + 2)
    one = attempts(journal.entries()).get("a")
    if one is not None and one.ended_at is None:
        assert set(one.finished) <= set(one.begun)
        assert set(one.in_doubt) == set(one.begun) - set(one.finished)


def test_rotation_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path, rotate_bytes=2000)
    ids = [f"id{number:03}" for number in range(40)]
    for plan_id in ids:
        for entry in story(plan_id):
            journal.append(entry, sync=False)
    assert len(list(tmp_path.glob("journal-*.jsonl"))) > 5
    found = attempts(journal.entries())
    assert list(found) == ids
    assert all(one.ended == "done" for one in found.values())


def _write(directory: str, name: str, count: int) -> None:
    journal = Journal(Path(directory), rotate_bytes=20_000)
    for number in range(count):
        for entry in story(f"{name}-{number}"):
            journal.append(entry, sync=False)


def test_several_consoles_write_and_one_reads_meanwhile(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(str(tmp_path), f"w{at}", 30)) for at in range(3)]
    for writer in writers:
        writer.start()
    journal = Journal(tmp_path)
    seen = 0
    while any(writer.is_alive() for writer in writers):
        entries = list(journal.entries())
        keys = [(entry.attempt, entry.seq) for entry in entries]
        assert len(keys) == len(set(keys))
        assert len(entries) >= seen
        seen = len(entries)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = attempts(journal.entries())
    assert len(found) == 90
    assert all(one.ended == "done" and len(one.outcomes) == 2 for one in found.values())


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append(story()[0])
    before = journal.path.read_bytes()
    real = os.write
    written: list[int] = []

    def full(descriptor: int, data: bytes) -> int:
        if written:
            raise OSError(28, "No space left on device")
        written.append(real(descriptor, data[:10]))
        return written[0]

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalError) as caught:
        journal.append(story()[1])
    assert "No space left" in caught.value.what
    assert caught.value.hint
    assert journal.path.read_bytes() == before


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError) as caught:
        Journal(tmp_path / "file" / "journal").append(story()[0])
    assert str(tmp_path) in caught.value.where


def test_lines_that_nobody_wrote_are_stepped_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(story()[0])
    with journal.path.open("ab") as file:
        file.write(b'\x00\xff{]\n{"kind":"future","attempt":"z","seq":1,"at":1}\n[]\n')
    journal.append(story()[1])
    assert [entry.kind for entry in journal.entries()] == ["start", "begin"]


def test_a_clock_that_jumps_back_changes_no_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for plan_id, at in (("first", 100.0), ("second", 50.0)):
        journal.append(Entry(kind="start", attempt=plan_id, seq=1, at=at, by=actor(), plan=plan(plan_id=plan_id)))
    assert list(attempts(journal.entries())) == ["first", "second"]


def test_whether_the_console_of_an_attempt_lives(tmp_path: Path) -> None:
    def alive(pid: int, host: str = HERE, *, ended: bool = False) -> bool:
        by = Actor(user="a", uid=1, host=host, pid=pid)
        entries = [Entry(kind="start", attempt="a", seq=1, at=1.0, by=by, plan=plan())]
        entries += [Entry(kind="end", attempt="a", seq=2, at=2.0, ended="done")] * ended
        return attempts(entries)["a"].alive

    assert alive(os.getpid())
    assert not alive(2**22 + 1)
    assert not alive(os.getpid(), host="elsewhere")
    assert not alive(os.getpid(), ended=True)


def test_a_watch_sees_what_others_write_through_rotation(tmp_path: Path) -> None:
    journal = Journal(tmp_path, rotate_bytes=2500)
    watch = Watch(Journal(tmp_path))
    assert watch.look() == {}
    for entry in story("before"):
        journal.append(entry, sync=False)
    assert set(watch.look()) == {"before"}
    assert watch.look() == {}
    for number in range(20):
        for entry in story(f"id{number:02}")[:-1]:
            journal.append(entry, sync=False)
        (name,) = watch.look()
        assert name == f"id{number:02}"
        journal.append(story(name)[-1], sync=False)
        assert watch.look()[name].ended == "done"
    assert len(journal.rotated()) > 3
    late = Watch(Journal(tmp_path))
    assert list(late.look()) == list(attempts(journal.entries()))
    late.close()
    watch.close()


def test_a_watch_waits_for_a_line_to_be_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    watch = Watch(journal)
    journal.append(story()[0])
    assert set(watch.look()) == {"a"}
    whole = journal.path.read_bytes()
    with journal.path.open("ab") as file:
        file.write(b'{"kind":"out')
    assert watch.look() == {}
    journal.path.write_bytes(whole)  # the disk was full, and the half line was taken back
    for entry in story()[1:]:
        journal.append(entry)
    assert watch.look()["a"].ended == "done"
    watch.close()


def test_ids_differ_and_can_be_typed() -> None:
    ids = {new_id(1_790_000_000.0) for _ in range(50)}
    assert len(ids) > 45
    assert all(len(one) == 16 and one.isascii() for one in ids)
