"""How a training task hands its adapter over: a path, or a mapping with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_llmserve.adapters.base_model import canonical, same_base
from airflow_provider_llmserve.adapters.naming import check_stem, stem_of
from airflow_provider_llmserve.errors import BadInput


@dataclass(frozen=True)
class Handover:
    """An adapter to upload: where it lies, its name's stem, and the base it was declared to be for (canonical;
    None if nobody did)."""

    path: str
    stem: str
    base_model: str | None


def read_handover(source: Any, *, name: str | None = None, base_model: str | None = None) -> Handover:
    """Read ``source``, a path or ``{"path": …, "base_model": …, "name": …}`` (other keys are the trainer's own).

    ``name`` goes before the trainer's; ``base_model`` must agree with it. Raises :class:`BadInput` with every finding.
    """
    value = source if isinstance(source, Mapping) else {"path": source}
    findings = []
    path, trained_on, given = value.get("path"), value.get("base_model"), name or value.get("name")
    if not isinstance(path, str) or not path.strip():
        findings.append(f"path: expected a folder or URL, got {path!r}; is the training task's output what you passed?")
    if trained_on is not None and not isinstance(trained_on, str):
        findings.append(f"base_model: expected a name, got {trained_on!r}")
    elif trained_on and base_model and not same_base(trained_on, base_model):
        findings.append(f"base_model: the training task says {trained_on!r}, this task {base_model!r}; an adapter fits one base")
    if given is not None and not isinstance(given, str):
        findings.append(f"name: expected a text, got {given!r}")
    if findings:
        raise BadInput("source", findings)
    assert isinstance(path, str)
    declared = base_model or trained_on
    return Handover(path.strip(), check_stem(given) if given else stem_of(path), canonical(declared) if declared else None)
