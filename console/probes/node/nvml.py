"""NVIDIA GPUs through NVML, by the module `pynvml` that travels along."""

import time

from console.probes.node.base import Files, SensorError, Worker, portable
from console.probes.node.jobs import Jobs

NOT_SUPPORTED, NO_PERMISSION, NO_LIBRARY, NO_FUNCTION = 3, 4, 12, 13
LOST, RESET_REQUIRED = 15, 16
REASONS = {
    NOT_SUPPORTED: "not supported by this device",
    NO_PERMISSION: "permission denied",
    9: "the NVIDIA driver is not loaded",
    NO_LIBRARY: "no library libnvidia-ml.so.1",
    NO_FUNCTION: "not supported by this driver",
    LOST: "the GPU is lost",
    RESET_REQUIRED: "the GPU needs a reset",
    18: "driver and library are of different releases",
}
FOR_GOOD = (NOT_SUPPORTED, NO_PERMISSION, NO_FUNCTION)
"""What answers one of these is not asked again in this connection."""

THROTTLES = (
    (0x2, "app_clocks"),
    (0x4, "sw_power_cap"),
    (0x8, "hw_slowdown"),
    (0x10, "sync_boost"),
    (0x20, "sw_thermal"),
    (0x40, "hw_thermal"),
    (0x80, "power_brake"),
    (0x100, "display_clocks"),
)
VALUES = (
    "utilization_percent",
    "memory_used_bytes",
    "memory_total_bytes",
    "power_w",
    "power_limit_w",
    "temperature_c",
    "clock_mhz",
    "throttle",
    "ecc_uncorrected",
    "processes",
)
SLOW_EVERY_S = 10.0
RETRY_EVERY_S = 60.0
FIELD_MEMORY_TEMP = 82
CLOCK_SM = 1
MAX_PROCESSES = 64


def throttle_names(bits: int) -> "list[str]":
    """Return why a GPU runs below its clocks. Being idle is no such reason."""
    return [name for bit, name in THROTTLES if bits & bit]


def text_of(value: "str | bytes") -> str:
    """Return a text that older bindings give as bytes."""
    return portable(value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value)


def without_values(facts: "dict[str, Any]", state: str, reason: str) -> "dict[str, Any]":
    """Return an accelerator of which only facts are known, and one reason for all that is not."""
    return dict(facts, state=state, missing=dict.fromkeys(VALUES, reason))


