"""NVIDIA GPUs through one looping `nvidia-smi`, where NVML cannot be called from Python."""

import os
import re
import subprocess
import threading
import time

from console.probes.node.base import Files, Tool, Worker, portable, why
from console.probes.node.compute_apps import ComputeApps
from console.probes.node.nvml import LOST, REASONS, throttle_names, without_values

LOOP_S = 5
RETRY_EVERY_S = 60.0
HELP_TIMEOUT_S = 30.0
MIB = 1 << 20
QUERY = (
    # Field of the query, field of the record, unit.
    ("index", "index", 1),
    ("uuid", "uuid", None),
    ("name", "model", None),
    ("pci.bus_id", "bus_id", None),
    ("utilization.gpu", "utilization_percent", 1),
    ("memory.used", "memory_used_bytes", MIB),
    ("memory.total", "memory_total_bytes", MIB),
    ("power.draw", "power_w", 1),
    ("enforced.power.limit", "power_limit_w", 1),
    ("temperature.gpu", "temperature_c", 1),
    ("temperature.memory", "memory_temperature_c", 1),
    ("clocks.current.sm", "clock_mhz", 1),
    ("clocks.max.sm", "clock_max_mhz", 1),
    ("ecc.errors.uncorrected.volatile.total", "ecc_uncorrected", 1),
    ("ecc.errors.corrected.volatile.total", "ecc_corrected", 1),
    ("pcie.link.gen.current", "pcie_generation", 1),
    ("pcie.link.width.current", "pcie_width", 1),
    ("mig.mode.current", "mig", None),
    ("clocks_event_reasons.active", "throttle", None),
    ("clocks_throttle_reasons.active", "throttle", None),
)
BASIC = (
    "index",
    "uuid",
    "name",
    "pci.bus_id",
    "utilization.gpu",
    "memory.used",
    "memory.total",
    "power.draw",
    "temperature.gpu",
)
"""Known to every release since 2013: what can be asked without asking first what can be asked."""

NEWER = "not known to this release of nvidia-smi"
UNSAID = "not asked: nvidia-smi did not say what it knows"

INTEGERS = frozenset(
    "memory_used_bytes memory_total_bytes clock_mhz clock_max_mhz ecc_uncorrected ecc_corrected"
    " pcie_generation pcie_width".split()
)
_UNKNOWN = re.compile(
    r"^\[?(n/a|not supported|not available|unknown error|insufficient permissions"
    r"|requested functionality has been deprecated)\]?$",
    re.I,
)


def known_fields(help_text: str) -> "list[str]":
    """Return what of `QUERY` a release knows, by its `--help-query-gpu`: one unknown field fails all."""
    known = set(re.findall(r'"([a-z0-9_.]+)"', help_text))
    fields = []
    throttles = False
    for name, field, _ in QUERY:
        if name in known and not (field == "throttle" and throttles):
            fields.append(name)
            throttles = throttles or field == "throttle"
    return fields


def unasked(fields: "Sequence[str]", reason: str) -> "dict[str, str]":
    """Return the reason for every field of the record that a query of these fields leaves out."""
    asked = {field for name, field, _ in QUERY if name in fields}
    return {field: reason for _, field, _ in QUERY if field not in asked}


def arguments(fields: "list[str]") -> "list[str]":
    """Return the arguments of nvidia-smi that print these fields as CSV without units."""
    return ["--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits"]


def parse_row(fields: "list[str]", line: str, left_out: "dict[str, str]") -> "tuple[int, dict[str, Any]] | None":
    """Return index and fields of the record `Accelerator` of one line of CSV; None when it is none.

    `left_out`: why what was not asked is missing (see `unasked`).
    """
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) != len(fields) or not cells[0].isdigit():
        return None
    found = {"vendor": "nvidia"}  # type: dict[str, Any]
    missing = dict(left_out)
    columns = {name: (field, unit) for name, field, unit in QUERY}
    for name, cell in zip(fields[1:], cells[1:]):  # noqa: B905 - Python 3.6 has no strict
        field, unit = columns[name]
        if "GPU is lost" in cell:
            found["state"] = "lost"
            missing[field] = REASONS[LOST]
        elif _UNKNOWN.match(cell):
            missing[field] = "not supported by this device" if "rror" not in cell else cell.strip("[]").lower()
        elif field == "mig":
            found["mig"] = cell == "Enabled"
        else:
            try:
                found[field] = _convert(field, unit, cell)
            except (ValueError, IndexError):
                missing[field] = "cannot be read: " + portable(cell)[:40]
    if missing:
        found["missing"] = missing
    return int(cells[0]), found


