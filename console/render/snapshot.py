"""`--json`: the state of everything as one plain object, names and units as the public contract has them.

Every object keeps one rule: a value that is not known, or does not apply, is null, and `missing` beside it says
why. No list is ever null; an empty one has its reason in `missing` when nobody looked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from console.model import (
    Accelerator,
    Cluster,
    Disk,
    Finding,
    Job,
    JobState,
    Link,
    Mount,
    Sample,
    SourceState,
    SourceStatus,
)
from console.render import nodes
from console.render.tables.base import by_name
from console.render.tables.jobs import JobRow, elapsed
from console.render.units import iso
from console.render.view import View
from console.store import NodeView, Store
from console.text import clean

SCHEMA = "quarterdeck/snapshot/1"
SECTIONS = ("sources", "clusters", "nodes", "jobs", "findings")

Json = dict[str, Any]


def snapshot_json(
    store: Store,
    now: float,
    simulated: bool,
    *,
    sections: Sequence[str] = SECTIONS,
    node_keys: Iterable[str] | None = None,
    job_keys: Iterable[tuple[str, str]] | None = None,
) -> Json:
    """Return the object of `qd snapshot --json`, ready for any JSON encoder.

    `sections` leaves the others out (`qd nodes`, `qd jobs`); `node_keys` and `job_keys` choose and order rows.
    """
    view = View(store, now, simulated=simulated)
    node_keys = by_name(store.nodes) if node_keys is None else node_keys
    job_keys = store.jobs if job_keys is None else job_keys
    makers: Mapping[str, Callable[[], list[Json]]] = {
        "sources": lambda: [source_json(store.sources[name], now) for name in by_name(store.sources)],
        "clusters": lambda: [cluster_json(cluster) for cluster in store.clusters.values()],
        "nodes": lambda: [node_json(view, store.nodes[key]) for key in node_keys if key in store.nodes],
        "jobs": lambda: [job_json(view, store.jobs[key]) for key in job_keys if key in store.jobs],
        "findings": lambda: [finding_json(finding) for finding in store.findings.values()],
    }
    found: Json = {"schema": SCHEMA, "observed_at": iso(now), "simulated": simulated}
    for section in SECTIONS:
        if section in sections:
            found[section] = makers[section]()
    return found


def _complete(values: Json, reasons: Mapping[str, str], otherwise: str) -> Json:
    """Return the values with every text cleaned once more, and `missing` for all that are null."""
    missing: dict[str, str] = {}
    for key, value in values.items():
        if value is None:
            missing[key] = clean(reasons.get(key) or otherwise)
        elif isinstance(value, str):
            # Whoever made the record has cleaned it; a plugin of somebody else may have forgotten to.
            values[key] = clean(value, limit=0)
        elif isinstance(value, list) and not value and key in reasons:
            missing[key] = clean(reasons[key])
    values["missing"] = missing
    return values


def _texts(items: Iterable[str]) -> list[str]:
    return [clean(item, limit=0) for item in items]


def _whole(value: float | None) -> int | None:
    """Return a whole number; JSON has no NaN and no infinity."""
    return None if value is None or not nodes.known([value]) else round(value)


def _real(value: float | None, places: int = 3) -> float | None:
    return None if value is None or not nodes.known([value]) else round(value, places)


def source_state(status: SourceStatus) -> str:
    """Return the state of a source in the contract's words, which do not know `connecting`.

    A source that has not answered yet did not answer: `unreachable`, or `late` when it once did.
    """
    if status.state is SourceState.CONNECTING:
        return "unreachable" if status.observed_at is None else "late"
    return status.state.value


def source_json(status: SourceStatus, now: float) -> Json:
    """Return one source."""
    error = status.error
    if error is None and status.state is SourceState.CONNECTING:
        waited = "" if status.since is None else f" within {max(now - status.since, 0):.0f} s"
        error = f"no answer{waited}"
    values = {
        "name": status.name,
        "kind": status.kind,
        "cluster": status.cluster,
        "node": status.node,
        "state": source_state(status),
        "error": error,
        "hint": status.hint,
        "since": iso(status.since),
        "observed_at": iso(status.observed_at),
        "next_try_at": iso(status.next_try_at),
        "period_s": _real(status.period_s),
        "latency_s": _real(status.latency_s, 6),
        "requests_per_minute": _real(status.requests_per_minute),
        "cpu_percent": _real(status.cpu_percent),
        "bytes_per_s": _real(status.bytes_per_s),
        "detail": status.detail,
        "facts": {clean(label): clean(words) for label, words in status.facts.items()},
    }
    reasons = {
        "node": "it speaks for more than one node",
        "error": "there is none",
        "hint": "there is none",
        "observed_at": "it has not answered yet",
        "latency_s": "it has not answered yet" if status.observed_at is None else "not measured",
    }
    return _complete(values, reasons, "not measured for this source")


def cluster_json(cluster: Cluster) -> Json:
    """Return one cluster."""
    values = {"name": cluster.name, "kind": cluster.kind.value, "version": cluster.version}
    return _complete(values, {}, "not said by its source")


def _unmeasured(view: View, node: NodeView) -> str:
    """Return why a node has no sample, or one sensor of it nothing."""
    status = nodes.probe_status(view.store, node)
    if status is None:
        return "no source measures this node"
    if status.state is SourceState.OK:
        return "not reported by its probe"
    return status.error or f"its probe is {source_state(status)}"


def node_json(view: View, node: NodeView) -> Json:
    """Return one node, merged over all that report it."""
    unmeasured = _unmeasured(view, node)
    sample = node.sample
    host = None if sample is None else sample.host
    reasons: dict[str, str] = {}
    for facet in reversed(node.facets.values()):
        reasons.update(facet.missing)
    sensors = {
        "host": unmeasured,
        "accelerators": unmeasured,
        "links": unmeasured,
        "disks": unmeasured,
        "mounts": unmeasured,
    }
    if sample is not None:
        sensors = {"host": unmeasured, **sample.missing}
        if "accelerators" in sample.missing and "accelerators_total" not in reasons:
            # What counts them where no list does: its reason says more than "not listed".
            sensors["accelerators_total"] = sample.missing["accelerators"]
    reasons.update(sensors)
    reasons.setdefault("reason", "none is given")
    reasons.setdefault("reason_by", "not said" if nodes.facet_text(node, "reason") else "no reason is given")
    reasons.setdefault("reason_at", reasons["reason_by"])
    cpus = nodes.facet_number(node, "cpus")
    memory = nodes.facet_number(node, "memory_total_bytes")
    if host is not None:
        cpus = host.cpus if cpus is None else cpus
        memory = host.memory_total_bytes if memory is None else memory
    sources = [*node.facets, *([node.sample_source] if node.sample_source else [])]
    if node.probe is not None:
        sources.append(node.probe.name)
    values: Json = {
        "name": node.key,
        "cluster": _texts(dict.fromkeys(facet.cluster for facet in node.facets.values())),
        "state": node.state.value,
        "scheduler_state": nodes.facet_text(node, "scheduler_state"),
        "reason": nodes.facet_text(node, "reason"),
        "reason_by": nodes.facet_text(node, "reason_by"),
        "reason_at": iso(nodes.facet_number(node, "reason_at")),
        "partitions": _texts(dict.fromkeys(part for facet in node.facets.values() for part in facet.partitions)),
        "cpus": _whole(cpus),
        "cpus_allocated": _whole(nodes.facet_number(node, "cpus_allocated")),
        "memory_total_bytes": _whole(memory),
        "accelerators_total": nodes.accelerator_count(node),
        "accelerators_allocated": _whole(nodes.facet_number(node, "accelerators_allocated")),
        "rack": nodes.facet_text(node, "rack"),
        "jobs": _texts(job_id for _, job_id in node.jobs),
        "sources": _texts(dict.fromkeys(sources)),
        "observed_at": iso(nodes.observed_at(view.store, node)),
        "host": None if host is None or sample is None else host_json(sample),
        "accelerators": [] if sample is None else [accelerator_json(gpu) for gpu in sample.accelerators],
        "links": [] if sample is None else [link_json(link) for link in sample.links],
        "disks": [] if sample is None else [disk_json(disk) for disk in sample.disks],
        "mounts": [] if sample is None else [mount_json(mount) for mount in sample.mounts],
    }
    listing = " and ".join(node.facets) or "any source"
    return _complete(values, reasons, f"not listed by {listing}")


def host_json(sample: Sample) -> Json:
    """Return the machine itself, as the probe saw it."""
    host = sample.host
    if host is None:
        raise ValueError("the sample has no host part")
    pressure = host.pressure
    values: Json = {
        "cpu_percent": _real(host.cpu_percent),
        "load1": _real(host.load1),
        "memory_total_bytes": host.memory_total_bytes,
        "memory_available_bytes": host.memory_available_bytes,
        "pressure": None
        if pressure is None
        else {"cpu": _real(pressure.cpu), "memory": _real(pressure.memory), "io": _real(pressure.io)},
        "uptime_s": _real(host.uptime_s),
        "kernel": host.kernel,
        "power_w": _real(host.power_w),
    }
    reasons = dict(host.missing)
    if pressure is not None:
        for key, value in values["pressure"].items():
            if value is None:
                reasons.setdefault(f"pressure.{key}", "not reported by this kernel")
    complete = _complete(values, reasons, "not reported by this machine")
    complete["missing"] |= {key: clean(why) for key, why in reasons.items() if key.startswith("pressure.")}
    return complete


def accelerator_json(gpu: Accelerator) -> Json:
    """Return one accelerator with its processes."""
    processes = [
        _complete(
            {
                "pid": process.pid,
                "user": process.user,
                "command": process.command,
                "memory_bytes": process.memory_bytes,
                "job": process.job,
            },
            {"job": "it belongs to no job that is known"},
            "cannot be read on the node",
        )
        for process in gpu.processes
    ]
    values: Json = {
        "index": gpu.index,
        "uuid": gpu.uuid,
        "vendor": gpu.vendor,
        "model": gpu.model,
        "state": gpu.state,
        "utilization_percent": _real(gpu.utilization_percent),
        "memory_used_bytes": gpu.memory_used_bytes,
        "memory_total_bytes": gpu.memory_total_bytes,
        "power_w": _real(gpu.power_w),
        "power_limit_w": _real(gpu.power_limit_w),
        "temperature_c": _real(gpu.temperature_c),
        "clock_mhz": gpu.clock_mhz,
        "throttle": _texts(gpu.throttle),
        "ecc_uncorrected": gpu.ecc_uncorrected,
        "processes": processes,
    }
    return _complete(values, gpu.missing, "not reported by this device")


def _rates(record: Link | Disk | Mount, **values: Any) -> Json:
    return _complete(values, record.missing, "not reported by this device")


def link_json(link: Link) -> Json:
    """Return one network port."""
    return _rates(
        link,
        name=link.name,
        kind=link.kind.value,
        state=link.state,
        rate_bits_per_s=link.rate_bits_per_s,
        rx_bytes_per_s=_real(link.rx_bytes_per_s),
        tx_bytes_per_s=_real(link.tx_bytes_per_s),
        errors_per_s=_real(link.errors_per_s),
        drops_per_s=_real(link.drops_per_s),
    )


def disk_json(disk: Disk) -> Json:
    """Return one block device."""
    return _rates(
        disk,
        name=disk.name,
        size_bytes=disk.size_bytes,
        read_bytes_per_s=_real(disk.read_bytes_per_s),
        write_bytes_per_s=_real(disk.write_bytes_per_s),
        busy_percent=_real(disk.busy_percent),
    )


def mount_json(mount: Mount) -> Json:
    """Return one mount."""
    reasons = dict(mount.missing)
    if not mount.network:
        reasons.setdefault("rtt_s", "it is no network file system")
    values = {
        "path": mount.path,
        "source": mount.source,
        "type": mount.type,
        "total_bytes": mount.total_bytes,
        "free_bytes": mount.free_bytes,
        "state": mount.state.value,
        "rtt_s": _real(mount.rtt_s, 6),
    }
    return _complete(values, reasons, "not reported by this file system")


def job_json(view: View, job: Job) -> Json:
    """Return one job."""
    waits = job.state in (JobState.PENDING, JobState.HELD)
    array = job.array
    values: Json = {
        "id": job.id,
        "cluster": job.cluster,
        "name": job.name,
        "user": job.user,
        "account": job.account,
        "state": job.state.value,
        "scheduler_state": job.scheduler_state,
        "reason": job.reason,
        "queue": job.queue,
        "nodes": job.nodes,
        "node_count": job.node_count,
        "accelerators": job.accelerators,
        "submitted_at": iso(job.submitted_at),
        "started_at": iso(job.started_at),
        "expected_start_at": iso(job.expected_start_at),
        "ends_at": iso(job.ends_at),
        "elapsed_s": _real(elapsed(JobRow(view, job))),
        "time_limit_s": _real(job.time_limit_s),
        "priority": job.priority,
        "exit_code": job.exit_code,
        "usage": None if job.usage is None else msgspec.structs.asdict(job.usage),
        "array": None
        if array is None
        else {
            "id": clean(array.id),
            "tasks": array.tasks,
            "running": array.running,
            "pending": array.pending,
        },
    }
    reasons = {
        "array": "it is no array",
        "exit_code": "it has not ended" if not job.state.ended else "not said by the scheduler",
        "usage": "it has not ended" if not job.state.ended else "not recorded by accounting",
        "reason": "none is given",
        "expected_start_at": "the scheduler gives no estimate" if waits else "it does not wait",
        **({"nodes": "it has not started", "started_at": "it has not started"} if waits else {}),
        **({"elapsed_s": "it has not started", "ends_at": "it has not started"} if waits else {}),
        **job.missing,
    }
    return _complete(values, reasons, "not said by the scheduler")


def finding_json(finding: Finding) -> Json:
    """Return one finding."""
    values: Json = {
        "id": finding.id,
        "severity": finding.severity.value,
        "title": finding.title,
        "evidence": finding.evidence,
        "cause": finding.cause,
        "action": finding.action,
        "source": finding.source,
        "nodes": _texts(finding.nodes),
        "jobs": _texts(finding.jobs),
        "since": iso(finding.since),
    }
    return _complete(values, {}, "not known")
