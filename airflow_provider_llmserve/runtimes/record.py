"""The record that stands with every serving run: who deployed which spec, and the last good one. Pure.

It is a handful of strings; where they stand, ``record_home`` tells.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.specs import KINDS, ServeSpec

PREFIX = "llmserve.airflow/"
"""Of the annotations; a ConfigMap's keys go without."""
MANAGED_BY = {"app.kubernetes.io/managed-by": "airflow-llmserve"}
"""The label on everything we make. It never changes, so it rolls nothing out."""
FIELD_MANAGER = "airflow-llmserve"
"""Who we are to the API server: the fields that we applied are its."""
CONNECTION = "conn:"
"""What an entry of ``spec.secrets`` begins with that names an Airflow connection instead of a Kubernetes Secret."""

_LONG = 16 * 1024


Names = tuple[tuple[str, str, str], ...]
"""Objects, each as ``(apiVersion, kind, name)``."""


@dataclass(frozen=True)
class Previous:
    """What a rollback puts back: a spec that stood before, and who deployed it.

    The last proven one; where none was, the one that this deployment replaced, which ``proven`` then says.
    """

    spec: ServeSpec
    stopped: bool = False
    owner: Owner = field(default_factory=Owner)
    proven: bool = True
    ttl: float | None = None
    secret: str = ""
    """The Secret with the values of its connections, as they were then."""


@dataclass(frozen=True)
class Record:
    """One serving run's record.

    ``spec`` is None where a newer version of this package wrote it and we cannot read it. ``applied`` is the time of the write
    (ISO 8601, UTC), ``ttl`` the seconds after it that the run may be swept away (None: never). ``others`` are the objects that
    were applied with the primary one, as ``(apiVersion, kind, name)``; ``stale`` those that only an earlier deployment had:
    they go when this one is proven, since a rollback needs them (a claim with its data).
    """

    owner: Owner
    spec: ServeSpec | None
    stopped: bool = False
    proven: bool = False
    previous: Previous | None = None
    applied: str = ""
    others: Names = ()
    ttl: float | None = None
    stale: Names = ()
    runtime: str = ""
    """The runtime that made the object: two may make objects of one kind."""
    mark: str = ""
    """What each pod of it carries (``runtimes.mark``); empty where it was written without one."""
    secret: str = ""
    """The Secret with the values of its connections; empty where it names none."""

    def same_want(self, owner: Owner, spec: ServeSpec | None, stopped: bool) -> bool:
        """Whether this is the record of that very deployment."""
        return (self.owner, self.spec, self.stopped) == (owner, spec, stopped)

    @property
    def expires(self) -> datetime | None:
        """When it may be swept away, with its time zone; None: never, or not known."""
        try:
            return None if self.ttl is None else datetime.fromisoformat(self.applied) + timedelta(seconds=self.ttl)
        except (ValueError, OverflowError):
            return None

    def puts_back(self, replaced: Record | None) -> bool:
        """Whether this takes a change back: it is what ``replaced`` kept for a rollback."""
        kept = replaced.previous if replaced is not None else None
        return kept is not None and (kept.spec, kept.stopped, kept.owner) == (self.spec, self.stopped, self.owner)

    def gone_with(self, replaced: Record | None) -> Names:
        """Objects of ``replaced`` and of those before it that this deployment does not have."""
        before = (*replaced.others, *replaced.stale) if replaced is not None else ()
        return tuple(dict.fromkeys(o for o in before if o not in self.others))


def succeed(replaced: Record | None, owner: Owner, spec: ServeSpec, stopped: bool, ttl: float | None = None) -> Record:
    """The record of a new deployment that takes the place of ``replaced``.

    It keeps what a rollback puts back: the last proven spec; where none was, the replaced one, so that a failed update never
    deletes what stood before. A task instance that finds its own unproven deployment (a retry) keeps what stood before that.
    Putting back exactly what is kept there is as proven as it was.
    """
    fresh = Record(owner=owner, spec=spec, stopped=stopped, ttl=ttl)
    if replaced is None or replaced.spec is None:
        return fresh
    kept = replaced.previous
    if replaced.proven:
        return replace(fresh, previous=_kept(replaced))
    if kept is not None and (kept.spec, kept.stopped, kept.owner) == (spec, stopped, owner):
        return replace(fresh, proven=kept.proven)
    own_try = replaced.owner.key == owner.key and (replaced.spec, replaced.stopped) == (spec, stopped)
    if own_try or (kept is not None and kept.proven):
        return replace(fresh, previous=kept)
    return replace(fresh, previous=_kept(replaced))


def _kept(replaced: Record) -> Previous:
    assert replaced.spec is not None
    return Previous(
        replaced.spec, replaced.stopped, replaced.owner, proven=replaced.proven, ttl=replaced.ttl, secret=replaced.secret
    )


