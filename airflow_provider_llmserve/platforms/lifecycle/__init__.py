"""Serve, change and tear down, on any platform: what the operators call.

Everything is one async function over :class:`~airflow_provider_llmserve.platforms.base.Platform`; nothing here knows whether
it runs in a worker or a triggerer.
"""

from __future__ import annotations

from airflow_provider_llmserve.platforms.lifecycle.deploy import OnApplied, change, look, serve, write
from airflow_provider_llmserve.platforms.lifecycle.standing import (
    answers_at,
    confirm,
    refuse_elsewhere,
    refuse_taking,
    require,
    target_of,
)
from airflow_provider_llmserve.platforms.lifecycle.teardown import expired, sweep, teardown
from airflow_provider_llmserve.platforms.lifecycle.undo import OnFailure, take_back
from airflow_provider_llmserve.platforms.lifecycle.waiting import AtZero, in_seconds, prove, settle, wait_until_proven

__all__ = [
    "AtZero",
    "OnApplied",
    "OnFailure",
    "answers_at",
    "change",
    "confirm",
    "expired",
    "in_seconds",
    "look",
    "prove",
    "refuse_elsewhere",
    "refuse_taking",
    "require",
    "serve",
    "settle",
    "sweep",
    "take_back",
    "target_of",
    "teardown",
    "wait_until_proven",
    "write",
]
