"""AMD GPUs through sysfs: the driver amdgpu tells all, no library is needed."""

import re

from console.probes.node.base import Files, Worker, integer, portable
from console.probes.node.jobs import Jobs
from console.probes.node.nvml import without_values

DRM = "/sys/class/drm"
KFD_PROCESSES = "/sys/class/kfd/kfd/proc"
KFD_NODES = "/sys/class/kfd/kfd/topology/nodes"
NO_THROTTLE = "the driver amdgpu tells it in no text"
NO_KFD = "no compute driver (kfd) that lists them"
_LEVEL = re.compile(r"\d+:\s*(\d+)\s*mhz\s*(\*?)", re.I)
_SPEED = ((64.0, 6), (32.0, 5), (16.0, 4), (8.0, 3), (5.0, 2), (2.5, 1))
_RAS = re.compile(r"(ue|ce)\s*:\s*(\d+)")


def parse_levels(text: str) -> "tuple[int | None, int | None]":
    """Return (current, highest) MHz of a file like pp_dpm_sclk."""
    levels = [(int(mhz), bool(star)) for mhz, star in _LEVEL.findall(text)]
    current = [mhz for mhz, star in levels if star]
    return (current[0] if current else None, max(mhz for mhz, _ in levels) if levels else None)


def pcie_generation(speed: "str | None") -> "int | None":
    """Return the generation of `16.0 GT/s PCIe`."""
    try:
        gigatransfers = float((speed or "").split()[0])
    except (ValueError, IndexError):
        return None
    for rate, generation in _SPEED:
        if gigatransfers >= rate:
            return generation
    return None


