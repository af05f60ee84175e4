"""HuggingFace tasks on this machine, for real: tiny models of transformers from their folder to an answer, and what ends them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.encoders import LENGTH, make
from support.hub import hub
from support.local_model import processes
from support.s3 import BUCKET, CONN_ID, S3Server

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import BadInput, MissingExtra, Rejected, ServingFailed
from airflow_provider_llmserve.oip.wire import Classification, Embedding, FilledMask, TokenClassification
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms import lifecycle
from airflow_provider_llmserve.platforms.base import Target, Want
from airflow_provider_llmserve.platforms.local.encoders import wire
from airflow_provider_llmserve.platforms.local.paths import StateDir
from airflow_provider_llmserve.platforms.local.plan import EncoderSpec
from airflow_provider_llmserve.platforms.local.platform import LocalPlatform
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe

pytestmark = pytest.mark.machine
pytest.importorskip("torch", reason="needs pip install 'airflow-provider-llmserve[local-hf]'")
pytest.importorskip("transformers", reason="needs pip install 'airflow-provider-llmserve[local-hf]'")

RECORDED = json.loads((Path(__file__).parents[1] / "pure" / "cases" / "oip.json").read_text())["answers"]
ARCHITECTURES = {
    "sequence_classification": "BertForSequenceClassification",
    "token_classification": "BertForTokenClassification",
    "fill_mask": "BertForMaskedLM",
    "text_embedding": "BertModel",
}
TEXTS = ["i love this film", "hello world"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model for each task."""
    home = tmp_path_factory.mktemp("models")
    return {task: make(home / task, architecture) for task, architecture in ARCHITECTURES.items()}


@pytest.fixture
def platform(tmp_path: Path) -> LocalPlatform:
    return LocalPlatform(Settings(platform="local", state_dir=str(tmp_path / "llmserve"), threads=1))


@pytest.fixture(autouse=True)
async def nothing_left(platform: LocalPlatform) -> AsyncIterator[None]:
    yield
    run = await platform.find(Target(name="tiny"))
    if run is not None:
        await platform.delete(run, timeout=30)
    assert processes(str(platform._dirs.root)) == []


def want(folder: Path | str, task: str, **fields: Any) -> Want:
    path = folder.as_uri() if isinstance(folder, Path) else folder
    spec = HuggingFaceServe.parse({"path": path, "model_name": "Tiny", "huggingface_task": task, **fields})
    return Want(spec=spec, name="tiny", owner=Owner(dag_id="tests", run_id="hf", task_id="serve"))


async def serve(platform: LocalPlatform, folder: Path | str, task: str, **fields: Any) -> Endpoint:
    return await lifecycle.serve(platform, want(folder, task, **fields), timeout=240)


# The model itself, without a server: every task with every flag that was recorded.


def settings_of(case: dict[str, Any]) -> EncoderSpec:
    flags = set(case["args"])
    scores = "probabilities" if "--return_probabilities" in flags else "raw_logits" if "--return_raw_logits" in flags else "none"
    return EncoderSpec(
        task=case["task"],
        scores=scores,  # type: ignore[arg-type]
        special_tokens="--disable_special_tokens" not in flags,
        offsets="--return_offsets_mapping" in flags,
    )


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['task']} {' '.join(case['args'])} {len(case['texts'])}")
def test_answers_have_the_recorded_form(case: dict[str, Any], folders: dict[str, Path]):
    from airflow_provider_llmserve.platforms.local.encoders.model import Encoder

    found = Encoder(folders[case["task"]], settings_of(case)).infer(case["texts"])
    ours = json.loads(json.dumps(wire.write_v2(found, model="model", id="1")))

    def form(answer: dict[str, Any]) -> Any:
        return {
            one["name"]: (one["datatype"], len(one["shape"]), one["shape"][0], type(one["data"][0])) for one in answer["outputs"]
        }

    assert form(ours) == form(case["v2"])
    assert all(math.prod(one["shape"]) == len(one["data"]) for one in ours["outputs"])


def test_predictions_are_those_of_transformers(folders: dict[str, Path]):
    import torch
    import transformers

    from airflow_provider_llmserve.platforms.local.encoders.model import Encoder

    tokenizer = transformers.AutoTokenizer.from_pretrained(folders["sequence_classification"])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folders["sequence_classification"]).eval()
    with torch.no_grad():
        logits = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    spec = EncoderSpec(task="sequence_classification", scores="raw_logits")
    for found, row in zip(
        Encoder(folders["sequence_classification"], spec).infer(TEXTS).predictions, logits.tolist(), strict=True
    ):
        assert list(found.values()) == pytest.approx(row, abs=1e-4)


