"""HuggingFace-serve as KServe's InferenceService (v1beta1): standard mode, and Knative mode.

Facts about KServe were read in v0.13 to v0.20 (github.com/kserve/kserve) and seen in runs of v0.20.0's controller with its
webhooks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_llmserve.endpoint import Endpoint, Identity
from airflow_provider_llmserve.readiness.fields import labels_of, text
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.runtimes.descent import of_deployment
from airflow_provider_llmserve.runtimes.huggingface import endpoint as endpoints
from airflow_provider_llmserve.runtimes.huggingface import pod_template
from airflow_provider_llmserve.runtimes.huggingface.command_line import command_line, image_version
from airflow_provider_llmserve.runtimes.huggingface.endpoint import call
from airflow_provider_llmserve.runtimes.huggingface.flags import Version
from airflow_provider_llmserve.runtimes.huggingface.inferenceservice_assess import PARTS, assess, mark_in
from airflow_provider_llmserve.runtimes.huggingface.kserve import (
    AUTOSCALER,
    DISABLE_AUTO_UPDATE,
    ISVC_LABEL,
    MODE,
    STOP,
    STORAGE_SECRET,
    mode_word,
)
from airflow_provider_llmserve.runtimes.huggingface.path import hub_path
from airflow_provider_llmserve.runtimes.huggingface.preflight import (
    CLASSES,
    common_findings,
    common_lookups,
    common_notes,
    laid_over,
    present,
)
from airflow_provider_llmserve.runtimes.huggingface.profile import overlaid
from airflow_provider_llmserve.runtimes.kinds import CRD, DEPLOYMENT, EVENT, INFERENCE_SERVICE, POD, PVC, REPLICA_SET
from airflow_provider_llmserve.runtimes.mark import ANNOTATION, mark_of
from airflow_provider_llmserve.runtimes.parts import Facts, Lookup, Manifest, Permission, Watched
from airflow_provider_llmserve.runtimes.record import MANAGED_BY
from airflow_provider_llmserve.runtimes.record_home import IN_CONFIG_MAP
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe

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

NAME = "inferenceservice"
PRIMARY = INFERENCE_SERVICE
RECORD = IN_CONFIG_MAP
"""Any changed annotation or label of an InferenceService rolls the model out, so owner and spec live in a ConfigMap that it
owns."""

_READ = ("get", "list", "watch")
_WATCH = ("list", "watch")
PERMISSIONS: tuple[Permission, ...] = (
    Permission("serving.kserve.io", "inferenceservices", (*_READ, "create", "patch", "delete")),
    Permission("apps", "deployments", _WATCH),
    Permission("apps", "replicasets", _WATCH),
    Permission("", "pods", _WATCH),
    Permission("", "persistentvolumeclaims", (*_READ, "create", "patch", "delete"), optional=True),
    Permission("", "events", _WATCH, optional=True),
    Permission("", "pods/log", ("get",), optional=True),
    Permission("", "secrets", ("get",), optional=True),
    Permission("", "serviceaccounts", ("get",), optional=True),
    Permission("", "services/proxy", ("get", "create"), optional=True),
    Permission("", "pods/proxy", ("get",), optional=True),
    Permission("apiextensions.k8s.io", "customresourcedefinitions", ("get",), optional=True),
    *CLASSES,
)

_ISVC_CRD = Lookup(CRD, "inferenceservices.serving.kserve.io")
_KNATIVE_CRD = Lookup(CRD, "services.serving.knative.dev")
_HOST_LIMIT = 63
_HOST_EXTRA = len("-predictor-")


def render(spec: HuggingFaceServe, *, name: str, namespace: str, stopped: bool, settings: Settings) -> list[Manifest]:
    """The InferenceService, and the claims of new volumes.

    ``spec.predictor.annotations`` carries the mark; KServe copies it into the pod template, in both modes. It does not change
    with replicas or strategy, so scaling rolls nothing out. The Secret for the storage is named by an annotation that KServe
    copies into the pods as well (``buildObjectMeta``), so it is in the mark.
    """
    spec = overlaid(spec, settings)
    predictor = _predictor(spec, name, settings)
    annotations = _annotations(spec, stopped, settings)
    copied = {**_progress_deadline(spec), **{k: v for k, v in annotations.items() if k == STORAGE_SECRET}}
    predictor["annotations"] = {ANNOTATION: mark_of([predictor, copied]), **_progress_deadline(spec)}
    predictor |= _scaling(spec)
    if stopped and not _knows_stop(spec, settings):
        predictor["minReplicas"] = 0
    if spec.deployment_mode == "Standard":
        predictor["deploymentStrategy"] = pod_template.rollout_strategy(spec)
    manifests: list[Manifest] = [
        {
            "apiVersion": INFERENCE_SERVICE.api_version,
            "kind": INFERENCE_SERVICE.kind,
            "metadata": {"name": name, "namespace": namespace, "labels": dict(MANAGED_BY), "annotations": annotations},
            "spec": {"predictor": predictor},
        }
    ]
    for claim in pod_template.claims(spec, name=name):
        metadata = {**claim["metadata"], "namespace": namespace, "labels": dict(MANAGED_BY)}
        manifests.append({"apiVersion": "v1", "kind": PVC.kind, "metadata": metadata, "spec": claim["spec"]})
    return manifests


def bounds(spec: HuggingFaceServe) -> tuple[int, int]:
    """Fewest and most replicas."""
    low = (spec.replicas or 1) if spec.min_replicas is None else spec.min_replicas
    high = max(low, 1) if spec.max_replicas is None else spec.max_replicas
    return low, max(low, high)


def lookups(spec: HuggingFaceServe, *, name: str, settings: Settings) -> list[Lookup]:
    """KServe itself, the object that stands there, and what the pods stand on."""
    found = [*common_lookups(spec, settings), _ISVC_CRD, Lookup(INFERENCE_SERVICE, name)]
    return [*found, _KNATIVE_CRD] if spec.deployment_mode == "Knative" else found


def findings(spec: HuggingFaceServe, *, name: str, settings: Settings, facts: Facts) -> list[str]:
    """Everything that shows before any write."""
    found = [*laid_over(spec, settings)[1], *_bad_name(name, settings.namespace), *_bad_cluster(spec, name, settings, facts)]
    return [
        *found,
        *common_findings(spec, name=name, settings=settings, facts=facts, image=spec.image, version=_version(spec, settings)),
    ]


def notes(spec: HuggingFaceServe, *, name: str, settings: Settings) -> list[str]:
    """What the deployer should know although nothing is wrong: said once, in the log."""
    spec = overlaid(spec, settings)
    said = list(common_notes(spec, _version(spec, settings)))
    image = spec.image or ""
    if image and pod_template.gpus(spec) and "@" not in image and not image.endswith("-gpu"):
        said.append(
            f"image {image}: KServe appends -gpu to the tag where GPUs are asked for, of a mirror's image too; the registry must have "
            f"{image}-gpu, or pin the image by digest"
        )
    if not spec.resources.cpu:
        said.append(
            "resources: no CPU is asked for, so KServe's default of 1 CPU a replica is: on a small node a second replica, or the new "
            "pod of an update, finds no room; set resources.cpu"
        )
    if spec.deployment_mode == "Standard" and spec.startup_seconds > 600:
        said.append(
            "startup_seconds: KServe's own progress deadline is 600 s and cannot be set; its status may say that the deadline "
            "was exceeded while the model still loads, which does not end the wait"
        )
    return said


def descends(pod: Mapping[str, Any], *, name: str, uid: str) -> bool:
    """By KServe's label and the Deployment whose ReplicaSet made it: ``<name>-predictor``, in Knative mode
    ``<name>-predictor-<revision>-deployment``."""
    if labels_of(pod).get(ISVC_LABEL) != name:
        return False
    revision = text(labels_of(pod), "serving.knative.dev/revision")
    knative = revision.startswith(f"{name}-predictor-") and of_deployment(pod, f"{revision}-deployment")
    return knative or of_deployment(pod, f"{name}-predictor")


def watched(name: str) -> list[Watched]:
    """The InferenceService, what came of it by KServe's label, and events where they may be read."""
    label = f"{ISVC_LABEL}={name}"
    return [
        Watched(INFERENCE_SERVICE, name=name),
        Watched(DEPLOYMENT, labels=label),
        Watched(REPLICA_SET, labels=label),
        Watched(POD, labels=label),
        Watched(EVENT, required=False, about=(name, f"{name}-")),
    ]


