"""One look at a Model and its pods, with the questions that the rules ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from airflow_provider_llmserve.readiness.events import event_text, event_time
from airflow_provider_llmserve.readiness.fields import (
    condition,
    items,
    labels_of,
    mapping,
    moment,
    name_of,
    number,
    terminating,
    text,
    uid_of,
)
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.readiness.pods import pod_ended, pod_ready
from airflow_provider_llmserve.readiness.state import Evidence
from airflow_provider_llmserve.runtimes.descent import owner_references
from airflow_provider_llmserve.runtimes.kinds import MODEL
from airflow_provider_llmserve.runtimes.kubeai import config
from airflow_provider_llmserve.runtimes.mark import in_environment
from airflow_provider_llmserve.runtimes.rules import Look

MANAGER_LEASE = "cc6bca10.substratus.ai"
"""Leader election of the controller (``internal/manager/run.go``); the autoscaler has one of its own."""
FEATURE_LABEL = "features.kubeai.org/"
UNSEEN = f"{FEATURE_LABEL}unseen"
"""Label of a Model in each write of ours. The manager takes away what stands for no feature of the spec before it looks at the
pods (``applySelfLabels``, v0.22.1; seen), so without it the manager has seen our very write. A Model has no
``observedGeneration``, and pods that it made of another writer's spec may carry our mark too."""
SERVER = "server"
"""The container that serves, of every engine."""
REVISION = "pod-hash"
"""Label of a pod: the manager's digest of the pod that it makes of the Model and of its own configuration."""
REACTS_WITHIN = timedelta(seconds=30)
"""How long the manager may take to act: it has one worker, sleeps 3 s after each pod it makes or deletes, and backs off on
errors. Somebody else's adapter download holds it up for longer; so this only names what is odd, and never ends a wait."""


