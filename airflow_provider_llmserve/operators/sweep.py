"""Take away what nobody tore down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.operators._base import PlatformOperator, airflow_errors, seconds

if TYPE_CHECKING:
    from airflow.sdk import Context


class SweepOperator(PlatformOperator):
    """Tear down every serving run that this Airflow instance deployed with a ``ttl`` that has passed,
    in the place of the connection.

    Nothing else: neither what has no ``ttl``, nor what another Airflow instance or somebody else made, and never because a DAG
    run has ended. What was deployed again since the look is left alone. Returns what it found, each with ``kind``, ``name``,
    ``expired`` (ISO time) and ``deleted``. One that cannot be deleted fails the task after the others were.

    :param dry_run: say what would be taken away, and delete nothing.
    :param timeout: how long to wait for the end of each, in seconds or as a timedelta.
    """

    template_fields: Sequence[str] = ("llmserve_conn_id",)

    def __init__(self, *, dry_run: bool = True, timeout: float | timedelta = 600, **kwargs: Any):
        super().__init__(**kwargs)
        self.only_look = dry_run
        self.timeout = timeout

    def execute(self, context: Context) -> list[dict[str, Any]]:
        from airflow_provider_llmserve.operators._instance import airflow_instance
        from airflow_provider_llmserve.platforms.lifecycle import sweep

        with airflow_errors():
            instance = airflow_instance()
            found, _ = self.on_platform(
                lambda platform: sweep(
                    platform,
                    instance=instance,
                    now=datetime.now(timezone.utc),
                    timeout=seconds(self.timeout),
                    dry_run=self.only_look,
                )
            )
        return found
