"""Profiles: named overlays that a platform's owner keeps in the connection for HuggingFace-serve specs."""

from __future__ import annotations

from typing import Any

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe
from airflow_provider_llmserve.specs.base import Spec
from airflow_provider_llmserve.specs.pod import Resources
from airflow_provider_llmserve.specs.values import ObjectName


class Profile(Spec):
    """Where and with what the pods of a kind of model run. Field names and meanings are the spec's."""

    node_selector: dict[str, str] = {}
    """Wins over the spec's, label by label."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Added to the spec's."""
    affinity: dict[str, Any] | None = None
    """Wins over the spec's."""
    priority_class: ObjectName | None = None
    """Wins over the spec's."""
    runtime_class: ObjectName | None = None
    """Wins over the spec's."""
    resources: Resources = Resources()
    """Loses against the spec's, one by one: fills what the spec leaves out."""


def overlaid(spec: HuggingFaceServe, settings: Settings) -> HuggingFaceServe:
    """The spec with its profile laid over it.

    The profile is the platform's word about nodes, so it wins there; the spec is the user's word about the model, so it wins in
    ``resources``. (In DigitalHub the template wins throughout.) Raises :class:`BadInput` for a profile that does not exist,
    or is not one.
    """
    if spec.profile is None:
        return spec
    raw = settings.profiles.get(spec.profile)
    if raw is None:
        known = ", ".join(sorted(settings.profiles)) or "none"
        raise BadInput(f"profile {spec.profile!r}", f"does not exist; the connection has: {known}")
    profile = Profile.parse(raw, f"profile {spec.profile!r}")
    resources = {**profile.resources.model_dump(exclude_none=True), **spec.resources.model_dump(exclude_none=True)}
    update: dict[str, Any] = {
        "node_selector": {**spec.node_selector, **profile.node_selector},
        "tolerations": (*spec.tolerations, *(t for t in profile.tolerations if t not in spec.tolerations)),
        "resources": Resources(**resources),
    }
    wins = {k: getattr(profile, k) for k in ("affinity", "priority_class", "runtime_class") if getattr(profile, k) is not None}
    return spec.model_copy(update={**update, **wins})
