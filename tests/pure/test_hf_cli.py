"""The command line of huggingfaceserver, right for the image's version."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.runtimes.huggingface.command_line import command_line, image_version
from airflow_provider_llmserve.runtimes.huggingface.flags import FLAGS, NEWEST_TAG, TASKS, VERSIONS, Version
from airflow_provider_llmserve.specs import HuggingFaceServe

GOLDEN = Path(__file__).parent / "golden" / "huggingface"
ARGPARSE = json.loads((GOLDEN / "argparse.json").read_text())["versions"]
BACKENDS = (None, "AUTO", "HUGGINGFACE", "VLLM")


def spec(**fields: Any) -> HuggingFaceServe:
    return HuggingFaceServe.parse({"path": "hf://org/model", "model_name": "m", **fields})


def words(version: Version) -> str:
    return ".".join(map(str, version))


def ignored(args: list[str], version: Version) -> list[str]:
    """The flags that the server of that version would drop, by the argparse calls of its source;
    a switch with a value is one too."""
    facts = ARGPARSE[words(version)]
    known = dict(facts["always"])
    if "--backend=vllm" in args:
        known |= {"dtype": "value", "max-log-len": "value"}  # vLLM's own
    elif "--backend=huggingface" in args:
        known |= facts["huggingface"]
    else:  # either may be chosen: only what both take
        known |= {k: v for k, v in facts["huggingface"].items() if k in ("dtype", "max-log-len")}
    wrong = []
    for arg in args:
        name, _, value = arg.removeprefix("--").partition("=")
        if known.get(name) != ("value" if value or "=" in arg else "switch"):
            wrong.append(arg)
    return wrong


def test_every_task_backend_and_version_as_in_the_golden_table() -> None:
    rows = []
    for version, task, backend in itertools.product(VERSIONS, (None, *TASKS), BACKENDS):
        try:
            made = command_line(spec(huggingface_task=task, backend=backend, max_length=512, dtype="FLOAT16"), version)
        except BadInput as e:
            said = "REFUSED by the spec: " + str(e).partition(": ")[2]
        else:
            said = "REFUSED: " + "; ".join(made.findings) if made.findings else " ".join(made.args)
        rows.append(f"{words(version):5} {task or '-':23} {backend or '-':11} {said}")
    table = "\n".join(rows) + "\n"
    file = GOLDEN / "command_lines.txt"
    if os.environ.get("LLMSERVE_REWRITE_GOLDEN"):
        file.write_text(table)
    assert table == file.read_text()


_fields = st.fixed_dictionaries(
    {"path": st.sampled_from(["hf://org/m", "hf://org/m:v1", "s3://bucket/m/", "/data/m"])},
    optional={
        "huggingface_task": st.sampled_from([*TASKS]),
        "backend": st.sampled_from([b for b in BACKENDS if b]),
        "dtype": st.sampled_from(["AUTO", "FLOAT32", "BFLOAT16"]),
        "max_length": st.integers(1, 10**6),
        "tokenizer_revision": st.sampled_from(["main", "v2"]),
        "disable_lower_case": st.booleans(),
        "disable_special_tokens": st.booleans(),
        "trust_remote_code": st.booleans(),
        "tensor_input_names": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        "return_token_type_ids": st.booleans(),
        "return_probabilities": st.booleans(),
        "disable_log_requests": st.booleans(),
        "max_log_len": st.integers(0, 100),
    },
)


@settings(max_examples=300, deadline=None)
@given(_fields, st.sampled_from([v for v in VERSIONS if words(v) in ARGPARSE]))
def test_no_rendered_flag_is_one_that_the_version_ignores(fields: dict[str, Any], version: Version) -> None:
    try:
        made = command_line(spec(**fields), version)
    except BadInput:
        return  # the spec refuses it
    assert ignored(made.args, version) == []
    assert not any(a.endswith(("=true", "=false")) for a in made.args), "a switch has no value"
    assert ("--trust_remote_code" in made.args) == bool(fields.get("trust_remote_code"))
    assert not any(a.startswith("--task") for a in made.args) or "--backend=huggingface" in made.args


def test_table_agrees_with_the_sources() -> None:
    for version in VERSIONS[:-1]:
        facts = ARGPARSE[words(version)]
        known = {**facts["always"], **facts["huggingface"]}
        mine = {f.name: f for f in FLAGS if f.known_in(version) and f.backend != "vllm"}  # its flags are not KServe's
        parsed_and_ignored = {"return_probabilities"} if version < (0, 15) else set()
        missing_log_len = {"max_log_len"}  # the second spelling of max-log-len
        assert set(known) - missing_log_len - parsed_and_ignored == set(mine), version
        assert {n: f.switch for n, f in mine.items()} == {n: known[n] == "switch" for n in mine}


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("kserve/huggingfaceserver:v0.15.2", (0, 15)),
        ("kserve/huggingfaceserver:v0.20.0-gpu", (0, 20)),
        ("registry.example.org:5000/mirror/hf:0.14", (0, 14)),
        ("registry.example.org:5000/mirror/hf", None),
        ("kserve/huggingfaceserver:v0.18.1@sha256:0123", (0, 18)),
        ("kserve/huggingfaceserver@sha256:0123", None),
        ("kserve/huggingfaceserver:latest-gpu", None),
        ("kserve/huggingfaceserver:", None),
        ("", None),
    ],
)
def test_version_of_an_image(image: str, version: Version | None) -> None:
    assert image_version(image) == version


def test_an_unknown_version_is_written_for_the_newest_and_says_so_once() -> None:
    newest = command_line(spec(), VERSIONS[-1])
    for version in (None, (0, 99)):
        made = command_line(spec(args=["--event-loop=uvloop"]), version)
        assert made.args[: len(newest.args)] == newest.args
        assert sum("KServe" in w for w in made.warnings) == 1
    assert command_line(spec(max_length=8), (0, 12)).args == command_line(spec(max_length=8), VERSIONS[0]).args
    assert not newest.warnings


def test_model_source() -> None:
    assert command_line(spec(path="huggingface://org/m:v3"), (0, 20)).args[1:3] == ["--model_id=org/m", "--model_revision=v3"]
    assert command_line(spec(path="s3://bucket/m"), (0, 20)).args[1] == "--model_dir=/mnt/models"
    assert command_line(spec(path="/data/m/"), (0, 20)).args[1] == "--model_dir=/data/m"


def test_context_length_flag_by_version() -> None:
    assert "--max_length=9" in command_line(spec(max_length=9), (0, 13)).args
    assert "--max_model_len=9" in command_line(spec(max_length=9), (0, 14)).args


def test_repeated_arguments_all_stay_and_in_order() -> None:
    given_args = ["--middleware", "a.B", "--middleware=c.D", "--enable-prefix-caching", "--middleware", "a.B"]
    made = command_line(spec(backend="VLLM", args=given_args), (0, 20))
    assert made.args[-len(given_args) :] == given_args
    assert not made.findings


def test_an_argument_that_repeats_a_field_is_passed_once() -> None:
    made = command_line(spec(dtype="FLOAT16", args=["--dtype=float16", "--max-log-len=5"]), (0, 20))
    assert made.args.count("--dtype=float16") == 1
    assert made.args[-1] == "--max-log-len=5"
    assert not made.findings


@pytest.mark.parametrize(
    ("fields", "args", "version", "says"),
    [
        ({"dtype": "FLOAT16"}, ["--dtype=bfloat16"], (0, 20), "dtype"),
        ({"max_length": 8}, ["--max-model-len", "16"], (0, 20), "max_length"),
        ({"max_length": 8}, ["--max_length=16"], (0, 20), "max_length"),
        ({}, ["--model_name=other"], (0, 20), "model_name"),
        ({}, ["--model_id", "org/other"], (0, 20), "model_id"),
        ({"path": "s3://b/m"}, ["--model_id=org/other"], (0, 20), "path"),
        ({"backend": "VLLM"}, ["--revision=v2"], (0, 20), "path"),
        ({}, ["--backend=vllm"], (0, 20), "backend"),
        ({}, ["--task=fill_mask"], (0, 20), "huggingface_task"),
        ({"trust_remote_code": True}, ["--trust_remote_code", "false"], (0, 20), "trust_remote_code"),
        ({}, ["--trust_remote_code", "false"], (0, 20), "turn it on"),
        ({}, ["--trust_remote_code=false"], (0, 20), "turn it on"),
        ({"backend": "HUGGINGFACE"}, ["--disable_lower_case", "false"], (0, 20), "turn it on"),
        ({"backend": "VLLM"}, ["--gpu_memory_utilization=0.8"], (0, 20), "--gpu-memory-utilization"),
        ({"backend": "HUGGINGFACE"}, ["--gpu-memory-utilization=0.8"], (0, 20), "HuggingFace backend"),
        ({"backend": "HUGGINGFACE"}, ["--max-model-len=8"], (0, 20), "--max_model_len"),
        ({}, ["--return-probabilities"], (0, 20), "--return_probabilities"),
        ({"backend": "VLLM"}, ["--return_raw_logits"], (0, 20), "HuggingFace backend"),
        ({"backend": "HUGGINGFACE"}, ["--return_offsets_mapping"], (0, 17), "v0.18"),
        ({}, ["--event-loop=uvloop"], (0, 16), "v0.17"),
        ({"backend": "VLLM"}, ["--max_log_len=3"], (0, 20), "--max-log-len"),
        ({}, ["--workers=2"], (0, 20), "replicas"),
        ({}, ["--http_port=80"], (0, 20), "8080"),
        ({}, ["--model=x"], (0, 20), "path"),
        ({"backend": "VLLM"}, ["--served-model-name", "x"], (0, 20), "model_name"),
        ({"backend": "VLLM"}, ["--enable-lora"], (0, 20), "KubeAI-text"),
        ({"backend": "VLLM"}, ["--lora-modules", "a=/x"], (0, 20), "KubeAI-text"),
        ({}, ["positional"], (0, 20), "positional"),
        ({}, ["--max_threads"], (0, 20), "value"),
        ({"return_probabilities": True, "backend": "HUGGINGFACE"}, [], (0, 14), "v0.15"),
        ({"disable_lower_case": True, "backend": "VLLM"}, [], (0, 20), "HuggingFace backend"),
        ({"huggingface_task": "text_embedding"}, [], (0, 13), "v0.14"),
    ],
)
def test_refused_by_name(fields: dict[str, Any], args: list[str], version: Version, says: str) -> None:
    findings = command_line(spec(**fields, args=args), version).findings
    assert len(findings) == 1
    assert says in findings[0]
    assert not args or args[0].partition("=")[0] in findings[0]


def test_all_findings_at_once() -> None:
    made = command_line(spec(disable_lower_case=True, backend="VLLM", args=["--workers=2", "stray", "--x_y=1"]), (0, 20))
    assert len(made.findings) == 4


def test_predict_tasks_never_leave_the_backend_to_the_server() -> None:
    for task in ("sequence_classification", "token_classification", "fill_mask", "text_embedding"):
        for backend in (None, "AUTO"):
            made = command_line(spec(huggingface_task=task, backend=backend), (0, 20))
            assert "--backend=huggingface" in made.args
            assert f"--task={task}" in made.args


def test_lower_casing_is_told_unless_the_spec_decides() -> None:
    def told(**fields: Any) -> bool:
        return any("lower-case" in w for w in command_line(spec(**fields), (0, 20)).warnings)

    assert told(huggingface_task="fill_mask")
    assert not told(huggingface_task="fill_mask", disable_lower_case=True)
    assert not told(huggingface_task="fill_mask", disable_lower_case=False)
    assert not told(huggingface_task="fill_mask", path="hf://google/bert-base-uncased")
    assert not told(huggingface_task="text_generation")


def test_flags_that_vllm_may_not_get_are_told() -> None:
    assert any(
        "--gpu-memory-utilization" in w for w in command_line(spec(args=["--gpu-memory-utilization=0.8"]), (0, 20)).warnings
    )
    made = command_line(spec(backend="VLLM", args=["--tensor-parallel-size=2"]), (0, 20))
    assert any("--tensor-parallel-size" in w for w in made.warnings)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("-=abc_ 1"), max_size=12), max_size=5), st.sampled_from(BACKENDS), st.sampled_from(VERSIONS)
)
def test_any_arguments_are_passed_as_they_are_or_refused(args: list[str], backend: str | None, version: Version) -> None:
    made = command_line(spec(backend=backend, args=args), version)
    base = command_line(spec(backend=backend), version).args
    assert made.findings or made.args == base + list(spec(args=args).args)


def test_newest_tags_are_of_their_version() -> None:
    assert all(image_version(f"x:{tag}") == version for version, tag in NEWEST_TAG.items())
