"""OpenAI's protocol over llama.cpp's, as values. The events are llama.cpp's own (xllamacpp 2026.10)."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.platforms.local.openai_wire import (
    Assembly,
    BadRequest,
    Translator,
    completion_logprobs,
    events,
    parse_call,
    upstream_error,
)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "unexpected EOF"),
        (b"[1,2]", "array"),
        (b'{"prompt":"hi"}', "missing 'model' field"),
        (b'{"Model":"a"}', "missing 'model' field"),
        (b'{"model":""}', "missing 'model' field"),
        (b'{"model":7}', "number into Go string"),
        (b'{"model":"a","n":1,"model":"b"}', 'duplicate object member name "model"'),
        (b'{"model":"a","x":{"y":1,"y":2}}', 'duplicate object member name "y"'),
        (b'{"model":"a","prompt":"\xff"}', "invalid UTF-8"),
        (b'{"model":"a"} tail', "offset 14"),
        (b'{"model":"a","temperature":NaN}', "NaN"),
        (b'{"model":"a","seed":12345678901234567890}', "out of range"),
        (b"[" * 100_000, "max depth"),
    ],
)
def test_what_kubeai_refuses(raw: bytes, why: str):
    with pytest.raises(BadRequest, match=why.replace("(", r"\(")):
        parse_call(raw)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_call_or_a_bad_request(raw: bytes):
    with contextlib.suppress(BadRequest):
        parse_call(raw)


def test_the_callers_lora_field_and_nulls_do_not_pass():
    call = parse_call(b'{"model":"m","prompt":"x","lora":[{"id":1}],"stop":null,"x_custom":{"a":[1]}}')
    assert call.upstream(None, embeddings=False)["lora"] == []
    body = call.upstream(2, embeddings=False)
    assert body["lora"] == [{"id": 2, "scale": 1.0}]
    assert "stop" not in body
    assert body["x_custom"] == {"a": [1]}
    assert body["stream"] is True
    assert "stream" not in call.upstream(None, embeddings=True)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (500, "Failed to parse messages: Missing 'role' in message", 400),
        (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", 400),
        (500, "input (601 tokens) is too large to process", 400),
        (501, "This server does not support embeddings. Start it with `--embeddings`", 400),
        (500, "out of memory", 500),
        (503, "Loading model", 503),
        (400, "'messages' is required", 400),
    ],
)
def test_only_a_fault_of_the_server_is_one_that_clients_repeat(status: int, message: str, expected: int):
    raw = json.dumps({"error": {"code": status, "message": message, "type": "x"}}).encode()
    found, body = upstream_error(status, raw)
    assert found == expected
    assert body["error"]["message"] == message
    assert set(body["error"]) == {"message", "type", "param", "code"}


def test_an_error_that_is_no_json_keeps_its_words():
    assert upstream_error(502, b"bad gateway")[1]["error"]["message"] == "bad gateway"


def sse(*data: Any) -> bytes:
    return b"".join(b"data: " + (d if isinstance(d, bytes) else json.dumps(d).encode()) + b"\n\n" for d in data)


STREAM = sse(None, {"a": 1}, {"text": "x\n\ny"}, b"[DONE]")


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_do_not_depend_on_where_the_stream_is_cut(cuts: list[int]):
    places = sorted({0, len(STREAM), *cuts})
    buffer, found = bytearray(), []
    for start, end in itertools.pairwise(places):
        found += list(events(buffer, STREAM[start:end]))
    assert found == [b"null", b'{"a": 1}', b'{"text": "x\\n\\ny"}', b"[DONE]"]
    assert not buffer


def test_comments_are_no_events():
    assert list(events(bytearray(), b": ping\n\ndata: 1\n\n")) == [b"1"]


def chat(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "alias", "choices": [choice]}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "prompt_tokens_details": {"cached_tokens": 1}}
    return {**chat(), "choices": [], "usage": counts}


def assembled(translator: Translator, *data: dict[str, Any]) -> dict[str, Any]:
    whole = Assembly(translator)
    for one in data:
        event = translator.event(one)
        if event is not None:
            whole.add(event)
    return whole.whole()


def test_a_chat_is_put_together():
    answer = assembled(
        Translator("m_tuned", completions=False),
        chat(role="assistant", content=None),
        chat(content="Hel"),
        chat(content="lo"),
        chat(finish="stop"),
        usage(7, 2),
    )
    assert answer["model"] == "m_tuned"
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello"}
    assert choice["finish_reason"] == "stop"
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"], answer["usage"]["total_tokens"]) == (7, 2, 9)


def test_choices_come_mixed_and_share_one_prompt():
    answer = assembled(
        Translator("m", completions=False, choices=2),
        chat(1, content="b"),
        chat(0, content="a"),
        chat(1, finish="length"),
        usage(7, 1),
        chat(0, finish="stop"),
        usage(7, 1),
    )
    assert [c["message"]["content"] for c in answer["choices"]] == ["a", "b"]
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (7, 2)


def test_tool_calls_are_put_together():
    def call(**function: str) -> dict[str, Any]:
        return chat(tool_calls=[{"index": 0, "id": "c1" if "name" in function else None, "function": function}])

    answer = assembled(Translator("m", completions=False), call(name="f", arguments="{"), call(arguments='"a":1}'))
    (tool,) = answer["choices"][0]["message"]["tool_calls"]
    assert tool == {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    assert answer["choices"][0]["message"]["content"] is None


def test_completions_lose_what_belongs_to_chats():
    token = {
        "token": " is",
        "logprob": -0.5,
        "top_logprobs": [{"token": " is", "logprob": -0.5}, {"token": ",", "logprob": -2.0}],
    }
    event = {
        "id": "chatcmpl-1", "object": "text_completion", "model": "alias",
        "choices": [{"index": 0, "text": " is", "logprobs": {"content": [token]}, "finish_reason": None}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }  # fmt: skip
    translator = Translator("m", completions=True)
    translator.offsets[0] = 4
    mended = translator.event(event)
    assert mended is not None
    assert mended["id"] == "cmpl-1"
    assert "usage" not in mended
    assert mended["choices"][0]["logprobs"] == {
        "tokens": [" is"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{" is": -0.5, ",": -2.0}],
        "text_offset": [4],
    }
    assert translator.usage_event()["choices"] == []


def test_no_log_probabilities_are_none():
    assert completion_logprobs(None, 0) is None
    assert completion_logprobs({}, 0) is None
