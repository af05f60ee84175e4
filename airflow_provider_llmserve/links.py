"""The endpoint's link in the UI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class EndpointLink(BaseOperatorLink):
    """Leads to the endpoint's model list, where the task has returned an endpoint."""

    name = "Endpoint"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        # The task runner calls this in the task's own process after every run (task_runner.finalize, task-sdk 1.3.2),
        # so the operator still holds what it returned; the API server only reads the XCom pushed from here.
        endpoint: Any = getattr(operator, "endpoint_returned", None)
        if not endpoint:
            return ""
        openai = endpoint.get("openai")
        return f"{openai['baseUrl']}/models" if openai else str(endpoint["service"]["url"])
