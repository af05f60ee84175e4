"""Train a LoRA adapter, upload it, serve it beside its base model, judge both, tear down.

The same file runs on this machine and on a cluster: the connection ``llmserve_default`` decides. On a cluster, set the Airflow
Variable ``llmserve_adapters`` to a bucket that KubeAI reads (``s3://models/adapters``) and train in a pod of your own.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_llmserve.operators import (
    EvaluateOperator,
    KubeAITextServeOperator,
    TeardownOperator,
    UploadAdapterOperator,
)

HERE = Path(__file__).parent
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, tags=["llmserve", "example"])
def refresh_adapter() -> None:
    @task
    def train() -> dict[str, Any]:
        """Real PEFT LoRA training on the CPU: 40 rows, 30 steps."""
        import tempfile

        sys.path.insert(0, str(HERE))
        from training.lora import read_rows, train_lora

        output = Path(tempfile.mkdtemp(prefix="llmserve-train-")) / "adapter"
        return train_lora(BASE, read_rows(HERE / "data" / "support-train.jsonl"), output)

    upload = UploadAdapterOperator(
        task_id="upload",
        source=train(),
        name="tuned",
        base_model=BASE,
        destination="{{ var.value.get('llmserve_adapters', 'file:///tmp/llmserve-adapters') }}",
    )
    serve = KubeAITextServeOperator(
        task_id="serve",
        spec={
            "model_name": "support",
            "url": f"hf://{BASE}",
            "engine": "VLLM",
            "features": ["TextGeneration"],
            "adapters": [upload.output],
            "scaling": {"min_replicas": 1, "max_replicas": 2},
        },
    )
    evaluation: dict[str, Any] = {
        "endpoint": serve.output,
        "dataset": (HERE / "data" / "support-eval.jsonl").as_uri(),
        "metrics": ["exact_match"],
        "max_tokens": 16,
    }
    base = EvaluateOperator(task_id="evaluate_base", **evaluation)
    tuned = EvaluateOperator(
        task_id="evaluate_adapter",
        **evaluation,
        adapter="tuned",
        baseline=base.output,
        gates=[{"metric": "exact_match", "min": 0.7, "min_gain": 0.5}],
    )
    free = TeardownOperator(task_id="teardown", endpoint=serve.output).as_teardown(setups=serve, on_failure_fail_dagrun=True)
    tuned >> free


refresh_adapter()
