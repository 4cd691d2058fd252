"""Which accelerators this node has, and the one way of reading them."""

import os

from console.probes.node.base import Files, Worker

NONE = "no NVIDIA, AMD or Habana device"
NVIDIA_VENDOR, AMD_VENDOR, HABANA_VENDOR = "0x10de", "0x1002", "0x1da3"


def has_undriven_nvidia(files: Files) -> bool:
    """Whether there is an NVIDIA GPU on the bus (their audio and USB functions are no GPUs)."""
    for name in files.names("/sys/bus/pci/devices"):
        base = "/sys/bus/pci/devices/" + name
        if files.line(base + "/vendor") == NVIDIA_VENDOR and (files.line(base + "/class") or "").startswith("0x03"):
            return True
    return False


def has_amd(files: Files) -> bool:
    """Whether a graphics device of AMD is here, driven or not."""
    return any(
        files.line("/sys/class/drm/%s/device/vendor" % name) == AMD_VENDOR for name in files.names("/sys/class/drm")
    )


def has_habana(files: Files) -> bool:
    """Whether the driver has a Habana device here."""
    return bool(files.names("/sys/class/habanalabs")) or any(
        files.line("/sys/class/accel/%s/device/vendor" % name) == HABANA_VENDOR
        for name in files.names("/sys/class/accel")
    )


class Accelerators:
    """Finds the accelerators and reads them: NVML, else nvidia-smi; else AMD, else Habana.

    What reads them is imported when it is known to be of use: on a node everything is compiled at each start.
    """

    def __init__(self, files: Files, load_nvml: "Callable[[], Any] | None") -> None:
        self._files = files
        self._reason = NONE
        self._way = self._choose(files, load_nvml)

    def _choose(self, files: Files, load_nvml: "Callable[[], Any] | None") -> "Any":
        if load_nvml is not None:
            from console.probes.node.nvml import Nvml

            return Nvml(files, load_nvml)
        if has_amd(files):
            from console.probes.node.amd import Amd

            amd = Amd(files)
            if amd.cards:
                return amd
        if has_habana(files):
            return self._habana()
        if has_undriven_nvidia(files):
            self._reason = "an NVIDIA GPU is on the bus, but its driver is not loaded"
        return None

    def _habana(self) -> "Any":
        for folder in os.environ.get("PATH", "/usr/bin").split(":") + ["/usr/bin", "/opt/habanalabs/bin"]:
            path = os.path.join(folder or ".", "hl-smi")
            if os.access(path, os.X_OK):
                from console.probes.node.habana import Habana

                return Habana(path)
        self._reason = "a Habana device, but no hl-smi to ask"
        return None

    @property
    def kind(self) -> str:
        """How they are read, as the record `ProbeCost` names it."""
        return "none" if self._way is None else str(self._way.kind)

    def ask(self, now: float) -> "list[Worker]":
        """Start what is due and return what was started."""
        if getattr(self._way, "library_missing", False):
            from console.probes.node import nvidia_smi

            path = nvidia_smi.find()
            if path is not None:
                self._way = nvidia_smi.NvidiaSmi(path, self._files)
        return [] if self._way is None else self._way.ask(now)

    def read(self, now: float, patience_s: float) -> "tuple[dict[str, Any], str | None]":
        """Return the accelerators by index, and why there are none."""
        if self._way is None:
            return {}, self._reason
        return self._way.read(now, patience_s)  # type: ignore[no-any-return]

    def rest(self) -> None:
        """End what reads by itself, until it is asked again."""
        if hasattr(self._way, "rest"):
            self._way.rest()

    def end(self) -> None:
        """End the children, if there are any."""
        if hasattr(self._way, "end"):
            self._way.end()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
