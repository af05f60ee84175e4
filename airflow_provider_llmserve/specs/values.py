"""The kinds of value that specs are made of: words in any case, URLs, names, quantities, environment variables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from airflow_provider_llmserve.specs.quantity import SPELT

MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1


def any_case(literal: Any, old_names: Mapping[str, str] | None = None) -> BeforeValidator:
    """Accept the words of a ``Literal``, or of a tuple, in any case, and store the canonical one;
    refuse others with the nearest."""
    words = literal if isinstance(literal, tuple) else get_args(literal)
    known = {w.lower(): w for w in words} | {old.lower(): new for old, new in (old_names or {}).items()}

    def canonical(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = known.get(value.strip().lower())
        if found is None:
            raise ValueError(f"unknown value {value!r}; {_nearest(value, words, 0.6)}")
        return found

    return BeforeValidator(canonical)


def open_words(words: tuple[str, ...], refused: Mapping[str, str]) -> BeforeValidator:
    """Accept known words in any case, and unknown ones as they are, unless they look like a slip of a known one.

    ``refused`` maps a word (lower case) to what to do instead. The threshold of 0.8 lets ``LlamaCpp`` pass beside
    ``OLlama`` (0.71) and catches ``vlm`` for ``VLLM`` (0.86).
    """

    def canonical(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        key = value.strip().lower()
        if key in refused:
            raise ValueError(f"{value!r} is not served here; {refused[key]}")
        found = {w.lower(): w for w in words}.get(key)
        if found is not None:
            return found
        hint = _nearest(value, words, 0.8)
        if hint.startswith("did") or not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,62}", value.strip()):
            raise ValueError(f"unknown value {value!r}; {hint}")
        return value.strip()

    return BeforeValidator(canonical)


def _nearest(value: str, words: tuple[str, ...], cutoff: float) -> str:
    plain = {re.sub(r"[^a-z0-9]", "", w.lower()): w for w in words}
    near = difflib.get_close_matches(re.sub(r"[^a-z0-9]", "", value.lower()), list(plain), n=1, cutoff=cutoff)
    return f"did you mean {plain[near[0]]!r}?" if near else f"known: {', '.join(words)}"


def scheme_of(url: str) -> str:
    """``s3`` of ``s3://bucket/key``; empty where there is none."""
    return url.partition("://")[0] if "://" in url else ""


_URL = r"([A-Za-z][A-Za-z0-9+.-]*)://(\S+)"


def _url(value: str) -> str:
    match = re.fullmatch(_URL, value)
    if match is None:
        raise ValueError(f"is no URL: {value!r}; write hf://org/model, s3://bucket/prefix or, on this machine, file:///path")
    scheme, rest = match[1].lower(), match[2]
    if scheme == "store":
        raise ValueError(
            "store:// addresses are DigitalHub's own; give the model's own URL, that is project.get_model(…).spec.path (s3://…)"
        )
    return f"{'hf' if scheme == 'huggingface' else scheme}://{rest}"


def _place(value: str) -> str:
    return value if re.fullmatch(r"/\S*", value) else _url(value)


def no_bool(value: Any) -> Any:
    """Python takes ``True`` for 1; here it raises :class:`ValueError`."""
    if isinstance(value, bool):
        raise ValueError("should be a whole number, not true or false")
    return value


def as_text(value: Any) -> Any:
    """YAML reads ``cpu: 2`` as a number; a quantity is text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _quantity(value: str) -> str:
    if not re.fullmatch(SPELT, value, re.ASCII):
        raise ValueError(f"is no Kubernetes quantity: {value!r}; write for example 500m, 2, 512Mi or 16Gi")
    return value


def _pairs(value: Any) -> Any:
    """A mapping, or a list of ``{name, value}``, as a mapping."""
    if not isinstance(value, (list, tuple)):
        return value
    pairs: dict[str, Any] = {}
    for item in value:
        if not isinstance(item, Mapping) or set(item) != {"name", "value"}:
            raise ValueError("a list of variables holds {name, value} each")
        name = item["name"]
        if not isinstance(name, str):
            raise ValueError("a variable's name is a text")
        if name in pairs:
            raise ValueError(f"variable {name!r} is given twice")
        pairs[name] = item["value"]
    return pairs


def once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Each value once, where it stood first."""
    return tuple(dict.fromkeys(values))


