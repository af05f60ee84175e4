"""KubeAI-text: a model behind KubeAI's gateway (DigitalHub ``kubeai-text``).

Rules here hold on every platform; those of a real KubeAI alone are in :mod:`.kubeai_rules`. Where KubeAI has the rule too,
the words are KubeAI's (kubeai-project/kubeai v0.22.1, api/k8s/v1/model_types.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from airflow_provider_llmserve.specs.base import ServeSpec, Spec, slug
from airflow_provider_llmserve.specs.values import (
    MAX_INT32,
    MAX_INT64,
    Env,
    Label,
    ObjectName,
    Secrets,
    Text,
    Url,
    Whole,
    WholeOrZero,
    Word,
    any_case,
    count_from_one,
    no_bool,
    once,
    open_words,
)

_SPEECH = "speech to text is DigitalHub's kubeai-speech; this is kubeai-text"
ENGINES = ("VLLM", "OLlama", "Infinity")
FEATURES = ("TextGeneration", "TextEmbedding", "Reranking")
Engine = Annotated[str, open_words(ENGINES, {"fasterwhisper": _SPEECH}), Field(examples=list(ENGINES))]
Feature = Annotated[str, open_words(FEATURES, {"speechtotext": _SPEECH}), Field(examples=list(FEATURES))]
Strategy = Literal["LeastLoad", "PrefixHash"]

NAME_LIMIT = 40
"""Longest name of a KubeAI Model."""


class Adapter(Spec):
    """A LoRA adapter. What ``UploadAdapterOperator`` returns is one as it is."""

    name: Label
    """The adapter's name; requests use ``<model>_<name>``. At most 63 lower-case letters, digits and hyphens, no
    hyphen first or last (KubeAI's own pattern allows one there; the name is then no valid label key, so v0.22.1 loads the
    adapter again and again and never routes to it). A new version is a new name: servers keep files and weights by name.
    Model ``spec.adapters[].name``."""
    url: Url
    """Folder of the adapter (PEFT files). KubeAI fetches ``hf://``, ``s3://``, ``gs://`` and ``oss://``; the local platform
    whatever it can read. Model ``spec.adapters[].url``."""
    digest: str | None = None
    """SHA-256 of the adapter's files, in hex. Kept for the record; goes nowhere."""
    base_model: str | None = None
    """The base that the adapter was trained on. Checked against the spec's ``url`` where both name a Hugging Face
    repository; goes nowhere."""
    rank: Whole | None = None
    """LoRA rank. Checked against ``--max-lora-rank``; goes nowhere."""
    size: Annotated[int, Field(ge=0), BeforeValidator(no_bool)] | None = None
    """Bytes of the adapter's files. Kept for the record; goes nowhere."""


class File(Spec):
    """A file mounted in the model's pods."""

    path: Annotated[str, Field(max_length=1024)]
    """Absolute path in the container, without ``:``. At most 1,024 characters. Model ``spec.files[].path``."""
    content: Annotated[Text, Field(max_length=100_000)]
    """The file's text, at most 100,000 characters. Model ``spec.files[].content``."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/") or ":" in value:
            raise ValueError("Path must be an absolute path, starting with /, and must not contain a ':' character.")
        return value


class PrefixHash(Spec):
    """How requests with the same beginning find the same replica."""

    mean_load_factor: Annotated[int, Field(ge=100, le=MAX_INT32), BeforeValidator(no_bool)] = 125
    """Percent of the mean load that one replica may carry before the next one takes over; at least 100.
    Model ``spec.loadBalancing.prefixHash.meanLoadFactor``."""
    replication: Whole = 256
    """Places of each replica on the hash ring. KubeAI refuses to change it. Model
    ``spec.loadBalancing.prefixHash.replication``."""
    prefix_char_length: Whole = 100
    """Characters of a prompt's beginning that are hashed. Model ``spec.loadBalancing.prefixHash.prefixCharLength``."""


