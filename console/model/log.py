"""The output of jobs: what there is to read, and pieces of it, in bytes as written; who shows them cleans them."""

from __future__ import annotations

from console.model.base import Record


class LogStream(Record, frozen=True):
    """One output of a job that can be read."""

    name: str
    """`stdout`, `stderr`, `rank 3`, `worker-0/trainer`."""
    path: str | None = None
    """The file, where it is one; its name is resolved (`%j`, `%A_%a`, `%x`)."""
    hosts: tuple[str, ...] = ()
    """Where the file may lie, the likeliest first, as `Node.address` says it: `local`, `ssh:gpu01`."""
    rank: int | None = None
    detail: str = ""
    """How it is read, for people."""
    key: dict[str, str] = {}
    """What its backend needs to open it again (a namespace, a container)."""


class LogChunk(Record, frozen=True):
    """A piece of an output."""

    data: bytes
    start: int | None = None
    """Byte at which it begins; None where the backend cannot say."""
    anew: bool = False
    """The output was truncated or replaced: what came before belongs to another one."""

    @property
    def end(self) -> int | None:
        """Return the byte after its last."""
        return None if self.start is None else self.start + len(self.data)
