"""Run one operator as a task would: templates rendered, a context with a task instance, no database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4


class StateStore(dict):  # type: ignore[type-arg]
    """Stands for ``context["task_state_store"]``."""

    def set(self, key: str, value: Any, **_: Any) -> None:
        self[key] = value


def context(task_id: str = "serve", run_id: str = "run-1", **more: Any) -> dict[str, Any]:
    """What Airflow hands to ``execute``, as far as our operators read it."""
    instance = SimpleNamespace(
        dag_id="tests", run_id=run_id, task_id=task_id, map_index=-1, try_number=1, id=uuid4(), xcom_push=lambda **_: None
    )
    return {"ti": instance, "task_state_store": StateStore(), "outlet_events": {}, **more}


def run(operator: Any, **variables: Any) -> Any:
    """Render the operator's templates and execute it; ``variables`` are seen by the templates."""
    scope = context(operator.task_id, **variables)
    operator.render_template_fields(scope)
    return operator.execute(scope)
