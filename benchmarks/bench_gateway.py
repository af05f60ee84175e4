"""What the local gateway costs: the same llama.cpp process, asked through the gateway and directly, in turns.

Prints medians and, as its last lines, ``gateway_overhead_ms`` (added to one request of one token; goal < 2) and ``tokens_ratio``
(tokens a second of four streams at once, through the gateway over direct; goal ≥ 0.98). Directly means over the server's own Unix
socket, the shortest way there is. Run it on a quiet machine: ``python benchmarks/bench_gateway.py [ROUNDS]``.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms import lifecycle
from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.platforms.local.paths import StateDir
from airflow_provider_llmserve.platforms.local.platform import LocalPlatform
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

MESSAGES = [{"role": "user", "content": "Name a colour."}]
ONE_TOKEN = {"model": "bench", "messages": MESSAGES, "max_tokens": 1, "temperature": 0}
STREAM = {"model": "bench", "messages": MESSAGES, "max_tokens": 64, "temperature": 0, "stream": True, "ignore_eos": True}
STREAMS = 4


class Way:
    """One way to the server, and what was measured on it."""

    def __init__(self, name: str, session: aiohttp.ClientSession, url: str):
        self.name = name
        self.milliseconds: list[float] = []
        self.tokens_per_second: list[float] = []
        self._session = session
        self._url = f"{url}/chat/completions"

    async def one_token(self) -> None:
        start = time.perf_counter()
        async with self._session.post(self._url, json=ONE_TOKEN) as response:
            assert response.status == 200, await response.text()
            await response.read()
        self.milliseconds.append((time.perf_counter() - start) * 1000)

    async def streams(self) -> None:
        start = time.perf_counter()
        tokens = sum(await asyncio.gather(*(self._stream() for _ in range(STREAMS))))
        self.tokens_per_second.append(tokens / (time.perf_counter() - start))

    async def _stream(self) -> int:
        # llama.cpp closes after a streamed answer although it announces keep-alive.
        async with self._session.post(self._url, json=STREAM, headers={"Connection": "close"}) as response:
            assert response.status == 200, await response.text()
            body = b"".join([chunk async for chunk in response.content.iter_any()])
        return body.count(b'"content":"')


async def measure(gateway: str, socket: Path, rounds: int) -> None:
    connector = aiohttp.UnixConnector(str(socket), keepalive_timeout=4)
    async with aiohttp.ClientSession() as over_tcp, aiohttp.ClientSession(connector=connector) as over_unix:
        ways = Way("direct", over_unix, "http://server/v1"), Way("gateway", over_tcp, gateway)
        for i in range(5 + rounds * 10):
            for way in ways if i % 2 else reversed(ways):
                await way.one_token()
        for i in range(1 + rounds):
            for way in ways if i % 2 else reversed(ways):
                await way.streams()
    direct, through = ways
    for way in ways:
        way.milliseconds, way.tokens_per_second = way.milliseconds[5:], way.tokens_per_second[1:]  # warm-up
        milliseconds, tokens = statistics.median(way.milliseconds), statistics.median(way.tokens_per_second)
        print(f"{way.name:8} one token {milliseconds:7.2f} ms   {STREAMS} streams {tokens:6.1f} tokens/s")
    pairs = zip(through.milliseconds, direct.milliseconds, strict=True)
    overhead = statistics.median(a - b for a, b in pairs)
    ratio = statistics.median(a / b for a, b in zip(through.tokens_per_second, direct.tokens_per_second, strict=True))
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians of {rounds * 10} and {rounds} pairs")
    print(f"gateway_overhead_ms={overhead:.2f}")
    print(f"tokens_ratio={ratio:.3f}")


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="llmserve-bench-") as folder:
        settings = Settings(platform="local", state_dir=folder, threads=2)
        platform = LocalPlatform(settings)
        spec = KubeAIText.parse({"url": "hf://HuggingFaceTB/SmolLM2-135M-Instruct", "model_name": "bench"})
        endpoint = await lifecycle.serve(platform, Want(spec=spec, name="bench", owner=Owner(dag_id="bench")), timeout=120)
        try:
            assert endpoint.openai_service is not None
            (socket,) = StateDir.of(settings).sockets.glob("server-*.sock")
            await measure(endpoint.openai_service.base_url, socket, rounds)
        finally:
            await lifecycle.teardown(platform, lifecycle.target_of(endpoint), timeout=60)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