def _convert(field: str, unit: "int | None", cell: str) -> "Any":
    if field == "throttle":
        return throttle_names(int(cell, 16))
    if unit is None:
        return portable(cell)
    value = float(cell.split(None, 1)[0]) * unit
    if not abs(value) < 1e18:
        raise ValueError(cell)
    return int(value) if field in INTEGERS else value


class NvidiaSmi:
    """Keeps one nvidia-smi running and takes its lines; another one names the processes now and then."""

    kind = "nvidia-smi"

    def __init__(self, path: str, files: Files) -> None:
        self._path = path
        self._help = Tool(path, HELP_TIMEOUT_S)
        self._apps = ComputeApps(path, files)
        self._starter = Worker("nvidia-smi", self._start)
        self._process = None  # type: subprocess.Popen[bytes] | None
        self._fields = []  # type: list[str]
        self._left_out = {}  # type: dict[str, str]
        self._rows = {}  # type: dict[str, dict[str, Any]]
        self._rows_at = 0.0
        self._last = ""
        self._resting = False

    def _start(self) -> None:
        known = known_fields(self._help.run(["--help-query-gpu"])[1])
        self._fields = known or list(BASIC)
        self._left_out = unasked(self._fields, NEWER if known else UNSAID)
        process = self._process = subprocess.Popen(
            [self._path, "--loop=%d" % LOOP_S] + arguments(self._fields),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if self._resting:
            process.kill()
        threading.Thread(target=self._listen, args=(process,), name="nvidia-smi", daemon=True).start()

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace").strip()
            row = parse_row(self._fields, line, self._left_out)
            if process is not self._process:
                # It was ended, and this is what it had said before.
                continue
            if row is None:
                self._last = line or self._last
            else:
                self._rows[str(row[0])] = row[1]
                self._rows_at = time.monotonic()
        process.wait()

    def ask(self, now: float) -> "list[Worker]":
        """Start it when it does not run."""
        self._resting = False
        started = self._apps.ask(now)
        process = self._process
        if process is None or process.poll() is not None:
            started += [self._starter] if self._starter.ask(now, RETRY_EVERY_S) else []
        return started

    def read(self, now: float, patience_s: float) -> "tuple[dict[str, dict[str, Any]], str | None]":
        """Return the GPUs by index, and why there are none."""
        if self._rows and now - self._rows_at <= 2 * LOOP_S + patience_s:
            return {key: self._apps.add_to(row, now, patience_s) for key, row in list(self._rows.items())}, None
        reason = self._starter.error or ("nvidia-smi says: " + portable(self._last) if self._last else None)
        if self._rows:
            reason = reason or "nvidia-smi has fallen silent"
            return {key: self._stale(row, reason) for key, row in list(self._rows.items())}, None
        return {}, reason or "nvidia-smi has not answered yet"

    @staticmethod
    def _stale(row: "dict[str, Any]", reason: str) -> "dict[str, Any]":
        facts = [(field, row[field]) for field in ("vendor", "uuid", "model", "bus_id") if field in row]
        return without_values(dict(facts), "error", reason)

    def rest(self) -> None:
        """End the children until it is asked again; what they said is of before."""
        self._resting = True
        self.end()
        self._apps.rest()
        self._process, self._rows, self._last = None, {}, ""
        self._starter.asked_at = None

    def end(self) -> None:
        """End the children."""
        self._help.end()
        self._apps.end()
        if self._process is not None:
            try:
                self._process.kill()
            except OSError as error:
                self._last = why(error)


def find() -> "str | None":
    """Return the path of nvidia-smi, or None."""
    for folder in os.environ.get("PATH", "/usr/bin").split(":") + ["/usr/bin", "/usr/lib/wsl/lib"]:
        path = os.path.join(folder or ".", "nvidia-smi")
        if os.access(path, os.X_OK):
            return path
    return None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any
