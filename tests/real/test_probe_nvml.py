"""NVIDIA GPUs: a stand-in for the driver's library with eight of them, and the real one where there is one."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from console.model import Accelerator, Sample
from console.probes import Probe, open_probe
from console.probes.node import nvidia_smi
from console.transport.local import LocalTransport
from tests.needs import need
from tests.real.test_probe_here import alive, children, until

pytestmark = pytest.mark.real

SOURCE = Path(__file__).parent.parent / "fixtures" / "nvml_stub" / "nvml_stub.c"
MIB = 1 << 20


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libnvidia-ml.so.1 that was compiled just now."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    need(None if compiler else "no C compiler for the stand-in of NVML")
    assert compiler is not None
    folder = tmp_path_factory.mktemp("nvml")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", target, SOURCE], check=True, timeout=60)
    return folder


@pytest.fixture
async def local() -> AsyncIterator[LocalTransport]:
    transport = LocalTransport()
    yield transport
    await transport.close()


async def opened(local: LocalTransport, library: Path, *, period_s: float = 0.3, **stub: int | str) -> Probe:
    variables = [f"NVML_STUB_{name}={value}" for name, value in stub.items()]
    interpreter = ["env", f"LD_LIBRARY_PATH={library}", *variables, sys.executable]
    return await open_probe(
        local, period_s=period_s, node="here", interpreter=interpreter, nvml=True, budget_percent=100.0
    )


async def gpus(probe: Probe, *, index: int | None = None, state: str = "ok") -> tuple[Accelerator, ...]:
    """Return the accelerators once they are there (and one of them is in a state)."""

    async def look() -> tuple[Accelerator, ...]:
        while True:
            found = (await probe.next(10.0)).accelerators
            known = found and all(gpu.memory_used_bytes is not None or gpu.state != "ok" for gpu in found)
            if known and (index is None or found[index].state == state):
                return found

    return await asyncio.wait_for(look(), 40)


async def read(local: LocalTransport, library: Path, **stub: Any) -> tuple[Accelerator, ...]:
    probe = await opened(local, library, **stub)
    try:
        return await gpus(probe)
    finally:
        await probe.close()


async def test_eight_gpus(local: LocalTransport, library: Path) -> None:
    found = await read(local, library)
    assert [gpu.index for gpu in found] == list(range(8))
    gpu = found[3]
    assert gpu == Accelerator(
        index=3,
        uuid="GPU-00000000-0000-0000-0000-000000000003",
        vendor="nvidia",
        model="NVIDIA H100 80GB HBM3",
        bus_id="00000000:1D:00.0",
        utilization_percent=30.0,
        memory_used_bytes=512 * MIB,
        memory_total_bytes=81920 * MIB,
        power_w=95.3,
        power_limit_w=700.0,
        temperature_c=34.0,
        memory_temperature_c=41.0,
        clock_mhz=345,
        clock_max_mhz=1980,
        ecc_uncorrected=2,
        ecc_corrected=17,
        pcie_generation=5,
        pcie_width=16,
        mig=False,
    )
    assert found[0].throttle == (), "idle is no reason for running below the clocks"
    assert found[1].throttle == ("sw_power_cap", "hw_thermal")


async def test_what_a_device_does_not_support_is_missing_and_not_zero(local: LocalTransport, library: Path) -> None:
    gpu = (await read(local, library, UNSUPPORTED="4"))[4]
    assert gpu.power_w is None
    assert gpu.ecc_uncorrected is None
    assert gpu.missing == dict.fromkeys(
        ("power_w", "power_limit_w", "throttle", "memory_temperature_c", "ecc_uncorrected", "ecc_corrected"),
        "not supported by this device",
    )
    assert gpu.utilization_percent == 40.0


async def test_a_lost_gpu_is_lost_and_the_others_go_on(local: LocalTransport, library: Path) -> None:
    found = await read(local, library, LOST="2,5")
    assert [gpu.state for gpu in found] == ["ok", "ok", "lost", "ok", "ok", "lost", "ok", "ok"]
    assert found[2].utilization_percent is None
    assert found[2].missing["utilization_percent"] == "the GPU is lost"
    assert found[3].utilization_percent == 30.0


async def test_mig(local: LocalTransport, library: Path) -> None:
    found = await read(local, library, MIG="6")
    assert found[6].mig is True
    assert found[6].mig_devices == 3
    assert found[6].utilization_percent is None
    assert found[6].missing == {"utilization_percent": "not supported by this device"}
    assert found[5].mig is False


async def test_a_driver_without_the_new_names(local: LocalTransport, library: Path) -> None:
    found = await read(local, library, OLD="1", PID=os.getpid())
    assert found[1].throttle == ("sw_thermal",)
    assert found[0].memory_used_bytes == 1024 * MIB
    assert [process.pid for process in found[0].processes] == [os.getpid()]


async def test_a_process_has_a_user_and_a_command(local: LocalTransport, library: Path) -> None:
    probe = await opened(local, library, PID=os.getpid())
    try:
        while True:
            (process,) = (await gpus(probe))[0].processes
            if process.command is not None:
                break
    finally:
        await probe.close()
    assert process.memory_bytes == MIB
    assert "python" in process.command
    assert process.user == subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


async def test_a_hanging_gpu_hangs_alone(local: LocalTransport, library: Path) -> None:
    before = set(children(os.getpid()))
    probe = await opened(local, library, HANG="6")
    try:
        (pid,) = set(children(os.getpid())) - before
        found = await gpus(probe, index=6, state="error")
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        assert "has not answered" in found[6].missing["utilization_percent"]
        assert found[6].model == "NVIDIA H100 80GB HBM3", "what it is stays known"
        assert found[7].utilization_percent == 70.0
        for _ in range(5):
            sample = await probe.next(10.0)
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == threads, "no further thread hangs"
        assert sample.host is not None
        assert sample.host.cpu_percent is not None
    finally:
        await probe.close()
    until(lambda: not alive(pid))


async def test_a_driver_that_hangs_at_the_start_costs_the_gpus_only(local: LocalTransport, library: Path) -> None:
    probe = await opened(local, library, HANG_INIT="1")
    try:
        first = await probe.next(10.0)
        assert first.missing["accelerators"] == "the NVIDIA driver is being asked"
        assert first.mounts

        async def wait() -> Sample:
            while True:
                sample = await probe.next(10.0)
                if "longer than" in sample.missing["accelerators"]:
                    return sample

        assert (await asyncio.wait_for(wait(), 30)).accelerators == ()
    finally:
        await probe.close()


@pytest.mark.parametrize(
    ("code", "reason"), [(9, "the NVIDIA driver is not loaded"), (18, "driver and library are of different releases")]
)
async def test_a_driver_that_does_not_start_says_why(
    code: int, reason: str, local: LocalTransport, library: Path
) -> None:
    probe = await opened(local, library, INIT=code)
    try:
        sample = await probe.next(10.0)
        for _ in range(30):
            if sample.missing["accelerators"] != "the NVIDIA driver is being asked":
                break
            sample = await probe.next(10.0)
    finally:
        await probe.close()
    assert sample.missing["accelerators"] == reason
    assert sample.accelerators == ()


SMI = """#!/bin/sh
case "$*" in
*--help-query-gpu*) printf '"index"\\n"uuid"\\n"name"\\n"utilization.gpu"\\n"power.draw"\\n' ;;
*--query-gpu=index,uuid,name,utilization.gpu,power.draw*)
    while :; do
        echo "0, GPU-1, NVIDIA A100-SXM4-40GB, 97, 301.50"
        echo "1, GPU-2, NVIDIA A100-SXM4-40GB, [N/A], [GPU is lost]"
        sleep 0.2
    done ;;
