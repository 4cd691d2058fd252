"""Probes: what a node says of itself, read with nothing installed on it."""

from console.probes.decode import Decoder
from console.probes.probe import Probe, open_probe

__all__ = ["Decoder", "Probe", "open_probe"]
