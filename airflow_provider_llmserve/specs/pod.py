"""The parts of a HuggingFace-serve spec that shape its pod: variables, resources, volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, field_validator

from airflow_provider_llmserve.specs.base import Spec
from airflow_provider_llmserve.specs.values import Label, Quantity, Text, VariableName, any_case, as_text

VolumeType = Literal["persistent_volume_claim", "empty_dir", "ephemeral", "shared_volume", "image"]

VOLUME_KEYS: Mapping[str, tuple[str, ...]] = {
    "persistent_volume_claim": ("claimName", "size", "storageClass"),
    "empty_dir": ("sizeLimit", "medium"),
    "ephemeral": ("size", "storageClass"),
    "shared_volume": ("claimName",),
    "image": ("image",),
}
"""What each type's ``spec`` may hold, besides ``subPath`` (scc-digitalhub/digitalhub-core, K8sBuilderHelper.getVolume)."""


class Env(Spec):
    """An environment variable."""

    name: VariableName
    """The variable's name."""
    value: Text
    """Its value, as it stands."""


class Resources(Spec):
    """What one replica asks for, as Kubernetes quantities."""

    remedies: ClassVar[Mapping[str, str]] = {"memory": "did you mean 'mem'?"}

    cpu: Quantity | None = None
    """Processors: ``500m`` is half a core. Container ``resources``."""
    mem: Quantity | None = None
    """Memory: ``16Gi``. Container ``resources``."""
    gpu: Annotated[str, BeforeValidator(as_text)] | None = None
    """Whole GPUs. Container ``resources``, key ``nvidia.com/gpu``."""
    disk: Quantity | None = None
    """Room for the model's files: ``50Gi``. Size of the model volume."""

    @field_validator("gpu")
    @classmethod
    def _whole(cls, value: str) -> str:
        if not (value.isascii() and value.isdigit()):
            raise ValueError(f"GPUs come whole: {value!r} is no whole number")
        return value


class Volume(Spec):
    """A volume, as DigitalHub describes it."""

    volume_type: Annotated[VolumeType, any_case(VolumeType)]
    """``persistent_volume_claim`` (an existing claim, or one made for this run), ``empty_dir``, ``ephemeral`` (a claim for each
    pod), ``shared_volume`` (an existing claim) or ``image`` (files of a container image)."""
    name: Label
    """Name of the volume, unique in the spec."""
    mount_path: str
    """Absolute path in the container, without ``:``, unique in the spec."""
    spec: dict[str, str] = {}
    """Settings by type. ``persistent_volume_claim``: ``claimName`` of an existing claim, or ``size`` (and ``storageClass``) of a
    new one. ``ephemeral``: ``size``, ``storageClass``. ``empty_dir``: ``sizeLimit``, ``medium``. ``shared_volume``:
    ``claimName``, default the volume's name. ``image``: ``image``. All: ``subPath``."""

    @field_validator("mount_path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/") or ":" in value:
            raise ValueError(f"mount path {value!r} should be absolute, without ':'")
        return value

    @field_validator("spec", mode="before")
    @classmethod
    def _camel(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        camel = {k.replace("_", "").lower(): k for keys in VOLUME_KEYS.values() for k in (*keys, "subPath")}
        return {
            camel.get(k.replace("_", "").lower(), k) if isinstance(k, str) else k: as_text(v)
            for k, v in value.items()
            if v is not None
        }

    def rules(self) -> Any:
        known = (*VOLUME_KEYS[self.volume_type], "subPath")
        for key in self.spec:
            if key not in known:
                yield f"spec.{key}: unknown setting of a {self.volume_type}; known: {', '.join(known)}"
        if self.volume_type == "persistent_volume_claim" and ("claimName" in self.spec) == ("size" in self.spec):
            yield "a persistent_volume_claim needs spec.claimName (an existing claim) or spec.size (a new one), one of the two"
        if self.volume_type == "image" and not self.spec.get("image"):
            yield "an image volume needs spec.image"


def env_list(value: Any) -> Any:
    """A mapping of variables as a list of ``{name, value}``."""
    if isinstance(value, Mapping):
        return [{"name": k, "value": v} for k, v in value.items()]
    return value
