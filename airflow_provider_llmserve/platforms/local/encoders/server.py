"""One encoder's server process: ``python -m airflow_provider_llmserve.platforms.local.encoders.server NAME``.

Under the same discipline as llama.cpp's (``platforms/local/server.py``): it reads its :class:`Launch` as one JSON line from
stdin, prints where it listens as one line once the model is loaded, serves on a Unix socket, and ends when stdin closes. What it
refuses is the last line on stderr, with exit code 1. It answers predictions alone; the gateway in front knows names, states and
other routes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.platforms.local import leash
from airflow_provider_llmserve.platforms.local.encoders import wire
from airflow_provider_llmserve.platforms.local.encoders.wire import Inferred, Refused
from airflow_provider_llmserve.platforms.local.plan import EncoderSpec

if TYPE_CHECKING:
    from aiohttp import web

    from airflow_provider_llmserve.platforms.local.encoders.model import Encoder

MAX_BODY = 64 * 2**20
"""Bytes of one request, as the gateway allows them."""


@dataclass(frozen=True)
class Launch:
    """What a server process is told. ``encoder`` is an :class:`EncoderSpec` as JSON."""

    model: str
    socket: str
    threads: int
    encoder: dict[str, Any]

    def to_line(self) -> bytes:
        """As :func:`main` reads it: one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> None:
    """Serve what the first line of standard input says. The last line of standard error tells why a start failed."""
    launch = Launch(**json.loads(sys.stdin.buffer.readline()))
    leash.tie()
    try:
        model = _load(launch)
    except Exception as e:
        traceback.print_exc()
        said = str(e).strip().splitlines() or [""]
        print(f"{type(e).__name__}: {said[0]}", file=sys.stderr, flush=True)
        os._exit(1)
    try:
        asyncio.run(_serve(launch, model))
    finally:
        os._exit(1)  # whatever ended it: a computation that still runs would hold the process


def _load(launch: Launch) -> Encoder:
    # Before torch is imported: libgomp's threads spin at barriers, and collapse with more threads than free cores.
    os.environ["GOMP_SPINCOUNT"] = "1000"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TQDM_DISABLE"] = "1"  # progress bars would hide the last line of the log
    # All files are here; code that a trusted model names in another repository must have come with it.
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    torch.set_num_threads(launch.threads)

    from airflow_provider_llmserve.platforms.local.encoders.model import Encoder

    return Encoder(Path(launch.model), EncoderSpec.model_validate(launch.encoder))


async def _serve(launch: Launch, model: Encoder) -> None:
    from aiohttp import web

    handlers = Handlers(model, launch.encoder["task"])
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/v1/models/{model}:predict", handlers.predict)
    app.router.add_post("/v2/models/{model}/infer", handlers.infer)
    app.router.add_post("/v1/embeddings", handlers.embeddings)
    # A client that went away takes its request out of the queue.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    os.umask(0o177)
    await web.UnixSite(runner, launch.socket).start()
    print(f"unix://{launch.socket}", flush=True)
    await asyncio.Event().wait()


class Handlers:
    """The three ways to ask. One request is computed at a time; the rest waits without blocking anybody."""

    def __init__(self, model: Encoder, task: str):
        self._model = model
        self._task = task
        self._one = ThreadPoolExecutor(max_workers=1)

    async def predict(self, request: web.Request) -> web.Response:
        """``POST /v1/models/<name>:predict``."""
        try:
            texts = wire.read_v1(await request.read(), request.headers.get("Content-Type"))
            return _json(200, wire.write_v1(await self._infer(texts)))
        except Refused as e:
            return _json(e.status, e.body)

    async def infer(self, request: web.Request) -> web.Response:
        """``POST /v2/models/<name>/infer``: the Open Inference Protocol."""
        try:
            asked = wire.read_v2(await request.read(), request.headers.get("Content-Type"))
            found = await self._infer(asked.texts)
            name = request.match_info["model"]
            return _json(200, wire.write_v2(found, model=name, id=asked.id or str(uuid.uuid4()), outputs=asked.outputs))
        except Refused as e:
            return _json(e.status, e.body)

    async def embeddings(self, request: web.Request) -> web.Response:
        """``POST /v1/embeddings``, of models that embed."""
        try:
            body = await request.json()
            if self._task != "text_embedding":
                raise wire.openai_error(500, f"Error during embedding creation: this model does {self._task}")
            found = await self._infer(wire.read_embeddings(body))
            return _json(200, wire.write_embeddings(found, body, id=str(uuid.uuid4()), created=int(time.time())))
        except Refused as e:
            return _json(e.status, e.body)

    async def _infer(self, texts: list[str]) -> Inferred:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._one, self._model.infer, texts)
        except Exception as e:  # whatever transformers says to these texts is the answer
            raise wire.error(500, f"{type(e).__name__} : {e}") from e


def _json(status: int, body: Any) -> web.Response:
    from aiohttp import web

    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    except ValueError as e:  # a model gone wrong
        status, text = 500, json.dumps({"error": f"ValueError : {e}"})
    return web.Response(status=status, text=text, content_type=wire.JSON)


if __name__ == "__main__":
    main()