*--query-compute-apps=gpu_uuid,pid,used_memory*) APPS ;;
*) echo "Field is not a valid field to query."; exit 2 ;;
esac
"""


@asynccontextmanager
async def by_smi(local: LocalTransport, folder: Path, apps: str) -> AsyncIterator[tuple[Probe, int]]:
    """Lend a probe that finds no library but a stand-in for nvidia-smi, and its process; nothing stays behind."""
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("the library is found here whatever the path")
    smi = folder / "nvidia-smi"
    smi.write_text(SMI.replace("APPS", apps))
    smi.chmod(0o755)
    before = set(children(os.getpid()))
    interpreter = ["env", f"PATH={folder}:{os.environ['PATH']}", f"LD_LIBRARY_PATH={folder}", sys.executable]
    probe = await open_probe(local, period_s=0.3, node="here", interpreter=interpreter, nvml=True, budget_percent=100.0)
    try:
        (pid,) = set(children(os.getpid())) - before
        yield probe, pid
        tools = children_of_all_threads(pid)
    finally:
        await probe.close()
    until(lambda: not any(alive(tool) for tool in tools), 30.0)


async def sample_where(probe: Probe, true: Callable[[Sample], bool]) -> Sample:
    """Return the first sample of two GPUs of which something is true."""

    async def look() -> Sample:
        while True:
            sample = await probe.next(10.0)
            if len(sample.accelerators) == 2 and true(sample):
                return sample

    return await asyncio.wait_for(look(), 60)


async def test_without_the_library_nvidia_smi_loops_and_names_processes(local: LocalTransport, tmp_path: Path) -> None:
    environ = {**os.environ, "SLURM_JOB_ID": "8812"}
    with subprocess.Popen(["sleep", "600"], env=environ) as rank:
        try:
            async with by_smi(local, tmp_path, f'echo "GPU-1, {rank.pid}, 2566"') as (probe, pid):
                sample = await sample_where(probe, lambda sample: bool(sample.accelerators[0].processes))
                assert children_of_all_threads(pid), "the loop runs on"
        finally:
            rank.kill()
    assert sample.cost is not None
    assert sample.cost.accelerators == "nvidia-smi"
    first, second = sample.accelerators
    assert (first.utilization_percent, first.power_w) == (97.0, 301.5)
    assert second.state == "lost"
    assert second.utilization_percent is None
    (process,) = first.processes
    assert (process.pid, process.job, process.command) == (rank.pid, "8812", "sleep 600")
    assert process.memory_bytes == 2566 * MIB
    assert process.user
    assert "processes" not in first.missing
    assert second.processes == ()
    assert "processes" not in second.missing, "known to be idle"
    assert first.missing["throttle"] == nvidia_smi.NEWER, "not asked, for this release does not know it"


async def test_a_list_of_processes_that_hangs_costs_itself_only(local: LocalTransport, tmp_path: Path) -> None:
    async with by_smi(local, tmp_path, "exec sleep 600") as (probe, pid):

        def hangs(sample: Sample) -> bool:
            return "longer than" in sample.accelerators[0].missing["processes"]

        sample = await sample_where(probe, hangs)
        assert sample.accelerators[0].utilization_percent == 97.0
        assert sample.host is not None
        assert sample.host.cpu_percent is not None
        hanging = [tool for tool in children_of_all_threads(pid) if b"sleep" in command(tool)]
        assert len(hanging) == 1, "what hangs is not asked again"


async def test_paused_nvidia_smi_does_not_run_and_resumed_it_does(local: LocalTransport, tmp_path: Path) -> None:
    async with by_smi(local, tmp_path, ":") as (probe, pid):
        await sample_where(probe, lambda sample: not sample.accelerators[0].missing.get("processes"))
        assert children_of_all_threads(pid)
        await probe.pause(True)
        until(lambda: not any(alive(tool) for tool in children_of_all_threads(pid)), 30.0)
        await probe.pause(False)
        sample = await sample_where(probe, lambda sample: sample.accelerators[0].utilization_percent is not None)
        assert sample.accelerators[0].state == "ok"


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def children_of_all_threads(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


async def test_what_an_idle_node_of_eight_gpus_costs(local: LocalTransport, library: Path) -> None:
    """The promise is 1 % of a core and 2 kB/s at a pace of two seconds; processor time is no clock of the wall."""
    probe = await opened(local, library, period_s=2.0)
    try:
        for _ in range(5):
            sample = await probe.next(20.0)
    finally:
        await probe.close()
    assert len(sample.accelerators) == 8
    cost = sample.cost
    assert cost is not None
    assert cost.cpu_percent is not None
    assert cost.cpu_percent <= 1.0
    assert cost.bytes_per_s is not None
    assert cost.bytes_per_s <= 2000
    assert cost.rss_bytes is not None
    assert cost.rss_bytes < 64 * MIB


async def test_a_probe_over_its_budget_becomes_slower_and_says_so(local: LocalTransport, library: Path) -> None:
    interpreter = ["env", f"LD_LIBRARY_PATH={library}", sys.executable]
    probe = await open_probe(local, period_s=0.3, node="here", interpreter=interpreter, nvml=True, budget_percent=0.01)
    try:

        async def wait() -> Any:
            while True:
                cost = (await probe.next(60.0)).cost
                if cost is not None and cost.period_s is not None and cost.period_s > 0.3:
                    return cost

        cost = await asyncio.wait_for(wait(), 60)
    finally:
        await probe.close()
    assert cost.period_s > 1.0


async def test_the_real_driver_as_nvidia_smi_says(local: LocalTransport) -> None:
    smi = shutil.which("nvidia-smi")
    if smi is None or not Path("/proc/driver/nvidia").exists():
        pytest.skip("no NVIDIA GPU here")
    fields = "index,uuid,name,memory.total,memory.used,power.draw,temperature.gpu,enforced.power.limit,clocks.max.sm"
    answer = subprocess.run(
        [smi, f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    probe = await open_probe(local, period_s=1.0, node="here")
    try:
        found = await gpus(probe)
        sample = await probe.next(10.0)
    finally:
        await probe.close()
    assert sample.cost is not None
    assert sample.cost.accelerators == "nvml"
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
    assert len(found) == len(rows)
    for gpu, row in zip(found, rows, strict=True):
        assert [str(gpu.index), gpu.uuid, gpu.model] == row[:3]
        assert gpu.memory_total_bytes is not None
        assert gpu.memory_used_bytes is not None
        assert gpu.power_w is not None
        assert gpu.temperature_c is not None
        assert gpu.memory_total_bytes // MIB == int(row[3])
        assert abs(gpu.memory_used_bytes / MIB - int(row[4])) < 1024
        assert abs(gpu.power_w - float(row[5])) < 150
        assert abs(gpu.temperature_c - float(row[6])) < 15
        assert gpu.power_limit_w == float(row[7])
        assert gpu.clock_max_mhz == int(row[8])
