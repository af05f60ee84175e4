"""The verdict over a Deployment whose pods serve one HuggingFace-serve model: ours, or the one that KServe makes.

Ordered, first match wins: the controller has not seen it, a known failure, counts, zero by design, an answered question. Anything
else is progressing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from airflow_provider_llmserve.readiness.basis import basis_of
from airflow_provider_llmserve.readiness.causes import cause_in
from airflow_provider_llmserve.readiness.fields import (
    at,
    mapping,
    name_of,
    owned_by,
    terminating,
    uid_of,
)
from airflow_provider_llmserve.readiness.observed import Object, Observed, Reply
from airflow_provider_llmserve.readiness.pods import (
    PodTrouble,
    diagnose_pod,
    pod_ended,
    pod_ready,
    pod_stands,
    said_last,
    trouble_verdict,
    worst,
)
from airflow_provider_llmserve.readiness.reasons import REASONS, trouble_state, verdict
from airflow_provider_llmserve.readiness.rollout import (
    Progress,
    creation_trouble,
    deadlock,
    progress,
    replica_sets,
    rollout_complete,
)
from airflow_provider_llmserve.readiness.state import Ask, Evidence, State, Verdict
from airflow_provider_llmserve.readiness.weights import misfit_of
from airflow_provider_llmserve.runtimes.mark import ANNOTATION, annotated
from airflow_provider_llmserve.runtimes.rules import first

SYSTEM = "huggingfaceserver"
CONTROLLER_GRACE = timedelta(seconds=5)
"""How long a new Deployment may go without a status before its controller is said not to run; it needs some 50 ms."""
BEHIND_GRACE = timedelta(minutes=1)
"""The same for a change of a Deployment that has a status: a busy controller may need seconds."""
_ADDING = ("starting", "pods_missing", "surplus_pod")


@dataclass(frozen=True)
class Subject:
    """What is judged: the model's request name, and since when it is what was asked for."""

    model: str
    applied_at: datetime
    mark: str
    enough: int | None = None
    """Ready pods that are enough while an autoscaler adds more; None where all must be ready."""
    zero_word: str = "stopped"
    """The word for zero pods, as asked."""


def model_name_in(container: Object, default: str) -> str:
    """The ``--model_name`` in a container's arguments; the last one wins, as in argparse."""
    args = at(container, "args")
    words = [a for a in args if isinstance(a, str)] if isinstance(args, (list, tuple)) else []
    found = default
    for i, word in enumerate(words):
        if word.startswith("--model_name="):
            found = word.partition("=")[2]
        elif word == "--model_name" and i + 1 < len(words):
            found = words[i + 1]
    return found


@dataclass(frozen=True)
class _View:
    """One look at the Deployment."""

    subject: Subject
    deployment: Object
    observed: Observed
    now: datetime

    @cached_property
    def progress(self) -> Progress:
        """How far its rollout is."""
        return progress(self.deployment, self.observed)

    @cached_property
    def trouble(self) -> PodTrouble | None:
        """What stands in the way of the present version."""
        return _trouble(self.deployment, self.progress, self.observed, self.now)


def judge(subject: Subject, deployment: Object, observed: Observed, now: datetime) -> Verdict:
    """The verdict; ``deployment`` is known to be the one asked for."""
    view = _View(subject, deployment, observed, now)
    return first(RULES, view) or _proof(view)


def live_pods(deployment: Object, observed: Observed) -> list[Object]:
    """Its pods that stand: terminating ones count, corpses do not."""
    sets = {uid_of(r) for r in replica_sets(deployment, observed)}
    return [p for p in observed.of("Pod") if pod_stands(p) and any(owned_by(p, uid) for uid in sets)]


def _nobody_acts(view: _View) -> Verdict | None:
    if view.progress.reason != "controller_behind":
        return None
    waited = view.now - view.subject.applied_at
    never = not mapping(view.deployment, "status") and waited > CONTROLLER_GRACE
    if never or waited > BEHIND_GRACE:
        summary = f"no controller has acted on Deployment {name_of(view.deployment)} for {waited.total_seconds():.0f} s"
        return verdict(State.UNMANAGED, "controller_not_running", summary, evidence=view.progress.evidence)
    return verdict(State.PROGRESSING, "controller_behind", view.progress.summary, evidence=view.progress.evidence)


def _zero(view: _View) -> Verdict | None:
    if view.progress.wanted != 0:
        return None
    left = live_pods(view.deployment, view.observed)
    if left:
        ending = f"{len(left)} pods still run: {', '.join(name_of(p) for p in left[:3])}"
        return verdict(State.PROGRESSING, "stopping", ending)
    if not rollout_complete(view.deployment):
        return verdict(State.PROGRESSING, "stopping", "the Deployment's own figures do not say zero yet")
    return verdict(State.SCALED_TO_ZERO, view.subject.zero_word, "no pod runs, as asked")


def _mark_lost(view: _View) -> Verdict | None:
    """Pods of the present template that do not carry its mark: something takes it from them."""
    bare = [p for p in view.progress.pods if annotated(p, "metadata") != view.subject.mark]
    if not bare:
        return None
    said = f"pod {name_of(bare[0])} was made of this change without its mark: something takes it away"
    proof = Evidence(f"Pod {name_of(bare[0])}", f"metadata.annotations[{ANNOTATION}]", annotated(bare[0], "metadata") or "none")
    return verdict(trouble_state(fatal=True, serving=view.progress.serving), "mark_lost", said, evidence=[proof])


