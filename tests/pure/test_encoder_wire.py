"""Encoders on this machine write what huggingfaceserver was recorded to answer, and refuse what it refused."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.platforms.local.encoders.wire import (
    JSON,
    Inferred,
    Refused,
    read_embeddings,
    read_v1,
    read_v2,
    write_embeddings,
    write_v1,
    write_v2,
)

RECORDED = json.loads((Path(__file__).parent / "cases" / "oip.json").read_text())["answers"]


def found(v1: dict[str, Any]) -> Inferred:
    """What the model must have said for the recorded v1 answer: there, JSON made texts of the class numbers."""

    def numbered(value: Any) -> Any:
        if isinstance(value, list):
            return [numbered(one) for one in value]
        return {int(k): v for k, v in value.items()} if isinstance(value, dict) else value

    offsets = None
    if "outputs" in v1:
        (n, tokens, _), flat = v1["outputs"][0]["shape"], iter(v1["outputs"][0]["data"])
        offsets = [[[next(flat), next(flat)] for _ in range(tokens)] for _ in range(n)]
    return Inferred(numbered(v1["predictions"]), tokens=0, offsets=offsets)


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['task']} {' '.join(case['args'])} {len(case['texts'])}")
def test_answers_are_those_recorded(case: dict[str, Any]):
    seen = found(case["v1"])
    assert write_v2(seen, model=case["v2"]["model_name"], id=case["v2"]["id"]) == case["v2"]
    written = json.loads(json.dumps(write_v1(seen)))
    for tensor in written.get("outputs", ()):
        assert {k: tensor[k] for k in case["v1"]["outputs"][0]} == case["v1"]["outputs"][0]
    assert written["predictions"] == case["v1"]["predictions"]


def tensor(**change: Any) -> dict[str, Any]:
    whole = {"name": "input-0", "shape": [1], "datatype": "BYTES", "data": ["hello"], **change}
    return {"inputs": [{k: v for k, v in whole.items() if v is not None}]}


# Statuses as recorded from huggingfaceserver 0.20.0, sequence classification.
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ({"instances": ["hello"]}, JSON, ["hello"]),
        ({"instances": ["hello"]}, None, ["hello"]),
        ({"inputs": ["hello"]}, JSON, ["hello"]),
        ({"instances": "hello"}, JSON, ["hello"]),
        ({"instances": [""]}, JSON, [""]),
        ({"instances": ["hello"]}, "text/plain", 500),
        ({"instances": ["hello"]}, "application/json; charset=utf-8", 500),
        (b'{"instances": ["hello"', JSON, 400),
        (b"", JSON, 400),
        ({"texts": ["hello"]}, JSON, 500),
        (["hello"], JSON, 500),
        ({"instances": []}, JSON, 500),
        ({"instances": [1, 2]}, JSON, 500),
        ({"instances": [None]}, JSON, 500),
        ({"instances": None}, JSON, 500),
        ({"instances": [["hello", "world"]]}, JSON, 500),
        ({"instances": ["hello", 5]}, JSON, 500),
    ],
)
def test_v1_requests(body: Any, kind: str | None, status: int | list[str]):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if isinstance(status, list):
        assert read_v1(raw, kind) == status
        return
    with pytest.raises(Refused) as refused:
        read_v1(raw, kind)
    assert refused.value.status == status
    assert isinstance(refused.value.body["error"], str)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (tensor(), JSON, ["hello"]),
        (tensor(), "application/json; charset=utf-8", ["hello"]),
        (tensor(datatype="bytes"), JSON, ["hello"]),
        (tensor(shape=[5]), JSON, ["hello"]),
        (tensor(shape=[]), JSON, ["hello"]),
        ({"inputs": [*tensor()["inputs"], *tensor(data=["other"])["inputs"]], "extra": 1}, JSON, ["hello"]),
        (tensor(), "text/plain", 400),
        (tensor(), None, 400),
        (b'{"inputs": [', JSON, 422),
        (b"", JSON, 422),
        ({}, JSON, 422),
        ({"instances": ["hello"]}, JSON, 422),
        (tensor(name=None), JSON, 422),
        (tensor(shape=None), JSON, 422),
        (tensor(data=None), JSON, 422),
        ({"inputs": []}, JSON, 500),
        (tensor(datatype="STRING"), JSON, 400),
        (tensor(datatype="FP32"), JSON, 500),
        (tensor(datatype="INT64", data=[1, 2, 3]), JSON, 500),
        (tensor(data=[]), JSON, 500),
        (tensor(data=[1, 2]), JSON, 500),
        (tensor(data=[["hello", "world"]]), JSON, 500),
    ],
)
def test_v2_requests(body: Any, kind: str | None, status: int | list[str]):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if isinstance(status, list):
        assert read_v2(raw, kind).texts == status
        return
    with pytest.raises(Refused) as refused:
        read_v2(raw, kind)
    assert refused.value.status == status
    assert set(refused.value.body) == {"detail" if status == 422 else "error"}


def test_outputs_are_those_asked_for():
    seen = Inferred([[[1, 0]]], tokens=2, offsets=[[[0, 1], [2, 3]]])
    asked = read_v2(json.dumps({**tensor(), "id": "7", "outputs": [{"name": "offset_mapping"}]}).encode(), JSON)
    assert asked.id == "7"
    assert [t["name"] for t in write_v2(seen, model="m", id="7", outputs=asked.outputs)["outputs"]] == ["offset_mapping"]
    with pytest.raises(Refused, match="Unexpected inference output 'nope' for model 'm'"):
        write_v2(seen, model="m", id="7", outputs=["nope"])


def test_rows_of_unequal_length_are_no_tensor():
    with pytest.raises(Refused, match="inhomogeneous"):
        write_v2(Inferred([[[{0: 0.5}]], [[{0: 0.5}], [{0: 0.5}]]], tokens=3), model="m", id="1")


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"input": [1, 2]}, 500), ({"input": []}, 500), ({"input": "a", "encoding_format": "int8"}, 422)],
)
def test_embedding_requests_refused(body: dict[str, Any], status: int):
    with pytest.raises(Refused) as refused:
        read_embeddings(body)
    assert refused.value.status == status


def test_base64_embeddings_are_little_endian_floats():
    body = {"model": "m", "input": "a", "encoding_format": "base64"}
    answer = write_embeddings(Inferred([[0.5, -0.25]], tokens=3), body, id="1", created=1)
    assert struct.unpack("<2f", base64.b64decode(answer["data"][0]["embedding"])) == (0.5, -0.25)
    assert answer["usage"]["prompt_tokens"] == 3


NESTED = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x, max_size=3))
KEYS = st.sampled_from(["inputs", "instances", "id", "outputs"])
TENSORS = st.lists(st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data"]), NESTED), max_size=2)


@given(st.dictionaries(KEYS, NESTED | TENSORS) | NESTED)
def test_any_body_is_texts_or_a_refusal(body: Any):
    raw = json.dumps(body).encode()
    for read in (read_v1, read_v2):
        try:
            asked = read(raw, JSON)
        except Refused:
            continue
        texts = asked if isinstance(asked, list) else asked.texts
        assert texts
        assert all(isinstance(text, str) for text in texts)


@given(st.binary())
def test_any_bytes_are_texts_or_a_refusal(raw: bytes):
    for read in (read_v1, read_v2):
        try:
            read(raw, JSON)
        except Refused:
            continue
