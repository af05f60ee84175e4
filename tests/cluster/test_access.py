"""A served model asked from outside the cluster: every client of an endpoint goes through the API server where it must."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from aiohttp import web
from airflow.sdk.exceptions import AirflowFailException
from support.cluster import Cluster
from support.http_stub import ChatStub, serving
from support.kube import until
from support.kubeai_manager import KubeAI
from support.standing import stands
from support.tasks import run

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import Unavailable
from airflow_provider_llmserve.operators import EvaluateOperator, InferOperator, KubeAITextServeOperator

pytestmark = pytest.mark.cluster

CONN_ID = "outside"


@pytest.fixture(scope="module", autouse=True)
def node(cluster: Cluster) -> Iterator[str]:
    name = cluster.node()
    yield name
    cluster.remove_node(name)


@pytest.fixture(autouse=True)
def login(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, CONN_ID, cluster.kubeconfig)
    for conn_id, access in (("llmserve_default", "api-server"), ("inside", "direct")):
        extra = {"platform": "kubernetes", "kubernetes_conn_id": CONN_ID, "namespace": namespace, "access": access}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "llmserve", "extra": extra}))


def connect(monkeypatch: pytest.MonkeyPatch, conn_id: str, kubeconfig: dict[str, Any]) -> None:
    extra = {"kube_config": json.dumps(kubeconfig)}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "kubernetes", "extra": extra}))


@pytest.fixture
def stub(cluster: Cluster, namespace: str) -> Iterator[ChatStub]:
    """A model server behind the Service ``m``, port 8080, in the namespace of the test."""
    chat = ChatStub(lambda body, nth: "pong")
    chat.app.router.add_post("/v2/models/m/infer", predict)
    chat.app.router.add_post("/v1/embeddings", not_today)
    with serving(chat.app) as url:
        served(cluster, namespace, int(url.rpartition(":")[2]))
        yield chat


async def not_today(_: web.Request) -> web.Response:
    return web.json_response({"error": "not today"}, status=501)


def served(cluster: Cluster, namespace: str, port: int) -> None:
    """The Service, with a pod whose port is that one on loopback."""
    core, labels = f"/api/v1/namespaces/{namespace}", {"app": "m"}
    container = {"name": "server", "image": "m", "ports": [{"name": "http", "containerPort": 8080}]}
    cluster.admin.create(f"{core}/pods", {"metadata": {"name": "m", "labels": labels}, "spec": {"containers": [container]}})
    body = {"selector": labels, "ports": [{"name": "http", "port": 8080, "targetPort": "http"}]}
    cluster.admin.create(f"{core}/services", {"metadata": {"name": "m"}, "spec": body})
    cluster.route_pod(namespace, "m", 8080, port)
    path = f"{core}/services/m:8080/proxy/v1/chat/completions"
    until("the API server leads to the pod", lambda: cluster.admin.request("GET", path).status_code == 405)


async def predict(request: web.Request) -> web.Response:
    texts = (await request.json())["inputs"][0]["data"]
    output = {"name": "output-0", "shape": [len(texts)], "datatype": "INT64", "data": [len(t) for t in texts]}
    return web.json_response({"model_name": "m", "id": "1", "outputs": [output]})


def endpoint(namespace: str, *, conn_id: str = CONN_ID, service: str = "m", **fields: Any) -> dict[str, Any]:
    """What a serve task of a connection with access through the API server returns."""
    url = f"http://{service}.{namespace}.svc:8080"
    identity = {"platform": "kubernetes", "kind": "huggingfaceserve", "runtime": "deployment", "name": "m", "uid": "u"}
    return {
        "identity": {**identity, "namespace": namespace, "specHash": "h"},
        "service": {"url": url, "apiServer": conn_id},
        "openai": {"baseUrl": f"{url}/v1", "model": "m"},
        **fields,
    }


def ping(**options: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "ping"}], **options}


def test_the_openai_client_of_an_endpoint(stub: ChatStub, namespace: str) -> None:
    with Endpoint.of(endpoint(namespace)).openai() as client:
        assert [client.chat.completions.create(**ping()).choices[0].message.content for _ in range(2)] == ["pong"] * 2
    assert stub.bodies == [ping(), ping()]


async def test_the_asynchronous_openai_client_of_an_endpoint(stub: ChatStub, namespace: str) -> None:
    async with Endpoint.of(endpoint(namespace)).async_openai() as client:
        replies = await asyncio.gather(*(client.chat.completions.create(**ping(user=str(i))) for i in range(20)))
    assert {r.choices[0].message.content for r in replies} == {"pong"}
    assert sorted(int(body["user"]) for body in stub.bodies) == list(range(20))


def test_a_stream_comes_in_one_piece(stub: ChatStub, namespace: str) -> None:
    async def said(body: dict[str, Any], nth: int) -> web.Response:
        chunks = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in ("po", "ng")]
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return web.Response(text=text, content_type="text/event-stream")

    stub.answer = said
    with Endpoint.of(endpoint(namespace)).openai() as client:
        stream = client.chat.completions.create(**ping(stream=True))
        assert "".join(chunk.choices[0].delta.content for chunk in stream) == "pong"


def test_the_models_own_errors_come_through(stub: ChatStub, namespace: str) -> None:
    with Endpoint.of(endpoint(namespace)).openai(max_retries=0) as client, pytest.raises(openai.InternalServerError) as caught:
        client.embeddings.create(model="m", input="x")
    assert (caught.value.status_code, caught.value.response.text) == (501, '{"error": "not today"}')


def test_only_json_goes_through(stub: ChatStub, namespace: str) -> None:
    with Endpoint.of(endpoint(namespace)).openai(max_retries=0) as client, pytest.raises(openai.APIConnectionError) as caught:
        client.audio.transcriptions.create(model="m", file=b"RIFF")
    assert "only JSON" in str(caught.value.__cause__)


class Judge:
    """EvaluateOperator on a data set of four rows."""

    def __init__(self, folder: Path, value: dict[str, Any]) -> None:
        self.dataset = folder / "four.jsonl"
        self.dataset.write_text("".join(json.dumps({"prompt": f"ping {i}", "expected": "pong"}) + "\n" for i in range(4)))
        self.endpoint = value

    def __call__(self, **options: Any) -> dict[str, Any]:
        operator = EvaluateOperator(task_id="judge", endpoint=self.endpoint, dataset=self.dataset.as_uri(), **options)
        return operator.execute({"ti": _instance()})

    def lines(self, summary: dict[str, Any]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in Path(summary["results"].removeprefix("file://")).read_text().splitlines()]


def _instance() -> SimpleNamespace:
    return SimpleNamespace(dag_id="d", run_id="r", task_id="judge", map_index=-1, try_number=1, xcom_push=lambda **_: None)


@pytest.fixture
def judge(tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Judge:
    stands(monkeypatch, endpoint(namespace))
    return Judge(tmp_path, endpoint(namespace))


def test_an_evaluation(stub: ChatStub, judge: Judge) -> None:
    summary = judge(gates=[{"metric": "exact_match", "min": 1}])
    assert (summary["verdict"], summary["errors"]["total"]) == ("passed", 0)
    assert all(line["latency_s"] > 0 for line in judge.lines(summary))


def test_an_evaluation_asks_anew_what_failed_or_came_too_late(stub: ChatStub, judge: Judge) -> None:
    async def said(body: dict[str, Any], nth: int) -> web.Response | str:
        if nth == 0 and body["messages"][0]["content"] == "ping 1":
            return web.json_response({"error": {"message": "boom"}}, status=500)
        if nth == 0 and body["messages"][0]["content"] == "ping 2":
            await asyncio.Event().wait()
        return "pong"

    stub.answer = said
    summary = judge(request_timeout=2)
    assert summary["errors"]["total"] == 0
    assert [line["tries"] for line in judge.lines(summary)] == [1, 2, 2, 1]


def test_silence_is_a_time_out(stub: ChatStub, judge: Judge) -> None:
    async def said(body: dict[str, Any], nth: int) -> str:
        if body["messages"][0]["content"] == "ping 3":
            await asyncio.Event().wait()
        return "pong"

    stub.answer = said
    summary = judge(request_timeout=1, request_retries=0, max_error_rate=0.5)
    assert summary["errors"]["by_class"] == {"timeout": 1}


def test_a_service_without_pods_is_unavailable(cluster: Cluster, namespace: str, judge: Judge) -> None:
    body = {"selector": {"app": "nobody"}, "ports": [{"port": 8080}]}
    cluster.admin.create(f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": "m"}, "spec": body})
    with pytest.raises(Unavailable, match="no endpoints available"):
        judge(request_retries=0)


def test_a_login_without_the_right_is_told_which_one(
    cluster: Cluster, stub: ChatStub, namespace: str, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [{"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get"]}]
    connect(monkeypatch, CONN_ID, cluster.user(namespace, rules))
    with pytest.raises(AirflowFailException, match=r"http_403.*services/proxy"):
        judge()
    assert stub.bodies == []


def test_no_way_to_log_in_fails_for_good(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": "{}"}}))
    with pytest.raises(AirflowFailException, match="cannot log in"):
        judge()


def test_predictions(stub: ChatStub, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = endpoint(
        namespace, oipUrl=f"http://m.{namespace}.svc:8080", oipModel="m", task="sequence_classification", openai=None
    )
    stands(monkeypatch, value)
    said = run(InferOperator(task_id="ask", endpoint=value, inputs=["one", "three"], batch_size=1))
    assert [one["label"] for one in said] == [3, 5]


@pytest.mark.parametrize(("conn_id", "by"), [("llmserve_default", CONN_ID), ("inside", None)])
async def test_an_endpoint_says_how_it_is_reached(cluster: Cluster, namespace: str, conn_id: str, by: str | None) -> None:
    spec = {"url": "hf://acme/base-7b", "model_name": "alpha"}
    async with KubeAI(cluster, namespace):
        serve = KubeAITextServeOperator(task_id="serve", spec=spec, llmserve_conn_id=conn_id, wait=False)
        returned = await asyncio.to_thread(run, serve)
    assert returned["service"].get("apiServer") == by
