"""The example DAGs: each serves under one name, so each has one run at a time."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "example_dags").glob("*.py"))


def built(file: Path) -> Any:
    """The DAG that the file's one factory makes, which bears the file's name."""
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, file.stem)()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.stem)
def test_one_run_at_a_time(file: Path) -> None:
    dag = built(file)
    assert dag.dag_id == file.stem
    assert dag.max_active_runs == 1
    assert not [task for task in dag.tasks if getattr(task, "only_look", True) is False], "an example's sweep only looks"
