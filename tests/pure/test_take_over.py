"""Whose name it is: who may deploy over what stands, and who must say adopt."""

from __future__ import annotations

import pytest
from support.memory_platform import BROKEN, READY, MemoryPlatform

from airflow_provider_llmserve.errors import BadInput, NotOurs, ServingFailed
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import ServingRun, Want
from airflow_provider_llmserve.platforms.lifecycle import serve
from airflow_provider_llmserve.specs import KubeAIText

SPEC = KubeAIText.parse({"url": "hf://a/b", "model_name": "m"})
OURS = Owner(instance="i", dag_id="d", run_id="2", task_id="serve", try_number=1)


def standing(**owner: object) -> ServingRun:
    other = OURS.model_copy(update=owner)
    return ServingRun(kind="kubeai-text", runtime="memory", name="m", uid="u", owner=other, spec=SPEC, proven=True)


def want(adopt: bool = False, name: str = "m") -> Want:
    return Want(spec=SPEC, name=name, owner=OURS, adopt=adopt)


STRANGER = ServingRun(kind="kubeai-text", runtime="memory", name="m", uid="theirs")
ALLOWED = {
    "the same task": standing(),
    "an earlier try": standing(try_number=0),
    "an earlier run of the DAG": standing(run_id="1"),
    "a task of another name in an earlier run": standing(run_id="1", task_id="deploy"),
}
BY_ADOPTION = {
    "somebody else's": (STRANGER, "was not made by this package.*adopt=True"),
    "another DAG's": (standing(dag_id="other"), "belongs to other / 2 / serve.*adopt=True"),
    "another Airflow's, same DAG": (standing(instance="j"), r"of another Airflow instance \(j\).*adopt=True"),
    "another Airflow's without an id": (standing(instance=""), "without an id"),
}
NEVER = {
    "another task of the same run": standing(task_id="serve_new"),
    "another map index of the same task": standing(map_index=3),
}


@pytest.mark.parametrize("run", ALLOWED.values(), ids=ALLOWED)
async def test_what_a_dag_deployed_it_may_deploy_again(run: ServingRun) -> None:
    await serve(MemoryPlatform(standing={"m": run}), want(), timeout=5)


@pytest.mark.parametrize(("run", "words"), BY_ADOPTION.values(), ids=BY_ADOPTION)
async def test_what_is_not_this_dags_is_taken_over_by_adoption_alone(run: ServingRun, words: str) -> None:
    platform = MemoryPlatform(standing={"m": run})
    with pytest.raises(NotOurs, match=words):
        await serve(platform, want(), timeout=5)
    assert platform.writes == []
    assert (await serve(platform, want(adopt=True), timeout=5)).identity.uid == run.uid
    assert platform.standing["m"].owner == OURS


@pytest.mark.parametrize(("run", "words"), BY_ADOPTION.values(), ids=BY_ADOPTION)
async def test_an_adoption_that_fails_gives_back_what_it_took(run: ServingRun, words: str) -> None:
    platform = MemoryPlatform(says=(BROKEN,), standing={"m": run})
    with pytest.raises(ServingFailed, match=r"given back|put back"):
        await serve(platform, want(adopt=True), timeout=5)
    left = platform.standing["m"]
    assert (left.uid, left.owner, left.spec) == (run.uid, run.owner, run.spec)


@pytest.mark.parametrize("adopt", [False, True])
@pytest.mark.parametrize("run", NEVER.values(), ids=NEVER)
async def test_two_tasks_of_one_run_never_share_a_name(run: ServingRun, adopt: bool) -> None:
    platform = MemoryPlatform(says=(READY,), standing={"m": run})
    with pytest.raises(NotOurs, match="two tasks cannot serve under one name"):
        await serve(platform, want(adopt), timeout=5)
    assert platform.writes == []


@pytest.mark.parametrize("name", ["", "a/b", "../x", "A", "a b", "a" * 254, "-a", "a."])
async def test_a_name_that_is_none_is_refused_before_anything_is_looked_for(name: str) -> None:
    platform = MemoryPlatform()
    with pytest.raises(BadInput, match="is no name of a serving run"):
        await serve(platform, want(name=name), timeout=5)
    assert platform.writes == []
