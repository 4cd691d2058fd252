"""Plans for Kubernetes: who is evicted, what stands against it, what is sent, and what brings back what was."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from console.errors import UsageError
from console.model import Draft, Effect, Job, JobState, Node, NodeState, Order
from plugins.kubernetes.held import Budget, HeldNode, HeldPod, JobTarget, Managed, NodeTarget, Retries, Ties
from plugins.kubernetes.job_orders import QUEUE, JobPlanner
from plugins.kubernetes.node import BY, REASON
from plugins.kubernetes.objects import WorkObject
from plugins.kubernetes.orders import EVICTION_S, NodePlanner
from plugins.kubernetes.patches import Change, patch

HOSTILE = 'it\'s "bad"; rm -rf / $(x)\n\x1b[2J ünï \u202e' + "x" * 5000
NOW = 1_790_000_000.0
OF_JOB = {"kind": "Job", "apiVersion": "batch/v1", "name": "train", "uid": "j1", "controller": True}


def order(action: str, **fields: Any) -> Order:
    return Order(action=action, cluster="kube", names=("gpu1",), by="ann", **{"reason": "fan", **fields})


def pod(name: str, owner: dict[str, Any] | None = None, **rest: Any) -> HeldPod:
    meta = {"name": name, "namespace": "lab", "uid": f"u-{name}", "ownerReferences": [owner] if owner else None}
    body = {
        "metadata": {**meta, **rest.pop("metadata", {})},
        "spec": rest.pop("spec", {}),
        "status": {"phase": "Running", **rest},
    }
    return msgspec.convert(body, HeldPod)


def node_target(*pods: HeldPod, notes: dict[str, str] | None = None, out: bool = False, **fields: Any) -> NodeTarget:
    node = Node(name="gpu1", cluster="kube", **{"state": NodeState.UP, "scheduler_state": "Ready", **fields})
    held = {"metadata": {"name": "gpu1", "uid": "n1", "annotations": notes}, "spec": {"unschedulable": out or None}}
    jobs = {each.name: "lab/job/train" for each in pods if each.job is not None}
    return NodeTarget(node=node, held=msgspec.convert(held, HeldNode), pods=pods, jobs=jobs)


def planned(asked: Order, *targets: NodeTarget, ties: Ties | None = None) -> Draft:
    return NodePlanner("kube", "https://kube").draft(asked, targets, ties or Ties())


def operations(body: str) -> list[tuple[Any, ...]]:
    return [(one["op"], one["path"].rpartition("~1")[2] or one["path"], one.get("value")) for one in json.loads(body)]


# ---- nodes


def test_a_cordon_says_who_and_why_and_leaves_pods_alone() -> None:
    draft = planned(order("cordon"), node_target(pod("a", OF_JOB), notes={"other": "x"}))
    (step,) = draft.steps
    assert (step.run.method, step.run.path, step.text) == ("PATCH", "/api/v1/nodes/gpu1", "cordon gpu1")
    assert operations(step.run.body) == [
        ("test", "/metadata/uid", "n1"),
        ("test", "/spec/unschedulable", None),
        ("add", "/spec/unschedulable", True),
        ("test", "reason", None),
        ("add", "reason", "fan"),
        ("test", "by", None),
        ("add", "by", "ann"),
    ]
    assert draft.former == {"gpu1": "{}"}


def test_a_node_without_any_annotation_gets_its_first_ones() -> None:
    (step,) = planned(order("cordon"), node_target()).steps
    assert json.loads(step.run.body)[-1]["value"] == {REASON: "fan", BY: "ann"}
    assert step.undo is not None
    assert {"op": "remove", "path": "/metadata/annotations"} in json.loads(step.undo.body)


def test_a_drain_cordons_first_and_evicts_what_is_to_go() -> None:
    daemon = {"kind": "DaemonSet", "apiVersion": "apps/v1", "name": "dcgm", "controller": True}
    stays = [
        pod("dcgm", daemon),
        pod("static", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}),
        pod("done", OF_JOB, phase="Succeeded"),
        pod("going", OF_JOB, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    ]
    draft = planned(order("drain"), node_target(pod("train-0", OF_JOB), *stays))
    assert [(step.phase, step.text) for step in draft.steps] == [(0, "cordon gpu1"), (1, "evict lab/train-0")]
    eviction = draft.steps[1]
    assert eviction.run.path == "/api/v1/namespaces/lab/pods/train-0/eviction"
    assert json.loads(eviction.run.body)["deleteOptions"] == {"preconditions": {"uid": "u-train-0"}}
    assert eviction.undo is None
    assert eviction.timeout_s == EVICTION_S + 30
    assert draft.effects == {"lab/job/train": Effect.EVICTED}
    assert draft.blocked_by == ()


def test_the_grace_period_of_a_pod_is_waited_for() -> None:
    draft = planned(order("drain"), node_target(pod("a", OF_JOB, spec={"terminationGracePeriodSeconds": 600})))
    assert draft.steps[1].timeout_s == EVICTION_S + 600


def test_a_pod_that_nothing_starts_again_blocks_and_says_what_to_do() -> None:
    (said,) = planned(order("drain"), node_target(pod("notebook"))).blocked_by
    assert said.startswith("lab/notebook belongs to nothing")
    assert "qd cancel lab/pod/notebook" in said


def test_what_is_lost_with_an_empty_dir_is_said() -> None:
    volumes = [{"name": "scratch", "emptyDir": {}}, {"name": "data"}]
    draft = planned(order("drain"), node_target(pod("a", OF_JOB, spec={"volumes": volumes})))
    assert draft.warnings == ("lab/a loses what is in its emptyDir scratch",)


def test_a_node_that_another_one_cordoned_keeps_that_reason() -> None:
    fields: dict[str, Any] = {"out": True, "state": NodeState.DRAINING, "reason": "Xid 79", "reason_by": "bob"}
    draft = planned(order("drain"), node_target(pod("a", OF_JOB), **fields))
    assert [step.text for step in draft.steps] == ["evict lab/a"]
    assert draft.warnings[0] == "gpu1 is cordoned already, and that reason stays: Xid 79 (bob)"
    assert planned(order("cordon"), node_target(**fields)).unchanged == {
        "gpu1": "is draining already: Xid 79 (bob)",
    }


def test_a_reason_left_over_from_an_earlier_cordon_is_told_before_it_goes() -> None:
    draft = planned(order("cordon"), node_target(notes={REASON: "old\nfan", BY: "bob"}))
    assert draft.warnings == ("gpu1 has a reason of an earlier cordon, which goes: old fan (bob)",)
    tests = [one for one in operations(draft.steps[0].run.body) if one[0] == "test"]
    assert ("test", "reason", "old\nfan") in tests


def test_an_undo_gives_a_node_back_byte_for_byte() -> None:
    notes = {REASON: HOSTILE, BY: "bob", "other": "x"}
    taken = planned(order("resume"), node_target(notes=notes, out=True, state=NodeState.DRAINED, reason="…"))
    assert [one for one in operations(taken.steps[0].run.body) if one[0] == "remove"] == [
        ("remove", "/spec/unschedulable", None),
        ("remove", "reason", None),
        ("remove", "by", None),
    ]
    assert taken.former["gpu1"].isascii()
    assert "\x1b" not in taken.steps[0].run.body
    back = planned(order("cordon", reason="…", former=taken.former["gpu1"]), node_target(notes={"other": "x"}))
    added = {one["path"]: one["value"] for one in json.loads(back.steps[0].run.body) if one["op"] == "add"}
    assert added == {
        "/spec/unschedulable": True,
        "/metadata/annotations/quarterdeck~1reason": HOSTILE,
        "/metadata/annotations/quarterdeck~1by": "bob",
    }


def test_an_undo_of_a_cordon_without_words_brings_none() -> None:
    back = planned(order("cordon", reason="as before", former="{}"), node_target(notes={}))
    assert [one[:2] for one in operations(back.steps[0].run.body)] == [
        ("test", "/metadata/uid"),
        ("test", "/spec/unschedulable"),
        ("add", "/spec/unschedulable"),
    ]


def test_resume_says_what_stands_against_it_and_leaves_alone_what_takes_pods() -> None:
    reason = "fan; taint bad=x:NoSchedule"
    fields: dict[str, Any] = {"out": True, "state": NodeState.DRAINED, "reason": reason, "reason_by": "bob"}
    draft = planned(order("resume"), node_target(notes={REASON: "fan"}, **fields))
    assert draft.warnings == ("gpu1: fan; taint bad=x:NoSchedule (bob)",)
    same = planned(order("resume"), node_target(scheduler_state="NotReady", state=NodeState.DOWN))
    assert same.unchanged == {"gpu1": "takes pods already (NotReady)"}


def test_a_node_without_its_kubelet_is_said_to_end_no_pods() -> None:
    draft = planned(order("drain"), node_target(pod("a", OF_JOB), scheduler_state="Unknown", state=NodeState.DOWN))
    assert "its pods end only when its kubelet is back" in draft.warnings[0]


# ---- what pods hang on


def budget(name: str, allowed: int, **selector: Any) -> Budget:
    body = {"metadata": {"name": name, "namespace": "lab"}, "spec": {"selector": selector or None}}
    return msgspec.convert({**body, "status": {"disruptionsAllowed": allowed}}, Budget)


def labelled(name: str, **rest: Any) -> HeldPod:
    return pod(name, OF_JOB, metadata={"labels": {"app": "web", "tier": "a"}}, **rest)


@pytest.mark.parametrize(
    ("selector", "protects"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {}}, True),
        ({"matchLabels": {"app": "db"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Newer"}]}, False),
        ({}, False),
    ],
)
def test_a_budget_protects_what_it_selects(selector: dict[str, Any], protects: bool) -> None:
    assert budget("keep", 0, **selector).protects(labelled("a")) is protects
    assert not budget("keep", 0, **selector).protects(labelled("b", phase="Pending"))


def test_budgets_that_let_fewer_go_are_named_and_two_over_one_pod_block() -> None:
    pods = [labelled("a"), labelled("b")]
    ties = Ties(budgets=[budget("keep", 1, matchLabels={"app": "web"})])
    draft = planned(order("drain"), node_target(*pods), ties=ties)
    assert draft.warnings == (
        "budget lab/keep lets 1 of lab/a, lab/b go now: for the rest it is waited 120 s and their grace period,"
        " nothing is forced",
    )
    assert draft.blocked_by == ()
    both = Ties(budgets=[*ties.budgets, budget("more", 9, matchLabels={"tier": "a"})])
    blocked = planned(order("drain"), node_target(*pods), ties=both).blocked_by
    assert blocked[0] == (
        "lab/a is under 2 budgets (lab/keep, lab/more) and cannot be evicted: one of them must let go"
    )


def retries(spec: dict[str, Any], failed: int = 0) -> Retries:
    return msgspec.convert({"spec": spec, "status": {"failed": failed}}, Retries)


_IGNORES = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
_FAILS = {"rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}


@pytest.mark.parametrize(
    ("job", "effect"),
    [
        (retries({"backoffLimit": 0}), Effect.ENDED),
        (retries({"backoffLimit": 1}), Effect.EVICTED),
        (retries({}, failed=6), Effect.ENDED),
        (retries({}), Effect.EVICTED),
        (retries({"backoffLimit": 0, "podFailurePolicy": _IGNORES}), Effect.EVICTED),
        (retries({"backoffLimit": 9, "podFailurePolicy": _FAILS}), Effect.ENDED),
        (retries({"backoffLimit": 0, "backoffLimitPerIndex": 1}), Effect.EVICTED),
    ],
)
def test_a_job_that_has_no_retry_left_ends_with_its_pods(job: Retries, effect: Effect) -> None:
    draft = planned(order("drain"), node_target(pod("a", OF_JOB)), ties=Ties(retries={("lab", "train"): job}))
    assert draft.effects == {"lab/job/train": effect}
    assert any("no retry left" in text for text in draft.warnings) is (effect is Effect.ENDED)


# ---- jobs


def target(
    kind: str = "job",
    state: JobState = JobState.RUNNING,
    spec: dict[str, Any] | None = None,
    workload: dict[str, Any] | None = None,
    **meta: Any,
) -> JobTarget:
    job_id = f"lab/{kind}/train"
    limit = (spec or {}).get("limit")
    own = msgspec.convert({"metadata": {"uid": "j1", **meta}, "spec": spec or {}}, WorkObject)
    seen = msgspec.convert({"metadata": {"uid": "w1"}, "spec": workload}, WorkObject) if workload is not None else None
    return JobTarget(
        job=Job(id=job_id, cluster="kube", state=state, started_at=NOW - 3600, time_limit_s=limit),
        own=Managed(path=f"/of/{kind}", object=own),
        key=(kind, "lab", "train"),
        workload=Managed(path="/of/workload", object=seen) if seen is not None else None,
        queued=seen is not None or QUEUE in meta.get("labels", {}),
    )


def of_jobs(action: str, *targets: JobTarget, value: str | None = None, former: str = "") -> Draft:
    return JobPlanner("kube", "https://kube", lambda: NOW).draft(order(action, value=value, former=former), targets)


def sent(draft: Draft) -> tuple[str, list[tuple[Any, ...]]]:
    (step,) = draft.steps
    return step.run.path, [(one["op"], one["path"], one.get("value")) for one in json.loads(step.run.body)]


def test_a_job_is_cancelled_as_that_very_object() -> None:
    draft = of_jobs("cancel", target())
    (step,) = draft.steps
    body = json.loads(step.run.body)
    assert (step.run.method, step.run.path) == ("DELETE", "/of/job")
    assert body["preconditions"] == {"uid": "j1"}
    assert body["propagationPolicy"] == "Background"
    assert step.undo is None
    assert draft.effects == {"lab/job/train": Effect.ENDED}
    assert "cannot be read afterwards" in draft.warnings[0]


@pytest.mark.parametrize(
    ("kind", "field"), [("job", "/spec/suspend"), ("jobset", "/spec/suspend"), ("rayjob", "/spec/suspend"),
                        ("pytorchjob", "/spec/runPolicy/suspend"), ("mpijob", "/spec/runPolicy/suspend")]
)  # fmt: skip
def test_a_suspended_job_is_said_to_begin_anew(kind: str, field: str) -> None:
    spec = {"suspend": False, "runPolicy": {"suspend": False}}
    draft = of_jobs("suspend", target(kind, spec=spec))
    assert sent(draft) == (
        f"/of/{kind}",
        [("test", "/metadata/uid", "j1"), ("test", field, False), ("add", field, True)],
    )
    assert draft.effects == {f"lab/{kind}/train": Effect.REQUEUED}
    assert "anew" in draft.warnings[0]


@pytest.mark.parametrize(
    ("action", "state", "old", "new"),
    [
        ("hold", JobState.PENDING, None, False),
        ("suspend", JobState.RUNNING, True, False),
        ("release", JobState.HELD, False, True),
        ("continue", JobState.HELD, False, True),
    ],
)
def test_over_a_job_in_a_queue_its_workload_decides(action: str, state: JobState, old: object, new: object) -> None:
    workload = {} if old is None else {"active": old}
    path, ops = sent(of_jobs(action, target(state=state, workload=workload, spec={"suspend": True})))
    assert path == "/of/workload"
    assert ops == [("test", "/metadata/uid", "w1"), ("test", "/spec/active", old), ("add", "/spec/active", new)]


def test_a_queued_job_without_its_workload_is_left_alone() -> None:
    with pytest.raises(UsageError, match="workload is not to be seen"):
        of_jobs("hold", target(state=JobState.PENDING, labels={QUEUE: "team"}))


def test_priority_and_queue_are_those_of_kueue() -> None:
    path, ops = sent(of_jobs("priority", target(workload={"priority": 5}), value="100"))
    assert (path, ops[-1]) == ("/of/workload", ("add", "/spec/priority", 100))
    waits = target(state=JobState.PENDING, labels={QUEUE: "team"})
    for value in ("other", "lab/other"):
        path, ops = sent(of_jobs("move", waits, value=value))
        assert path == "/of/job"
        assert ops[1:] == [
            ("test", "/metadata/labels/kueue.x-k8s.io~1queue-name", "team"),
            ("add", "/metadata/labels/kueue.x-k8s.io~1queue-name", "other"),
        ]


@pytest.mark.parametrize(
    ("action", "subject", "value", "says", "hint"),
    [
        ("cancel", target("deployment"), None, "no job that ends", "scale deployment train --replicas=0"),
        ("cancel", target("lws"), None, "no job that ends", "kubectl -n lab scale leaderworkerset"),
        ("suspend", target("pod"), None, "cannot be suspended", "cancel it"),
        ("timelimit", target("jobset"), "60", "has no time limit", "plain Job"),
        ("timelimit", target(), "soon", "no time limit of a Job", "12h"),
        ("priority", target(), "5", "keep the priority", "submit it anew"),
        ("priority", target(workload={}), "9" * 12, "no priority of Kueue", "32 bits"),
        ("move", target(state=JobState.PENDING), "team", "no queue of Kueue", "submit it anew"),
        ("move", target(labels={QUEUE: "team"}), "other", "only what waits", "suspend it first"),
        ("move", target(state=JobState.PENDING, labels={QUEUE: "t"}), "other/q", "its namespace lab", "localqueues"),
        ("move", target(state=JobState.PENDING, labels={QUEUE: "t"}), "a b", "its namespace lab", "localqueues"),
    ],
)
def test_what_has_no_way_says_what_to_do_instead(
    action: str, subject: JobTarget, value: str | None, says: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=says) as error:
        of_jobs(action, subject, value=value)
    assert hint in error.value.hint


def test_a_time_limit_that_is_over_already_ends_the_job_and_none_can_come_back() -> None:
    draft = of_jobs("timelimit", target(), value="1800")
    assert sent(draft)[1][1:] == [
        ("test", "/spec/activeDeadlineSeconds", None),
        ("add", "/spec/activeDeadlineSeconds", 1800),
    ]
    assert draft.effects == {"lab/job/train": Effect.ENDED}
    assert draft.former == {"lab/job/train": "unlimited"}
    assert of_jobs("timelimit", target(), value="7200").effects == {}
    back = of_jobs("timelimit", target(spec={"activeDeadlineSeconds": 1800, "limit": 1800.0}), former="unlimited")
    assert sent(back)[1][-1] == ("remove", "/spec/activeDeadlineSeconds", None)


@pytest.mark.parametrize(
    ("action", "state", "why"),
    [
        ("cancel", JobState.FAILED, "has ended already"),
        ("hold", JobState.RUNNING, "suspend it"),
        ("hold", JobState.HELD, "is held already"),
        ("suspend", JobState.HELD, "is held already"),
        ("suspend", JobState.PENDING, "does not run"),
        ("release", JobState.PENDING, "is not held"),
        ("continue", JobState.RUNNING, "is not suspended"),
    ],
)
def test_what_is_the_case_already_is_left_alone(action: str, state: JobState, why: str) -> None:
    draft = of_jobs(action, target(state=state))
    assert draft.steps == ()
    assert why in draft.unchanged["lab/job/train"]


def test_whoever_made_a_job_is_said_to_decide_over_it_too() -> None:
    owner = {"kind": "Workflow", "name": "nightly\x1b[2J", "controller": True}
    (said, _) = of_jobs("cancel", target(ownerReferences=[owner])).warnings
    assert said.startswith("lab/job/train belongs to Workflow nightly")
    assert "\x1b" not in said
    cron = {"kind": "CronJob", "name": "nightly", "controller": True}
    assert len(of_jobs("cancel", target(ownerReferences=[cron])).warnings) == 1


@pytest.mark.parametrize(
    ("old", "tested"),
    [("fan 3: \"x\" \\ 'y'\n", True), ("ünï", False), ("a<b", False), ("a&b", False), ("a>b", False), ("\x1b", False)],
)
def test_only_what_every_writer_of_json_writes_alike_is_compared(old: str, tested: bool) -> None:
    body = patch("/x", "u", [Change(("metadata", "annotations", "a/b~c"), old, None)]).body
    place = "/metadata/annotations/a~1b~0c"
    tests = [{"op": "test", "path": place, "value": old}] if tested else []
    assert json.loads(body)[1:] == [*tests, {"op": "remove", "path": place}]
