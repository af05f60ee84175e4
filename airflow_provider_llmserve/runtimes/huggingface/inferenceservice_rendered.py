"""Has KServe's controller rendered this very InferenceService into its Deployment?

``status.observedGeneration`` is the Deployment's counter, not the InferenceService's (kserve #6081), and Ready stays True while
nothing was rendered yet; so the Deployment's pod template is compared with what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_llmserve.readiness.fields import at, items, mapping, text
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.runtimes.huggingface.identity import drift
from airflow_provider_llmserve.runtimes.huggingface.kserve import (
    DISABLE_AUTO_UPDATE,
    MODE,
    RUNTIME_CONTAINER,
    SOURCE_URI,
    mode_of,
)

_POD_FIELDS = (
    "nodeSelector",
    "tolerations",
    "affinity",
    "runtimeClassName",
    "priorityClassName",
    "serviceAccountName",
    "volumes",
)
_CONTAINER_FIELDS = ("env", "envFrom", "resources", "readinessProbe", "livenessProbe", "startupProbe", "volumeMounts")
_NOT_COPIED = ("autoscaling.knative.dev/", "kubectl.kubernetes.io/", "serving.kserve.io/storage")
"""Annotations of the InferenceService that need not arrive in the pod template (buildObjectMeta, v0.20.0)."""


def unrendered(manifest: Object, deployment: Object) -> list[str]:
    """What of the manifest is not in the Deployment's pod template; empty where all of it is.

    ``spec.predictor.annotations`` holds our digest of the spec, so that alone decides for what we rendered; the rest tells what
    differs, and decides for an InferenceService that came from elsewhere.
    """
    return list(_differences(manifest, deployment))


def annotation_drift(manifest: Object, live: Object) -> list[str]:
    """Keys of the annotations that we set and that are not so on the live object.
    The webhook writes the mode in today's words."""
    asked, there = mapping(manifest, "metadata", "annotations"), mapping(live, "metadata", "annotations")
    return [key for key, value in asked.items() if not _same_annotation(key, value, there.get(key))]


def _differences(manifest: Object, deployment: Object) -> Iterator[str]:
    predictor, pod = mapping(manifest, "spec", "predictor"), mapping(deployment, "spec", "template", "spec")
    there = mapping(deployment, "spec", "template", "metadata", "annotations")
    for key, value in mapping(predictor, "annotations").items():
        if there.get(key) != value:
            yield f"annotation {key}"
    for key, value in mapping(manifest, "metadata", "annotations").items():
        copied = not key.startswith(_NOT_COPIED) and key != DISABLE_AUTO_UPDATE
        if copied and not _same_annotation(key, value, there.get(key)):
            yield f"annotation {key}"
    source = text(predictor, "model", "storageUri")
    if source and SOURCE_URI in there and there[SOURCE_URI] != source:
        yield "storageUri"
    model = mapping(predictor, "model")
    container = next((c for c in items(pod, "containers") if c.get("name") == RUNTIME_CONTAINER), {})
    yield from _container(model, container)
    for field in _POD_FIELDS:
        if field in predictor and list(drift(predictor[field], pod.get(field), field)):
            yield field


def _container(model: Object, container: Object) -> Iterator[str]:
    asked, there = _words(model), _words(container)
    if asked and there[-len(asked) :] != asked:  # the runtime's own arguments stand before ours
        yield "args"
    image, live_image = text(model, "image"), text(container, "image")
    if image and live_image not in (image, f"{image}-gpu"):
        yield "image"
    for field in _CONTAINER_FIELDS:
        if field in model and list(drift(model[field], container.get(field), field)):
            yield field


def _words(container: Object) -> list[Any]:
    args = at(container, "args")
    return list(args) if isinstance(args, (list, tuple)) else []


def _same_annotation(key: str, asked: Any, live: Any) -> bool:
    if key == MODE:
        return mode_of(str(asked)) == mode_of(str(live))
    return bool(asked == live)
