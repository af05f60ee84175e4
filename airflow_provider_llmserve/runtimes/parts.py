"""The values in which a runtime and the platform speak to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_llmserve.runtimes.kinds import Kind

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Watched:
    """A collection to list and watch in the run's namespace: by label selector, or one object by name (empty: all of the kind).

    ``required`` ones must be readable; without the right to read another, the verdict says what it rests on. ``about`` are the
    names of what events must be about to be kept, those that end in a dash the beginnings of such names; none keeps all.
    """

    kind: Kind
    labels: str = ""
    name: str = ""
    required: bool = True
    about: tuple[str, ...] = ()

    def concerns(self, thing: Mapping[str, Any]) -> bool:
        """Whether it is kept."""
        if not self.about:
            return True
        target = thing.get("involvedObject") or thing.get("regarding")
        name = str(target.get("name")) if isinstance(target, Mapping) else ""
        return any(name == one or (one.endswith("-") and name.startswith(one)) for one in self.about)


@dataclass(frozen=True)
class Lookup:
    """One object that preflight reads. ``namespace`` empty means the run's own; cluster-scoped kinds ignore it."""

    kind: Kind
    name: str
    namespace: str = ""


@dataclass(frozen=True)
class Facts:
    """What preflight found: each lookup's object, None where there is none; a lookup that was refused (403) is absent."""

    objects: Mapping[Lookup, Mapping[str, Any] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Permission:
    """A rule of the published Role. ``resource`` may name a subresource (``pods/log``)."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    optional: bool = False
    """Without it things work, but a verdict rests on weaker proof."""


@dataclass(frozen=True)
class Call:
    """One HTTP request that proves a served name: where it goes, and how the API server's proxy would be asked.

    ``service`` is ``namespace/name:port`` of the Service in front, ``pod`` is ``name:port`` where one pod is asked.
    """

    method: Literal["GET", "POST"]
    url: str
    path: str
    body: Mapping[str, Any] | None = None
    service: str = ""
    pod: str = ""


@dataclass(frozen=True)
class LogTail:
    """The last ``lines`` lines of a running container's log."""

    pod: str
    container: str
    lines: int
