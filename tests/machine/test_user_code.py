"""What users copy passes mypy as their code: README, docs and example DAGs, and a task's output wherever one may stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.machine

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

AROUND = """
from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import XComArg, task

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.operators import (
    AttachAdapterOperator,
    DetachAdapterOperator,
    EvaluateOperator,
    HuggingFaceServeOperator,
    InferOperator,
    KubeAITextServeOperator,
    ResumeOperator,
    ScaleOperator,
    StopOperator,
    TeardownOperator,
    UploadAdapterOperator,
)
from airflow_provider_llmserve.sensors import EndpointReadySensor

BASE = "org/model"
SPEC: dict[str, Any] = {"model_name": "support", "url": f"hf://{BASE}"}
serve = KubeAITextServeOperator(task_id="serve", spec=SPEC)
serve_output: Any = {}


@task
def train() -> dict[str, Any]:
    return {}
"""
"""What stands around a page's snippet in its reader's DAG."""

OUTPUTS = """
def everywhere(out: XComArg) -> None:
    upload = UploadAdapterOperator(task_id="u", source=train(), destination=out, name=out, base_model=out)
    HuggingFaceServeOperator(task_id="h", spec=out, name=out)
    KubeAITextServeOperator(task_id="k", spec={**SPEC, "url": out, "adapters": [upload.output]})
    EvaluateOperator(
        task_id="e", endpoint=out, dataset=out, adapter=out, metrics=out, gates=out, baseline=out, results=out, columns=out,
        labels=out, system_prompt=out,
    )
    InferOperator(task_id="i", endpoint=out, inputs=out)
    EndpointReadySensor(task_id="r", endpoint=out)
    AttachAdapterOperator(task_id="a", endpoint=out, adapter=upload.output)
    DetachAdapterOperator(task_id="d", endpoint=out, adapter=upload.output)
    ScaleOperator(
        task_id="s", endpoint=out, replicas=out, min_replicas=out, max_replicas=out, target_requests=out,
        scale_down_delay_seconds=out,
    )
    for operator in (StopOperator, ResumeOperator):
        operator(task_id="o", endpoint=out)
    TeardownOperator(task_id="t", endpoint=out)
    TeardownOperator(task_id="n", endpoint={"name": "support"})
    TeardownOperator(task_id="x", endpoint=Endpoint.of(serve_output))
"""


def snippets() -> dict[str, str]:
    """Module name to code: each snippet in a function of its own, for one waits, and two give one name to different things."""
    found = {}
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text())):
            body = textwrap.indent(textwrap.dedent(match[1]), "    ")
            found[f"{page.stem.lower()}_{number}"] = f"{AROUND}\n\nasync def snippet() -> None:\n{body}"
    return found


def mypy(folder: Path, modules: dict[str, str]) -> str:
    """What mypy says of them, with the examples, under the options of this checkout (which are the strictest)."""
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "example_dags", *map(str, sorted(folder.glob("*.py")))],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return run.stdout


def test_readme_docs_and_examples_pass(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs the dev extra")
    modules = {**snippets(), "outputs": AROUND + OUTPUTS}
    assert len(modules) > 5
    assert "Success" in (said := mypy(tmp_path, modules)), said


def test_a_wrong_argument_would_be_told(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs the dev extra")
    said = mypy(tmp_path, {"wrong": f"{AROUND}\n\nTeardownOperator(task_id='t', endpoint=7)\n"})
    assert 'Argument "endpoint" to "TeardownOperator" has incompatible type "int"' in said
