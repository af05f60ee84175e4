"""Tear a served model down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.operators._base import PlatformOperator, airflow_errors, read_endpoint, seconds

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_llmserve.operators._base import EndpointLike


class TeardownOperator(PlatformOperator):
    """Delete a serving run and return when its pods or processes are gone, that is, the GPUs free.

    Use it as ``TeardownOperator(...).as_teardown(setups=serve)``. Idempotent: what is gone already is fine. What a newer run
    deployed under the same name is left alone. Returns True where something was deleted.

    :param endpoint: a serve task's output, or ``{"name": …}`` for a run made elsewhere. (templated)
    :param timeout: how long to wait for the end, in seconds or as a timedelta.
    :param force: remove a stuck finalizer after half of that time; files in a shared model cache may stay behind.
    """

    template_fields: Sequence[str] = ("endpoint", "llmserve_conn_id")

    def __init__(self, *, endpoint: EndpointLike, timeout: float | timedelta = 600, force: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.timeout = timeout
        self.force = force

    def execute(self, context: Context) -> bool:
        from airflow_provider_llmserve.platforms.lifecycle import teardown

        with airflow_errors():
            target, made_by = read_endpoint(self.endpoint)
            deleted, _ = self.on_platform(
                lambda platform: teardown(platform, target, timeout=seconds(self.timeout), force=self.force), made_by
            )
        return deleted
