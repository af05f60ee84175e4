"""KServe's own ModelServer with tiny models, on loopback. Runs in the environment of ``kserve_venv``:
python kserve_server.py PORT

The models answer in the shapes of huggingfaceserver 0.20's encoder (its utils/utils.py, get_predict_response); what they know is
two words: "good" is class 1, anything else class 0.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import kserve.protocol.rest.server as rest
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

# KServe listens on every interface and has no option for it; a test listens on loopback.
every_interface = rest.uvicorn.Config


def on_loopback(*args: Any, **options: Any) -> Any:
    return every_interface(*args, **{**options, "host": "127.0.0.1"})


rest.uvicorn.Config = on_loopback


def is_good(word: str) -> int:
    return int(word == "good")


def sentiment(texts: list[str]) -> list[InferOutput]:
    return [InferOutput("output-0", [len(texts)], "INT64", [int("good" in text) for text in texts])]


def sentiment_scores(texts: list[str]) -> list[InferOutput]:
    scores = [{0: 0.25, 1: 0.75} if "good" in text else {0: 0.9995, 1: 5e-05} for text in texts]
    return [InferOutput("output-0", [len(texts)], "BYTES", [str(one) for one in scores])]


def tags(texts: list[str]) -> list[InferOutput]:
    words = [["[CLS]", *text.split()] for text in texts]
    longest = max(map(len, words))
    flat = [is_good(word) for row in words for word in [*row, *[""] * (longest - len(row))]]
    offsets = []
    for row in words:
        start = 0
        spans = [(0, 0)]
        for word in row[1:]:
            spans.append((start, start + len(word)))
            start += len(word) + 1
        offsets += [edge for span in [*spans, *[(0, 0)] * (longest - len(row))] for edge in span]
    return [
        InferOutput("output-0", [len(texts), 1, longest], "INT64", flat),
        InferOutput("offset_mapping", [len(texts), longest, 2], "INT64", offsets),
    ]


def mask(texts: list[str]) -> list[InferOutput]:
    if any("[MASK]" not in text for text in texts):
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return [InferOutput("output-0", [len(texts)], "BYTES", ["good"] * len(texts))]


def vectors(texts: list[str]) -> list[InferOutput]:
    rows = [(len(text), text.count("good"), 1) for text in texts]
    flat = [x / math.hypot(*row) for row in rows for x in row]
    return [InferOutput("output-0", [len(texts), 3], "FP64", flat)]


def text(texts: list[str]) -> list[InferOutput]:
    raise ValueError("Model of type HuggingfaceGenerativeModel does not support inference")


class Tiny(Model):  # type: ignore[misc]  # kserve is not installed here
    def __init__(self, name: str, answer: Callable[[list[str]], list[InferOutput]]) -> None:
        super().__init__(name)
        self.answer = answer
        self.ready = True

    def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        texts = [one.decode() if isinstance(one, bytes) else one for one in payload.inputs[0].data]
        return InferResponse(response_id=payload.id or "1", model_name=self.name, infer_outputs=self.answer(texts))


if __name__ == "__main__":
    answers = {
        "sentiment": sentiment,
        "sentiment-scores": sentiment_scores,
        "tags": tags,
        "mask": mask,
        "vectors": vectors,
        "text": text,
    }
    server = ModelServer(http_port=int(sys.argv[1]), enable_grpc=False)
    server.start([Tiny(name, answer) for name, answer in answers.items()])
