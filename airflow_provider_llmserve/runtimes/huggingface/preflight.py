"""What would make a HuggingFace-serve deployment fail and shows before any write: all findings at once, each with its remedy.

``common_lookups`` and ``common_findings`` hold for both runtimes; each adds its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.runtimes.huggingface import pod_template
from airflow_provider_llmserve.runtimes.huggingface.command_line import command_line
from airflow_provider_llmserve.runtimes.huggingface.flags import Version
from airflow_provider_llmserve.runtimes.huggingface.pod_rules import pod_findings
from airflow_provider_llmserve.runtimes.huggingface.profile import overlaid
from airflow_provider_llmserve.runtimes.kinds import (
    PRIORITY_CLASS,
    PVC,
    RUNTIME_CLASS,
    SECRET,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
    Kind,
)
from airflow_provider_llmserve.runtimes.parts import Facts, Lookup, Permission
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe
from airflow_provider_llmserve.specs.huggingface_rules import huggingface_findings

CLASSES = tuple(Permission(k.group, k.plural, ("get",), optional=True) for k in (PRIORITY_CLASS, RUNTIME_CLASS, STORAGE_CLASS))
"""Rights to tell whether a class that a spec names exists."""
_RESERVED_VOLUMES = ("model", "shm", "storage-secret")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)


def common_lookups(spec: HuggingFaceServe, settings: Settings) -> Iterator[Lookup]:
    """The objects that the pods stand on; classes are the cluster's, and may be read by whoever was given the ClusterRole."""
    spec = laid_over(spec, settings)[0]
    for secret in dict.fromkeys([*spec.secrets, *filter(None, (spec.storage_secret, spec.registry_secret))]):
        yield Lookup(SECRET, secret)
    if spec.service_account:
        yield Lookup(SERVICE_ACCOUNT, spec.service_account)
    for claim in _existing_claims(spec):
        yield Lookup(PVC, claim)
    if spec.priority_class:
        yield Lookup(PRIORITY_CLASS, spec.priority_class)
    if spec.runtime_class:
        yield Lookup(RUNTIME_CLASS, spec.runtime_class)
    for storage_class in dict.fromkeys(v.spec.get("storageClass", "") for v in spec.volumes):
        if storage_class:
            yield Lookup(STORAGE_CLASS, storage_class)


def laid_over(spec: HuggingFaceServe, settings: Settings) -> tuple[HuggingFaceServe, list[str]]:
    """The spec with its profile, and what is wrong with the profile."""
    try:
        return overlaid(spec, settings), []
    except BadInput as e:
        return spec, [f"{e.subject}: {f}" for f in e.findings]


def common_findings(
    spec: HuggingFaceServe, *, name: str, settings: Settings, facts: Facts, image: str | None, version: Version | None
) -> Iterator[str]:
    """Findings of both runtimes. ``image`` is None where the cluster chooses it."""
    yield from huggingface_findings(spec, name=name)
    yield from command_line(spec, version).findings
    yield from pod_findings(laid_over(spec, settings)[0])
    yield from _image(image, settings)
    yield from _volumes(spec)
    yield from _missing(spec, settings, facts)


def common_notes(spec: HuggingFaceServe, version: Version | None) -> Iterator[str]:
    """What the deployer should know although nothing is wrong."""
    yield from command_line(spec, version).warnings
    for variable in spec.envs:
        if _SECRET_NAME.search(variable.name) and variable.value:
            yield (
                f"envs: {variable.name} looks like a secret and stands readable in the pod; put it into a Kubernetes Secret and "
                "name that under secrets"
            )


def present(facts: Facts, kind: Kind, name: str, namespace: str = "") -> bool | None:
    """Whether an object is there; None where that could not be told."""
    lookup = Lookup(kind, name, namespace)
    return facts.objects[lookup] is not None if lookup in facts.objects else None


def _image(image: str | None, settings: Settings) -> Iterator[str]:
    allowed = settings.allowed_images
    if image is None or not allowed or image.startswith(allowed):
        return
    yield f"image {image!r} is not among those that the connection allows ({', '.join(allowed)}); name one of these under image"


def _volumes(spec: HuggingFaceServe) -> Iterator[str]:
    for volume in spec.volumes:
        if volume.name in _RESERVED_VOLUMES:
            yield f"volume {volume.name!r}: the pod has a volume of this name already; rename it"


def _existing_claims(spec: HuggingFaceServe) -> Iterator[str]:
    if spec.path.lower().startswith("pvc://"):
        yield spec.path.partition("://")[2].partition("/")[0]
    for volume in spec.volumes:
        if volume.volume_type == "shared_volume" or (
            volume.volume_type == "persistent_volume_claim" and "size" not in volume.spec
        ):
            yield pod_template.claim_of(volume, "")


def _missing(spec: HuggingFaceServe, settings: Settings, facts: Facts) -> Iterator[str]:
    remedies: dict[Kind, Any] = {
        SECRET: "create it in the namespace first",
        SERVICE_ACCOUNT: "create it in the namespace first",
        PVC: "create the claim, or give spec.size to have one made",
        PRIORITY_CLASS: "name one that does under priority_class: kubectl get priorityclass",
        RUNTIME_CLASS: "name one that does under runtime_class: kubectl get runtimeclass",
        STORAGE_CLASS: "name one that does under the volume's spec.storageClass: kubectl get storageclass",
    }
    for lookup in common_lookups(spec, settings):
        if present(facts, lookup.kind, lookup.name) is False:
            yield f"{lookup.kind.kind} {lookup.name!r} does not exist; {remedies[lookup.kind]}"
