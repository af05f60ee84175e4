"""Edits of a spec: pure, each giving a new spec that passed every check again."""

from __future__ import annotations

from typing import Any, TypeVar

from airflow_provider_llmserve.adapters.naming import pick
from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.specs.base import ServeSpec
from airflow_provider_llmserve.specs.huggingface import HuggingFaceServe
from airflow_provider_llmserve.specs.kubeai import Adapter, KubeAIText

S = TypeVar("S", bound=ServeSpec)

_STOP_INSTEAD = "0 replicas: to serve nothing for a while use StopOperator, which keeps the configuration; KubeAI-text also goes to zero when idle, by min_replicas=0"


def scaled(
    spec: S,
    *,
    replicas: int | None = None,
    min_replicas: int | None = None,
    max_replicas: int | None = None,
    target_requests: int | None = None,
    scale_down_delay_seconds: int | None = None,
) -> S:
    """The spec with other figures; what is not named stays.

    KubeAI-text: ``replicas`` pins the number (``autoscaling_disabled`` turns on, and the bounds are kept but ignored); naming
    a bound lets the autoscaler decide again, and ``min_replicas=0`` lets it go to zero when idle. HuggingFace-serve as a
    Deployment has ``replicas`` alone; as an InferenceService also ``min_replicas``, ``max_replicas`` and ``target_requests`` (its
    ``scale_target``), and ``replicas`` takes the place of both bounds.

    Raises :class:`BadInput` for figures that the runtime has not, for 0 ``replicas`` (the remedy is to stop), for a pin and
    bounds at once, and where nothing is named.
    """
    named = {
        name: value
        for name, value in (
            ("replicas", replicas),
            ("min_replicas", min_replicas),
            ("max_replicas", max_replicas),
            ("target_requests", target_requests),
            ("scale_down_delay_seconds", scale_down_delay_seconds),
        )
        if value is not None
    }
    subject = f"scaling {spec.object_name}"
    findings = []
    if not named:
        findings.append(
            "name at least one figure: replicas, min_replicas, max_replicas, target_requests, scale_down_delay_seconds"
        )
    if replicas == 0:
        findings.append(_STOP_INSTEAD)
    if "replicas" in named and len(named) > 1:
        findings.append(f"replicas is a fixed number; it cannot go with {', '.join(n for n in named if n != 'replicas')}")
    if isinstance(spec, HuggingFaceServe):
        allowed = {"replicas"}
        if spec.runtime == "inferenceservice":
            allowed |= {"min_replicas", "max_replicas", "target_requests"}
        findings += [
            f"{name}: HuggingFace-serve with runtime {spec.runtime} has no such figure; it takes {', '.join(sorted(allowed))}"
            for name in named
            if name not in allowed
        ]
    if findings:
        raise BadInput(subject, findings)
    return _edited(spec, _scaling(spec, named), subject)


def _scaling(spec: ServeSpec, named: dict[str, int]) -> dict[str, Any]:
    if isinstance(spec, HuggingFaceServe):
        return _bounds(spec, named)
    scaling = {**spec.to_json().get("scaling", {}), **named}
    if "replicas" in named:
        scaling["autoscaling_disabled"] = True
    elif named.keys() & {"min_replicas", "max_replicas"}:
        scaling["autoscaling_disabled"] = False
    return {"scaling": scaling}


def _bounds(spec: HuggingFaceServe, named: dict[str, int]) -> dict[str, Any]:
    changes: dict[str, Any] = {"scale_target" if k == "target_requests" else k: v for k, v in named.items()}
    if "replicas" in named:
        return changes | {"min_replicas": None, "max_replicas": None}
    if spec.replicas not in (1, None) and named.keys() & {"min_replicas", "max_replicas"}:
        # A fixed number stood for both bounds; a bound that is not named keeps it as far as the other one allows.
        low = named.get("min_replicas", min(spec.replicas, named.get("max_replicas", spec.replicas)))
        changes |= {"replicas": 1, "min_replicas": low, "max_replicas": named.get("max_replicas", max(spec.replicas, low))}
    return changes


def with_adapter(spec: S, adapter: Adapter) -> S:
    """The spec with one adapter more, at the end. The same name with the same URL is unchanged.

    Raises :class:`BadInput` for HuggingFace-serve, and for a known name with another URL: servers keep weights by name, so a
    new version is a new name.
    """
    kubeai = _kubeai(spec)
    for standing in kubeai.adapters:
        if standing.name == adapter.name:
            if standing.url == adapter.url:
                return spec
            raise BadInput(
                f"adapter {adapter.name!r}",
                f"is served from {standing.url} already, and servers keep weights by name: attach {adapter.url} under a new "
                f"name (UploadAdapterOperator puts the digest into it), switch the callers, then detach {adapter.name!r}",
            )
    adapters = [*kubeai.adapters, adapter]
    return _edited(spec, {"adapters": [a.to_json() for a in adapters]}, f"attaching {adapter.name} to {spec.object_name}")


def without_adapter(spec: S, name: str) -> S:
    """The spec without one adapter, named wholly or by its stem before the digest where only one adapter has it.

    Raises :class:`BadInput` naming the adapters there are.
    """
    kubeai = _kubeai(spec)
    gone = pick(name, [a.name for a in kubeai.adapters], spec.object_name)
    adapters = [a.to_json() for a in kubeai.adapters if a.name != gone]
    return _edited(spec, {"adapters": adapters}, f"detaching {gone} from {spec.object_name}")


def _kubeai(spec: ServeSpec) -> KubeAIText:
    if not isinstance(spec, KubeAIText):
        raise BadInput(
            spec.object_name, "HuggingFace-serve cannot serve LoRA adapters; use KubeAI-text (KubeAITextServeOperator)"
        )
    return spec


def _edited(spec: S, changes: dict[str, Any], subject: str) -> S:
    return type(spec).parse({**spec.to_json(), **changes}, subject)
