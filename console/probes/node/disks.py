"""Block devices: `/proc/diskstats` and `/sys/block`."""

import re

from console.probes.node.base import Files, portable

SECTOR = 512
"""Bytes; the unit of these counters whatever the device's own sector is."""

WHOLE = re.compile(
    r"(sd[a-z]+|hd[a-z]+|vd[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+|pmem\d+|dasd[a-z]+|md\d+|rbd\d+|nbd\d+)$"
)
"""Whole devices, by name; partitions, device-mapper and multipath halves would count bytes twice."""


def parse_diskstats(text: str) -> "dict[str, dict[str, int]]":
    """Return the counters since boot of each whole device of /proc/diskstats."""
    found = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 14 and WHOLE.match(fields[2]):
            found[fields[2]] = {
                "read_bytes": int(fields[5]) * SECTOR,
                "write_bytes": int(fields[9]) * SECTOR,
                "busy_ms": int(fields[12]),
            }
    return found


class Disks:
    """Reads the block devices that have a size."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._facts = {}  # type: dict[str, dict[str, object] | None]

    def read(self) -> "dict[str, dict[str, object]]":
        """Return the disks by name. Raises OSError."""
        found = {}
        for name, counters in parse_diskstats(self._files.text("/proc/diskstats")).items():
            if name not in self._facts:
                self._facts[name] = self._describe(name)
            facts = self._facts[name]
            if facts is not None:
                disk = dict(facts)
                disk.update(counters)
                found[name] = disk
        return found

    def _describe(self, name: str) -> "dict[str, object] | None":
        sectors = self._files.number("/sys/block/%s/size" % name)
        if sectors == 0:
            return None
        facts = {}  # type: dict[str, object]
        if sectors is None:
            facts["missing"] = {"size_bytes": "not reported by this device"}
        else:
            facts["size_bytes"] = sectors * SECTOR
        model = self._files.line("/sys/block/%s/device/model" % name)
        if model:
            facts["model"] = portable(model)
        return facts
