"""Which processes compute on NVIDIA GPUs, by `nvidia-smi`, where NVML cannot be called from Python."""

from console.probes.node.base import Files, SensorError, Tool, Worker, portable
from console.probes.node.jobs import Jobs
from console.probes.node.nvml import MAX_PROCESSES

ARGUMENTS = ["--query-compute-apps=gpu_uuid,pid,used_memory", "--format=csv,noheader,nounits"]
ASK_EVERY_S = 10.0
"""Every call starts the tool anew, which costs far more than its loop over the GPUs."""

TIMEOUT_S = 30.0
MIB = 1 << 20


def parse(text: str) -> "dict[str, dict[int, int | None]]":
    """Return the bytes that each process holds (None: not told), by UUID of the GPU and process.

    Raises SensorError when there is output and no process in it.
    """
    found = {}  # type: dict[str, dict[int, int | None]]
    last = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 3 or not cells[0] or not (cells[1].isdigit() and len(cells[1]) < 12):
            last = line.strip() or last
            continue
        of_gpu = found.setdefault(portable(cells[0]), {})
        pid = int(cells[1])
        if pid in of_gpu or len(of_gpu) < MAX_PROCESSES:
            of_gpu[pid] = int(cells[2]) * MIB if cells[2].isdigit() and len(cells[2]) < 12 else None
    if last and not found:
        raise SensorError("nvidia-smi says: " + portable(last)[:120])
    return found


class ComputeApps:
    """Asks every ten seconds, in a thread of its own: where this hangs the GPUs themselves are still read."""

    def __init__(self, path: str, files: Files) -> None:
        self._tool = Tool(path, TIMEOUT_S)
        self._jobs = Jobs(files)
        self._worker = Worker("compute-apps", self._read)

    def _read(self) -> "dict[str, list[dict[str, Any]]]":
        status, text = self._tool.run(ARGUMENTS)
        if status != 0:
            last = (text.strip().splitlines() or ["nothing, and failed"])[-1]
            raise SensorError("nvidia-smi says: " + portable(last)[:120])
        held = parse(text)
        owners = self._jobs.describe({pid for of_gpu in held.values() for pid in of_gpu})
        found = {}  # type: dict[str, list[dict[str, Any]]]
        for uuid, of_gpu in held.items():
            found[uuid] = [dict(owners.get(pid, {}), pid=pid) for pid in sorted(of_gpu)]
            for process in found[uuid]:
                if of_gpu[process["pid"]] is not None:
                    process["memory_bytes"] = of_gpu[process["pid"]]
        return found

    def ask(self, now: float) -> "list[Worker]":
        """Start a reading when one is due."""
        return [self._worker] if self._worker.ask(now, ASK_EVERY_S) else []

    def add_to(self, gpu: "dict[str, Any]", now: float, patience_s: float) -> "dict[str, Any]":
        """Return a GPU with its processes, or with the reason why they are not known."""
        reason = self._reason(gpu, now, max(patience_s, ASK_EVERY_S))
        if reason is None:
            return dict(gpu, processes=self._worker.value.get(gpu["uuid"], []))
        return dict(gpu, missing=dict(gpu.get("missing", {}), processes=reason))

    def _reason(self, gpu: "dict[str, Any]", now: float, patience_s: float) -> "str | None":
        if self._worker.silent_for(now) > patience_s:
            return "nvidia-smi has not named processes for longer than %d s" % patience_s
        if self._worker.error is not None:
            return self._worker.error
        if self._worker.value is None:
            return "nvidia-smi has not named processes yet"
        return None if "uuid" in gpu else "nvidia-smi names processes by UUID, and this device has none"

    def rest(self) -> None:
        """End a call that runs; the next time that it may, it asks at once."""
        self._tool.end()
        self._worker.asked_at = None

    def end(self) -> None:
        """End a call that runs."""
        self._tool.end()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