def test_more_texts_than_one_computation_takes_keep_their_order(folders: dict[str, Path]):
    from airflow_provider_llmserve.platforms.local.encoders.model import CHUNK, Encoder

    encoder = Encoder(folders["text_embedding"], EncoderSpec(task="text_embedding"))
    alone = [encoder.infer([text]).predictions[0] for text in TEXTS]
    many = encoder.infer([TEXTS[0]] * CHUNK + TEXTS)
    assert len(many.predictions) == CHUNK + 2
    assert many.predictions[0] == pytest.approx(alone[0], abs=1e-5)
    assert many.predictions[-1] == pytest.approx(alone[1], abs=1e-5)
    assert many.tokens == CHUNK * 6 + 6 + 4


def test_text_is_lower_cased_unless_told_otherwise(folders: dict[str, Path]):
    from airflow_provider_llmserve.platforms.local.encoders.model import Encoder

    def vectors(lower_case: bool) -> list[Any]:
        spec = EncoderSpec(task="text_embedding", lower_case=lower_case)
        return Encoder(folders["text_embedding"], spec).infer(["HELLO World", "hello world"]).predictions

    shouted, said = vectors(lower_case=True)
    assert shouted == pytest.approx(said, abs=1e-5)
    shouted, said = vectors(lower_case=False)
    assert shouted != pytest.approx(said, abs=1e-2)


def test_long_texts_are_cut(folders: dict[str, Path]):
    from airflow_provider_llmserve.platforms.local.encoders.model import Encoder

    long = ["hello " * 500]
    assert Encoder(folders["text_embedding"], EncoderSpec(task="text_embedding")).infer(long).tokens == LENGTH
    assert Encoder(folders["text_embedding"], EncoderSpec(task="text_embedding", max_length=8)).infer(long).tokens == 8


# From a spec to an answer.


async def test_a_classifier_from_spec_to_answer(platform: LocalPlatform, folders: dict[str, Path]):
    endpoint = await serve(platform, folders["sequence_classification"], "sequence_classification", return_probabilities=True)
    assert (endpoint.task, endpoint.openai_service, endpoint.oip_name) == ("sequence_classification", None, "Tiny")
    async with endpoint.oip() as client:
        assert await client.ready()
        found = await client.infer(TEXTS)
    for one in found:
        assert isinstance(one, Classification)
        assert one.scores is not None
        assert sum(one.scores.values()) == pytest.approx(1, abs=1e-3)

    tensor = {"name": "input-0", "shape": [1], "datatype": "BYTES", "data": ["hello"]}
    async with httpx.AsyncClient(base_url=endpoint.service.url, timeout=30) as http:
        for method, path, body, status, answer in (
            ("GET", "/", None, 200, {"status": "alive"}),
            ("GET", "/v2/health/live", None, 200, {"live": True}),
            ("GET", "/v2/health/ready", None, 200, {"ready": True}),
            ("GET", "/v1/models", None, 200, {"models": ["Tiny"]}),
            ("GET", "/v2/models", None, 200, {"models": ["Tiny"]}),
            ("GET", "/v1/models/Tiny", None, 200, {"name": "Tiny", "ready": True}),
            ("GET", "/v2/models/Tiny/ready", None, 200, {"name": "Tiny", "ready": True}),
            (
                "GET",
                "/v2/models/Tiny",
                None,
                200,
                {"name": "Tiny", "versions": None, "platform": "", "inputs": [], "outputs": []},
            ),
            ("GET", "/v2/models/nope/ready", None, 404, {"error": "Model with name nope does not exist."}),
            ("POST", "/v2/models/nope/infer", {"inputs": [tensor]}, 404, {"error": "Model with name nope does not exist."}),
            ("POST", "/v1/models/nope:predict", {"instances": ["a"]}, 404, {"error": "Model with name nope does not exist."}),
            ("GET", "/v2/models/Tiny/infer", None, 405, {"detail": "Method Not Allowed"}),
            ("GET", "/nope", None, 404, {"detail": "Not Found"}),
            ("POST", "/v1/models/Tiny:predict", {"instances": []}, 500, None),
            ("POST", "/v2/models/Tiny/infer", {"inputs": []}, 500, {"error": "IndexError : list index out of range"}),
            ("POST", "/v2/models/Tiny/infer", {}, 422, None),
            ("POST", "/openai/v1/completions", {"model": "Tiny", "prompt": "a"}, 400, None),
            ("POST", "/openai/v1/embeddings", {"model": "Tiny", "input": "a"}, 500, None),
            ("POST", "/openai/v1/embeddings", {"model": "nope", "input": "a"}, 404, None),
        ):
            response = await http.request(method, path, json=body)
            assert response.status_code == status, (method, path, response.text)
            if answer is not None:
                assert response.json() == answer, (method, path)
        v1 = await http.post("/v1/models/Tiny:predict", json={"instances": TEXTS})
        assert [{int(k): p for k, p in one.items()} for one in v1.json()["predictions"]] == [dict(one.scores) for one in found]
        bare = await http.post("/v2/models/Tiny/infer", content=json.dumps({"inputs": [tensor]}))
        assert bare.status_code == 400
        bare = await http.post("/v1/models/Tiny:predict", content=json.dumps({"instances": TEXTS}))
        assert bare.json() == v1.json()


