"""From OpenAI's protocol to what llama.cpp takes, and back: pure functions over JSON.

What a client would see of llama.cpp and not of OpenAI is mended here (measured with xllamacpp 2026.10): ``model`` is always the
server's own name; completions carry chat-shaped log-probabilities, ``chatcmpl-`` ids and unasked usage; ``usage`` of several
choices counts one of them; an error's ``code`` is its status; some faults of the request come as 500 or 501, which OpenAI clients
would send again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class BadRequest(Exception):
    """The body is not one that KubeAI's gateway takes; the text is KubeAI's."""


def error_body(status: int, message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    kind = ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True)
class Call:
    """One inference request as the client made it."""

    body: dict[str, Any]
    model: str

    @property
    def stream(self) -> bool:
        """The client wants the answer as it comes."""
        return self.body.get("stream") is True

    @property
    def wants_usage(self) -> bool:
        """The client wants the count of tokens as the last event of its stream."""
        options = self.body.get("stream_options")
        return isinstance(options, Mapping) and options.get("include_usage") is True

    @property
    def plain_stream(self) -> bool:
        """A stream of one choice, of which llama.cpp itself makes what OpenAI would."""
        return self.stream and self.body.get("n") in (None, 1)

    def upstream(self, adapter_id: int | None, *, embeddings: bool) -> dict[str, Any]:
        """The body for llama.cpp: streamed whatever the client asked, so that a client who leaves frees its slot at once."""
        body = {k: v for k, v in self.body.items() if v is not None and k != "lora"}
        body["lora"] = [] if adapter_id is None else [{"id": adapter_id, "scale": 1.0}]
        if not embeddings:
            if not self.plain_stream:
                body["stream_options"] = {"include_usage": True}
            body["stream"] = True
        return body


def parse_call(raw: bytes) -> Call:
    """Read a request body as strictly as KubeAI does. Raises :class:`BadRequest` in KubeAI's words."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as e:
        raise BadRequest(f"decoding: jsontext: invalid UTF-8 after offset {e.start}") from None
    if not text.strip():
        raise BadRequest("decoding: unexpected EOF")
    try:
        body = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as e:
        raise BadRequest(f"decoding: jsontext: {e.msg} after offset {e.pos}") from None
    except RecursionError:
        raise BadRequest("decoding: jsontext: exceeded max depth") from None
    if not isinstance(body, dict):
        raise BadRequest(f"decoding: json: cannot unmarshal JSON {_json_type(body)} into an object")
    model = body.get("model")
    if model is None or model == "":
        raise BadRequest("missing 'model' field")
    if not isinstance(model, str):
        raise BadRequest(f'decoding: json: cannot unmarshal JSON {_json_type(model)} into Go string within "/model"')
    seed = body.get("seed")
    if isinstance(seed, int) and not -(2**63) <= seed < 2**63:
        raise BadRequest(f'decoding: json: cannot unmarshal JSON number {seed} into Go int within "/seed": value out of range')
    return Call(body, model)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise BadRequest(f'decoding: jsontext: duplicate object member name "{twice}"')
    return found


def _no_constant(name: str) -> Any:
    raise BadRequest(f"decoding: jsontext: invalid character at {name!r}")


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "null"


_OF_THE_REQUEST = ("Failed to parse messages", "is not supported", "too large to process", "does not support", "Unsupported")


