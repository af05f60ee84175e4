"""The Open Inference Protocol client and its operators: against KServe's own server, and against one with faults."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from airflow.sdk.exceptions import AirflowFailException
from support.http_stub import serving
from support.kserve_venv import kserve_server
from support.standing import stands

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import AccessDenied, BadInput, NotFound, PlatformError, Rejected, Unavailable
from airflow_provider_llmserve.oip.wire import Classification, Embedding, FilledMask, TokenClassification
from airflow_provider_llmserve.operators.evaluate import EvaluateOperator
from airflow_provider_llmserve.operators.infer import InferOperator

pytestmark = pytest.mark.machine

RECORDED = json.loads((Path(__file__).parents[1] / "pure" / "cases" / "oip.json").read_text())


def endpoint(url, model="sentiment", task="sequence_classification"):
    return {
        "identity": {
            "platform": "kubernetes",
            "kind": "huggingfaceserve",
            "runtime": "deployment",
            "name": "n",
            "uid": "u",
            "specHash": "h",
        },
        "service": {"url": url},
        "oipUrl": url,
        "oipModel": model,
        "task": task,
    }


def client(url, model="sentiment", task="sequence_classification", **options):
    return Endpoint.of(endpoint(url, model, task)).oip(**options)


@pytest.fixture(scope="module")
def kserve():
    with kserve_server() as url:
        yield url


@pytest.mark.parametrize(
    ("model", "task", "texts", "expected"),
    [
        ("sentiment", "sequence_classification", ["good", "bad"], [Classification(1), Classification(0)]),
        (
            "sentiment-scores",
            "sequence_classification",
            ["good", "bad"],
            [Classification(1, {0: 0.25, 1: 0.75}), Classification(0, {0: 0.9995, 1: 5e-05})],
        ),
        (
            # Two texts of unequal length: no padding reaches the user.
            "tags",
            "token_classification",
            ["a good day", "good"],
            [
                TokenClassification((0, 0, 1, 0), None, ((0, 0), (0, 1), (2, 6), (7, 10))),
                TokenClassification((0, 1), None, ((0, 0), (0, 4))),
            ],
        ),
        ("mask", "fill_mask", ["a [MASK] day", "[MASK] [MASK]"], [FilledMask("good"), FilledMask("good")]),
        ("vectors", "text_embedding", [""], [Embedding((0.0, 0.0, 1.0))]),
    ],
)
async def test_predictions_of_the_real_server(kserve, model, task, texts, expected):
    async with client(kserve, model, task) as oip:
        assert await oip.ready()
        assert await oip.infer(texts) == expected


async def test_many_texts_come_back_in_order(kserve):
    texts = [f"{'good' if i % 3 else 'bad'} {i}" for i in range(100)]
    async with client(kserve, batch_size=7, concurrency=4) as oip:
        assert await oip.infer(texts) == [Classification(int(bool(i % 3))) for i in range(100)]
        assert await oip.infer([]) == []


async def test_unicode_and_an_empty_text(kserve):
    async with client(kserve) as oip:
        assert await oip.infer(["", "good 世界 🙂", "a\nb"]) == [Classification(0), Classification(1), Classification(0)]


async def test_what_the_real_server_refuses(kserve):
    async with client(kserve, "nope") as oip:
        assert not await oip.ready()
        with pytest.raises(NotFound, match="Model with name nope does not exist"):
            await oip.infer(["a"])
    async with client(kserve, "mask", "fill_mask") as oip:
        with pytest.raises(Rejected, match="holds no mask token"):
            await oip.infer(["a [MASK]", "b"])
    async with client(kserve, "text") as oip:
        with pytest.raises(Rejected, match="ask it by the OpenAI protocol"):
            await oip.infer(["a"])
    async with client(kserve, "vectors") as oip:
        with pytest.raises(PlatformError, match=r"an answer that cannot be read: whole numbers are wanted, this is FP64"):
            await oip.infer(["a"])


@pytest.fixture(autouse=True)
def standing(monkeypatch):
    stands(monkeypatch, endpoint("http://127.0.0.1:1"))


def infer(url, inputs, **options):
    operator = InferOperator(task_id="ask", endpoint=endpoint(url, **options), inputs=inputs)
    return operator.execute({"ti": SimpleNamespace()})


def test_infer_operator(kserve):
    assert infer(kserve, ["good", "bad"]) == [{"label": 1}, {"label": 0}]
    assert infer(kserve, ["good"], model="sentiment-scores") == [{"label": 1, "scores": {"0": 0.25, "1": 0.75}}]


@pytest.mark.parametrize(
    ("inputs", "options", "says"),
    [
        ("good", {}, "a list of texts is wanted, this is one"),
        (["good", 7], {}, "[1] is no text: 7"),
        (["good"], {"task": "text_generation"}, "the Open Inference Protocol is read for sequence_classification"),
        (["good"], {"task": None}, "name it in the spec (huggingface_task)"),
        (["good"], {"model": "text"}, "ask it by the OpenAI protocol"),
    ],
)
def test_infer_operator_refuses(kserve, inputs, options, says):
    with pytest.raises(AirflowFailException) as caught:
        infer(kserve, inputs, **options)
    assert says in str(caught.value)


class Judged:
    def __init__(self, folder, rows):
        self.dataset = folder / "rows.jsonl"
        self.dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def __call__(self, url, model="sentiment", task="sequence_classification", **options):
        operator = EvaluateOperator(
            task_id="judge", endpoint=endpoint(url, model, task), dataset=self.dataset.as_uri(), **options
        )
        ti = SimpleNamespace(dag_id="d", run_id="r", task_id="judge", map_index=-1, try_number=1, xcom_push=lambda **_: None)
        return operator.execute({"ti": ti})


def test_a_classifier_judged(tmp_path, kserve):
    judge = Judged(
        tmp_path,
        [
            {"text": "good film", "label": "positive"},
            {"text": "good", "label": "positive"},
            {"text": "bad", "label": "negative"},
            {"text": "fine", "label": "positive"},
        ],
    )
    options = {"columns": {"prompt": "text", "expected": "label"}, "labels": ["negative", "positive"]}
    summary = judge(kserve, gates=[{"metric": "accuracy", "min": 0.7}], **options)
    assert summary["verdict"] == "passed"
    assert summary["metrics"]["accuracy"]["mean"] == 0.75
    assert summary["metrics"]["macro_f1"]["mean"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert summary["model"] == "sentiment"
    with pytest.raises(AirflowFailException, match=r"macro_f1 0\.7333 \(missed: >= 0\.9\)"):
        judge(kserve, gates=[{"metric": "macro_f1", "min": 0.9}], **options)


def test_tokens_judged(tmp_path, kserve):
    rows = [
        {"prompt": "a good day", "expected": [-100, 0, 1, 1]},
        {"prompt": "good", "expected": [-100, 1]},
        {"prompt": "good", "expected": [1]},
    ]
    summary = Judged(tmp_path, rows)(kserve, "tags", "token_classification", max_error_rate=0.5)
    assert summary["errors"]["by_class"] == {"invalid_answer": 1}
    # 3 of 4 right, and the label of the row without an answer is a miss.
    assert summary["metrics"]["accuracy"] == {"mean": 0.6, "n": 5}
    results = [json.loads(line) for line in Path(summary["results"].removeprefix("file://")).read_text().splitlines()]
    assert "1 labels are expected, the server has 2 tokens" in results[2]["error"]["detail"]


def test_a_filled_mask_judged(tmp_path, kserve):
    rows = [{"prompt": "a [MASK] day", "expected": "Good"}, {"prompt": "no mask", "expected": "x"}]
    summary = Judged(tmp_path, rows)(kserve, "mask", "fill_mask", max_error_rate=0.5)
    assert summary["errors"]["by_class"] == {"http_500": 1}
    assert summary["metrics"]["exact_match"]["mean"] == 0.5


def test_a_server_of_another_task_is_no_verdict(tmp_path, kserve):
    with pytest.raises(
        PlatformError, match=r"none of 1 samples was answered; the last: invalid_answer: .*whole numbers are wanted"
    ):
        Judged(tmp_path, [{"prompt": "a", "expected": 1}])(kserve, "vectors")


@pytest.mark.parametrize(
    ("row", "task", "options", "says"),
    [
        ({"prompt": "a", "expected": "positive"}, "sequence_classification", {}, "line 1: positive: no class number"),
        (
            {"prompt": "a", "expected": "postive"},
            "sequence_classification",
            {"labels": ["negative", "positive"]},
            "line 1: postive: none of the labels negative, positive",
        ),
        ({"prompt": "a", "expected": [1]}, "sequence_classification", {}, "one label, not a list"),
        ({"prompt": "a", "expected": 1}, "token_classification", {}, "one label a token"),
        ({"messages": [{"role": "user", "content": "a"}], "expected": 1}, "sequence_classification", {}, "a prompt is wanted"),
        ({"prompt": "a", "expected": 1}, "sequence_classification", {"adapter": "tuned"}, "KubeAI-text serves them"),
        ({"prompt": "a", "expected": 1}, "text_embedding", {}, "no metric fits the task text_embedding"),
        ({"prompt": "a", "expected": "b"}, "fill_mask", {"labels": ["b"]}, "has no classes"),
    ],
)
def test_a_data_set_that_does_not_fit_the_task(tmp_path, row, task, options, says):
    with pytest.raises(AirflowFailException) as caught:
        Judged(tmp_path, [row])("http://127.0.0.1:1", "m", task, **options)
    assert says in str(caught.value)


class Faulty:
    """A server that gives each request the next of its answers, and the last of them for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        self.app = web.Application()
        self.app.router.add_post("/v2/models/{model}/infer", self._infer)

    async def _infer(self, request):
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if answer is None:
            await asyncio.Event().wait()
        status, body = answer
        return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body))


