"""Per-sample results are never destroyed, and no answer of another model is reported as this one's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from support.http_stub import ChatStub, serving
from support.memory_platform import MemoryPlatform
from support.s3 import BUCKET, CONN_ID, S3Server
from support.standing import stands

from airflow_provider_llmserve.errors import Unavailable
from airflow_provider_llmserve.operators import EvaluateOperator, InferOperator
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.place import Place

pytestmark = pytest.mark.machine

ROWS = '{"prompt": "hi", "expected": "x"}\n'


def endpoint(url: str = "http://127.0.0.1:1", **more: Any) -> dict[str, Any]:
    identity = {"platform": "local", "kind": "kubeai-text", "runtime": "local", "name": "m", "uid": "u", "specHash": "h"}
    return {"identity": identity, "service": {"url": url}, "openai": {"baseUrl": f"{url}/v1", "model": "base"}, **more}


@pytest.fixture(autouse=True)
def standing(monkeypatch: pytest.MonkeyPatch) -> MemoryPlatform:
    return stands(monkeypatch, endpoint())


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    file = tmp_path / "evals.jsonl"
    file.write_text(ROWS)
    return file


def evaluate(url: str, dataset: Path | str, *, run: str = "r", try_number: int = 1, map_index: int = -1, **options: Any) -> Any:
    options.setdefault("request_retries", 0)
    operator = EvaluateOperator(task_id="judge", endpoint=endpoint(url), dataset=str(dataset), **options)
    ti = {"dag_id": "d", "run_id": run, "task_id": "judge", "map_index": map_index, "try_number": try_number}
    return operator.execute({"ti": SimpleNamespace(**ti, xcom_push=lambda **_: None)})


SPELLINGS: dict[str, Callable[[Path], str]] = {
    "as it is": str,
    "as a URL": lambda p: p.as_uri(),
    "over a dot": lambda p: f"{p.parent}/./{p.name}",
    "over its parent": lambda p: f"file://{p.parent}/../{p.parent.name}/{p.name}",
    "relative": lambda p: os.path.relpath(p),
    "by a symbolic link": lambda p: str(_linked(p, os.symlink)),
    "by a hard link": lambda p: str(_linked(p, os.link)),
}


def _linked(file: Path, link: Callable[[Path, Path], None]) -> Path:
    other = file.with_name("linked.jsonl")
    link(file, other)
    return other


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
def test_the_data_set_is_never_overwritten(dataset: Path, spelt: Callable[[Path], str]) -> None:
    stub = ChatStub(lambda body, nth: "x")
    with serving(stub.app) as url, pytest.raises(AirflowFailException, match="is the data set itself"):
        evaluate(url, dataset, results=spelt(dataset))
    assert (dataset.read_text(), stub.bodies) == (ROWS, [])


def test_nor_is_one_in_a_store(s3: S3Server) -> None:
    s3.client().put_object(Bucket=BUCKET, Key="e/d.jsonl", Body=ROWS.encode())
    with pytest.raises(AirflowFailException, match="is the data set itself"):
        evaluate("http://127.0.0.1:1", f"s3://{CONN_ID}@{BUCKET}/e/d.jsonl", results=f"s3://{BUCKET}/e/d.jsonl")
    assert s3.client().get_object(Bucket=BUCKET, Key="e/d.jsonl")["Body"].read() == ROWS.encode()


def test_a_rerun_that_fails_leaves_the_earlier_results(dataset: Path, tmp_path: Path) -> None:
    results = tmp_path / "mine.jsonl"
    with serving(ChatStub(lambda body, nth: "x").app) as url:
        evaluate(url, dataset, results=str(results))
    before = results.read_text()
    assert json.loads(before)["output"] == "x"
    with pytest.raises(Unavailable):
        evaluate("http://127.0.0.1:9", dataset, results=str(results))
    assert results.read_text() == before
    with serving(ChatStub(lambda body, nth: "y").app) as url:
        evaluate(url, dataset, results=str(results))
    assert json.loads(results.read_text())["output"] == "y", "a complete one takes its place"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evals.jsonl", "mine.jsonl"], "nothing else is left"


def test_each_run_try_and_mapped_task_has_a_file_of_its_own(dataset: Path) -> None:
    with serving(ChatStub(lambda body, nth: "x").app) as url:
        names = [
            evaluate(url, dataset, **which)["results"]
            for which in ({}, {"try_number": 2}, {"run": "r:"}, {"run": "r="}, {"map_index": 0}, {"map_index": 1})
        ]
    assert len(set(names)) == 6
    assert all(Path(name.removeprefix("file://")).is_file() for name in names)


def test_the_default_url_is_never_the_folder_of_a_local_data_set(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving(ChatStub(lambda body, nth: "x").app) as url:
        assert evaluate(url, dataset)["results"].startswith(f"file://{os.environ['AIRFLOW_HOME']}/llmserve/results/d/r/judge/")
        monkeypatch.setenv("AIRFLOW__LLMSERVE__RESULTS", f"file://{tmp_path}/configured/")
        assert evaluate(url, dataset)["results"] == f"file://{tmp_path}/configured/d/r/judge/1.jsonl"
        monkeypatch.delenv("AIRFLOW__LLMSERVE__RESULTS")
        (tmp_path / "home").write_text("no folder")
        monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        assert evaluate(url, dataset)["results"].startswith(f"file://{tmp_path}/temporary/llmserve-results-")
    assert not dataset.with_name("evals.results").exists()


def newer(platform: MemoryPlatform) -> None:
    run = platform.standing["m"]
    platform.standing["m"] = replace(run, owner=Owner(dag_id="d", run_id="r2", task_id="serve"))


def changed(platform: MemoryPlatform) -> None:
    spec: Any = SimpleNamespace(hash="other")
    platform.standing["m"] = replace(platform.standing["m"], spec=spec)


def anew(platform: MemoryPlatform) -> None:
    platform.standing["m"] = replace(platform.standing["m"], uid="other")


def moved(platform: MemoryPlatform) -> None:
    platform.here = Place(platform="kubernetes", namespace="n")


REPLACED = {
    "by a newer run": (newer, "deployed anew by d / r2 / serve"),
    "by another spec": (changed, "serves another spec"),
    "by one made anew": (anew, "made anew"),
    "by nothing": (lambda platform: platform.standing.clear(), "does not exist"),
    "by another place": (moved, "another place"),
}


@pytest.mark.parametrize("when", ["before", "during"])
@pytest.mark.parametrize(("replace_it", "words"), REPLACED.values(), ids=REPLACED)
def test_another_models_answers_are_not_reported(
    dataset: Path, tmp_path: Path, standing: MemoryPlatform, replace_it: Callable[[MemoryPlatform], None], words: str, when: str
) -> None:
    def answer(body: Any, nth: int) -> str:
        replace_it(standing)
        return "x"

    stub = ChatStub(answer)
    if when == "before":
        replace_it(standing)
    with serving(stub.app) as url, pytest.raises(AirflowFailException, match=words):
        evaluate(url, dataset, results=str(tmp_path / "out.jsonl"))
    assert len(stub.bodies) == (when == "during")
    assert not (tmp_path / "out.jsonl").exists()


def test_predictions_of_another_model_are_not_returned(standing: MemoryPlatform) -> None:
    newer(standing)
    classifier = endpoint(oipUrl="http://127.0.0.1:9", task="sequence_classification", openai=None)
    with pytest.raises(AirflowFailException, match="deployed anew by d / r2 / serve"):
        InferOperator(task_id="ask", endpoint=classifier, inputs=["a"]).execute({})


@pytest.mark.parametrize("value", [{"name": "m"}, None, {}])
def test_a_name_alone_says_not_where_to_ask(value: Any, dataset: Path) -> None:
    with pytest.raises(AirflowFailException, match="pass a serve task's output"):
        EvaluateOperator(task_id="judge", endpoint=value, dataset=str(dataset)).execute({"ti": SimpleNamespace()})
    with pytest.raises(AirflowFailException, match="pass a serve task's output"):
        InferOperator(task_id="ask", endpoint=value, inputs=["a"]).execute({})
