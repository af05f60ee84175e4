"""KubeAI-text: a model behind KubeAI's gateway (DigitalHub ``kubeai-text``)."""

from __future__ import annotations

from typing import ClassVar, Literal

from airflow_provider_llmserve.specs.base import ServeSpec, Spec, slug


class Adapter(Spec):
    """A LoRA adapter."""

    name: str
    url: str


class File(Spec):
    path: str
    content: str


class PrefixHash(Spec):
    mean_load_factor: int = 125
    replication: int = 256
    prefix_char_length: int = 100


class LoadBalancing(Spec):
    strategy: Literal["LeastLoad", "PrefixHash"] = "LeastLoad"
    prefix_hash: PrefixHash | None = None


class Scaling(Spec):
    replicas: int = 1
    min_replicas: int = 1
    max_replicas: int | None = None
    autoscaling_disabled: bool = False
    target_requests: int = 100
    scale_down_delay_seconds: int = 30
    load_balancing: LoadBalancing | None = None


class KubeAIText(ServeSpec):
    """A serving run of kind ``kubeai-text``."""

    kind: ClassVar[str] = "kubeai-text"

    url: str
    model_name: str = "model"
    image: str | None = None
    engine: str = "VLLM"
    features: tuple[str, ...] = ("TextGeneration",)
    adapters: tuple[Adapter, ...] = ()
    profile: str = "cpu"
    processors: int = 1
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    files: tuple[File, ...] = ()
    secrets: tuple[str, ...] = ()
    cache_profile: str | None = None
    priority_class: str | None = None
    scaling: Scaling = Scaling()

    @property
    def object_name(self) -> str:
        return slug(self.model_name, 40)
