"""The example DAGs for real: ``airflow dags test`` on the local platform, in an Airflow home of the test's own.

The train → upload → serve → evaluate → teardown chain runs as ``make demo`` runs it, account included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.machine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def demo(dag_id: str, home: Path) -> tuple[str, dict[str, Any]]:
    """Run one example; what it printed and what its tasks returned."""
    run = subprocess.run(
        [sys.executable, "scripts/demo.py", dag_id],
        cwd=ROOT,
        env={**os.environ, "LLMSERVE_DEMO_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr + (home / "airflow.log").read_text()[-8000:]
    return run.stdout, json.loads((home / "outputs.json").read_text())


def test_refresh_adapter_beats_its_base(home: Path) -> None:
    printed, out = demo("refresh_adapter", home)

    base, tuned = out["evaluate_base"], out["evaluate_adapter"]
    assert base["metrics"]["exact_match"]["mean"] <= 0.1
    assert tuned["metrics"]["exact_match"]["mean"] >= 0.7
    assert tuned["errors"] == base["errors"]
    assert out["train"]["loss_after"] < out["train"]["loss_before"] / 10

    assert out["upload"]["url"].endswith(f"sha256-{out['upload']['digest']}")
    endpoint = out["serve"]
    assert endpoint["openai"]["adapterModels"] == {out["upload"]["name"]: f"support_{out['upload']['name']}"}
    assert endpoint["identity"]["connection"] == "llmserve_default"
    assert out["teardown"] is True

    for told in (
        f"{out['train']['loss_before']:.3f}",
        out["upload"]["digest"],
        endpoint["openai"]["baseUrl"],
        "no process is left",
    ):
        assert told in printed


@pytest.mark.parametrize("dag_id", ["serve_kubeai_text", "serve_huggingface"])
def test_a_minimal_dag_serves_answers_and_leaves_nothing(dag_id: str, home: Path) -> None:
    printed, out = demo(dag_id, home)
    assert out["ask"].strip()
    assert out["teardown"] is True
    assert "no process is left" in printed


def test_a_classifier_is_trained_served_and_judged(home: Path) -> None:
    printed, out = demo("classify", home)
    assert out["evaluate"]["verdict"] == "passed"
    assert out["evaluate"]["metrics"]["accuracy"]["mean"] >= 0.85
    assert len(out["ask"]) == 2
    assert out["teardown"] is True
    assert "no process is left" in printed
