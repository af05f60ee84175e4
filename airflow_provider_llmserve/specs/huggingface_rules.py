"""What a real cluster cannot do with a HuggingFace-serve spec, beyond the rules of the spec itself: pure, for preflight."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_llmserve.specs.huggingface import HuggingFaceServe
from airflow_provider_llmserve.specs.values import scheme_of

_FETCHED = ("hf", "s3", "gs", "http", "https", "hdfs", "webhdfs", "pvc")
"""What KServe's storage initializer fetches, and pvc, which is mounted
(kserve/kserve, config/storagecontainers/default.yaml, read after v0.20)."""
_FETCHED_BY_KSERVE = (*_FETCHED, "oci", "oci+native", "oci+fetch", "modelscope")


def huggingface_findings(spec: HuggingFaceServe, *, name: str | None = None) -> list[str]:
    """Everything in ``spec`` that no cluster can serve, each with its remedy.

    ``name`` is the serving run's name where it is not the spec's own.
    """
    return list(_findings(spec, spec.object_name if name is None else name))


def _findings(spec: HuggingFaceServe, name: str) -> Iterator[str]:
    scheme = scheme_of(spec.path)
    fetched = _FETCHED_BY_KSERVE if spec.runtime == "inferenceservice" else _FETCHED
    if not scheme:
        below = any(f"{spec.path}/".startswith(f"{v.mount_path.rstrip('/')}/") for v in spec.volumes)
        if not below and spec.image is None:
            yield f"path {spec.path} lies in none of the spec's volumes; mount one there, or give an image that holds the model"
    elif scheme == "file":
        yield f"path {spec.path} is on this machine; only the local platform reads it, so upload it and give its s3:// url"
    elif scheme not in fetched:
        yield f"path: nothing in the cluster can fetch {scheme}:// urls; known: {', '.join(f'{s}://' for s in fetched)}"
    if spec.runtime == "inferenceservice" and spec.deployment_mode == "Standard" and spec.min_replicas == 0:
        yield (
            "min_replicas: 0 is raised to 1 by KServe in Standard mode; use StopOperator to serve nothing, "
            "or deployment_mode: Knative to scale to zero when idle"
        )
    if spec.service_name is not None and spec.service_name == name:
        yield f"service_name {spec.service_name!r} is the deployment's own Service; choose another"
