"""What a DAG author gives as a spec, read: a mapping, YAML text, a spec object, or DigitalHub's documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.specs.base import ServeSpec
from airflow_provider_llmserve.specs.digitalhub import from_digitalhub, is_digitalhub
from airflow_provider_llmserve.specs.kinds import KINDS
from airflow_provider_llmserve.specs.yaml_text import from_yaml


def parse_spec(value: Any, kind: str) -> ServeSpec:
    """Read what a DAG author gives as ``spec``.

    :param value: a spec object, a mapping of its fields (``kind`` may stand among them), a DigitalHub document, several of
        them, or any of these as YAML text.
    :param kind: ``kubeai-text`` or ``huggingfaceserve``.

    Raises :class:`BadInput` with every finding.
    """
    if isinstance(value, ServeSpec):
        return _of_kind(value, kind)
    if isinstance(value, (str, bytes)):
        value = from_yaml(value, kind)
    if is_digitalhub(value):
        return _of_kind(from_digitalhub(value), kind)
    if isinstance(value, Mapping) and "kind" in value:
        said = value["kind"]
        if said != kind:
            raise BadInput(kind, f"kind: this operator serves {kind}, and the spec says {said!r}")
        value = {k: v for k, v in value.items() if k != "kind"}
    return KINDS[kind].parse(value, kind)


def _of_kind(spec: ServeSpec, kind: str) -> ServeSpec:
    if spec.kind != kind:
        raise BadInput(kind, f"this operator serves {kind}, and the spec is {spec.kind}")
    return spec
