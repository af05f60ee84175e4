"""The mark: a digest of everything that makes a pod what was asked for, which travels into every pod. Pure.

A pod is of our change if it carries our mark and is of its controller's current revision. So nothing is compared field by
field, and nothing is rendered anew to judge: what admission rewrites, or a newer version of this package would render
otherwise, confuses nobody. Golden tests fix the digests: a release that renders the same spec otherwise rolls every model.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.readiness.fields import items, mapping, text
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.runtimes.record import PREFIX

ANNOTATION = f"{PREFIX}mark"
"""Where pods carry it whose controller copies annotations."""
VARIABLE = "LLMSERVE_MARK"
"""Where KubeAI's pods carry it, which copies no annotations: ``spec.env`` reaches the pods of all its engines."""


def mark_of(part: Any) -> str:
    """The mark of that part of an object: JSON of all that its controller puts into a pod. Secrets enter by name, never by value:
    a digest of a token, where everybody may read it, can be guessed."""
    return digest(part)[:16]


def annotated(thing: Object, *where: str) -> str:
    """The mark among the annotations of a part of an object (of a pod: of the pod itself); empty where there is none."""
    return text(thing, *where, "annotations", ANNOTATION)


def in_environment(pod: Object, container: str) -> str:
    """The mark in the environment of one container of a pod; empty where there is none."""
    server = next((c for c in items(mapping(pod, "spec"), "containers") if c.get("name") == container), {})
    return next((text(e, "value") for e in items(server, "env") if e.get("name") == VARIABLE), "")
