"""Requests to the Kubernetes API and what its answers mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.errors import AccessDenied, Conflict, NotFound, Rejected, Unavailable
from airflow_provider_llmserve.platforms.kubernetes import wire
from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP, CRD, DEPLOYMENT, MODEL, POD

REQ = wire.request("patch", "PATCH", MODEL, "ns", "m")

FORBIDDEN = (
    'models.kubeai.org "m" is forbidden: User "u" cannot patch resource "models" in API group "kubeai.org" in the namespace "ns"'
)
QUOTA = 'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
DENIED = 'admission webhook "w.example.com" denied the request: no'
UNTYPED = "failed to create typed patch object (ns/m; kubeai.org/v1, Kind=Model): .spec.bogus: field not declared in schema"
WEBHOOK_DOWN = 'Internal error occurred: failed calling webhook "w": failed to call webhook: Post "https://w": connection refused'


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "subresource", "expected"),
    [
        (POD, "ns", "", "", "/api/v1/namespaces/ns/pods"),
        (POD, "ns", "p", "log", "/api/v1/namespaces/ns/pods/p/log"),
        (DEPLOYMENT, "ns", "d", "scale", "/apis/apps/v1/namespaces/ns/deployments/d/scale"),
        (MODEL, "ns", "m", "", "/apis/kubeai.org/v1/namespaces/ns/models/m"),
        (CRD, "ns", "x.y", "", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x.y"),
        (CONFIG_MAP, "ns", "../secrets/x", "", "/api/v1/namespaces/ns/configmaps/..%2Fsecrets%2Fx"),
    ],
)
def test_paths(kind, namespace, name, subresource, expected) -> None:
    assert wire.path(kind, namespace, name, subresource) == expected


def test_whose_answer_did_not_come_in_time() -> None:
    """A proxy leads to a model: that the API server does not answer would be said of the wrong one."""
    model = wire.too_slow(wire.proxied("POST", "ns", "kubeai:http", "/openai/v1/completions", {}, pod=False), 10)
    assert isinstance(model, wire.Slow)
    assert str(model) == "Service ns/kubeai:http through the API server has not answered within 10 s"
    write, read = wire.too_slow(REQ, 5), wire.too_slow(wire.request("get", "GET", MODEL, "ns", "m"), 5)
    assert not isinstance(write, wire.Slow)
    assert "no answer from the API server (none within 5 s; a hung admission webhook may hold it up)" in str(write)
    assert str(read).endswith("no answer from the API server (none within 5 s)")


@pytest.mark.parametrize(
    ("status", "message", "expected", "words"),
    [
        (400, "bad", Rejected, ()),
        (401, "Unauthorized", AccessDenied, ("refused or has expired",)),
        (403, FORBIDDEN, AccessDenied, ("verb patch on models.kubeai.org in namespace ns", "deploy/rbac.yaml")),
        (403, QUOTA, Rejected, ("exceeded quota",)),
        (403, DENIED, Rejected, ("denied the request",)),
        (403, 'persistentvolumeclaims "c" is forbidden: minimum storage usage per PersistentVolumeClaim is 10Gi', Rejected, ()),
        (
            403,
            'configmaps "c" is forbidden: unable to create new content in namespace n because it is being terminated',
            Rejected,
            (),
        ),
        (403, "policy 'p' with binding 'b' denied request: images cannot come from docker.io", Rejected, ()),
        (403, 'pods "p" is forbidden: violates PodSecurity "restricted:latest"', Rejected, ()),
        (403, 'User "u" cannot get path "/metrics"', AccessDenied, ()),
        (404, 'models.kubeai.org "m" not found', NotFound, ()),
        (409, "the object has been modified", Conflict, ()),
        (410, "too old resource version", wire.Expired, ()),
        (415, "unsupported media type", Rejected, ()),
        (422, "Invalid value", Rejected, ()),
        (429, "too many requests", Unavailable, ()),
        (500, UNTYPED, Rejected, ("field not declared",)),
        (500, WEBHOOK_DOWN, Unavailable, ("failed calling webhook", "webhook_down", "Check that webhook's pods")),
        (500, "etcdserver: leader changed", Unavailable, ()),
        (503, "apiserver is shutting down", Unavailable, ()),
        (504, "timeout", Unavailable, ()),
    ],
)
def test_a_status_is_a_typed_error_that_names_verb_and_object(status, message, expected, words) -> None:
    body = json.dumps({"kind": "Status", "message": message, "code": status}).encode()
    error = wire.fault(REQ, wire.Answer(status, body, {}))

    assert type(error) is expected
    assert error.status == status
    for word in ("patch Model ns/m", str(status), message, *words):
        assert word in str(error)


@given(st.integers(300, 599), st.binary(max_size=200))
def test_every_answer_is_some_error(status, body) -> None:
    assert wire.fault(REQ, wire.Answer(status, body, {})).status == status


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("", 0.0), ("soon", 0.0), ("Mon, 23 Nov 2026 23:00:00 GMT", 0.0)])
def test_retry_after(value, seconds) -> None:
    assert wire.retry_after(wire.Answer(429, b"", {"retry-after": value})) == seconds


@given(st.integers(0, 10_000))
def test_back_off_stays_within_its_bounds(attempt) -> None:
    assert 0.125 <= wire.back_off(attempt) <= 10.0


def test_a_watch_asks_for_bookmarks_and_an_end_below_five_minutes() -> None:
    query = dict(wire.watching(POD, "ns", labels="a=b", fields="", version="7", seconds=3600).query)

    assert query == {
        "labelSelector": "a=b",
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "timeoutSeconds": "290",
    }


def test_a_delete_names_the_very_object() -> None:
    body = wire.delete(MODEL, "ns", "m", uid="u", version="7", propagation="Foreground").body

    assert body["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert body["propagationPolicy"] == "Foreground"


@pytest.mark.parametrize(
    ("pod", "target", "expected"),
    [
        (False, "kubeai:80", "/api/v1/namespaces/ns/services/kubeai:80/proxy/openai/v1/models"),
        (True, "model-m-1:8000", "/api/v1/namespaces/ns/pods/model-m-1:8000/proxy/openai/v1/models"),
    ],
)
def test_proxied_paths(pod, target, expected) -> None:
    assert wire.proxied("GET", "ns", target, "/openai/v1/models", None, pod=pod).path == expected


def test_a_proxied_post_needs_the_verb_create() -> None:
    req = wire.proxied("POST", "ns", "kubeai:80", "/x", {}, pod=False)

    assert (req.verb, req.resource) == ("create", "services/proxy")


EVENTS = [
    {"type": "ADDED", "object": {"metadata": {"name": "ä"}}},
    {"type": "BOOKMARK", "object": {}},
    {"type": "DELETED", "object": {}},
]


@given(st.data())
def test_events_are_whole_however_the_bytes_are_cut(data) -> None:
    text = b"".join(json.dumps(e, ensure_ascii=False).encode() + b"\n" for e in EVENTS)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    lines = wire.Lines()
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert [event for piece in pieces for event in lines.feed(piece)] == EVENTS


def test_what_is_no_event_counts_as_a_cut_watch() -> None:
    with pytest.raises(Unavailable, match="not an event"):
        list(wire.Lines().feed(b"<html>gateway timeout</html>\n"))


def test_an_error_event_is_the_error_of_its_code() -> None:
    event = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version: 1 (2)"}}
    watch = wire.watching(POD, "ns", labels="", fields="", version="1", seconds=9)

    assert isinstance(wire.event_fault(watch, event), wire.Expired)
    assert wire.event_fault(watch, EVENTS[0]) is None


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", []),
        ('299 - "v1beta1 Model is deprecated"', ["v1beta1 Model is deprecated"]),
        ('299 - "one", 299 kube "say \\"two\\""', ["one", 'say "two"']),
        ("214 - no quotes", []),
    ],
)
def test_what_the_api_server_warns_of(header: str, said: list[str]) -> None:
    assert wire.warnings_in(wire.Answer(200, b"", {"warning": header})) == said