def _made_up(view: _View) -> Verdict | None:
    trouble = misfit_of(view.progress.pods, view.observed)
    return None if trouble is None else trouble_verdict(trouble, serving=any(map(pod_ready, view.progress.old_pods)))


def _enough(view: _View) -> Verdict | None:
    """An autoscaler adds pods, and those that must be there are."""
    enough, state = view.subject.enough, view.progress
    adds = enough is not None and state.ready >= enough and not state.old_pods and state.reason in _ADDING
    return _proof(view) if adds else None


def _in_the_way(view: _View) -> Verdict | None:
    trouble, state = view.trouble, view.progress
    if trouble is None or not (trouble.fatal or state.reason):
        return None
    figures = state.summary or f"{state.ready} of {state.wanted} pods are ready"
    return trouble_verdict(trouble, serving=state.serving, note=figures)


def _rolls_out(view: _View) -> Verdict | None:
    state = view.progress
    if state.reason:
        waits = said_last(state.pods, view.observed)
        return verdict(State.PROGRESSING, state.reason, state.summary, detail=waits, evidence=state.evidence)
    if not rollout_complete(view.deployment):
        return verdict(State.PROGRESSING, "starting", f"{state.summary}; the Deployment's own figures do not say so yet")
    return None


RULES: Sequence[Callable[[_View], Verdict | None]] = (_nobody_acts, _zero, _mark_lost, _made_up, _enough, _in_the_way, _rolls_out)
"""First match wins; where none does the objects are right, and an answer decides."""


def _trouble(deployment: Object, state: Progress, observed: Observed, now: datetime) -> PodTrouble | None:
    """What stands in the way of the present version, the worst of its pods first."""
    troubles = [t for p in state.pods if (t := diagnose_pod(p, observed, now, system=SYSTEM))]
    stuck = deadlock(state, troubles, [p for p in live_pods(deployment, observed) if terminating(p)])
    if stuck is not None:
        return stuck
    refused = [t for o in (state.current, deployment) if o and (t := creation_trouble(o, observed))]
    found = worst(troubles, pods=state.wanted) or worst(refused)
    if found is None and state.ready < state.wanted:
        found = worst(_thrown_out(deployment, state, observed, now))
    return found


def _thrown_out(deployment: Object, state: Progress, observed: Observed, now: datetime) -> Iterator[PodTrouble | None]:
    """Why pods of the present version are gone, from those that are ending or have ended. What one died of for good its successor
    may not; what two did, it will."""
    current = uid_of(state.current) if state.current is not None else ""
    gone = [p for p in observed.of("Pod") if owned_by(p, current) and (terminating(p) or pod_ended(p))]
    found = [t for p in gone if (t := diagnose_pod(p, observed, now, system=SYSTEM)) is not None]
    died = Counter(t.reason for t in found)
    yield from (replace(t, fatal=t.fatal and died[t.reason] > 1) for t in found)


def _proof(view: _View) -> Verdict:
    """Ready by the objects: proven where the model answered since, and so did each pod where there are several.

    Through the Service one pod answers, whichever it is: a Deployment of two was called Ready while one of them hung.
    """
    asks = _asks(view)
    replies = {ask: view.observed.answer(ask) for ask in asks}
    for ask, reply in replies.items():
        if reply is not None and not reply.answered and not (ask.pod and reply.forbidden):
            return _refuted(view, ask, reply, asks)
    waiting = [ask.pod or ask.name for ask, reply in replies.items() if reply is None]
    if waiting:
        said = f"{view.progress.summary}; not asked yet: {', '.join(waiting)}"
        return verdict(State.PROGRESSING, "not_asked", said, ask=asks)
    answer = replies[asks[0]]
    assert answer is not None
    said = f"{view.progress.summary}, and {view.subject.model} answers"
    unasked = [ask.pod for ask, reply in replies.items() if ask.pod and reply is not None and not reply.answered]
    rests = f"Not asked one by one, for want of the right to get pods/proxy: {', '.join(unasked)}." if unasked else ""
    return verdict(State.READY, "proven", said, detail=rests, evidence=(_cited(view, answer),), ask=asks)


def _asks(view: _View) -> tuple[Ask, ...]:
    """The model through its Service, then each ready pod of the present version where there are several, or will be: the answer
    may be of one that nobody has seen yet."""
    ready = [p for p in view.progress.pods if pod_ready(p)]
    several = max(len(ready), view.progress.wanted) > 1
    each = (Ask(view.subject.model, name_of(p), basis=basis_of([p])) for p in ready if several)
    return (Ask(view.subject.model, basis=basis_of(view.progress.pods)), *each)


def _refuted(view: _View, ask: Ask, reply: Reply, asks: tuple[Ask, ...]) -> Verdict:
    cause = cause_in("http", str(reply.status), reply.text, SYSTEM)
    word = cause.reason if cause else "not_answering"
    who = f"pod {ask.pod}" if ask.pod else ask.name
    came = f" answers {reply.status}" if reply.status and not reply.misfit else f": {reply.in_words}"
    return verdict(
        trouble_state(fatal=REASONS[word].impossible, serving=bool(ask.pod)),
        word,
        f"{view.progress.summary}, but {who}{came}",
        detail=reply.text[:500],
        advice=cause.advice if cause else None,
        evidence=(_cited(view, reply),),
        ask=asks,
    )


def _cited(view: _View, reply: Reply) -> Evidence:
    who = f"pod {reply.pod}" if reply.pod else f"model {view.subject.model}"
    return Evidence(who, "answer", f"{reply.status} {reply.text[:200]}".strip(), reply.at.isoformat())
