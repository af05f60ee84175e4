"""The local way of serving: spec → plan → endpoint. Pure; the verdict is ``assess.py``'s.

One model server process a replica (llama.cpp, or transformers for an encoder's task) stands behind a gateway on 127.0.0.1. The
platform resolves the spec's URLs to files first; from then on a run is described by its :class:`LocalPlan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from airflow_provider_llmserve.endpoint import AdapterName, Endpoint, Identity, OpenAIService, Service
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText, ServeSpec

NAME = "local"

SLOT_CONTEXT = 2048
"""Tokens of context of one request where the spec asks for no other length:
memory grows with it, and tests and demos need no more."""

TEXT_TASKS = ("text_generation", "text_embedding")
"""HuggingFace tasks that llama.cpp can serve."""

EncoderTask = Literal["sequence_classification", "token_classification", "fill_mask", "text_embedding"]
ENCODER_TASKS: tuple[EncoderTask, ...] = get_args(EncoderTask)
"""HuggingFace tasks that transformers serves, from a model's folder."""
_RAW_LOGITS, _OFFSETS = "--return_raw_logits", "--return_offsets_mapping"

_HONOURED = {
    "kubeai-text": {"url", "model_name", "engine", "features", "adapters", "scaling"},
    "huggingfaceserve": {
        "path", "model_name", "huggingface_task", "max_length", "replicas", "min_replicas", "max_replicas",
        "runtime", "startup_seconds", "strategy", "disable_log_requests", "deployment_mode",
    },
}  # fmt: skip
_HONOURED_BY_ENCODERS = _HONOURED["huggingfaceserve"] | {
    "backend", "dtype", "disable_lower_case", "disable_special_tokens", "return_token_type_ids", "return_probabilities",
    "trust_remote_code",
}  # fmt: skip
_DTYPES = {"float": "float32", "half": "float16"}
_HONOURED_SCALING = {"replicas", "min_replicas", "max_replicas", "scale_down_delay_seconds"}


class Value(BaseModel):
    """What crosses the control socket: JSON, the same on both sides."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class LocalFile(Value):
    """A file on this machine, and the mark by which a change of its content shows."""

    path: str
    mark: str


class LocalAdapter(LocalFile):
    """An adapter as llama.cpp reads it, and its name in the spec."""

    name: str


class EncoderSpec(Value):
    """What an encoder does with a text: huggingfaceserver's flags of the same names."""

    task: EncoderTask
    max_length: int | None = None
    """Tokens after which a text is cut; None: the model's own limit."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Number format; ``auto`` is the one that the model's config names, else float32."""
    lower_case: bool = True
    special_tokens: bool = True
    token_type_ids: bool | None = None
    scores: Literal["none", "probabilities", "raw_logits"] = "none"
    """What an answer holds of each class; ``none``: the best class alone."""
    offsets: bool = False
    """Each token's place in the text, for token classification."""
    trust_remote_code: bool = False


class ServerSpec(Value):
    """What one model server process is started with. Two runs of equal ServerSpecs answer alike:
    that is what decides on a restart."""

    model: LocalFile
    encoder: EncoderSpec | None = None
    """How transformers serves ``model``, a folder; None: it is a GGUF for llama.cpp."""
    adapters: tuple[LocalAdapter, ...] = ()
    embedding: bool = False
    slots: int = 4
    """Requests that one server works on at once."""
    slot_context: int = SLOT_CONTEXT
    """Tokens of context of each."""


class LocalPlan(Value):
    """Everything that the supervisor needs to know of a run."""

    protocol: Literal["kubeai", "huggingface"]
    """Whose routes it answers: the shared gateway's, or a standalone model server's."""
    served_name: str
    features: tuple[str, ...] = ()
    server: ServerSpec
    replicas: int = 1
    min_replicas: int = 1
    idle_seconds: float = 30
    """Seconds without a request after which a run with ``min_replicas`` 0 is scaled to zero."""
    threads: int = 0
    """Threads of one server; 0 divides the cores among the replicas."""

    @property
    def served_names(self) -> dict[str, str | None]:
        """Request name to adapter name, None for the base."""
        return {self.served_name: None, **{f"{self.served_name}_{a.name}": a.name for a in self.server.adapters}}


