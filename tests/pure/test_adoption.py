"""Taking over and giving back, as values: whose the fields become, what will change, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.runtimes.adoption import back_to, forecast, foreign_fields, managers_after, merge_patch

CONTAINER = {"f:containers": {'k:{"name":"main"}': {".": {}, "f:image": {}, "f:name": {}}}}
CREATED = {
    "manager": "kubectl-create",
    "operation": "Update",
    "apiVersion": "apps/v1",
    "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}, "f:spec": {"f:replicas": {}, "f:template": {"f:spec": CONTAINER}}},
}
SCALED = {"manager": "hpa", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
STATUS = {"manager": "kcm", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}
OURS = {"manager": "airflow-llmserve", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {"f:selector": {}}}}


def live(*entries: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "bert", "managedFields": [*entries]},
        "spec": spec,
    }


def planned(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "server", "image": "new:1"}]
    template = {"spec": {"containers": containers}}
    return {"kind": "Deployment", "metadata": {"name": "bert"}, "spec": {"replicas": 1, "template": template, **spec}}


def test_the_spec_becomes_ours_and_the_rest_stays_theirs() -> None:
    after = managers_after(live(CREATED, SCALED, STATUS, OURS))
    assert [(e["manager"], e.get("subresource")) for e in after] == [
        ("kubectl-create", None),
        ("hpa", "scale"),
        ("kcm", "status"),
        ("airflow-llmserve", None),
    ]
    assert after[0]["fieldsV1"] == {"f:metadata": {"f:labels": {"f:team": {}}}, "f:spec": {"f:replicas": {}}}
    assert after[-1]["fieldsV1"] == {"f:spec": {"f:selector": {}, "f:template": {"f:spec": CONTAINER}}}
    assert managers_after(live(SCALED)) == [SCALED]


def test_what_others_set_is_named_by_its_path() -> None:
    assert foreign_fields(live(CREATED, SCALED, OURS)) == [
        "spec.template.spec.containers[main].image",
        "spec.template.spec.containers[main].name",
    ]


RECREATE = {"strategy": {"type": "Recreate"}}
NO_SURGE = {"strategy": {"rollingUpdate": {"maxSurge": 0}}}


@pytest.mark.parametrize(
    ("now", "wanted", "words", "absent"),
    [
        (live(CREATED), planned(), ["removed: spec.template.spec.containers[main].image", "pods are replaced"], ["outage"]),
        (live(CREATED), planned(**RECREATE), ["that is an outage"], []),
        (live(CREATED), planned(**NO_SURGE), ["that is an outage"], []),
        (live(CREATED), planned(replicas=2, **RECREATE), ["pods are replaced"], ["outage"]),
        (live(SCALED, **planned()["spec"]), planned(), ["Its pods stay as they are"], ["removed", "replaced"]),
    ],
)
def test_it_says_beforehand_what_changes(now: Any, wanted: Any, words: list[str], absent: list[str]) -> None:
    said = forecast(now, wanted, surge=None)
    assert all(w in said for w in words)
    assert not any(w in said for w in absent)


@pytest.mark.parametrize(
    ("surge", "spec", "outage"),
    [
        (0, {"minReplicas": 1}, True),
        (1, {"minReplicas": 1}, False),
        (None, {"minReplicas": 1}, False),
        (0, {"replicas": 3}, False),
    ],
)
def test_a_model_without_surge_is_away_for_a_while(surge: int | None, spec: dict[str, Any], outage: bool) -> None:
    model = {"kind": "Model", "metadata": {"name": "m"}, "spec": {"url": "hf://a/b", **spec}}
    assert ("outage" in forecast({"spec": {"url": "hf://a/c"}}, model, surge=surge)) is outage


def test_a_long_list_is_cut() -> None:
    many = {"f:spec": {f"f:field{i}": {} for i in range(40)}}
    assert "and 28 more" in forecast(live({**CREATED, "fieldsV1": many}), planned(), surge=None)


values = st.recursive(
    st.booleans() | st.integers(0, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def merged(value: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    out = dict(value) if isinstance(value, dict) else {}
    for key, inner in patch.items():
        if inner is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), inner)
    return out


@given(objects, objects)
def test_a_merge_patch_leads_from_one_to_the_other(before: Any, after: Any) -> None:
    assert merged(before, merge_patch(before, after)) == after


def test_back_to_what_it_was_touches_spec_labels_and_annotations_alone() -> None:
    then = {"metadata": {"name": "x", "labels": {"team": "a"}, "uid": "u"}, "spec": {"image": "old"}}
    now = {
        "metadata": {"name": "x", "labels": {"team": "a", "by": "us"}, "annotations": {"k": "v"}},
        "spec": {"image": "new", "env": 1},
    }
    assert back_to(now, then) == {
        "spec": {"image": "old", "env": None},
        "metadata": {"labels": {"by": None}, "annotations": {"k": None}},
    }


junk = st.recursive(st.none() | st.text(max_size=3), lambda x: st.lists(x, max_size=2) | st.dictionaries(
    st.sampled_from(["managedFields", "fieldsV1", "f:spec", "manager", "subresource", "operation", ".", "k:{", "spec"]), x, max_size=3))  # fmt: skip


@given(junk, junk)
def test_any_field_may_be_missing(metadata: Any, spec: Any) -> None:
    odd = {"metadata": metadata, "spec": spec}
    managers_after(odd)
    foreign_fields(odd)
    forecast(odd, planned(), surge=None)
