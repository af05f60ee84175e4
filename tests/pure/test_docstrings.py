"""Every public method says what it does, or overrides one that does.

Ruff asks it of modules, classes and functions; of methods it would ask overrides too, where the interface tells it already.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator

import airflow_provider_llmserve
from airflow_provider_llmserve.evaluation.metrics import Metric
from airflow_provider_llmserve.operators._change import ChangeOperator
from airflow_provider_llmserve.platforms.base import Platform
from airflow_provider_llmserve.platforms.storage.base import Store
from airflow_provider_llmserve.specs import ServeSpec

PACKAGE = Path(airflow_provider_llmserve.__file__).parent

INTERFACES: dict[str, tuple[type, ...]] = {
    "platforms/kubernetes/platform.py": (Platform,),
    "platforms/local/platform.py": (Platform,),
    "platforms/kubernetes/transport.py": (httpx.BaseTransport, httpx.AsyncBaseTransport),
    "platforms/storage/path.py": (Store,),
    "platforms/storage/s3.py": (Store,),
    "evaluation/metrics.py": (Metric,),
    "links.py": (BaseOperatorLink,),
    "operators/": (BaseOperator, ChangeOperator),
    "sensors/": (BaseSensorOperator,),
    "specs/": (ServeSpec,),
}
"""Whose methods the classes of a file (or folder) override."""


def silent_methods(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(class, method) of public methods of public classes without a docstring."""
    for cls in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and not n.name.startswith("_")):
        for method in cls.body:
            named = isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and not method.name.startswith("_")
            if named and not ast.get_docstring(method):
                yield cls.name, method.name


def interface_of(file: str) -> set[str]:
    found: tuple[Any, ...] = next((types for path, types in INTERFACES.items() if file.startswith(path)), ())
    return {name for cls in found for name in dir(cls)}


def test_a_public_method_has_a_docstring_or_overrides() -> None:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        where = file.relative_to(PACKAGE).as_posix()
        said_elsewhere = interface_of(where)
        silent = silent_methods(ast.parse(file.read_text()))
        found += [f"{where}: {cls}.{method}" for cls, method in silent if method not in said_elsewhere]
    assert found == []
