"""What was seen of a serving run, as plain values: the input of every ``assess`` function.

Objects are raw Kubernetes JSON. Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from airflow_provider_llmserve.readiness.state import Ask

Object = Mapping[str, Any]
Label = tuple[str, str]
"""A label of a pod: the pod's uid, and the label's key."""


@dataclass(frozen=True)
class LabelsSeen:
    """What a watch has seen of pods' labels (``labels_seen``): those that pods have ``gained``, having been without them; those
    whose value ``changed`` in place; and the latest time ``since`` when each is what it is."""

    gained: frozenset[Label] = frozenset()
    changed: frozenset[Label] = frozenset()
    since: Mapping[Label, datetime] = field(default_factory=dict)

    def __or__(self, other: LabelsSeen) -> LabelsSeen:
        return LabelsSeen(self.gained | other.gained, self.changed | other.changed, {**self.since, **other.since})


@dataclass(frozen=True)
class Reply:
    """The answer to ``ask``, which came at ``at``, by our own clock.

    ``status`` is the HTTP status, 0 where no answer came; ``text`` the beginning of the body (or of the fault): 4,000
    characters through the gateway, 65,536 of one pod's list of models. ``misfit`` says why a 2xx is no answer of the route
    that was asked. ``slow``: the question was taken, and given up when its time was over.
    """

    ask: Ask
    status: int
    at: datetime
    text: str = ""
    misfit: str = ""
    slow: bool = False

    @property
    def pod(self) -> str:
        """The pod that was asked, empty for the gateway or Service."""
        return self.ask.pod

    @property
    def answered(self) -> bool:
        """Whether it is an answer of the route that was asked."""
        return 200 <= self.status < 300 and not self.misfit

    @property
    def forbidden(self) -> bool:
        """The login lacks the right to ask. Admission and a model server's own login say 403 in other words (seen on 1.36)."""
        return self.status == 403 and " cannot " in self.text

    @property
    def in_words(self) -> str:
        """What came instead of an answer."""
        silent = "no answer in time yet, and the first one of a fresh server may take long" if self.slow else "no answer"
        return self.misfit or (f"HTTP {self.status}" if self.status else silent)


@dataclass(frozen=True)
class PodLog:
    """The tail of one container's log; ``previous`` is the run before the last restart."""

    pod: str
    container: str
    text: str
    previous: bool = False


@dataclass(frozen=True)
class Observed:
    """A snapshot. ``kinds`` are the kinds that were listed: only of those does absence mean that there is none."""

    objects: tuple[Object, ...] = ()
    kinds: frozenset[str] = frozenset()
    replies: tuple[Reply, ...] = ()
    logs: tuple[PodLog, ...] = ()
    labels: LabelsSeen = LabelsSeen()

    def answer(self, ask: Ask) -> Reply | None:
        """The last answer to that very question."""
        return max((r for r in self.replies if r.ask == ask), key=lambda r: r.at, default=None)

    def of(self, kind: str) -> Iterator[Object]:
        """All objects of ``kind``."""
        return iter(self._by_kind.get(kind, ()))

    def events_named(self, name: str) -> list[Object]:
        """The events about objects of that name, in either API."""
        return self._events.get(name, [])

    @cached_property
    def _by_kind(self) -> Mapping[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for o in self.objects:
            kind = o.get("kind")
            found.setdefault(kind if isinstance(kind, str) else "", []).append(o)
        return found

    @cached_property
    def _events(self) -> Mapping[str, list[Object]]:
        """A namespace may hold tens of thousands, and each pod's are looked for several times."""
        found: dict[str, list[Object]] = {}
        for event in self.of("Event"):
            target = event.get("involvedObject") or event.get("regarding")
            name = target.get("name") if isinstance(target, Mapping) else None
            found.setdefault(name if isinstance(name, str) else "", []).append(event)
        return found

    def get(self, kind: str, name: str) -> Object | None:
        """The object of that kind and name, or None."""
        for o in self.of(kind):
            metadata = o.get("metadata")
            if isinstance(metadata, Mapping) and metadata.get("name") == name:
                return o
        return None

    def with_replies(self, *replies: Reply) -> Observed:
        """The same snapshot with more answers of the model."""
        return self._with(replies=(*self.replies, *replies))

    def with_logs(self, *logs: PodLog) -> Observed:
        """The same snapshot with more logs."""
        return self._with(logs=(*self.logs, *logs))

    def _with(self, **more: Any) -> Observed:
        """With what is found by kind and by name already: the objects are the same."""
        same = replace(self, **more)
        same.__dict__.update({key: self.__dict__[key] for key in ("_by_kind", "_events") if key in self.__dict__})
        return same


@dataclass(frozen=True)
class Expected:
    """What was asked for: the primary object as the API server stored our request.

    ``applied_at`` is when we asked, by the clock by which the verdict is given; ``written`` is what the API server noted of
    it. ``mark`` is what each pod of our change must carry, empty where the record has none. ``uid`` is empty where it is not
    known (a recorded history); ``present`` is False for a deletion.
    """

    manifest: Object
    applied_at: datetime
    mark: str = ""
    uid: str = ""
    present: bool = True
    written: datetime | None = None
