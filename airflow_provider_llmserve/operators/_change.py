"""The shared shape of operators that change a standing serving run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_llmserve.links import EndpointLink
from airflow_provider_llmserve.operators._base import PlatformOperator, airflow_errors, read_endpoint, returned, seconds

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_llmserve.operators._base import EndpointLike
    from airflow_provider_llmserve.platforms.lifecycle import AtZero
    from airflow_provider_llmserve.specs import ServeSpec


class ChangeOperator(PlatformOperator):
    """Change a standing serving run in place. A failed change is taken back. Returns the endpoint as it is then.

    :param endpoint: a serve task's output, or ``{"name": …}`` for a run made elsewhere. (templated)
    :param wait: return when the change is proven; False returns once it is written.
    :param timeout: how long to wait, in seconds or as a timedelta.
    :param at_zero: what to do with a model that is at zero by design: ``accept`` it (``proven`` is then false in what is
        returned), ``wake`` it by one request, or ``refuse`` it, which is a failure.
    :param on_failure: ``rollback`` takes a failed change back, ``keep`` leaves it for inspection.
    """

    template_fields: Sequence[str] = ("endpoint", "llmserve_conn_id")
    operator_extra_links = (EndpointLink(),)

    def __init__(
        self,
        *,
        endpoint: EndpointLike,
        wait: bool = True,
        timeout: float | timedelta = 1800,
        at_zero: AtZero = "accept",
        on_failure: Literal["rollback", "keep"] = "rollback",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.wait = wait
        self.timeout = timeout
        self.at_zero = at_zero
        self.on_failure = on_failure

    def edit(self, spec: ServeSpec, stopped: bool) -> tuple[ServeSpec, bool]:
        """The pure change: (spec, stopped) as they stand to what they shall be."""
        raise NotImplementedError

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_llmserve.platforms.lifecycle import change

        with airflow_errors():
            target, made_by = read_endpoint(self.endpoint)
            endpoint, conn_id = self.on_platform(
                lambda platform: change(
                    platform,
                    target,
                    self.edit,
                    timeout=seconds(self.timeout),
                    wait=self.wait,
                    on_failure=self.on_failure,
                    at_zero=self.at_zero,
                ),
                made_by,
            )
        self.endpoint_returned = returned(endpoint, conn_id)
        return self.endpoint_returned