async def test_one_run_changes_its_task_without_a_gap(platform: LocalPlatform, folders: dict[str, Path]):
    """The four tasks one after another under one name and one port; the old model answers until the new one does."""
    first = await serve(platform, folders["token_classification"], "token_classification", args=["--return_offsets_mapping"])
    async with first.oip() as client:
        (tokens,) = await client.infer(["hello world"])
    assert isinstance(tokens, TokenClassification)
    assert tokens.offsets == ((0, 0), (0, 5), (6, 11), (0, 0))

    statuses: list[int] = []

    async def ask_on(path: str, body: dict[str, Any]) -> None:
        async with httpx.AsyncClient(base_url=first.service.url, timeout=60) as http:
            while True:
                statuses.append((await http.post(path, json=body)).status_code)
                await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask_on("/v1/models/Tiny:predict", {"instances": ["hello [MASK]"]}))
    masked = await serve(platform, folders["fill_mask"], "fill_mask")
    asking.cancel()
    assert set(statuses) == {200}
    assert masked.service.url == first.service.url
    async with masked.oip() as client:
        (filled,) = await client.infer(["hello [MASK]"])
        assert isinstance(filled, FilledMask)
        with pytest.raises(Rejected, match="holds no mask token"):
            await client.infer(["no mask here"])

    embedding = await serve(platform, folders["text_embedding"], "text_embedding")
    async with embedding.oip() as client:
        (vector,) = await client.infer(["hello world"])
    assert isinstance(vector, Embedding)
    assert math.hypot(*vector.vector) == pytest.approx(1, abs=1e-5)
    async with embedding.async_openai() as openai:
        answer = await openai.embeddings.create(model=embedding.request_name(), input=["hello world"])
    assert answer.data[0].embedding == pytest.approx(list(vector.vector), abs=1e-6)
    assert answer.usage.prompt_tokens == 4


async def test_a_stopped_run_says_so_and_wakes_nothing(platform: LocalPlatform, folders: dict[str, Path]):
    endpoint = await serve(platform, folders["sequence_classification"], "sequence_classification")
    run = await platform.find(Target(name="tiny"))
    assert run is not None
    stopped = want(folders["sequence_classification"], "sequence_classification")
    run = await platform.apply(Want(spec=stopped.spec, name="tiny", owner=stopped.owner, stopped=True), replacing=run)
    async for seen in platform.verdicts(run):
        if seen.state is State.SCALED_TO_ZERO:
            break
    async with httpx.AsyncClient(base_url=endpoint.service.url, timeout=30) as http:
        ready = await http.get("/v2/models/Tiny/ready")
        assert (ready.status_code, ready.json()) == (503, {"error": "Model with name Tiny is not ready."})
        refused = await http.post("/v1/models/Tiny:predict", json={"instances": ["hello"]})
        assert refused.status_code == 503
        assert "stopped; resume it first" in refused.json()["error"]


