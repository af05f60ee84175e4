"""DigitalHub's function, task and run documents, read as they are.

A run is merged as DigitalHub merges it (scc-digitalhub/digitalhub-core, KubeAITextRuntime.build and
HuggingfaceServeRuntime.build): the run wins, the task fills gaps, the function is put over both. One field may be more exact
in the run than in the function: the model's address, where it begins with the function's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.specs.base import ServeSpec
from airflow_provider_llmserve.specs.kinds import KINDS
from airflow_provider_llmserve.specs.kubeai import KubeAIText
from airflow_provider_llmserve.specs.yaml_text import from_yaml

PARTS = ("function", "task", "run")
_REFERENCES = frozenset({"function", "task", "workflow", "local_execution"})
"""Keys of a DigitalHub spec that point to other entities and shape no model."""
_EMPTY: tuple[Any, ...] = (None, {}, [], "")

Document = Mapping[str, Any]


def from_digitalhub(document: Any) -> ServeSpec:
    """Read a DigitalHub function with its run or task, or a run alone (it holds its function's fields).

    :param document: one document, a list of them, a mapping ``{"function": …, "task": …, "run": …}``, or YAML text with one or
        more documents. Entity metadata (project, name, id, key, metadata, status …) is not read; nulls count as absent.

    Raises :class:`BadInput` with every finding.
    """
    if isinstance(document, (str, bytes)):
        document = from_yaml(document, "DigitalHub document")
    parts, kind = _sorted_parts(document)
    specs = {part: _fields(doc, part, KINDS[kind]) for part, doc in parts.items()}
    function, task, run = (specs.get(part, {}) for part in PARTS)
    merged = {**task, **run, **function}
    address = "url" if kind == KubeAIText.kind else "path"
    if address in function and address in run:
        merged[address] = _run_address(address, function[address], run[address], kind)
    return KINDS[kind].parse(merged, f"{kind} (DigitalHub document)")


def is_digitalhub(value: Any) -> bool:
    """Whether it looks like a DigitalHub entity, a list of them, or a mapping of them by part (function, run, task)."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(_is_entity(v) for v in value)
    return _is_entity(value) or (
        isinstance(value, Mapping)
        and bool(value)
        and all(k in PARTS for k in value)
        and all(_is_entity(v) for v in value.values())
    )


def _is_entity(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("kind"), str) and isinstance(value.get("spec"), Mapping)


def _sorted_parts(document: Any) -> tuple[dict[str, Document], str]:
    """The documents by part, and the one kind that all of them are of."""
    if isinstance(document, Mapping) and not _is_entity(document):
        documents: Iterable[Any] = document.values()
    elif isinstance(document, Mapping):
        documents = [document]
    else:
        documents = document if isinstance(document, (list, tuple)) else ()
    parts: dict[str, Document] = {}
    kinds: set[str] = set()
    findings = []
    for entity in documents:
        if not _is_entity(entity):
            findings.append("each document needs a kind and a spec (function, task or run)")
            continue
        base, plus, rest = entity["kind"].partition("+")
        part = "function" if not plus else {"serve": "task", "serve:run": "run"}.get(rest, "")
        if base not in KINDS or not part:
            findings.append(_unknown_kind(entity["kind"]))
        elif part in parts:
            findings.append(f"two {part} documents; give one")
        else:
            parts[part] = entity
            kinds.add(base)
    if not findings and len(kinds) != 1:
        found = f"the documents are of different kinds: {', '.join(sorted(kinds))}" if kinds else "no function, task or run in it"
        findings.append(found)
    if findings:
        raise BadInput("DigitalHub document", findings)
    return parts, kinds.pop()


def _unknown_kind(kind: str) -> str:
    if kind.startswith("kubeai-speech"):
        return "kubeai-speech (speech to text) is not served by this package; known: kubeai-text, huggingfaceserve"
    return (
        f"kind {kind!r} is not served by this package; known: {', '.join(sorted(KINDS))}, each alone or with +serve or +serve:run"
    )


def _fields(entity: Document, part: str, cls: type[ServeSpec]) -> dict[str, Any]:
    known = {*cls.model_fields, *cls.other_spellings}
    # The SDK writes out every field it knows: an empty one that is not ours says nothing.
    return {
        k: v
        for k, v in entity["spec"].items()
        if v is not None and k not in _REFERENCES and not (k not in known and _is_empty(v))
    }


def _is_empty(value: Any) -> bool:
    return any(value == e and type(value) is type(e) for e in _EMPTY)


def _run_address(field: str, function: Any, run: Any, kind: str) -> Any:
    if not (isinstance(function, str) and isinstance(run, str)) or run.lower().startswith(function.lower()):
        return run
    raise BadInput(f"{kind} (DigitalHub document)", f"{field}: the run's {run} does not begin with the function's {function}")
