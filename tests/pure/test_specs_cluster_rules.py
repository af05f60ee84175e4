"""What a real cluster refuses beyond the spec's own rules, and the local platform does not."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText
from airflow_provider_llmserve.specs.huggingface_rules import huggingface_findings
from airflow_provider_llmserve.specs.kubeai_rules import crd_findings, kubeai_findings, kubeai_notes

HF = {"url": "hf://org/base"}
ISVC = {"path": "hf://org/base", "runtime": "inferenceservice"}


def lora(*names: str, rank: int | None = None, scheme: str = "s3") -> list[dict[str, Any]]:
    return [{"name": n, "url": f"{scheme}://models/{n}", "rank": rank} for n in names]


@pytest.mark.parametrize(
    "spec",
    [
        HF,
        {"url": "s3://models/base"},
        {"url": "pvc://claim/folder"},
        {"url": "gs://models/base", "cache_profile": "efs"},
        {"url": "ollama://qwen2:0.5b", "engine": "OLlama"},
        {"url": "pvc://claim/folder?model=qwen2:0.5b", "engine": "OLlama"},
        {"url": "hf://org/embed", "engine": "Infinity", "features": ["TextEmbedding"]},
        {"url": "s3://models/embed", "engine": "Infinity", "features": ["TextEmbedding"], "cache_profile": "efs"},
        {"url": "s3://models/base", "engine": "SGLang"},
        {**HF, "adapters": lora("a")},
        {**HF, "adapters": lora("a", rank=16)},
        {**HF, "adapters": lora("a", "b"), "args": ["--max-loras=2"]},
        {**HF, "adapters": lora("a", "b"), "args": ["--max-loras", "4"]},
        {**HF, "adapters": lora("a", "b"), "args": ["--max_loras=1", "--max_loras=2"]},
        {**HF, "adapters": lora("a", rank=64), "args": ["--max-lora-rank=64"]},
    ],
)
def test_kubeai_serves_it(spec: dict[str, Any]) -> None:
    assert kubeai_findings(KubeAIText.parse(spec)) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"url": "file:///models/base"},
            'url must start with "hf://", "pvc://", "ollama://", "s3://", "gs://", or "oss://" and not be empty.',
        ),
        ({**HF, "adapters": lora("a", scheme="file")}, 'adapter url must start with "hf://", "s3://", "gs://", or "oss://".'),
        ({**HF, "adapters": lora("a", scheme="pvc")}, "adapter 'a' is at pvc://models/a"),
        ({"url": "pvc://claim", "cache_profile": "efs"}, 'cacheProfile is only supported with urls of format "hf://..."'),
        ({"url": "gs://models/base"}, 'urls of format "gs://..." only supported when using a cacheProfile'),
        ({"url": "oss://models/base"}, 'urls of format "oss://..." only supported when using a cacheProfile'),
        ({"url": "ollama://qwen2:0.5b"}, "engine VLLM cannot load ollama:// urls; set engine to OLlama"),
        ({**HF, "engine": "OLlama"}, "engine OLlama cannot load hf:// urls; give ollama://<model>:<tag>"),
        ({"url": "pvc://claim/folder", "engine": "OLlama"}, "pvc://<claim>/<path>?model=<tag>"),
        ({"url": "pvc://claim", "engine": "Infinity", "features": ["TextEmbedding"]}, "engine Infinity cannot load pvc:// urls"),
        ({"url": "s3://a/b", "engine": "Infinity", "features": ["TextEmbedding"]}, "only with a cache_profile"),
        ({**HF, "adapters": lora("a", rank=17)}, "adapter 'a' has rank 17, but vLLM takes 16 at most; add '--max-lora-rank=32'"),
        ({**HF, "adapters": lora("a", rank=600)}, "vLLM serves ranks up to 512"),
        ({**HF, "adapters": lora("a"), "args": ["--enable-lora"]}, "KubeAI adds --enable-lora itself"),
        ({**HF, "adapters": lora("a"), "args": ["--enable_lora=True"]}, "KubeAI adds --enable-lora itself"),
    ],
)
def test_kubeai_cannot_serve_it(spec: dict[str, Any], expected: str) -> None:
    findings = kubeai_findings(KubeAIText.parse(spec))
    assert len(findings) == 1
    assert expected in findings[0]


@pytest.mark.parametrize(("name", "refused"), [("m", False), ("a" * 40, False), ("a" * 41, True), ("A", True), ("a-", True)])
def test_a_models_own_name(name: str, refused: bool) -> None:
    assert bool(crd_findings(KubeAIText.parse(HF), name=name)) is refused


@pytest.mark.parametrize(
    "spec",
    [
        {"path": "hf://org/base:main"},
        {"path": "s3://models/base"},
        {"path": "pvc://claim/base"},
        {"path": "/v/base", "volumes": [{"volume_type": "shared_volume", "name": "v", "mount_path": "/v"}]},
        {"path": "/baked/in", "image": "mirror/server:1"},
        {**ISVC, "path": "oci://registry/model"},
        {**ISVC, "min_replicas": 0, "deployment_mode": "Knative"},
        {**ISVC, "min_replicas": 1},
    ],
)
def test_a_cluster_serves_it(spec: dict[str, Any]) -> None:
    assert huggingface_findings(HuggingFaceServe.parse(spec)) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"path": "file:///models/base"}, "only the local platform reads it"),
        ({"path": "ftp://host/base"}, "nothing in the cluster can fetch ftp:// urls; known: hf://, s3://"),
        ({"path": "oci://registry/model"}, "nothing in the cluster can fetch oci:// urls"),
        ({"path": "/w/base", "volumes": [{"volume_type": "empty_dir", "name": "v", "mount_path": "/v"}]}, "lies in none of the"),
        ({"path": "/vv/base", "volumes": [{"volume_type": "empty_dir", "name": "v", "mount_path": "/v"}]}, "lies in none of the"),
        ({**ISVC, "min_replicas": 0}, "raised to 1 by KServe in Standard mode; use StopOperator"),
        ({"path": "hf://a/b", "model_name": "chat", "service_name": "chat"}, "is the deployment's own Service; choose another"),
    ],
)
def test_a_cluster_cannot_serve_it(spec: dict[str, Any], expected: str) -> None:
    findings = huggingface_findings(HuggingFaceServe.parse(spec))
    assert len(findings) == 1
    assert expected in findings[0]


@pytest.mark.parametrize(
    ("count", "args", "note"),
    [
        (1, [], ""),
        (3, [], "3 adapters, of which vLLM computes with 1 at once (--max-loras) and swaps in the one that is asked for; 1 stay"),
        (3, ["--max-loras=3"], ""),
        (3, ["--max-cpu-loras=8"], "3 adapters, of which vLLM computes with 1 at once (--max-loras) and swaps in the one"),
        (3, ["--max-loras", "2", "--max_cpu_loras", "2"], "; 2 stay in memory (--max-cpu-loras), the others are read anew"),
        (
            3,
            ["--max-loras", "2", "--max-cpu-loras=4"],
            "3 adapters, of which vLLM computes with 2 at once (--max-loras) and swaps",
        ),
        (3, ["--max_loras", "2", "--max-cpu-loras", "3"], "3 adapters, of which vLLM computes with 2 at once"),
        (3, ["--max_loras=2", "--max_cpu_loras=2"], "; 2 stay in memory (--max-cpu-loras), the others are read anew"),
        (3, ["--max-loras=many"], ""),
    ],
)
def test_adapters_beyond_the_slots_are_swapped_and_no_fault(count: int, args: list[str], note: str) -> None:
    """They were refused (cases: cluster/preflight_false.py 1)."""
    spec = KubeAIText.parse({**HF, "adapters": lora(*"abc"[:count]), "args": args})
    assert kubeai_findings(spec) == []
    said = list(kubeai_notes(spec))
    assert len(said) == bool(note)
    assert all(note in one for one in said)
    assert ("read anew" in "".join(said)) == ("stay" in note)
