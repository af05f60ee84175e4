"""Every rendered InferenceService fits KServe's published CRD (v0.20.0), where that is at hand beside the checkout."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from support.spec_strategies import huggingface_mappings

from airflow_provider_llmserve.runtimes.huggingface import inferenceservice
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe

CRD = Path(__file__).parents[3] / "shared" / "testbed" / "crds" / "serving.kserve.io_inferenceservices.yaml"
pytestmark = pytest.mark.skipif(
    not CRD.is_file(), reason="KServe's published CRD is not beside the checkout (../shared/testbed/crds)"
)

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


@cache
def schema() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    crd = yaml.load(CRD.read_text(), Loader=loader)
    version = next(v for v in crd["spec"]["versions"] if v["name"] == "v1beta1")
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def misfits(value: Any, found: dict[str, Any], path: str = "spec") -> Iterator[str]:
    """Fields that the schema does not know (a server-side apply refuses them), or has with another type."""
    if found.get("x-kubernetes-int-or-string"):
        if not isinstance(value, (int, str)):
            yield f"{path}: {value!r}"
        return
    kind = found.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        yield f"{path}: {value!r} is no {kind}"
    elif isinstance(value, dict):
        known, others = found.get("properties") or {}, found.get("additionalProperties")
        for key, inner in value.items():
            below = known.get(key) or (others if isinstance(others, dict) else None)
            if below is not None:
                yield from misfits(inner, below, f"{path}.{key}")
            elif not found.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{path}.{key} is not known"
        yield from (f"{path}.{key} is missing" for key in found.get("required") or () if key not in value)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from misfits(item, found.get("items") or {}, f"{path}[{i}]")


@settings(max_examples=40)
@given(raw=huggingface_mappings())
def test_rendered_fits_the_published_schema(raw: dict[str, Any]) -> None:
    deployment_only = ("service_type", "service_name")
    fields = {k: v for k, v in raw.items() if k not in (*deployment_only, "profile")}
    spec = HuggingFaceServe.parse({**fields, "runtime": "inferenceservice"})
    connection = Settings(platform="kubernetes")
    manifest = inferenceservice.render(spec, name="b", namespace="n", stopped=False, settings=connection)[0]
    assert list(misfits(manifest["spec"], schema())) == []


def test_the_check_itself_can_fail() -> None:
    spec = HuggingFaceServe.parse({"path": "hf://a/b", "runtime": "inferenceservice"})
    predictor = inferenceservice.render(spec, name="b", namespace="n", stopped=False, settings=Settings(platform="kubernetes"))[
        0
    ]["spec"]
    predictor["predictor"]["nosuch"] = 1
    predictor["predictor"]["minReplicas"] = "one"
    assert len(list(misfits(predictor, schema()))) == 2
