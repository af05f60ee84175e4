"""What all specs share: frozen, unknown keys refused with the nearest known name, all findings at once."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.registry import names_of

Self = TypeVar("Self", bound="Spec")


class Spec(BaseModel):
    """A frozen value; keys are DigitalHub's snake_case names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=(), str_strip_whitespace=True
    )

    other_spellings: ClassVar[Mapping[str, str]] = {}
    """Keys that the real systems also use, and the field each of them means."""
    remedies: ClassVar[Mapping[str, str]] = {}
    """What to say about an unknown key that people do write here, in place of the nearest known name."""
    null_is_a_value: ClassVar[frozenset[str]] = frozenset()
    """Fields in which null means something; everywhere else it is the same as leaving the field out."""

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

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict, defaults left out: what is stored beside the object and hashed."""
        nulls = {name: None for name in self.null_is_a_value if getattr(self, name) is None}
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | nulls

    def rules(self) -> Iterator[str]:
        """Findings that concern more than one field; asked once every field by itself is in order."""
        return iter(())

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties = schema.get("properties", {})
        for other, field in cls.other_spellings.items():
            properties[other] = {**properties[field], "description": f"Another spelling of {field}.", "deprecated": True}
        return schema

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, value: Any) -> Any:
        """Store the other spellings under the field's name. Where both are given with different values the other stays
        where it is, and is refused like any unknown key."""
        if not isinstance(value, Mapping):
            return value
        given = dict(value)
        for other, field in cls.other_spellings.items():
            if other in given and (given.get(field) in (None, {}, [], ()) or given[other] in (None, {}, [], (), given[field])):
                said = given.pop(other)
                if given.get(field) in (None, {}, [], ()):
                    given[field] = said
        kept = cls.null_is_a_value
        return {k: v for k, v in given.items() if v is not None or k not in cls.model_fields or k in kept}

    @model_validator(mode="after")
    def _keep_rules(self: Self) -> Self:
        findings = list(self.rules())
        if findings:
            raise PydanticCustomError("rules", "{text}", {"text": "; ".join(findings), "findings": findings})
        return self


class ServeSpec(Spec):
    """What one serving run serves, whatever the runtime."""

    kind: ClassVar[str]

    @property
    def object_name(self) -> str:
        """The stable name of the serving run where the user gives none."""
        raise NotImplementedError

    @property
    def writes_text(self) -> bool:
        """Whether the spec says that the model writes text."""
        raise NotImplementedError

    @property
    def runtime_name(self) -> str:
        """The row of ``registry`` that carries it on Kubernetes."""
        return names_of(self.kind)[0]

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the spec's canonical JSON."""
        return digest({"kind": self.kind, **self.to_json()})[:16]


def slug(text: str, limit: int) -> str:
    """``text`` as an object name (RFC 1123 label) of at most ``limit`` characters.

    A longer one is cut and ends in eight digits of its own hash, so that two long texts do not become one name.
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if len(name) <= limit:
        return name
    return f"{name[: limit - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _findings(cls: type[BaseModel], error: ValidationError) -> list[str]:
    findings = []
    for e in error.errors():
        where = ".".join(str(p) for p in e["loc"])
        at = f"{where}: " if where else ""
        if e["type"] == "extra_forbidden":
            findings.append(f"{at}{_unknown(_model_at(cls, e['loc'][:-1]), str(e['loc'][-1]))}")
        elif e["type"] == "rules":
            findings += [f"{at}{text}" for text in e["ctx"]["findings"]]
        else:
            findings.append(f"{at}{e['msg'].removeprefix('Value error, ')}")
    return findings


def _unknown(model: type[BaseModel], key: str) -> str:
    if issubclass(model, Spec):
        if key in model.other_spellings:
            return f"another spelling of {model.other_spellings[key]!r}, which is given too, with another value; give one"
        if key in model.remedies:
            return f"unknown field; {model.remedies[key]}"
    known = list(model.model_fields)
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown field; {hint}"


def _model_at(cls: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    model = cls
    for part in path:
        field = model.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field else None
        if inner is not None:
            model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for arg in getattr(annotation, "__args__", ()):
        found = _model_in(arg)
        if found is not None:
            return found
    return None
