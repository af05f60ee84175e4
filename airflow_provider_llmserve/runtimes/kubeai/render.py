"""Spec to ``Model``: a KubeAI object for every spec that ours accepts."""

from __future__ import annotations

from typing import Any

from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.runtimes.kinds import MODEL
from airflow_provider_llmserve.runtimes.parts import Manifest
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

FILES_DIGEST = "LLMSERVE_FILES_SHA256"
"""KubeAI mounts ``spec.files`` by subPath, so new content never reaches a running pod and rolls none out (reference: pod spec in
``internal/modelcontroller/files.go``, v0.22.1). The digest in the environment makes a change of content a change of the pod."""


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
            env=_env(spec),
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
            "spec": body,
        }
    ]


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


def _env(spec: KubeAIText) -> dict[str, str]:
    env = dict(sorted(spec.env.items()))
    if spec.files:
        env[FILES_DIGEST] = digest([[f.path, f.content] for f in spec.files])
    return env


def _unless_empty(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}
