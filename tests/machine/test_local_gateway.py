"""A real openai client against a real model behind the gateway: what a caller sees."""

from __future__ import annotations

import asyncio
import json
import math
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from support.local_model import BASE, random_pairs, write_adapter

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms import lifecycle
from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.platforms.local.platform import LocalPlatform
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText, ServeSpec

pytestmark = pytest.mark.machine

OWNER = Owner(dag_id="tests", run_id="gateway", task_id="serve")
QUESTION = [{"role": "user", "content": "Name a colour."}]
TO_THE_END: dict[str, object] = {"ignore_eos": True}
"""Else a sampled answer may end before the tokens that a test counts."""


def serve(settings: Settings, spec: ServeSpec) -> Endpoint:
    platform = LocalPlatform(settings)
    return asyncio.run(lifecycle.serve(platform, Want(spec=spec, name=spec.object_name, owner=OWNER), timeout=120))


def teardown(settings: Settings, endpoint: Endpoint) -> None:
    asyncio.run(lifecycle.teardown(LocalPlatform(settings), lifecycle.target_of(endpoint), timeout=60))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(platform="local", state_dir=str(tmp_path_factory.mktemp("llmserve")))


@pytest.fixture(scope="module")
def smol(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One base that also embeds, with an adapter that says something else."""
    folder = write_adapter(tmp_path_factory.mktemp("adapter") / "odd", random_pairs(1, 0.05))
    spec = KubeAIText.parse(
        {
            "url": BASE,
            "model_name": "smol",
            "features": ["TextGeneration", "TextEmbedding"],
            "adapters": [{"name": "odd", "url": folder.as_uri()}],
        }
    )
    endpoint = serve(settings, spec)
    yield endpoint
    teardown(settings, endpoint)


@pytest.fixture(scope="module")
def client(smol: Endpoint) -> openai.OpenAI:
    return smol.openai(max_retries=0)


def ask(client: openai.OpenAI, model: str, **options: object) -> str:
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=8, temperature=0, **options)  # type: ignore[call-overload]
    assert answer.model == model
    return str(answer.choices[0].message.content)


def test_chat(client: openai.OpenAI):
    answer = client.chat.completions.create(model="smol", messages=QUESTION, max_tokens=6, extra_body=TO_THE_END)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 6


def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI):
    for model in ("smol", "smol_odd"):
        whole = ask(client, model, extra_body={"cache_prompt": False})
        chunks = list(
            client.chat.completions.create(
                model=model,
                messages=QUESTION,
                max_tokens=8,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"cache_prompt": False},
            )
        )
        assert {c.model for c in chunks} == {model}
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
        assert len(chunks) > 5, "a stream comes in pieces"
        assert chunks[-1].usage is not None
        assert [c for c in chunks[:-1] if c.usage] == []


def test_a_stream_carries_usage_only_where_asked(client: openai.OpenAI):
    for stream in (
        client.chat.completions.create(model="smol", messages=QUESTION, max_tokens=3, stream=True),
        client.completions.create(model="smol", prompt="Blue", max_tokens=3, stream=True),
    ):
        assert [c for c in stream if c.usage or not c.choices] == []


def test_completions_have_the_completions_shape(client: openai.OpenAI):
    answer = client.completions.create(model="smol", prompt="The capital of France is", max_tokens=3, temperature=0, logprobs=2)
    choice = answer.choices[0]
    assert answer.id.startswith("cmpl-")
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert choice.logprobs.top_logprobs is not None
    assert "".join(choice.logprobs.tokens) == choice.text
    assert choice.logprobs.text_offset == [0, *[len("".join(choice.logprobs.tokens[:i])) for i in (1, 2)]]
    assert all(len(top) >= 2 for top in choice.logprobs.top_logprobs)


def test_several_prompts_and_choices_count_all_tokens(client: openai.OpenAI):
    two = client.completions.create(model="smol", prompt=["Red, green,", "One, two, three,"], max_tokens=2, extra_body=TO_THE_END)
    assert [c.index for c in two.choices] == [0, 1]
    assert two.usage is not None
    assert two.usage.completion_tokens == 4
    one = client.completions.create(model="smol", prompt="Red, green,", max_tokens=2, extra_body=TO_THE_END)
    n = client.completions.create(model="smol", prompt="Red, green,", max_tokens=2, n=2, extra_body=TO_THE_END)
    assert one.usage is not None
    assert n.usage is not None
    assert (n.usage.prompt_tokens, n.usage.completion_tokens) == (one.usage.prompt_tokens, 4)


def test_log_probabilities_of_a_chat_survive_being_put_together(client: openai.OpenAI):
    answer = client.chat.completions.create(
        model="smol", messages=QUESTION, max_tokens=4, logprobs=True, top_logprobs=3, extra_body=TO_THE_END
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content) == 4
    assert len(logprobs.content[0].top_logprobs) == 3


def test_embeddings(client: openai.OpenAI):
    answer = client.embeddings.create(model="smol", input=["a cat", "a kitten", "tax law"])
    assert answer.model == "smol"
    a, b, c = (e.embedding for e in answer.data)
    assert len(a) == 576
    assert math.isclose(sum(x * x for x in a), 1, rel_tol=1e-3)

    def similarity(x: list[float], y: list[float]) -> float:
        return sum(i * j for i, j in zip(x, y, strict=True))

    assert similarity(a, b) > similarity(a, c)


def test_a_long_text_is_embedded_whole(client: openai.OpenAI):
    assert client.embeddings.create(model="smol", input="word " * 520).data


def test_the_adapter_is_chosen_by_name(client: openai.OpenAI):
    def say(model: str, **extra: object) -> str:
        # A reused prefix moves log-probabilities by some hundredths.
        return ask(client, model, extra_body={"cache_prompt": False, **extra})

    base, odd = say("smol"), say("smol_odd")
    assert base != odd
    # One loaded base, request by request: neither leaves a trace in the other.
    assert [say(m) for m in ("smol", "smol_odd", "smol")] == [base, odd, base]
    assert say("smol", lora=[{"id": 0, "scale": 1.0}]) == base, "llama.cpp's own field is not the caller's"


def test_the_list_of_models(client: openai.OpenAI, smol: Endpoint):
    assert [m.id for m in client.models.list()] == ["smol", "smol_odd"]
    assert smol.served_names() == ("smol", "smol_odd")
    listed = json.load(urllib.request.urlopen(f"{smol.service.url}/openai/v1/models?feature=TextEmbedding"))
    assert [m["id"] for m in listed["data"]] == ["smol", "smol_odd"]
    assert listed["data"][0]["features"] == ["TextGeneration", "TextEmbedding"]
    none = json.load(urllib.request.urlopen(f"{smol.service.url}/openai/v1/models?feature=Painting"))
    assert none == {"object": "list", "data": []}


@pytest.mark.parametrize("model", ["nobody", "odd", "smol_nobody", "smol_odd_x", "Smol", "smol_"])
def test_an_unknown_model_is_404_in_openais_shape(client: openai.OpenAI, model: str):
    with pytest.raises(openai.NotFoundError) as e:
        ask(client, model)
    assert e.value.body == {
        "message": f'model not found: "{model}"',
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }


RECORDED = json.loads((Path(__file__).parent / "local_gateway_recorded.json").read_text())


@pytest.mark.parametrize("case", RECORDED, ids=[c["name"] for c in RECORDED])
def test_statuses_are_those_recorded_from_kubeai(smol: Endpoint, case: dict[str, str]):
    """The real gateway's request to model ``alpha`` with adapter ``law``, said of ours."""
    body = _ours(case["body"]) if case["body"] else None
    if body is not None and case["status"] == 200:
        body = json.dumps({**json.loads(body), "max_tokens": 1})
    request = urllib.request.Request(
        smol.service.url + case["path"].replace("alpha", "smol"),
        data=body.encode("utf-8", "surrogateescape") if body is not None else None,
        method=case["method"],
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as e:
        status, text = e.code, e.read()
    assert status == case["status"], text
    if status >= 400:
        error = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        # Go's and Python's JSON readers find the same fault in other words; types of fields are llama.cpp's affair.
        said = _ours(case["said"]).partition(": decoding:")[0]
        assert said in error["message"] or case["name"] in OTHER_WORDS


OTHER_WORDS = ("chat, wrong type of a known field", "chat, temperature as a string", "wrong method with a body, PUT")


def _ours(text: str) -> str:
    for alpha, smol in (("alpha_law", "smol_odd"), ("alpha_", "smol_"), ('"alpha', '"smol'), ('"law"', '"odd"')):
        text = text.replace(alpha, smol)
    return text


def test_a_fault_of_the_request_is_not_sent_again(client: openai.OpenAI):
    """llama.cpp says 500 to these; an openai client would try again."""
    with pytest.raises(openai.BadRequestError, match="role"):
        client.chat.completions.create(model="smol", messages=[{"content": "hi"}])  # type: ignore[list-item]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError, match="image"):
        client.chat.completions.create(model="smol", messages=[{"role": "user", "content": [image]}])  # type: ignore[list-item]
    with pytest.raises(openai.BadRequestError) as e:
        client.completions.create(model="smol", prompt="word " * 5000)
    assert e.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="smol", messages=QUESTION, temperature="hot", stream=True)  # type: ignore[call-overload]


async def test_fifty_requests_at_once(smol: Endpoint):
    async with smol.async_openai(max_retries=0, timeout=120) as client:

        async def one(i: int) -> tuple[str, int]:
            model = ("smol", "smol_odd")[i % 2]
            answer = await client.completions.create(model=model, prompt="Red, green,", max_tokens=2, extra_body=TO_THE_END)
            assert answer.usage is not None
            return answer.model, answer.usage.completion_tokens

        answers = await asyncio.gather(*(one(i) for i in range(50)))
    assert answers == [("smol", 2), ("smol_odd", 2)] * 25


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_slot(smol: Endpoint, stream: bool):
    """There are four slots: were they held to the end of 1,500 tokens each, the fifth request would wait for its turn."""
    async with smol.async_openai(max_retries=0) as client:
        long = {"model": "smol", "prompt": "Count: 1 2 3", "max_tokens": 1500, "extra_body": {"ignore_eos": True}}
        if stream:
            for opened in [await client.completions.create(**long, stream=True) for _ in range(4)]:  # type: ignore[call-overload]
                await opened.close()
        else:
            hasty = client.with_options(timeout=0.5)
            answers = await asyncio.gather(*(hasty.completions.create(**long) for _ in range(4)), return_exceptions=True)  # type: ignore[call-overload]
            assert [type(a) for a in answers] == [openai.APITimeoutError] * 4
        answer = await client.completions.create(model="smol", prompt="Count:", max_tokens=2, timeout=20)
        assert answer.choices[0].text


def test_a_standalone_server_has_its_own_port_and_health_routes(settings: Settings, smol: Endpoint):
    endpoint = serve(
        settings, HuggingFaceServe.parse({"path": "huggingface://HuggingFaceTB/SmolLM2-135M-Instruct", "model_name": "alone"})
    )
    try:
        assert endpoint.service.url != smol.service.url
        assert endpoint.task == "text_generation"

        def get(path: str) -> object:
            return json.load(urllib.request.urlopen(endpoint.service.url + path, timeout=10))

        assert get("/v2/health/live") == {"live": True}
        assert get("/v2/health/ready") == {"ready": True}
        assert get("/v2/models/alone/ready") == {"name": "alone", "ready": True}
        assert get("/v2/models") == {"models": ["alone"]}
        assert get("/v2/models/alone") == {"name": "alone", "versions": None, "platform": "", "inputs": [], "outputs": []}
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get("/v2/models/smol/ready")
        client = endpoint.openai(max_retries=0)
        assert [m.id for m in client.models.list()] == ["alone"]
        assert ask(client, "alone")
        with pytest.raises(openai.NotFoundError):
            ask(client, "smol")
    finally:
        teardown(settings, endpoint)
    with pytest.raises(urllib.error.URLError, match="refused"):
        get("/v2/health/live")