class Gpu:
    """One GPU: what is asked every tick, what every ten seconds, and what never again."""

    def __init__(self, nvml: "Any", index: int) -> None:
        self._nvml = nvml
        self._index = index
        self._handle = None  # type: Any
        self._never = {}  # type: dict[str, str]
        self._slow = {}  # type: dict[str, Any]
        self._slow_at = None  # type: float | None
        self.facts = {"vendor": "nvidia"}  # type: dict[str, Any]
        self.worker = Worker("gpu%d" % index, self.read)
        self.sick = False

    def read(self) -> "dict[str, Any]":
        """Return the fields of the record `Accelerator`, processes as pid and memory only."""
        nvml = self._nvml
        missing = {}  # type: dict[str, str]
        try:
            if self._handle is None:
                self._identify()
            found = self._ask(self._fast(), missing)
            now = time.monotonic()
            if self._slow_at is None or now - self._slow_at >= SLOW_EVERY_S:
                slow_missing = {}  # type: dict[str, str]
                self._slow = self._ask(self._unhurried(), slow_missing)
                self._slow["missing"] = slow_missing
                self._slow_at = now
        except nvml.NVMLError as error:
            self.sick = True
            state = "lost" if error.value == LOST else "error"
            reason = REASONS.get(error.value, str(error).lower())
            return without_values(self.facts, state, reason)
        self.sick = False
        missing.update(self._slow["missing"])
        found.update(self.facts)
        found.update(self._slow)
        found["missing"] = missing
        if not missing:
            del found["missing"]
        return found

    def _identify(self) -> None:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(self._index)
        for field, ask in (
            ("uuid", lambda: text_of(nvml.nvmlDeviceGetUUID(handle))),
            ("model", lambda: text_of(nvml.nvmlDeviceGetName(handle))),
            ("bus_id", lambda: text_of(nvml.nvmlDeviceGetPciInfo(handle).busId)),
            ("clock_max_mhz", lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, CLOCK_SM)),
        ):
            try:
                self.facts[field] = ask()
            except nvml.NVMLError as error:
                if error.value in (LOST, RESET_REQUIRED):
                    raise
                self._never[field] = REASONS.get(error.value, str(error).lower())
        self._handle = handle

    def _ask(
        self, questions: "tuple[tuple[str, Callable[[], Any]], ...]", missing: "dict[str, str]"
    ) -> "dict[str, Any]":
        """Return what the questions brought. Raises NVMLError only when the whole GPU is gone."""
        nvml = self._nvml
        found = {}  # type: dict[str, Any]
        unknown = 0
        for field, ask in questions:
            if field in self._never:
                missing[field] = self._never[field]
                continue
            try:
                value = ask()
            except nvml.NVMLError as error:
                if error.value in (LOST, RESET_REQUIRED):
                    raise
                unknown += error.value not in FOR_GOOD
                if unknown == len(questions):
                    # A driver that cannot answer one single question about a GPU has lost it too.
                    raise
                missing[field] = REASONS.get(error.value, str(error).lower())
                if error.value in FOR_GOOD:
                    self._never[field] = missing[field]
                continue
            if isinstance(value, dict):
                found.update(value)
            elif value is not None:
                found[field] = value
        return found

    def _fast(self) -> "tuple[tuple[str, Callable[[], Any]], ...]":
        nvml, handle = self._nvml, self._handle
        return (
            ("utilization_percent", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            ("memory_used_bytes", self._memory),
            ("power_w", lambda: round(nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0, 1)),
            ("temperature_c", lambda: nvml.nvmlDeviceGetTemperature(handle, 0)),
            ("clock_mhz", lambda: nvml.nvmlDeviceGetClockInfo(handle, CLOCK_SM)),
            ("throttle", self._throttle),
        )

    def _unhurried(self) -> "tuple[tuple[str, Callable[[], Any]], ...]":
        nvml, handle = self._nvml, self._handle
        return (
            ("power_limit_w", lambda: round(nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000.0, 1)),
            ("memory_temperature_c", self._memory_temperature),
            ("ecc_uncorrected", lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, 1, 0)),
            ("ecc_corrected", lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, 0, 0)),
            ("pcie_generation", lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)),
            ("pcie_width", lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle)),
            ("mig", self._mig),
            ("processes", self._processes),
        )

    def _memory(self) -> "dict[str, int]":
        nvml = self._nvml
        try:
            # Version 2 counts what the driver keeps for itself apart, as nvidia-smi does.
            memory = nvml.nvmlDeviceGetMemoryInfo(self._handle, version=nvml.nvmlMemory_v2)
        except nvml.NVMLError as error:
            if error.value not in (NO_FUNCTION, NOT_SUPPORTED, 25):
                raise
            memory = nvml.nvmlDeviceGetMemoryInfo(self._handle)
        return {"memory_used_bytes": memory.used, "memory_total_bytes": memory.total}

    def _throttle(self) -> "list[str]":
        nvml = self._nvml
        try:
            return throttle_names(nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
        except nvml.NVMLError as error:
            if error.value != NO_FUNCTION:
                raise
        # Its name before driver 535.
        return throttle_names(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))

    def _memory_temperature(self) -> int:
        nvml = self._nvml
        value = nvml.nvmlDeviceGetFieldValues(self._handle, [FIELD_MEMORY_TEMP])[0]
        if value.nvmlReturn != 0:
            raise nvml.NVMLError(value.nvmlReturn)
        return int(value.value.uiVal)

    def _mig(self) -> "dict[str, Any]":
        nvml = self._nvml
        enabled = nvml.nvmlDeviceGetMigMode(self._handle)[0] == 1
        devices = 0
        if enabled:
            for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(self._handle)):
                try:
                    nvml.nvmlDeviceGetMigDeviceHandleByIndex(self._handle, number)
                    devices += 1
                except nvml.NVMLError as error:
                    if error.value == LOST:
                        raise
        return {"mig": enabled, "mig_devices": devices} if enabled else {"mig": False}

    def _running(self, kind: str) -> "list[Any]":
        nvml = self._nvml
        try:
            return getattr(nvml, "nvmlDeviceGet%sRunningProcesses_v3" % kind)(self._handle)  # type: ignore[no-any-return]
        except nvml.NVMLError as error:
            if error.value != NO_FUNCTION:
                raise
        # Drivers before 510 have the second version only.
        return getattr(nvml, "nvmlDeviceGet%sRunningProcesses_v2" % kind)(self._handle)  # type: ignore[no-any-return]

    def _processes(self) -> "list[dict[str, int]]":
        found = {}  # type: dict[int, dict[str, int]]
        for kind in ("Compute", "Graphics"):
            for process in self._running(kind)[:MAX_PROCESSES]:
                entry = found.setdefault(process.pid, {"pid": process.pid})
                if process.usedGpuMemory is not None:
                    entry["memory_bytes"] = max(process.usedGpuMemory, entry.get("memory_bytes", 0))
        return [found[pid] for pid in sorted(found)]