OK = (200, {"outputs": [{"name": "output-0", "shape": [1], "datatype": "INT64", "data": [1]}]})


@pytest.mark.parametrize("fault", [(500, {"error": "boom"}), (503, {"error": "not ready"}), (429, ""), None], ids=str)
async def test_a_passing_fault_is_asked_anew(fault):
    stub = Faulty(fault, OK)
    with serving(stub.app) as url:
        async with client(url, timeout=2) as oip:
            assert (await oip.ask(["a"])).tries == 2
            assert stub.asked == 2


ERRORS = {404: NotFound, 400: Rejected, 422: Rejected}


@pytest.mark.parametrize("refusal", RECORDED["refusals"], ids=lambda r: f"{r['status']} {r['note']}")
async def test_a_recorded_refusal(refusal):
    stub = Faulty((refusal["status"], refusal["body"]))
    mistake = any(sign in json.dumps(refusal["body"]) for sign in ("indices must be long", "does not support inference"))
    error = Rejected if mistake else ERRORS.get(refusal["status"], Unavailable)
    with serving(stub.app) as url:
        async with client(url, retries=1) as oip:
            with pytest.raises(error) as caught:
                await oip.infer(["a"])
    said = refusal["body"].get("error") or str(refusal["body"]["detail"])
    assert said[:200] in str(caught.value)
    assert stub.asked == (2 if error is Unavailable else 1)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ((401, "who are you"), AccessDenied, "401: who are you"),
        ((403, ""), AccessDenied, "403: Forbidden"),
        ((501, {"error": "Model versioning not supported yet."}), Rejected, "not supported"),
        ((200, "<html>"), PlatformError, "an answer that cannot be read"),
        ((200, {"predictions": [1]}), PlatformError, "no answer of the Open Inference Protocol"),
        (None, Unavailable, "no answer within 2 s"),
    ],
    ids=str,
)
async def test_a_lasting_fault(answer, error, says):
    with serving(Faulty(answer).app) as url:
        async with client(url, retries=0, timeout=2) as oip:
            with pytest.raises(error) as caught:
                await oip.infer(["a"])
    assert says in str(caught.value)


async def test_nobody_there():
    with serving(Faulty(OK).app) as url:
        pass
    async with client(url, retries=0) as oip:
        assert not await oip.ready()
        with pytest.raises(Unavailable, match="no connection to"):
            await oip.infer(["a"])


async def test_one_failed_batch_ends_the_others():
    stub = Faulty((404, {"error": "gone"}), None)
    with serving(stub.app) as url:
        async with client(url, batch_size=1, concurrency=1) as oip:
            with pytest.raises(NotFound):
                await oip.infer(["a"] * 50)
    assert stub.asked <= 2


def test_a_bad_option_is_refused():
    with pytest.raises(BadInput, match="concurrency and batch_size start at 1"):
        client("http://127.0.0.1:1", concurrency=0)
