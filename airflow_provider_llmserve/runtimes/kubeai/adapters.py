"""KubeAI's traces of an adapter: the label of a pod, its hash, and the name by which a request asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_llmserve.readiness.fields import items, labels_of, text

LABEL_PREFIX = "adapter.kubeai.org/"
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def url_hash(url: str) -> str:
    """The value of the label ``adapter.kubeai.org/<name>``.

    FNV-1a (32 bits) of the URL in decimal, each digit mapped by Kubernetes' ``rand.SafeEncodeString``
    (``internal/modelcontroller/adapters.go``, v0.22.1).
    """
    value = 0x811C9DC5
    for byte in url.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_SAFE[ord(c) % len(_SAFE)] for c in str(value))


def request_name(model: str, adapter: str) -> str:
    """The ``model`` of a request for an adapter (``internal/apiutils/model.go``: split at the first underscore)."""
    return f"{model}_{adapter}"


def wanted(spec: Mapping[str, Any]) -> dict[str, str]:
    """Name to URL of a Model spec's adapters; of two with one name, the last."""
    return {text(a, "name"): text(a, "url") for a in items(spec, "adapters")}


def labels(pod: Mapping[str, Any]) -> dict[str, str]:
    """Name to hash of the adapters that a pod's labels claim."""
    return {key.removeprefix(LABEL_PREFIX): str(value) for key, value in labels_of(pod).items() if key.startswith(LABEL_PREFIX)}