def write(record: Record) -> dict[str, str]:
    """The record as strings. ``unproven`` is there while the spec is not proven, with what a rollback puts back in it, if any."""
    assert record.spec is not None
    data = {
        "owner": _text(record.owner.model_dump()),
        "spec": _text(_spec(record.spec, record.stopped)),
        "applied": record.applied,
        "objects": _text([list(o) for o in record.others]),
    }
    data |= {key: getattr(record, key) for key in ("runtime", "mark", "secret") if getattr(record, key)}
    if record.ttl is not None:
        data["ttl"] = _text(float(record.ttl))
    if record.stale:
        data["stale"] = _text([list(o) for o in record.stale])
    if not record.proven:
        p = record.previous
        kept = {"owner": p.owner.model_dump(), "proven": p.proven, "ttl": p.ttl, "secret": p.secret} if p else {}
        data["unproven"] = _text({**_spec(p.spec, p.stopped), **kept} if p else {})
    return data


def read(data: Mapping[str, str] | None) -> Record | None:
    """The record in those strings; None where there is none. Total: whatever cannot be read is left out."""
    if not data or "owner" not in data:
        return None
    owner = _owner(_value(data.get("owner")))
    if owner is None:
        return None
    standing = _value(data.get("spec"))
    before = _value(data.get("unproven"))
    spec = _read_spec(standing)
    return Record(
        owner=owner,
        spec=spec,
        runtime=data.get("runtime") or (spec.runtime_name if spec else ""),
        stopped=bool(standing.get("stopped")),
        proven="unproven" not in data,
        previous=_previous(before),
        applied=str(data.get("applied") or ""),
        others=_names(data.get("objects")),
        mark=str(data.get("mark") or ""),
        secret=str(data.get("secret") or ""),
        ttl=_seconds(_value(data.get("ttl"), object)),
        stale=_names(data.get("stale")),
    )


def companion_name(name: str) -> str:
    """Name of the ConfigMap that holds the record."""
    return f"{name}-llmserve"


def secret_name(name: str, suffix: str) -> str:
    """Name of a Secret with values from connections."""
    return f"{companion_name(name)}-{suffix}"


def connections(spec: ServeSpec) -> tuple[str, ...]:
    """The Airflow connections that the spec's secrets name."""
    return tuple(s.removeprefix(CONNECTION) for s in getattr(spec, "secrets", ()) if s.startswith(CONNECTION))


def resolved(spec: ServeSpec, secret: str) -> ServeSpec:
    """The spec as runtimes render it: every ``conn:`` entry stands for the one Secret that we own."""
    if not connections(spec):
        return spec
    named = (secret if s.startswith(CONNECTION) else s for s in getattr(spec, "secrets", ()))
    return spec.model_copy(update={"secrets": tuple(dict.fromkeys(named))})


def _spec(spec: ServeSpec, stopped: bool) -> dict[str, Any]:
    return {"kind": spec.kind, "stopped": stopped, "spec": spec.to_json()}


def _read_spec(value: Mapping[str, Any]) -> ServeSpec | None:
    cls = KINDS.get(str(value.get("kind")))
    if cls is None:
        return None
    try:
        return cls.parse(value.get("spec"))
    except BadInput:
        return None


def _previous(value: Mapping[str, Any]) -> Previous | None:
    spec, owner = _read_spec(value), _owner(value.get("owner"))
    if spec is None or owner is None:
        return None
    proven, secret = bool(value.get("proven", True)), str(value.get("secret") or "")
    return Previous(spec, bool(value.get("stopped")), owner, proven, _seconds(value.get("ttl")), secret)


def _names(text: str | None) -> Names:
    found = _value(text, list)
    return tuple((str(o[0]), str(o[1]), str(o[2])) for o in found if isinstance(o, list) and len(o) == 3)


def _seconds(value: Any) -> float | None:
    """A positive, finite number, else None: a damaged time to live sweeps nothing away."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
    return float(value) if ok else None


def _owner(value: Any) -> Owner | None:
    try:
        return Owner.model_validate(value)
    except ValidationError:
        return None


def _text(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text) < _LONG:
        return text
    return "zlib:" + base64.b64encode(zlib.compress(text.encode(), 9)).decode()  # all annotations share 256 KiB


def _value(text: str | None, shape: type[Any] = dict) -> Any:
    """The JSON in ``text``; an empty ``shape`` where it is none of that shape."""
    try:
        if text and text.startswith("zlib:"):
            text = zlib.decompress(base64.b64decode(text.removeprefix("zlib:"))).decode()
        value = json.loads(text or "null")
    except (ValueError, zlib.error):
        return shape()
    return value if isinstance(value, shape) else shape()
