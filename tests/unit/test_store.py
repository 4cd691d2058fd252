"""The store: who is one machine, what is gone, what changed, and the sums."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from console.model import (
    ArrayPart,
    Batch,
    Cluster,
    ClusterKind,
    Finding,
    Host,
    Job,
    JobState,
    JobUsage,
    LinkKind,
    Mount,
    MountState,
    NodeState,
    Queue,
    Records,
    Reservation,
    Severity,
    SourceState,
)
from console.model.identity import Identity, short_host
from console.store import Changes, Store
from console.store.jobs import MOST_KEPT
from tests.unit.records import batch, gpu, job, listing, measured, node, port, probe, queue, sample, status

SLURM = status("slurm:lab/nodes")
HOSTS = status("ssh:hosts/nodes", kind="ssh", cluster="hosts")


def taken(store: Store, changes: Changes, *batches: Batch) -> Changes:
    """Return what these batches changed."""
    changes.take()
    for one in batches:
        store.apply(one)
    return changes.take()


# ---- identity


@pytest.mark.parametrize(
    ("name", "key"),
    [("gpu01", "gpu01"), ("gpu01.dc1.local", "gpu01"), ("10.0.0.1", "10.0.0.1"), ("fe80::1", "fe80::1"), ("", "")],
)
def test_short_host_names_a_machine(name: str, key: str) -> None:
    assert short_host("lab", name) == key


def test_two_sources_of_one_machine_are_one_row_with_the_scheduler_first() -> None:
    store = Store()
    store.apply(listing(HOSTS, node("gpu01.dc1.local", cluster="hosts", address="ssh:gpu01.dc1.local")))
    store.apply(listing(SLURM, node("gpu01", state=NodeState.DRAINED, reason="fan")))
    assert list(store.nodes) == ["gpu01"]
    view = store.nodes["gpu01"]
    assert list(view.facets) == [SLURM.name, HOSTS.name]
    assert view.primary is not None
    assert view.primary.reason == "fan"
    assert view.state is NodeState.DRAINED


def test_a_layer_of_another_scheduler_is_no_machine_of_its_own() -> None:
    """Whoever answers first: the Ray that ended on a Slurm node does not make it a dead machine."""
    store = Store()
    ray = status("ray:ray/nodes", kind="ray", cluster="ray")
    store.apply(listing(ray, node("gpu01.dc1.local", cluster="ray", state=NodeState.DOWN, reason="raylet died")))
    assert store.nodes["gpu01"].state is NodeState.DOWN
    store.apply(listing(HOSTS, node("gpu01", cluster="hosts")))
    store.apply(listing(SLURM, node("gpu01", state=NodeState.BUSY)))
    view = store.nodes["gpu01"]
    assert list(view.facets) == [SLURM.name, ray.name, HOSTS.name]
    assert view.state is NodeState.BUSY


def test_two_names_of_one_source_stay_two_machines() -> None:
    store = Store()
    store.apply(listing(HOSTS, node("web.a.example", cluster="hosts"), node("web.b.example", cluster="hosts")))
    assert set(store.nodes) == {"web", "web.b.example"}
    other = probe("web.b.example", cluster="hosts")
    store.apply(batch(other, samples=(sample("web.b.example"),)))
    assert store.nodes["web.b.example"].sample is not None
    assert store.nodes["web"].sample is None


def test_a_name_given_back_is_free_again() -> None:
    identity = Identity()
    assert identity.claim("s", "c", "web.a") == "web"
    assert identity.claim("s", "c", "web.b") == "web.b"
    identity.release("s", "c", "web.b")
    identity.release("s", "c", "web.a")
    assert identity.claim("s", "c", "web.b") == "web"
    assert identity.key("c", "web.b") == "web"


def test_another_rule_may_tell_clusters_apart() -> None:
    store = Store(lambda cluster, name: f"{cluster}/{name}")
    store.apply(listing("slurm:a/nodes", node("n1", cluster="a")))
    store.apply(listing("slurm:b/nodes", node("n1", cluster="b")))
    assert set(store.nodes) == {"a/n1", "b/n1"}


# ---- what is gone


def test_what_one_source_lists_no_longer_stays_while_another_does() -> None:
    store = Store()
    store.apply(listing(SLURM, node("n1"), node("n2")))
    store.apply(listing(HOSTS, node("n1", cluster="hosts")))
    store.apply(listing(SLURM))
    assert set(store.nodes) == {"n1"}
    assert list(store.nodes["n1"].facets) == [HOSTS.name]
    store.apply(listing(HOSTS))
    assert store.nodes == {}


def test_an_incomplete_answer_takes_nothing_away_but_what_it_names() -> None:
    store = Store()
    store.apply(listing(SLURM, node("n1"), node("n2"), node("n3")))
    store.apply(batch(SLURM, nodes=(node("n1", reason="x"),), gone_nodes=("n3", "never")))
    assert set(store.nodes) == {"n1", "n2"}
    store.apply(queue("slurm:lab/jobs", job("1"), job("2")))
    store.apply(batch("slurm:lab/jobs", jobs=(job("3"),), gone_jobs=("1", "99")))
    assert {key[1] for key in store.jobs} == {"2", "3"}


def test_a_source_that_fails_keeps_its_last_table() -> None:
    store = Store()
    store.apply(listing(SLURM, node("n1", state=NodeState.BUSY)))
    store.apply(queue("slurm:lab/jobs", job("1")))
    changes = store.subscribe()
    failing = msgspec.structs.replace(SLURM, state=SourceState.UNREACHABLE, error="slurmctld is down")
    seen = taken(store, changes, Batch(status=failing))
    assert store.nodes["n1"].state is NodeState.BUSY
    assert len(store.jobs) == 1
    assert seen.sources == {SLURM.name}
    assert not seen.nodes


def test_jobs_of_two_sources_fall_back_to_the_other_when_one_lets_go() -> None:
    store = Store()
    store.apply(queue("one/jobs", job("1", name="first")))
    store.apply(queue("two/jobs", job("1", name="second")))
    assert store.jobs["lab", "1"].name == "first"
    store.apply(queue("one/jobs"))
    assert store.jobs["lab", "1"].name == "second"
    store.apply(queue("two/jobs"))
    assert store.jobs == {}


def test_a_node_that_goes_takes_its_probe_and_its_history_along() -> None:
    store = Store()
    store.apply(listing(HOSTS, node("n1", cluster="hosts")))
    store.apply(measured("n1", 1000.0, gpu()))
    assert len(store.history("n1", "cpu_percent")) == 1
    changes = store.subscribe()
    seen = taken(store, changes, listing(HOSTS))
    assert seen.nodes == {"n1"}
    assert "ssh:n1" not in store.sources
    assert "ssh:n1" in seen.sources
    assert len(store.history("n1", "cpu_percent")) == 0
    assert store.totals.nodes == store.totals.gpus == store.totals.measured == 0


# ---- what changed


def test_changes_name_precisely_what_changed() -> None:
    store = Store()
    changes = store.subscribe()
    seen = taken(store, changes, listing(SLURM, node("n1"), node("n2")))
    assert (seen.nodes, seen.sources, seen.other) == ({"n1", "n2"}, {SLURM.name}, False)
    seen = taken(store, changes, listing(SLURM, node("n1"), node("n2")))
    assert not seen, "an equal answer is no change"
    seen = taken(store, changes, listing(SLURM, node("n1"), node("n2", reason="fan")))
    assert (seen.nodes, seen.jobs, seen.sources) == ({"n2"}, set(), set())
    seen = taken(store, changes, queue("j", job("1", node_names=("n1",)), job("2")))
    assert seen.jobs == {("lab", "1"), ("lab", "2")}
    assert seen.nodes == {"n1"}, "its jobs changed"
    seen = taken(store, changes, queue("j", job("1", node_names=("n1",)), job("2", priority=7)))
    assert (seen.jobs, seen.nodes) == ({("lab", "2")}, set())
    seen = taken(store, changes, queue("j", job("2", priority=7)))
    assert (seen.jobs, seen.nodes) == ({("lab", "1")}, {"n1"})


def test_every_reader_has_changes_of_its_own() -> None:
    store = Store()
    first, second = store.subscribe(), store.subscribe()
    store.apply(listing(SLURM, node("n1")))
    assert first.take().nodes == {"n1"}
    store.apply(listing(SLURM, node("n1", reason="x")))
    assert first.take().nodes == {"n1"}
    store.unsubscribe(first)
    store.apply(listing(SLURM))
    assert not first
    assert second.take().nodes == {"n1"}


def test_the_same_number_on_two_clusters_is_two_jobs() -> None:
    store = Store()
    store.apply(queue("slurm:a/jobs", job("67108865", cluster="a", name="here")))
    store.apply(queue("slurm:b/jobs", job("67108865", cluster="b", name="there")))
    assert {key: shown.name for key, shown in store.jobs.items()} == {
        ("a", "67108865"): "here",
        ("b", "67108865"): "there",
    }
    store.apply(queue("slurm:a/jobs"))
    assert set(store.jobs) == {("b", "67108865")}


def test_queues_reservations_clusters_and_findings_are_other() -> None:
    store = Store()
    changes = store.subscribe()
    everything = batch(
        SLURM,
        cluster=Cluster(name="lab", kind=ClusterKind.SLURM, version="24.11"),
        queues=(Queue(name="gpu", cluster="lab"),),
        reservations=(Reservation(name="r", cluster="lab"),),
        complete=("queues", "reservations"),
    )
    assert taken(store, changes, everything).other
    assert not taken(store, changes, everything).other
    assert ("lab", "gpu") in store.queues
    assert taken(store, changes, batch(SLURM, complete=("queues",))).other
    assert store.queues == {}
    assert store.reservations


def test_a_big_answer_in_steps_lets_readers_and_others_in_between() -> None:
    store = Store()
    changes = store.subscribe()
    names = [f"n{index}" for index in range(5000)]
    steps = store.apply_steps(listing(SLURM, *map(node, names)))
    next(steps)
    assert 0 < len(changes.take().nodes) < 5000
    store.apply(listing(HOSTS, node("n4999.x", cluster="hosts"), node("other", cluster="hosts")))
    for _ in steps:
        pass
    assert set(store.nodes) == {*names, "other"}
    assert set(store.nodes["n4999"].facets) == {SLURM.name, HOSTS.name}
    assert sum(1 for _ in store.apply_steps(listing(SLURM))) > 1, "what goes goes in steps too"
    assert set(store.nodes) == {"n4999", "other"}


# ---- jobs and findings of a node


def test_jobs_of_a_node_are_those_that_hold_it() -> None:
    store = Store()
    store.apply(queue("j", job("1", node_names=("n1", "n2")), job("2", node_names=("n1",), state=JobState.COMPLETED)))
    store.apply(listing(SLURM, node("n1"), node("n2")))
    assert store.nodes["n1"].jobs == (("lab", "1"),), "known before its node was"
    store.apply(queue("j", job("1", node_names=("n2",)), job("2", node_names=("n1.dc1",), state=JobState.COMPLETING)))
    assert store.nodes["n1"].jobs == (("lab", "2"),)
    assert store.nodes["n2"].jobs == (("lab", "1"),)
    store.apply(queue("j"))
    assert not store.nodes["n1"].jobs
    assert not store.nodes["n2"].jobs


def test_a_job_that_names_one_machine_twice_counts_once_and_goes_cleanly() -> None:
    store = Store()
    store.apply(listing(SLURM, node("n1")))
    store.apply(queue("j", job("1", node_names=("n1", "n1.dc1"))))
    assert store.nodes["n1"].jobs == (("lab", "1"),)
    store.apply(queue("j"))
    assert not store.nodes["n1"].jobs


def test_findings_stand_at_the_nodes_that_they_name() -> None:
    store = Store()
    store.apply(listing(SLURM, node("n1"), node("n2")))
    bad = Finding(id="x", severity=Severity.CRITICAL, title="Xid 79", nodes=("n1.dc1",))
    changes = store.subscribe()
    seen = taken(store, changes, batch("f", findings=(bad,), complete=("findings",)))
    assert store.nodes["n1"].findings == (bad,)
    assert (seen.nodes, seen.other) == ({"n1"}, True)
    seen = taken(store, changes, batch("f", findings=(bad,), complete=("findings",)))
    assert not seen
    seen = taken(store, changes, batch("f", complete=("findings",)))
    assert not store.nodes["n1"].findings
    assert seen.nodes == {"n1"}


# ---- samples and states


def test_a_sample_of_a_node_that_nobody_lists_waits_for_it() -> None:
    store = Store()
    store.apply(measured("n1", 1000.0, gpu()))
    assert store.nodes == {}
    store.apply(listing(HOSTS, node("n1", cluster="hosts")))
    assert store.nodes["n1"].sample is not None
    assert store.nodes["n1"].probe is not None
    assert store.totals.gpus_measured == 1


def test_a_live_probe_has_the_word_over_a_source_of_many() -> None:
    store = Store()
    store.apply(listing(SLURM, node("n1")))
    many = status("prometheus:lab/telemetry", kind="prometheus")
    store.apply(batch(many, samples=(sample("n1", 1.0),)))
    assert store.nodes["n1"].sample_source == many.name
    store.apply(measured("n1", 2.0))
    store.apply(batch(many, samples=(sample("n1", 3.0),)))
    assert store.nodes["n1"].sample_source == "ssh:n1"
    store.apply(Batch(status=probe("n1", SourceState.UNREACHABLE)))
    store.apply(batch(many, samples=(sample("n1", 4.0),)))
    assert store.nodes["n1"].sample_source == many.name


def test_a_plain_host_is_what_its_probe_says() -> None:
    store = Store()
    store.apply(listing(HOSTS, node("n1", cluster="hosts")))
    view = store.nodes["n1"]

    def state(*batches: Batch) -> NodeState:
        for one in batches:
            store.apply(one)
        return view.state

    assert state() is NodeState.UNKNOWN
    assert state(Batch(status=probe("n1", SourceState.CONNECTING))) is NodeState.UNKNOWN
    assert state(measured("n1", 1.0, gpu(percent=0.0))) is NodeState.UP
    assert state(measured("n1", 2.0, gpu(percent=97.0))) is NodeState.BUSY
    assert state(measured("n1", 3.0, gpu(percent=None))) is NodeState.UP
    assert state(Batch(status=probe("n1", SourceState.LATE))) is NodeState.UP
    assert state(Batch(status=probe("n1", SourceState.UNREACHABLE))) is NodeState.UNREACHABLE
    assert state(Batch(status=probe("n1", SourceState.DENIED))) is NodeState.UNKNOWN
    assert view.probe is not None
    assert view.probe.state is SourceState.DENIED
    assert state(Batch(status=probe("n1"), ended=True)) is NodeState.UNKNOWN
    assert view.probe is None
    assert view.sample is not None, "what it brought stays, with its age"


def test_the_scheduler_keeps_the_word_whether_we_can_log_in_or_not() -> None:
    store = Store()
    store.apply(listing(SLURM, node("n1", state=NodeState.BUSY), node("n2")))
    for state in (SourceState.DENIED, SourceState.UNREACHABLE, SourceState.ERROR):
        store.apply(Batch(status=probe("n1", state, error="no")))
        assert store.nodes["n1"].state is NodeState.BUSY
    store.apply(Batch(status=probe("n2", SourceState.UNREACHABLE)))
    assert store.nodes["n2"].state is NodeState.UNREACHABLE, "a scheduler that knows nothing has no word"


def test_a_probe_that_only_ticks_changes_its_source_and_not_its_node() -> None:
    store = Store()
    store.apply(listing(HOSTS, node("n1", cluster="hosts")))
    store.apply(Batch(status=probe("n1", observed_at=1.0)))
    changes = store.subscribe()
    seen = taken(store, changes, Batch(status=probe("n1", observed_at=2.0)))
    assert (seen.nodes, seen.sources) == (set(), {"ssh:n1"})
    seen = taken(store, changes, Batch(status=probe("n1", SourceState.UNREACHABLE)))
    assert seen.nodes == {"n1"}


# ---- sums


def test_totals_add_up_and_come_back_to_nothing() -> None:
    store = Store()
    store.apply(
        listing(
            SLURM,
            node("n1", state=NodeState.BUSY, accelerators_total=8, accelerators_allocated=6),
            node("n2", state=NodeState.DOWN, accelerators_total=8, accelerators_allocated=0),
        )
    )
    store.apply(listing(HOSTS, node("n3", cluster="hosts")))
    links = (
        port("mlx5_0/1", rx_bytes_per_s=10.0, tx_bytes_per_s=20.0, device="ib0"),
        port("ib0", kind=LinkKind.ETHERNET, rx_bytes_per_s=10.0, tx_bytes_per_s=20.0),
        port("mlx5_1/1", state="down"),
    )
    mounts = (Mount(path="/home", source="nfs:/home", type="nfs4", network=True, state=MountState.HUNG),)
    store.apply(measured("n1", 1.0, gpu(0, 100.0), gpu(1, 50.0, state="lost"), links=links, mounts=mounts))
    store.apply(measured("n3", 1.0, gpu(0, None, power_w=None), gpu(1, 30.0), host=Host(power_w=100.0)))
    store.apply(
        queue(
            "j",
            job("1", node_names=("n1",)),
            job("2", accelerators=16),
            job("3_[1-9]", array=ArrayPart(id="3", tasks=9, running=2, pending=7)),
            job("4", state=JobState.HELD),
        )
    )
    totals = store.totals
    assert (totals.nodes, totals.nodes_usable) == (3, 2)
    assert (totals.gpus, totals.gpus_allocated, totals.gpus_busy) == (18, 6, 7)
    assert (totals.gpus_sick, totals.gpus_measured, totals.measured) == (1, 3, 2)
    assert totals.utilization_percent == pytest.approx(60.0)
    assert totals.power_w == pytest.approx(2200.0)
    assert totals.traffic == pytest.approx(30.0), "a port and its interface carry the same bytes"
    assert (totals.links_down, totals.mounts_bad) == (1, 1)
    states = totals.job_states
    assert (states[JobState.RUNNING], states[JobState.PENDING], states[JobState.HELD]) == (3, 8, 1)
    assert totals.gpus_wanted == 16
    assert totals.worst_source == SourceState.OK

    store.apply(Batch(status=probe("n1", SourceState.UNREACHABLE)))
    assert totals.power_w == pytest.approx(800.0), "the last values of a dead host are not what is"
    assert totals.gpus == 18
    assert store.totals.worst_source == "unreachable"
    store.apply(listing(SLURM))
    store.apply(listing(HOSTS))
    store.apply(queue("j"))
    assert (totals.nodes, totals.gpus, totals.gpus_busy, totals.gpus_sick, totals.gpus_wanted) == (0, 0, 0, 0, 0)
    assert totals.power_w is None
    assert totals.traffic is None
    assert totals.utilization_percent is None
    assert not any(totals.node_states.values())
    assert not any(totals.job_states.values())


def test_a_source_of_many_that_fails_or_goes_takes_its_sums_along() -> None:
    store = Store()
    many = status("simulated:lab/telemetry", kind="simulated")
    store.apply(listing(SLURM, node("n1")))
    store.apply(batch(many, samples=(sample("n1", 1.0, gpu()),)))
    assert store.totals.power_w == 700.0
    store.apply(Batch(status=msgspec.structs.replace(many, state=SourceState.UNREACHABLE)))
    assert store.totals.power_w is None
    store.apply(Batch(status=many))
    assert store.totals.power_w == 700.0
    store.apply(Batch(status=many, ended=True))
    assert store.totals.power_w is None
    assert many.name not in store.sources


def test_numbers_past_all_floats_cost_their_values_and_nothing_else() -> None:
    store = Store()
    store.apply(listing(HOSTS, node("n1", cluster="hosts")))
    store.apply(measured("n1", 1.0, gpu(0, float("nan")), gpu(1, 10.0, memory_used_bytes=10**400)))
    assert store.nodes["n1"].sample is not None
    assert store.totals.gpus == 2
    assert store.totals.utilization_percent is None
    store.apply(measured("n1", 2.0, gpu(0, 10.0)))
    assert store.totals.utilization_percent == 10.0


def test_missing_is_never_zero() -> None:
    store = Store()
    store.apply(listing(HOSTS, node("n1", cluster="hosts")))
    store.apply(batch(probe("n1"), samples=(sample("n1", 1.0, host=None),)))
    totals = store.totals
    assert (totals.power_w, totals.traffic, totals.utilization_percent) == (None, None, None)


def test_records_without_samples_change_no_totals_of_power() -> None:
    store = Store()
    store.apply(Batch(status=SLURM, records=Records()))
    assert store.totals.measured == 0
    assert store.sources[SLURM.name] == SLURM


# ---- what ended today

NOON = 1_790_000_000.0


def ended_at(store: Store, now: float, source: str = "slurm:lab/jobs", **records: object) -> None:
    store.apply(Batch(status=status(source, observed_at=now), records=Records(**records)))  # type: ignore[arg-type]


def done(job_id: str, ends_at: float = NOON, **fields: Any) -> Job:
    return job(job_id, **{"state": JobState.COMPLETED, "ends_at": ends_at, **fields})


def test_a_job_that_was_seen_to_end_stays_until_midnight() -> None:
    store = Store()
    ended_at(store, NOON, jobs=(done("1"), job("2", node_names=("n1",))), complete=("jobs",))
    ended_at(store, NOON + 10, jobs=(), complete=("jobs",))
    assert list(store.jobs) == [("lab", "1")]
    assert store.totals.job_states[JobState.COMPLETED] == 1
    ended_at(store, NOON + 86_400, jobs=(), complete=("jobs",))
    assert store.jobs == {}
    assert +store.totals.job_states == {}


def test_accounting_tells_of_jobs_that_nobody_lists_and_knows_more_of_others() -> None:
    store = Store()
    usage = JobUsage(cpu_percent=12.0)
    ended_at(store, NOON, jobs=(done("1"), job("3")), complete=("jobs",))
    told = (done("1", usage=usage), done("2", usage=usage), done("3", usage=usage))
    ended_at(store, NOON, "slurm:lab/history", ended_jobs=told)
    assert store.jobs["lab", "1"].usage == store.jobs["lab", "2"].usage == usage
    assert store.jobs["lab", "3"].state is JobState.PENDING  # requeued under its number: what lives is shown
    ended_at(store, NOON, gone_jobs=("1",))
    assert store.jobs["lab", "1"].usage == usage


def test_of_too_many_ended_jobs_the_newest_stay() -> None:
    store = Store()
    many = tuple(done(str(number), NOON + number / 100) for number in range(MOST_KEPT + MOST_KEPT // 10 + 1))
    ended_at(store, NOON, "slurm:lab/history", ended_jobs=many)
    ended_at(store, NOON, "slurm:lab/history", ended_jobs=(many[-1],))
    assert len(store.jobs) == MOST_KEPT
    assert ("lab", "0") not in store.jobs


def test_what_ended_yesterday_or_has_no_end_is_not_kept() -> None:
    store = Store()
    ended_at(store, NOON, jobs=())
    ended_at(store, NOON, ended_jobs=(done("1", NOON - 2 * 86_400), job("2", state=JobState.FAILED)))
    assert store.jobs == {}
