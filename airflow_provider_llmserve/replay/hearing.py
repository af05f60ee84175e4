"""Recorded answers, given to the questions that a verdict asks. Pure.

A platform asks when a verdict wants it to; a recording asked when it liked. So a question is answered by what the recording last
heard of that name and pod (``history`` hands on what the very pods have said that stand there now).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from airflow_provider_llmserve.readiness.observed import Expected, Observed
from airflow_provider_llmserve.readiness.state import Verdict

Assess = Callable[[Expected, Observed, datetime], Verdict]
ROUNDS = 3
"""As many as a platform asks within one verdict."""


def hear(assess: Assess, expected: Expected, observed: Observed, now: datetime) -> Verdict:
    """The verdict at a moment of whose replies each stands for what its name, or pod, says then."""
    heard = {(r.ask.name, r.ask.pod): r for r in observed.replies}
    bare = replace(observed, replies=())
    said = assess(expected, bare, now)
    for _ in range(ROUNDS):
        asked = said.ask
        answers = (replace(heard[a.name, a.pod], ask=a) for a in asked if (a.name, a.pod) in heard)
        said = assess(expected, bare.with_replies(*answers), now)
        if set(said.ask) <= set(asked):
            break
    return said
