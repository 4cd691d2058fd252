"""The reason codes that name a limit: whose, of what, counted how. Pure.

There are about 130 of them, made of few parts, and releases add to them. So they are read, not listed:

    QOS|Assoc   Grp    WHAT [Minutes|RunMinutes] [Limit]            all jobs of the QOS or account together
    QOS|Assoc   Max    WHAT [Minutes] [PerJob|PerNode|PerUser] [Limit]
                Max    WHAT PerAccount                              one account within the QOS
    QOS         Min    WHAT [NotSatisfied]                          one job must ask for at least so much
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

_CODE = re.compile(
    r"(?P<owner>QOS|Assoc)?(?P<span>Grp|Max|Min)"
    r"(?P<what>Cpu|CPU|Memory|Mem|Node|GRES|License|BB|Billing|Energy|Unknown|SubmitJobs?|Jobs?|WallDuration|Wall)"
    r"(?P<measure>RunMinutes|Minutes)?(?:Per(?P<per>Job|Node|User|Account))?(?:Limit|NotSatisfied)?"
)
_WHAT: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cpu": ("CPUs", "CPU"),
        "memory": ("memory", "memory"),
        "mem": ("memory", "memory"),
        "node": ("nodes", "node"),
        "gres": ("GPUs (or other GRES)", "GPU (or other GRES)"),
        "license": ("licences", "licence"),
        "bb": ("burst buffer", "burst buffer"),
        "billing": ("billing units", "billing"),
        "energy": ("energy", "energy"),
        "unknown": ("of some resource", "resource"),
        "submitjob": ("jobs, waiting ones included,", "job"),
        "submitjobs": ("jobs, waiting ones included,", "job"),
        "job": ("running jobs", "job"),
        "jobs": ("running jobs", "job"),
        "wall": ("wall-clock time", "wall-clock"),
        "wallduration": ("wall-clock time", "wall-clock"),
    }
)
"""Resource to: as a quantity, before `minutes`."""


@dataclass(slots=True, frozen=True)
class LimitCode:
    """One such code, read."""

    owner: str
    """QOS | Assoc"""
    span: str
    """Grp | Max | Min"""
    what: str
    """In lower case: `cpu`, `gres`, `submitjobs`."""
    measure: str
    """`` | Minutes | RunMinutes"""
    per: str
    """`` | Job | Node | User | Account"""

    @property
    def counts_jobs(self) -> bool:
        """Whether it limits the number of jobs."""
        return "job" in self.what

    @property
    def hopeless(self) -> bool:
        """Whether the job alone is over it: waiting changes nothing."""
        if self.span == "Min" or self.per in ("Job", "Node"):
            return True
        return self.span == "Max" and not self.per and self.what.startswith("wall")

    @property
    def text(self) -> str:
        """In plain words."""
        quantity, before = _WHAT[self.what]
        if self.measure:
            quantity = f"{before} minutes"
        owner = "QOS" if self.owner == "QOS" else "account or user (association)"
        if self.span == "Min":
            return f"its {owner} demands more {quantity} of a job than it asks for"
        if self.hopeless:
            where = "one node" if self.per == "Node" else "one job"
            return f"it asks for more {quantity} than its {owner} allows {where}"
        if self.measure == "RunMinutes":
            return f"what {self._whose} runs may still use as many {quantity} as it may have at a time"
        if self.measure or self.what == "wall":
            return f"{self._whose} has used up its {quantity}"
        verb = "have" if self.counts_jobs else "hold"
        return f"with it, {self._whose} would {verb} more {quantity} than allowed"

    @property
    def _whose(self) -> str:
        if self.span == "Grp":
            return "its QOS as a whole" if self.owner == "QOS" else "its account (or one above it)"
        if self.per == "Account":
            return "its account within its QOS"
        return "its owner within its QOS" if self.owner == "QOS" else "its owner within the account"

    @property
    def next_step(self) -> str:
        """What would have to happen, or what to do."""
        show = "sacctmgr show qos" if self.owner == "QOS" else "sacctmgr show assoc"
        if self.span == "Min":
            return f"ask for more, or take another QOS: {show} tells the limits"
        if self.hopeless:
            other = "another QOS" if self.owner == "QOS" else "another account"
            return f"ask for less, or take {other}: {show} tells the limits"
        if self.measure == "RunMinutes":
            return "wait until running jobs come nearer to their end, or ask for a shorter time limit"
        if self.measure or self.what == "wall":
            return f"wait until the usage has faded or is reset, or ask for more allocation: {show} tells the limits"
        if self.counts_jobs:
            return "wait until one of these jobs ends"
        return f"wait until some of these jobs end, or ask for less: {show} tells the limits"


@lru_cache(maxsize=512)
def limit_code(code: str) -> LimitCode | None:
    """Return what a code says when it names a limit."""
    match = _CODE.fullmatch(code)
    if match is None or (match["owner"] is None and (match["span"], match["per"]) != ("Max", "Account")):
        return None
    return LimitCode(
        owner=match["owner"] or "QOS",
        span=match["span"],
        what=match["what"].lower(),
        measure=match["measure"] or "",
        per=match["per"] or "",
    )
