"""One sample asked through the OpenAI protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.evaluation.dataset import Row
from airflow_provider_llmserve.evaluation.plan import EvaluationPlan
from airflow_provider_llmserve.evaluation.summary import Answer

if TYPE_CHECKING:
    import openai


async def ask(client: openai.AsyncOpenAI, plan: EvaluationPlan, row: Row) -> Answer:
    """Ask one row; every fault of the request becomes an :class:`Answer` with its class.

    The client's own retries ask anew after a time-out, a lost connection, 408, 409, 429 or 5xx, with growing pauses: KubeAI's
    gateway never answers a request that came before its adapter, so many short requests reach what one long wait does not.
    """
    import openai

    try:
        if plan.api == "completion":
            raw: Any = await client.completions.with_raw_response.create(prompt=row.prompt or "", **_common(plan))
        else:
            messages: Any = _messages(plan, row)
            raw = await client.chat.completions.with_raw_response.create(messages=messages, **_common(plan))
        choice = raw.parse().choices[0]
        text = choice.text if plan.api == "completion" else choice.message.content
    except openai.APITimeoutError:
        return _fault("timeout", f"no answer within {plan.request_timeout:g} s")
    except openai.APIConnectionError as e:
        return _fault("connection", f"{e} {e.__cause__ or ''}".strip())
    except openai.APIStatusError as e:
        return _fault(f"http_{e.status_code}", e.response.text)
    except (openai.OpenAIError, ValueError, AttributeError, LookupError, TypeError) as e:
        return _fault("invalid_answer", f"no completion in the answer ({type(e).__name__}: {e})")
    # A reasoning model that spends all its tokens on thought has no content: it has answered, with nothing.
    return Answer(
        text or "", latency=raw.elapsed.total_seconds(), tries=raw.retries_taken + 1, finish_reason=choice.finish_reason
    )


def _common(plan: EvaluationPlan) -> dict[str, Any]:
    return {"model": plan.request_name, "max_tokens": plan.max_tokens, "temperature": 0}


def _messages(plan: EvaluationPlan, row: Row) -> list[dict[str, str]]:
    system = [] if plan.system_prompt is None else [{"role": "system", "content": plan.system_prompt}]
    said = row.messages or ({"role": "user", "content": row.prompt or ""},)
    return [*system, *map(dict, said)]


def _fault(error: str, detail: str) -> Answer:
    return Answer(error=error, detail=detail[:500])
