"""Ask a served classifier, fill-mask or embedding model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.operators._base import PlatformOperator, airflow_errors

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_llmserve.oip.wire import Prediction
    from airflow_provider_llmserve.operators._base import EndpointLike


class InferOperator(PlatformOperator):
    """Predictions of a served model over the Open Inference Protocol, one a text, in order.

    Returns a list of objects, by the endpoint's task: ``{"label": 2, "scores": {"0": 0.1, …}}`` for sequence classification,
    ``{"labels": [0, 3, …], "offsets": …}`` for token classification, ``{"text": "capital"}`` for fill-mask, ``{"vector": […]}``
    for embeddings; ``scores`` and ``offsets`` where the server was told to return them. All or nothing: one text that
    cannot be answered fails the task, and so does another model that took the endpoint's place meanwhile. What is returned goes
    to XCom, so this is for what fits there.

    :param endpoint: a HuggingFace-serve task's output. (templated)
    :param inputs: the texts. (templated)
    :param batch_size: texts in one request, where the task allows more than one.
    :param concurrency: requests in flight at once.
    :param request_timeout: seconds for one request, which is then asked anew.
    :param request_retries: how often one request is asked anew.
    """

    template_fields: Sequence[str] = ("endpoint", "inputs", "llmserve_conn_id")
    template_fields_renderers = {"endpoint": "json"}
    ui_color = "#e6f2d8"

    def __init__(
        self,
        *,
        endpoint: EndpointLike,
        inputs: Sequence[str] | XComArg,
        batch_size: int = 16,
        concurrency: int = 8,
        request_timeout: float = 30.0,
        request_retries: int = 5,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.inputs: Any = inputs
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.request_timeout = request_timeout
        self.request_retries = request_retries

    def execute(self, context: Context) -> list[dict[str, Any]]:
        from airflow_provider_llmserve.oip.wire import as_json

        with airflow_errors():
            endpoint = Endpoint.of(self.endpoint)
            self.confirm(endpoint)
            predictions = asyncio.run(self._infer(endpoint))
            self.confirm(endpoint)
            return [as_json(prediction) for prediction in predictions]

    async def _infer(self, endpoint: Endpoint) -> list[Prediction]:
        async with endpoint.oip(
            timeout=self.request_timeout,
            retries=self.request_retries,
            concurrency=self.concurrency,
            batch_size=self.batch_size,
        ) as client:
            return await client.infer(self.inputs)
