"""What the operators share: errors turned into Airflow's, and one verb run on the connection's platform."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseOperator

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import BadInput, LLMServeError
from airflow_provider_llmserve.owner import Owner

if TYPE_CHECKING:
    from typing import TypeAlias

    from airflow.sdk import Context, XComArg

    from airflow_provider_llmserve.platforms.base import Platform, Target

    EndpointLike: TypeAlias = Endpoint | Mapping[str, Any] | XComArg | str
    """What ``endpoint=`` takes: a serve task's output (``serve.output``), the mapping that it is at run time, ``{"name": …}`` for
    a run made elsewhere, or a template of one in a DAG with ``render_template_as_native_obj``. Which of them it is shows when the
    task runs: :func:`read_endpoint`. Every other templated parameter takes an ``XComArg`` too, in place of its value.
    For type checkers alone: parsing a DAG file must not pay for Airflow's types."""

T = TypeVar("T")
log = logging.getLogger(__name__)

DEFAULT_CONN_ID = "llmserve_default"


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Let an error that no retry can mend fail the task without one; the others pass through as they are."""
    from airflow.sdk.exceptions import AirflowFailException

    try:
        yield
    except LLMServeError as e:
        if e.retryable:
            raise
        raise AirflowFailException(str(e)) from e


def owner_of(context: Context) -> Owner:
    """The running task instance as the owner of what it deploys."""
    from airflow_provider_llmserve.operators._instance import airflow_instance

    ti = context["ti"]
    return Owner(
        instance=airflow_instance(),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        ti_id=str(ti.id),
    )


def read_endpoint(value: Any) -> tuple[Target, str | None]:
    """A task's ``endpoint=``: a serve task's output, or ``{"name": …}`` (and ``kind``) for a run that someone else made.

    Returns what it names, and the connection that made it where that is known. Raises :class:`BadInput` for what names nothing.
    """
    from airflow_provider_llmserve.names import kind_finding, name_finding
    from airflow_provider_llmserve.platforms.base import Target
    from airflow_provider_llmserve.platforms.lifecycle import target_of

    if isinstance(value, Mapping) and "identity" not in value:
        name, kind = value.get("name"), value.get("kind") or ""
        if "name" not in value or set(value) - {"name", "kind"}:
            raise BadInput("endpoint", "pass a serve task's output, or {'name': …} for a run made elsewhere")
        if finding := name_finding(name) or (kind and kind_finding(kind)):
            raise BadInput("endpoint", finding)
        return Target(name=str(name), kind=kind), None
    endpoint = Endpoint.of(value)
    return target_of(endpoint), endpoint.identity.connection or None


class PlatformOperator(BaseOperator):
    """Base of the operators that act on a platform.

    :param llmserve_conn_id: the ``llmserve`` connection. Where None, the connection that made the endpoint, else
        ``llmserve_default``.
    """

    ui_color = "#d7e8f7"

    def __init__(self, *, llmserve_conn_id: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.llmserve_conn_id = llmserve_conn_id
        self._cancel: Callable[[], object] | None = None

    def on_platform(self, verb: Callable[[Platform], Awaitable[T]], made_by: str | None = None) -> tuple[T, str]:
        """Run one async verb on the platform of the connection. Returns its result and the connection's id."""
        from airflow_provider_llmserve.hooks.llmserve import LLMServeHook

        conn_id = self.llmserve_conn_id or made_by or DEFAULT_CONN_ID
        hook = LLMServeHook(conn_id)

        async def run() -> T:
            task = asyncio.current_task()
            assert task is not None
            loop = asyncio.get_running_loop()
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            try:
                async with hook.platform() as platform:
                    return await verb(platform)
            finally:
                self._cancel = None

        return asyncio.run(run()), conn_id

    def confirm(self, endpoint: Endpoint) -> None:
        """Raises where the endpoint does not name what stands there:
        :func:`~airflow_provider_llmserve.platforms.lifecycle.confirm`."""
        from airflow_provider_llmserve.platforms.lifecycle import confirm, target_of

        self.on_platform(lambda platform: confirm(platform, target_of(endpoint)), endpoint.identity.connection or None)

    def on_kill(self) -> None:
        """Cancel the verb: its own clean-up then takes back what it deployed, within Airflow's five seconds' grace."""
        if self._cancel is not None:
            log.warning("%s was killed; taking back what it has not finished", self.task_id)
            self._cancel()


def returned(endpoint: Endpoint, conn_id: str) -> dict[str, Any]:
    """The endpoint as XCom, with the connection that made it."""
    identity = endpoint.identity.model_copy(update={"connection": conn_id})
    return endpoint.model_copy(update={"identity": identity}).to_xcom()


def seconds(duration: float | timedelta) -> float:
    """A duration given in seconds or as a timedelta, in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def positive(duration: float | timedelta, field: str) -> float:
    """A duration in seconds that is more than none. Raises :class:`BadInput`."""
    given = isinstance(duration, (int, float, timedelta)) and not isinstance(duration, bool)
    if not given or not 0 < seconds(duration) < float("inf"):
        raise BadInput(field, f"is no positive number of seconds: {duration!r}")
    return seconds(duration)
