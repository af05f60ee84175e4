"""Upload of adapters to a real S3 server and to a folder."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from airflow.sdk.exceptions import AirflowFailException
from support.adapters import BASE, CONFIG, f32, lora_tensors, make_adapter
from support.s3 import BUCKET, CONN_ID, READ_ONLY_CONN_ID

from airflow_provider_llmserve.adapters.handover import read_handover
from airflow_provider_llmserve.errors import AccessDenied, BadInput, NotFound, Unavailable
from airflow_provider_llmserve.operators.upload_adapter import UploadAdapterOperator
from airflow_provider_llmserve.platforms.storage import open_store
from airflow_provider_llmserve.platforms.upload import upload_adapter
from airflow_provider_llmserve.specs import Adapter

pytestmark = pytest.mark.machine

FILES = {"adapter_model.safetensors", "adapter_config.json", "manifest.json"}


class Bucket:
    """A fresh prefix of the S3 server."""

    def __init__(self, server):
        self.client, self.prefix = server.client(), uuid4().hex
        self.clean = f"s3://{BUCKET}/{self.prefix}"
        self.url = f"s3://{CONN_ID}@{BUCKET}/{self.prefix}"

    def files(self):
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/").get("Contents", [])
        return {f["Key"].removeprefix(f"{self.prefix}/"): self.read(f["Key"].removeprefix(f"{self.prefix}/")) for f in found}

    def read(self, path):
        return self.client.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{path}")["Body"].read()

    def write(self, path, data):
        self.client.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{path}", Body=data)

    def remove(self, path):
        self.client.delete_object(Bucket=BUCKET, Key=f"{self.prefix}/{path}")


class Folder:
    """A fresh local folder."""

    def __init__(self, path):
        self.path = path
        self.url = self.clean = f"file://{path}"

    def files(self):
        return {str(p.relative_to(self.path)): p.read_bytes() for p in self.path.rglob("*") if p.is_file()}

    def write(self, path, data):
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_bytes(data)

    def remove(self, path):
        (self.path / path).unlink()


@pytest.fixture(params=["s3", "file"])
def place(request, tmp_path):
    return Bucket(request.getfixturevalue("s3")) if request.param == "s3" else Folder(tmp_path / "store")


@pytest.fixture
def adapter(tmp_path):
    return make_adapter(tmp_path / "tuned")


@pytest.fixture
def writes(monkeypatch):
    """What is written, as the stores are asked: file names in order."""
    from airflow_provider_llmserve.platforms.storage.path import PathStore
    from airflow_provider_llmserve.platforms.storage.s3 import S3Store

    seen = []

    def spy(cls, method):
        real = getattr(cls, method)

        def spied(self, *args, **kwargs):
            seen.append(next(str(a).rpartition("/")[2] for a in args if str(a).startswith("tuned/")))
            return real(self, *args, **kwargs)

        monkeypatch.setattr(cls, method, spied)

    for cls in (S3Store, PathStore):
        spy(cls, "put")
        spy(cls, "write")
    return seen


def upload(source, place, **options):
    return upload_adapter(read_handover(str(source), base_model=options.pop("base_model", BASE)), place.url, **options)


def test_what_is_published(adapter, place, writes):
    done = upload(adapter, place)
    under = f"tuned/sha256-{done.digest}"
    assert done.url == f"{place.clean}/{under}", "no connection id"
    assert done.name == f"tuned-{done.digest[:8]}"
    assert (done.base_model, done.rank) == (BASE, CONFIG["r"])
    files = place.files()
    assert set(files) == {f"{under}/{name}" for name in FILES}, "allowed files alone"
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert files[f"{under}/{name}"] == (adapter / name).read_bytes()
    assert done.size == sum(len(data) for path, data in files.items() if not path.endswith("manifest.json"))
    assert json.loads(files[f"{under}/manifest.json"])["digest"] == done.digest
    assert writes == ["adapter_model.safetensors", "adapter_config.json", "manifest.json"], "marker last"


def test_again_sends_nothing(adapter, place, writes, http):
    first = upload(adapter, place)
    writes.clear()
    http.clear()
    assert upload(adapter, place) == first
    assert writes == []
    assert {method for method, _ in http} <= {"GET", "HEAD"}


def test_one_weight_more_is_another_version(adapter, place, tmp_path):
    first = upload(adapter, place)
    before = place.files()
    second = upload(make_adapter(tmp_path / "later" / "tuned", value=0.02), place)
    assert (first.name, first.url) != (second.name, second.url)
    assert before.items() <= place.files().items(), "the first one is untouched"


@pytest.fixture
def http(monkeypatch):
    """Requests that really leave through botocore: (method, URL). ``http.fail`` may name one to break."""
    from botocore.httpsession import URLLib3Session

    class Requests(list):
        fail = None

    seen, real = Requests(), URLLib3Session.send

    def send(self, request):
        if seen.fail and seen.fail(request):
            raise RuntimeError("the worker dies here")
        seen.append((request.method, request.url))
        return real(self, request)

    monkeypatch.setattr(URLLib3Session, "send", send)
    return seen


@pytest.mark.parametrize("at", ["adapter_config.json", "manifest.json"])
def test_an_interrupted_upload_goes_on(at, adapter, place, writes, monkeypatch):
    cut = {"put": "adapter_config.json", "write": "manifest.json"}
    method = next(m for m, name in cut.items() if name == at)
    store = type(open_store(place.url))
    real = getattr(store, method)

    def dies(self, *args, **kwargs):
        if any(str(a).endswith(at) for a in args):
            raise RuntimeError("the worker dies here")
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(store, method, dies)
        with pytest.raises(RuntimeError, match="dies"):
            upload(adapter, place)
    left = {Path(p).name for p in place.files()}
    assert left
    assert "manifest.json" not in left
    writes.clear()
    done = upload(adapter, place)
    assert writes == [n for n in ("adapter_model.safetensors", "adapter_config.json", "manifest.json") if n not in left]
    assert {Path(p).name for p in place.files()} == FILES
    assert upload(adapter, place) == done


def test_s3_cut_off_within_a_file(s3, http, tmp_path):
    place = Bucket(s3)
    big = make_adapter(tmp_path / "tuned", config={"r": 64}, tensors=lora_tensors(rank=64, layers=30))
    assert (big / "adapter_model.safetensors").stat().st_size > 8 * 1024 * 1024, "several parts"
    http.fail = lambda request: "partNumber=2" in request.url
    with pytest.raises(RuntimeError, match="dies"):
        upload(big, place)
    assert place.files() == {}, "an object is whole or not there"
    http.fail = None
    http.clear()
    upload(big, place)
    assert sum("partNumber=" in url for _, url in http) == 2
    assert {Path(p).name for p in place.files()} == FILES


def test_what_lies_there_wrong_is_replaced(adapter, place, writes):
    done = upload(adapter, place)
    under = f"tuned/sha256-{done.digest}"
    place.remove(f"{under}/manifest.json")
    good = (adapter / "adapter_model.safetensors").read_bytes()
    place.write(f"{under}/adapter_model.safetensors", bytes(len(good)))
    writes.clear()
    upload(adapter, place)
    assert writes == ["adapter_model.safetensors", "manifest.json"]
    assert place.files()[f"{under}/adapter_model.safetensors"] == good


def test_a_file_lost_behind_the_marker_is_sent_again(adapter, place, writes):
    done = upload(adapter, place)
    place.remove(f"tuned/sha256-{done.digest}/adapter_model.safetensors")
    writes.clear()
    upload(adapter, place)
    assert writes == ["adapter_model.safetensors"]


def test_a_half_written_marker_is_completed(adapter, place):
    done = upload(adapter, place)
    marker = f"tuned/sha256-{done.digest}/manifest.json"
    whole = place.files()[marker]
    place.write(marker, whole[: len(whole) // 2])
    upload(adapter, place)
    assert place.files()[marker] == whole


def test_somebody_elses_marker_is_refused(adapter, place):
    done = upload(adapter, place)
    marker = f"tuned/sha256-{done.digest}/manifest.json"
    value = json.loads(place.files()[marker])
    value["files"][0]["sha256"] = "0" * 64
    place.write(marker, json.dumps(value).encode())
    before = place.files()
    with pytest.raises(BadInput, match="somebody else wrote it"):
        upload(adapter, place)
    assert place.files() == before


def test_two_at_once(adapter, place):
    start = threading.Barrier(2)

    def one():
        start.wait()
        return upload(adapter, place)

    with ThreadPoolExecutor(2) as pool:
        first, second = [f.result() for f in [pool.submit(one) for _ in range(2)]]
    assert first == second
    files = place.files()
    assert {Path(p).name for p in files} == FILES
    assert files[f"tuned/sha256-{first.digest}/adapter_model.safetensors"] == (adapter / "adapter_model.safetensors").read_bytes()


def corrupt(folder):
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(b"\xff" * 8 + weights.read_bytes()[8:])


def truncate(folder):
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def pickle(folder):
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def no_config(folder):
    (folder / "adapter_config.json").unlink()


def no_json(folder):
    (folder / "adapter_config.json").write_text("{")


def wrong_base(folder):
    make_adapter(folder, config={"base_model_name_or_path": "Qwen/Qwen3-0.6B"})


def untrained(folder):
    tensors = lora_tensors()
    make_adapter(folder, tensors={n: f32(t[1], 0.0) if "lora_B" in n else t for n, t in tensors.items()})


def diverged(folder):
    tensors = lora_tensors()
    name = next(iter(tensors))
    make_adapter(folder, tensors={**tensors, name: f32(tensors[name][1], float("nan"))})


def gone(folder):
    for path in folder.iterdir():
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (corrupt, "no safetensors file"),
        (truncate, "truncated"),
        (pickle, "a pickle, which runs code"),
        (no_config, "no adapter_config.json"),
        (no_json, "no JSON"),
        (wrong_base, "was trained on 'Qwen/Qwen3-0.6B', not on"),
        (untrained, "every lora_B is zero"),
        (diverged, "infinite or not-a-number"),
        (gone, "does not exist on this worker"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_a_bad_adapter_is_refused_before_anything_is_written(spoil, finding, adapter, place, writes, http):
    spoil(adapter)
    with pytest.raises(BadInput, match=finding):
        upload(adapter, place)
    assert writes == []
    assert http == []
    assert place.files() == {}


def test_a_base_that_is_a_folder_of_the_trainer_is_named_in_the_copy(place, tmp_path):
    here = make_adapter(tmp_path / "a" / "tuned", config={"base_model_name_or_path": "/home/a/model"})
    there = make_adapter(tmp_path / "b" / "tuned", config={"base_model_name_or_path": ""})
    done = upload(here, place, base_model=f"hf://{BASE}")
    assert upload(there, place) == done, "the same weights are the same version"
    config = json.loads(place.files()[f"tuned/sha256-{done.digest}/adapter_config.json"])
    assert config == {**CONFIG, "base_model_name_or_path": BASE}
    assert json.loads((here / "adapter_config.json").read_text())["base_model_name_or_path"] == "/home/a/model"


def test_the_base_at_hand_is_compared(place, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 1}))
    adapter = make_adapter(tmp_path / "tuned", config={"base_model_name_or_path": str(base)})
    with pytest.raises(BadInput, match="layers that the base does not have"):
        upload(adapter, place)


def test_an_adapter_in_a_store_is_published_from_there(s3, adapter, tmp_path):
    staging, place = Bucket(s3), Folder(tmp_path / "store")
    for path in adapter.iterdir():
        if path.is_file():
            staging.write(f"run-1/tuned/{path.name}", path.read_bytes())
    done = upload_adapter(read_handover(f"{staging.url}/run-1/tuned"), place.url)
    assert done == upload(adapter, place)
    with pytest.raises(BadInput, match=r"no adapter_config\.json"):
        upload_adapter(read_handover(f"{staging.url}/run-2/tuned"), place.url)


def test_s3_without_a_connection_named_uses_aws_default(s3, adapter, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", s3.connection(CONN_ID))
    place = Bucket(s3)
    assert upload_adapter(read_handover(str(adapter)), place.clean) == upload(adapter, place)


def test_s3_refusals_name_the_cure(s3, adapter):
    where = read_handover(str(adapter))
    with pytest.raises(AccessDenied, match="s3:PutObject"):
        upload_adapter(where, f"s3://{BUCKET}/denied", conn_id=READ_ONLY_CONN_ID)
    with pytest.raises(NotFound, match="no such bucket"):
        upload_adapter(where, "s3://no-such-bucket/x", conn_id=CONN_ID)
    with pytest.raises(BadInput, match="Invalid bucket name"):
        upload_adapter(where, "s3://No Bucket/x", conn_id=CONN_ID)
    with pytest.raises(BadInput, match="airflow connections add nowhere"):
        upload_adapter(where, f"s3://nowhere@{BUCKET}/x")


def test_an_s3_server_that_is_away_is_worth_a_retry(adapter, monkeypatch):
    extra = {
        "endpoint_url": "http://127.0.0.1:9",
        "region_name": "us-east-1",
        "config_kwargs": {"retries": {"total_max_attempts": 1}},
    }
    connection = {"conn_type": "aws", "login": "a", "password": "b", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(connection))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        upload_adapter(read_handover(str(adapter)), "s3://models/x", conn_id="away")


def test_s3_without_conditional_writes(s3, adapter, monkeypatch, http):
    """An S3 clone that answers 501 to If-None-Match gets a plain write."""
    from botocore.exceptions import ClientError

    place = Bucket(s3)
    store = type(open_store(place.url))
    client = open_store(place.url).client

    class Clone:
        def __getattr__(self, name):
            return getattr(client, name)

        def put_object(self, **kwargs):
            if "IfNoneMatch" in kwargs:
                raise ClientError({"ResponseMetadata": {"HTTPStatusCode": 501}, "Error": {"Code": "NotImplemented"}}, "PutObject")
            return client.put_object(**kwargs)

    monkeypatch.setattr(store, "client", Clone())
    upload(adapter, place)
    assert {Path(p).name for p in place.files()} == FILES


def test_a_filesystem_without_exclusive_writes(adapter, tmp_path, monkeypatch):
    from fsspec.implementations.local import LocalFileSystem

    real = LocalFileSystem.pipe_file

    def plain(self, path, value, mode="overwrite", **kwargs):
        if mode == "create":
            raise NotImplementedError
        return real(self, path, value, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "pipe_file", plain)
    place = Folder(tmp_path / "store")
    upload(adapter, place)
    assert {Path(p).name for p in place.files()} == FILES


def run(context=None, **options):
    operator = UploadAdapterOperator(task_id="upload", **options)
    operator.render_template_fields(context or {})
    return operator.execute(context or {})


def test_operator_takes_a_training_tasks_output_and_returns_a_specs_adapter(adapter, place):
    output = {"path": "{{ where }}", "base_model": BASE, "name": "support", "loss": 0.1}
    result = run({"where": str(adapter)}, source=output, destination=place.url)
    assert Adapter.parse(result).model_dump() == result
    assert result["name"].startswith("support-")
    assert json.loads(json.dumps(result)) == result


def test_operator_fails_without_a_retry_where_none_helps(adapter, place):
    with pytest.raises(AirflowFailException, match="not on 'other/base'"):
        run(source=str(adapter), destination=place.url, base_model="other/base")
    with pytest.raises(AirflowFailException, match="rank 4 is above the server's 2"):
        run(source=str(adapter), destination=place.url, max_rank=2)
    with pytest.raises(AirflowFailException, match="expected a folder or URL, got None"):
        run(source=None, destination=place.url)


def test_operator_describes_its_outlets(adapter, place):
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import OutletEventAccessors

    asset = Asset("adapter/support")
    events = OutletEventAccessors()
    result = run({"outlet_events": events}, source=str(adapter), destination=place.url, outlets=[asset])
    assert events[asset].extra == result


@pytest.mark.parametrize(
    ("url", "conn_id", "finding"),
    [
        ("s3://key:secret@models/x", None, "credentials in a URL"),
        ("s3://one@models/x", "two", "give one"),
        ("s3:///x", None, "no bucket"),
        ("s3://models/x?versionId=1", None, "without '[?]' or '#'"),
        ("file://tmp/x", None, "file:///tmp/x"),
        ("", None, "a folder was expected"),
        ("nosuch://x/y", None, "no filesystem"),
    ],
)
def test_urls_that_are_no_place(url, conn_id, finding):
    with pytest.raises(BadInput, match=finding) as caught:
        open_store(url, conn_id)
    assert "secret" not in str(caught.value)


def test_a_plain_path_becomes_an_absolute_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_store("out/adapters").url == f"file://{tmp_path}/out/adapters"


def test_a_local_file_is_whole_or_not_there(adapter, tmp_path, monkeypatch):
    from fsspec.implementations.local import LocalFileSystem

    def half(self, source, target, **_):
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise RuntimeError("the worker dies here")

    place = Folder(tmp_path / "store")
    monkeypatch.setattr(LocalFileSystem, "put_file", half)
    with pytest.raises(RuntimeError, match="dies"):
        upload(adapter, place)
    assert place.files() == {}
