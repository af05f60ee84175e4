"""What a real KubeAI refuses or chokes on, beyond the rules of the spec itself: pure, for preflight.

KubeAI's own rules have KubeAI's words (kubeai-project/kubeai v0.22.1, api/k8s/v1/model_types.go, as CEL in the Model CRD);
the others stop a Model after it was accepted, with no sign but in a pod's log (internal/modelcontroller/engine_*.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider_llmserve.names import OBJECT_NAME
from airflow_provider_llmserve.specs.kubeai import NAME_LIMIT, KubeAIText
from airflow_provider_llmserve.specs.values import scheme_of

_MODEL_SCHEMES = ("hf", "pvc", "ollama", "s3", "gs", "oss")
_ADAPTER_SCHEMES = ("hf", "s3", "gs", "oss")
_CACHEABLE = ("hf", "s3", "gs", "oss")
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values of vLLM's --max-lora-rank (vllm/config/lora.py)."""
_DEFAULT_MAX_LORAS = 1
_DEFAULT_MAX_LORA_RANK = 16


def kubeai_findings(spec: KubeAIText, *, name: str | None = None) -> list[str]:
    """Everything in ``spec`` that no KubeAI can serve, each with its remedy where the words do not say it.

    ``name`` is the Model's name where it is not the spec's own.
    """
    return [*crd_findings(spec, name=name), *_engine_findings(spec), *_lora_findings(spec)]


def crd_findings(spec: KubeAIText, *, name: str | None = None) -> list[str]:
    """The part that the API server itself refuses."""
    return list(_crd_findings(spec, spec.object_name if name is None else name))


def _crd_findings(spec: KubeAIText, name: str) -> Iterator[str]:
    scheme = scheme_of(spec.url)
    if len(name) > NAME_LIMIT:
        yield f"name must not exceed {NAME_LIMIT} characters. ({name!r} has {len(name)})"
    if not OBJECT_NAME.fullmatch(name):
        yield f"name {name!r}: lower-case letters, digits, hyphens and dots, none of the last two first or last"
    if scheme not in _MODEL_SCHEMES:
        yield (
            'url must start with "hf://", "pvc://", "ollama://", "s3://", "gs://", or "oss://" and not be empty. '
            f"(url is {spec.url})"
        )
    for adapter in spec.adapters:
        if scheme_of(adapter.url) not in _ADAPTER_SCHEMES:
            yield (
                'adapter url must start with "hf://", "s3://", "gs://", or "oss://". '
                f"(adapter {adapter.name!r} is at {adapter.url}; UploadAdapterOperator takes it to a store)"
            )
    if spec.cache_profile and scheme not in _CACHEABLE:
        yield (
            'cacheProfile is only supported with urls of format "hf://...", "s3://...", "gs://...", or "oss://..." '
            f"at the moment. (url is {spec.url})"
        )
    if scheme in ("gs", "oss") and not spec.cache_profile:
        yield f'urls of format "{scheme}://..." only supported when using a cacheProfile (set cache_profile)'


def _engine_findings(spec: KubeAIText) -> Iterator[str]:
    """Engine and URL scheme that do not fit; KubeAI accepts the Model, and its pods fail."""
    scheme = scheme_of(spec.url)
    if spec.engine == "VLLM" and scheme == "ollama":
        yield "engine VLLM cannot load ollama:// urls; set engine to OLlama, or give an hf:// url"
    if spec.engine == "OLlama":
        if scheme in ("hf", "s3", "gs", "oss"):
            yield f"engine OLlama cannot load {scheme}:// urls; give ollama://<model>:<tag>, or set engine to VLLM"
        elif scheme == "pvc" and not re.search(r"[?&]model=[^&]", spec.url):
            yield "engine OLlama needs the model's tag in a pvc:// url: pvc://<claim>/<path>?model=<tag>"
    if spec.engine == "Infinity":
        if scheme in ("ollama", "pvc"):
            yield f"engine Infinity cannot load {scheme}:// urls; give an hf:// url"
        elif scheme == "s3" and not spec.cache_profile:
            yield "engine Infinity can load s3:// urls only with a cache_profile; set one, or give an hf:// url"


def _lora_findings(spec: KubeAIText) -> Iterator[str]:
    """What vLLM is told about LoRA against what the spec serves: KubeAI adds ``--enable-lora`` alone."""
    if not spec.adapters or spec.engine != "VLLM":
        return
    if any(_flag(item) == "enable-lora" for item in spec.args):
        yield "args: KubeAI adds --enable-lora itself where there are adapters; leave it out"
    highest = max(spec.adapters, key=lambda a: a.rank or 0)
    limit = _number(spec.args, "max-lora-rank", _DEFAULT_MAX_LORA_RANK)
    if limit is not None and highest.rank is not None and highest.rank > limit:
        fitting = [r for r in _LORA_RANKS if r >= highest.rank]
        remedy = f"add '--max-lora-rank={fitting[0]}' to args" if fitting else f"vLLM serves ranks up to {_LORA_RANKS[-1]}"
        yield f"adapter {highest.name!r} has rank {highest.rank}, but vLLM takes {limit} at most; {remedy}"


def kubeai_notes(spec: KubeAIText) -> Iterator[str]:
    """What the deployer should know although nothing is wrong."""
    if spec.engine != "VLLM":
        return
    count, slots = len(spec.adapters), _number(spec.args, "max-loras", _DEFAULT_MAX_LORAS)
    if slots is not None and slots < count:
        kept = _number(spec.args, "max-cpu-loras", slots) or slots
        stay = f"; {min(kept, count)} stay in memory (--max-cpu-loras), the others are read anew" if kept < count else ""
        yield (
            f"{count} adapters, of which vLLM computes with {slots} at once (--max-loras) and swaps in the one that is asked for{stay}"
        )


def _flag(item: str) -> str:
    """The flag that an argument gives, without its value; vLLM takes underscores for hyphens."""
    return item.partition("=")[0][2:].replace("_", "-") if item.startswith("--") else ""


def _number(args: tuple[str, ...], flag: str, default: int) -> int | None:
    """The last value of ``--flag`` in ``args``, ``default`` where it is absent, None where it is no number.

    vLLM takes the value in the same item or in the next.
    """
    value: str | None = None
    for item, following in zip(args, (*args[1:], ""), strict=False):
        if _flag(item) == flag:
            _, equals, rest = item.partition("=")
            value = rest if equals else following
    if value is None:
        return default
    return int(value) if re.fullmatch(r"\d{1,9}", value) else None
