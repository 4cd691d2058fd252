"""The small languages of Slurm: GRES, TRES, node lists, states, times, and what its failures mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from ClusterShell.NodeSet import NodeSet
from hypothesis import given
from hypothesis import strategies as st

from console.errors import CommandFailed, ConnectionLost, Denied, SourceError, TimedOut, Unreachable, Unsupported
from console.model import JobState, NodeState
from plugins.slurm import failures, gres, hostlist, states, times
from plugins.slurm.changes import ALL, Table, changed
from plugins.slurm.jobs import count_tasks
from plugins.slurm.parse import Controller, Counters

FIXTURES = Path(__file__).parent.parent / "fixtures" / "slurm"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu:a100:4", {"a100": 4}),
        ("gpu:a100:4(S:0-1)", {"a100": 4}),
        ("gpu:a100:2(IDX:0-1)", {"a100": 2}),
        ("gpu:a100:2(IDX:0,3),gpu:h100:1(IDX:7)", {"a100": 2, "h100": 1}),
        ("gpu:(null):2(IDX:0-1)", {"": 2}),
        ("gpu:(null):0(IDX:N/A)", {}),
        ("gpu:0", {}),
        ("gpu", {"": 1}),
        ("gpu:a100", {"a100": 1}),
        ("gpu:2K", {"": 2048}),
        ("gpu:no_consume:4", {"": 4}),
        ("gres:gpu:a100:2", {"a100": 2}),
        ("gres:gpu:2", {"": 2}),
        ("gres/gpu:a100:1,gres/gpu:h100:1", {"a100": 1, "h100": 1}),
        ("gres/gpu:2", {"": 2}),
        ("gres/gpu:h100=2", {"h100": 2}),
        ("cpu=8,mem=16000M,node=1,billing=8,gres/gpu=4,gres/gpu:a100=4", {"a100": 4}),
        ("cpu=8,gres/gpu=4", {"": 4}),
        ("cpu=8,gres/gpu=5,gres/gpu:a100=4", {"a100": 4, "": 1}),
        ("gres/gpumem=80G,gres/gpuutil=100", {}),
        ("gpu_mem:no_consume:80G,gpu:a100:1", {"a100": 1}),
        ("mps:400,shard:16,craynetwork:4", {}),
        ("gpu:nvidia_a100_80gb_pcie_1g.10gb:7(S:0)", {"nvidia_a100_80gb_pcie_1g.10gb": 7}),
        ("(null)", {}),
        ("N/A", {}),
        ("gpu:a100:4(S:0-1", {"a100": 4}),
        ("gpu:a100:99999999999999999999999", {"a100:99999999999999999999999": 1}),
    ],
)
def test_gpus_of_every_spelling(text: str, found: dict[str, int]) -> None:
    assert gres.counts(text) == found


MODELS = st.sampled_from(["", "a100", "h100", "mi300x"])
HELD = st.dictionaries(MODELS, st.integers(1, 64), min_size=1)


@given(HELD)
def test_what_slurm_would_print_is_read_back(held: dict[str, int]) -> None:
    def spell(prefix: str, sign: str, note: str) -> str:
        return ",".join(f"{prefix}{':' + model if model else ''}{sign}{count}{note}" for model, count in held.items())

    assert gres.counts(spell("gpu", ":", "(IDX:0-1,3)")) == held
    assert gres.counts(spell("gres:gpu", ":", "")) == held
    assert gres.counts(spell("gres/gpu", ":", "")) == held
    typed = {model: count for model, count in held.items() if model}
    total = sum(held.values())
    tres = f"cpu=8,gres/gpu={total}," + ",".join(f"gres/gpu:{model}={count}" for model, count in typed.items())
    assert gres.total(gres.counts(tres)) == total


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert all(count > 0 for count in gres.counts(text).values())
    gres.tres(text)
    gres.number(text)
    gres.memory_bytes(text)
    times.epoch(text)
    times.limit(text)
    count_tasks(text)
    hostlist.expand(text)
    assert states.node_state(text) in NodeState
    assert states.job_state(text, text) in JobState


@pytest.mark.parametrize("digits", [5, 500, 5000])
def test_numbers_of_any_length_do_no_harm(digits: int) -> None:
    long = "9" * digits
    for text in (long, f"gpu:{long}", f"{long}:{long}", f"{long}-{long}", f"n[{long}-{long}]", f"{long}G"):
        gres.counts(text)
        gres.number(text)
        gres.memory_bytes(text)
        times.epoch(text)
        times.duration(text)
        count_tasks(text)
        hostlist.expand(text)


def test_memory() -> None:
    assert gres.memory_bytes("16000M") == 16000 << 20
    assert gres.memory_bytes("62.50G") == 62 * (1 << 30) + (1 << 29)
    assert gres.memory_bytes("800") == 800 << 20
    assert gres.memory_bytes("N/A") is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["n", "gpu", "rack1-", "x.y"]), st.integers(0, 40), st.integers(0, 6), st.integers(1, 3)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_node_lists_like_clustershell(parts: list[tuple[str, int, int, int]]) -> None:
    text = ",".join(f"{name}[{first:0{width}}-{first + more:0{width}}]" for name, first, more, width in parts)
    expanded = hostlist.expand(text)
    assert expanded is not None
    assert set(expanded) == set(NodeSet(text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ("n1",)),
        ("n[1-3,07],login", ("n1", "n2", "n3", "n07", "login")),
        ("r[0-1]n[1-2]", ("r0n1", "r0n2", "r1n1", "r1n2")),
        ("(null)", ()),
        ("", ()),
        ("n[1-", None),
        ("n[3-1]", None),
        ("n[a-b]", None),
        ("n[0-999999999]", None),
        ("n[0-99999]x[0-99999]", None),
        (",n1", None),
    ],
)
def test_node_lists(text: str, names: tuple[str, ...] | None) -> None:
    assert hostlist.expand(text) == names


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("IDLE", NodeState.UP),
        ("IDLE+PLANNED", NodeState.UP),
        ("IDLE+CLOUD+POWERED_DOWN", NodeState.UP),
        ("idle~", NodeState.UP),
        ("MIXED", NodeState.BUSY),
        ("MIXED+PLANNED", NodeState.BUSY),
        ("ALLOCATED+RESERVED", NodeState.BUSY),
        ("alloc+", NodeState.BUSY),
        ("IDLE+COMPLETING", NodeState.BUSY),
        ("IDLE+RESERVED", NodeState.RESERVED),
        ("IDLE+MAINTENANCE+RESERVED", NodeState.MAINTENANCE),
        ("IDLE+REBOOT_ISSUED", NodeState.MAINTENANCE),
        ("MIXED+DRAIN", NodeState.DRAINING),
        ("IDLE+DRAIN", NodeState.DRAINED),
        ("IDLE+DRAIN+COMPLETING", NodeState.DRAINING),
        ("DOWN*+DRAIN", NodeState.DRAINED),
        ("ALLOCATED+DRAIN+MAINTENANCE+RESERVED", NodeState.DRAINING),
        ("IDLE+FAIL", NodeState.DOWN),
        ("ALLOCATED+FAIL", NodeState.DRAINING),
        ("DOWN", NodeState.DOWN),
        ("DOWN*", NodeState.DOWN),
        ("DOWN+NOT_RESPONDING", NodeState.DOWN),
        ("DOWN+MAINTENANCE", NodeState.DOWN),
        ("IDLE+INVALID_REG", NodeState.DOWN),
        ("ERROR", NodeState.DOWN),
        ("IDLE*", NodeState.UNREACHABLE),
        ("MIXED+NOT_RESPONDING", NodeState.UNREACHABLE),
        ("IDLE+REBOOT_REQUESTED+NOT_RESPONDING", NodeState.UNREACHABLE),
        ("UNKNOWN", NodeState.UNKNOWN),
        ("SOMETHING_NEW", NodeState.UNKNOWN),
    ],
)
def test_node_states(text: str, state: NodeState) -> None:
    assert states.node_state(text) is state


def test_nodes_of_the_future_are_not_there() -> None:
    assert states.hidden("FUTURE")
    assert not states.hidden("IDLE+DYNAMIC_NORM")


@given(st.sets(st.sampled_from(["DRAIN", "RESERVED", "PLANNED", "CLOUD", "NOT_RESPONDING", "COMPLETING"])))
def test_no_flag_hides_a_drain(extra: set[str]) -> None:
    state = states.node_state("+".join(["IDLE", "DRAIN", *sorted(extra - {"DRAIN"})]))
    assert state in (NodeState.DRAINED, NodeState.DRAINING)


@pytest.mark.parametrize(
    ("text", "reason", "state"),
    [
        ("PENDING", "Priority", JobState.PENDING),
        ("PENDING", "JobHeldUser", JobState.HELD),
        ("PENDING", "JobHeldAdmin", JobState.HELD),
        ("REQUEUE_HOLD", None, JobState.HELD),
        ("CONFIGURING", None, JobState.RUNNING),
        ("RUNNING", None, JobState.RUNNING),
        ("RUNNING+COMPLETING", None, JobState.RUNNING),
        ("COMPLETING", None, JobState.COMPLETING),
        ("SUSPENDED", None, JobState.SUSPENDED),
        ("OUT_OF_MEMORY", None, JobState.FAILED),
        ("CANCELLED by 1000", None, JobState.CANCELLED),
        ("TIMEOUT", None, JobState.TIMEOUT),
        ("SOMETHING_NEW", None, JobState.UNKNOWN),
    ],
)
def test_job_states(text: str, reason: str | None, state: JobState) -> None:
    assert states.job_state(text, reason) is state


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_durations(days: int, hours: int, minutes: int, seconds: int) -> None:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert times.duration(f"{days}-{hours:02}:{minutes:02}:{seconds:02}") == total


def test_times() -> None:
    assert times.epoch("1795478125") == 1795478125.0
    for text in ("0", "N/A", "Unknown", "None", "2026-11-23T23:23:26", "-1", "", "9" * 20, "١٢٣"):
        assert times.epoch(text) is None
    assert times.duration("1-12") == 129600.0
    assert times.duration("90") == 5400.0


@pytest.mark.parametrize(("listed", "count"), [("0-9", 10), ("1,3,5-9", 7), ("0-10:5", 3), ("", 0), ("9-1", 0)])
def test_tasks_of_an_array(listed: str, count: int) -> None:
    assert count_tasks(listed) == count


# ---- counters


def counters(since: int = 1, submitted: int = 5, **requests: int) -> Counters:
    jobs = {"submitted": submitted, "started": 3, "completed": 2, "canceled": 0, "failed": 0}
    return Counters(since=since, jobs=jobs, requests=requests)


@pytest.mark.parametrize(
    ("after", "tables"),
    [
        (counters(REQUEST_NODE_INFO=9, REQUEST_JOB_INFO=9, REQUEST_PING=99), set()),
        (counters(REQUEST_NODE_INFO=1, REQUEST_JOB_STEP_CREATE=4), set()),
        (counters(submitted=6, REQUEST_NODE_INFO=1), {Table.JOBS}),
        (counters(REQUEST_NODE_INFO=1, REQUEST_UPDATE_NODE=1), {Table.NODES}),
        (counters(REQUEST_NODE_INFO=1, REQUEST_UPDATE_JOB=1), {Table.JOBS}),
        (counters(REQUEST_NODE_INFO=1, MESSAGE_EPILOG_COMPLETE=1), {Table.JOBS, Table.NODES}),
        (counters(REQUEST_NODE_INFO=1, REQUEST_SOMETHING_NEW=1), {Table.JOBS, Table.NODES}),
        (counters(REQUEST_NODE_INFO=1, REQUEST_CREATE_RESERVATION=1), set(Table)),
        (counters(since=2, REQUEST_NODE_INFO=1), set(Table)),
        (counters(submitted=4, REQUEST_NODE_INFO=1), set(Table)),
        (counters(REQUEST_NODE_INFO=0), set(Table)),
        (counters(), set(Table)),
    ],
)
def test_what_counters_tell(after: Counters, tables: set[Table]) -> None:
    assert changed(counters(REQUEST_NODE_INFO=1), after) == tables


def test_without_an_earlier_reading_anything_may_have_changed() -> None:
    assert changed(None, counters()) == ALL


# ---- failures


def test_a_key_that_differs_is_said_by_newer_releases_only() -> None:
    def error(version: str) -> SourceError:
        return failures.failure("squeue", 1, (FIXTURES / version / "munge-wrong-key.err").read_bytes(), "login1")

    assert type(error("22.05.8")) is ConnectionLost
    assert type(error("24.11.5")) is Denied
    assert "credential" in error("24.11.5").what


@pytest.mark.parametrize("version", ["22.05.8", "24.11.5"])
@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("ctld-down.err", Unreachable, "slurmctld does not answer"),
        ("ctld-hung.err", TimedOut, "takes connections and does not answer"),
        ("munge-down.err", Unreachable, "munged does not run"),
        ("no-conf.err", Unsupported, "no slurm.conf at /tmp/no/such/slurm.conf"),
        ("no-conf-source.err", Unsupported, "no Slurm configuration"),
        ("bad-conf.err", CommandFailed, "Slurmctld_Nonsense"),
        ("ping-munge-down.err", Unreachable, "munged does not run"),
    ],
)
def test_recorded_failures(version: str, name: str, kind: type[SourceError], says: str) -> None:
    error = failures.failure("squeue", 1, (FIXTURES / version / name).read_bytes(), "login1")
    assert type(error) is kind
    assert says in error.what
    assert error.where == "login1"
    assert error.hint


@pytest.mark.parametrize(
    ("status", "stderr", "kind", "says"),
    [
        (127, b"env: 'squeue': No such file or directory\n", Unsupported, "no such program: squeue"),
        (126, b"env: 'squeue': Permission denied\n", Unsupported, "no such program"),
        (1, b"slurm_load_node error: Access/permission denied\n", Denied, "does not show this"),
        (1, b"slurm_load_jobs error: Incompatible versions of client and server code\n", Unsupported, "do not fit"),
        (1, b"slurm_load_jobs error: Slurm backup controller in standby mode\n", Unreachable, "standby"),
        (1, b"error: Munge decode failed: Expired credential\nslurm_load_jobs error: x\n", Denied, "credential"),
        (1, b"squeue: error: \x1b]52;c;AAAA\x07odd\x9b31m\n", CommandFailed, "odd"),
        (3, b"", CommandFailed, "status 3: no word"),
    ],
)
def test_other_failures(status: int, stderr: bytes, kind: type[SourceError], says: str) -> None:
    error = failures.failure("squeue", status, stderr, "local")
    assert isinstance(error, kind)
    assert says in error.what
    assert error.hint
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in str(error))


@pytest.mark.parametrize(
    ("controllers", "kind", "says"),
    [
        ((), TimedOut, "hung"),
        ((Controller("primary", "a", False),), Unreachable, "down (primary on a)"),
        ((Controller("primary", "a", False), Controller("backup", "b", True)), TimedOut, "answers pings"),
    ],
)
def test_what_a_ping_says_about_silence(
    controllers: tuple[Controller, ...], kind: type[SourceError], says: str
) -> None:
    error = failures.no_answer(controllers, 2.5, "login1")
    assert type(error) is kind
    assert says in error.what
