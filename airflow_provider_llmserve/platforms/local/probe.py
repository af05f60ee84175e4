"""Small questions that show whether a server really answers, with every adapter it should have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.oip.wire import infer_request
from airflow_provider_llmserve.platforms.local.plan import ServerSpec
from airflow_provider_llmserve.platforms.local.process import ServerFailed, ServerProcess
from airflow_provider_llmserve.runtimes.huggingface.endpoint import probe_text

if TYPE_CHECKING:
    import aiohttp

GENERATION_HEADER = "X-LLMServe-Generation"
"""Response header of the gateway: which generation of a run's servers answered."""

_PROMPT = "The capital of France is"


def question(model: str, server: ServerSpec) -> tuple[str, dict[str, Any]]:
    """Path and body of the cheapest request that ``model`` has to answer."""
    if server.encoder is not None:
        return f"/v2/models/{model}/infer", infer_request([probe_text(server.encoder.task)])
    if server.embedding:
        return "/v1/embeddings", {"model": model, "input": _PROMPT}
    body = {"model": model, "prompt": _PROMPT, "max_tokens": 1, "temperature": 0, "logprobs": 5, "cache_prompt": False}
    return "/v1/completions", body


async def smoke(server: ServerProcess) -> frozenset[str]:
    """Ask one server directly: its base and each adapter. Returns the adapters whose answer is the base's to the last digit.

    Raises :class:`ServerFailed` where one does not answer.
    """
    path, body = question(server.name, server.spec)
    if server.spec.encoder is not None:
        await _ask(server, path, body, "the model")
        return frozenset()
    base = await _ask(server, path, {**body, "lora": []}, "the base")
    inert = set()
    for adapter, number in server.adapter_ids.items():
        answer = await _ask(server, path, {**body, "lora": [{"id": number, "scale": 1.0}]}, f"adapter {adapter}")
        if _essence(answer) == _essence(base):
            inert.add(adapter)
    return frozenset(inert)


async def ask_gateway(session: aiohttp.ClientSession, root: str, model: str, server: ServerSpec) -> tuple[int, str, str]:
    """Ask by a served name through the gateway: status, generation that answered, text. Status 0 where no answer came."""
    import aiohttp

    path, body = question(model, server)
    prefix = "" if server.encoder is not None else "/openai"
    try:
        async with session.post(root + prefix + path, json=body, timeout=aiohttp.ClientTimeout(total=30)) as response:
            return response.status, response.headers.get(GENERATION_HEADER, ""), (await response.text())[:2000]
    except (aiohttp.ClientError, asyncio.TimeoutError) as e:
        return 0, "", f"{type(e).__name__}: {e}"


async def _ask(server: ServerProcess, path: str, body: dict[str, Any], what: str) -> dict[str, Any]:
    import aiohttp

    try:
        async with server.session.post(f"http://server{path}", json=body, timeout=aiohttp.ClientTimeout(total=120)) as response:
            if response.status == 200:
                answer: dict[str, Any] = await response.json()
                return answer
            text = await response.text()
    except (aiohttp.ClientError, asyncio.TimeoutError) as e:
        raise ServerFailed(f"{what} does not answer: {type(e).__name__}: {e}", final=False) from e
    raise ServerFailed(f"{what} does not answer: status {response.status}: {text[:500]}", final=True)


def _essence(answer: dict[str, Any]) -> Any:
    """What the model computed, without ids and times."""
    if "data" in answer:
        return answer["data"]
    return [(c.get("text"), c.get("logprobs")) for c in answer.get("choices", [])]
