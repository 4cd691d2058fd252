"""Running a command, the parts that need no machine: what is sent, sudo's words, what is kept, folding, differences."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.actions.errand import Errand, Script, shown, sudo_refusal
from console.actions.gathering import Gathered
from console.actions.journal import JournalError
from console.actions.running import Run, RunDesk
from console.cli import build_parser, main
from console.errors import ConnectionLost, Denied, Unreachable, UsageError
from console.model import Answer, OutcomeState
from console.render.answers import Numbers, diff_lines, failures, fold_answers, groups_text, progress_text, reference
from console.transport.ending import Overran
from console.transport.local import LocalTransport
from tests.unit.acting_world import World, desk_of, store_of
from tests.unit.records import node


def answer(name: str, output: str = "", state: OutcomeState = OutcomeState.DONE, **fields: Any) -> Answer:
    return Answer(cluster="lab", node=name, state=state, output=output, **fields)


# ---- what is sent


def local(errand: Errand) -> tuple[int, bytes]:
    """Run it as a node would."""
    done = subprocess.run(errand.remote, input=errand.input, capture_output=True, check=False)
    return done.returncode, done.stdout


def test_one_word_is_a_line_for_the_shell_and_several_are_not() -> None:
    assert local(Errand(argv=("echo a  b | tr a x",))) == (0, b"x b\n")
    assert local(Errand(argv=("echo", "a  b | tr a x"))) == (0, b"a  b | tr a x\n")


def test_as_another_user() -> None:
    assert Errand(argv=("id", "-un"), user="alice").remote == ["sudo", "-n", "-u", "alice", "--", "id", "-un"]
    assert Errand(argv=("id | wc",), user="alice").remote[5:] == ["/bin/sh", "-c", "id | wc"]
    script = Errand(argv=("x",), user="alice", script=Script("s", b"id\n"))
    assert script.remote[:6] == ["sudo", "-n", "-u", "alice", "--", "/bin/sh"]


@pytest.mark.parametrize(
    ("first", "interpreter"),
    [
        (b"echo hi\n", ["/bin/sh"]),
        (b"#!/usr/bin/env python3\n", ["/usr/bin/env", "python3"]),
        (b"#! /bin/bash -eu -x\n", ["/bin/bash", "-eu -x"]),
        (b"#!\n", ["/bin/sh"]),
        (b"", ["/bin/sh"]),
    ],
)
def test_a_script_says_what_runs_it(first: bytes, interpreter: list[str]) -> None:
    assert Script("s", first).interpreter == interpreter


def test_a_script_has_its_arguments_and_its_own_input() -> None:
    body = b'#!/bin/sh -e\necho "$#" "$2"; cat\n'
    assert local(Errand(argv=("a", "b '"), script=Script("s", body), stdin=b"in\0put")) == (0, b"2 b '\nin\0put")


@pytest.mark.parametrize(
    "errand",
    [
        Errand(argv=()),
        Errand(argv=("a\0b",)),
        Errand(argv=("id",), user="-x"),
        Errand(argv=("id",), user=""),
        Errand(argv=(), script=Script("program", b"\x7fELF\0")),
    ],
)
def test_what_cannot_run_anywhere_is_refused_before(errand: Errand) -> None:
    with pytest.raises(UsageError) as caught:
        errand.check()
    assert caught.value.hint


def test_what_is_no_text_stands_in_the_journal_all_the_same() -> None:
    assert shown(["a\udcffb"]) == ("a\\xffb",)
    msgspec.json.encode(shown(["a\udcffb"]))


@pytest.mark.parametrize(
    ("status", "output", "errors", "said"),
    [
        (1, "", "sudo: a password is required", "sudo needs a password"),
        (1, "", "sudo: unknown user: bob", "there is no user bob"),
        (127, "", "sh: 1: exec: sudo: not found", "sudo is not installed"),
        (1, "", "Sorry, user al is not allowed to execute '/bin/id' as root on n1.", "sudo refuses: Sorry, user al"),
        (1, "", "al is not in the sudoers file.", "sudo refuses: al is not"),
        (1, "out", "sudo: a password is required", None),
        (2, "", "sudo: a password is required", None),
        (1, "", "grep: nothing", None),
    ],
)
def test_sudo_in_plain_words(status: int, output: str, errors: str, said: str | None) -> None:
    found = sudo_refusal("bob", status, output, errors)
    assert (found is None) == (said is None)
    if found is not None and said is not None:
        assert found[0].startswith(said)
        assert found[1]


# ---- what is kept


def test_the_beginning_is_kept_and_all_of_it_compared() -> None:
    def text(*parts: bytes) -> str:
        gathered = Gathered(kept_bytes=10)
        for part in parts:
            gathered.take(part)
        return gathered.text({})

    assert text(b"0123456789") == "0123456789"
    assert text(b"012345", b"6789abc") == text(b"0123456789abc")
    assert text(b"0123456789abc") != text(b"0123456789abd")
    assert text(b"0123456789abc").startswith("0123456789\n[13 bytes;")


def test_control_sequences_are_taken_out_and_binary_is_named() -> None:
    gathered = Gathered()
    gathered.take(b"\x1b[31mred\x1b[0m\x1b]52;c;x\x07\n\ta\n")
    assert gathered.text({}) == "red\n        a"
    gathered.take(b"\0")
    assert gathered.text({}).startswith("[binary: ")


# ---- folding and differences


def test_answers_fold_by_all_that_they_say() -> None:
    found = fold_answers(
        [
            answer("n2", "a"),
            answer("n10", "b"),
            answer("n11", "b"),
            answer("n1", "b"),
            answer("n3", "a", errors="e"),
            answer("n4", "a", OutcomeState.FAILED, exit_status=1, detail="exit 1"),
            answer("n5", "a", OutcomeState.FAILED, exit_status=2, detail="exit 2"),
        ]
    )
    assert [group.nodes for group in found] == [("n10", "n11", "n1"), ("n2",), ("n3",), ("n4",), ("n5",)]
    assert fold_answers([]) == ()
    assert failures(found) == ["n4: exit 1", "n5: exit 2"]


def test_differences_are_from_the_largest_that_is_done() -> None:
    bad = [answer(f"b{number}", "", OutcomeState.FAILED, detail="refused") for number in range(5)]
    groups = fold_answers([*bad, answer("n1", "a\nb"), answer("n2", "a\nb"), answer("n3", "a\nc", errors="!")])
    base = reference(groups)
    assert base is not None
    assert base.nodes == ("n1", "n2")
    assert diff_lines(base, groups[2])[2:] == ["@@ -1,2 +1,3 @@", " a", "-b", "+c", "+! !"]
    assert diff_lines(base, base) == []
    text = groups_text(groups, diff=True)
    assert text.index("n[1-2] (2)") < text.index("b[0-4] (5): refused"), "what the others differ from comes first"


def test_long_outputs_are_not_compared_line_by_line() -> None:
    groups = fold_answers([answer("a", "x\n" * 30_000), answer("b", "y")])
    assert diff_lines(groups[1], groups[0])[0].startswith("[1 and 30,001 lines")


def test_progress_is_one_line_that_fits() -> None:
    now = Numbers(3, 200, 12.3, 4.2, ("n3", "n4"))
    assert progress_text(now, 80) == "3 of 200, 12/s, 4 s, still running: n[3-4]"
    assert len(progress_text(now, 20)) == 20


# ---- the path


class Machine:
    """Ends as it is told."""

    def __init__(self, name: str, ends: dict[str, int | Exception]) -> None:
        self.name = name
        self._ends = ends

    async def stream(self, argv: Sequence[str], *, output: Any, **rest: Any) -> int:
        output(1, b"said")
        await asyncio.sleep(0)
        end = self._ends.get(self.name, 0)
        if isinstance(end, Exception):
            raise end
        return end


class Lab:
    """Nodes n1 to n6 of one cluster; n6 has no address."""

    def __init__(self, directory: Path) -> None:
        nodes = [
            msgspec.structs.replace(node(f"n{at}", cluster="lab"), address=None if at == 6 else f"n{at}")
            for at in range(1, 7)
        ]
        world = World("lab", nodes)
        self.store = store_of(world)
        self.around = desk_of(directory, world, store=self.store).around
        self.ends: dict[str, int | Exception] = {}
        self.desk = RunDesk(lambda address: Machine(address, self.ends), self.around)

    def run(self, **rest: Any) -> Run:
        views = list(self.store.nodes.values())
        return self.desk.run(self.desk.plan(views, Errand(argv=("date",))), **rest)


async def test_every_node_has_one_answer_and_each_says_why(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.ends = {
        "n2": 7,
        "n3": Unreachable("the connection was refused", "n3", "x"),
        "n4": Denied("the key was refused", "n4", "x"),
        "n5": Overran("it did not end within 1 s", "n5", "x"),
    }
    came: list[Answer] = []
    found = {one.node: one for one in await lab.run(fan_out=2, ended=came.append).run()}
    assert len(came) == len(found) == 6
    assert {name: one.detail for name, one in found.items()} == {
        "n1": "", "n2": "exit 7", "n3": "the connection was refused", "n4": "the key was refused",
        "n5": "it did not end within 1 s", "n6": "no way there is known",
    }  # fmt: skip
    assert {name for name, one in found.items() if one.unreachable} == {"n3", "n6"}
    assert {name for name, one in found.items() if one.denied} == {"n4"}
    assert found["n5"].output == "said", "what it said before stays"
    kinds = [entry.kind for entry in lab.around.journal.entries()]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert sum(len(entry.outcomes) for entry in lab.around.journal.entries()) == 6


async def test_a_line_that_dies_is_not_the_same_as_no_way_there(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.ends = {"n1": ConnectionLost("the connection was lost", "n1", "x")}
    found = await lab.run().run()
    assert not found[0].unreachable


async def test_stopped_it_begins_nothing_more(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    runs: list[Run] = []

    def ended(one: Answer) -> None:
        if one.node == "n2":
            runs[0].stop()

    runs.append(lab.run(fan_out=1, ended=ended))
    found = await runs[0].run()
    assert [one.state.value for one in found] == ["done", "done", "skipped", "skipped", "skipped", "skipped"]
    assert [entry.ended for entry in lab.around.journal.entries()][-1] == "interrupted"


async def test_without_a_journal_nothing_runs(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    lab.around.journal.directory = blocked / "journal"
    came: list[Answer] = []
    with pytest.raises(JournalError):
        await lab.run(ended=came.append).run()
    assert came == []


# ---- programs of this machine


async def test_a_local_program_is_streamed_and_ended_with_its_children(tmp_path: Path) -> None:
    machine = LocalTransport()
    got: list[tuple[int, bytes]] = []
    status = await machine.stream(
        ["sh", "-c", "cat; echo e >&2; exit 3"], output=lambda fd, data: got.append((fd, data)), stdin=b"in"
    )
    assert status == 3
    assert sorted(got) == [(1, b"in"), (2, b"e\n")]
    mark = tmp_path / "mark"
    script = f"trap '' TERM; sh -c 'sleep 3; echo late > {shlex.quote(str(mark))}' & echo begun; wait; wait; wait"
    with pytest.raises(Overran):
        await machine.stream(["sh", "-c", script], output=lambda *_: None, timeout_s=0.2)
    await asyncio.sleep(1.5)
    assert not mark.exists()


# ---- the command line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "n1"], "nothing to run"),
        (["run", "n1", "--", "x", "--timeout"], ""),
        (["run", "--timeout", "-1", "n1", "--", "x"], "is not a number"),
        (["run", "-f", "0", "n1", "--", "x"], "is not a number"),
        (["run", "--stdin", "/nonexistent/x", "n1", "--", "x"], "cannot be read"),
        (["run", "--", "x"], "the command line cannot be read"),
    ],
)
def test_mistakes_are_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments[:1], "--simulate", "4", *arguments[1:]]) in (2, 1)
    assert said in capsys.readouterr().err


def test_help_shows_where_the_command_stands() -> None:
    assert "NODES -- COMMAND" in build_parser("run").format_usage()
