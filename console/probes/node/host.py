"""Processor, memory, load, pressure, power: `/proc` and RAPL."""

import time

from console.probes.node.base import Files, integer, portable, why

POWERCAP = "/sys/class/powercap"


def parse_stat(text: str) -> "dict[str, tuple[int, int]]":
    """Return (busy, total) ticks of `cpu` and of each `cpuN` from /proc/stat.

    Guest time is part of user time already; waiting for a disk is idleness.
    """
    ticks = {}
    for line in text.splitlines():
        if not line.startswith("cpu"):
            break
        fields = line.split()
        values = [int(field) for field in fields[1:9]]
        idle = sum(values[3:5])
        ticks[fields[0]] = (sum(values) - idle, sum(values))
    return ticks


def busy_percent(old: "tuple[int, int]", new: "tuple[int, int]") -> "float | None":
    """Return the busy share between two readings; None when no time passed or counters ran backwards."""
    total = new[1] - old[1]
    if total <= 0:
        return None
    return min(100.0, max(0.0, 100.0 * (new[0] - old[0]) / total))


def parse_meminfo(text: str) -> "dict[str, int]":
    """Return the fields of the record from /proc/meminfo, in bytes."""
    names = {
        "MemTotal": "memory_total_bytes",
        "MemAvailable": "memory_available_bytes",
        "SwapTotal": "swap_total_bytes",
        "SwapFree": "swap_free_bytes",
    }
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in names:
            value = integer(rest.split()[0]) if rest.split() else None
            if value is not None:
                found[names[name]] = value * 1024
    return found


def parse_pressure(text: str) -> "dict[str, float]":
    """Return {"some": avg10, "full": avg10} of one file of /proc/pressure, percent."""
    found = {}
    for line in text.splitlines():
        fields = line.split()
        for field in fields[1:]:
            if field.startswith("avg10="):
                found[fields[0]] = float(field[6:])
    return found


def parse_os_release(text: str) -> "str | None":
    """Return PRETTY_NAME of os-release without its quotes."""
    for line in text.splitlines():
        if line.startswith("PRETTY_NAME="):
            return portable(line[12:].strip().strip("\"'"))
    return None


class Rapl:
    """Energy counters of the processor packages and their memory, which wrap at a range of their own."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._zones = {}  # type: dict[str, int]
        self._last = {}  # type: dict[str, int]
        self._last_at = 0.0
        self.reason = None  # type: str | None
        for zone in files.names(POWERCAP):
            if ":" not in zone or zone.startswith("intel-rapl-mmio"):
                continue
            name = files.line("%s/%s/name" % (POWERCAP, zone)) or ""
            if name.startswith("package") or name == "dram":
                self._zones[zone] = files.number("%s/%s/max_energy_range_uj" % (POWERCAP, zone)) or 0
        if not self._zones:
            self.reason = "no RAPL energy counters"

    def watts(self, now: float) -> "float | None":
        """Return the power since the last call, or None with `reason` set."""
        if not self._zones:
            return None
        energy = {}
        for zone in self._zones:
            path = "%s/%s/energy_uj" % (POWERCAP, zone)
            try:
                energy[zone] = int(self._files.text(path))
            except (OSError, ValueError) as error:
                self.reason = "%s: %s" % (why(error), path)
                # Permissions do not change under a running process; asking again would be for nothing.
                self._zones = {}
                return None
        joules = 0.0
        for zone, value in energy.items():
            grown = value - self._last.get(zone, value)
            joules += (grown if grown >= 0 else grown + self._zones[zone]) / 1e6
        elapsed = now - self._last_at
        first = not self._last
        self._last, self._last_at = energy, now
        self.reason = "needs a second reading" if first else None
        return None if first or elapsed <= 0 or joules < 0 else round(joules / elapsed, 1)


class Host:
    """Reads the machine itself. Every value that cannot be read costs that value, with its reason."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._ticks = {}  # type: dict[str, tuple[int, int]]
        self._rapl = Rapl(files)
        self._pressure = files.exists("/proc/pressure/cpu")
        self._static = self._facts()

    def _facts(self) -> "dict[str, object]":
        facts = {}  # type: dict[str, object]
        for field, path in (("hostname", "hostname"), ("kernel", "osrelease")):
            value = self._files.line("/proc/sys/kernel/" + path)
            if value:
                facts[field] = portable(value)
        for path in ("/etc/os-release", "/usr/lib/os-release"):
            try:
                name = parse_os_release(self._files.text(path))
            except OSError:
                continue
            if name:
                facts["os"] = name
                break
        return facts

    def read(self, now: "float | None" = None) -> "dict[str, object]":
        """Return the fields of the record `Host`."""
        found = dict(self._static)
        missing = {}  # type: dict[str, str]
        readers = (
            ("cpu_percent", self._processor),
            ("memory_total_bytes", self._memory),
            ("load1", self._load_and_uptime),
        )
        for field, reader in readers:
            try:
                reader(found, missing)
            except (OSError, ValueError, IndexError) as error:
                missing[field] = why(error)
        self._read_pressure(found, missing)
        power = self._rapl.watts(time.monotonic() if now is None else now)
        if power is not None:
            found["power_w"] = power
        elif self._rapl.reason:
            missing["power_w"] = self._rapl.reason
        if missing:
            found["missing"] = missing
        return found

    def _processor(self, found: "dict[str, object]", missing: "dict[str, str]") -> None:
        ticks = parse_stat(self._files.text("/proc/stat"))
        last, self._ticks = self._ticks, ticks
        found["cpus"] = len(ticks) - 1
        busy = busy_percent(last["cpu"], ticks["cpu"]) if last else None
        if busy is None:
            missing["cpu_percent"] = "needs a second reading"
            return
        found["cpu_percent"] = round(busy, 1)
        cores = []
        for name, value in ticks.items():
            if name != "cpu":
                # A core that came online just now has no first reading.
                cores.append(int(round(busy_percent(last.get(name, value), value) or 0.0)))
        found["cores_percent"] = cores

    def _memory(self, found: "dict[str, object]", missing: "dict[str, str]") -> None:
        memory = parse_meminfo(self._files.text("/proc/meminfo"))
        found.update(memory)
        if "memory_available_bytes" not in memory:
            missing["memory_available_bytes"] = "not provided by this kernel"

    def _load_and_uptime(self, found: "dict[str, object]", missing: "dict[str, str]") -> None:
        uptime = self._files.line("/proc/uptime")
        if uptime is None:
            missing["uptime_s"] = "not provided by this kernel"
        else:
            found["uptime_s"] = int(float(uptime.split()[0]))
        values = self._files.text("/proc/loadavg").split()
        found["load1"], found["load5"], found["load15"] = [float(value) for value in values[:3]]

    def _read_pressure(self, found: "dict[str, object]", missing: "dict[str, str]") -> None:
        if not self._pressure:
            missing["pressure"] = "not provided by this kernel"
            return
        values = {}
        try:
            for resource in ("cpu", "memory", "io"):
                shares = parse_pressure(self._files.text("/proc/pressure/" + resource))
                if "some" in shares:
                    values[resource] = shares["some"]
                # "full" of the processor means nothing for a whole machine.
                if resource != "cpu" and "full" in shares:
                    values[resource + "_full"] = shares["full"]
        except (OSError, ValueError, IndexError) as error:
            # EOPNOTSUPP: compiled in and switched off (psi=0).
            missing["pressure"] = why(error)
        if values:
            found["pressure"] = values
