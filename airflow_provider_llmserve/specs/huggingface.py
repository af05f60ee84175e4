"""HuggingFace-serve: a standalone model behind its own Service (DigitalHub ``huggingfaceserve``).

Rules here hold on every platform; those of a real cluster alone are in :mod:`.huggingface_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from airflow_provider_llmserve.registry import names_of
from airflow_provider_llmserve.specs.base import ServeSpec, slug
from airflow_provider_llmserve.specs.pod import Env, Resources, Volume, env_list
from airflow_provider_llmserve.specs.values import (
    ObjectName,
    Place,
    Secrets,
    ServiceName,
    Text,
    Whole,
    WholeOrZero,
    Word,
    any_case,
    count_from_one,
    list_or_mapping,
    no_bool,
)

Task = Literal[
    "sequence_classification", "token_classification", "fill_mask", "text_generation", "text2text_generation", "text_embedding"
]
Backend = Literal["AUTO", "VLLM", "HUGGINGFACE"]
Dtype = Literal["AUTO", "FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT", "HALF"]
ServiceType = Literal["ExternalName", "ClusterIP", "NodePort", "LoadBalancer"]
Strategy = Literal["surge", "in_place", "recreate"]
Metric = Literal["cpu", "memory", "concurrency", "rps"]
Mode = Literal["Standard", "Knative"]

PREDICT_TASKS = frozenset({"sequence_classification", "token_classification", "fill_mask"})
"""Tasks that speak the Open Inference Protocol and not OpenAI's."""
NAME_LIMIT = 50
RUNTIMES = names_of("huggingfaceserve")

_ONLY = {
    "deployment": ("service_name",),
    "inferenceservice": (
        "min_replicas",
        "max_replicas",
        "scale_target",
        "scale_metric",
        "serving_runtime",
        "canary_traffic_percent",
    ),
}


