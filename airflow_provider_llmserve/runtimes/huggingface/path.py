"""Where huggingfaceserver finds its model: on the hub, which it reads itself, or in a folder."""

from __future__ import annotations

MODEL_DIR = "/mnt/models"
"""Where a model lies that the server does not fetch itself."""


def hub_path(path: str) -> tuple[str, str] | None:
    """``(org/model, revision)`` of a path on the HuggingFace hub, which the server fetches itself; None for any other path."""
    scheme, _, rest = path.partition("://")
    if scheme.lower() not in ("hf", "huggingface"):
        return None
    repository, _, revision = rest.strip("/").partition(":")
    return repository.strip("/"), revision


def hub_model(path: str) -> str | None:
    """``org/model`` of a path on the hub."""
    hub = hub_path(path)
    return hub[0] if hub else None


def hub_revision(path: str) -> str | None:
    """The revision of a path on the hub that names one."""
    hub = hub_path(path)
    return hub[1] or None if hub else None


def model_dir(path: str) -> str | None:
    """The folder that the server reads: a path in the pod as it stands, any other after it was fetched or mounted;
    None for the hub."""
    if hub_path(path) is not None:
        return None
    return path.rstrip("/") if path.startswith("/") else MODEL_DIR
