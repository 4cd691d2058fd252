"""What can be read on this machine, and how to mend what cannot."""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec
from pathlib import Path

from console.errors import SourceError
from console.plugin import Check, CheckState, Site
from console.text import clean

NVML_QUESTION = (
    "import pynvml as n\n"
    "try:\n"
    "    n.nvmlInit()\n"
    "    v = n.nvmlSystemGetDriverVersion()\n"
    "    print('ok', n.nvmlDeviceGetCount(), v if isinstance(v, str) else v.decode('ascii', 'replace'))\n"
    "except n.NVMLError as e:\n"
    "    print('error', e.value, e)\n"
)
"""Asked in a process of its own: a sick driver may take whoever asks with it."""

NVML_REMEDIES = {
    "3": "this driver does not offer NVML; update it",
    "4": "let this user read and write /dev/nvidia*",
    "9": "load the driver (modprobe nvidia) and look at dmesg if it will not stay",
    "12": "install the library libnvidia-ml.so.1 of the driver's own release (Debian: libnvidia-ml1)",
    "15": "a GPU is lost: drain this node and reset or power-cycle it; dmesg names the Xid",
    "18": "driver and library are of different releases: reboot, or unload and load the kernel module",
}
NVML_TIMEOUT_S = 20.0


async def look(site: Site, root: Path = Path("/")) -> list[Check]:
    """Look at everything once. Never raises; `root` stands before /proc and /sys."""
    checks = [_python(), await _nvidia(site, root), _power(root), _pressure(root), _rdma(root)]
    return [*checks, *_other_accelerators(root)]


def _python() -> Check:
    return Check(subject="python", state=CheckState.OK, detail=f"{platform.python_version()} at {sys.executable}")


async def _nvidia(site: Site, root: Path) -> Check:
    driver = root / "proc/driver/nvidia/version"
    if find_spec("pynvml") is None:
        return Check(
            subject="NVIDIA GPUs",
            state=CheckState.FAILED,
            detail="the Python module pynvml is not installed",
            remedy="pip install nvidia-ml-py",
        )
    if not driver.exists() and not (root / "dev/nvidiactl").exists() and not (root / "dev/dxg").exists():
        return Check(subject="NVIDIA GPUs", state=CheckState.ABSENT, detail="no NVIDIA driver is loaded")
    try:
        answer = await site.transport().run([sys.executable, "-c", NVML_QUESTION], timeout_s=NVML_TIMEOUT_S)
    except SourceError as error:
        return Check(
            subject="NVIDIA GPUs",
            state=CheckState.FAILED,
            detail=f"NVML gives no answer: {error.what}",
            remedy="look for Xid lines in dmesg; a GPU that hangs wants nvidia-smi --gpu-reset or a reboot",
        )
    return nvidia_check(answer.stdout, answer.stderr)


def nvidia_check(stdout: bytes, stderr: bytes = b"") -> Check:
    """Return what the answer to `NVML_QUESTION` means."""
    words = clean(stdout.strip(), limit=300).split(maxsplit=2)
    if len(words) == 3 and words[0] == "ok":
        return Check(subject="NVIDIA GPUs", state=CheckState.OK, detail=f"{words[1]} by NVML, driver {words[2]}")
    if len(words) == 3 and words[0] == "error":
        return Check(
            subject="NVIDIA GPUs",
            state=CheckState.DENIED if words[1] == "4" else CheckState.FAILED,
            detail=f"NVML: {words[2]}",
            remedy=NVML_REMEDIES.get(words[1], "look at dmesg and at what nvidia-smi says"),
        )
    last = clean(stderr.strip().splitlines()[-1], limit=200) if stderr.strip() else "it said nothing"
    return Check(
        subject="NVIDIA GPUs",
        state=CheckState.FAILED,
        detail=f"NVML ended without an answer: {last}",
        remedy="run nvidia-smi; if it ends the same way, reinstall the driver",
    )


def _power(root: Path) -> Check:
    subject = "processor power (RAPL)"
    zones = sorted((root / "sys/class/powercap").glob("*:*/energy_uj"))
    if not zones:
        return Check(
            subject=subject,
            state=CheckState.ABSENT,
            detail="no energy counters (a virtual machine, or an old CPU)",
        )
    try:
        zones[0].read_bytes()
    except PermissionError:
        return Check(
            subject=subject,
            state=CheckState.DENIED,
            detail="the energy counters are readable for root only",
            remedy=f"chmod a+r {zones[0].parent}/energy_uj for each zone, by a udev rule or tmpfiles.d",
        )
    except OSError as error:
        return Check(
            subject=subject,
            state=CheckState.FAILED,
            detail=clean(str(error)),
            remedy="look at dmesg for intel_rapl",
        )
    return Check(subject=subject, state=CheckState.OK, detail=f"{len(zones)} energy counters")


def _pressure(root: Path) -> Check:
    subject = "pressure (PSI)"
    path = root / "proc/pressure/cpu"
    if not path.exists():
        return Check(
            subject=subject,
            state=CheckState.ABSENT,
            detail="this kernel has no /proc/pressure (it came with 4.20)",
        )
    try:
        path.read_bytes()
    except OSError:
        return Check(
            subject=subject,
            state=CheckState.WARNING,
            detail="compiled in and switched off",
            remedy="boot with psi=1",
        )
    return Check(subject=subject, state=CheckState.OK, detail="/proc/pressure")


def _rdma(root: Path) -> Check:
    ports = sorted((root / "sys/class/infiniband").glob("*/ports/*"))
    if not ports:
        return Check(subject="RDMA ports", state=CheckState.ABSENT, detail="no InfiniBand or RoCE device")
    names = ", ".join(clean(f"{port.parent.parent.name}/{port.name}") for port in ports[:8])
    return Check(subject="RDMA ports", state=CheckState.OK, detail=f"{len(ports)}: {names}")


def _other_accelerators(root: Path) -> list[Check]:
    cards = sorted((root / "sys/class/drm").glob("card*/device/gpu_busy_percent"))
    found = []
    if cards:
        found.append(Check(subject="AMD GPUs", state=CheckState.OK, detail=f"{len(cards)} by sysfs"))
    if (root / "sys/class/accel").is_dir() or (root / "sys/class/habanalabs").is_dir():
        found.append(
            Check(
                subject="other accelerators",
                state=CheckState.OK,
                detail="read by hl-smi where it is installed",
            )
        )
    return found
