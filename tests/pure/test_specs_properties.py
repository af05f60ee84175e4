"""Properties of every spec, on generated ones."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.spec_strategies import (
    adapters,
    huggingface_mappings,
    huggingface_specs,
    json_values,
    kubeai_mappings,
    kubeai_specs,
    raw_kubeai_specs,
)

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.specs import Adapter, HuggingFaceServe, KubeAIText, ServeSpec, from_digitalhub, parse_spec
from airflow_provider_llmserve.specs.changes import with_adapter, without_adapter
from airflow_provider_llmserve.specs.huggingface_rules import huggingface_findings
from airflow_provider_llmserve.specs.kubeai_rules import crd_findings, kubeai_findings
from airflow_provider_llmserve.specs.schema import json_schema

quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VALIDATORS = {cls: jsonschema.Draft202012Validator(json_schema(cls)) for cls in (KubeAIText, HuggingFaceServe)}


@quick
@given(kubeai_specs() | huggingface_specs())
def test_a_spec_comes_back_from_its_json(spec: ServeSpec) -> None:
    stored = json.loads(json.dumps(spec.to_json()))
    again = type(spec).parse(stored)
    assert again == spec
    assert again.hash == spec.hash
    assert parse_spec(stored, spec.kind) == spec


@quick
@given(kubeai_specs() | huggingface_specs())
def test_editors_find_no_fault_in_a_valid_spec(spec: ServeSpec) -> None:
    VALIDATORS[type(spec)].validate(spec.to_json())


@quick
@given(kubeai_mappings(), st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_no_hash(mapping: dict[str, Any], random: Any) -> None:
    shuffled = list(mapping.items())
    random.shuffle(shuffled)
    assert KubeAIText.parse(dict(shuffled)).hash == KubeAIText.parse(mapping).hash


@quick
@given(kubeai_mappings())
def test_what_is_made_for_kubeai_is_legal_there(mapping: dict[str, Any]) -> None:
    assert crd_findings(KubeAIText.parse(mapping)) == [] or mapping["url"].startswith("gs")


@quick
@given(huggingface_mappings())
def test_a_digitalhub_run_alone_is_the_same_spec(mapping: dict[str, Any]) -> None:
    assert from_digitalhub({"kind": "huggingfaceserve+serve:run", "spec": mapping}) == HuggingFaceServe.parse(mapping)


@quick
@given(kubeai_specs().filter(lambda s: s.engine == "VLLM"), adapters("s3"))
def test_attach_then_detach_is_nothing(spec: KubeAIText, raw: dict[str, Any]) -> None:
    adapter = Adapter.parse(raw)
    if adapter.name not in {a.name for a in spec.adapters}:
        assert without_adapter(with_adapter(spec, adapter), adapter.name) == spec


def read(value: Any, kind: str) -> None:
    try:
        spec = parse_spec(value, kind)
    except BadInput as refused:
        findings = list(refused.findings) or [""]
    else:
        findings = kubeai_findings(spec) if isinstance(spec, KubeAIText) else huggingface_findings(spec)  # type: ignore[arg-type]
    assert all(findings)


@pytest.mark.parametrize("cls", [KubeAIText, HuggingFaceServe])
def test_nothing_but_bad_input_is_raised(cls: type[ServeSpec]) -> None:
    keys = st.sampled_from([*cls.model_fields, *cls.other_spellings, "kind", "spec", "function", "run"])
    near_misses = st.dictionaries(keys, json_values, max_size=4).map(lambda m: {"url": "hf://a/b", "path": "hf://a/b", **m})
    documents = st.fixed_dictionaries({"kind": st.just(f"{cls.kind}+serve:run"), "spec": near_misses | json_values})

    @settings(quick, max_examples=100)
    @given(json_values | near_misses | documents | st.lists(documents, max_size=2) | st.text(max_size=30) | st.binary(max_size=8))
    def tried(value: Any) -> None:
        read(value, cls.kind)

    tried()


@quick
@given(raw_kubeai_specs())
def test_rules_on_the_edge_of_the_api_servers(raw: dict[str, Any]) -> None:
    read(raw, "kubeai-text")
