"""The moves of the model: what may happen to the objects of one serving run, told from two looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from airflow_provider_llmserve.readiness.fields import items, labels_of, name_of, number, terminating, text, uid_of
from airflow_provider_llmserve.readiness.observed import Object
from airflow_provider_llmserve.readiness.pods import pod_ended, pod_ready
from airflow_provider_llmserve.runtimes.kubeai import adapters
from airflow_provider_llmserve.runtimes.kubeai.view import REVISION, SERVER
from airflow_provider_llmserve.runtimes.managers import theirs
from airflow_provider_llmserve.runtimes.mark import annotated, in_environment

POD_MOVES = frozenset(
    {"made", "gone", "ready", "unready", "restarted", "ending", "died", "labelled", "unlabelled", "relabelled", "passes time"}
)
PRIMARY_MOVES = frozenset({"asked", "written by another", "status or number"})


@dataclass(frozen=True)
class PodSeen:
    """What the model knows of a pod."""

    uid: str
    mark: str
    revision: str
    ready: bool
    ending: bool
    dead: bool
    restarts: int
    loaded: Mapping[str, str] = field(default_factory=dict)
    """Label of each adapter."""


def pod_seen(pod: Object) -> PodSeen:
    """A pod as the model knows it."""
    statuses = items(pod, "status", "containerStatuses")
    owners = [text(o, "uid") for o in items(pod, "metadata", "ownerReferences")]
    return PodSeen(
        uid_of(pod),
        in_environment(pod, SERVER) or annotated(pod, "metadata"),
        text(labels_of(pod), REVISION) or "".join(owners),
        pod_ready(pod),
        terminating(pod),
        pod_ended(pod),
        sum(number(s, "restartCount") for s in statuses),
        adapters.labels(pod),
    )


def pod_moves(before: PodSeen | None, after: PodSeen | None) -> set[str]:
    """The moves that lead from one look at a pod to the next. Raises AssertionError for what no move of the model does."""
    if before is None or after is None:
        return {"made"} if before is None else {"gone"}
    assert (before.mark, before.revision) == (after.mark, after.revision), "a pod stays what it was made of"
    assert after.ending or not before.ending, "nobody takes a deletion back"
    assert after.dead or not before.dead, "a pod that has ended never runs again"
    assert after.restarts >= before.restarts, "restarts are counted upwards"
    found = {
        "ready": after.ready and not before.ready,
        "unready": before.ready and not after.ready,
        "restarted": after.restarts > before.restarts,
        "ending": after.ending and not before.ending,
        "died": after.dead and not before.dead,
        "labelled": bool(after.loaded.keys() - before.loaded.keys()),
        "unlabelled": bool(before.loaded.keys() - after.loaded.keys()),
        "relabelled": any(before.loaded.get(a, v) != v for a, v in after.loaded.items()),
    }
    return {move for move, made in found.items() if made} or {"passes time"}


def primary_move(before: Object, after: Object, mark: tuple[str, str]) -> str:
    """The move that leads from one look at the primary object to the next; ``mark`` are the marks of the two."""
    assert number(after, "metadata", "generation") >= number(before, "metadata", "generation"), "generations only rise"
    if len(theirs(after, (("spec",),))) > len(theirs(before, (("spec",),))):
        assert mark[0] == mark[1], "another writer leaves our mark where it is"
        return "written by another"
    owned = [list(items(o, "metadata", "managedFields")) for o in (before, after)]
    if mark[0] != mark[1] or owned[0] != owned[1]:
        return "asked"
    return "status or number"


class Watch:
    """Follows pods by name, and says by which moves they came from one look to the next."""

    def __init__(self) -> None:
        self.pods: dict[str, PodSeen] = {}
        self.marks: dict[str, str] = {}
        """Mark of each revision."""

    def look(self, pods: Iterator[Object] | list[Object]) -> set[str]:
        """The moves since the last look."""
        now = {f"{name_of(p)} {uid_of(p)}": pod_seen(p) for p in pods}
        made: set[str] = set()
        for key in {*self.pods, *now}:
            made |= pod_moves(self.pods.get(key), now.get(key))
        for one in now.values():
            assert self.marks.setdefault(one.revision, one.mark) == one.mark, "one revision is of one mark"
        self.pods = now
        return made
