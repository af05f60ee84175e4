"""A small client of the Open Inference Protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_llmserve.errors import AccessDenied, BadInput, NotFound, PlatformError, Rejected, Unavailable
from airflow_provider_llmserve.oip.wire import BATCHED, TASKS, Prediction, infer_request, read_predictions
from airflow_provider_llmserve.readiness.causes import cause_in

if TYPE_CHECKING:
    import httpx

MAX_BACKOFF = 8.0


@dataclass(frozen=True)
class Reply:
    """The predictions of one request, the seconds that its last try took, and how many tries there were."""

    predictions: list[Prediction]
    seconds: float
    tries: int


class OpenInferenceClient:
    """Predictions of one served model; an async context manager.

        async with endpoint.oip() as client:
            labels = await client.infer(["I love this film", "I hate it"])

    :param url: base URL, without ``/v2``.
    :param model: the served model's name.
    :param task: one of :data:`airflow_provider_llmserve.oip.wire.TASKS`; decides how answers are read.
    :param timeout: seconds for one request, which is then asked anew.
    :param retries: how often, after a time-out, a lost connection, a 429 or a 5xx.
    :param concurrency: requests in flight at once.
    :param batch_size: texts in one request, where the task allows more than one. A server answers nothing else meanwhile.
    :param transport: how requests are carried; None: directly.
    """

    def __init__(
        self,
        url: str,
        model: str,
        task: str,
        *,
        timeout: float = 30.0,
        retries: int = 5,
        concurrency: int = 8,
        batch_size: int = 16,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        import httpx

        if task not in TASKS:
            raise BadInput(f"task {task!r}", f"the Open Inference Protocol is read for {', '.join(TASKS)}")
        if min(concurrency, batch_size) < 1 or retries < 0 or timeout <= 0:
            raise BadInput("Open Inference client", "concurrency and batch_size start at 1, retries at 0, timeout above 0")
        self.task = task
        self.model = model
        self.batch_size = batch_size if task in BATCHED else 1
        self._retries = retries
        self._gate = asyncio.Semaphore(concurrency)
        self._path = f"/v2/models/{quote(model, safe='')}"
        self._http = httpx.AsyncClient(base_url=url.rstrip("/"), timeout=timeout, transport=transport)

    async def __aenter__(self) -> OpenInferenceClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    async def ready(self) -> bool:
        """Whether the model itself says that it is ready. (``/v2/health/ready`` says so of any process that lives.)"""
        import httpx

        try:
            response = await self._http.get(f"{self._path}/ready")
        except httpx.TransportError:
            return False
        return response.status_code == 200

    async def infer(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction a text, in order. Raises :class:`PlatformError` where any of them cannot be had."""
        wrong = [f"[{i}] is no text: {one!r:.80}" for i, one in enumerate(texts) if not isinstance(one, str)]
        if wrong or isinstance(texts, str):
            raise BadInput("texts", wrong or "a list of texts is wanted, this is one")
        batches = [texts[i : i + self.batch_size] for i in range(0, len(texts), self.batch_size)]
        asked = [asyncio.create_task(self.ask(batch)) for batch in batches]
        try:
            return [prediction for reply in await asyncio.gather(*asked) for prediction in reply.predictions]
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def ask(self, texts: Sequence[str]) -> Reply:
        """One request for all of ``texts``, asked anew where it may help."""
        async with self._gate:
            for tries in range(1, self._retries + 2):
                try:
                    response = await self._post(texts)
                    break
                except Unavailable:
                    if tries > self._retries:
                        raise
                    await asyncio.sleep(min(MAX_BACKOFF, 0.5 * 2 ** (tries - 1)))
        try:
            predictions = read_predictions(self.task, response.json(), len(texts))
        except ValueError as e:
            raise PlatformError(f"{self.model}: an answer that cannot be read: {e}", status=200) from e
        return Reply(predictions, response.elapsed.total_seconds(), tries)

    async def _post(self, texts: Sequence[str]) -> httpx.Response:
        import httpx

        try:
            response = await self._http.post(f"{self._path}/infer", json=infer_request(texts))
        except httpx.TimeoutException as e:
            raise Unavailable(f"{self.model}: no answer within {self._http.timeout.read:g} s") from e
        except httpx.TransportError as e:
            raise Unavailable(f"{self.model}: no connection to {self._http.base_url}: {e or type(e).__name__}") from e
        if response.status_code != 200:
            raise _refusal(self.model, response.status_code, _words(response))
        return response


def _refusal(model: str, status: int, words: str) -> PlatformError:
    text = f"{model}: {status}: {words}"
    if status == 404:
        return NotFound(text, status=status)
    if status in (401, 403):
        return AccessDenied(text, status=status)
    mistake = cause_in("http", str(status), words, "open-inference")
    if mistake is not None:
        return Rejected(f"{text} ({mistake.advice})", status=status)
    if status in (408, 429) or (status >= 500 and status != 501):
        return Unavailable(text, status=status)
    return Rejected(text, status=status)


def _words(response: httpx.Response) -> str:
    """The server's own words: ``{"error": …}``, or ``{"detail": …}`` of its framework."""
    try:
        body: Any = response.json()
    except ValueError:
        body = None
    said = body.get("error") or body.get("detail") if isinstance(body, dict) else None
    return str(said or response.text or response.reason_phrase)[:500]
