"""A client that asks a Service all the time, through the API server, and counts what came."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from airflow_provider_llmserve.errors import LLMServeError
from airflow_provider_llmserve.platforms.kubernetes.client import Client

BODY = {"inputs": [{"name": "input-0", "shape": [1], "datatype": "BYTES", "data": ["hello"]}]}
CLIENTS = 4


@asynccontextmanager
async def asking(client: Client, namespace: str, name: str) -> AsyncIterator[Counter[str]]:
    """While the block runs: answers by status, and faults by their text."""
    came: Counter[str] = Counter()

    async def ask() -> None:
        while True:
            try:
                answer = await client.proxy("POST", namespace, f"{name}:8080", f"/v2/models/{name}/infer", body=BODY, timeout=30)
                came[str(answer.status) if answer.status == 200 else f"{answer.status} {answer.text()[:200]}"] += 1
            except LLMServeError as e:
                came[str(e)[:200]] += 1
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
    try:
        yield came
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
