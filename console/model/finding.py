"""What is wrong, on what evidence."""

from __future__ import annotations

import enum

from console.model.base import Record


class Severity(enum.StrEnum):
    """How bad it is."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Finding(Record, frozen=True):
    """One thing that is wrong, worth a person's attention."""

    id: str
    severity: Severity
    title: str
    evidence: str = ""
    cause: str | None = None
    action: str | None = None
    source: str | None = None
    nodes: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    since: float | None = None
