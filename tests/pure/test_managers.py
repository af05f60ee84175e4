"""Whose a field is: managedFields as a real API server wrote them (1.36, ``reference/apiserver.md``)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.runtimes.managers import additions, is_theirs

SERVER = 'k:{"name":"server"}'
OURS = {
    "f:spec": {
        "f:replicas": {},
        "f:template": {
            "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}},
            "f:spec": {
                "f:containers": {
                    SERVER: {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:args": {},
                        "f:env": {'k:{"name":"HF_HOME"}': {"f:value": {}}},
                    }
                },
                "f:tolerations": {},
            },
        },
    }
}
POD = "spec.template.spec"


def live(*others: dict[str, Any], ours: dict[str, Any] | None = None) -> dict[str, Any]:
    mine = {"manager": "airflow-llmserve", "operation": "Apply", "fieldsV1": ours or OURS}
    return {"metadata": {"managedFields": [mine, *others]}}


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        (f"{POD}.containers[server].image", False),
        (f"{POD}.containers[server].args[1]", False),
        (f"{POD}.containers[server].env[HF_HOME].value", False),
        (f"{POD}.tolerations", False),
        (f"{POD}.tolerations[0].key", False),
        ("spec.template.metadata.labels.app.kubernetes.io/name", False),
        ("spec.replicas", False),
        (f"{POD}.containers[server].command", True),
        (f"{POD}.containers[server].env[X].value", True),
        (f"{POD}.containers[other].image", True),
        (f"{POD}.containers[server].imagePullPolicy", True),
        (f"{POD}.containers", True),
        ("spec.template.metadata.labels.app", True),
        ("spec", True),
    ],
)
def test_a_field_is_ours_as_far_as_the_book_says(path: str, theirs: bool) -> None:
    assert is_theirs(live(), path) == theirs


def test_where_the_book_does_not_know_us_all_that_differs_is_anothers() -> None:
    for thing in ({}, {"metadata": {"managedFields": [{"manager": "kubectl", "fieldsV1": OURS}]}}):
        assert is_theirs(thing, f"{POD}.containers[server].image")
        assert is_theirs(thing, "spec.replicas")
        assert additions(thing, "spec", "template") == []


def entry(manager: str, template: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:template": template}}, **more}


ENV = {"f:spec": {"f:containers": {SERVER: {"f:env": {'k:{"name":"X"}': {".": {}, "f:value": {}}}}}}}
RESTART = {"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ((), []),
        ((entry("kubectl-set", ENV),), [("spec.template", "kubectl-set")]),
        ((entry("kubectl-rollout", RESTART),), []),
        ((entry("kubectl-edit", {**RESTART, **ENV}),), [("spec.template", "kubectl-edit")]),
        ((entry("kube-controller-manager", ENV),), []),
        ((entry("kubelet", ENV, subresource="status"),), []),
        (({"manager": "hpa", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},), []),
        (({"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}},), []),
    ],
)
def test_what_others_put_into_the_pods_part(others: tuple[dict[str, Any], ...], found: list[tuple[str, str]]) -> None:
    assert additions(live(*others), "spec", "template") == found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["f:spec", "f:a", SERVER, "k:{", "."]), inner, max_size=3)
    ),
)


@given(json_values, st.text("spec.a[]x", max_size=12))
def test_nothing_breaks_the_reading(fields: Any, path: str) -> None:
    is_theirs(live(ours=fields), path)
    additions(
        {"metadata": {"managedFields": [*live()["metadata"]["managedFields"], {"manager": "x", "fieldsV1": fields}]}}, "spec"
    )
