"""Which serving run an endpoint or a name stands for, and whether it may be touched."""

from __future__ import annotations

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import BadInput, Elsewhere, NotOurs, Superseded
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Platform, ServingRun, Target, Want
from airflow_provider_llmserve.readiness.state import State, Verdict


def target_of(endpoint: Endpoint) -> Target:
    """The target that an endpoint's identity names."""
    i = endpoint.identity
    return Target(name=i.name, kind=i.kind, uid=i.uid, owner=i.owner, spec_hash=i.spec_hash, place=i.place)


async def require(platform: Platform, target: Target) -> ServingRun:
    """The standing run that ``target`` names. Raises where it lives elsewhere, where there is none, or another one under its
    name."""
    await refuse_elsewhere(platform, target)
    standing = await platform.find(target)
    if standing is None:
        raise BadInput(f"{target.kind or 'serving run'} {target.name}", f"does not exist on the {platform.name} platform")
    if target.uid and standing.uid != target.uid:
        raise Superseded(
            f"{standing.kind} {standing.name} was deleted and made anew by {owner_of(standing)} since this endpoint was returned"
        )
    if target.owner is not None and standing.owner is not None and standing.owner.key != target.owner.key:
        raise Superseded(
            f"{standing.kind} {standing.name} was deployed anew by {owner_of(standing)} since this endpoint was returned"
        )
    return standing


async def confirm(platform: Platform, target: Target) -> None:
    """Whether the endpoint still names what stands: uid, owner and spec. Who uses an endpoint asks before the first request and
    after the last, or it may report of another model. Raises like :func:`require`, and :class:`Superseded` for another spec."""
    standing = await require(platform, target)
    if target.spec_hash and (standing.spec is None or standing.spec.hash != target.spec_hash):
        raise Superseded(
            f"{standing.kind} {standing.name} serves another spec than this endpoint names: it was changed since. "
            "Take the endpoint that the later task (scale, attach, detach, serve) returned"
        )


async def refuse_elsewhere(platform: Platform, target: Target) -> None:
    """Raises :class:`Elsewhere` where the endpoint lives in another place than the platform works in."""
    if target.place is None:
        return
    here = await platform.place()
    if target.place.differs(here):
        raise Elsewhere(
            f"{target.kind or 'serving run'} {target.name} lives in another place than the connection leads to. "
            f"It was deployed in: {target.place.in_words}. The connection leads to: {here.in_words}. Nothing was done; "
            "use the connection (and, on the local platform, the worker) that it was deployed with"
        )


def refuse_taking(standing: ServingRun | None, want: Want) -> None:
    """Raises :class:`NotOurs` where the name is taken by what ``want`` may not take over.

    A later run of the same DAG updates its own; what another DAG, another Airflow instance or somebody else made is taken over by
    ``adopt`` alone. Two tasks of one DAG run that want one name are a mistake: the later would take the earlier's model away.
    """
    if standing is None:
        return
    what = f"{standing.kind} {standing.name}"
    if standing.owner is None:
        if not want.adopt:
            raise NotOurs(
                f"{what} exists and was not made by this package; choose another name, or pass adopt=True to take it over"
            )
        return
    theirs, ours = standing.owner, want.owner
    if theirs.same_dag(ours):
        if theirs.run_id == ours.run_id and theirs.key != ours.key:
            raise NotOurs(
                f"{what} was deployed by another task of this DAG run, {theirs.in_words}: two tasks cannot serve under one name. "
                "Give each a model_name or name of its own, or change the standing one (attach, scale)"
            )
        return
    if not want.adopt:
        where = "" if theirs.instance == ours.instance else f" of another Airflow instance ({theirs.instance or 'without an id'})"
        raise NotOurs(
            f"{what} belongs to {theirs.in_words}{where}; choose another name, or pass adopt=True to take it over from there"
        )


async def answers_at(platform: Platform, run: ServingRun, verdict: Verdict | None) -> Endpoint:
    """The endpoint of a run, which says whether ``verdict`` has proven it."""
    endpoint = await platform.endpoint(run)
    return endpoint.model_copy(update={"proven": verdict is not None and verdict.state is State.READY})


def owner_of(run: ServingRun) -> str:
    """Who deployed it, in words."""
    return (run.owner or Owner()).in_words
