"""Train a small classifier, serve it, judge it on tickets that it has not seen, ask it, tear down.

The same file runs on this machine (extra ``local-hf``) and on a cluster: the connection ``llmserve_default`` decides. On a
cluster, set the Airflow Variable ``llmserve_models`` to a bucket that its nodes read (``s3://models/classifiers``; the upload
uses the worker's own AWS credentials), and ``llmserve_runtime`` to ``inferenceservice`` where KServe shall run it.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_llmserve.operators import (
    EvaluateOperator,
    HuggingFaceServeOperator,
    InferOperator,
    TeardownOperator,
)

HERE = Path(__file__).parent
LABELS = ["account", "billing", "bug", "delivery"]


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, tags=["llmserve", "example"])
def classify() -> None:
    @task(multiple_outputs=True)
    def train(destination: str) -> dict[str, Any]:
        """A BERT of two layers, from nothing, on the CPU; its folder goes to ``destination`` where there is one."""
        import hashlib
        import tempfile

        from airflow.sdk import ObjectStoragePath

        sys.path.insert(0, str(HERE))
        from training.classifier import read_rows, train_classifier

        output = Path(tempfile.mkdtemp(prefix="llmserve-train-")) / "tickets"
        trained = train_classifier(read_rows(HERE / "data" / "tickets-train.jsonl"), LABELS, output)
        if not destination:
            return {**trained, "url": output.as_uri()}
        digest = hashlib.sha256((output / "model.safetensors").read_bytes()).hexdigest()
        target = ObjectStoragePath(destination) / f"tickets-{digest[:8]}"
        target.mkdir(parents=True, exist_ok=True)
        for file in output.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        return {**trained, "url": str(target)}

    trained: Any = train("{{ var.value.get('llmserve_models', '') }}")
    serve = HuggingFaceServeOperator(
        task_id="serve",
        spec={
            "model_name": "tickets",
            "path": trained["url"],
            "huggingface_task": "sequence_classification",
            "return_probabilities": True,
            "runtime": "{{ var.value.get('llmserve_runtime', 'deployment') }}",
        },
    )
    judge = EvaluateOperator(
        task_id="evaluate",
        endpoint=serve.output,
        dataset=(HERE / "data" / "tickets-eval.jsonl").as_uri(),
        labels=LABELS,
        metrics=["accuracy", "macro_f1"],
        gates=[{"metric": "accuracy", "min": 0.85}, {"metric": "macro_f1", "min": 0.85}],
    )
    ask = InferOperator(
        task_id="ask",
        endpoint=serve.output,
        inputs=["I was charged twice for my order", "The login page is blank"],
    )
    free = TeardownOperator(task_id="teardown", endpoint=serve.output).as_teardown(setups=serve, on_failure_fail_dagrun=True)
    judge >> ask >> free


classify()