async def test_a_killed_server_is_replaced_and_a_killed_supervisor_takes_it_along(
    platform: LocalPlatform, folders: dict[str, Path]
):
    endpoint = await serve(platform, folders["sequence_classification"], "sequence_classification")
    (server,) = [pid for pid in processes(str(platform._dirs.logs)) if _is_server(pid)]
    os.kill(server, signal.SIGKILL)
    async with endpoint.oip(timeout=120) as client:
        assert len(await client.infer(TEXTS)) == 2
    (fresh,) = [pid for pid in processes(str(platform._dirs.logs)) if _is_server(pid)]
    assert fresh != server

    supervisor = (await platform._client.running() or {})["pid"]
    os.kill(supervisor, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while processes(str(platform._dirs.root)):
        assert time.monotonic() < deadline, "a server outlived its supervisor"
        await asyncio.sleep(0.05)


def _is_server(pid: int) -> bool:
    return b"encoders.server" in Path(f"/proc/{pid}/cmdline").read_bytes()


# What is refused.


async def test_unfit_input_is_one_error_before_anything_starts(platform: LocalPlatform, folders: dict[str, Path], tmp_path: Path):
    broken = make(tmp_path / "broken", "BertForMaskedLM")
    (broken / "tokenizer.json").unlink()
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(BadInput) as refused:
        await serve(
            platform, broken, "sequence_classification", max_length=999, return_probabilities=True, args=["--return_raw_logits"]
        )
    assert len(refused.value.findings) == 5
    for word in ("exclude each other", "which does fill_mask", "is a pickle", "no tokenizer", "model's own 64"):
        assert sum(word in one for one in refused.value.findings) == 1
    assert await platform._client.running() is None


async def test_a_head_of_random_weights_is_never_ready(platform: LocalPlatform, tmp_path: Path):
    headless = make(tmp_path / "headless", "BertForSequenceClassification", trained="BertModel")
    with pytest.raises(ServingFailed, match=r"the weights lack classifier\.bias, classifier\.weight"):
        await serve(platform, headless, "sequence_classification")


async def test_without_the_extra_the_error_is_its_pip_line(
    platform: LocalPlatform, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else find(name, *rest))
    with pytest.raises(MissingExtra, match=r"torch not installed.*airflow-provider-llmserve\[local-hf\]"):
        await serve(platform, folders["fill_mask"], "fill_mask")


# Where models come from.


async def test_a_model_from_s3(platform: LocalPlatform, folders: dict[str, Path], s3: S3Server):
    client = s3.client()
    for file in folders["sequence_classification"].iterdir():
        client.put_object(Bucket=BUCKET, Key=f"tiny/{file.name}", Body=file.read_bytes())
    client.put_object(Bucket=BUCKET, Key="tiny/pytorch_model.bin", Body=b"\x80 not fetched")
    endpoint = await serve(platform, f"s3://{CONN_ID}@{BUCKET}/tiny", "sequence_classification")
    async with endpoint.oip() as oip:
        assert len(await oip.infer(TEXTS)) == 2
    assert [p.name for p in StateDir(platform._dirs.root).cache.rglob("*") if p.suffix == ".bin"] == []


def test_a_model_from_the_hub(folders: dict[str, Path], tmp_path: Path):
    """Against a stand-in of the hub on loopback; code and pickles are not even asked for."""
    files = {p.name: p.read_bytes() for p in folders["sequence_classification"].iterdir()}
    files |= {"pytorch_model.bin": b"\x80", "modeling.py": b"raise SystemExit", "onnx/model.onnx": b"1"}
    with hub("acme/tiny", files) as (url, asked):
        code = (
            "import sys; from pathlib import Path;"
            "from airflow_provider_llmserve.platforms.local.encoders.folder import model_folder;"
            "print(model_folder(sys.argv[1], cache=Path('.'), trust_remote_code=len(sys.argv) > 2))"
        )

        def fetched(*arguments: str) -> set[str]:
            environment = {
                **os.environ,
                "HF_ENDPOINT": url,
                "HF_HOME": str(tmp_path / "hub"),
            }
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0 or "Unfit" in done.stderr, done.stderr
            return {p.name for p in Path(done.stdout.strip()).iterdir()} if done.returncode == 0 else set()

        safe = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
        assert fetched("hf://acme/tiny:v1") >= safe
        assert not {"pytorch_model.bin", "modeling.py"} & {path.rpartition("/")[2] for path in asked}
        assert fetched("hf://acme/tiny:v1", "trusted") >= {*safe, "pytorch_model.bin", "modeling.py"}
        assert not any("onnx" in path for path in asked)
        assert fetched("hf://acme/absent") == set()
