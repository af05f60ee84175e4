"""What tests ask of a verdict."""

from __future__ import annotations

from airflow_provider_llmserve.readiness.state import Outcome, Verdict


def ends(said: Verdict) -> bool:
    """Whether it ends a wait, however."""
    return said.outcome() is not Outcome.WAITING
