"""Which folders an encoder can be served from, and what is said of the others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.local_model import write_safetensors

from airflow_provider_llmserve.platforms.local.encoders.folder import (
    findings,
    local_folder,
    model_folder,
    names_gguf,
    own_limit,
)
from airflow_provider_llmserve.platforms.local.plan import EncoderSpec
from airflow_provider_llmserve.platforms.local.sources import Unfit

ENCODER = EncoderSpec(task="sequence_classification")
INDEX = "model.safetensors.index.json"


def model(folder: Path, *, without: tuple[str, ...] = (), **config: Any) -> Path:
    """A folder that looks like a classifier's."""
    folder.mkdir(exist_ok=True)
    whole = {"architectures": ["BertForSequenceClassification"], "max_position_embeddings": 64, **config}
    (folder / "config.json").write_text(json.dumps(whole))
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / "model.safetensors", {"w": np.zeros((2, 2))})
    for name in without:
        (folder / name).unlink()
    return folder


def test_a_whole_folder_has_no_findings(tmp_path: Path):
    assert findings(model(tmp_path / "m"), ENCODER) == []


@pytest.mark.parametrize(
    ("config", "encoder", "why"),
    [
        (
            {"architectures": ["BertForMaskedLM"]},
            {},
            "a BertForMaskedLM, which does fill_mask.*ends in ForSequenceClassification",
        ),
        ({"architectures": ["BertModel"]}, {}, "a BertModel; huggingface_task sequence_classification needs"),
        ({"architectures": None}, {}, "of no named kind"),
        ({}, {"task": "fill_mask"}, "which does sequence_classification.*ends in ForMaskedLM"),
        ({"auto_map": {"AutoModel": "x.Y"}}, {}, "brings code of its own.*trust_remote_code"),
        ({}, {"max_length": 65}, "max_length 65 is more than the model's own 64"),
        ({"max_sequence_length": 32}, {"max_length": 33}, "model's own 32"),
    ],
)
def test_configs_that_do_not_fit(tmp_path: Path, config: dict[str, Any], encoder: dict[str, Any], why: str):
    said = findings(model(tmp_path / "m", **config), EncoderSpec(**{"task": "sequence_classification", **encoder}))
    assert len(said) == 1
    assert re.search(why, said[0])


@pytest.mark.parametrize(
    ("config", "encoder"),
    [
        ({"architectures": ["BertForMaskedLM"]}, {"task": "text_embedding"}),
        ({"auto_map": {"AutoModel": "x.Y"}}, {"trust_remote_code": True}),
        ({}, {"max_length": 64}),
        ({"max_position_embeddings": None}, {"max_length": 9999}),
    ],
)
def test_configs_that_fit(tmp_path: Path, config: dict[str, Any], encoder: dict[str, Any]):
    assert findings(model(tmp_path / "m", **config), EncoderSpec(**{"task": "sequence_classification", **encoder})) == []


def test_all_findings_at_once(tmp_path: Path):
    folder = model(tmp_path / "m", without=("tokenizer.json", "model.safetensors"), architectures=["BertModel"])
    assert [one.split(": ")[0] for one in findings(folder, EncoderSpec(task="fill_mask", max_length=99))] == [
        "config.json",
        f"{folder} has no weights (model.safetensors); a repository of pickles alone needs trust_remote_code, if you trust it",
        f"{folder} has no tokenizer (tokenizer.json)",
        "max_length 99 is more than the model's own 64; leave it out or lower it",
    ]


def test_a_pickle_is_refused_unless_trusted(tmp_path: Path):
    folder = model(tmp_path / "m", without=("model.safetensors",))
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    (said,) = findings(folder, ENCODER)
    assert said.startswith("pytorch_model.bin is a pickle, which can run code")
    assert findings(folder, EncoderSpec(task="sequence_classification", trust_remote_code=True)) == []


def test_weights_that_were_cut_off(tmp_path: Path):
    folder = model(tmp_path / "m")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    (said,) = findings(folder, ENCODER)
    assert said.startswith("model.safetensors: truncated")


def test_shards(tmp_path: Path):
    folder = model(tmp_path / "m", without=("model.safetensors",))
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "../model-2.safetensors"}}))
    write_safetensors(folder / "model-1.safetensors", {"a": np.zeros(2)})
    (tmp_path / "model-2.safetensors").touch()
    assert findings(folder, ENCODER) == [f"../model-2.safetensors is missing, which {INDEX} names"]
    (folder / INDEX).write_text("[]")
    (said,) = findings(folder, ENCODER)
    assert said.startswith(f"{INDEX} cannot be read")


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_config_that_is_none(tmp_path: Path, text: str):
    folder = model(tmp_path / "m")
    (folder / "config.json").write_text(text)
    (said,) = findings(folder, ENCODER)
    assert "config.json cannot be read" in said
    (folder / "config.json").unlink()
    (said,) = findings(folder, ENCODER)
    assert "has no config.json" in said


def test_own_limit_is_the_smallest_that_is_named():
    assert own_limit({"n_positions": 8, "max_position_embeddings": 16}) == 8
    assert own_limit({"max_position_embeddings": None}) is None


def test_which_embedding_models_are_llama_cpps(tmp_path: Path):
    assert names_gguf("package://llm/model.gguf")
    assert names_gguf("hf://org/model?file=x.gguf")
    assert not names_gguf("hf://org/model")
    assert not names_gguf("s3://bucket/folder")
    (tmp_path / "x.gguf").touch()
    assert names_gguf(tmp_path.as_uri())
    model(tmp_path)
    assert not names_gguf(tmp_path.as_uri())


def test_a_file_is_no_folder(tmp_path: Path):
    (tmp_path / "m.safetensors").touch()
    with pytest.raises(Unfit, match="is a file; a model's folder is wanted"):
        model_folder((tmp_path / "m.safetensors").as_uri(), cache=tmp_path, trust_remote_code=False)


def test_a_replaced_file_gives_the_folder_another_mark(tmp_path: Path):
    folder = model(tmp_path / "m")
    before = local_folder(folder)
    assert local_folder(folder) == before
    write_safetensors(folder / "model.safetensors", {"w": np.zeros((3, 3))})
    assert local_folder(folder) != before
