"""Requests to the Kubernetes API, and what its answers mean, as plain values: nothing here does I/O.

A request is built by one function a verb; an answer is read by :func:`fault` (status and body to an error) and :func:`events`
(bytes of a watch to events). The client in ``client.py`` is what lies between.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_provider_llmserve.errors import AccessDenied, Conflict, NotFound, PlatformError, Rejected, Unavailable
from airflow_provider_llmserve.readiness.causes import cause_in
from airflow_provider_llmserve.readiness.reasons import REASONS
from airflow_provider_llmserve.runtimes.kinds import Kind
from airflow_provider_llmserve.runtimes.record import FIELD_MANAGER

WATCH_SECONDS = 290
"""How long the server may keep one watch open: below the five minutes after which proxies and short-lived tokens end."""

CLUSTER_SCOPED = frozenset(
    {
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("serving.kserve.io", "clusterservingruntimes"),
        ("serving.kserve.io", "clusterstoragecontainers"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("node.k8s.io", "runtimeclasses"),
        ("storage.k8s.io", "storageclasses"),
        ("", "namespaces"),
        ("", "nodes"),
        ("", "persistentvolumes"),
    }
)

Query = tuple[tuple[str, str], ...]


class Expired(PlatformError):
    """410: the version to go on from is too old, or the list's continuation is. Begin again with a list."""


class Slow(Unavailable):
    """A request to a Service or pod that the API server took, and that nobody answered in time: a model's first answer, say."""


@dataclass(frozen=True)
class Request:
    """One HTTP request to the API server. ``verb`` and ``resource`` are RBAC's words, ``subject`` the object's for people."""

    verb: str
    method: str
    path: str
    subject: str
    resource: str
    namespace: str = ""
    query: Query = ()
    body: Any = None
    content_type: str = "application/json"


@dataclass(frozen=True)
class Answer:
    """The API server's answer. Header names are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The body, read. Raises :class:`ValueError` where it is no JSON."""
        return json.loads(self.body)

    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.body.decode(errors="replace")


def path(kind: Kind, namespace: str, name: str = "", subresource: str = "") -> str:
    """The URL path of a collection or, with ``name``, of one object (or its subresource)."""
    parts = ["", "apis", kind.group, kind.version] if kind.group else ["", "api", kind.version]
    if namespace and not cluster_scoped(kind):
        parts += ["namespaces", namespace]
    parts.append(kind.plural)
    parts += [p for p in (name, subresource) if p]
    return "/".join(quote(p, safe=":") for p in parts)


def cluster_scoped(kind: Kind) -> bool:
    """Whether objects of this kind live outside namespaces."""
    return (kind.group, kind.plural) in CLUSTER_SCOPED


def request(
    verb: str,
    method: str,
    kind: Kind,
    namespace: str,
    name: str = "",
    subresource: str = "",
    *,
    query: Query = (),
    body: Any = None,
    content_type: str = "application/json",
) -> Request:
    """A request on one collection or object."""
    namespace = "" if cluster_scoped(kind) else namespace
    resource = kind.plural + (f".{kind.group}" if kind.group else "") + (f"/{subresource}" if subresource else "")
    subject = (
        f"{kind.kind} {'/'.join(p for p in (namespace, name) if p)}" if name else f"{kind.plural} in {namespace or 'the cluster'}"
    )
    return Request(
        verb=verb,
        method=method,
        path=path(kind, namespace, name, subresource),
        subject=subject,
        resource=resource,
        namespace=namespace,
        query=query,
        body=body,
        content_type=content_type,
    )


def apply(
    kind: Kind, namespace: str, manifest: Mapping[str, Any], *, force: bool, dry_run: bool, manager: str = FIELD_MANAGER
) -> Request:
    """A server-side apply. ``metadata.uid`` and ``metadata.resourceVersion`` in the manifest are preconditions (409)."""
    query = [("fieldManager", manager), ("force", "true" if force else "false"), ("fieldValidation", "Strict")]
    if dry_run:
        query.append(("dryRun", "All"))
    name = manifest["metadata"]["name"]
    content_type = "application/apply-patch+yaml"
    return request("patch", "PATCH", kind, namespace, name, query=tuple(query), body=manifest, content_type=content_type)


