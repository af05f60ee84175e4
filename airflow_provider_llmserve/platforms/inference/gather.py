"""Many small requests at once, with a bound, a sign of life, and an early end where nobody answers at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from airflow_provider_llmserve.errors import AccessDenied, NotFound, PlatformError, Rejected, Unavailable
from airflow_provider_llmserve.evaluation.dataset import Row
from airflow_provider_llmserve.evaluation.summary import Answer

log = logging.getLogger(__name__)

GIVE_UP_AFTER = 16
"""So many samples, and no fewer than two rounds, without one answer: nothing will come."""


async def ask_all(rows: Sequence[Row], ask: Callable[[Row], Awaitable[Answer]], *, concurrency: int) -> list[Answer]:
    """One answer a row, in order, at most ``concurrency`` requests in flight.

    ``ask`` returns errors as answers, and one error ends nothing. Where no sample at all was answered, raises the last error as a
    :class:`PlatformError` of its kind (:class:`NotFound`, :class:`Unavailable` …): that is no verdict on a model.
    """
    answers: dict[int, Answer] = {}
    left = iter(enumerate(rows))
    patience = min(len(rows), max(GIVE_UP_AFTER, 2 * concurrency))
    answered = False

    async def worker() -> None:
        nonlocal answered
        for i, row in left:
            answer = answers[i] = await ask(row)
            answered = answered or answer.error is None
            if not answered and len(answers) >= patience:
                raise _no_answer(len(answers), answer)
            _tell(len(answers), len(rows))

    workers = [asyncio.create_task(worker()) for _ in range(min(concurrency, len(rows)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [answers[i] for i in range(len(rows))]


def _tell(done: int, total: int) -> None:
    if done == total or done * 10 // total > (done - 1) * 10 // total:
        log.info("%d of %d samples", done, total)


def _no_answer(asked: int, last: Answer) -> PlatformError:
    text = f"none of {asked} samples was answered; the last: {last.error}: {last.detail}"
    if last.error == "invalid_answer":
        return PlatformError(text, status=200)
    status = int(last.error.removeprefix("http_")) if last.error and last.error.startswith("http_") else 0
    if status == 404:
        return NotFound(text, status=status)
    if status in (401, 403):
        return AccessDenied(text, status=status)
    if 400 <= status < 500 and status not in (408, 409, 429):
        return Rejected(text, status=status)
    return Unavailable(text, status=status)
