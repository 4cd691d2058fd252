"""This machine as a cluster of one, and what the doctor says of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from console.errors import TimedOut
from console.model import ClusterKind, NodeState
from console.plugin import CheckState
from console.transport.base import Completed
from plugins.local import plugin
from plugins.local.backend import LocalSettings
from plugins.local.doctor import NVML_QUESTION, look, nvidia_check


class PlayedTransport:
    name = "local"

    def __init__(self, answer: Completed | Exception) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []

    async def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self.asked.append(list(argv))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def open(self, argv: Sequence[str]) -> Any:
        raise AssertionError("the doctor opens no channel")

    async def close(self) -> None:
        raise AssertionError("transports are closed by the core")


class PlayedSite:
    environ: Mapping[str, str] = {}
    cluster = "here"

    def __init__(self, answer: Completed | Exception) -> None:
        self._transport = PlayedTransport(answer)

    def which(self, program: str) -> str | None:
        return None

    def transport(self, via: str | None = None) -> PlayedTransport:
        return self._transport

    def expand(self, nodeset: str) -> list[str]:
        return [nodeset]

    def now(self) -> float:
        return 0.0


def said(stdout: bytes, stderr: bytes = b"") -> Completed:
    return Completed(exit_status=0, stdout=stdout, stderr=stderr, seconds=0.1)


async def test_this_machine_is_a_cluster_of_one() -> None:
    site = PlayedSite(said(b""))
    (detection,) = await plugin.detect(site)
    assert detection.cluster
    backend = plugin.open(LocalSettings(), site)
    records = await backend.inventory()
    (node,) = records.nodes
    assert records.complete == ("nodes",)
    assert records.cluster is not None
    assert records.cluster.kind is ClusterKind.LOCAL
    assert node.cluster == backend.cluster == "here"
    assert node.address == "local"
    assert node.state is NodeState.UP
    assert node.cpus == os.cpu_count()
    assert node.memory_total_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert records.requests == 0


@pytest.mark.parametrize(
    ("stdout", "stderr", "state", "detail"),
    [
        (b"ok 8 550.163.01\n", b"", CheckState.OK, "8 by NVML, driver 550.163.01"),
        (b"error 9 Driver Not Loaded\n", b"", CheckState.FAILED, "NVML: Driver Not Loaded"),
        (b"error 4 Insufficient Permissions\n", b"", CheckState.DENIED, "NVML: Insufficient Permissions"),
        (b"error 12345 New \x1b[2Jtrouble\n", b"", CheckState.FAILED, "NVML: New trouble"),
        (
            b"",
            b"Traceback\nSegmentation fault\n",
            CheckState.FAILED,
            "NVML ended without an answer: Segmentation fault",
        ),
        (b"", b"", CheckState.FAILED, "NVML ended without an answer: it said nothing"),
    ],
)
def test_what_nvml_answered(stdout: bytes, stderr: bytes, state: CheckState, detail: str) -> None:
    check = nvidia_check(stdout, stderr)
    assert check.state is state
    assert check.detail == detail
    assert bool(check.remedy) == (state is not CheckState.OK)


async def test_a_driver_that_hangs_is_a_failure_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text("NVRM version: x")
    site = PlayedSite(TimedOut("no answer within 20 s", "local"))
    checks = {check.subject: check for check in await look(site, tmp_path)}
    assert checks["NVIDIA GPUs"].state is CheckState.FAILED
    assert "no answer within 20 s" in checks["NVIDIA GPUs"].detail
    assert checks["NVIDIA GPUs"].remedy
    assert NVML_QUESTION in site.transport().asked[0]


async def test_a_bare_machine_lacks_things_and_nothing_is_wrong(tmp_path: Path) -> None:
    site = PlayedSite(said(b""))
    checks = {check.subject: check for check in await look(site, tmp_path)}
    assert site.transport().asked == [], "without a driver nobody is asked"
    for subject in ("NVIDIA GPUs", "processor power (RAPL)", "pressure (PSI)", "RDMA ports"):
        assert checks[subject].state is CheckState.ABSENT
    assert checks["python"].state is CheckState.OK


async def test_what_is_there_is_said(tmp_path: Path) -> None:
    for path in (
        "sys/class/powercap/intel-rapl:0/energy_uj",
        "proc/pressure/cpu",
        "sys/class/infiniband/mlx5_0/ports/1/state",
        "sys/class/drm/card0/device/gpu_busy_percent",
        "sys/class/accel/accel0/x",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1")
    checks = {check.subject: check for check in await look(PlayedSite(said(b"")), tmp_path)}
    assert checks["RDMA ports"].detail == "1: mlx5_0/1"
    for subject in ("processor power (RAPL)", "pressure (PSI)", "AMD GPUs", "other accelerators"):
        assert checks[subject].state is CheckState.OK


async def test_counters_for_root_only_come_with_the_command_that_opens_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "energy_uj").write_text("1")
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    checks = {check.subject: check for check in await look(PlayedSite(said(b"")), tmp_path)}
    power = checks["processor power (RAPL)"]
    assert power.state is CheckState.DENIED
    assert "chmod a+r" in power.remedy
