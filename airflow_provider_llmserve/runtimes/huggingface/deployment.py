"""HuggingFace-serve as a Deployment with its Service: what DigitalHub makes, without its defects.

DigitalHub (scc-digitalhub/digitalhub-core 0.14, HuggingfaceServeRunner.java) sets no ports, no probes, no ``/dev/shm`` and 100 Mi
for a model from S3, and sends switches as ``--flag false``, which turns them on.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_llmserve.endpoint import Endpoint, Identity
from airflow_provider_llmserve.readiness.fields import labels_of
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.runtimes import mark
from airflow_provider_llmserve.runtimes.descent import of_deployment
from airflow_provider_llmserve.runtimes.huggingface import endpoint as endpoints
from airflow_provider_llmserve.runtimes.huggingface import pod_template
from airflow_provider_llmserve.runtimes.huggingface.command_line import command_line, image_version
from airflow_provider_llmserve.runtimes.huggingface.deployment_assess import PARTS, assess, mark_in
from airflow_provider_llmserve.runtimes.huggingface.endpoint import call
from airflow_provider_llmserve.runtimes.huggingface.flags import NEWEST_TAG
from airflow_provider_llmserve.runtimes.huggingface.path import MODEL_DIR
from airflow_provider_llmserve.runtimes.huggingface.preflight import (
    CLASSES,
    common_findings,
    common_lookups,
    common_notes,
    laid_over,
)
from airflow_provider_llmserve.runtimes.huggingface.profile import overlaid
from airflow_provider_llmserve.runtimes.kinds import DEPLOYMENT, EVENT, POD, PVC, REPLICA_SET, SERVICE
from airflow_provider_llmserve.runtimes.parts import Facts, Lookup, Manifest, Permission, Watched
from airflow_provider_llmserve.runtimes.record import MANAGED_BY
from airflow_provider_llmserve.runtimes.record_home import IN_ANNOTATIONS
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe
from airflow_provider_llmserve.specs.values import MAX_INT32

__all__ = [
    "NAME",
    "PARTS",
    "PERMISSIONS",
    "PRIMARY",
    "RECORD",
    "assess",
    "call",
    "descends",
    "endpoint",
    "findings",
    "lookups",
    "mark_in",
    "notes",
    "render",
    "watched",
]

NAME = "deployment"
PRIMARY = DEPLOYMENT
RECORD = IN_ANNOTATIONS

PERMISSIONS: tuple[Permission, ...] = (
    Permission("apps", "deployments", ("get", "list", "watch", "create", "patch", "delete")),
    Permission("apps", "replicasets", ("list", "watch")),
    Permission("", "services", ("get", "list", "watch", "create", "patch", "delete")),
    Permission("", "persistentvolumeclaims", ("get", "list", "watch", "create", "patch", "delete"), optional=True),
    Permission("", "pods", ("list", "watch")),
    Permission("", "events", ("list", "watch"), optional=True),
    Permission("", "pods/log", ("get",), optional=True),
    Permission("", "secrets", ("get",), optional=True),
    Permission("", "serviceaccounts", ("get",), optional=True),
    Permission("", "services/proxy", ("get", "create"), optional=True),
    Permission("", "pods/proxy", ("get",), optional=True),
    *CLASSES,
)

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
DEFAULT_IMAGE = f"kserve/huggingfaceserver:{NEWEST_TAG[max(NEWEST_TAG)]}"
"""The CPU image; with GPUs its ``-gpu`` tag."""

_GCS_KEY = "/var/secrets/gcloud-application-credentials.json"
"""Where KServe's storage initializer expects a Google service account (pkg/credentials/gcs)."""


def labels(name: str) -> dict[str, str]:
    """What selects the pods of one serving run."""
    return {LABEL_NAME: "huggingfaceserve", LABEL_INSTANCE: name}


def image_of(spec: HuggingFaceServe) -> str:
    """The spec's image, or the newest published one that suits its hardware."""
    return spec.image or (f"{DEFAULT_IMAGE}-gpu" if pod_template.gpus(spec) else DEFAULT_IMAGE)


