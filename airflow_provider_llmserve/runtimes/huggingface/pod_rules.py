"""What Kubernetes refuses about a pod and a spec does not: labels, tolerations, mounts.

Rules of pkg/apis/core/validation and apimachinery's ``validation.IsQualifiedName``, Kubernetes 1.36.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_llmserve.runtimes.huggingface.pod_template import model_mount
from airflow_provider_llmserve.specs import HuggingFaceServe
from airflow_provider_llmserve.specs.quantity import quantity

_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def pod_findings(spec: HuggingFaceServe) -> Iterator[str]:
    """What the API server would refuse about the pod of this spec."""
    for key, value in spec.node_selector.items():
        if not is_label_key(key):
            yield f"node_selector: {key!r} is no label key: [domain/]name, letters, digits and inner - _ . of at most 63 characters"
        if not is_label_value(value):
            yield f"node_selector: {value!r} (of {key!r}) is no label value: letters, digits and inner - _ . of at most 63 characters"
    for i, toleration in enumerate(spec.tolerations):
        for problem in _bad_toleration(toleration):
            yield f"tolerations.{i}: {problem}"
    yield from _bad_volumes(spec)


def _bad_volumes(spec: HuggingFaceServe) -> Iterator[str]:
    for volume in spec.volumes:
        below = volume.spec.get("subPath", "")
        if below.startswith("/") or ".." in below.split("/"):
            yield f"volume {volume.name!r}: subPath {below!r} must be relative and without '..'"
        storage_class = volume.spec.get("storageClass", "")
        if storage_class and not (len(storage_class) <= 253 and _SUBDOMAIN.fullmatch(storage_class)):
            yield f"volume {volume.name!r}: {storage_class!r} is no name of a storage class"
        if volume.volume_type != "empty_dir" and "size" in volume.spec and (quantity(volume.spec["size"]) or 0) <= 0:
            yield f"volume {volume.name!r}: a claim of size {volume.spec['size']} is none; give a size above 0"
    if spec.path.lower().startswith("pvc://"):
        for volume in spec.volumes:
            if volume.mount_path.rstrip("/") == model_mount(spec):
                yield f"volume {volume.name!r}: the claim of path is mounted at {volume.mount_path} already; mount it elsewhere"


def is_label_key(key: str) -> bool:
    """``[domain/]name``."""
    domain, slash, name = key.rpartition("/")
    if slash and not (len(domain) <= 253 and _SUBDOMAIN.fullmatch(domain)):
        return False
    return bool(_WORD.fullmatch(name))


def is_label_value(value: str) -> bool:
    """Empty is one."""
    return value == "" or bool(_WORD.fullmatch(value))


def _bad_toleration(toleration: Mapping[str, Any]) -> Iterator[str]:
    key, operator = str(toleration.get("key") or ""), str(toleration.get("operator") or "")
    value, effect = str(toleration.get("value") or ""), str(toleration.get("effect") or "")
    if key and not is_label_key(key):
        yield f"key {key!r} is no label key"
    if not key and operator != "Exists":
        yield "without a key the operator must be Exists (it then tolerates everything)"
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield "tolerationSeconds needs the effect NoExecute"
    if operator in ("", "Equal"):
        if not is_label_value(value):
            yield f"value {value!r} is no label value"
    elif operator == "Exists":
        if value:
            yield "with the operator Exists there is no value"
    elif operator not in ("Lt", "Gt"):
        yield f"operator {operator!r} is none of Exists, Equal"
    if effect and effect not in _EFFECTS:
        yield f"effect {effect!r} is none of {', '.join(_EFFECTS)}"
