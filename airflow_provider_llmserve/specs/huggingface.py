"""HuggingFace-serve: a standalone model behind its own Service (DigitalHub ``huggingfaceserve``)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from airflow_provider_llmserve.specs.base import ServeSpec, Spec, slug


class Env(Spec):
    name: str
    value: str


class Resources(Spec):
    cpu: str | None = None
    mem: str | None = None
    gpu: str | None = None
    disk: str | None = None


class Volume(Spec):
    volume_type: Literal["persistent_volume_claim", "empty_dir", "ephemeral", "shared_volume", "image"]
    name: str
    mount_path: str
    spec: dict[str, Any] = {}


class HuggingFaceServe(ServeSpec):
    """A serving run of kind ``huggingfaceserve``."""

    kind: ClassVar[str] = "huggingfaceserve"

    path: str
    model_name: str = "model"
    image: str | None = None
    huggingface_task: str | None = None
    backend: str | None = None
    dtype: str | None = None
    max_length: int | None = None
    tokenizer_revision: str | None = None
    disable_lower_case: bool | None = None
    disable_special_tokens: bool | None = None
    trust_remote_code: bool = False
    tensor_input_names: tuple[str, ...] = ()
    return_token_type_ids: bool | None = None
    return_probabilities: bool | None = None
    disable_log_requests: bool | None = None
    max_log_len: int | None = None
    args: tuple[str, ...] = ()
    replicas: int = 1
    service_type: Literal["ExternalName", "ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    service_name: str | None = None
    volumes: tuple[Volume, ...] = ()
    resources: Resources = Resources()
    envs: tuple[Env, ...] = ()
    secrets: tuple[str, ...] = ()
    profile: str | None = None
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] | None = None
    runtime_class: str | None = None
    priority_class: str | None = None

    # Ours, beyond DigitalHub's:
    runtime: Literal["deployment", "inferenceservice"] = "deployment"
    startup_seconds: int = 1800
    strategy: Literal["surge", "in_place", "recreate"] | None = None
    service_account: str | None = None
    registry_secret: str | None = None
    storage_secret: str | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    scale_target: int | None = None
    scale_metric: Literal["cpu", "memory", "concurrency", "rps"] | None = None
    deployment_mode: Literal["Standard", "Knative"] = "Standard"
    serving_runtime: str | None = None
    canary_traffic_percent: int | None = None

    @property
    def object_name(self) -> str:
        return slug(self.model_name, 50)
