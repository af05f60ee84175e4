"""README and docs: their DAG snippets build, their connections are good ones, their links lead somewhere."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_llmserve import operators, sensors
from airflow_provider_llmserve.hooks.llmserve import settings_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}
BLOCKS = [
    (f"{name}:{text[: m.start()].count(chr(10)) + 2}", m[1])
    for name, text in TEXTS.items()
    for m in re.finditer(r"^ *```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
]
EXTRAS = [(name, extra) for name, text in TEXTS.items() for extra in re.findall(r"--conn-extra ('\{[^']*\}')", text)]
LINKS = [
    (name, target)
    for name, text in TEXTS.items()
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    if "://" not in target
]


def dedented(code: str) -> str:
    import textwrap

    return textwrap.dedent(code)


@pytest.mark.parametrize("where", sorted(TEXTS.keys() - {"CONTRIBUTING.md"}))  # drawn anew at this moment
def test_prose_is_as_long_as_code_may_be(where: str) -> None:
    """A row of a table is one line, however long."""
    lines = enumerate(TEXTS[where].splitlines(), 1)
    assert [number for number, line in lines if len(line) > 130 and not line.startswith("|")] == []


@pytest.mark.parametrize(("where", "code"), BLOCKS, ids=[w for w, _ in BLOCKS])
def test_python_snippets_are_python(where: str, code: str) -> None:
    ast.parse(dedented(code))


def test_the_readmes_dag_builds() -> None:
    """The first snippet, in a DAG: four tasks, the last one the teardown of the second."""
    code = dedented(next(code for where, code in BLOCKS if where.startswith("README")))
    with DAG("readme", schedule=None) as dag:

        @task
        def train() -> dict[str, Any]:
            return {}

        scope: dict[str, Any] = {"train": train, "BASE": "org/model"}
        scope |= {n: getattr(operators, n) for n in operators.__all__} | {n: getattr(sensors, n) for n in sensors.__all__}
        exec(code, scope)
    assert set(dag.task_ids) == {"train", "upload", "serve", "judge", "free"}
    assert dag.get_task("free").is_teardown
    assert dag.get_task("serve").is_setup
    assert dag.get_task("serve").upstream_task_ids == {"upload"}


@pytest.mark.parametrize(("where", "extra"), EXTRAS)
def test_connections_shown_are_good_ones(where: str, extra: str) -> None:
    settings_of(json.loads(shlex.split(extra)[0]), where)


@pytest.mark.parametrize(("where", "target"), LINKS)
def test_links_lead_somewhere(where: str, target: str) -> None:
    assert (ROOT / where).parent.joinpath(target).exists()
