"""Ask a proven model for its reference answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_llmserve.errors import BadInput, ServingFailed, WaitTimeout
from airflow_provider_llmserve.platforms.base import Platform, ServingRun
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.specs import ServeSpec
from airflow_provider_llmserve.specs.smoke import Smoke

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)

MAX_TOKENS = 64
"""Of a reference answer."""
REQUEST_SECONDS = 60.0
PAUSE = 1.0
"""Seconds between two tries of a request that got no answer."""


def refuse_smoke(spec: ServeSpec, smoke: Sequence[Smoke], *, wait: bool) -> None:
    """Raises :class:`BadInput` where reference answers are asked for that nobody would ask, or no text can be."""
    findings = []
    if smoke and not wait:
        findings.append("with wait=False nobody asks for the reference answers; wait, or leave smoke out")
    if smoke and not spec.writes_text:
        findings.append("the spec does not say that the model writes text (features: TextGeneration; huggingface_task)")
    if findings:
        raise BadInput("smoke", findings)


async def ask_smoke(platform: Platform, run: ServingRun, smoke: Sequence[Smoke], *, deadline: datetime) -> None:
    """Return when every reference answer is right.

    Raises :class:`ServingFailed` with the prompt and the answer where one is not: at temperature 0 asking again gives the same.
    Raises :class:`WaitTimeout` where none came until ``deadline``.
    """
    if not smoke:
        return
    endpoint = await platform.endpoint(run)
    async with endpoint.async_openai(timeout=REQUEST_SECONDS, max_retries=0) as client:
        for one in smoke:
            answer = await _answer(client, endpoint.request_name(), one.prompt, f"{run.kind} {run.name}", deadline)
            if not one.fits(answer):
                said = f"to {one.prompt!r} it answers {answer!r}, which {one.in_words}"
                found = verdict(State.DEGRADED, "smoke_failed", said)
                raise ServingFailed(f"{run.kind} {run.name} does not answer as expected: {found.text()}", found)
    log.info("%s %s: %d reference answers are right", run.kind, run.name, len(smoke))


async def _answer(client: openai.AsyncOpenAI, model: str, prompt: str, what: str, deadline: datetime) -> str:
    import openai

    while True:
        try:
            made = await client.completions.create(model=model, prompt=prompt, max_tokens=MAX_TOKENS, temperature=0, seed=0)
            return made.choices[0].text
        except (openai.OpenAIError, LookupError, TypeError, AttributeError) as e:
            if datetime.now(timezone.utc) >= deadline:
                raise WaitTimeout(f"{what} gave no reference answer to {prompt!r} in time: {type(e).__name__}: {e}") from e
            log.info("%s gave no answer to %r yet: %s", what, prompt, e)
            await asyncio.sleep(PAUSE)
