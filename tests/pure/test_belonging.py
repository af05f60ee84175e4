"""Whose an object beside the primary one is: by our label and an owner reference, never by its name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.runtimes.belonging import Belonging, others_wrote
from airflow_provider_llmserve.runtimes.kinds import DEPLOYMENT, INFERENCE_SERVICE, MODEL
from airflow_provider_llmserve.specs import HuggingFaceServe

RUN = Belonging(DEPLOYMENT, "bert")
OURS = {"app.kubernetes.io/managed-by": "airflow-llmserve"}
HELM = {"app.kubernetes.io/managed-by": "Helm", "team": "other"}
DEPLOYED = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bert", "uid": "u"}
SPEC = HuggingFaceServe.parse({"path": "hf://a/b", "huggingface_task": "text_generation"})
RECORD = records.write(records.Record(Owner(dag_id="d"), SPEC))


def thing(labels: Any, *references: Any, **more: Any) -> dict[str, Any]:
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "bert-data", "labels": labels, "ownerReferences": [*references]},
        **more,
    }


STRANGERS = {
    "nobody's": ({}, "does not carry the label"),
    "without a label": (thing({}, DEPLOYED), "does not carry the label"),
    "Helm's": (thing(HELM), "it is managed by Helm"),
    "Helm's, tied to ours": (thing(HELM, DEPLOYED), "it is managed by Helm"),
    "copied with our label": (thing(OURS), "belongs to no serving run"),
    "of another run": (thing(OURS, {**DEPLOYED, "name": "other"}), "belongs to Deployment other"),
    "of a run of another kind": (
        thing(OURS, {"apiVersion": "kubeai.org/v1", "kind": "Model", "name": "bert"}),
        "belongs to Model bert",
    ),
    "of a Deployment of another group": (thing(OURS, {**DEPLOYED, "apiVersion": "example.com/v1"}), "belongs to Deployment bert"),
    "of two": (thing(OURS, DEPLOYED, {"apiVersion": "v1", "kind": "Pod", "name": "x"}), "belongs to Pod x"),
}
OWN = {
    "tied to the run": thing(OURS, DEPLOYED),
    "tied to an earlier deployment of the name": thing(OURS, {**DEPLOYED, "uid": "gone"}),
    "by another API version": thing({**OURS, "more": "x"}, {**DEPLOYED, "apiVersion": "apps/v1beta2"}),
}


@pytest.mark.parametrize(("live", "words"), STRANGERS.values(), ids=STRANGERS)
def test_a_strangers_object_is_told_in_words(live: Any, words: str) -> None:
    assert words in RUN.stranger(live)


@pytest.mark.parametrize("live", OWN.values(), ids=OWN)
def test_what_has_both_marks_is_ours(live: Any) -> None:
    assert RUN.stranger(live) == ""


@pytest.mark.parametrize(
    ("live", "ours"),
    [
        ({"kind": "ConfigMap", "metadata": {"name": "bert-llmserve", "labels": OURS}, "data": RECORD}, True),
        ({"kind": "ConfigMap", "metadata": {"name": "bert-llmserve", "labels": OURS}, "data": {"a": "b"}}, False),
        ({"kind": "ConfigMap", "metadata": {"name": "bert-llmserve", "labels": OURS}}, False),
        ({"kind": "ConfigMap", "metadata": {"name": "bert-llmserve", "labels": HELM}, "data": RECORD}, False),
        ({"kind": "ConfigMap", "metadata": {"name": "other-llmserve", "labels": OURS}, "data": RECORD}, False),
        ({"kind": "Secret", "metadata": {"name": "bert-llmserve", "labels": OURS}, "data": RECORD}, False),
    ],
)
def test_a_record_that_was_not_tied_yet_is_ours(live: Any, ours: bool) -> None:
    assert (Belonging(INFERENCE_SERVICE, "bert").stranger(live) == "") == ours


junk = st.recursive(st.none() | st.text(max_size=3) | st.integers(), lambda x: st.lists(x, max_size=2) | st.dictionaries(st.sampled_from(
    ["labels", "ownerReferences", "kind", "name", "apiVersion", "managedFields", "app.kubernetes.io/managed-by"]), x, max_size=3), max_leaves=6)  # fmt: skip


@given(junk, junk)
def test_any_field_may_be_missing_or_wrong_and_is_then_not_ours(metadata: Any, data: Any) -> None:
    live = {"kind": "ConfigMap", "metadata": metadata, "data": data}
    assert Belonging(MODEL, "m").stranger(live)
    others_wrote(live)


@pytest.mark.parametrize(
    ("managers", "others"),
    [([], False), (["airflow-llmserve"], False), (["airflow-llmserve", "helm"], True), (["kubectl"], True)],
)
def test_who_else_wrote_shows_in_the_managers_of_the_fields(managers: list[str], others: bool) -> None:
    assert others_wrote({"metadata": {"managedFields": [{"manager": m} for m in managers]}}) is others
