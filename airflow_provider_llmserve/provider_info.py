"""What this provider tells Airflow (schema: ``provider_info.schema.json`` of apache-airflow-core 3.3.2)."""

from __future__ import annotations

from typing import Any

from airflow_provider_llmserve import __version__
from airflow_provider_llmserve.registry import PLATFORMS

_PACKAGE = "airflow_provider_llmserve"
_INTEGRATION = "LLM serving"
_TEXT = ["string", "null"]


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": _TEXT, **schema}}


def _number(label: str, description: str, minimum: int, maximum: int) -> dict[str, Any]:
    return {
        "label": label,
        "description": description,
        "schema": {"type": ["integer", "null"], "minimum": minimum, "maximum": maximum},
    }


def _option(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "version_added": "0.1.0", "type": "string", "example": example, "default": ""}


def get_provider_info() -> dict[str, Any]:
    """The entry point ``apache_airflow_provider``."""
    return {
        "package-name": "airflow-provider-llmserve",
        "name": "LLM serving",
        "description": "Deploy, scale and tear down served language models: HuggingFace-serve and KubeAI-text, "
        "on Kubernetes or on this machine.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://www.kubeai.org/",
                "tags": ["machine-learning", "kubernetes"],
            }
        ],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.operators.{m}"
                    for m in ("serve", "scale", "adapters", "teardown", "sweep", "upload_adapter", "evaluate", "infer")
                ],
            }
        ],
        "sensors": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.sensors.endpoint"]}],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.hooks.llmserve"]}],
        "connection-types": [
            {
                "connection-type": "llmserve",
                "hook-class-name": f"{_PACKAGE}.hooks.llmserve.LLMServeHook",
                "hook-name": "LLM serving",
                "conn-fields": _conn_fields(),
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "schema", "login", "password", "port", "extra"],
                    "relabeling": {},
                    "placeholders": {},
                },
            }
        ],
        "config": {
            "llmserve": {
                "description": "Settings of the LLM serving provider.",
                "options": {
                    "instance": _option(
                        "Id of this Airflow instance, written on what it deploys: two instances with one id take each other's "
                        "deployments for their own. Empty: an id is made once and kept in the Variable llmserve_instance.",
                        "production",
                    ),
                    "results": _option(
                        "URL of the folder for per-sample results of evaluations. Empty: beside a data set that lies in a store, "
                        "else the worker's own folder.",
                        "s3://evals/results",
                    ),
                },
            }
        },
        "extra-links": [f"{_PACKAGE}.links.EndpointLink"],
    }


def _conn_fields() -> dict[str, Any]:
    """The form; each field is one of ``Settings`` and is stored in the connection's extra."""
    return {
        "platform": {
            "label": "Platform",
            "description": " ".join(f"{row.name}: {row.says}." for row in PLATFORMS),
            "schema": {"type": "string", "enum": [row.name for row in PLATFORMS], "default": PLATFORMS[0].name},
        },
        "kubernetes_conn_id": _text("Kubernetes connection", "Airflow connection that logs in to the cluster."),
        "namespace": _text("Namespace", "Namespace of the serving runs; for KubeAI the one its manager watches."),
        "gateway_url": _text(
            "Gateway URL", "KubeAI's gateway as callers reach it; default http://kubeai.<namespace>.svc/openai/v1.", format="url"
        ),
        "access": {
            "label": "Access",
            "description": "direct, or api-server: reach Services through the API server, from outside the cluster.",
            "schema": {"type": _TEXT, "enum": ["direct", "api-server", None]},
        },
        "kserve_version": _text("KServe version", "Version of KServe in the cluster, such as 0.20."),
        "storage_initializer_image": _text("Storage initializer image", "Fetches models from S3 and the like for a Deployment."),
        "allowed_images": _text("Allowed images", "JSON list of image prefixes that specs may name.", format="json"),
        "profiles": _text("Profiles", "JSON object: named overlays for HuggingFace-serve's profile.", format="json"),
        "models": _text(
            "Local models", "JSON object: model or adapter URL to a local file or package://module/file.", format="json"
        ),
        "state_dir": _text("Local state folder", "Where the local platform keeps socket, logs and caches."),
        "port": _number("Local port", "Port of the local gateway on 127.0.0.1; empty picks a free one.", 0, 65535),
        "threads": _number("Local threads", "Threads of one local model server; empty uses all cores.", 0, 1024),
    }
