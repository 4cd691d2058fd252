"""Habana accelerators through their tool, `hl-smi`."""

from console.probes.node.base import SensorError, Tool, Worker, portable

QUERY = (
    ("index", None),
    ("uuid", "uuid"),
    ("name", "model"),
    ("bus_id", "bus_id"),
    ("utilization.aip", "utilization_percent"),
    ("memory.used", "memory_used_bytes"),
    ("memory.total", "memory_total_bytes"),
    ("power.draw", "power_w"),
    ("temperature.aip", "temperature_c"),
)
LEFT_OUT = {
    "power_limit_w": "not asked of hl-smi",
    "clock_mhz": "not asked of hl-smi",
    "ecc_uncorrected": "not asked of hl-smi",
    "throttle": "no query of hl-smi tells it",
    "processes": "no query of hl-smi lists them",
}
TEXTS = ("uuid", "model", "bus_id")
ASK_EVERY_S = 10.0
TIMEOUT_S = 20.0
MIB = 1 << 20


def parse(text: str) -> "dict[str, dict[str, Any]]":
    """Return the accelerators by index of the tool's CSV without header and units."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(QUERY) or not cells[0].isdigit():
            continue
        values = {"vendor": "habana"}  # type: dict[str, Any]
        missing = dict(LEFT_OUT)
        for (_, field), cell in zip(QUERY[1:], cells[1:]):  # noqa: B905 - Python 3.6 has no strict
            assert field is not None
            if field in TEXTS:
                values[field] = portable(cell)
                continue
            try:
                number = float(cell.split()[0])
            except (ValueError, IndexError):
                missing[field] = "not reported by this device"
                continue
            values[field] = int(number * MIB) if field.startswith("memory") else number
        values["missing"] = missing
        found[cells[0]] = values
    return found


class Habana:
    """Asks `hl-smi` every ten seconds."""

    kind = "hl-smi"

    def __init__(self, path: str) -> None:
        self._tool = Tool(path, TIMEOUT_S)
        self._worker = Worker("hl-smi", self._read)

    def _read(self) -> "dict[str, dict[str, Any]]":
        names = ",".join(name for name, _ in QUERY)
        _, text = self._tool.run(["-Q", names, "-f", "csv,noheader,nounits"])
        found = parse(text)
        if not found:
            last = (text.strip().splitlines() or ["nothing"])[-1]
            raise SensorError("hl-smi says: " + portable(last)[:120])
        return found

    def ask(self, now: float) -> "list[Worker]":
        """Start a reading when one is due."""
        return [self._worker] if self._worker.ask(now, ASK_EVERY_S) else []

    def read(self, now: float, patience_s: float) -> "tuple[dict[str, dict[str, Any]], str | None]":
        """Return the accelerators by index, and why there are none."""
        if self._worker.silent_for(now) > TIMEOUT_S + patience_s:
            return {}, "hl-smi has not answered for longer than %d s" % (TIMEOUT_S + patience_s)
        if self._worker.value is None and self._worker.error is None:
            return {}, "hl-smi has not answered yet"
        return self._worker.value or {}, self._worker.error

    def end(self) -> None:
        """End a reading that runs."""
        self._tool.end()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
