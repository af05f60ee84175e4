"""Which Airflow this is: two instances may run the same DAG against one cluster."""

from __future__ import annotations

import uuid

VARIABLE = "llmserve_instance"
"""The Airflow Variable that keeps the id."""


def airflow_instance() -> str:
    """``[llmserve] instance`` where it is set, else an id that the first serve task of this Airflow makes and keeps in a
    Variable.

    Empty where no task runs (an operator called by hand). Raises ``AirflowRuntimeError`` where the Variables cannot be read: an
    id made anew would disown all that was deployed.
    """
    from airflow.sdk import Variable
    from airflow.sdk.configuration import conf

    configured: str = conf.get("llmserve", "instance", fallback="")
    if configured:
        return configured
    try:
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS  # noqa: F401 (set while a task runs)
    except ImportError:
        return ""
    # Looking a Variable up takes an error for its absence (execution_time.context._get_variable, task-sdk 1.3); listing does not.
    found = Variable.get(VARIABLE, default="")
    if not found and VARIABLE not in list(Variable.keys(prefix=VARIABLE)):
        Variable.set(VARIABLE, uuid.uuid4().hex[:12], description="Id of this Airflow, written on what it deploys (llmserve)")
    return str(found or Variable.get(VARIABLE))
