"""Which backend is asked about a job."""

from __future__ import annotations

import pytest

from console.errors import NoSuchJob, Unreachable, Unsupported, UsageError
from console.jobs import JobDesk
from console.model import ClusterKind, Explanation, JobState
from console.plugin import Backend, Check, Explainer, Logs
from console.render.explanation import explanation_json


class Plain:
    """A backend without questions."""

    kind = ClusterKind.SLURM
    requests_per_minute: float | None = None

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster

    async def doctor(self) -> list[Check]:
        return []

    async def close(self) -> None:
        return


class Explaining(Plain):
    """One that knows some jobs."""

    def __init__(self, cluster: str, *known: str, dead: bool = False) -> None:
        super().__init__(cluster)
        self._known, self._dead = known, dead

    async def explain(self, job_id: str) -> Explanation:
        if self._dead:
            raise Unreachable("nothing answers", self.cluster)
        if job_id not in self._known:
            raise NoSuchJob("no such job", job_id)
        return Explanation(cluster=self.cluster, job=job_id, state=JobState.PENDING, summary="it waits")


def desk(*backends: Backend) -> JobDesk:
    return JobDesk(backends)


async def test_a_job_is_found_by_its_id_or_with_its_cluster() -> None:
    asked = desk(Plain("plain"), Explaining("a", "8812_7"), Explaining("b"))
    listed = [("a", "1"), ("b", "1"), ("b", "2")]
    assert await asked.find("2", listed, Explainer) == ("b", "2")
    assert await asked.find("a/1", listed, Explainer) == ("a", "1")
    assert await asked.find("8812_7", listed, Explainer) == ("a", "8812_7"), "a task stands in no list"
    with pytest.raises(UsageError, match="several clusters have a job 1"):
        await asked.find("1", listed, Explainer)
    with pytest.raises(UsageError, match="no job is called 9"):
        await asked.find("9", listed, Explainer)
    with pytest.raises(UsageError, match="nothing that is connected"):
        await asked.find("9", listed, Logs)


async def test_a_dead_cluster_is_no_proof_that_there_is_no_such_job() -> None:
    with pytest.raises(Unreachable):
        await desk(Explaining("a"), Explaining("b", dead=True)).find("9", [], Explainer)
    assert await desk(Explaining("b", dead=True), Explaining("a", "9")).find("9", [], Explainer) == ("a", "9")


async def test_what_a_backend_cannot_do_is_said() -> None:
    asked = desk(Plain("plain"), Explaining("a", "1"))
    assert asked.able("a") == {"explain"}
    assert asked.able("plain") == asked.able("absent") == frozenset()
    with pytest.raises(Unsupported, match="does not say why"):
        await asked.explain(("plain", "1"))
    with pytest.raises(Unsupported, match="does not read the output"):
        await asked.log_streams(("a", "1"))
    answer = explanation_json(await asked.explain(("a", "1")))
    assert answer["schema"] == "quarterdeck/explanation/1"
    assert answer["expected_start_at"] is None
    assert answer["causes"] == []
