"""Does a pod run the spec that was asked for?

The manager's hash of a pod cannot be computed outside it, and neither generation nor status says which spec a pod was made from.
The pod itself does: what KubeAI puts into the container ``server`` is compared with what was asked for
(``internal/modelcontroller/engine_*.go``, v0.22.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_llmserve.readiness.fields import at, items, mapping, name_of, text, uid_of
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.runtimes.kubeai.config import SystemConfig
from airflow_provider_llmserve.specs.quantity import quantity

SERVER = "server"


def server_container(pod: Object) -> Mapping[str, Any]:
    """The container that serves, empty where the pod has none of that name."""
    return next((c for c in items(pod, "spec", "containers") if c.get("name") == SERVER), {})


def differences(pod: Object, model: Object, before: Mapping[str, Any], config: SystemConfig | None) -> list[str]:
    """What of ``model``'s spec the pod does not run, in words; empty where it runs all of it.

    ``before`` is the spec that stood there earlier (empty: none). What a pod has in excess counts only where the earlier spec had
    it too: KubeAI's own additions and the JSON patches of its configuration are none of our business.
    """
    spec: Mapping[str, Any] = mapping(model, "spec")
    container = server_container(pod)
    return [
        *_image(container, spec, before, config),
        *_arguments(container, spec, before),
        *_environment(container, spec, before),
        *_source(container, spec, model),
        *_placement(pod, container, spec, before, config),
        *_mounts(container, spec),
    ]


def _image(
    container: Mapping[str, Any], spec: Mapping[str, Any], before: Mapping[str, Any], config: SystemConfig | None
) -> Iterator[str]:
    has, wants = text(container, "image"), text(spec, "image")
    if not wants and config is not None and not config.patched:
        wants = config.image(text(spec, "engine"), text(spec, "resourceProfile"))
    if wants and has != wants:
        yield f"image {has} instead of {wants}"
    elif not wants and has and has == before.get("image"):
        yield f"image {has} of an earlier version"


def _arguments(container: Mapping[str, Any], spec: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    has = _texts(container, "args")
    wants = _texts(spec, "args")
    start = next((i for i in range(len(has) - len(wants) + 1) if has[i : i + len(wants)] == wants), None)
    if start is None:
        yield f"arguments {has} without {wants}"
        return
    surplus = has[:start] + has[start + len(wants) :]
    stale = [a for a in surplus if a in _texts(before, "args")]
    if stale:
        yield f"arguments of an earlier version: {stale}"
    if str(spec.get("engine")) == "VLLM" and ("--enable-lora" in surplus) != bool(spec.get("adapters")):
        yield "adapters are enabled" if not spec.get("adapters") else "adapters are not enabled"


def _environment(container: Mapping[str, Any], spec: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    has = {text(e, "name"): text(e, "value") for e in items(container, "env") if "valueFrom" not in e}
    wants, had = mapping(spec, "env"), mapping(before, "env")
    for key in sorted(wants):
        if has.get(key) != wants[key]:
            yield f"environment variable {key} differs"  # never its value: it may be a secret
    for key in sorted(had):
        if key not in wants and has.get(key) == had[key]:
            yield f"environment variable {key} of an earlier version"
    sources = items(container, "envFrom")
    for source in items(spec, "envFrom"):
        if not any(_contains(s, source) for s in sources):
            yield f"environment from {source} is missing"
    for source in items(before, "envFrom"):
        if source not in items(spec, "envFrom") and any(_contains(s, source) for s in sources):
            yield f"environment from {source} of an earlier version"


def _source(container: Mapping[str, Any], spec: Mapping[str, Any], model: Object) -> Iterator[str]:
    """The weights: vLLM's ``--model``, Infinity's variable, Ollama's startup probe."""
    scheme, _, rest = text(spec, "url").partition("://")
    ref = rest.partition("?")[0]
    engine = spec.get("engine")
    cached = f"/models/{name_of(model)}-{uid_of(model)}" if spec.get("cacheProfile") else ""
    if engine == "VLLM":
        wants = cached or {"s3": spec.get("url"), "pvc": "/model"}.get(scheme, ref)
        if f"--model={wants}" not in _texts(container, "args"):
            yield f"another model than {wants}"
    elif engine == "Infinity":
        has = next((e.get("value") for e in items(container, "env") if e.get("name") == "INFINITY_MODEL_ID"), None)
        if has != (cached or ref):
            yield f"model {has} instead of {cached or ref}"
    elif engine == "OLlama" and scheme == "ollama":
        command = _texts(mapping(container, "startupProbe", "exec"), "command")
        if ref not in " ".join(command).split():
            yield f"another model than {ref}"


def _placement(
    pod: Object, container: Mapping[str, Any], spec: Mapping[str, Any], before: Mapping[str, Any], config: SystemConfig | None
) -> Iterator[str]:
    """The priority class, and what the resource profile gives a pod: two profiles may differ in no more than a node selector."""
    if spec.get("priorityClassName") and spec["priorityClassName"] != at(pod, "spec", "priorityClassName"):
        yield f"priority class is not {spec['priorityClassName']}"
    if config is None or config.patched:
        return
    profile, earlier = text(spec, "resourceProfile"), text(before, "resourceProfile")
    for kind in ("requests", "limits"):
        has = mapping(container, "resources", kind)
        wants, had = config.amounts(profile, kind), config.amounts(earlier, kind)
        for key, amount in wants.items():
            if quantity(has.get(key)) != amount:
                yield f"{kind} {has.get(key)} of {key}, {profile} is {amount}"
        for key in had.keys() - wants.keys():
            if quantity(has.get(key)) == had[key]:
                yield f"{kind} {key} of an earlier version"
    wants_profile, had_profile = config.profile(profile), config.profile(earlier)
    for key in ("nodeSelector", "affinity", "tolerations", "schedulerName", "runtimeClassName"):
        has_parts = _parts(at(pod, "spec", key))
        wants_parts, had_parts = _parts(wants_profile.get(key)), _parts(had_profile.get(key))
        if not all(any(_contains(part, wanted) for part in has_parts) for wanted in wants_parts):
            yield f"{key} is not that of {profile}"
        elif any(part in has_parts for part in had_parts if part not in wants_parts):
            yield f"{key} of an earlier version"


def _parts(value: Any) -> list[Any]:
    """A mapping as one mapping for each key, a list as its elements, anything else as itself; nothing as nothing."""
    if isinstance(value, Mapping):
        return [{key: part} for key, part in value.items()]
    return value if isinstance(value, list) else [value] if value else []


def _mounts(container: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[str]:
    has = {text(m, "mountPath") for m in items(container, "volumeMounts") if m.get("name") == "model-files"}
    wants = {text(f, "path") for f in items(spec, "files")}
    if has != wants:
        yield f"files {sorted(has)} instead of {sorted(wants)}"


def _texts(value: Any, key: str) -> list[str]:
    found = at(value, key)
    return [str(a) for a in found] if isinstance(found, list) else []


def _contains(has: Any, wants: Any) -> bool:
    if isinstance(wants, Mapping):
        return isinstance(has, Mapping) and all(_contains(has.get(k), v) for k, v in wants.items())
    return bool(has == wants)
