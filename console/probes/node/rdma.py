"""InfiniBand and RoCE ports: `/sys/class/infiniband`."""

import time

from console.probes.node.base import STRIKES, Files, integer, portable

ROOT = "/sys/class/infiniband"
STATES = {"1": "down", "2": "init", "3": "armed", "4": "up", "5": "armed"}
"""By the number that the file begins with (5 is ACTIVE_DEFER: it is about to go)."""

DATA = (
    # Kernels before 4.10 keep the 64-bit counters apart; there the plain ones stop at 2^32.
    ("rx_bytes", ("counters_ext/port_rcv_data_64", "counters/port_rcv_data"), 4),
    ("tx_bytes", ("counters_ext/port_xmit_data_64", "counters/port_xmit_data"), 4),
)
"""Field, files in order of preference, unit in bytes: the kernel counts words of four."""

ERRORS = (
    "counters/symbol_error",
    "counters/link_error_recovery",
    "counters/link_downed",
    "counters/port_rcv_errors",
    "counters/local_link_integrity_errors",
    "counters/excessive_buffer_overrun_errors",
    "hw_counters/packet_seq_err",
    "hw_counters/local_ack_timeout_err",
    "hw_counters/rnr_nak_retry_err",
    "hw_counters/retry_exceeded_err",
)
DROPS = ("counters/port_xmit_discards", "hw_counters/out_of_buffer")
ERRORS_EVERY_S = 10.0
"""Each of these files is a question to the adapter's firmware."""


def parse_rate(text: "str | None") -> "int | None":
    """Return bits per second of `400 Gb/sec (4X NDR)`."""
    fields = (text or "").split()
    if len(fields) < 2 or not fields[1].startswith("Gb/sec"):
        return None
    try:
        return int(float(fields[0]) * 10**9) or None
    except (ValueError, OverflowError):
        return None


class Rdma:
    """Reads all ports. A file that fails `STRIKES` times in a row is not touched again in this connection."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._strikes = {}  # type: dict[str, int]
        self._slow = {}  # type: dict[str, dict[str, Any]]
        self._slow_at = None  # type: float | None

    def read(self) -> "dict[str, dict[str, Any]]":
        """Return the links by `device/port`; none where there is no RDMA."""
        now = time.monotonic()
        slow = self._slow_at is None or now - self._slow_at >= ERRORS_EVERY_S
        found = {}  # type: dict[str, dict[str, Any]]
        for device in self._files.names(ROOT):
            for port in self._files.names("%s/%s/ports" % (ROOT, device)):
                name = "%s/%s" % (device, port)
                base = "%s/%s/ports/%s" % (ROOT, device, port)
                if slow:
                    self._slow[name] = self._read_slow(base, device)
                link = self._read_fast(base)
                facts = self._slow.get(name)
                if facts is not None:
                    missing = dict(facts.get("missing", {}), **link.get("missing", {}))
                    link.update(facts)
                    if missing:
                        link["missing"] = missing
                found[portable(name)] = link
        if slow:
            self._slow_at = now
        return found

    def _read_fast(self, base: str) -> "dict[str, Any]":
        state = self._files.line(base + "/state") or ""
        link = {"state": STATES.get(state.split(":")[0], "unknown")}  # type: dict[str, Any]
        missing = {}
        for field, names, unit in DATA:
            value = None
            for name in names:
                value = self._counter(base + "/" + name)
                if value is not None:
                    link[field] = value * unit
                    break
            if value is None:
                missing[field + "_per_s"] = "not counted by this device"
        if missing:
            link["missing"] = missing
        return link

    def _read_slow(self, base: str, device: str) -> "dict[str, Any]":
        line = self._files.line
        ethernet = (line(base + "/link_layer") or "").lower() == "ethernet"
        facts = {"kind": "roce" if ethernet else "infiniband"}  # type: dict[str, Any]
        missing = {}
        rate = parse_rate(line(base + "/rate"))
        if rate is not None:
            facts["rate_bits_per_s"] = rate
        else:
            missing["rate_bits_per_s"] = "not reported by this device"
        interface = line(base + "/gid_attrs/ndevs/0")
        if not interface:
            names = self._files.names("%s/%s/device/net" % (ROOT, device))
            interface = names[0] if names else None
        if interface:
            facts["device"] = portable(interface)
        facts["errors_at"] = round(time.monotonic(), 3)
        for field, counters in (("errors", ERRORS), ("drops", DROPS)):
            values = [self._counter(base + "/" + name) for name in counters]
            known = [value for value in values if value is not None]
            if known:
                facts[field] = sum(known)
            else:
                missing[field] = "not counted by this device"
        if missing:
            facts["missing"] = missing
        return facts

    def _counter(self, path: str) -> "int | None":
        if self._strikes.get(path, 0) >= STRIKES:
            return None
        try:
            text = self._files.text(path)
        except FileNotFoundError:
            self._strikes[path] = STRIKES
            return None
        except OSError:
            self._strikes[path] = self._strikes.get(path, 0) + 1
            return None
        value = integer(text)
        # Words such as "N/A (no PMA)" stay words.
        self._strikes[path] = 0 if value is not None else STRIKES
        return value


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