class LoadBalancing(Spec):
    """How the gateway chooses a replica."""

    strategy: Annotated[Strategy, any_case(Strategy)] = "LeastLoad"
    """``LeastLoad``: the replica with the fewest requests; ``PrefixHash``: by the prompt's beginning.
    Model ``spec.loadBalancing.strategy``."""
    prefix_hash: PrefixHash | None = None
    """Settings of ``PrefixHash``; KubeAI's defaults where absent. Model ``spec.loadBalancing.prefixHash``."""


class Scaling(Spec):
    """How many replicas serve."""

    other_spellings: ClassVar[Mapping[str, str]] = {"target_request": "target_requests"}

    replicas: Annotated[
        Whole, count_from_one("to serve nothing use StopOperator; to scale to zero when idle set min_replicas: 0")
    ] = 1
    """Replicas while ``autoscaling_disabled``; with autoscaling on KubeAI decides, and this is not sent.
    Model ``spec.replicas``."""
    min_replicas: WholeOrZero = 1
    """Fewest replicas under autoscaling. 0 scales to zero when idle; a request for the base model wakes it. KubeAI does not
    count requests for adapters, so with adapters served keep it at 1 or more. Model ``spec.minReplicas``."""
    max_replicas: Whole | None = None
    """Most replicas under autoscaling; no limit where absent. Model ``spec.maxReplicas``."""
    autoscaling_disabled: bool = False
    """Pin the number to ``replicas``; KubeAI then ignores the bounds. Model ``spec.autoscalingDisabled``."""
    target_requests: Whole = 100
    """Requests in flight that one replica should have on average. DigitalHub's SDK spells it ``target_request``.
    Model ``spec.targetRequests``."""
    scale_down_delay_seconds: Annotated[int, Field(ge=0, le=MAX_INT64), BeforeValidator(no_bool)] = 30
    """Seconds for which fewer replicas must suffice before one is taken away. Model ``spec.scaleDownDelaySeconds``."""
    load_balancing: LoadBalancing | None = None
    """How the gateway chooses a replica; KubeAI's default, ``LeastLoad``, where absent. Model ``spec.loadBalancing``."""

    def rules(self) -> Iterator[str]:
        if self.max_replicas is not None and self.min_replicas > self.max_replicas:
            yield "minReplicas should be less than or equal to maxReplicas."


