"""Whose a field is: managedFields as a real API server wrote them (1.36, ``reference/apiserver.md``)."""

from __future__ import annotations

import copy
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.runtimes.managers import lost, theirs, written_at

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
PARTS = (("spec", "template"), ("spec", "strategy"))


def live(*others: dict[str, Any], ours: dict[str, Any] | None = None) -> dict[str, Any]:
    mine = {"manager": "airflow-llmserve", "operation": "Apply", "fieldsV1": OURS if ours is None else ours}
    return {"metadata": {"managedFields": [mine, *others]}}


def entry(manager: str, template: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:template": template}}, **more}


def container(**fields: Any) -> dict[str, Any]:
    return {"f:spec": {"f:containers": {SERVER: {f"f:{key}": value for key, value in fields.items()}}}}


ENV = container(env={'k:{"name":"X"}': {".": {}, "f:value": {}}})
RESTART = {"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}
POD = "spec.template.spec"


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ((), []),
        ((entry("kubectl-set", ENV),), [(f"{POD}.containers[server].env[X].value", "kubectl-set")]),
        ((entry("kubectl-edit", container(command={})),), [(f"{POD}.containers[server].command", "kubectl-edit")]),
        ((entry("kubectl-patch", {"f:spec": {"f:nodeSelector": {}}}),), [(f"{POD}.nodeSelector", "kubectl-patch")]),
        ((entry("kubectl-rollout", RESTART),), []),
        ((entry("kubectl-edit", {**RESTART, **ENV}),), [(f"{POD}.containers[server].env[X].value", "kubectl-edit")]),
        ((entry("flux", container(image={}), operation="Apply"),), []),
        ((entry("kube-controller-manager", ENV),), []),
        ((entry("kubelet", ENV, subresource="status"),), []),
        (({"manager": "hpa", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},), []),
        (({"manager": "kubectl", "fieldsV1": {"f:spec": {"f:replicas": {}}}},), []),
        (({"manager": "kubectl", "fieldsV1": {"f:spec": {"f:minReadySeconds": {}}}},), []),
        (({"manager": "kubectl", "fieldsV1": {"f:spec": {"f:strategy": {"f:type": {}}}}},), [("spec.strategy.type", "kubectl")]),
        (({"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}},), []),
    ],
)
def test_what_others_have_set(others: tuple[dict[str, Any], ...], found: list[tuple[str, str]]) -> None:
    assert theirs(live(*others), PARTS) == found


def test_a_value_that_another_took_from_us_is_theirs() -> None:
    """``kubectl set image``: the field leaves our entry."""
    without = copy.deepcopy(OURS)
    del without["f:spec"]["f:template"]["f:spec"]["f:containers"][SERVER]["f:image"]
    taken = live(entry("kubectl-set", container(image={})), ours=without)
    assert theirs(taken, PARTS) == [(f"{POD}.containers[server].image", "kubectl-set")]
    assert lost(taken, live(), PARTS) == []


def test_what_another_took_out_is_lost() -> None:
    """``kubectl edit``, and a line less: the field is nobody's."""
    without = copy.deepcopy(OURS)
    del without["f:spec"]["f:template"]["f:spec"]["f:containers"][SERVER]["f:env"]
    del without["f:spec"]["f:replicas"]
    assert lost(live(ours=without), live(), PARTS) == [f"{POD}.containers[server].env[HF_HOME].value"]
    assert lost(live(), live(), PARTS) == []
    assert lost({}, live(), PARTS) == [], "a book that is empty says nothing"


def test_where_the_book_does_not_know_us_everything_is_anothers_and_without_a_book_nothing() -> None:
    assert theirs({}, PARTS) == []
    assert len(theirs({"metadata": {"managedFields": [{"manager": "kubectl", "fieldsV1": OURS}]}}, PARTS)) == 6


def test_when_it_was_written() -> None:
    mine = {"manager": "airflow-llmserve", "operation": "Apply", "time": "2026-11-25T12:00:00Z"}
    status = {"manager": "manager", "subresource": "status", "time": "2026-11-25T12:00:09Z"}
    thing = {"metadata": {"managedFields": [mine, status, {"manager": "kubectl", "time": "2026-11-25T13:00:00Z"}]}}
    assert written_at(thing) == datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
    assert written_at(thing, "status") == datetime(2026, 11, 25, 12, 0, 9, tzinfo=timezone.utc)
    assert written_at({}) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["f:spec", "f:a", SERVER, "k:{", "."]), inner, max_size=3)
    ),
)


@given(json_values, json_values)
def test_nothing_breaks_the_reading(fields: Any, book: Any) -> None:
    for thing in (live(ours=fields), live({"manager": "x", "fieldsV1": fields}), {"metadata": {"managedFields": book}}):
        theirs(thing, (("spec",), ("a",)))
        lost(thing, live(), (("spec",),))
        written_at(thing)
