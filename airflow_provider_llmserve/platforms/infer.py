"""One sample asked through the Open Inference Protocol."""

from __future__ import annotations

from airflow_provider_llmserve.errors import PlatformError
from airflow_provider_llmserve.evaluation import classes
from airflow_provider_llmserve.evaluation.dataset import Row
from airflow_provider_llmserve.evaluation.plan import EvaluationPlan
from airflow_provider_llmserve.evaluation.summary import Answer
from airflow_provider_llmserve.oip.client import OpenInferenceClient


async def ask(client: OpenInferenceClient, plan: EvaluationPlan, row: Row) -> Answer:
    """Ask one row alone, so that a fault is this row's; it becomes an :class:`Answer` with its class."""
    try:
        reply = await client.ask([row.prompt or ""])
        output = classes.output_of(reply.predictions[0], row, plan.labels)
    except PlatformError as e:
        return Answer(error=_class(e), detail=str(e)[:500])
    except ValueError as e:
        return Answer(error="invalid_answer", detail=str(e))
    return Answer(output, latency=reply.seconds, tries=reply.tries)


def _class(fault: PlatformError) -> str:
    if fault.status == 200:
        return "invalid_answer"
    if fault.status:
        return f"http_{fault.status}"
    import httpx

    return "timeout" if isinstance(fault.__cause__, httpx.TimeoutException) else "connection"
