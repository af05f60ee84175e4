"""An evaluation from its data set to its summary."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from airflow_provider_llmserve.errors import GateFailed
from airflow_provider_llmserve.evaluation.dataset import Row, parse
from airflow_provider_llmserve.evaluation.plan import EvaluationPlan
from airflow_provider_llmserve.evaluation.summary import Answer, account, result_lines, summarise
from airflow_provider_llmserve.platforms import infer
from airflow_provider_llmserve.platforms.inference import chat, storage
from airflow_provider_llmserve.platforms.inference.gather import ask_all

log = logging.getLogger(__name__)


def evaluate(plan: EvaluationPlan, *, results: str, confirm: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Ask every row, store the per-sample results, return the summary. What the verdict is raises nothing.

    Reads and writes outside of the event loop (see :mod:`.storage`). ``results`` is where the per-sample results go. ``confirm``
    raises where the endpoint does not name what stands there (any more): asked before the first request and after the last, or
    the answers of another model would be reported as this one's.
    """
    data = storage.read(plan.dataset)
    sha256 = hashlib.sha256(data).hexdigest()
    rows = parse(data, subject=plan.dataset, columns=plan.columns)
    plan.check_rows(rows)
    plan.check_baseline(sha256)
    storage.prepare(results, plan.dataset)
    confirm()
    log.info("%d samples for %s, %d at once", len(rows), plan.request_name, plan.concurrency)
    answers = asyncio.run(_ask(plan, rows))
    confirm()
    summary = summarise(plan, rows, answers, dataset_sha256=sha256, results=results)
    log.info("%s", account(summary))
    storage.publish(results, result_lines(plan, rows, answers))
    return summary


async def _ask(plan: EvaluationPlan, rows: Sequence[Row]) -> list[Answer]:
    if plan.predicts:
        async with plan.endpoint.oip(
            timeout=plan.request_timeout, retries=plan.request_retries, concurrency=plan.concurrency
        ) as oip:
            return await ask_all(rows, lambda row: infer.ask(oip, plan, row), concurrency=plan.concurrency)
    # The client's library logs a line a request; Airflow silences its older sibling (httpx) just so.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    async with plan.endpoint.async_openai(timeout=plan.request_timeout, max_retries=plan.request_retries) as client:
        return await ask_all(rows, lambda row: chat.ask(client, plan, row), concurrency=plan.concurrency)


def refuse_failed(summary: dict[str, Any]) -> None:
    """Raises :class:`GateFailed` with the figures where the verdict is ``failed``."""
    if summary["verdict"] != "failed":
        return
    missed = [one["text"] for one in summary["gates"] if not one["passed"] and one["kind"] == "required"]
    raise GateFailed(f"{summary['model']}: {'; '.join(missed)}; per-sample results: {summary['results']}", summary)
