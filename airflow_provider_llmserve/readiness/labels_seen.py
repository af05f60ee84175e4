"""What was seen of pods' labels while somebody looked: the one thing that a snapshot does not tell. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_provider_llmserve.readiness.fields import labels_of, uid_of
from airflow_provider_llmserve.readiness.observed import Label, Object


@dataclass(frozen=True)
class LabelsSeen:
    """Labels that pods have ``gained``, having been without them, and those whose value ``changed`` in place."""

    gained: frozenset[Label] = frozenset()
    changed: frozenset[Label] = frozenset()

    def after(self, before: Object | None, now: Object) -> LabelsSeen:
        """With what one more look at a pod shows; of its first (``before`` is None) nothing is known."""
        if before is None:
            return self
        old, new = labels_of(before), labels_of(now)
        gained, lost, changed = (
            frozenset((uid_of(now), str(key)) for key in keys)
            for keys in (
                new.keys() - old.keys(),
                old.keys() - new.keys(),
                {k for k in old.keys() & new.keys() if old[k] != new[k]},
            )
        )
        if not (gained or lost or changed):
            return self
        return replace(self, gained=(self.gained | gained) - lost - changed, changed=(self.changed | changed) - lost - gained)

    def __or__(self, other: LabelsSeen) -> LabelsSeen:
        return LabelsSeen(self.gained | other.gained, self.changed | other.changed)
