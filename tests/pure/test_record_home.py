"""The two homes of a record: what is written there is read there, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.kubernetes.live import record_of
from airflow_provider_llmserve.runtimes import runtimes_of
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.runtimes.record import MANAGED_BY, Record, companion_name
from airflow_provider_llmserve.runtimes.record_home import IN_ANNOTATIONS, IN_CONFIG_MAP, RecordHome
from airflow_provider_llmserve.specs import HuggingFaceServe

RECORD = Record(Owner(dag_id="d"), HuggingFaceServe.parse({"path": "hf://a/b"}), applied="2026-01-01", runtime="deployment")
HOMES = pytest.mark.parametrize("home", [IN_ANNOTATIONS, IN_CONFIG_MAP])


def primary(**annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": "m", "uid": "u1", "labels": dict(MANAGED_BY), "annotations": annotations}}


def kept(home: RecordHome, record: Record = RECORD, *owners: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The two objects as they are written."""
    companion = home.companion("m", record)
    if companion is not None and owners:
        companion["metadata"]["ownerReferences"] = [{"uid": uid} for uid in owners]
    return home.stamped(primary(other="1"), record), companion


@HOMES
def test_what_is_written_there_is_read_there(home: RecordHome) -> None:
    assert home.read(*kept(home)) == home.read(*kept(home, RECORD, "u1")) == RECORD
    assert home.read(primary(other="1"), None) is None
    assert kept(home)[0]["metadata"]["annotations"]["other"] == "1"


@HOMES
def test_it_is_watched_where_it_stands(home: RecordHome) -> None:
    companion = home.companion("m", RECORD)
    assert [w.name for w in home.watched("m")] == ([companion_name("m")] if companion else [])
    assert bool(home.PERMISSIONS) == bool(companion)
    touched = home.stamped(primary(), RECORD) != primary()
    assert touched == (companion is None), "an annotation rolls an InferenceService out"


def test_a_config_map_of_another_object_says_nothing() -> None:
    mine, companion = kept(IN_CONFIG_MAP, RECORD, "u2")
    assert IN_CONFIG_MAP.read(mine, companion) is None
    untied = kept(IN_CONFIG_MAP)[1]
    assert IN_CONFIG_MAP.read({"metadata": {"name": "m", "uid": "u1"}}, untied) is None, "a primary without our label"


@HOMES
def test_parts_of_it_are_taken_away_by_one_patch(home: RecordHome) -> None:
    patch = home.without(["unproven"])
    mine, companion = kept(home)
    live, inside = (companion, patch["data"]) if companion else (mine["metadata"], patch["metadata"]["annotations"])
    (key,) = inside
    assert inside[key] is None
    assert key in (live["data"] if companion else live["annotations"])


@pytest.mark.parametrize("runtime", runtimes_of(), ids=lambda r: r.NAME)
def test_an_object_is_of_the_runtime_that_its_record_names(runtime: Runtime) -> None:
    """Two runtimes may make objects of one kind: the kind tells nothing."""
    ours = Record(Owner(dag_id="d"), RECORD.spec, runtime=runtime.NAME)
    theirs = Record(Owner(dag_id="d"), RECORD.spec, runtime="another")
    assert record_of(runtime, *kept(runtime.RECORD, ours)) == ours
    assert record_of(runtime, *kept(runtime.RECORD, theirs)) is None
