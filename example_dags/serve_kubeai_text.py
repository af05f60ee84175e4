"""The smallest DAG around a KubeAI-text serving run: serve, ask, tear down."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.operators import KubeAITextServeOperator, TeardownOperator


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, tags=["llmserve", "example"])
def serve_kubeai_text() -> None:
    serve = KubeAITextServeOperator(
        task_id="serve",
        spec={
            "model_name": "smollm",
            "url": "hf://HuggingFaceTB/SmolLM2-135M-Instruct",
            "engine": "VLLM",
            "features": ["TextGeneration"],
        },
    )

    @task
    def ask(endpoint: dict[str, Any]) -> str:
        served = Endpoint.of(endpoint)
        question = {"role": "user", "content": "Say hello in one short sentence."}
        reply = served.openai().chat.completions.create(
            model=served.request_name(), messages=[question], max_tokens=32
        )
        return reply.choices[0].message.content

    free = TeardownOperator(task_id="teardown", endpoint=serve.output).as_teardown(setups=serve)
    ask(serve.output) >> free


serve_kubeai_text()
