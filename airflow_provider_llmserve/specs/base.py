"""What all specs share: frozen, unknown keys refused with the nearest known name, all findings at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.owner import digest

Self = TypeVar("Self", bound="Spec")


class Spec(BaseModel):
    """A frozen value; keys are DigitalHub's snake_case names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=(), str_strip_whitespace=True
    )

    @classmethod
    def parse(cls: type[Self], value: Any, subject: str | None = None) -> Self:
        """Read a mapping (or take a spec as it is). Raises :class:`BadInput` with every finding, in the user's words."""
        if isinstance(value, cls):
            return value
        subject = subject or cls.__name__
        if not isinstance(value, Mapping):
            raise BadInput(subject, f"expected a mapping, got {type(value).__name__}")
        try:
            return cls.model_validate(dict(value))
        except ValidationError as e:
            raise BadInput(subject, _findings(cls, e)) from None


class ServeSpec(Spec):
    """What one serving run serves, whatever the runtime."""

    kind: ClassVar[str]

    @property
    def object_name(self) -> str:
        """The stable name of the serving run where the user gives none."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict, unset fields left out: what is stored beside the object and hashed."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the spec's canonical JSON."""
        return digest({"kind": self.kind, **self.to_json()})[:16]


def slug(text: str, limit: int) -> str:
    """``text`` as an object name (RFC 1123 label) of at most ``limit`` characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:limit].rstrip("-")


def _findings(cls: type[BaseModel], error: ValidationError) -> list[str]:
    findings = []
    for e in error.errors():
        where = ".".join(str(p) for p in e["loc"])
        if e["type"] == "extra_forbidden":
            known = _fields_at(cls, e["loc"][:-1])
            near = difflib.get_close_matches(str(e["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            findings.append(f"{where}: unknown field; {hint}")
        else:
            text = e["msg"].removeprefix("Value error, ")
            findings.append(f"{where}: {text}" if where else text)
    return findings


def _fields_at(cls: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = cls
    for part in path:
        field = model.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field else None
        if inner is not None:
            model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for arg in getattr(annotation, "__args__", ()):
        found = _model_in(arg)
        if found is not None:
            return found
    return None