class KubeAIText(ServeSpec):
    """A serving run of kind ``kubeai-text``."""

    kind: ClassVar[str] = "kubeai-text"
    other_spellings: ClassVar[Mapping[str, str]] = {"envs": "env"}
    remedies: ClassVar[Mapping[str, str]] = {
        "path": "the model's address is 'url' here ('path' is HuggingFace-serve's)",
        "resources": "KubeAI takes resources from a profile: set 'profile' and 'processors'",
        "resource_profile": "set 'profile' and 'processors'",
        "volumes": "KubeAI mounts no volumes; use a pvc:// url, 'cache_profile' or 'files'",
        **{name: f"it stands under 'scaling': scaling.{name}" for name in (*Scaling.model_fields, "target_request")},
    }

    url: Url
    """Where the base model's weights are. KubeAI takes ``hf://org/model``, ``s3://``, ``gs://`` and ``oss://`` (the last two
    with ``cache_profile``), ``pvc://claim/path`` and ``ollama://model:tag``. ``huggingface://`` is stored as ``hf://``.
    Model ``spec.url``."""
    model_name: str = "model"
    """Name of the Model and, in lower case with hyphens, of the served model in requests. At most 40 characters.
    Model ``metadata.name``."""
    image: Word | None = None
    """Container image of the model server; KubeAI picks it by engine and profile where absent. Model ``spec.image``."""
    engine: Engine = "VLLM"
    """``VLLM``, ``OLlama`` or ``Infinity`` (embeddings and reranking only), in any case. A well-formed word that is not near
    one of them is passed on as it is: whether this KubeAI has such an engine its CRD says, before anything is written.
    Model ``spec.engine``."""
    features: tuple[Feature, ...] = ("TextGeneration",)
    """What the model can do: ``TextGeneration``, ``TextEmbedding``, ``Reranking``, in any case; others are passed on as with
    ``engine``. Decides which requests prove it. Model ``spec.features``."""
    adapters: tuple[Adapter, ...] = ()
    """LoRA adapters on the base model, engine VLLM only. Model ``spec.adapters``."""
    profile: Word = "cpu"
    """Name of a KubeAI resource profile. With ``processors`` it makes Model ``spec.resourceProfile``."""
    processors: Whole = 1
    """How many times the profile's resources: GPUs, for a GPU profile."""
    args: tuple[Text, ...] = ()
    """Further command-line arguments of the engine, one item each (``--max-model-len=8192``). Model ``spec.args``."""
    env: Env = {}
    """Environment variables: a mapping, or a list of ``{name, value}``; also spelt ``envs``. Not for secrets.
    Model ``spec.env``."""
    files: Annotated[tuple[File, ...], Field(max_length=10)] = ()
    """Files mounted in the pods, at most 10. Model ``spec.files``."""
    secrets: Secrets = ()
    """Names of Kubernetes Secrets whose keys become environment variables. Model ``spec.envFrom``."""
    cache_profile: Word | None = None
    """Name of a KubeAI cache profile: download the model once into a shared file system. KubeAI refuses to change it.
    Model ``spec.cacheProfile``."""
    priority_class: ObjectName | None = None
    """Name of a PriorityClass for the pods. Model ``spec.priorityClassName``."""
    scaling: Scaling = Scaling()
    """How many replicas serve, and how requests find them."""

    @property
    def object_name(self) -> str:
        return slug(self.model_name, NAME_LIMIT)

    @property
    def writes_text(self) -> bool:
        return "TextGeneration" in self.features

    @field_validator("model_name")
    @classmethod
    def _short(cls, value: str) -> str:
        name = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
        if not name:
            raise ValueError(f"{value[:80]!r} has no letter or digit to make a name of")
        if len(name) > NAME_LIMIT:
            raise ValueError(f"name must not exceed {NAME_LIMIT} characters. ({name!r} has {len(name)})")
        return value

    @field_validator("features")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("say what the model can do: TextGeneration, TextEmbedding or Reranking")
        return once(value)

    @field_validator("profile")
    @classmethod
    def _bare(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("give the profile's name alone; its multiple is 'processors'")
        return value

    def rules(self) -> Iterator[str]:
        if self.adapters and self.engine != "VLLM":
            yield f"adapters only supported with VLLM engine. (engine is {self.engine})"
        yield from _given_twice("adapters", [a.name for a in self.adapters], "a new version of an adapter is a new name")
        yield from _given_twice("files", [f.path for f in self.files], "All file paths must be unique.")
        if self.engine == "Infinity" and "TextGeneration" in self.features:
            yield "engine Infinity serves embeddings and reranking only; set features to [TextEmbedding], or engine to VLLM"
        for adapter in self.adapters:
            if adapter.base_model and not _may_be(adapter.base_model, self.url):
                yield (
                    f"adapter {adapter.name!r} was trained on {adapter.base_model}, but {self.url} is served; "
                    "serve its own base (if the two are the same weights, leave base_model out of the adapter)"
                )


def _given_twice(field: str, values: list[str], remedy: str) -> Iterator[str]:
    for value in once(tuple(v for v in values if values.count(v) > 1)):
        yield f"{field}: {value!r} is given {values.count(value)} times; {remedy}"


_PACKAGING = re.compile(r"[-_.](gguf|awq|gptq|fp8|int[48]|w[48]a(8|16)|[48]bit|bnb|unsloth|dynamic|q\d(_\w+)?|marlin|hf)$")


def _may_be(base_model: str, url: str) -> bool:
    """Whether ``base_model`` may be what ``url`` serves: False only where both name a Hugging Face repository, and the
    repositories' names differ by more than how the weights are packed (``-GGUF``, ``-AWQ``, ``-bnb-4bit``…)."""
    trained, served = _repository(base_model), _repository(url)
    return trained is None or served is None or trained == served


def _repository(text: str) -> str | None:
    match = re.fullmatch(r"(?:(?:hf|huggingface)://)?\w[\w.-]*/([\w.-]+)(?:[/:@?].*)?", text)
    if match is None or ("://" in text and not text.startswith(("hf://", "huggingface://"))):
        return None
    name = match[1].lower()
    while (shorter := _PACKAGING.sub("", name)) != name:
        name = shorter
    return name
