"""Specs as YAML text."""

from __future__ import annotations

from typing import Any

from airflow_provider_llmserve.errors import BadInput


def from_yaml(text: str | bytes, subject: str) -> Any:
    """One document as it is, several as a list."""
    import yaml

    try:
        documents = [d for d in yaml.safe_load_all(text) if d is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise BadInput(subject, f"is no YAML: {e}") from None
    if any(_cyclic(d, ()) for d in documents):
        raise BadInput(subject, "is no plain YAML: an alias refers to itself")
    return documents[0] if len(documents) == 1 else documents


def _cyclic(value: Any, above: tuple[int, ...]) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    children = value.values() if isinstance(value, dict) else value
    return id(value) in above or any(_cyclic(c, (*above, id(value))) for c in children)
