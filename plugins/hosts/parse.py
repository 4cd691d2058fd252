"""What a host answered to the doctor."""

from __future__ import annotations

import re

import msgspec

from console.errors import BadAnswer
from console.text import clean

OLDEST_PYTHON = (3, 6)
_DRIVER = re.compile(r"Kernel Module(?:\s+for\s+\S+)?\s+(\d+(?:\.\d+)+)")


class Facts(msgspec.Struct, frozen=True):
    """What a probe would find on a host."""

    user: str | None = None
    python: str | None = None
    driver: str | None = None
    """Version of the NVIDIA kernel driver; None where it is not loaded."""
    nvidia_smi: str | None = None
    """Its path."""

    @property
    def python_is_usable(self) -> bool:
        """Whether the probe runs on it."""
        numbers = re.findall(r"\d+", self.python or "")[:2]
        return tuple(int(number) for number in numbers) >= OLDEST_PYTHON


def parse_facts(output: bytes) -> Facts:
    """Return the facts in the output of `commands.ask`. BadAnswer when it holds none of them."""
    words: dict[str, str] = {}
    for line in clean(output, multiline=True, limit=16384).splitlines():
        word, _, value = line.partition(" ")
        words.setdefault(word, value.strip())
    if "user" not in words or "python" not in words:
        hint = "the account needs a POSIX shell whose start-up files print nothing"
        raise BadAnswer("the shell there does not run simple commands", clean(output, limit=200), hint)
    driver = _DRIVER.search(words.get("nvidia", ""))
    return Facts(
        user=words["user"] or None,
        python=words["python"] or None,
        driver=driver.group(1) if driver else None,
        nvidia_smi=words.get("smi") or None,
    )
