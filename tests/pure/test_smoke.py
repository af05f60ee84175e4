"""Reference answers: what is refused, what fits, and what a wrong one does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from support.hf import spec

from airflow_provider_llmserve.endpoint import Endpoint, Identity, OpenAIService, Service
from airflow_provider_llmserve.errors import BadInput, ServingFailed, WaitTimeout
from airflow_provider_llmserve.platforms.base import ServingRun
from airflow_provider_llmserve.platforms.lifecycle import in_seconds
from airflow_provider_llmserve.platforms.lifecycle import smoke as asking
from airflow_provider_llmserve.platforms.lifecycle.smoke import ask_smoke, refuse_smoke
from airflow_provider_llmserve.specs import KubeAIText
from airflow_provider_llmserve.specs.smoke import Smoke, parse_smoke

RUN = ServingRun("kubeai-text", "kubeai", "m", "u")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("Paris", "expected a list"),
        ([{"prompt": "x"}], "0: give either contains or regex"),
        ([{"prompt": "x", "contains": "a", "regex": "b"}], "give either contains or regex"),
        ([{"contains": "a"}], "0: prompt: Field required"),
        ([{"prompt": 7, "contains": "a"}], "0: prompt"),
        ([{"prompt": "x", "regex": "("}], "is none"),
        ([{"prompt": "x", "contain": "a"}], "did you mean 'contains'?"),
        ([{"prompt": "x", "contains": "a"}, {"prompt": "y"}, {"regex": "z"}], "1: give either"),
    ],
)
def test_what_is_no_reference_answer_is_refused_by_name(given: Any, says: str) -> None:
    with pytest.raises(BadInput, match="smoke") as refused:
        parse_smoke(given)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("one", "answer", "fits"),
    [
        ({"contains": "Paris"}, " Paris.", True),
        ({"contains": "Paris"}, " paris.", False),
        ({"regex": r"\bParis\b"}, " It is Paris.", True),
        ({"regex": r"^Paris"}, " Paris", False),
        ({"regex": "(?i)PARIS"}, " paris", True),
    ],
)
def test_what_fits(one: dict[str, str], answer: str, fits: bool) -> None:
    (smoke,) = parse_smoke([{"prompt": "The capital of France is", **one}])
    assert smoke.fits(answer) == fits


SMOKE = parse_smoke([{"prompt": "The capital of France is", "contains": "Paris"}])


@pytest.mark.parametrize(
    ("served", "wait", "says"),
    [
        (spec(huggingface_task="text_generation"), True, ""),
        (KubeAIText.parse({"url": "hf://a/b"}), True, ""),
        (spec(huggingface_task="fill_mask"), True, "writes text"),
        (spec(huggingface_task=None), True, "writes text"),
        (KubeAIText.parse({"url": "hf://a/b", "engine": "Infinity", "features": ["TextEmbedding"]}), True, "writes text"),
        (KubeAIText.parse({"url": "hf://a/b"}), False, "wait=False"),
    ],
)
def test_what_nobody_could_ask_is_refused(served: Any, wait: bool, says: str) -> None:
    refuse_smoke(served, (), wait=wait)
    if says:
        with pytest.raises(BadInput, match=says):
            refuse_smoke(served, SMOKE, wait=wait)
    else:
        refuse_smoke(served, SMOKE, wait=wait)


class Model:
    """A server that answers in turn: a status, or a text."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, int):
            return web.json_response({"error": {"message": "away"}}, status=answer)
        return web.json_response({"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": answer})

    async def endpoint(self, run: ServingRun) -> Endpoint:
        return Endpoint(
            identity=Identity(platform="kubernetes", kind=run.kind, runtime=run.runtime, name=run.name, uid="u", spec_hash="s"),
            service=Service(url=self.url, urls=(self.url,)),
            openai_service=OpenAIService(base_url=f"{self.url}/v1", model="m", model_url="hf://a/b", engine="VLLM"),
        )


@pytest.fixture
async def model(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(asking, "PAUSE", 0.01)
    made, app = Model(), web.Application()
    app.router.add_post("/v1/completions", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield made
    await runner.cleanup()


def text(said: str) -> list[dict[str, Any]]:
    return [{"index": 0, "text": said, "finish_reason": "stop", "logprobs": None}]


async def test_a_right_answer_is_one_at_temperature_0_by_the_bases_name(model: Any) -> None:
    model.answers = [text(" Paris, of course")]
    await ask_smoke(model, RUN, SMOKE, deadline=in_seconds(10))
    (asked,) = model.asked
    assert (asked["model"], asked["prompt"], asked["temperature"]) == ("m", "The capital of France is", 0)


async def test_a_wrong_answer_fails_at_once_with_both_quoted(model: Any) -> None:
    model.answers = [text(" !!!!")]
    with pytest.raises(ServingFailed, match="does not answer as expected") as failed:
        await ask_smoke(model, RUN, SMOKE, deadline=in_seconds(10))
    assert "' !!!!', which must contain 'Paris'" in str(failed.value)
    assert not failed.value.retryable
    assert failed.value.verdict is not None
    assert failed.value.verdict.reason == "smoke_failed"
    assert len(model.asked) == 1


async def test_a_model_that_is_away_is_asked_again_until_the_deadline(model: Any) -> None:
    model.answers = [503, 500, [], text("Paris")]
    await ask_smoke(model, RUN, SMOKE, deadline=in_seconds(30))
    assert len(model.asked) == 4
    model.answers = [503]
    with pytest.raises(WaitTimeout, match="no reference answer"):
        await ask_smoke(model, RUN, SMOKE, deadline=in_seconds(0) - timedelta(seconds=1))


async def test_nothing_is_asked_where_nothing_is_expected(model: Any) -> None:
    await ask_smoke(model, RUN, (), deadline=in_seconds(0))
    assert model.asked == []


def test_in_words() -> None:
    assert Smoke.parse({"prompt": "x", "regex": "a+"}).in_words == "must match 'a+'"
