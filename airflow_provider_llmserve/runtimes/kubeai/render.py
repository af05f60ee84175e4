"""Spec to ``Model``: a KubeAI object for every spec that ours accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_llmserve.readiness.fields import text
from airflow_provider_llmserve.runtimes.kinds import MODEL
from airflow_provider_llmserve.runtimes.mark import VARIABLE, mark_of
from airflow_provider_llmserve.runtimes.parts import Manifest
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

NOT_IN_PODS = frozenset(
    {
        "replicas",
        "minReplicas",
        "maxReplicas",
        "targetRequests",
        "scaleDownDelaySeconds",
        "autoscalingDisabled",
        "loadBalancing",
        "adapters",
        "features",
    }
)
"""Fields that shape no pod (``internal/modelcontroller/engine_*.go``, v0.22.1), but for two: whether there are adapters, and the
features of OLlama."""


def render(spec: KubeAIText, *, name: str, namespace: str, stopped: bool, settings: Settings) -> list[Manifest]:
    """One Model.

    ``minReplicas`` is always sent (the CRD's rule on ``maxReplicas`` fails without it), ``replicas`` only where autoscaling is
    off (otherwise it is the autoscaler's), ``adapters`` never empty (another engine than vLLM refuses even ``[]``).
    """
    body: dict[str, Any] = {
        "url": spec.url,
        "engine": str(spec.engine),
        "features": [str(f) for f in spec.features],
        "resourceProfile": f"{spec.profile}:{spec.processors}",
        **_scaling(spec, stopped),
        **_unless_empty(
            cacheProfile=spec.cache_profile,
            image=spec.image,
            args=list(spec.args),
            env=dict(sorted(spec.env.items())),
            envFrom=[{"secretRef": {"name": s}} for s in spec.secrets],
            files=[{"path": f.path, "content": f.content} for f in spec.files],
            priorityClassName=spec.priority_class,
            adapters=[{"name": a.name, "url": a.url} for a in spec.adapters],
        ),
    }
    return [
        {
            "apiVersion": MODEL.api_version,
            "kind": MODEL.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": _marked(body),
        }
    ]


def mark_in(primary: Mapping[str, Any]) -> str:
    """The mark in its environment."""
    return text(primary, "spec", "env", VARIABLE)


def _marked(body: dict[str, Any]) -> dict[str, Any]:
    """With the mark in the environment. The contents of files are in it: KubeAI mounts them by subPath, so that new content never
    reaches a running pod and by itself rolls none out (``internal/modelcontroller/files.go``, v0.22.1)."""
    part = {key: value for key, value in body.items() if key not in NOT_IN_PODS}
    part["adapters"] = bool(body.get("adapters"))
    if body["engine"] == "OLlama":
        part["features"] = body["features"]
    return {**body, "env": {**body.get("env", {}), VARIABLE: mark_of(part)}}


def _scaling(spec: KubeAIText, stopped: bool) -> dict[str, Any]:
    scaling = spec.scaling
    out: dict[str, Any] = {
        "minReplicas": scaling.min_replicas,
        "targetRequests": scaling.target_requests,
        "scaleDownDelaySeconds": scaling.scale_down_delay_seconds,
    }
    if scaling.max_replicas is not None:
        out["maxReplicas"] = scaling.max_replicas
    if stopped:
        # With autoscaling off the bounds are kept but not obeyed, so that a resume finds them again.
        out |= {"autoscalingDisabled": True, "replicas": 0}
    elif scaling.autoscaling_disabled:
        out |= {"autoscalingDisabled": True, "replicas": scaling.replicas}
    if scaling.load_balancing is not None:
        balancing: dict[str, Any] = {"strategy": str(scaling.load_balancing.strategy)}
        if (prefix := scaling.load_balancing.prefix_hash) is not None:
            balancing["prefixHash"] = {
                "meanLoadFactor": prefix.mean_load_factor,
                "replication": prefix.replication,
                "prefixCharLength": prefix.prefix_char_length,
            }
        out["loadBalancing"] = balancing
    return out


def _unless_empty(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}