def upstream_error(status: int, raw: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body for an error answer of llama.cpp: a fault of the request is 400, whatever llama.cpp calls it."""
    message = raw.decode("utf-8", "replace")
    try:
        found = json.loads(message)["error"]
        message = str(found["message"])
    except (ValueError, KeyError, TypeError):
        pass
    if status == 501 or (status == 500 and any(words in message for words in _OF_THE_REQUEST)):
        status = 400
    code = "context_length_exceeded" if "exceeds the available context size" in message else None
    return status, error_body(status, message, code=code)


def events(buffer: bytearray, chunk: bytes) -> Iterable[bytes]:
    """Add ``chunk`` to ``buffer`` and take the payloads of all complete ``data:`` events out of it."""
    buffer += chunk
    while (end := buffer.find(b"\n\n")) >= 0:
        event = bytes(buffer[:end])
        del buffer[: end + 2]
        for line in event.splitlines():
            field_name, _, payload = line.partition(b":")
            if field_name in (b"data", b"error"):
                yield payload.strip()


@dataclass
class Translator:
    """Mends the events of one answer. ``asked`` is the request name that the client used."""

    asked: str
    completions: bool
    choices: int = 1
    """``n``: choices of one prompt, which share its tokens."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    offsets: dict[int, int] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    def event(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """The event for the client; None for one that carried usage alone."""
        usage = data.pop("usage", None)
        if isinstance(usage, dict):
            self.prompt_tokens += usage.get("prompt_tokens", 0)
            self.completion_tokens += usage.get("completion_tokens", 0)
            self.cached_tokens += (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        data["model"] = self.asked
        if self.completions:
            self._as_completion(data)
        self.last = {k: v for k, v in data.items() if k != "choices"}
        return data if data.get("choices") else None

    def _as_completion(self, data: dict[str, Any]) -> None:
        data["id"] = "cmpl-" + str(data.get("id", "")).removeprefix("chatcmpl-")
        for choice in data.get("choices", ()):
            index = choice.get("index", 0)
            start = self.offsets.get(index, 0)
            choice["logprobs"] = completion_logprobs(choice.get("logprobs"), start)
            self.offsets[index] = start + len(choice.get("text") or "")

    def usage(self) -> dict[str, Any]:
        """Tokens of the whole answer; a prompt that was asked for several choices counts once."""
        prompt = self.prompt_tokens // max(1, self.choices)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.completion_tokens,
            "total_tokens": prompt + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens // max(1, self.choices)},
        }

    def usage_event(self) -> dict[str, Any]:
        """The last event of a stream whose client asked for usage."""
        return {**self.last, "choices": [], "usage": self.usage()}


def completion_logprobs(logprobs: Any, start: int) -> dict[str, Any] | None:
    """Chat-shaped log-probabilities as the completions protocol has them. ``start`` is the offset of the text before."""
    if not isinstance(logprobs, dict) or not isinstance(logprobs.get("content"), list):
        return None
    content = logprobs["content"]
    offsets = []
    for token in content:
        offsets.append(start)
        start += len(token["token"])
    return {
        "tokens": [t["token"] for t in content],
        "token_logprobs": [t["logprob"] for t in content],
        "top_logprobs": [{top["token"]: top["logprob"] for top in t.get("top_logprobs", ())} for t in content],
        "text_offset": offsets,
    }


class Assembly:
    """One whole answer, put together from the events of its stream."""

    def __init__(self, translator: Translator):
        self._translator = translator
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, data: dict[str, Any]) -> None:
        """One event of the stream, as the translator returned it."""
        for choice in data["choices"]:
            self._add_choice(choice)

    def _add_choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index", 0)
        if self._translator.completions:
            whole = self._choices.setdefault(index, {"index": index, "text": "", "logprobs": None, "finish_reason": None})
            whole["text"] += choice.get("text") or ""
        else:
            message = {"role": "assistant", "content": None}
            whole = self._choices.setdefault(index, {"index": index, "message": message, "logprobs": None, "finish_reason": None})
            _merge_delta(whole["message"], choice.get("delta") or {})
        whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]
        for key, values in (choice.get("logprobs") or {}).items():
            if isinstance(values, list):
                whole["logprobs"] = whole["logprobs"] or {}
                whole["logprobs"].setdefault(key, []).extend(values)

    def whole(self) -> dict[str, Any]:
        """The answer as a client that did not stream gets it; call it when the stream has ended."""
        body = dict(self._translator.last)
        body["object"] = "text_completion" if self._translator.completions else "chat.completion"
        body["choices"] = [self._choices[i] for i in sorted(self._choices)]
        for choice in body["choices"]:
            if "message" in choice and choice["message"]["content"] is None and "tool_calls" not in choice["message"]:
                choice["message"]["content"] = ""
        body["usage"] = self._translator.usage()
        return body


def _merge_delta(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for key, value in delta.items():
        if value is None:
            continue
        if key == "tool_calls":
            _merge_tool_calls(message.setdefault("tool_calls", []), value)
        elif key == "role":
            message["role"] = value
        elif isinstance(value, str):
            message[key] = (message.get(key) or "") + value
        else:
            message[key] = value


def _merge_tool_calls(calls: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for delta in deltas:
        index = delta.get("index", len(calls))
        while len(calls) <= index:
            calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call = calls[index]
        call["id"] = delta.get("id") or call["id"]
        function = delta.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
