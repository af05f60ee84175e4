"""What KubeAI's preflight says of a cluster: each finding, and silence where nothing could be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP, CRD, LEASE, MODEL, PRIORITY_CLASS, SECRET
from airflow_provider_llmserve.runtimes.kubeai import findings, lookups
from airflow_provider_llmserve.runtimes.parts import Facts, Lookup
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

CONNECTION = Settings(platform="kubernetes", namespace="ai")
CRD_FILE = Path(__file__).parents[1] / "support" / "crds" / "kubeai.yaml"
SYSTEM = {
    "resourceProfiles": {"cpu": {}, "gpu": {}},
    "cacheProfiles": {"shared": {}},
    "modelServers": {"VLLM": {"images": {"default": "v"}}, "OLlama": {"images": {"default": "o"}}},
}


def told(
    spec: dict[str, Any], found: dict[tuple[str, str], Any] | None = None, *, denied: bool = False, **settings: Any
) -> list[str]:
    """The findings on a cluster where all is well, but for ``found`` (kind and name to object)."""
    parsed = KubeAIText.parse({"url": "hf://acme/base", **spec})
    objects: dict[Lookup, Any] = {
        Lookup(CRD, "models.kubeai.org"): yaml.safe_load(CRD_FILE.read_text()),
        Lookup(CONFIG_MAP, "kubeai-config"): {"data": {"system.yaml": json.dumps(SYSTEM)}},
        Lookup(LEASE, "cc6bca10.substratus.ai"): {"spec": {}},
        Lookup(MODEL, "m"): None,
        **{Lookup(SECRET, s): {} for s in parsed.secrets},
        **{Lookup(PRIORITY_CLASS, c): {} for c in filter(None, [parsed.priority_class])},
    }
    assert set(lookups(parsed, name="m", settings=CONNECTION)) == set(objects)
    for lookup in objects:
        if (lookup.kind.kind, lookup.name) in (found or {}):
            objects[lookup] = (found or {})[(lookup.kind.kind, lookup.name)]
    facts = Facts({} if denied else objects)
    return findings(parsed, name="m", settings=CONNECTION.model_copy(update=settings), facts=facts)


CONFIG = ("ConfigMap", "kubeai-config")
LEADER = ("Lease", "cc6bca10.substratus.ai")


def test_nothing_to_say_where_all_is_well() -> None:
    assert told({"secrets": ["hub"], "profile": "gpu", "cache_profile": "shared", "priority_class": "high"}) == []


@pytest.mark.parametrize(
    ("spec", "found", "words"),
    [
        ({"env": {"A": "1", "LLMSERVE_MARK": "x"}}, {}, "env: LLMSERVE_MARK is ours"),
        ({}, {("CustomResourceDefinition", "models.kubeai.org"): None}, "not installed"),
        ({"priority_class": "high"}, {("PriorityClass", "high"): None}, "PriorityClass high does not exist"),
        ({}, {("CustomResourceDefinition", "models.kubeai.org"): {"spec": {"versions": [{"name": "v2"}]}}}, "does not serve"),
        ({}, {CONFIG: None, LEADER: None}, "does not run in namespace ai"),
        ({"profile": "h100"}, {}, "profile: KubeAI knows no resource profile 'h100'; it has cpu, gpu"),
        ({"cache_profile": "nowhere"}, {}, "it has shared"),
        ({"secrets": ["hub"]}, {("Secret", "hub"): None}, "Secret hub does not exist in namespace ai"),
        ({"engine": "SGLang"}, {}, "the cluster's KubeAI has no engine SGLang; it has OLlama, VLLM"),
        ({"features": ["Painting"]}, {}, "has no feature Painting"),
        ({"engine": "Infinity", "features": ["TextEmbedding"]}, {}, "no images for Infinity"),
        ({}, {CONFIG: {"data": {"system.yaml": json.dumps({**SYSTEM, "proxy": {"mode": "external"}})}}}, "gateway_url"),
        (
            {"adapters": [{"name": "law", "url": "hf://acme/v2"}]},
            {("Model", "m"): {"spec": {"adapters": [{"name": "law", "url": "hf://acme/v1"}]}}},
            "give the new version a new name",
        ),
        ({}, {("Model", "m"): {"spec": {"cacheProfile": "shared"}}}, "can never delete the Model"),
        ({"url": "s3://b/m", "engine": "OLlama"}, {}, "OLlama cannot load s3://"),
    ],
)
def test_each_finding_with_its_remedy(spec: dict[str, Any], found: dict[tuple[str, str], Any], words: str) -> None:
    said = told(spec, found)
    assert any(words in finding for finding in said), said


@pytest.mark.parametrize("found", [{CONFIG: None}, {LEADER: None}])
def test_an_install_with_other_names_is_not_refused(found: dict[tuple[str, str], Any]) -> None:
    assert told({"profile": "cpu"}, found) == []


def test_what_may_not_be_read_is_no_finding() -> None:
    assert told({"profile": "h100", "secrets": ["hub"], "engine": "SGLang"}, denied=True) == []


def test_an_external_gateway_that_is_named_is_fine() -> None:
    external = {CONFIG: {"data": {"system.yaml": json.dumps({**SYSTEM, "proxy": {"mode": "external"}})}}}
    assert told({}, external, gateway_url="https://gateway.example.com/v1") == []


@pytest.mark.parametrize("enum", [None, "x", ["VLLM", "SGLang"]])
def test_a_newer_kubeais_engines_pass(enum: Any) -> None:
    version = {"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": {"engine": {"enum": enum}}}}}}}
    found = {("CustomResourceDefinition", "models.kubeai.org"): {"spec": {"versions": [version]}}, CONFIG: {"data": {}}}
    assert told({"engine": "SGLang"}, found) == []


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"op": "add", "path": "/spec/containers/0/env", "value": []}, "add /spec/containers/0/env"),
        ({"op": "replace", "path": "/spec/containers/0/env", "value": []}, "replace /spec/containers/0/env"),
        ({"op": "remove", "path": "/spec/containers/0/env"}, "remove /spec/containers/0/env"),
        ({"op": "replace", "path": "/spec/containers/0", "value": {}}, "replace /spec/containers/0"),
        ({"op": "add", "path": "/spec/containers", "value": []}, "add /spec/containers"),
        ({"op": "replace", "path": "/spec", "value": {}}, "replace /spec"),
        ({"op": "move", "from": "/spec/containers/0/env", "path": "/spec/x"}, "move from /spec/containers/0/env"),
        ({"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": "A"}}, ""),
        ({"op": "add", "path": "/spec/containers/0", "value": {"name": "sidecar"}}, ""),
        ({"op": "add", "path": "/spec/containers/-", "value": {"name": "sidecar"}}, ""),
        ({"op": "replace", "path": "/spec/containers/0/image", "value": "mirror/x"}, ""),
        ({"op": "add", "path": "/spec/containers/0/envFrom", "value": []}, ""),
        ({"op": "test", "path": "/spec/containers/0/env", "value": []}, ""),
        ("nonsense", ""),
    ],
)
def test_a_patch_that_leaves_no_environment_is_named(patch: Any, why: str) -> None:
    """Our mark is a variable of the Model; without it no pod could ever be told to be of this change."""
    system = {**SYSTEM, "modelServerPods": {"jsonPatches": [patch]}}
    found = told({}, {CONFIG: {"data": {"system.yaml": json.dumps(system)}}})
    assert len(found) == bool(why)
    assert all(f"modelServerPods.jsonPatches: {why})" in one for one in found)
    assert told({}, {CONFIG: {"data": {"system.yaml": json.dumps({**SYSTEM, "modelServerPods": {"jsonPatches": 5}})}}}) == []