@dataclass(frozen=True)
class View(Look):
    """A look at a Model and its pods."""

    @property
    def kind(self) -> str:
        """``Model``."""
        return MODEL.kind

    @cached_property
    def namespace(self) -> str:
        """Its namespace; empty where the manifest names none."""
        return text(self.expected.manifest, "metadata", "namespace")

    @cached_property
    def asked(self) -> Mapping[str, Any]:
        """The spec as it was stored when we applied it."""
        return mapping(self.expected.manifest, "spec")

    @cached_property
    def model(self) -> Object | None:
        """The Model as it was seen, or None."""
        return self.live

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """The live spec."""
        return mapping(self.model, "spec")

    @cached_property
    def uid(self) -> str:
        """Uid of the Model that was seen, else of the one that we applied."""
        return uid_of(self.model or {}) or self.expected.uid

    @cached_property
    def config(self) -> config.SystemConfig | None:
        """KubeAI's own configuration, where it may be read."""
        return config.of(self.observed.get("ConfigMap", config.NAME))

    @cached_property
    def replicas(self) -> int:
        """How many pods the Model asks for now: the autoscaler's number, or ours."""
        return number(self.spec, "replicas")

    # Pods

    @cached_property
    def pods(self) -> list[Object]:
        """Pods that the Model controls. Others that carry its label are KubeAI's trouble, not part of what serves."""
        return [p for p in self.observed.of("Pod") if self._controls(p)]

    @cached_property
    def alive(self) -> list[Object]:
        """Neither ended nor told to end."""
        return [p for p in self.pods if not pod_ended(p) and not terminating(p)]

    @cached_property
    def ending(self) -> list[Object]:
        """Told to end and still there; they may still answer and still hold their GPUs."""
        return [p for p in self.pods if terminating(p)]

    @cached_property
    def outgoing(self) -> list[Object]:
        """Of those that end, the ones that may still answer. A pod with adapters stands for its whole grace (30 s) after its
        server has ended: the loader beside it hears no signal."""
        return [p for p in self.ending if not mapping(server_status(p), "state", "terminated")]

    @cached_property
    def dead(self) -> list[Object]:
        """Ended (evicted, failed) and not removed: KubeAI counts such a pod as a replica and makes no other."""
        return [p for p in self.pods if pod_ended(p) and not terminating(p)]

    @cached_property
    def revision(self) -> str:
        """The manager's revision of our change: that of the newest pod with our mark. A new configuration of the manager makes
        new pods with the same mark; both times are the API server's."""
        ours = [p for p in self.pods if self._carries_mark(p) and not terminating(p)]
        newest = max(ours, key=lambda p: (text(p, "metadata", "creationTimestamp"), name_of(p)), default=None)
        return text(labels_of(newest or {}), REVISION)

    @cached_property
    def stale(self) -> dict[str, str]:
        """Living pods of another version: their name, and what tells."""
        found = {name_of(p): self.outdated(p) for p in self.alive}
        return {name: what for name, what in found.items() if what}

    @cached_property
    def current(self) -> list[Object]:
        """Living pods of our version."""
        return [p for p in self.alive if name_of(p) not in self.stale]

    @cached_property
    def unmarked(self) -> list[Object]:
        """Living pods without any mark that were made after our write."""
        made = [p for p in self.alive if not in_environment(p, SERVER)]
        return [p for p in made if (at := moment(p, "metadata", "creationTimestamp")) is not None and at >= self.written]

    @cached_property
    def serving(self) -> bool:
        """Some pod, of whatever version, is ready and not told to end."""
        return any(pod_ready(p) for p in self.alive)

    @cached_property
    def minimum_serves(self) -> bool:
        """An autoscaler asks for more than its minimum, which serves: what it cannot add is no failure."""
        if self.spec.get("autoscalingDisabled"):
            return False
        ready = sum(pod_ready(p) for p in self.current)
        return max(number(self.spec, "minReplicas"), 1) <= ready < self.replicas

    def outdated(self, pod: Object) -> str:
        """What tells that a pod is not of our version; empty where it is."""
        if not self._carries_mark(pod):
            return "it carries the mark of another change" if in_environment(pod, SERVER) else "it carries no mark"
        if text(labels_of(pod), REVISION) != self.revision:
            return f"KubeAI has made a newer revision, {self.revision}"
        return ""

    def _carries_mark(self, pod: Object) -> bool:
        return in_environment(pod, SERVER) == self.expected.mark

    def _controls(self, pod: Object) -> bool:
        owners = (o for o in items(pod, "metadata", "ownerReferences") if (o.get("kind"), o.get("name")) == ("Model", self.name))
        return any(not self.uid or o.get("uid") == self.uid for o in owners)

    # The manager

    @cached_property
    def marked(self) -> bool:
        """The manager has put its feature labels on this Model (without features there are none to see, and this is True)."""
        labels, features = labels_of(self.model or {}), self.spec.get("features")
        return all(f"{FEATURE_LABEL}{f}" in labels for f in (features if isinstance(features, list) else ()))

    @cached_property
    def seen_by_manager(self) -> bool:
        """The manager has acted on the spec as it is: feature labels, a status, a number of replicas within the bounds."""
        known = self.marked and bool(mapping(self.model, "status", "replicas"))
        return known and self._acknowledged and self._within_bounds

    @cached_property
    def _acknowledged(self) -> bool:
        """Its label says so; a manager that lives and leaves the label for long may be one that takes none away."""
        leaves_it = self.manager_silent_for is None and self.manager_had > REACTS_WITHIN
        return UNSEEN not in labels_of(self.model or {}) or leaves_it

    @cached_property
    def _within_bounds(self) -> bool:
        if self.spec.get("autoscalingDisabled"):
            return True
        least, most = number(self.spec, "minReplicas"), self.spec.get("maxReplicas")
        return "replicas" in self.spec and least <= self.replicas and (not isinstance(most, int) or self.replicas <= most)

    @cached_property
    def cache_pending(self) -> bool:
        """A cache is asked for and the manager did not say yet that the model is in it."""
        return bool(self.spec.get("cacheProfile")) and mapping(self.model, "status", "cache").get("loaded") is not True

    @cached_property
    def lease(self) -> Object | None:
        """The manager's leader election in the Model's namespace, or None."""
        leases = (o for o in self.observed.of("Lease") if name_of(o) == MANAGER_LEASE)
        return next((o for o in leases if not self.namespace or text(o, "metadata", "namespace") == self.namespace), None)

    @cached_property
    def manager_silent_for(self) -> timedelta | None:
        """How long ago the manager's lease ran out; None where it is valid, or nothing is known of it."""
        renewed = moment(self.lease, "spec", "renewTime")
        if renewed is None:
            return None
        silent = self.now - renewed - timedelta(seconds=number(self.lease, "spec", "leaseDurationSeconds") or 15)
        return silent if silent > timedelta(0) else None

    @cached_property
    def manager_had(self) -> timedelta:
        """How long a manager has had to act on our change: since we asked, or since the manager that leads now began to."""
        led = moment(self.lease, "spec", "acquireTime")
        return self.waited if led is None else min(self.waited, self.now - led)

    @cached_property
    def manager_idle(self) -> timedelta:
        """How long it could have acted and was not seen to: since the newest pod that it made, or told to go."""
        made = [moment(p, "metadata", "creationTimestamp") for p in self.pods]
        ended = [
            event_time(e)
            for e in self.observed.of("Event")
            if e.get("reason") == "Killing"
            and "will be restarted" not in event_text(e)
            and text(mapping(e, "involvedObject") or mapping(e, "regarding"), "name").startswith(f"model-{self.name}-")
        ]
        return min([self.manager_had, *(self.now - at for at in (*made, *ended) if at is not None)])

    @cached_property
    def loading_for(self) -> timedelta:
        """How long it could have loaded adapters: since the last pod of our version got ready, at most since we asked."""
        turned = [moment(condition(p, "Ready"), "lastTransitionTime") for p in self.current]
        return min([self.waited, *(self.now - at for at in turned if at is not None)])

    @cached_property
    def no_manager_here(self) -> bool:
        """Leases were listed, and the manager's is not in this namespace (it watches only the one it runs in)."""
        return "Lease" in self.observed.kinds and self.lease is None


def descends(pod: Mapping[str, Any], *, name: str, uid: str) -> bool:
    """KubeAI's pods name their Model as owner; a newer one of its name may stand there by now."""
    owners = owner_references(pod, MODEL.group, MODEL.kind)
    return any(text(o, "name") == name and uid in ("", text(o, "uid")) for o in owners)


def server_status(pod: Object) -> Mapping[str, Any]:
    """The status of the container ``server``."""
    return next((c for c in items(pod, "status", "containerStatuses") if c.get("name") == SERVER), {})


def started_at(pod: Object) -> datetime | None:
    """When the running server process was started."""
    return moment(server_status(pod), "state", "running", "startedAt")


def evidence(obj: Object | None, path: str, value: Any) -> Evidence:
    """The value at ``path`` of an object, as a verdict cites it."""
    return Evidence(f"{text(obj, 'kind') or 'Object'} {name_of(obj or {})}", path, str(value))