class Amd:
    """All GPUs of amdgpu, in the order of their bus addresses."""

    kind = "amdgpu sysfs"

    def __init__(self, files: Files) -> None:
        self._files = files
        self._jobs = Jobs(files)
        self._worker = Worker("amdgpu", self._read)
        self.cards = self._find()

    def _find(self) -> "list[str]":
        found = []
        for name in self._files.names(DRM):
            device = "%s/%s/device" % (DRM, name)
            if re.match(r"card\d+$", name) and self._files.line(device + "/vendor") == "0x1002":
                if self._files.exists(device + "/mem_info_vram_total"):
                    found.append((self._files.target(device), device))
        return [device for _, device in sorted(found)]

    def ask(self, now: float) -> "list[Worker]":
        """Start a reading and return what was started."""
        return [self._worker] if self._worker.ask(now) else []

    def read(self, now: float, patience_s: float) -> "tuple[dict[str, dict[str, Any]], str | None]":
        """Return the GPUs by index, and why there are none."""
        if self._worker.silent_for(now) > patience_s:
            return {}, "the driver amdgpu has not answered for longer than %d s" % patience_s
        return self._worker.value or {}, self._worker.error

    def _read(self) -> "dict[str, dict[str, Any]]":
        processes = self._processes()
        return {str(index): self._one(device, processes) for index, device in enumerate(self.cards)}

    def _one(self, device: str, processes: "dict[str, list[dict[str, Any]]] | None") -> "dict[str, Any]":
        files = self._files
        bus = files.target(device)
        found = {
            "vendor": "amd",
            "model": portable(
                files.line(device + "/product_name") or "AMD " + (files.line(device + "/device") or "GPU")
            ),
        }  # type: dict[str, Any]
        if bus:
            found["bus_id"] = portable(bus)
        if not files.exists(device + "/vendor"):
            reason = "the device is gone from the bus"
            return without_values(found, "lost", reason)
        if files.line(device + "/power/runtime_status") == "suspended":
            # Any further question would wake it.
            return without_values(found, "ok", "asleep")
        current, highest = self._clocks(device)
        values = {  # type: dict[str, Any]
            "uuid": files.line(device + "/unique_id"),
            "utilization_percent": files.number(device + "/gpu_busy_percent"),
            "memory_used_bytes": files.number(device + "/mem_info_vram_used"),
            "memory_total_bytes": files.number(device + "/mem_info_vram_total"),
            "clock_mhz": current,
            "clock_max_mhz": highest,
            "pcie_generation": pcie_generation(files.line(device + "/current_link_speed")),
            "pcie_width": files.number(device + "/current_link_width"),
        }
        values.update(self._hwmon(device))
        values.update(self._ras(device))
        found.update((field, value) for field, value in values.items() if value is not None)
        missing = {field: "not reported by this device" for field, value in values.items() if value is None}
        missing["throttle"] = NO_THROTTLE
        if processes is None:
            missing["processes"] = NO_KFD
        elif processes.get(bus):
            found["processes"] = processes[bus]
        found["missing"] = missing
        return found

    def _clocks(self, device: str) -> "tuple[int | None, int | None]":
        try:
            return parse_levels(self._files.text(device + "/pp_dpm_sclk"))
        except OSError:
            return None, None

    def _hwmon(self, device: str) -> "dict[str, float | None]":
        values = dict.fromkeys(("power_w", "power_limit_w", "temperature_c", "memory_temperature_c"))  # type: dict[str, float | None]
        files = self._files
        for name in files.names(device + "/hwmon")[:1]:
            base = "%s/hwmon/%s/" % (device, name)
            # Microwatts; which of the two there is depends on the generation.
            for field, names in (
                ("power_w", ("power1_average", "power1_input")),
                ("power_limit_w", ("power1_cap",)),
            ):
                for power in names:
                    value = files.number(base + power)
                    if value is not None:
                        values[field] = value / 1e6
                        break
            labels = {files.line(base + "temp%d_label" % n): files.number(base + "temp%d_input" % n) for n in (1, 2, 3)}
            for field, candidates in (
                ("temperature_c", ("junction", "edge", None)),
                ("memory_temperature_c", ("mem",)),
            ):
                for label in candidates:
                    value = labels.get(label)
                    if value is not None:
                        values[field] = value / 1000.0
                        break
        return values

    def _ras(self, device: str) -> "dict[str, int | None]":
        totals = {}  # type: dict[str, int]
        for name in self._files.names(device + "/ras"):
            if name.endswith("_err_count"):
                try:
                    text = self._files.text("%s/ras/%s" % (device, name))
                except OSError:
                    continue
                for kind, count in _RAS.findall(text):
                    totals[kind] = totals.get(kind, 0) + int(count)
        return {"ecc_uncorrected": totals.get("ue"), "ecc_corrected": totals.get("ce")}

    def _processes(self) -> "dict[str, list[dict[str, Any]]] | None":
        """Return the processes with memory on a GPU, by its bus address; None when nothing lists them."""
        if not self._files.exists(KFD_PROCESSES):
            return None
        pids = [int(name) for name in self._files.names(KFD_PROCESSES) if name.isdigit()]
        if not pids:
            return {}
        buses = self._buses()
        owners = self._jobs.describe(set(pids))
        found = {}  # type: dict[str, list[dict[str, Any]]]
        for pid in sorted(pids):
            for name in self._files.names("%s/%d" % (KFD_PROCESSES, pid)):
                used = self._files.number("%s/%d/%s" % (KFD_PROCESSES, pid, name)) if name.startswith("vram_") else None
                if used:
                    process = dict(owners.get(pid, {}), pid=pid, memory_bytes=used)
                    found.setdefault(buses.get(name[5:], ""), []).append(process)
        return found

    def _buses(self) -> "dict[str, str]":
        """Return the bus address of each GPU by the number that the compute driver gave it."""
        found = {}
        for node in self._files.names(KFD_NODES):
            number = self._files.line("%s/%s/gpu_id" % (KFD_NODES, node))
            if number in (None, "0"):
                continue
            try:
                text = self._files.text("%s/%s/properties" % (KFD_NODES, node))
            except OSError:
                continue
            pairs = [line.split(None, 1) for line in text.splitlines()]
            facts = dict(pair for pair in pairs if len(pair) == 2)
            location = integer(facts.get("location_id"))
            if location is not None and number is not None:
                bus, device, function = location >> 8 & 0xFF, location >> 3 & 0x1F, location & 7
                domain = integer(facts.get("domain")) or 0
                found[number] = "%04x:%02x:%02x.%d" % (domain, bus, device, function)
        return found


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
