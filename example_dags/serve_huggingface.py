"""The smallest DAG around a HuggingFace-serve serving run: serve, ask, tear down."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.operators import HuggingFaceServeOperator, TeardownOperator


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, tags=["llmserve", "example"])
def serve_huggingface() -> None:
    serve = HuggingFaceServeOperator(
        task_id="serve",
        spec={
            "model_name": "writer",
            "path": "huggingface://HuggingFaceTB/SmolLM2-135M-Instruct",
            "huggingface_task": "text_generation",
        },
    )

    @task
    def ask(endpoint: Any) -> str:
        served = Endpoint.of(endpoint)
        reply = served.openai().completions.create(model=served.request_name(), prompt="Once upon a time", max_tokens=32)
        return reply.choices[0].text

    free = TeardownOperator(task_id="teardown", endpoint=serve.output).as_teardown(setups=serve)
    ask(serve.output) >> free


serve_huggingface()