def render(spec: HuggingFaceServe, *, name: str, namespace: str, stopped: bool, settings: Settings) -> list[Manifest]:
    """Deployment, Service, the alias Service where one is asked for, and the claims of new volumes."""
    spec = overlaid(spec, settings)
    deployment = {
        **_number(0 if stopped else spec.replicas),
        "selector": {"matchLabels": labels(name)},
        "strategy": pod_template.rollout_strategy(spec),
        "progressDeadlineSeconds": min(spec.startup_seconds + 60, MAX_INT32),
        "revisionHistoryLimit": 2,
        "template": _marked({"metadata": {"labels": {**labels(name), **MANAGED_BY}}, "spec": _pod(spec, name, settings)}),
    }
    manifests = [_manifest(DEPLOYMENT.api_version, "Deployment", name, namespace, name, spec=deployment)]
    for service, body in services(spec, name, namespace).items():
        manifests.append(_manifest("v1", SERVICE.kind, service, namespace, name, spec=body))
    for claim in pod_template.claims(spec, name=name):
        manifests.append(_manifest("v1", PVC.kind, claim["metadata"]["name"], namespace, name, spec=claim["spec"]))
    return manifests


def _number(replicas: int | None) -> dict[str, int]:
    return {} if replicas is None else {"replicas": replicas}


def _marked(template: dict[str, Any]) -> dict[str, Any]:
    return {**template, "metadata": {**template["metadata"], "annotations": {mark.ANNOTATION: mark.mark_of(template)}}}


def services(spec: HuggingFaceServe, name: str, namespace: str) -> dict[str, dict[str, Any]]:
    """Name and spec of the Service and of its alias.

    ``ExternalName`` makes the alias a DNS name for the
    Service; the Service itself stays one with an address.
    """
    ports = [
        {"name": "http", "port": pod_template.HTTP_PORT, "targetPort": "http", "protocol": "TCP"},
        {"name": "grpc", "port": pod_template.GRPC_PORT, "targetPort": "grpc", "protocol": "TCP"},
    ]
    external = spec.service_type == "ExternalName"
    body: dict[str, Any] = {"type": "ClusterIP" if external else spec.service_type, "selector": labels(name), "ports": ports}
    made = {name: body}
    if spec.service_name:
        host = f"{name}.{namespace}.svc.cluster.local"
        made[spec.service_name] = {"type": "ExternalName", "externalName": host} if external else copy.deepcopy(body)
    return made


def descends(pod: Mapping[str, Any], *, name: str, uid: str) -> bool:
    """By our label and the ReplicaSet that made it: the Deployment's uid stands in the ReplicaSet alone, which may be gone."""
    return MANAGED_BY.items() <= labels_of(pod).items() and of_deployment(pod, name)


def watched(name: str) -> list[Watched]:
    """Deployment, ReplicaSets, pods and Service by our labels, and events where they may be read."""
    selector = ",".join(f"{k}={v}" for k, v in labels(name).items())
    return [
        Watched(DEPLOYMENT, name=name),
        Watched(REPLICA_SET, labels=selector),
        Watched(POD, labels=selector),
        Watched(SERVICE, labels=selector),
        Watched(EVENT, required=False, about=(name, f"{name}-")),
    ]


def lookups(spec: HuggingFaceServe, *, name: str, settings: Settings) -> list[Lookup]:
    """The Secrets, claims and account that the pods stand on, and the Services whose names we take."""
    return list(common_lookups(spec, settings))


def findings(spec: HuggingFaceServe, *, name: str, settings: Settings, facts: Facts) -> list[str]:
    """Everything that shows before any write."""
    laid, found = laid_over(spec, settings)
    image = image_of(laid)
    found += [*_bad_name(name), *_bad_service(spec)]
    found += common_findings(spec, name=name, settings=settings, facts=facts, image=image, version=image_version(image))
    return found


def notes(spec: HuggingFaceServe, *, name: str, settings: Settings) -> list[str]:
    """What the deployer should know although nothing is wrong: said once, in the log."""
    spec = overlaid(spec, settings)
    said = list(common_notes(spec, image_version(image_of(spec))))
    if spec.strategy is None and pod_template.gpus(spec):
        chosen = pod_template.strategy_of(spec)
        why = {
            "surge": "an update starts the new pod beside the old one, which needs a spare GPU for that time",
            "in_place": "an update takes one replica down before its successor starts, and needs no spare GPU",
        }[chosen]
        said.append(f'strategy: "{chosen}" by default: {why}')
    return said


