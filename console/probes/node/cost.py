"""What the probe costs its node, and the pace that keeps it within its budget."""

import os
import time

SLOWEST_S = 60.0
"""Even over its budget it does not become slower than this (or than what was asked)."""

SETTLED_S = 5.0
WINDOW_S = 60.0
IOPRIO_SYSCALLS = {"x86_64": 251, "aarch64": 30, "ppc64le": 273, "s390x": 282}
IOPRIO_IDLE = 3 << 13


def be_humble() -> None:
    """Take the lowest priority for the processor and the disks."""
    try:
        os.nice(19)
    except OSError:
        pass
    number = IOPRIO_SYSCALLS.get(os.uname().machine)
    if number is None:
        return
    try:
        import ctypes

        ctypes.CDLL(None).syscall(number, 1, 0, IOPRIO_IDLE)
    except (ImportError, OSError, AttributeError):
        # Reads of /proc touch no disk; without it the probe is nearly as humble.
        pass


class Cost:
    """What the probe costs, and the pace that keeps it within its budget."""

    def __init__(self, budget_percent: float) -> None:
        self._budget = budget_percent
        self._marks = [(time.monotonic(), time.process_time(), 0)]
        self.stretch = 1.0
        self.sent = 0

    def measure(self, period_s: float) -> "dict[str, Any]":
        """Return the fields of the record `ProbeCost`, over the last minute or so, and adapt `stretch`."""
        now, used = time.monotonic(), time.process_time()
        if len(self._marks) == 1:
            # Starting up (imports, drivers) is paid once and says nothing about the pace.
            self._marks = [(now, used, self.sent)] * 2
            return {}
        first = self._marks[1]
        elapsed = now - first[0]
        if elapsed <= 0:
            return {}
        percent = 100.0 * (used - first[1]) / elapsed
        cost = {"cpu_percent": round(percent, 2), "bytes_per_s": int((self.sent - first[2]) / elapsed)}
        if elapsed >= max(5.0 * period_s * self.stretch, SETTLED_S):
            self._adapt(percent, period_s)
        self._marks.append((now, used, self.sent))
        if elapsed > WINDOW_S:
            del self._marks[1]
        return cost

    def _adapt(self, percent: float, period_s: float) -> None:
        slowest = max(1.0, SLOWEST_S / period_s)
        before = self.stretch
        if percent > self._budget:
            self.stretch = min(slowest, self.stretch * max(1.25, percent / self._budget))
        elif percent < 0.5 * self._budget:
            self.stretch = max(1.0, self.stretch * 0.8)
        if self.stretch != before:
            # Measured at the old pace; the new one has to show itself first.
            self._marks = self._marks[:1] + self._marks[-1:]


def resident_bytes() -> int:
    """Return the memory of this process."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
