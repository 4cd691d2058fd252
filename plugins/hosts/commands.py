"""What the doctor asks a host."""

from __future__ import annotations

ASK_TIMEOUT_S = 20.0
"""Connecting included."""

_SCRIPT = (
    'echo "user $(id -un 2>/dev/null)";'
    'echo "python $(python3 -c "import platform; print(platform.python_version())" 2>/dev/null)";'
    'if [ -r /proc/driver/nvidia/version ]; then echo "nvidia $(cat /proc/driver/nvidia/version)"; fi;'
    'if command -v nvidia-smi >/dev/null 2>&1; then echo "smi $(command -v nvidia-smi)"; fi'
)


def ask() -> list[str]:
    """Return the command that tells, in lines of `word value`, what a probe would find. Reads only."""
    return ["sh", "-c", _SCRIPT]