def endpoint(spec: HuggingFaceServe, *, identity: Identity, settings: Settings, observed: Observed) -> Endpoint:
    """The address in the cluster that the status gives (the predictor's Service before there is one), then the one outside."""
    live = observed.get(INFERENCE_SERVICE.kind, identity.name)
    inside = text(live, "status", "address", "url") or f"http://{identity.name}-predictor.{identity.namespace}.svc.cluster.local"
    urls = dict.fromkeys(u.rstrip("/") for u in (inside, text(live, "status", "url")) if u)
    return endpoints.endpoint(spec, identity=identity, urls=tuple(urls), version=_version(spec, settings))


def _version(spec: HuggingFaceServe, settings: Settings) -> Version | None:
    """Of the image that the spec names, else of the cluster's KServe, whose runtime brings its own."""
    return image_version(spec.image if spec.image else f":{settings.kserve_version}")


def _annotations(spec: HuggingFaceServe, stopped: bool, settings: Settings) -> dict[str, str]:
    version = image_version(f":{settings.kserve_version}")
    annotations = {MODE: mode_word(spec.deployment_mode, version)}
    low, high = bounds(spec)
    if spec.deployment_mode == "Standard":
        # Without it an HPA is always made, which raises minReplicas 0 to 1; "none" came with 0.15.
        fixed = low == high or (stopped and not _knows_stop(spec, settings))
        annotations[AUTOSCALER] = "none" if fixed and (version is None or version >= (0, 15)) else "hpa"
    if stopped:
        annotations[STOP] = "true"
    if spec.storage_secret:
        annotations[STORAGE_SECRET] = spec.storage_secret
    return annotations