def encoder_of(spec: HuggingFaceServe, task: EncoderTask) -> EncoderSpec:
    """How transformers serves ``spec``."""
    raw = _RAW_LOGITS in spec.args
    dtype = (spec.dtype or "AUTO").lower()
    return EncoderSpec(
        task=task,
        max_length=spec.max_length,
        dtype=_DTYPES.get(dtype, dtype),
        lower_case=not spec.disable_lower_case,
        special_tokens=not spec.disable_special_tokens,
        token_type_ids=spec.return_token_type_ids,
        scores="raw_logits" if raw else "probabilities" if spec.return_probabilities else "none",
        offsets=_OFFSETS in spec.args,
        trust_remote_code=spec.trust_remote_code,
    )


def encoder_findings(spec: HuggingFaceServe, task: EncoderTask) -> list[str]:
    """Settings that huggingfaceserver refuses together, or for this task."""
    findings = []
    if spec.return_probabilities and _RAW_LOGITS in spec.args:
        findings.append(f"return_probabilities and {_RAW_LOGITS} exclude each other; leave one out")
    if _OFFSETS in spec.args and task != "token_classification":
        findings.append(f"args: {_OFFSETS} needs huggingface_task: token_classification (this is {task})")
    return findings


def plan(
    spec: ServeSpec,
    name: str,
    *,
    model: LocalFile,
    encoder: EncoderSpec | None = None,
    adapters: tuple[LocalAdapter, ...] = (),
    threads: int = 0,
) -> LocalPlan:
    """How ``spec`` is served here, given its files."""
    if isinstance(spec, KubeAIText):
        scaling = spec.scaling
        replicas, floor = scaling.replicas, scaling.replicas
        if not scaling.autoscaling_disabled:
            floor = scaling.min_replicas
            replicas = max(floor, min(replicas, scaling.max_replicas or replicas))
        return LocalPlan(
            protocol="kubeai",
            served_name=name,
            features=spec.features,
            server=ServerSpec(model=model, adapters=adapters, embedding="TextEmbedding" in spec.features),
            replicas=replicas,
            min_replicas=floor,
            idle_seconds=scaling.scale_down_delay_seconds,
            threads=threads,
        )
    if not isinstance(spec, HuggingFaceServe):
        raise TypeError(f"{type(spec).__name__} cannot be served here")
    replicas = max(spec.min_replicas or 0, spec.replicas or 1)
    embedding = spec.huggingface_task == "text_embedding"
    if encoder is not None:
        features: tuple[str, ...] = ("TextEmbedding",) if embedding else ()
        server = ServerSpec(model=model, encoder=encoder)
    else:
        features = ("TextEmbedding",) if embedding else ("TextGeneration",)
        server = ServerSpec(model=model, embedding=embedding, slot_context=spec.max_length or SLOT_CONTEXT)
    return LocalPlan(
        protocol="huggingface",
        served_name=spec.model_name,
        features=features,
        server=server,
        replicas=replicas,
        min_replicas=replicas if spec.min_replicas is None else spec.min_replicas,
        threads=threads,
    )


def not_honoured(spec: ServeSpec, encoder: EncoderSpec | None = None) -> list[str]:
    """Fields of ``spec`` that are set and have no meaning on this machine, for one line in the log."""
    given = spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    fields = sorted(set(given) - (_HONOURED[spec.kind] if encoder is None else _HONOURED_BY_ENCODERS))
    if encoder is not None and isinstance(spec, HuggingFaceServe) and "args" in fields:
        fields.remove("args")
        fields += [f"args {a}" for a in spec.args if a not in (_RAW_LOGITS, _OFFSETS)]
    scaling = given.get("scaling")
    if isinstance(scaling, Mapping):
        fields += [f"scaling.{k}" for k in sorted(set(scaling) - _HONOURED_SCALING)]
    return fields


def endpoint(plan: LocalPlan, *, port: int, identity: Identity, model_url: str, engine: str | None, task: str | None) -> Endpoint:
    """Where a run of ``plan`` answers, and by which names."""
    root = f"http://127.0.0.1:{port}"
    adapters = {adapter: served for served, adapter in plan.served_names.items() if adapter is not None}
    encoder = plan.server.encoder
    openai = None
    if encoder is None or encoder.task == "text_embedding":
        openai = OpenAIService(
            base_url=f"{root}/openai/v1",
            model=plan.served_name,
            model_url=model_url,
            engine="HUGGINGFACE" if encoder else engine,
            features=plan.features,
            adapters=tuple(AdapterName(name=a) for a in adapters),
            adapter_models=adapters,
        )
    return Endpoint(
        identity=identity,
        service=Service(url=root, urls=(root,)),
        openai_service=openai,
        oip_url=root if encoder else None,
        oip_model=plan.served_name if encoder else None,
        task=task,
    )
