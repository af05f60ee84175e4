"""Wait until a served model is proven ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_llmserve.operators._base import DEFAULT_CONN_ID, airflow_errors, read_endpoint

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_llmserve.operators._base import EndpointLike
    from airflow_provider_llmserve.platforms.base import Platform
    from airflow_provider_llmserve.platforms.lifecycle import AtZero


LOOK_SECONDS = 15.0


class EndpointReadySensor(BaseSensorOperator):
    """Wait until an endpoint is proven ready: the same proof a serve task with ``wait=True`` asks for.

    Each poke looks for up to 15 seconds, time enough to ask every served name; what can never become ready fails the sensor
    at once, with cause and remedy. Returns the endpoint.

    :param endpoint: a serve task's output, or ``{"name": …}`` for a run made elsewhere. (templated)
    :param at_zero: what to do with a model that is at zero by design: ``accept`` it (``proven`` is then false in what is
        returned), ``wake`` it by one request, or ``refuse`` it.
    :param llmserve_conn_id: the ``llmserve`` connection. Where None, the connection that made the endpoint, else
        ``llmserve_default``. (templated)
    """

    template_fields: Sequence[str] = ("endpoint", "llmserve_conn_id")

    def __init__(
        self,
        *,
        endpoint: EndpointLike,
        at_zero: AtZero = "accept",
        llmserve_conn_id: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.at_zero = at_zero
        self.llmserve_conn_id = llmserve_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        from airflow_provider_llmserve.errors import WaitTimeout
        from airflow_provider_llmserve.hooks.llmserve import LLMServeHook
        from airflow_provider_llmserve.operators._base import returned
        from airflow_provider_llmserve.platforms.lifecycle import answers_at, in_seconds, prove, require, settle

        with airflow_errors():
            target, made_by = read_endpoint(self.endpoint)
            conn_id = self.llmserve_conn_id or made_by or DEFAULT_CONN_ID

            async def look(platform: Platform) -> dict[str, Any] | None:
                run = await require(platform, target)
                try:
                    deadline = in_seconds(LOOK_SECONDS)
                    verdict = await prove(platform, run, deadline=deadline, at_zero=self.at_zero)
                except WaitTimeout as e:
                    self.log.info("%s", e)
                    return None
                await settle(platform, run, verdict)
                return returned(await answers_at(platform, run, verdict), conn_id)

            async def run() -> dict[str, Any] | None:
                async with LLMServeHook(conn_id).platform() as platform:
                    return await look(platform)

            endpoint = asyncio.run(run())
        return PokeReturnValue(is_done=endpoint is not None, xcom_value=endpoint)
