"""The backend on a real HTTP server: what it asks when, what it tells, and how it fails."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import msgspec
import pytest

from console.errors import BadAnswer, ConfigError, Denied, NoSuchJob, SourceError, TimedOut, Unreachable, Unsupported
from console.model import JobState, NodeState
from console.plugin import CheckState, Explainer, Inventory, Logs, Queue
from plugins.ray import commands, plugin
from plugins.ray.backend import HOLDINGS_MAX_AGE_S, RayBackend
from plugins.ray.settings import AddressRule, RaySettings
from tests.unit import ray_world as world
from tests.unit.http_server import Asked, answer, as_json, never, serving
from tests.unit.ray_world import Site, opened

MANY = 5_000


async def test_it_offers_what_it_can_do() -> None:
    backend = RayBackend(RaySettings(), Site())
    assert isinstance(backend, Inventory)
    assert isinstance(backend, Queue)
    assert isinstance(backend, Explainer)
    assert isinstance(backend, Logs)
    await backend.close()


async def test_nodes_with_what_they_have_and_why_one_is_dead() -> None:
    async with serving(world.answers()) as server:
        backend = opened(server)
        records = await backend.inventory()
        await backend.close()
    assert records.cluster is not None
    assert records.cluster.version == "2.60.0"
    assert records.complete == ("nodes",)
    assert records.requests == len(server.asked) == 2
    found = {node.name: node for node in records.nodes}
    assert list(found) == ["gpu01.lab", "gpu02.lab", "gpu03.lab", "head"]
    busy, free, dead, head = found.values()
    assert (busy.state, busy.scheduler_state) == (NodeState.BUSY, "ALIVE")
    assert (busy.cpus, busy.cpus_allocated) == (2, 1)
    assert (busy.accelerators_total, busy.accelerators_allocated, busy.accelerator_model) == (4, 3, "H100")
    assert busy.detail["held by"] == "Slurm job 8812"
    assert busy.missing["memory_total_bytes"]
    assert busy.address is None
    assert "address" in busy.missing
    assert (free.state, free.accelerators_allocated, free.detail["rack a"]) == (NodeState.UP, 0, "1 of 2")
    assert (dead.state, dead.scheduler_state) == (NodeState.DOWN, "DEAD")
    assert dead.reason == "Unexpected termination: raylet died"
    assert dead.reason_at == world.NOW - 50
    assert dead.accelerators_allocated is None
    assert dead.missing["accelerators_allocated"]
    assert head.features == ("head",)
    assert (head.memory_total_bytes, head.memory_allocated_bytes) == (2 << 30, 0)
    assert head.booted_at == world.NOW - 9000


async def test_processes_that_share_a_machine_are_one_row() -> None:
    twin = world.node("e" * 56, "gpu01.lab", nodeName="second")
    left = world.node("f" * 56, "gone", "DEAD", deathInfo={"reason": "AUTOSCALER_DRAIN_IDLE"})
    earlier = world.node("9" * 56, "gpu02.lab", "DEAD", deathInfo={"reason": "UNEXPECTED_TERMINATION"})
    replies = world.answers()
    usage = {**world.USAGE, "e" * 56: "2.0/2.0 CPU\n0.5/4.0 GPU"}
    replies["/nodes"] = world.nodes(*world.NODES, twin, left, earlier, usage=usage)
    async with serving(replies) as server:
        backend = opened(server, address=AddressRule.IP)
        records = await backend.inventory()
        await backend.close()
    found = {node.name: node for node in records.nodes}
    assert set(found) == {"gpu01.lab", "gpu02.lab", "gpu03.lab", "head"}
    both = found["gpu01.lab"]
    assert (both.cpus, both.cpus_allocated, both.accelerators_total, both.accelerators_allocated) == (4, 3, 8, 4)
    assert both.detail["accelerators in use"] == "3.5"
    assert both.detail["Ray processes"] == "2: 10.0.0.1, second"
    assert both.address == "ssh:10.0.0.1"
    assert found["gpu02.lab"].state is NodeState.UP
    assert "1 left on purpose" in (records.detail or "")


async def test_without_an_autoscaler_what_is_in_use_is_not_known() -> None:
    replies = world.answers()
    replies["/nodes"] = world.nodes(*world.NODES, usage=None)
    async with serving(replies) as server:
        backend = opened(server)
        first = (await backend.inventory()).nodes[0]
        await backend.close()
    assert (first.cpus, first.cpus_allocated, first.accelerators_allocated) == (2, None, None)
    assert first.missing["cpus_allocated"] == first.missing["accelerators_allocated"]


async def test_jobs_with_what_they_hold_and_what_they_wait_for() -> None:
    async with serving(world.answers()) as server:
        backend = opened(server)
        records = await backend.jobs()
        await backend.close()
    assert records.complete == ("jobs",)
    assert records.requests == len(server.asked)
    found = {job.id: job for job in records.jobs}
    assert set(found) == {"run-1", "fail-1", "wait-1", "05000000"}, "what ended long ago is left out"
    running, failed, waiting, driver = (found[name] for name in ("run-1", "fail-1", "wait-1", "05000000"))
    assert (running.state, running.name) == (JobState.RUNNING, "python run-1.py")
    assert (running.accelerators, running.cpus) == (3, 1)
    assert (running.nodes, running.node_names) == ("gpu01.lab,head", ("gpu01.lab", "head"))
    assert running.reason == "waits for room: placement group too-big (8 GPU)"
    assert running.detail["held by"] == "Slurm job 8812"
    assert running.detail["metadata"] == "team=llm"
    assert running.detail["holds"] == "3 GPU, 1 CPU"
    assert running.detail["driver"] == "head, process 77"
    assert running.detail["placement groups"] == "1 created, 1 pending"
    assert running.memory_bytes is None
    assert {"user", "time_limit_s", "memory_bytes"} <= set(running.missing)
    assert (failed.state, failed.exit_code, failed.ends_at) == (JobState.FAILED, 3, world.NOW - 60)
    assert failed.reason == "Job entrypoint command failed with exit code 3"
    assert failed.accelerators is None
    assert failed.missing["accelerators"]
    assert (waiting.state, waiting.started_at, waiting.submitted_at) == (JobState.PENDING, None, world.NOW - 600)
    assert (driver.detail["kind"], driver.accelerators) == ("driver that connected by itself", 0)
    assert "hunter2" not in str(msgspec.to_builtins(records)), "a runtime environment holds secrets"


async def test_it_is_polite() -> None:
    site = Site()
    async with serving(world.answers()) as server:
        backend = opened(server, site)
        await backend.inventory()
        await backend.jobs()
        server.asked.clear()
        for _ in range(3):
            await backend.jobs()
            await backend.inventory()
        assert set(server.paths()) == {"/api/jobs/", "/nodes"}
        site.time += HOLDINGS_MAX_AGE_S + 1
        server.asked.clear()
        records = await backend.jobs()
        assert records.requests == len(server.asked) == 5
        server.answers["/api/jobs/"] = as_json([world.FAILED])
        server.asked.clear()
        site.time += HOLDINGS_MAX_AGE_S + 1
        await backend.jobs()
        assert server.paths() == ["/api/jobs/"], "while nothing runs nothing is held"
        await backend.close()


@pytest.mark.parametrize("reply", [answer("404: Not Found", 404), answer("broken", 500), as_json({"data": {}})])
async def test_a_ray_without_a_state_api_still_has_its_jobs(reply: bytes) -> None:
    replies = world.answers()
    for path in ("/api/v0/placement_groups", "/api/v0/actors"):
        replies[path] = reply
    async with serving(replies) as server:
        backend = opened(server)
        records = await backend.jobs()
        explained = await backend.explain("run-1")
        await backend.close()
    running = next(job for job in records.jobs if job.id == "run-1")
    assert (running.state, running.accelerators, running.nodes) == (JobState.RUNNING, None, "head")
    assert "state API" in running.missing["accelerators"]
    assert "state API" in (records.detail or "")
    assert explained.missing["placement groups"]


async def test_hostile_words_are_cleaned() -> None:
    evil = "\x1b]52;c;aGk=\x07\x1b[2J\u202eevil\x00\n\r\x9b31m"
    row = world.job(
        evil, "RUNNING", entrypoint=evil, message=evil, metadata={evil: evil}, job_id=evil, driver_node_id=evil
    )
    failed = world.job("f", "FAILED", message=evil, error_type=evil, end_time=world.NOW * 1000)
    bad = world.node(evil, evil, nodeName=evil, stateMessage=evil, labels={evil: evil}, nodeTypeName=evil)
    dead = world.node("e", evil + "2", "DEAD", stateMessage=evil)
    replies = world.answers()
    replies["/nodes"] = world.nodes(bad, dead, usage={evil: f"1.0/2.0 {evil}"})
    replies["/api/jobs/"] = as_json([row, failed])
    replies["/api/version"] = as_json({"ray_version": evil})
    async with serving(replies) as server:
        backend = opened(server)
        texts = str(msgspec.to_builtins(await backend.inventory())) + str(msgspec.to_builtins(await backend.jobs()))
        await backend.close()
    assert "evil" in texts
    assert not any(char in texts for char in "\x1b\u202e\x00\n\r\x9b")
    assert "\\x" not in texts
    assert "aGk=" not in texts


async def test_a_new_release_with_other_fields_and_states() -> None:
    replies = world.answers()
    replies["/api/jobs/"] = as_json(
        [{**world.RUNNING, "status": "PAUSED", "colour": {"x": [1]}}, {"submission_id": 7}, "row"]
    )
    replies["/nodes"] = world.nodes(world.NODES[0], {"raylet": {"nodeId": 7}}, {"new": True})
    async with serving(replies) as server:
        backend = opened(server)
        nodes, jobs = await backend.inventory(), await backend.jobs()
        await backend.close()
    assert [(job.id, job.state, job.scheduler_state) for job in jobs.jobs] == [("run-1", JobState.UNKNOWN, "PAUSED")]
    assert "2 rows cannot be read" in (jobs.detail or "")
    assert len(nodes.nodes) == 1
    assert "2 rows cannot be read" in (nodes.detail or "")


async def test_failures_are_of_the_true_kind() -> None:
    gcs = json.dumps(
        {"result": False, "msg": "Failed to query data from GCS. It is due to (1) GCS is down", "data": {}}
    )
    faults: list[tuple[Any, type[SourceError]]] = [
        (answer("Unauthorized: Missing authentication token", 401), Denied),
        (answer(gcs, 500), Unreachable),
        (answer("Traceback (most recent call last):\n  File x\nKeyError: 'y'", 500), BadAnswer),
        (answer("<html><title>t</title>Bad Gateway</html>", 502), Unreachable),
        (answer("not found", 404), Unsupported),
        (answer("<html>a router</html>"), BadAnswer),
        (never, TimedOut),
    ]
    for reply, kind in faults:
        async with serving({**world.answers(), "/nodes": reply, "/api/jobs/": reply}) as server:
            backend = opened(server, timeout_s=0.5 if reply is never else 20)
            for asked in (backend.inventory, backend.jobs):
                with pytest.raises(kind) as caught:
                    await asked()
                assert "<" not in str(caught.value)
            await backend.close()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        backend = RayBackend(RaySettings(url=f"http://127.0.0.1:{held.getsockname()[1]}"), Site())
        with pytest.raises(Unreachable, match="refused") as refused:
            await backend.jobs()
        assert "ray[default]" in refused.value.hint
        await backend.close()


async def test_a_token_is_sent_and_never_shown() -> None:
    async with serving(world.answers()) as server:
        backend = opened(server, Site({"T": "hunter2"}), token="env:T")
        await backend.jobs()
        checks = await backend.doctor()
        await backend.close()
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer hunter2"}
    assert "hunter2" not in str(checks)


async def test_many_jobs_do_not_hold_the_loop() -> None:
    replies = world.answers()
    replies["/api/jobs/"] = as_json([world.job(f"j{index}", "RUNNING", job_id="03000000") for index in range(MANY)])
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with serving(replies) as server:
        backend = opened(server)
        await backend.jobs()
        counting = asyncio.create_task(count())
        records = await backend.jobs()
        counting.cancel()
        await backend.close()
    assert len(records.jobs) == MANY
    assert turns >= MANY // 500


# Explanations


async def explained(job: str, **changed: Any) -> Any:
    async with serving({**world.answers(), **changed}) as server:
        backend = opened(server)
        try:
            return await backend.explain(job)
        finally:
            await backend.close()


async def test_a_running_job_whose_parts_wait() -> None:
    told = await explained("run-1")
    assert told.state is JobState.RUNNING
    assert told.summary.startswith("It runs and holds 3 GPU, 1 CPU; 3 of its parts wait for room: ")
    first, second = told.causes
    assert (first.code, first.nodes) == ("INFEASIBLE", 3)
    assert "placement group too-big wants 8 GPU; no node has 8 GPU: the most that one has is 4 GPU" in first.text
    assert "for ever" in first.next_step
    assert second.text.startswith("2 × task wide wants 3 GPU; ")
    assert "tasks: 2 pending node assignment, 1 running" in told.summary
    assert told.missing["expected_start_at"]
    assert told.fits == ()


async def test_nodes_that_would_fit_and_why_they_do_not() -> None:
    group = {**world.GROUPS[1], "bundles": [{"unit_resources": {"GPU": 4.0}, "node_id": ""}]}
    usage = {**world.USAGE, world.TWO: "0.0/2.0 CPU\n4.0/4.0 GPU"}
    told = await explained(
        "run-1",
        **{"/api/v0/placement_groups": world.state(group), "/nodes": world.nodes(*world.NODES, usage=usage)},
    )
    assert told.causes[0].code == "NO_RESOURCES"
    assert "2 nodes could hold it and are too full" in told.causes[0].text
    assert {(fit.why.split(":")[0], fit.nodes, fit.accelerators_free) for fit in told.fits} == {
        ("fragmented", "gpu01.lab", 1),
        ("busy", "gpu02.lab", 0),
    }


async def test_parts_that_no_node_lacks_but_all_together_do() -> None:
    group = {**world.GROUPS[1], "bundles": [{"unit_resources": {"GPU": 4.0}, "node_id": ""}] * 3}
    told = await explained("run-1", **{"/api/v0/placement_groups": world.state(group)})
    assert "3 × (4 GPU); the whole cluster has 8 GPU" in told.causes[0].text


async def test_what_the_autoscaler_does_about_it() -> None:
    report = {"pendingLaunches": {"gpu": 2}, "pendingNodes": [["10.0.0.9", "gpu", "setting-up"]], "failedNodes": [[]]}
    status = {"autoscalingError": "quota \x1b[31mexceeded", "clusterStatus": {"autoscalerReport": report}}
    told = await explained("run-1", **{"/api/cluster_status": as_json({"data": status})})
    assert [cause.text for cause in told.causes if cause.code == "AUTOSCALER"] == [
        "nodes that the autoscaler is starting: 3",
        "nodes that the autoscaler started and that failed: 1",
        "the autoscaler has an error: quota exceeded",
    ]
    broken = await explained("run-1", **{"/api/cluster_status": answer("no", 500)})
    assert broken.missing["autoscaler"]


async def test_a_job_that_waits_for_its_driver() -> None:
    told = await explained("wait-1")
    assert told.state is JobState.PENDING
    assert "its driver wants 6 GPU; no node has 6 GPU" in told.summary
    quiet = await explained("wait-1", **{"/api/v0/actors": world.state()})
    assert "It may be waiting for resources" in quiet.summary


async def test_a_job_that_failed() -> None:
    told = await explained("fail-1")
    assert told.summary == "It failed: Job entrypoint command failed with exit code 3"
    assert [cause.code for cause in told.causes] == ["JOB_ENTRYPOINT_COMMAND_ERROR", "ACTOR_DIED", "OUT_OF_MEMORY"]
    assert "actor Fragile died: The actor is dead. worker was killed" in told.causes[1].text
    assert [event.text for event in told.events] == ["submitted", "ended: failed, exit code 3"]


async def test_a_job_that_nobody_knows() -> None:
    with pytest.raises(NoSuchJob):
        await explained("nobody")
    async with serving(world.answers()) as server:
        backend = opened(server)
        with pytest.raises(NoSuchJob):
            await backend.log_streams("nobody")
        with pytest.raises(Unsupported):
            await backend.explain("../../nodes?x=1#y")
        await backend.close()
    assert server.asked[-1].path == "/api/jobs/..%2F..%2Fnodes%3Fx%3D1%23y"


# Doctor and detection


async def test_the_doctor_says_what_works() -> None:
    async with serving({**world.answers(), "/api/v0/placement_groups": answer("no", 403)}) as server:
        backend = opened(server, requests_per_minute=None)
        checks = {check.subject: check for check in await backend.doctor()}
        await backend.close()
    assert checks["nodes"].detail == "3 alive, 1 dead or gone"
    assert checks["jobs API"].detail == "5 are known"
    assert checks["state API"].state is CheckState.DENIED
    assert checks["budget"].state is CheckState.WARNING
    assert checks["token"].state is CheckState.ABSENT
    assert all(check.remedy for check in checks.values() if check.state not in (CheckState.OK, CheckState.ABSENT))


async def test_the_doctor_of_a_dashboard_that_is_off() -> None:
    backend = RayBackend(RaySettings(url="http://127.0.0.1:9", token="env:X"), Site())
    first, second = await backend.doctor()
    await backend.close()
    assert first.state in (CheckState.FAILED, CheckState.DENIED)
    assert first.remedy
    assert second.subject == "token"


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"RAY_API_SERVER_ADDRESS": "https://ray.example.org/"}, "https://ray.example.org"),
        ({"RAY_ADDRESS": "http://head:8265"}, "http://head:8265"),
        ({"RAY_ADDRESS": "ray://head:10001"}, "http://head:8265"),
        ({"RAY_ADDRESS": "10.0.0.5:6379"}, "http://10.0.0.5:8265"),
    ],
)
async def test_the_environment_names_a_dashboard(environ: dict[str, str], url: str) -> None:
    (found,) = await plugin.detect(Site(environ))
    assert found.settings == {"url": url}
    (found,) = await plugin.detect(Site({**environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "hunter2"}))
    assert found.settings == {"url": url, "token": "env:RAY_AUTH_TOKEN"}
    assert "hunter2" not in found.evidence


@pytest.mark.parametrize(
    ("path", "reply", "evidence"),
    [
        ("/api/version", as_json({"ray_version": "2.60.0"}), "Ray 2.60.0"),
        ("/api/authentication_mode", as_json({"authentication_mode": "token"}), "wants a token"),
        ("/api/version", as_json({"version": 1}), None),
        ("/api/version", answer('"ray_version"'), None),
        ("/api/version", never, None),
    ],
)
async def test_what_listens_here_says_whether_it_is_ray(
    path: str, reply: Any, evidence: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving({path: reply}) as server:
        module = sys.modules["plugins.ray.plugin"]
        monkeypatch.setattr(module, "_PORT", server.port)
        # A deadline of its own, that a busy machine does not miss.
        monkeypatch.setattr(module, "_LOOK_S", 0.15 if reply is never else 20)
        found = await plugin.detect(Site({"RAY_ADDRESS": "auto"}))
    if evidence is None:
        assert found == []
    else:
        assert evidence in found[0].evidence


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "head:8265"},
        {"url": "https://h", "via": "ssh://head"},
        {"token": "hunter2"},
        {"url": "http://u:hunter2@h"},
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        plugin.open(msgspec.convert(settings, RaySettings), Site())
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"
    assert caught.value.hint


async def test_an_answer_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[")
        while True:
            writer.write(b'"x",' * 16384)
            await writer.drain()

    monkeypatch.setattr(commands, "JOBS", commands.Request("/api/jobs/", limit_bytes=1 << 20))
    async with serving({"/api/jobs/": endless}) as server:
        backend = opened(server)
        with pytest.raises(BadAnswer, match="more than 1 MiB"):
            await backend.jobs()
        await backend.close()
