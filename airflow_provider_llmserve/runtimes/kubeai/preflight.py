"""What can be known before the first write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_llmserve.readiness.fields import at, items, mapping, text
from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP, CRD, LEASE, MODEL, PRIORITY_CLASS, SECRET
from airflow_provider_llmserve.runtimes.kubeai import adapters, config, view
from airflow_provider_llmserve.runtimes.mark import VARIABLE
from airflow_provider_llmserve.runtimes.parts import Facts, Lookup
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText
from airflow_provider_llmserve.specs.kubeai_rules import kubeai_findings, kubeai_notes

_CRD = Lookup(CRD, f"{MODEL.plural}.{MODEL.group}")
_CONFIG = Lookup(CONFIG_MAP, config.NAME)
_LEASE = Lookup(LEASE, view.MANAGER_LEASE)


def lookups(spec: KubeAIText, *, name: str, settings: Settings) -> Sequence[Lookup]:
    """The CRD, the manager's configuration and lease, the Model that stands there, and what the spec names."""
    named = [Lookup(SECRET, s) for s in spec.secrets]
    if spec.priority_class:
        named.append(Lookup(PRIORITY_CLASS, spec.priority_class))
    return (_CRD, _CONFIG, _LEASE, Lookup(MODEL, name), *named)


def findings(spec: KubeAIText, *, name: str, settings: Settings, facts: Facts) -> list[str]:
    """Everything that would make this deployment fail, each with its remedy. A lookup that was refused says nothing."""
    known = facts.objects
    return [
        *kubeai_findings(spec, name=name),
        *(
            f"env: {v} is ours: it carries the mark by which pods are told apart; choose another name"
            for v in spec.env
            if v == VARIABLE
        ),
        *_update(spec, mapping(known.get(Lookup(MODEL, name)), "spec")),
        *_crd(spec, known),
        *_manager(spec, settings, known),
        *(
            f"secrets: Secret {s} does not exist in namespace {settings.namespace}; create it, or leave it out"
            for s in spec.secrets
            if _absent(known, Lookup(SECRET, s))
        ),
        *_priority(spec, known),
    ]


def notes(spec: KubeAIText, *, name: str, settings: Settings) -> list[str]:
    """Said once, in the log."""
    return list(kubeai_notes(spec))


def _absent(known: Mapping[Lookup, Any], lookup: Lookup) -> bool:
    return lookup in known and known[lookup] is None


def _crd(spec: KubeAIText, known: Mapping[Lookup, Any]) -> Iterator[str]:
    """Allowed values are read from the cluster's own schema, so that a newer KubeAI's pass and an older one's are named."""
    if _absent(known, _CRD):
        yield "KubeAI is not installed: CustomResourceDefinition models.kubeai.org does not exist; install the chart kubeai/kubeai"
        return
    served = [v for v in items(known.get(_CRD), "spec", "versions") if v.get("name") == MODEL.version]
    if known.get(_CRD) is not None and not served:
        yield f"the cluster's KubeAI does not serve {MODEL.api_version}; update KubeAI"
    properties = mapping(served[0] if served else None, "schema", "openAPIV3Schema", "properties", "spec", "properties")
    engines = at(properties, "engine", "enum")
    if isinstance(engines, list) and str(spec.engine) not in engines:
        yield f"engine: the cluster's KubeAI has no engine {spec.engine}; it has {', '.join(map(str, engines))}"
    features = at(properties, "features", "items", "enum")
    for feature in spec.features:
        if isinstance(features, list) and str(feature) not in features:
            yield f"features: the cluster's KubeAI has no feature {feature}; it has {', '.join(map(str, features))}"


def _manager(spec: KubeAIText, settings: Settings, known: Mapping[Lookup, Any]) -> Iterator[str]:
    if _absent(known, _CONFIG) and _absent(known, _LEASE):
        yield (
            f"KubeAI's manager does not run in namespace {settings.namespace} (neither its ConfigMap {config.NAME} nor its Lease "
            f"{view.MANAGER_LEASE} is there), and it watches only its own; set the connection's namespace to KubeAI's"
        )
        return
    system = config.of(known.get(_CONFIG))
    if system is None:
        return
    if spec.profile not in system.resource_profiles:
        yield f"profile: KubeAI knows no resource profile {spec.profile!r}; it has {', '.join(sorted(system.resource_profiles))}"
    if spec.cache_profile and spec.cache_profile not in system.cache_profiles:
        has = ", ".join(sorted(system.cache_profiles)) or "none"
        yield f"cache_profile: KubeAI knows no cache profile {spec.cache_profile!r}; it has {has}"
    if str(spec.engine) not in system.engines and system.engines:
        yield f"engine: KubeAI's configuration has no images for {spec.engine}; it has {', '.join(sorted(system.engines))}"
    if system.env_patch:
        yield (
            f"KubeAI's configuration patches the environment of its pods away (modelServerPods.jsonPatches: {system.env_patch}), and "
            "a variable there tells which pods are of this change; have single variables added instead: add /spec/containers/0/env/-"
        )
    if system.proxy_mode == "external" and settings.gateway_url is None:
        yield "KubeAI runs with proxy.mode external, without its gateway; set the connection's gateway_url to the gateway in its place"


def _priority(spec: KubeAIText, known: Mapping[Lookup, Any]) -> Iterator[str]:
    if spec.priority_class and _absent(known, Lookup(PRIORITY_CLASS, spec.priority_class)):
        yield (
            f"priority_class: PriorityClass {spec.priority_class} does not exist, and KubeAI could make no pod; create it, or name "
            "one that does: kubectl get priorityclass"
        )


def _update(spec: KubeAIText, standing: Mapping[str, Any]) -> Iterator[str]:
    """Changes of a standing Model that KubeAI accepts and does not survive."""
    old = adapters.wanted(standing)
    for adapter in spec.adapters:
        if old.get(adapter.name, adapter.url) != adapter.url:
            yield (
                f"adapters: {adapter.name!r} is served from {old[adapter.name]}, and KubeAI mixes up two URLs under one name (the old "
                "weights answer for a while, then none); give the new version a new name, as UploadAdapterOperator does"
            )
    if text(standing, "cacheProfile") and not spec.cache_profile:
        yield (
            f"cache_profile: KubeAI lets {text(standing, 'cacheProfile')!r} be taken out, and then can never delete the Model; "
            "keep it, or serve under another name"
        )