class Nvml:
    """All GPUs of the node; each is asked in a thread of its own, so that a hanging one hangs alone."""

    kind = "nvml"

    def __init__(self, files: Files, load: "Callable[[], Any]") -> None:
        self._load = load
        self._nvml = None  # type: Any
        self._opener = Worker("nvml", self._open)
        self._jobs = Jobs(files)
        self._owners = Worker("jobs", self._describe)
        self._gpus = []  # type: list[Gpu]

    def _open(self) -> "list[Gpu]":
        if self._nvml is None:
            self._nvml = self._load()
        nvml = self._nvml
        try:
            nvml.nvmlInit()
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            raise SensorError(REASONS.get(error.value, str(error))) from error
        return [Gpu(nvml, index) for index in range(count)]

    @property
    def library_missing(self) -> bool:
        """Whether there is no library to ask, so that another way is worth trying."""
        return self._opener.error == REASONS[NO_LIBRARY]

    def ask(self, now: float) -> "list[Worker]":
        """Start what is due and return what was started."""
        if not self._gpus:
            if self._opener.value is None:
                return [self._opener] if self._opener.ask(now, RETRY_EVERY_S) else []
            self._gpus = self._opener.value
        started = [gpu.worker for gpu in self._gpus if gpu.worker.ask(now, RETRY_EVERY_S if gpu.sick else 0.0)]
        if self._owners.ask(now, SLOW_EVERY_S / 2):
            started.append(self._owners)
        return started

    def read(self, now: float, patience_s: float) -> "tuple[dict[str, dict[str, Any]], str | None]":
        """Return the GPUs by index, and why there are none."""
        if not self._gpus:
            if self._opener.silent_for(now) > patience_s:
                return {}, "the NVIDIA driver has not answered for longer than %d s" % patience_s
            return {}, self._opener.error or "the NVIDIA driver is being asked"
        return {str(index): self._one(gpu, now, patience_s) for index, gpu in enumerate(self._gpus)}, None

    def _one(self, gpu: Gpu, now: float, patience_s: float) -> "dict[str, Any]":
        worker = gpu.worker
        reason = None
        if worker.silent_for(now) > patience_s:
            reason = "the driver has not answered for longer than %d s" % patience_s
        elif worker.error is not None:
            reason = worker.error
        if reason is not None:
            return without_values(gpu.facts, "error", reason)
        if worker.value is None:
            return without_values(gpu.facts, "ok", "not answered yet")
        values = worker.value
        if values.get("processes"):
            owners = self._owners.value or {}
            processes = [dict(owners.get(process["pid"], {}), **process) for process in values["processes"]]
            values = dict(values, processes=processes)
        return values  # type: ignore[no-any-return]

    def _describe(self) -> "dict[int, dict[str, str]]":
        values = [gpu.worker.value or {} for gpu in self._gpus]
        return self._jobs.describe({process["pid"] for value in values for process in value.get("processes", ())})

    def end(self) -> None:
        """Nothing to end: the process does, and the driver forgets it."""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