def patch(
    kind: Kind, namespace: str, name: str, body: Mapping[str, Any], subresource: str = "", *, dry_run: bool = False
) -> Request:
    """A JSON merge patch: None removes a key."""
    query: Query = (("fieldManager", FIELD_MANAGER), *((("dryRun", "All"),) if dry_run else ()))
    return request(
        "patch",
        "PATCH",
        kind,
        namespace,
        name,
        subresource,
        query=query,
        body=body,
        content_type="application/merge-patch+json",
    )


def delete(kind: Kind, namespace: str, name: str, *, uid: str, version: str, propagation: str) -> Request:
    """A delete of this very object: a given ``uid`` or ``version`` that is not the live one makes it a 409."""
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", version)) if v}
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
    if preconditions:
        options["preconditions"] = preconditions
    return request("delete", "DELETE", kind, namespace, name, body=options)


def listing(kind: Kind, namespace: str, *, labels: str, fields: str, page: int, after: str) -> Request:
    """One page of a list."""
    query: Query = (*_selectors(labels, fields), ("limit", str(page)))
    if after:
        query += (("continue", after),)
    return request("list", "GET", kind, namespace, query=query)


def watching(kind: Kind, namespace: str, *, labels: str, fields: str, version: str, seconds: int) -> Request:
    """A watch that the server ends after ``seconds``."""
    query = (
        *_selectors(labels, fields),
        ("watch", "true"),
        ("allowWatchBookmarks", "true"),
        ("resourceVersion", version),
        ("timeoutSeconds", str(min(seconds, WATCH_SECONDS))),
    )
    return request("watch", "GET", kind, namespace, query=query)


def logs(namespace: str, pod: str, container: str, *, tail: int, previous: bool) -> Request:
    """The last ``tail`` lines of a container's log."""
    query = (("container", container), ("tailLines", str(tail)), ("previous", "true" if previous else "false"))
    return request("get", "GET", _POD, namespace, pod, "log", query=query)


def proxied(method: str, namespace: str, target: str, subpath: str, body: Any, *, pod: bool) -> Request:
    """A request to a Service (``name:port``) or pod through the API server's proxy.

    The RBAC verb that the API server checks is ``get`` for GET and ``create`` for POST.
    """
    plural = "pods" if pod else "services"
    verb = {"GET": "get", "POST": "create"}[method]
    where = f"/api/v1/namespaces/{quote(namespace)}/{plural}/{quote(target, safe=':')}/proxy/{subpath.lstrip('/')}"
    subject = f"{'Pod' if pod else 'Service'} {namespace}/{target} through the API server"
    return Request(verb, method, where, subject, f"{plural}/proxy", namespace, body=body)


def access_review(namespace: str, verb: str, group: str, resource: str) -> Request:
    """Asks whether this login may ``verb`` the resource (``pods/log`` names a subresource). Every login may ask."""
    name, _, subresource = resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": name, "subresource": subresource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    kind = Kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews")
    return request("create", "POST", kind, "", body=body)


def fault(req: Request, answer: Answer) -> PlatformError:
    """The error that an answer outside 2xx stands for, naming the verb, the object and, for 403, the permission to grant."""
    said = _message(answer)
    text = f"{req.verb} {req.subject}: {answer.status} {said}"
    error = _error_type(answer.status, said)(_with_remedy(req, answer.status, said, text), status=answer.status)
    error.retry_after = retry_after(answer)
    return error


def unreachable(req: Request, reason: str) -> Unavailable:
    """The error of a request that got no answer."""
    return Unavailable(f"{req.verb} {req.subject}: no answer from the API server ({reason})")


