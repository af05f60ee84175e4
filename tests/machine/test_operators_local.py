"""Every operator that acts on a platform, on this machine: what a DAG author types, and what it returns or refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from airflow.sdk.exceptions import AirflowFailException
from support.local_model import BASE, processes, random_pairs, write_adapter
from support.s3 import BUCKET, CONN_ID, S3Server
from support.tasks import StateStore, context, run

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.hooks.llmserve import LLMServeHook
from airflow_provider_llmserve.operators import (
    AttachAdapterOperator,
    DetachAdapterOperator,
    HuggingFaceServeOperator,
    KubeAITextServeOperator,
    ResumeOperator,
    ScaleOperator,
    StopOperator,
    TeardownOperator,
    UploadAdapterOperator,
)
from airflow_provider_llmserve.platforms.local import prepare
from airflow_provider_llmserve.platforms.local.sources import model_file
from airflow_provider_llmserve.sensors import EndpointReadySensor

pytestmark = pytest.mark.machine

SPEC = {"url": BASE, "model_name": "op-test"}


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ops")


@pytest.fixture(scope="module", autouse=True)
def connection(state_dir: Path) -> Iterator[None]:
    extra = {"platform": "local", "state_dir": str(state_dir), "threads": 1}
    with pytest.MonkeyPatch.context() as patch:
        for conn_id in ("llmserve_default", "other_machine"):
            patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "llmserve", "extra": extra}))
        yield


@pytest.fixture(autouse=True)
def nothing_left(state_dir: Path) -> Iterator[None]:
    yield
    run(TeardownOperator(task_id="t", endpoint={"name": "op-test"}))
    assert processes(str(state_dir)) == []


def serve(**options: Any) -> dict[str, Any]:
    return run(KubeAITextServeOperator(task_id="serve", **{"spec": SPEC, **options}))


def ask(endpoint: dict[str, Any], adapter: str | None = None) -> str:
    served = Endpoint.of(endpoint)
    reply = served.openai(max_retries=0).chat.completions.create(
        model=served.request_name(adapter), messages=[{"role": "user", "content": "Name a colour."}], max_tokens=8, temperature=0
    )
    return reply.choices[0].message.content or ""


def test_the_whole_life_of_a_served_model(tmp_path: Path) -> None:
    endpoint = serve()
    assert ask(endpoint)
    assert json.loads(json.dumps(endpoint)) == endpoint

    adapter = write_adapter(tmp_path / "a", random_pairs(1, 0.2))
    attached = run(
        AttachAdapterOperator(task_id="attach", endpoint=endpoint, adapter={"name": "tuned-0a1b2c3d", "url": adapter.as_uri()})
    )
    assert attached["openai"]["adapterModels"] == {"tuned-0a1b2c3d": "op-test_tuned-0a1b2c3d"}
    assert ask(attached, "tuned") != ask(attached)

    scaled = run(ScaleOperator(task_id="scale", endpoint=attached, replicas="{{ 1 + 1 }}"))
    assert scaled["openai"]["adapterModels"] == attached["openai"]["adapterModels"]

    stopped = run(StopOperator(task_id="stop", endpoint=scaled))
    with pytest.raises(openai.InternalServerError):
        ask(stopped)
    resumed = run(ResumeOperator(task_id="resume", endpoint=stopped))
    assert ask(resumed, "tuned") == ask(attached, "tuned")

    detached = run(DetachAdapterOperator(task_id="detach", endpoint=resumed, adapter="tuned"))
    with pytest.raises(openai.NotFoundError):
        ask(resumed, "tuned")
    assert ask(detached)

    assert run(TeardownOperator(task_id="free", endpoint=endpoint)) is True
    assert run(TeardownOperator(task_id="free", endpoint=endpoint)) is False


def test_identity_is_remembered_before_the_wait() -> None:
    operator = KubeAITextServeOperator(task_id="serve", spec=SPEC, wait=False)
    scope = context()
    endpoint = operator.execute(scope)
    assert scope["task_state_store"]["llmserve_run"]["uid"] == endpoint["identity"]["uid"]
    assert operator.operator_extra_links[0].get_link(operator, ti_key=None).endswith("/openai/v1/models")


def test_the_sensor_waits_for_what_serve_did_not() -> None:
    endpoint = serve(wait=False)
    sensor = EndpointReadySensor(task_id="ready", endpoint=endpoint, poke_interval=0.1, timeout=120)
    assert run(sensor)["openai"]["baseUrl"] == endpoint["openai"]["baseUrl"]
    assert ask(endpoint)


def test_templates_yaml_text_and_digitalhubs_document() -> None:
    text = (
        f"kind: kubeai-text\nspec:\n  url: {BASE}\n  model_name: {{{{ model }}}}\n  engine: vllm\n  features: [TextGeneration]\n"
    )
    endpoint = run(KubeAITextServeOperator(task_id="serve", spec=text), model="op-test")
    assert endpoint["openai"]["model"] == "op-test"


def test_huggingface_serve_has_a_service_of_its_own() -> None:
    endpoint = run(HuggingFaceServeOperator(task_id="serve", spec={"path": BASE, "model_name": "op-test"}, name="op-test"))
    assert ask(endpoint)
    assert endpoint["identity"]["kind"] == "huggingfaceserve"


def test_other_tasks_follow_the_connection_that_made_the_endpoint() -> None:
    endpoint = serve(llmserve_conn_id="other_machine")
    assert endpoint["identity"]["connection"] == "other_machine"
    assert run(TeardownOperator(task_id="free", endpoint=endpoint)) is True


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({**SPEC, "adapter": []}, "did you mean 'adapters'"),
        (
            {**SPEC, "engine": "OLlama", "adapters": [{"name": "a", "url": "hf://a/b"}]},
            "adapters only supported with VLLM engine",
        ),
        ({**SPEC, "adapters": [{"name": "a", "url": "hf://a/b"}, {"name": "a", "url": "hf://a/c"}]}, "adapters.*a"),
        ({**SPEC, "url": "file:///no/such/model.gguf"}, "does not exist on this machine"),
    ],
    ids=["unknown field", "engine", "duplicate adapter", "missing file"],
)
def test_bad_input_fails_without_a_retry_and_starts_nothing(spec: dict[str, Any], words: str, state_dir: Path) -> None:
    with pytest.raises(AirflowFailException, match=f"(?i){words}"):
        serve(spec=spec)
    assert processes(str(state_dir)) == []


def test_a_missing_connection_says_how_to_make_it() -> None:
    with pytest.raises(AirflowFailException, match="airflow connections add nowhere --conn-type llmserve"):
        serve(llmserve_conn_id="nowhere")


@pytest.mark.parametrize("endpoint", [{"nam": "x"}, {}, {"identity": {}}], ids=str)
def test_an_endpoint_that_is_none_is_refused(endpoint: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match="endpoint"):
        run(TeardownOperator(task_id="free", endpoint=endpoint))


def test_an_older_run_leaves_the_newer_one_alone() -> None:
    older = serve()
    newer_scope = context(run_id="run-2")
    newer = KubeAITextServeOperator(task_id="serve", spec={**SPEC, "scaling": {"min_replicas": 1, "max_replicas": 2}}).execute(
        newer_scope
    )
    assert newer["identity"]["uid"] == older["identity"]["uid"]
    assert run(TeardownOperator(task_id="free", endpoint=older)) is False
    assert ask(newer)
    with pytest.raises(AirflowFailException, match="deployed anew by tests / run-2 / serve"):
        run(ScaleOperator(task_id="scale", endpoint=older, replicas=2))
    assert run(TeardownOperator(task_id="free", endpoint=newer)) is True


def test_an_uploaded_adapter_is_served_from_the_bucket(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", s3.connection(CONN_ID))
    source = write_adapter(tmp_path / "trained", random_pairs(2, 0.2))
    uploaded = run(
        UploadAdapterOperator(
            task_id="upload", source=str(source), name="tuned", base_model=BASE, destination=f"s3://{BUCKET}/served"
        )
    )
    endpoint = serve(spec={**SPEC, "adapters": [uploaded]})
    assert ask(endpoint, "tuned") != ask(endpoint)


def test_a_model_replaced_in_the_bucket_is_not_taken_from_the_cache(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", s3.connection(CONN_ID))
    client, url = s3.client(), f"s3://{BUCKET}/replaced"
    served = []
    for content in (b"GGUF one", b"GGUF two"):
        client.put_object(Bucket=BUCKET, Key="replaced/m.gguf", Body=content)
        served += [model_file(u, cache=tmp_path).read_bytes() for u in (url, f"{url}/m.gguf")]
    assert served == [b"GGUF one"] * 2 + [b"GGUF two"] * 2


def test_a_missing_extra_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "REQUIRED", ("not_installed_here",))
    with pytest.raises(AirflowFailException, match=r"pip install 'airflow-provider-llmserve\[local\]'"):
        serve()


def test_the_connections_test_button(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LLMServeHook("llmserve_default").test_connection() == (True, "The local platform answers.")
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", json.dumps({"conn_type": "llmserve", "extra": {"platform": "moon"}}))
    fine, why = LLMServeHook("broken").test_connection()
    assert not fine
    assert "platform" in why


def test_a_killed_task_takes_back_what_it_deployed(state_dir: Path) -> None:
    operator = KubeAITextServeOperator(task_id="serve", spec=SPEC)

    class KilledOnceDeployed(StateStore):
        def set(self, key: str, value: Any, **_: Any) -> None:
            operator.on_kill()

    with pytest.raises(asyncio.CancelledError):
        operator.execute(context(task_state_store=KilledOnceDeployed()))
    assert run(TeardownOperator(task_id="free", endpoint={"name": "op-test"})) is False
    assert processes(str(state_dir)) == []
