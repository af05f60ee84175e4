"""A small runtime for tests of the Kubernetes platform alone: a Deployment and its Service, proven by one answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow_provider_llmserve.endpoint import Endpoint, Identity, Service
from airflow_provider_llmserve.readiness.observed import Expected, Observed
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import Ask, State, Verdict
from airflow_provider_llmserve.runtimes.descent import of_deployment
from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, POD, REPLICA_SET, SECRET
from airflow_provider_llmserve.runtimes.mark import ANNOTATION, annotated, mark_of
from airflow_provider_llmserve.runtimes.parts import Call, Facts, Lookup, Permission, Watched
from airflow_provider_llmserve.runtimes.record_home import IN_ANNOTATIONS, RecordHome
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe, ServeSpec


class ToyRuntime:
    """Stands in the place of the module ``runtimes.huggingface.deployment``. ``model_name`` is the image, ``replicas`` the
    replicas."""

    NAME = "deployment"
    PRIMARY = DEPLOYMENT
    PARTS = (("spec", "template"),)
    PERMISSIONS = (
        Permission("apps", "deployments", ("get", "list", "watch", "create", "patch", "delete")),
        Permission("apps", "replicasets", ("list", "watch")),
        Permission("", "pods", ("list", "watch")),
        Permission("", "pods/log", ("get",), optional=True),
        Permission("", "services", ("get", "create", "patch", "delete")),
        Permission("", "services/proxy", ("get",)),
        Permission("", "secrets", ("get",)),
    )

    def __init__(self, record: RecordHome = IN_ANNOTATIONS) -> None:
        self.RECORD = record

    def render(self, spec: ServeSpec, *, name: str, namespace: str, stopped: bool, settings: Settings) -> list[dict[str, Any]]:
        assert isinstance(spec, HuggingFaceServe)
        labels = {"toy": name}
        env = [{"secretRef": {"name": s}} for s in spec.secrets]
        container: dict[str, Any] = {"name": "server", "image": spec.image, "envFrom": env}
        ready_after = dict(spec.node_selector).get("ready-after", "0s")
        pod = {"containers": [container], "terminationGracePeriodSeconds": 1}
        annotations = {"testbed/ready-after": ready_after, ANNOTATION: mark_of([pod, ready_after])}
        template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}
        body = {"replicas": 0 if stopped else spec.replicas, "selector": {"matchLabels": labels}, "template": template}
        manifests = [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": body}]
        if spec.service_name != "none":
            ports = [{"name": "http", "port": 80, "targetPort": 8080}]
            service = {"selector": labels, "ports": ports}
            manifests.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service})
        return manifests

    def mark_in(self, primary: Any) -> str:
        return annotated(primary, "spec", "template", "metadata")

    def lookups(self, spec: ServeSpec, *, name: str, settings: Settings) -> Sequence[Lookup]:
        return [Lookup(SECRET, s) for s in getattr(spec, "secrets", ())]

    def findings(self, spec: ServeSpec, *, name: str, settings: Settings, facts: Facts) -> list[str]:
        return [f"Secret {k.name} does not exist" for k, v in facts.objects.items() if v is None]

    def watched(self, name: str) -> Sequence[Watched]:
        return [
            Watched(DEPLOYMENT, name=name),
            Watched(REPLICA_SET, labels=f"toy={name}"),
            Watched(POD, labels=f"toy={name}"),
            Watched(EVENT, required=False),
            Watched(CONFIG_MAP, name="nobody-may-read-this", required=False),
        ]

    def descends(self, pod: Any, *, name: str, uid: str) -> bool:
        return of_deployment(pod, name)

    def assess(self, expected: Expected, observed: Observed, now: datetime) -> Verdict:
        name = expected.manifest["metadata"]["name"]
        live = observed.get("Deployment", name)
        if live is None:
            return verdict(State.GONE, "disappeared", "gone")
        wanted = expected.manifest["spec"]["replicas"]
        pods = [p for p in observed.of("Pod") if _ready(p) and p["spec"]["containers"][0]["image"] == _image(expected.manifest)]
        log = next((entry.text for entry in observed.logs), "")
        if wanted == 0:
            return verdict(State.SCALED_TO_ZERO, "stopped", "no pods asked for")
        if len(pods) < wanted:
            return verdict(State.PROGRESSING, "starting", f"{len(pods)} of {wanted} ready", detail=log)
        reply = next((r for r in observed.replies if r.ask.name == name), None)
        if reply is None:
            return verdict(State.PROGRESSING, "not_asked", "ready, not asked", ask=[Ask(name)])
        if reply.answered:
            return verdict(State.READY, "proven", f"{wanted} ready", detail=reply.text)
        return verdict(State.PROGRESSING, "not_answering", f"status {reply.status}", detail=reply.text, ask=[Ask(name)])

    def call(self, endpoint: Endpoint, ask: Ask) -> Call:
        i = endpoint.identity
        return Call("GET", f"{endpoint.service.url}/hello", "/hello", service=f"{i.namespace}/{i.name}:http")

    def endpoint(self, spec: ServeSpec, *, identity: Identity, settings: Settings, observed: Observed) -> Endpoint:
        return Endpoint(identity=identity, service=Service(url=f"http://{identity.name}.{identity.namespace}.svc"))


def _image(manifest: Any) -> str:
    return str(manifest["spec"]["template"]["spec"]["containers"][0]["image"])


def _ready(pod: Any) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return not pod["metadata"].get("deletionTimestamp") and any(
        c["type"] == "Ready" and c["status"] == "True" for c in conditions
    )
