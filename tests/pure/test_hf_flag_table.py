"""The table that turns fields of a spec into flags: every field has a place, and a row alone decides how it is sent."""

from __future__ import annotations

import pytest

from airflow_provider_llmserve.runtimes.huggingface import command_line as command_lines
from airflow_provider_llmserve.runtimes.huggingface.command_line import CommandLine, command_line
from airflow_provider_llmserve.runtimes.huggingface.flags import FLAGS, VLLM, Flag
from airflow_provider_llmserve.specs import HuggingFaceServe

ELSEWHERE = {
    "command line, as it stands": {"args"},
    "pod": {
        "image", "volumes", "resources", "envs", "secrets", "profile", "node_selector", "tolerations", "affinity", "runtime_class",
        "priority_class", "service_account", "registry_secret", "storage_secret", "startup_seconds",
    },
    "workload": {"runtime", "replicas", "strategy"},
    "service": {"service_type", "service_name"},
    "kserve": {
        "min_replicas", "max_replicas", "scale_target", "scale_metric", "deployment_mode", "serving_runtime", "canary_traffic_percent",
    },
}  # fmt: skip
"""Fields that no flag carries, by what does."""


def test_every_field_becomes_a_flag_or_is_rendered_elsewhere() -> None:
    flags = {f.field for f in FLAGS if f.field}
    elsewhere = [field for fields in ELSEWHERE.values() for field in fields]
    assert sorted([*flags, *elsewhere]) == sorted(HuggingFaceServe.model_fields)


def test_a_switch_is_set_by_a_yes_or_no_and_nothing_else_is() -> None:
    fields = HuggingFaceServe.model_fields
    yes_or_no = {f.name for f in FLAGS if f.field and fields[f.field].annotation in (bool, bool | None)}
    assert yes_or_no == {f.name for f in FLAGS if f.field and f.switch}


def test_a_newer_flag_is_a_row_below_for_the_same_field() -> None:
    names = [f.name for f in FLAGS]
    for flag in FLAGS:
        if flag.newer:
            newer = FLAGS[names.index(flag.newer)]
            assert names.index(newer.name) > names.index(flag.name)
            assert newer.field == flag.field


@pytest.fixture
def vllm_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field (one that has no flag today) becomes a flag of vLLM's by one row."""
    row = Flag("swap-space", since=(0, 15), backend="vllm", field="profile", source=VLLM)
    monkeypatch.setattr(command_lines, "FLAGS", (*FLAGS, row))


def line(backend: str | None, profile: str | None = None, *args: str, minor: int = 20) -> CommandLine:
    spec = HuggingFaceServe.parse({"path": "hf://org/m", "backend": backend, "profile": profile, "args": args})
    return command_line(spec, (0, minor))


@pytest.mark.usefixtures("vllm_only")
def test_a_row_may_say_vllm_only() -> None:
    assert line("VLLM", "4").args[-1] == "--swap-space=4"
    assert (line("VLLM", "4").findings, line("VLLM", "4").warnings) == ([], [])
    assert "--swap-space" not in " ".join(line("VLLM").args)

    (finding,) = line("HUGGINGFACE", "4").findings
    assert finding.startswith("profile: --swap-space is a flag of vLLM")
    (finding,) = line("VLLM", "4", minor=14).findings
    assert "v0.15" in finding

    unsure = line("AUTO", "4")
    assert unsure.args[-1] == "--swap-space=4"
    assert [w.partition(";")[0] for w in unsure.warnings] == ["profile: --swap-space is vLLM's"]


@pytest.mark.usefixtures("vllm_only")
@pytest.mark.parametrize(
    ("backend", "arg", "finding", "warning"),
    [
        ("VLLM", "--swap-space=4", "", ""),
        ("AUTO", "--swap-space=4", "", "args: --swap-space is vLLM's"),
        ("HUGGINGFACE", "--swap-space=4", "args: --swap-space is a flag of vLLM", ""),
        ("VLLM", "--swap_space=4", "vLLM's flags have dashes: --swap-space", ""),
        ("VLLM", "--swap-space", "args: --swap-space needs a value", ""),
    ],
)
def test_a_flag_of_vllms_in_args_is_judged_by_its_row(backend: str, arg: str, finding: str, warning: str) -> None:
    made = line(backend, None, arg)
    for said, wanted in ((made.findings, finding), (made.warnings, warning)):
        assert len(said) == bool(wanted)
        assert wanted in "".join(said)


@pytest.mark.usefixtures("vllm_only")
def test_a_flag_in_args_that_contradicts_its_field_names_the_field() -> None:
    (finding,) = line("VLLM", "4", "--swap-space=8").findings
    assert "set the field profile alone" in finding
