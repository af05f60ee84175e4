"""HuggingFace tasks on this machine: spec → plan → endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.endpoint import Identity
from airflow_provider_llmserve.platforms.local.plan import (
    EncoderTask,
    LocalFile,
    encoder_findings,
    encoder_of,
    endpoint,
    not_honoured,
    plan,
)
from airflow_provider_llmserve.specs import HuggingFaceServe

FOLDER = LocalFile(path="/models/m", mark="1")
IDENTITY = Identity(platform="local", kind="huggingfaceserve", runtime="local", name="my-m", uid="u", spec_hash="h")


def spec(**fields: Any) -> HuggingFaceServe:
    return HuggingFaceServe.parse(
        {"path": "hf://org/m", "model_name": "My.M", "huggingface_task": "sequence_classification", **fields}
    )


@pytest.mark.parametrize(
    ("fields", "become"),
    [
        ({}, {"lower_case": True, "special_tokens": True, "scores": "none", "dtype": "auto", "offsets": False}),
        ({"disable_lower_case": True}, {"lower_case": False}),
        ({"disable_special_tokens": True}, {"special_tokens": False}),
        ({"return_probabilities": True}, {"scores": "probabilities"}),
        ({"args": ["--return_raw_logits"]}, {"scores": "raw_logits"}),
        ({"args": ["--return_offsets_mapping"]}, {"offsets": True}),
        ({"dtype": "half"}, {"dtype": "float16"}),
        ({"dtype": "FLOAT"}, {"dtype": "float32"}),
        ({"dtype": "bfloat16"}, {"dtype": "bfloat16"}),
        ({"max_length": 8}, {"max_length": 8}),
        ({"return_token_type_ids": False}, {"token_type_ids": False}),
        ({"trust_remote_code": True}, {"trust_remote_code": True}),
    ],
)
def test_flags_are_the_servers(fields: dict[str, Any], become: dict[str, Any]):
    seen = encoder_of(spec(**fields), "sequence_classification").model_dump()
    assert {k: seen[k] for k in become} == become


@pytest.mark.parametrize(
    ("fields", "task", "why"),
    [
        ({"return_probabilities": True, "args": ["--return_raw_logits"]}, "sequence_classification", "exclude each other"),
        ({"args": ["--return_offsets_mapping"]}, "fill_mask", "needs huggingface_task: token_classification"),
    ],
)
def test_flags_that_do_not_go_together(fields: dict[str, Any], task: EncoderTask, why: str):
    (said,) = encoder_findings(spec(**fields), task)
    assert why in said


def test_flags_that_go_together():
    both = spec(return_probabilities=True, args=["--return_offsets_mapping"])
    assert encoder_findings(both, "token_classification") == []


def test_what_has_no_meaning_for_an_encoder_is_told():
    asked = spec(
        return_probabilities=True, disable_lower_case=True, backend="HUGGINGFACE", profile="gpu",
        args=["--return_raw_logits", "--max_log_len=5"],
    )  # fmt: skip
    assert not_honoured(asked, encoder_of(asked, "sequence_classification")) == ["profile", "args --max_log_len=5"]
    # llama.cpp knows none of them
    assert not_honoured(asked) == ["args", "backend", "disable_lower_case", "profile", "return_probabilities"]


@pytest.mark.parametrize("task", ["sequence_classification", "token_classification", "fill_mask", "text_embedding"])
def test_the_endpoint_says_which_protocols_it_speaks(task: EncoderTask):
    asked = spec(huggingface_task=task)
    made = plan(asked, "my-m", model=FOLDER, encoder=encoder_of(asked, task))
    seen = endpoint(made, port=8, identity=IDENTITY, model_url=asked.path, engine=None, task=task)
    assert (seen.oip_url, seen.oip_name, seen.task) == ("http://127.0.0.1:8", "My.M", task)
    assert seen.served_names() == ("My.M",)
    if task != "text_embedding":
        assert seen.openai_service is None
        return
    assert seen.openai_service is not None
    assert seen.openai_service.base_url == "http://127.0.0.1:8/openai/v1"
    assert (seen.openai_service.engine, seen.openai_service.features) == ("HUGGINGFACE", ("TextEmbedding",))


def test_a_gguf_speaks_openais_protocol_alone():
    made = plan(spec(huggingface_task="text_embedding"), "my-m", model=LocalFile(path="/m.gguf", mark="1"))
    seen = endpoint(made, port=8, identity=IDENTITY, model_url="", engine=None, task="text_embedding")
    assert (made.server.encoder, made.server.embedding, seen.oip_url) == (None, True, None)
    assert seen.openai_service is not None