class HuggingFaceServe(ServeSpec):
    """A serving run of kind ``huggingfaceserve``."""

    kind: ClassVar[str] = "huggingfaceserve"
    other_spellings: ClassVar[Mapping[str, str]] = {"env": "envs"}
    null_is_a_value = frozenset({"replicas"})
    remedies: ClassVar[Mapping[str, str]] = {
        "adapters": "HuggingFace-serve cannot serve LoRA adapters; use KubeAI-text (KubeAITextServeOperator)",
        "url": "the model's address is 'path' here ('url' is KubeAI-text's)",
        "model": "did you mean 'model_name'?",
        "scaling": "give replicas, or min_replicas and max_replicas with runtime: inferenceservice",
    }

    path: Place
    """Where the model is: ``hf://org/model``, with ``:revision`` if need be, which the server downloads itself; or a folder in
    ``s3://``, ``gs://``, ``https://`` …, which is fetched before it starts; or an absolute path, a folder in one of ``volumes``.
    ``huggingface://`` is stored as ``hf://``. Flags ``--model_id`` and ``--model_revision``, or ``--model_dir``."""
    model_name: str = "model"
    """Name of the model in requests: letters, digits, ``_``, ``-`` and dots. Flag ``--model_name``."""
    image: Word | None = None
    """Container image of the server, mirrors allowed; the platform's default where absent. Container ``image``."""
    huggingface_task: Annotated[Task, any_case(Task)] | None = None
    """What the model does: ``sequence_classification``, ``token_classification``, ``fill_mask``, ``text_generation``,
    ``text2text_generation`` or ``text_embedding``; derived by the server from the model where absent. Flag ``--task``."""
    backend: Annotated[Backend, any_case(Backend)] | None = None
    """``AUTO``, ``VLLM`` or ``HUGGINGFACE``; the server's own choice (vLLM where it can) if absent. Flag ``--backend``."""
    dtype: Annotated[Dtype, any_case(Dtype)] | None = None
    """Number format of the weights: ``AUTO``, ``FLOAT32``, ``FLOAT16``, ``BFLOAT16``, ``FLOAT`` or ``HALF``. Flag ``--dtype``."""
    max_length: Whole | None = None
    """Longest sequence, prompt and answer together, in tokens. Flag ``--max_model_len`` (``--max_length`` in old images)."""
    tokenizer_revision: Word | None = None
    """Revision of the tokenizer. Flag ``--tokenizer_revision``."""
    disable_lower_case: bool | None = None
    """Do not lower-case text before tokenising. Switch ``--disable_lower_case``."""
    disable_special_tokens: bool | None = None
    """Do not add special tokens when encoding. Switch ``--disable_special_tokens``."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Off unless asked for (DigitalHub turns it on). Switch ``--trust_remote_code``."""
    tensor_input_names: tuple[Word, ...] = ()
    """Names of the tensors that the model takes. Flag ``--tensor_input_names``."""
    return_token_type_ids: bool | None = None
    """Return token type ids. Switch ``--return_token_type_ids``."""
    return_probabilities: bool | None = None
    """Return the probability of every class, not the best class alone. Switch ``--return_probabilities``."""
    disable_log_requests: bool | None = None
    """Do not log requests. Switch ``--disable_log_requests``."""
    max_log_len: WholeOrZero | None = None
    """Most characters of a prompt in the log. Flag ``--max_log_len``."""
    args: tuple[Text, ...] = ()
    """Further arguments of the server, one item each (``--gpu-memory-utilization=0.8``). Container ``args``."""
    replicas: Annotated[Whole | None, count_from_one("to serve nothing use StopOperator")] = 1
    """Replicas. Deployment ``spec.replicas``; for an InferenceService both bounds, where they are not given. ``null`` leaves the
    number to whoever scales the Deployment (an autoscaler, a person): what stands is kept, and at first one is made."""
    service_type: Annotated[ServiceType, any_case(ServiceType)] = "ClusterIP"
    """``ClusterIP``, ``NodePort``, ``LoadBalancer`` or ``ExternalName``. Deployment only. Service ``spec.type``."""
    service_name: ServiceName | None = None
    """A further Service of that name in front of this deployment. Another deployment's is never taken over. Deployment only."""
    volumes: tuple[Volume, ...] = ()
    """Volumes mounted in the server's container."""
    resources: Resources = Resources()
    """Processors, memory, GPUs and disk of one replica."""
    envs: Annotated[tuple[Env, ...], Field(json_schema_extra=list_or_mapping)] = ()
    """Environment variables: a list of ``{name, value}``, or a mapping; also spelt ``env``. Not for secrets.
    Container ``env``."""
    secrets: Secrets = ()
    """Names of Kubernetes Secrets whose keys become environment variables. Container ``envFrom``."""
    profile: Word | None = None
    """Name of an overlay that the connection holds (node selector, tolerations, resources …)."""
    node_selector: dict[str, str] = {}
    """Labels that a node must have. Pod ``spec.nodeSelector``."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Taints that the pods tolerate, as Kubernetes writes them. Pod ``spec.tolerations``."""
    affinity: dict[str, Any] | None = None
    """Affinity, as Kubernetes writes it. Pod ``spec.affinity``."""
    runtime_class: ObjectName | None = None
    """Name of a RuntimeClass. Pod ``spec.runtimeClassName``."""
    priority_class: ObjectName | None = None
    """Name of a PriorityClass. Pod ``spec.priorityClassName``."""

    # Ours, beyond DigitalHub's:
    runtime: Annotated[str, any_case(RUNTIMES), Field(json_schema_extra={"enum": list(RUNTIMES)})] = RUNTIMES[0]
    """``deployment`` (Deployment and Service) or ``inferenceservice`` (KServe)."""
    startup_seconds: Whole = 1800
    """Seconds that downloading and loading the model may take before the container is restarted. Startup probe and
    ``progressDeadlineSeconds``."""
    strategy: Annotated[Strategy, any_case(Strategy)] | None = None
    """How an update replaces replicas: ``surge`` (a new one first; needs room for one more), ``in_place`` (an old one goes
    first) or ``recreate`` (all go first). Chosen from the spec where absent."""
    service_account: ObjectName | None = None
    """Service account of the pods. Pod ``spec.serviceAccountName``."""
    registry_secret: ObjectName | None = None
    """Secret that logs in to the image registry. Pod ``spec.imagePullSecrets``."""
    storage_secret: ObjectName | None = None
    """Secret with the credentials for fetching the model from a store."""
    min_replicas: WholeOrZero | None = None
    """Fewest replicas; InferenceService only. 0 scales to zero in Knative mode.
    InferenceService ``spec.predictor.minReplicas``."""
    max_replicas: Whole | None = None
    """Most replicas; InferenceService only. ``spec.predictor.maxReplicas``."""
    scale_target: Whole | None = None
    """Value of ``scale_metric`` that one replica should have: percent for cpu and memory, requests for the others;
    InferenceService only. ``spec.predictor.scaleTarget``."""
    scale_metric: Annotated[Metric, any_case(Metric)] | None = None
    """``cpu`` or ``memory`` (Standard mode), ``concurrency`` or ``rps`` (Knative); InferenceService only.
    ``spec.predictor.scaleMetric``."""
    deployment_mode: Annotated[Mode, any_case(Mode, {"RawDeployment": "Standard", "Serverless": "Knative"})] = "Standard"
    """KServe's ``Standard`` or ``Knative``, also by their old names ``RawDeployment`` and ``Serverless``; InferenceService
    only. Annotation ``serving.kserve.io/deploymentMode``."""
    serving_runtime: ObjectName | None = None
    """Name of a ServingRuntime; KServe chooses where absent. InferenceService only. ``spec.predictor.model.runtime``."""
    canary_traffic_percent: Annotated[int, Field(ge=0, le=100), BeforeValidator(no_bool)] | None = None
    """Percent of the requests that go to the new revision; Knative mode only, as Standard mode ignores it.
    ``spec.predictor.canaryTrafficPercent``."""

    _envs = field_validator("envs", mode="before")(env_list)

    @property
    def object_name(self) -> str:
        name = slug(self.model_name, NAME_LIMIT)
        # Services and InferenceServices must begin with a letter.
        return name if name[0].isalpha() else slug(f"m-{name}", NAME_LIMIT)

    @property
    def writes_text(self) -> bool:
        return self.huggingface_task in ("text_generation", "text2text_generation")

    @field_validator("model_name")
    @classmethod
    def _in_a_path(cls, value: str) -> str:
        # The name stands in /v2/models/<name>/ready; with a slash in it that path is 404 and nothing ever becomes ready.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", value):
            raise ValueError(
                f"{value[:80]!r} cannot stand in the path /v2/models/<name>/ready: use letters, digits, _ - and dots, no slash"
            )
        return value

    @property
    def runtime_name(self) -> str:
        return self.runtime

    def rules(self) -> Iterator[str]:
        for runtime, fields in _ONLY.items():
            if self.runtime != runtime:
                for field in fields:
                    if getattr(self, field) is not None:
                        yield f"{field} needs runtime: {runtime} (this is {self.runtime})"
        if self.runtime != "inferenceservice" and self.deployment_mode != "Standard":
            yield f"deployment_mode needs runtime: inferenceservice (this is {self.runtime})"
        if self.runtime == "inferenceservice":
            yield from self._inferenceservice_rules()
        if self.backend == "VLLM" and self.huggingface_task in PREDICT_TASKS:
            yield f"backend VLLM cannot serve {self.huggingface_task}; set backend to HUGGINGFACE or leave it out"
        for what, values in (
            ("volume name", [v.name for v in self.volumes]),
            ("mount path", [v.mount_path for v in self.volumes]),
            ("variable", [e.name for e in self.envs]),
        ):
            for value in dict.fromkeys(v for v in values if values.count(v) > 1):
                yield f"{what} {value!r} is given {values.count(value)} times"

    def _inferenceservice_rules(self) -> Iterator[str]:
        if self.service_type != "ClusterIP":
            yield "service_type needs runtime: deployment (KServe makes an InferenceService's Services itself)"
        low = self.min_replicas if self.min_replicas is not None else 1
        if self.max_replicas is not None and low > self.max_replicas:
            yield f"min_replicas ({low}) is greater than max_replicas ({self.max_replicas})"
        if self.replicas is None and self.runtime == "inferenceservice":
            yield "replicas: null leaves the number to another autoscaler; KServe brings its own: give min_replicas and max_replicas"
        if self.replicas != 1 and (self.min_replicas, self.max_replicas) != (None, None):
            yield "give replicas, or min_replicas and max_replicas, not both"
        if self.deployment_mode == "Standard":
            if self.canary_traffic_percent is not None:
                yield "canary_traffic_percent: KServe ignores it in Standard mode; use deployment_mode: Knative, or two serving runs"
            if self.scale_metric in ("concurrency", "rps"):
                yield f"scale_metric {self.scale_metric} needs deployment_mode: Knative; Standard mode knows cpu and memory"
        else:
            if self.scale_metric in ("cpu", "memory"):
                yield f"scale_metric {self.scale_metric} needs deployment_mode: Standard; Knative knows concurrency and rps"
            if self.strategy is not None:
                yield "strategy needs deployment_mode: Standard; Knative replaces revisions by its own rule"
