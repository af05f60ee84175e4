"""An endpoint is used where it lives and while it names what stands; what has expired is swept away, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory_platform import READY, MemoryPlatform

from airflow_provider_llmserve.errors import BadInput, Elsewhere, LLMServeError, StillThere, Superseded
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.place import Place
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.platforms.lifecycle import change, confirm, expired, require, serve, sweep, target_of, teardown
from airflow_provider_llmserve.specs import KubeAIText

SPEC = KubeAIText.parse({"url": "hf://a/b", "model_name": "m"})
NEW = KubeAIText.parse({"url": "hf://a/c", "model_name": "m"})
OWNER = Owner(instance="i", dag_id="d", run_id="1", task_id="t")
KUBERNETES = Place(platform="kubernetes", cluster="u1", namespace="a")
LOCAL = Place(platform="local", host="h1", state_dir="/s")

ELSEWHERE = [
    (
        KUBERNETES,
        KUBERNETES.model_copy(update={"namespace": "b", "cluster": "u2"}),
        ["namespace a (uid u1)", "namespace b (uid u2)"],
    ),
    (KUBERNETES, KUBERNETES.model_copy(update={"cluster": "u2"}), ["uid u1", "uid u2"]),
    (KUBERNETES, Place(platform="kubernetes", namespace="b"), ["namespace a (uid u1)", "namespace b"]),
    (KUBERNETES, LOCAL, ["kubernetes, namespace a", "state folder /s on host h1"]),
    (LOCAL, LOCAL.model_copy(update={"host": "h2"}), ["host h1", "host h2"]),
    (LOCAL, LOCAL.model_copy(update={"state_dir": "/t"}), ["/s on", "/t on"]),
]


async def deployed(place: Place = KUBERNETES) -> tuple[MemoryPlatform, Target]:
    platform = MemoryPlatform(here=place)
    endpoint = await serve(platform, Want(spec=SPEC, name="m", owner=OWNER), timeout=5)
    platform.writes.clear()
    return platform, replace(target_of(endpoint), place=place)


@pytest.mark.parametrize(("there", "here", "words"), ELSEWHERE)
async def test_in_another_place_every_use_is_an_error_that_names_both(there: Place, here: Place, words: list[str]) -> None:
    platform, target = await deployed(there)
    for stands in ({}, dict(platform.standing)):  # nothing there, or one of the same name
        platform.here, platform.standing = here, stands
        for use in (
            teardown(platform, target, timeout=5),
            change(platform, target, lambda spec, stopped: (spec, stopped), timeout=5),
            require(platform, target),
            confirm(platform, target),
        ):
            with pytest.raises(Elsewhere) as caught:
                await use
            assert all(word in str(caught.value) for word in words)
    assert platform.writes == []


async def test_what_is_not_known_is_not_compared() -> None:
    platform, target = await deployed()
    platform.here = Place(platform="kubernetes", namespace="a")
    await confirm(platform, target)
    assert await teardown(platform, target, timeout=5)


fields = st.sampled_from(["", "x", "y"])
places = st.builds(
    Place, platform=st.sampled_from(["kubernetes", "local"]), cluster=fields, namespace=fields, host=fields, state_dir=fields
)


@given(places, places)
def test_two_places_differ_alike_from_both_sides(one: Place, two: Place) -> None:
    assert not one.differs(one)
    assert one.differs(two) == two.differs(one)


async def test_whoever_uses_an_endpoint_is_told_that_it_names_another_model() -> None:
    platform, target = await deployed()
    await confirm(platform, target)
    run = platform.standing["m"]
    for stands, error, words in (
        ({}, BadInput, "does not exist"),
        ({"m": replace(run, uid="other")}, Superseded, "made anew"),
        ({"m": replace(run, owner=OWNER.model_copy(update={"run_id": "2"}))}, Superseded, "deployed anew by d / 2 / t"),
        ({"m": replace(run, spec=NEW)}, Superseded, "serves another spec"),
    ):
        platform.standing = stands
        with pytest.raises(error, match=words):
            await confirm(platform, target)


async def test_a_change_returns_the_endpoint_that_names_the_new_spec() -> None:
    platform, older = await deployed()
    newer = target_of(await change(platform, older, lambda spec, stopped: (NEW, stopped), timeout=5))
    await confirm(platform, newer)
    with pytest.raises(Superseded):
        await confirm(platform, older)


NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def run(name: str, expires: timedelta | None = timedelta(hours=-1), **owner: str) -> ServingRun:
    at = None if expires is None else NOW + expires
    by = OWNER.model_copy(update=owner)
    return ServingRun(kind="kubeai-text", runtime="memory", name=name, uid=name, owner=by, spec=SPEC, expires=at)


async def test_only_what_this_airflow_deployed_with_a_ttl_that_has_passed_is_swept_away() -> None:
    runs = [
        run("passed"),
        run("just-now", timedelta(0)),
        run("not-yet", timedelta(seconds=1)),
        run("without-ttl", None),
        run("another-airflow", instance="j"),
        run("airflow-without-id", instance=""),
        replace(run("a-strangers"), owner=None),
    ]
    platform = MemoryPlatform(standing={r.name: r for r in runs})
    found = await sweep(platform, instance="i", now=NOW, timeout=5, dry_run=True)
    assert [(f["name"], f["deleted"]) for f in found] == [("passed", False), ("just-now", False)]
    assert platform.writes == []
    found = await sweep(platform, instance="i", now=NOW, timeout=5, dry_run=False)
    assert platform.writes == ["delete passed", "delete just-now"]
    assert all(f["deleted"] for f in found)
    assert await expired(platform, instance="i", now=NOW) == []


@pytest.mark.parametrize("fault", [Superseded("deployed again"), StillThere("a pod is left")])
async def test_one_that_cannot_be_swept_away_does_not_keep_the_others(fault: LLMServeError) -> None:
    platform = MemoryPlatform(standing={n: run(n) for n in ("one", "two")})
    forget = platform.delete

    async def delete(run: ServingRun, **options: object) -> None:
        if run.name == "one":
            raise fault
        await forget(run, timeout=5)

    platform.delete = delete  # type: ignore[method-assign]
    work = sweep(platform, instance="i", now=NOW, timeout=5, dry_run=False)
    if isinstance(fault, Superseded):
        assert [f["deleted"] for f in await work] == [False, True]
    else:
        with pytest.raises(StillThere):
            await work
    assert list(platform.standing) == ["one"]


async def test_a_ttl_outlives_changes_and_what_is_put_back() -> None:
    platform = MemoryPlatform(says=(READY,))
    await serve(platform, Want(spec=SPEC, name="m", owner=OWNER, ttl=60), timeout=5)
    await change(platform, Target(name="m"), lambda spec, stopped: (NEW, stopped), timeout=5)
    assert platform.standing["m"].ttl == 60
    platform.says = ()
    with pytest.raises(LLMServeError):
        await serve(platform, Want(spec=SPEC, name="m", owner=OWNER.model_copy(update={"run_id": "2"})), timeout=0.01)
    assert platform.standing["m"].ttl == 60
