"""What is left of a serving run that is being deleted. Pure.

Its primary object by uid; Deployments, ReplicaSets and pods by the chain of their owners' uids. The garbage collector takes
owners before what they own, and the kinds are not listed at one moment: who looks late finds a ReplicaSet whose Deployment is
gone, and the chain tells nothing of its pods. So a pod that descends from the object by name counts too, unless another object
has the name by now.
"""

from __future__ import annotations

from airflow_provider_llmserve.readiness.fields import items, mapping, name_of, text, uid_of
from airflow_provider_llmserve.readiness.observed import Object, Observed
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.runtimes.kinds import DEPLOYMENT, POD, REPLICA_SET

CHAIN = (DEPLOYMENT, REPLICA_SET, POD)
"""Kinds between a primary object and its pods, owners first."""
KUBERNETES_OWN = ("foregroundDeletion", "orphan")
"""Finalizers of the garbage collector, which nobody else may remove."""


class Remains:
    """What belongs to the object of that name and uid, over several looks: an owner may be gone before its pods are."""

    def __init__(self, runtime: Runtime, name: str, uid: str) -> None:
        self._runtime = runtime
        self._name = name
        self._uid = uid
        self._uids = {uid}

    def look(self, observed: Observed) -> None:
        """Remember whose children are seen."""
        for kind in CHAIN:
            self._uids |= {uid_of(o) for o in observed.of(kind.kind) if self._owned(o)}

    def left(self, observed: Observed) -> list[str]:
        """What is still there: what makes pods counts as long as it stands, since it may make one more."""
        primary = observed.get(self._runtime.PRIMARY.kind, self._name)
        found = [f"{self._runtime.PRIMARY.kind} {self._name}"] if primary is not None and uid_of(primary) == self._uid else []
        others_name = primary is not None and uid_of(primary) != self._uid
        for kind in CHAIN:
            for one in observed.of(kind.kind):
                by_name = kind == POD and not others_name and self._runtime.descends(one, name=self._name, uid=self._uid)
                if uid_of(one) != self._uid and (uid_of(one) in self._uids or by_name):
                    found.append(f"{kind.kind} {name_of(one)}")
        return found

    def finalizers(self, observed: Observed) -> list[str]:
        """Those that hold the primary object, except the garbage collector's."""
        primary = observed.get(self._runtime.PRIMARY.kind, self._name)
        if primary is None or uid_of(primary) != self._uid:
            return []
        held = mapping(primary, "metadata").get("finalizers")
        return [f for f in held if f not in KUBERNETES_OWN] if isinstance(held, list) else []

    def _owned(self, thing: Object) -> bool:
        return any(text(r, "uid") in self._uids for r in items(thing, "metadata", "ownerReferences"))