def text_list(value: Any) -> Any:
    """A set (DigitalHub's secrets are one) as a list in a stable order."""
    return sorted(value) if isinstance(value, (set, frozenset)) and all(isinstance(v, str) for v in value) else value


def list_or_mapping(schema: dict[str, Any]) -> None:
    """JSON Schema of environment variables: whichever form the field stores, both are taken."""
    either = [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
                "required": ["name", "value"],
                "additionalProperties": False,
            },
        },
    ]
    for key in ("type", "items", "additionalProperties", "propertyNames", "patternProperties"):
        schema.pop(key, None)
    schema["anyOf"] = either


def _matching(pattern: str, max_length: int, what: str) -> Any:
    """A text that matches ``pattern`` wholly, refused in words."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if len(value) > max_length or not compiled.fullmatch(value):
            raise ValueError(f"{value[:80]!r} is no valid name: {what}, at most {max_length} characters")
        return value

    return Annotated[str, AfterValidator(check), Field(json_schema_extra={"pattern": f"^({pattern})$", "maxLength": max_length})]


Url = Annotated[str, AfterValidator(_url), Field(json_schema_extra={"pattern": rf"^{_URL}$", "format": "uri"})]
"""Any URL; ``huggingface://`` is stored as ``hf://``."""
Place = Annotated[str, AfterValidator(_place), Field(json_schema_extra={"pattern": rf"^({_URL}|/\S*)$"})]
"""Any URL, or an absolute path."""
Whole = Annotated[int, Field(ge=1, le=MAX_INT32), BeforeValidator(no_bool)]
WholeOrZero = Annotated[int, Field(ge=0, le=MAX_INT32), BeforeValidator(no_bool)]
Word = Annotated[str, StringConstraints(min_length=1)]
"""A text that is not empty: an empty one comes from a template that found nothing."""
Text = Annotated[str, StringConstraints(strip_whitespace=False)]
"""Text that is passed on as it stands, spaces included."""

if TYPE_CHECKING:
    Quantity = str
    Label = str
    ServiceName = str
    ObjectName = str
    VariableName = str
    Env = dict[str, str]
    Secrets = tuple[str, ...]
else:
    Quantity = Annotated[
        str,
        BeforeValidator(as_text),
        AfterValidator(_quantity),
        WithJsonSchema({"type": ["string", "integer"], "pattern": f"^{SPELT}$", "examples": ["500m", 2, "16Gi"]}),
    ]
    Label = _matching(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", 63, "lower-case letters, digits and hyphens, no hyphen first or last")
    ServiceName = _matching(r"[a-z]([-a-z0-9]*[a-z0-9])?", 63, "lower-case letters, digits and hyphens, a letter first")
    ObjectName = _matching(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", 253, "lower-case letters, digits, hyphens and dots"
    )
    VariableName = _matching(r"[-._a-zA-Z][-._a-zA-Z0-9]*", 253, "letters, digits, _ - and dots, no digit first")
    Env = Annotated[dict[VariableName, Text], BeforeValidator(_pairs), Field(json_schema_extra=list_or_mapping)]
    SecretSource = _matching(
        r"conn:[-._a-zA-Z0-9]+|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        253,
        "the name of a Kubernetes Secret, or conn:<Airflow connection>",
    )
    Secrets = Annotated[tuple[SecretSource, ...], BeforeValidator(text_list), AfterValidator(once)]


def count_from_one(remedy: str) -> BeforeValidator:
    """Refuse 0 with what to do instead."""

    def check(value: Any) -> Any:
        if value in (0, "0") and not isinstance(value, bool):
            raise ValueError(f"0 replicas: {remedy}")
        return value

    return BeforeValidator(check)
