"""EvaluateOperator against a real server on loopback, with its faults."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from airflow.sdk.exceptions import AirflowFailException
from support.http_stub import ChatStub, serving
from support.s3 import BUCKET, CONN_ID, READ_ONLY_CONN_ID
from support.standing import stands

from airflow_provider_llmserve.errors import NotFound, Unavailable
from airflow_provider_llmserve.operators.evaluate import EvaluateOperator

pytestmark = pytest.mark.machine


def endpoint(url):
    return {
        "identity": {"platform": "local", "kind": "kubeai-text", "runtime": "local", "name": "m", "uid": "u", "specHash": "h"},
        "service": {"url": url},
        "openai": {"baseUrl": f"{url}/v1", "model": "base", "adapterModels": {"tuned-3f9a2c1d": "base_tuned-3f9a2c1d"}},
    }


class Run:
    """One run of the operator as a task instance would do it."""

    def __init__(self, folder, *, n=4, rows=None):
        rows = rows or [{"prompt": f"say {i}", "expected": str(i)} for i in range(n)]
        self.dataset = folder / "evals" / "support.jsonl"
        self.dataset.parent.mkdir()
        self.dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.pushed = {}
        self.try_number = 1

    def __call__(self, url, **options):
        options = {"dataset": self.dataset.as_uri(), **options}
        operator = EvaluateOperator(task_id="judge", endpoint=endpoint(url), **options)
        ti = SimpleNamespace(
            dag_id="refresh",
            run_id="manual__2026-11-23T00:00:00+00:00",
            task_id="judge",
            map_index=-1,
            try_number=self.try_number,
            xcom_push=self._push,
        )
        return operator.execute({"ti": ti})

    def _push(self, key, value):
        self.pushed[key] = value

    def results(self, summary):
        place = "llmserve/results/refresh/manual__2026-11-23T00=3A00=3A00=2B00=3A00/judge"
        path = Path(os.environ["AIRFLOW_HOME"], place, f"{self.try_number}.jsonl")
        assert summary["results"] == f"file://{path}"
        return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(autouse=True)
def standing(monkeypatch):
    return stands(monkeypatch, endpoint("http://127.0.0.1:1"))


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def digits(body, nth):
    return body["messages"][-1]["content"].removeprefix("say ")


def test_a_model_that_is_right(run):
    stub = ChatStub(digits)
    with serving(stub.app) as url:
        summary = run(url, adapter="tuned", system_prompt="be brief", max_tokens=5, gates=[{"metric": "exact_match", "min": 1}])
    assert (summary["verdict"], summary["n"], summary["errors"]["total"]) == ("passed", 4, 0)
    assert summary["model"] == "base_tuned-3f9a2c1d"
    assert json.loads(json.dumps(summary)) == summary
    assert [(line["id"], line["output"], line["scores"]) for line in run.results(summary)] == [
        (str(i + 1), str(i), {"exact_match": 1.0}) for i in range(4)
    ]
    for body in stub.bodies:
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("base_tuned-3f9a2c1d", 0, 5)
        assert body["messages"][0] == {"role": "system", "content": "be brief"}


def test_a_missed_gate_fails_for_good_with_the_figures(run):
    with serving(ChatStub(lambda body, nth: "0").app) as url, pytest.raises(AirflowFailException) as caught:
        run(url, gates=[{"metric": "exact_match", "min": 0.5}])
    assert "base: exact_match 0.25 (missed: >= 0.5)" in str(caught.value)
    assert run.pushed["return_value"]["verdict"] == "failed"
    assert len(run.results(run.pushed["return_value"])) == 4


def fail_once(response):
    return lambda body, nth: response() if nth == 0 and body["messages"][-1]["content"] == "say 1" else digits(body, nth)


async def never():
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "fault",
    [
        lambda: web.json_response({"error": {"message": "boom"}}, status=500),
        lambda: web.json_response({"error": "no endpoints"}, status=503),
        lambda: web.Response(status=429, headers={"Retry-After": "0"}),
        never,
    ],
    ids=["500", "503", "429", "silence"],
)
def test_a_passing_fault_is_asked_anew(run, fault):
    with serving(ChatStub(fail_once(fault)).app) as url:
        summary = run(url, request_timeout=2)
    assert summary["errors"] == {"total": 0, "by_class": {}}
    assert [line["tries"] for line in run.results(summary)] == [1, 2, 1, 1]


def always(response):
    return lambda body, nth: response() if body["messages"][-1]["content"] == "say 1" else digits(body, nth)


@pytest.mark.parametrize(
    ("fault", "error", "detail"),
    [
        (lambda: web.json_response({"error": "model base not found"}, status=404), "http_404", "model base not found"),
        (lambda: web.json_response({"error": {"message": "too long"}}, status=400), "http_400", "too long"),
        (lambda: web.Response(text="<html>", content_type="text/html"), "invalid_answer", "no completion"),
        (lambda: web.json_response({"choices": []}), "invalid_answer", "no completion"),
        (lambda: web.json_response([]), "invalid_answer", "no completion"),
        (lambda: web.Response(text="{", content_type="application/json"), "invalid_answer", "no completion"),
        (never, "timeout", "no answer within 2 s"),
    ],
    ids=["404", "400", "html", "no choices", "list", "half JSON", "silence"],
)
def test_a_lasting_fault_is_counted_by_its_class_and_ends_nothing(run, fault, error, detail):
    with serving(ChatStub(always(fault)).app) as url:
        summary = run(url, request_timeout=2, request_retries=0, max_error_rate=0.25)
    assert summary["errors"] == {"total": 1, "by_class": {error: 1}}
    assert summary["metrics"]["exact_match"]["mean"] == 0.75
    lines = run.results(summary)
    assert lines[1]["error"]["class"] == error
    assert detail in lines[1]["error"]["detail"]
    assert [line["output"] for line in lines] == ["0", None, "2", "3"]


def test_too_many_errors_fail_without_any_gate(run):
    with (
        serving(ChatStub(always(lambda: web.Response(status=400))).app) as url,
        pytest.raises(AirflowFailException, match=r"error_rate 0\.25 \(missed: <= 0\.01\)"),
    ):
        run(url)


def test_an_answer_without_content_is_an_answer(run):
    with serving(ChatStub(lambda body, nth: None).app) as url:
        summary = run(url)
    assert summary["errors"]["total"] == 0
    assert summary["metrics"]["exact_match"]["mean"] == 0
    assert [(line["output"], line["scores"]) for line in run.results(summary)] == [("", {"exact_match": 0.0})] * 4


def test_nobody_answers(tmp_path):
    run = Run(tmp_path, n=200)
    stub = ChatStub(lambda body, nth: web.json_response({"error": "model base not found"}, status=404))
    with serving(stub.app) as url, pytest.raises(NotFound, match=r"none of 16 samples was answered; .*model base not found"):
        run(url)
    assert len(stub.bodies) < 40
    with pytest.raises(Unavailable, match="none of 16 samples was answered; the last: connection"):
        run(url, request_retries=0)


def test_as_many_requests_at_once_as_asked_for_and_no_more(tmp_path):
    run = Run(tmp_path, n=12)
    flying, most = 0, 0
    all_there = asyncio.Condition()

    async def answer(body):
        nonlocal flying, most
        async with all_there:
            flying += 1
            most = max(most, flying)
            all_there.notify_all()
            await asyncio.wait_for(all_there.wait_for(lambda: most == 4), 10)
            flying -= 1
        return digits(body, 0)

    with serving(ChatStub(lambda body, nth: answer(body)).app) as url:
        summary = run(url, concurrency=4)
    assert (most, summary["metrics"]["exact_match"]["mean"]) == (4, 1.0)


def test_messages_go_as_they_are(tmp_path):
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    run = Run(tmp_path, rows=[{"messages": said, "expected": "c"}])
    stub = ChatStub(digits)
    with serving(stub.app) as url:
        run(url)
    assert stub.bodies[0]["messages"] == said


def test_a_completion_is_sent_raw(run):
    stub = ChatStub(lambda body, nth: body["prompt"].removeprefix("say "))
    with serving(stub.app) as url:
        summary = run(url, api="completion")
    assert summary["metrics"]["exact_match"]["mean"] == 1
    assert run.results(summary)[0]["finish_reason"] == "length"


def test_base_and_adapter_compared(run):
    def answer(body, nth):
        return digits(body, nth) if body["model"] != "base" else "?"

    with serving(ChatStub(answer).app) as url:
        base = run(url)
        gain = run(url, adapter="tuned", baseline=base, gates=[{"metric": "exact_match", "min_gain": 0.5}])
    assert (base["verdict"], gain["verdict"]) == ("ungated", "passed")
    assert gain["gates"][0]["value"] == 1.0


def test_a_baseline_of_another_data_set_is_refused(run):
    gates = [{"metric": "exact_match", "min_gain": 0}]
    with serving(ChatStub(digits).app) as url:
        base = run(url)
        run.dataset.write_text(json.dumps({"prompt": "say 7", "expected": "7"}))
        with pytest.raises(AirflowFailException, match="was measured on another data set"):
            run(url, baseline=base, gates=gates)


@pytest.mark.parametrize(
    ("spoil", "options", "says"),
    [
        (lambda run: run.dataset.unlink(), {}, "no such file"),
        (lambda run: run.dataset.write_text('{"prompt"'), {}, "line 1: no JSON"),
        (
            lambda run: run.dataset.with_name("taken").write_text(""),
            {"results": "{folder}/taken/x.jsonl"},
            "say where with results=",
        ),
        (lambda run: None, {"results": "nope://bucket/x.jsonl"}, "no filesystem for this URL"),
        (lambda run: None, {"gates": [{"metric": "exact_match"}]}, "needs min, max or min_gain"),
        (lambda run: None, {"adapter": "other"}, "served adapters: tuned-3f9a2c1d"),
    ],
    ids=["no data set", "bad line", "no place for results", "unknown store", "bad gate", "unknown adapter"],
)
def test_bad_input_is_refused_before_the_first_request(run, spoil, options, says):
    spoil(run)
    options = {k: v.format(folder=run.dataset.parent) if k == "results" else v for k, v in options.items()}
    stub = ChatStub(digits)
    with serving(stub.app) as url, pytest.raises(AirflowFailException) as caught:
        run(url, **options)
    assert says in str(caught.value)
    assert stub.bodies == []


def test_a_data_set_in_s3_has_its_results_beside_it(run, s3):
    s3.client().put_object(Bucket=BUCKET, Key="evals/support.jsonl", Body=run.dataset.read_bytes())
    with serving(ChatStub(digits).app) as url:
        summary = run(url, dataset=f"s3://{CONN_ID}@{BUCKET}/evals/support.jsonl")
    key = "evals/support.results/refresh/manual__2026-11-23T00=3A00=3A00=2B00=3A00/judge/1.jsonl"
    assert summary["results"] == f"s3://{CONN_ID}@{BUCKET}/{key}"
    written = s3.client().get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    assert [json.loads(line)["output"] for line in written.splitlines()] == ["0", "1", "2", "3"]
    listed = s3.client().list_objects_v2(Bucket=BUCKET, Prefix="evals/")["Contents"]
    assert sorted(o["Key"] for o in listed) == ["evals/support.jsonl", key], "the file that tried the place is gone"


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (f"s3://{READ_ONLY_CONN_ID}@{BUCKET}/readable.jsonl", "results cannot be written there"),
        (f"s3://{CONN_ID}@{BUCKET}/absent.jsonl", "no such file"),
        (f"s3://no_such_connection@{BUCKET}/readable.jsonl", "no_such_connection"),
    ],
)
def test_a_store_that_refuses_is_known_before_the_first_request(run, s3, dataset, says):
    s3.client().put_object(Bucket=BUCKET, Key="readable.jsonl", Body=run.dataset.read_bytes())
    stub = ChatStub(digits)
    with serving(stub.app) as url, pytest.raises(AirflowFailException) as caught:
        run(url, dataset=dataset)
    assert says in str(caught.value)
    assert stub.bodies == []


def test_airflows_own_retries_are_left_alone():
    operator = EvaluateOperator(task_id="judge", endpoint={}, dataset="x", retries=3, request_retries=7)
    assert (operator.retries, operator.request_retries) == (3, 7)