def endpoint(spec: HuggingFaceServe, *, identity: Identity, settings: Settings, observed: Observed) -> Endpoint:
    """The Service's address in the cluster, the load balancer's or the node port where there is one,
    and the protocols of the task."""
    services = [identity.name, *([spec.service_name] if spec.service_name else [])]
    urls = [f"http://{s}.{identity.namespace}.svc:{pod_template.HTTP_PORT}" for s in services]
    outside = endpoints.outside_urls(observed.get("Service", identity.name))
    return endpoints.endpoint(spec, identity=identity, urls=(*urls, *outside), version=image_version(image_of(spec)))


def _bad_name(name: str) -> Iterator[str]:
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name):
        yield (
            f"name {name!r}: the Service needs a name of at most 63 lower-case letters, digits and inner dashes that begins with a "
            "letter; set the operator's name"
        )


def _bad_service(spec: HuggingFaceServe) -> Iterator[str]:
    if spec.service_type == "ExternalName" and not spec.service_name:
        yield "service_type ExternalName makes a DNS name for the Service; say which: service_name"


def _manifest(api_version: str, kind: str, name: str, namespace: str, run: str, *, spec: Any) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "labels": {**labels(run), **MANAGED_BY}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _pod(spec: HuggingFaceServe, name: str, settings: Settings) -> dict[str, Any]:
    image = image_of(spec)
    volumes, mounts = pod_template.volumes(spec, name=name)
    server: dict[str, Any] = {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": command_line(spec, image_version(image)).args,
        "ports": [
            {"name": "http", "containerPort": pod_template.HTTP_PORT, "protocol": "TCP"},
            {"name": "grpc", "containerPort": pod_template.GRPC_PORT, "protocol": "TCP"},
        ],
        "env": pod_template.env(spec, HF_HOME=pod_template.HF_HOME),
        "envFrom": pod_template.env_from(*spec.secrets),
        "resources": pod_template.resources(spec),
        "volumeMounts": mounts,
        "securityContext": pod_template.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": pod_template.handover(),
        **pod_template.probes(spec.model_name, spec.startup_seconds),
    }
    pod: dict[str, Any] = {
        "containers": [_filled(server)],
        "securityContext": pod_template.pod_security(),
        "automountServiceAccountToken": False,
        # A Service called "vllm" would otherwise put VLLM_PORT=tcp://… into the environment, which vLLM reads as its port.
        "enableServiceLinks": False,
        **pod_template.ending(),
        **pod_template.placement(spec),
    }
    if pod_template.fetched_by_init(spec):
        init, volumes = _initializer(spec, settings, volumes)
        pod["initContainers"] = [init]
    if volumes:
        pod["volumes"] = volumes
    return pod


def _initializer(spec: HuggingFaceServe, settings: Settings, volumes: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """KServe's storage initializer, which fetches the model before the server starts.
    Credentials come by Secret reference alone."""
    env = pod_template.env(spec)
    model_volume = pod_template.model_volume_name(spec)
    mounts: list[dict[str, Any]] = [{"name": model_volume, "mountPath": MODEL_DIR}]
    if spec.storage_secret and spec.path.lower().startswith("gs://"):
        env = pod_template.env(spec, GOOGLE_APPLICATION_CREDENTIALS=_GCS_KEY)
        volumes = [*volumes, {"name": "storage-secret", "secret": {"secretName": spec.storage_secret}}]
        mounts.append({"name": "storage-secret", "mountPath": "/var/secrets", "readOnly": True})
    container = {
        "name": "storage-initializer",
        "image": settings.storage_initializer_image,
        "imagePullPolicy": "IfNotPresent",
        "args": [spec.path, MODEL_DIR],
        "env": env,
        "envFrom": pod_template.env_from(spec.storage_secret, *spec.secrets),
        "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": mounts,
        "securityContext": pod_template.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return _filled(container), volumes


def _filled(container: dict[str, Any]) -> dict[str, Any]:
    """The container without what is empty."""
    return {k: v for k, v in container.items() if v not in ([], {})}
