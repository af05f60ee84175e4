"""The published schemas and the reference page are those of the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText, ServeSpec
from airflow_provider_llmserve.specs.schema import files, json_schema, reference

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("path", "text"), files(ROOT).items(), ids=lambda v: v.name if isinstance(v, Path) else "")
def test_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run: python -m airflow_provider_llmserve.specs.schema"


@pytest.mark.parametrize("cls", [KubeAIText, HuggingFaceServe])
def test_every_field_says_what_it_means(cls: type[ServeSpec]) -> None:
    schema = json_schema(cls)
    jsonschema.Draft202012Validator.check_schema(schema)
    for part in (schema, *schema["$defs"].values()):
        undocumented = [n for n, p in part.get("properties", {}).items() if n != "kind" and not p.get("description")]
        assert undocumented == []
    page = reference()
    assert [name for name in cls.model_fields if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize(
    ("cls", "spec"),
    [
        (KubeAIText, {"url": "hf://a/b", "envs": [{"name": "A", "value": "1"}], "scaling": {"target_request": 5}}),
        (KubeAIText, {"kind": "kubeai-text", "url": "s3://a/b", "adapters": [{"name": "a", "url": "s3://c/d", "rank": 8}]}),
        (HuggingFaceServe, {"path": "/mnt/model", "env": {"A": "1"}, "resources": {"cpu": 2, "mem": "1Gi"}}),
    ],
)
def test_editors_accept(cls: type[ServeSpec], spec: dict[str, Any]) -> None:
    jsonschema.validate(spec, json_schema(cls))
    cls.parse({k: v for k, v in spec.items() if k != "kind"})


@pytest.mark.parametrize(
    ("cls", "spec"),
    [
        (KubeAIText, {"engine": "VLLM"}),
        (KubeAIText, {"url": "hf://a/b", "engin": "VLLM"}),
        (KubeAIText, {"url": "org/base"}),
        (KubeAIText, {"url": "hf://a/b", "scaling": {"max_replicas": 0}}),
        (KubeAIText, {"url": "hf://a/b", "adapters": [{"name": "-a", "url": "s3://c/d"}]}),
        (HuggingFaceServe, {"path": "hf://a/b", "backend": "TGI"}),
        (HuggingFaceServe, {"path": "hf://a/b", "resources": {"mem": "10Foo"}}),
    ],
)
def test_editors_mark(cls: type[ServeSpec], spec: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, json_schema(cls))