def _knows_stop(spec: HuggingFaceServe, settings: Settings) -> bool:
    """Whether KServe obeys its stop annotation; in standard mode from 0.16 on.
    Before, no autoscaler and no replicas do the same."""
    version = image_version(f":{settings.kserve_version}")
    return version is None or version >= ((0, 16) if spec.deployment_mode == "Standard" else (0, 15))


def _scaling(spec: HuggingFaceServe) -> dict[str, Any]:
    low, high = bounds(spec)
    fields: dict[str, Any] = {
        "minReplicas": low,
        "maxReplicas": high,
        "scaleTarget": spec.scale_target,
        "scaleMetric": spec.scale_metric,
        "canaryTrafficPercent": spec.canary_traffic_percent,
    }
    return {k: v for k, v in fields.items() if v is not None}


def _progress_deadline(spec: HuggingFaceServe) -> dict[str, str]:
    """Knative gives a revision up after its own deadline of 600 s."""
    if spec.deployment_mode != "Knative":
        return {}
    return {"serving.knative.dev/progress-deadline": f"{spec.startup_seconds + 60}s"}


def _predictor(spec: HuggingFaceServe, name: str, settings: Settings) -> dict[str, Any]:
    hub = hub_path(spec.path) is not None
    volumes, mounts = pod_template.volumes(spec, name=name, by_kserve=True)
    model: dict[str, Any] = {
        "modelFormat": {"name": "huggingface"},
        "runtime": spec.serving_runtime,
        "storageUri": None if hub or spec.path.startswith("/") else spec.path,
        "image": spec.image,
        "args": command_line(spec, _version(spec, settings)).args,
        "env": pod_template.env(spec),
        "envFrom": pod_template.env_from(*spec.secrets),
        "resources": _resources(spec),
        "volumeMounts": mounts,
        **_probes(spec),
    }
    predictor: dict[str, Any] = {**pod_template.placement(spec)}
    if spec.deployment_mode == "Standard":
        # Knative refuses these fields: its queue-proxy drains by itself.
        model["lifecycle"] = pod_template.handover()
        predictor |= pod_template.ending()
    predictor["model"] = {k: v for k, v in model.items() if v not in (None, [], {})}
    if volumes:
        predictor["volumes"] = volumes
    if spec.volumes:
        predictor["securityContext"] = {"fsGroup": pod_template.pod_security()["fsGroup"]}
    return predictor


def _resources(spec: HuggingFaceServe) -> dict[str, Any]:
    """With a limit for what is requested: KServe fills absent limits with 1 CPU and 2 Gi, below what a model asks for."""
    resources = pod_template.resources(spec)
    if "cpu" in resources.get("requests", {}):
        resources["limits"] = {**resources.get("limits", {}), "cpu": resources["requests"]["cpu"]}
    return resources


def _probes(spec: HuggingFaceServe) -> dict[str, Any]:
    """Without a probe KServe asks only whether the port is open. Knative rewrites probes and wants no port in them."""
    probes = pod_template.probes(spec.model_name, spec.startup_seconds)
    if spec.deployment_mode == "Standard":
        return probes
    ready = probes["readinessProbe"]
    return {"readinessProbe": {**ready, "httpGet": {"path": ready["httpGet"]["path"]}}}


def _bad_name(name: str, namespace: str) -> Iterator[str]:
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield f"name {name!r}: an InferenceService takes lower-case letters, digits and inner dashes, a letter first; set the operator's name"
    if len(name) + _HOST_EXTRA + len(namespace) > _HOST_LIMIT:
        yield (
            f"name {name!r}: KServe makes the host name {name}-predictor-{namespace} of it, which has more than {_HOST_LIMIT} characters; "
            f"shorten it to {max(_HOST_LIMIT - _HOST_EXTRA - len(namespace), 0)}"
        )


def _bad_cluster(spec: HuggingFaceServe, name: str, settings: Settings, facts: Facts) -> Iterator[str]:
    if facts.objects.get(_ISVC_CRD, _ISVC_CRD) is None:
        yield "KServe is not installed (there is no kind InferenceService); install it, or set runtime: deployment"
    if spec.deployment_mode == "Knative" and present(facts, _KNATIVE_CRD.kind, _KNATIVE_CRD.name) is False:
        yield "deployment_mode Knative: Knative is not installed, and KServe would wait for ever; use deployment_mode: Standard"
    standing = facts.objects.get(Lookup(INFERENCE_SERVICE, name)) or {}
    annotations = (standing.get("metadata") or {}).get("annotations") or {}
    if annotations.get(DISABLE_AUTO_UPDATE) == "true":
        yield (
            f"InferenceService {name!r} carries {DISABLE_AUTO_UPDATE}: while it is Ready, KServe skips every update of it; remove the annotation"
        )
    version = image_version(f":{settings.kserve_version}")
    mode = text(standing, "status", "deploymentMode")
    if mode and mode_word(mode, version) != mode_word(spec.deployment_mode, version):
        yield f"InferenceService {name!r} runs in mode {mode}, which KServe never changes; tear it down first, or use another name"