def too_slow(req: Request, seconds: float) -> Unavailable:
    """The error of a request that got no answer in time. A hung admission webhook holds up a write for as long as its
    configuration says, 30 s at most; what a proxy leads to is somebody else's to answer."""
    if req.resource.endswith("/proxy"):
        return Slow(f"{req.subject} has not answered within {seconds:.0f} s")
    hung = "" if req.method == "GET" else "; a hung admission webhook may hold it up"
    return unreachable(req, f"none within {seconds:.0f} s{hung}")


def retry_after(answer: Answer) -> float:
    """The seconds that the server asked us to stay away, 0 where it said nothing (it never sends a date)."""
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isdigit() else 0.0


def warnings_in(answer: Answer) -> list[str]:
    """What the API server warns of beside its answer (RFC 7234, code 299): deprecated versions, Pod Security, unknown fields."""
    return [re.sub(r"\\(.)", r"\1", said) for said in _WARNING.findall(answer.headers.get("warning", ""))]


def back_off(attempt: int, *, first: float = 0.25, most: float = 10.0) -> float:
    """Seconds to pause after the ``attempt``-th failure in a row (from 0):
    doubled each time, shortened at random by up to a half."""
    return min(first * 2.0 ** min(attempt, 32), most) * random.uniform(0.5, 1.0)


class Lines:
    """Cuts the bytes of a watch into events; keeps an unfinished line for the next bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The events that ``data`` completes. Raises :class:`Unavailable` for what is not JSON (a cut connection's leftovers)."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except ValueError:
                raise Unavailable(f"the watch sent something that is not an event: {line[:200]!r}") from None


def event_fault(req: Request, event: Mapping[str, Any]) -> PlatformError | None:
    """The error that an event of type ERROR stands for; None for any other event."""
    if event.get("type") != "ERROR":
        return None
    status = event.get("object") or {}
    code = int(status.get("code") or 500)
    return fault(req, Answer(code, json.dumps(status).encode(), {}))


_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_POD = Kind("", "v1", "Pod", "pods")


def _selectors(labels: str, fields: str) -> Query:
    return tuple((k, v) for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v)


def _message(answer: Answer) -> str:
    try:
        value = answer.json()
    except ValueError:
        return answer.text().strip()[:1000]
    if isinstance(value, dict) and value.get("message"):
        return str(value["message"])[:4000]
    return answer.text().strip()[:1000]


_MISSING_RIGHT = re.compile(r'cannot \S+ (resource|path) "')
"""``User "u" cannot patch resource "services" in API group "" in the namespace "n"``
(k8s.io/apiserver, responsewriters/errors.go)."""


def _error_type(status: int, said: str) -> type[PlatformError]:
    if status == 401:
        return AccessDenied
    if status == 403:
        # Admission (a quota, a policy, a namespace that ends) answers 403 too; only the authorizer says who cannot do what.
        return AccessDenied if _MISSING_RIGHT.search(said) else Rejected
    if status == 404:
        return NotFound
    if status == 409:
        return Conflict
    if status == 410:
        return Expired
    # An apply with a field that the schema does not know is a 500: structured-merge-diff, "failed to create typed patch object".
    if status == 429 or (status >= 500 and "failed to create typed patch object" not in said):
        return Unavailable
    return Rejected


def _with_remedy(req: Request, status: int, said: str, text: str) -> str:
    if status == 401:
        return f"{text}. The login of the kubernetes connection is refused or has expired"
    if status == 403 and _error_type(status, said) is AccessDenied:
        where = f"namespace {req.namespace}" if req.namespace else "the cluster"
        return f"{text}. Missing permission: verb {req.verb} on {req.resource} in {where}; the published Role (deploy/rbac.yaml) grants it"
    cause = cause_in("api", "", said) if status >= 500 else None
    if cause is not None:
        return f"{text}. {cause.reason}: {REASONS[cause.reason].meaning} What to do: {cause.advice}"
    return text
