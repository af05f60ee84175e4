"""Whose an object beside the primary one is: a Service, a claim, a Secret, the ConfigMap of a record. Pure.

A name says nothing: another team's claim may stand under the very name that ours would have. Ours are known by two marks that
only we set together: our label, and an owner reference to the serving run's primary object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_llmserve.readiness.fields import items, labels_of, text
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.runtimes.kinds import Kind

_LABEL, _OURS = next(iter(records.MANAGED_BY.items()))


@dataclass(frozen=True)
class Belonging:
    """The primary object that the others of one serving run belong to."""

    kind: Kind
    name: str

    def stranger(self, thing: Mapping[str, Any]) -> str:
        """Why ``thing`` is not this serving run's, in words; empty where it is.

        A reference to an object of our kind and name but of another uid is of an earlier deployment that the garbage collector is
        still taking away: ours. The record's ConfigMap is written before the object that it belongs to, so one that holds a
        record and was not tied yet is ours too.
        """
        label = labels_of(thing).get(_LABEL)
        if label != _OURS:
            return f"it is managed by {label}" if label else f"it does not carry the label {_LABEL}: {_OURS}"
        references = items(thing, "metadata", "ownerReferences")
        if not references and not self._untied_record(thing) and not self._untied_secret(thing):
            return "it belongs to no serving run"
        for one in references:
            group = text(one, "apiVersion").rpartition("/")[0]
            if (group, text(one, "kind"), text(one, "name")) != (self.kind.group, self.kind.kind, self.name):
                return f"it belongs to {text(one, 'kind') or 'an object'} {text(one, 'name')}"
        return ""

    def _untied_secret(self, thing: Mapping[str, Any]) -> bool:
        named = text(thing, "metadata", "name").startswith(records.secret_name(self.name, ""))
        return named and thing.get("kind") == "Secret" and thing.get("immutable") is True

    def _untied_record(self, thing: Mapping[str, Any]) -> bool:
        named = text(thing, "metadata", "name") == records.companion_name(self.name)
        data = thing.get("data")
        return (
            named and thing.get("kind") == "ConfigMap" and records.read(data if isinstance(data, Mapping) else None) is not None
        )


def others_wrote(thing: Mapping[str, Any]) -> bool:
    """Whether somebody else has ever written it: in the answer to a write of ours that should have created it, this tells that
    somebody was faster. What admission adds to our own request has no manager of its own (tried on Kubernetes 1.36)."""
    return any(text(entry, "manager") != records.FIELD_MANAGER for entry in items(thing, "metadata", "managedFields"))
