"""Whether an answer is one of the route that was asked. Pure.

A status of 200 proves nothing: a login page in front of a gateway has it, and so has a server that answers an error as a body.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_llmserve.readiness.fields import items, mapping


def misfit(path: str, body: str) -> str:
    """What is wrong with the body of a 2xx answer of that route, in words; empty where nothing is, or the route is not known
    here."""
    found = next(((what, fits) for end, what, fits in _ROUTES if path.endswith(end)), None)
    if found is None:
        return ""
    what, fits = found
    try:
        value = json.loads(body)
    except ValueError:
        return f"the answer is not {what} but {_shown(body)}"
    return "" if fits(value) else f"the answer is not {what} but {_shown(body)}"


def _completion(value: Any) -> bool:
    """An empty text is one: a model may end at once."""
    choices = items(value, "choices")
    return bool(choices) and all(isinstance(choice.get("text"), str) for choice in choices)


def _embedding(value: Any) -> bool:
    vectors = [one.get("embedding") for one in items(value, "data")]
    return bool(vectors) and all(_numbers(v) or (isinstance(v, str) and v) for v in vectors)


def _ranking(value: Any) -> bool:
    scores = [one.get("relevance_score") for one in items(value, "results")]
    return _numbers(scores)


def _inference(value: Any) -> bool:
    outputs = items(value, "outputs")
    return bool(outputs) and all(isinstance(o.get("data"), list) and o["data"] and None not in o["data"] for o in outputs)


def _model_ready(value: Any) -> bool:
    """KServe says ``true`` (kserve 0.20, ModelReadyResponse), others its name as text."""
    return str(mapping(value).get("ready")).lower() == "true"


def _models(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("data"), list)


def _numbers(values: Any) -> bool:
    return (
        isinstance(values, list)
        and bool(values)
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    )


def _shown(body: str) -> str:
    text = " ".join(body.split())
    return repr(text if len(text) <= 120 else f"{text[:120]}…") if text else "empty"


_ROUTES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("/completions", "a completion", _completion),
    ("/embeddings", "an embedding", _embedding),
    ("/rerank", "a ranking", _ranking),
    ("/infer", "an inference", _inference),
    ("/ready", "a model's readiness", _model_ready),
    ("/v1/models", "a list of models", _models),
)
"""How a path ends, what its answer is, and what tells that. First match wins."""
