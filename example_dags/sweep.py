"""Take away what was deployed with a ``ttl`` that has passed and that no teardown reached.

As it stands it only says what it would take away. Only what this Airflow instance deployed with a ``ttl``, in the place of the
connection ``llmserve_default``, is ever touched.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag

from airflow_provider_llmserve.operators import SweepOperator


@dag(schedule="@hourly", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, tags=["llmserve", "example"])
def sweep() -> None:
    SweepOperator(task_id="sweep")  # dry_run=False deletes: set it once you trust what it says


sweep()
