"""Answers: the last step to Ready, once the objects look right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_llmserve.readiness.basis import basis_of
from airflow_provider_llmserve.readiness.fields import moment, name_of, number, uid_of
from airflow_provider_llmserve.readiness.labels_seen import labelled_at
from airflow_provider_llmserve.readiness.observed import Object, Reply
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import Ask, State, Verdict
from airflow_provider_llmserve.runtimes.kubeai import adapters
from airflow_provider_llmserve.runtimes.kubeai.endpoint import ROUTES, TEXT
from airflow_provider_llmserve.runtimes.kubeai.view import View, server_status

SWAP_SECONDS = 10
"""How long a label must stand where nobody saw how it came."""
CHANGED_SECONDS = 60
"""The same where it was seen to change in place."""


def prove(view: View) -> Verdict:
    """Ready where every served name, and every pod where there are several, answered since the last change; else what to ask."""
    asks = _asks(view)
    replies = {ask: view.observed.answer(ask) for ask in asks}
    for ask, reply in replies.items():
        bad = _refuted(view, ask, reply, asks)
        if bad is not None:
            return bad
    swapping = _swapping(view)
    if swapping:
        return verdict(
            State.PROGRESSING,
            "adapter_old_weights",
            f"the label of adapter {', '.join(swapping)} is new, and may be set while the weights of an earlier URL still answer",
            ask=asks,
        )
    open_asks = [ask for ask, reply in replies.items() if reply is None or (len(asks) == 1 and not reply.answered)]
    if open_asks:
        names = ", ".join(_in_words(a) for a in open_asks)
        return verdict(State.PROGRESSING, "not_asked", f"the objects are right; still to be asked: {names}", ask=asks)
    alike = _answers_like_base(view, replies)
    if alike:
        return verdict(
            State.DEGRADED,
            "wrong_answer",
            f"{alike} answers exactly like the base model, log probabilities included: its weights are not in use, or are all zero",
            ask=asks,
        )
    return verdict(
        State.READY,
        "proven",
        f"{len(view.current)} of {view.replicas} pods run what was asked for; answered: {', '.join(_named(asks))}",
        detail=_rests_on(view, replies),
    )


def _asks(view: View) -> tuple[Ask, ...]:
    """Each served name by each feature through the gateway; and where there are several pods, each what its server holds, since
    through the gateway one of them answers, whichever it is."""
    base = basis_of(view.current)
    asks = [Ask(view.name, feature=f, basis=base) for f in _features(view)]
    for adapter in adapters.wanted(view.asked):
        loaded = basis_of(view.current, [[adapters.labels(p).get(adapter), _stamp(p, adapter)] for p in view.current])
        asks += [Ask(adapters.request_name(view.name, adapter), feature=f, basis=loaded) for f in _features(view, adapter=True)]
    if len(view.current) > 1 or not asks:
        asks += [Ask(view.name, name_of(p), basis=basis_of([p])) for p in view.current]
    return tuple(asks)


def _features(view: View, *, adapter: bool = False) -> list[str]:
    """What is shown by a request of its own. An adapter changes the text that a model writes, where it writes any."""
    found = view.spec.get("features")
    named = [str(f) for f in found] if isinstance(found, list) else []
    asked = [f for f in named if f in ROUTES]
    return [TEXT] if not named or (adapter and TEXT in asked) else asked


def _stamp(pod: Object, adapter: str) -> str:
    """When the adapter's label was last written, as it stands there: for another time the adapter was loaded anew."""
    written = labelled_at(pod, f"{adapters.LABEL_PREFIX}{adapter}")
    return written.isoformat() if written is not None else ""


def _refuted(view: View, ask: Ask, reply: Reply | None, asks: tuple[Ask, ...]) -> Verdict | None:
    """What an answer says against Ready; None where it says nothing against it."""
    if reply is None:
        return None
    if ask.pod:
        return _pod_lacks(view, ask, reply, asks)
    if reply.answered:
        return None
    said = f"{_in_words(ask)}: {reply.in_words}"
    state = State.DEGRADED if view.serving else State.PROGRESSING
    if reply.status != 404 or not _from_server(reply.text):
        return verdict(state, "not_answering", said, detail=reply.text[:500], ask=asks)
    if ask.name == view.name:
        return verdict(
            State.FAILED,
            "model_not_in_server",
            f"the pod is ready, but its server does not know {ask.name}",
            detail=reply.text[:500],
        )
    adapter = ask.name.removeprefix(f"{view.name}_")
    restarted = [p for p in view.current if number(server_status(p), "restartCount") > 0]
    if restarted:
        return _lost(view, adapter, restarted[0], reply.text, asks)
    return verdict(state, "not_answering", said, detail=reply.text[:500], ask=asks)


def _pod_lacks(view: View, ask: Ask, reply: Reply, asks: tuple[Ask, ...]) -> Verdict | None:
    """A pod that was asked and did not answer speaks against Ready too: only that we may not ask it says nothing of it."""
    if not reply.answered and not reply.forbidden:
        said = f"pod {ask.pod} was asked what it holds: {reply.in_words}"
        return verdict(State.DEGRADED, "not_answering", said, detail=reply.text[:500], ask=asks)
    held = _held(reply)
    if held is None:
        return None
    if view.spec.get("engine") == "OLlama" and not held & {view.name, f"{view.name}:latest"}:
        said = f"pod {ask.pod} is ready, but its server does not hold {view.name}"
        return verdict(State.DEGRADED, "model_not_in_server", said, detail=reply.text[:500], ask=asks)
    pod = next(p for p in view.current if name_of(p) == ask.pod)
    for adapter in adapters.wanted(view.asked):
        if adapter not in held:
            return _lost(view, adapter, pod, reply.text, asks)
    return None


def _lost(view: View, adapter: str, pod: Object, text: str, asks: tuple[Ask, ...]) -> Verdict:
    count = number(server_status(pod), "restartCount")
    return verdict(
        State.DEGRADED,
        "adapter_lost" if count else "adapter_not_loaded",
        f"pod {name_of(pod)} is labelled with adapter {adapter}, but its server does not hold it"
        + (f" (its container was restarted {count} times)" if count else ""),
        detail=text[:500],
        ask=asks,
    )


def _held(reply: Reply) -> set[str] | None:
    """The names that a pod's ``/v1/models`` lists; None where it could not be asked or the text was cut."""
    if not reply.answered:
        return None
    try:
        return {str(m.get("id")) for m in json.loads(reply.text)["data"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _from_server(text: str) -> bool:
    """The model servers put an object under ``error``, KubeAI's gateway a plain string;
    the API server's own 404 has no ``error``."""
    try:
        return isinstance(json.loads(text)["error"], Mapping)
    except (ValueError, KeyError, TypeError):
        return False


def _swapping(view: View) -> list[str]:
    """Adapters whose label may be early: of a new URL under an old name, KubeAI sets the label while the old weights answer, and
    then unloads them, takes the label away, and loads anew (``adapters.go``).

    So a label that was set since our write is believed of a pod that is newer, and of one that was seen without it. Else it must
    have stood for some time, long where it was seen to change in place (a watch that was cut may have missed what came between):
    as long as we have waited, less what lies between our write and the label by the cluster's clock.
    """
    return [a for a in adapters.wanted(view.asked) if any(_early(view, p, a) for p in view.current)]


def _early(view: View, pod: Object, adapter: str) -> bool:
    key = f"{adapters.LABEL_PREFIX}{adapter}"
    label = (uid_of(pod), key)
    labelled, made = view.observed.labels.since.get(label) or labelled_at(pod, key), moment(pod, "metadata", "creationTimestamp")
    if labelled is None or labelled < view.written or (made is not None and made > view.written):
        return False
    if label in view.observed.labels.gained:
        return False
    must_stand = CHANGED_SECONDS if label in view.observed.labels.changed else SWAP_SECONDS
    return view.waited - (labelled - view.written) < timedelta(seconds=must_stand)


def _in_words(ask: Ask) -> str:
    return f"pod {ask.pod}" if ask.pod else f"{ask.name} ({ask.feature})" if ask.feature not in ("", TEXT) else ask.name


def _named(asks: tuple[Ask, ...]) -> list[str]:
    return [_in_words(ask) for ask in asks if not ask.pod]


def _answers_like_base(view: View, replies: Mapping[Ask, Reply | None]) -> str:
    """The request name of an adapter whose answer is the base's, where both carry log probabilities; else empty."""
    answers = {ask.name: _comparable(reply) for ask, reply in replies.items() if not ask.pod and ask.feature in ("", TEXT)}
    base = answers.pop(view.name, None)
    return next((name for name, answer in answers.items() if base is not None and answer == base), "")


def _comparable(reply: Reply | None) -> Any:
    try:
        choice = json.loads(reply.text)["choices"][0] if reply is not None else {}
        return (choice.get("text"), choice["logprobs"]["token_logprobs"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _rests_on(view: View, replies: Mapping[Ask, Reply | None]) -> str:
    """What was not asked, in words; empty where everything was."""
    found = view.spec.get("features")
    unknown = [str(f) for f in (found if isinstance(found, list) else ()) if str(f) not in ROUTES]
    parts = [f"Not asked, for want of a request that shows it: {', '.join(unknown)}."] if unknown else []
    unasked = sorted(ask.pod for ask, reply in replies.items() if ask.pod and (reply is None or not reply.answered))
    if unasked:
        parts.append(
            f"Not asked one by one, for want of the right to get pods/proxy: {', '.join(unasked)}. For these the verdict rests on "
            "the pod's labels and on the gateway's answers."
        )
    unread = sorted(
        ask.pod for ask, reply in replies.items() if ask.pod and reply is not None and reply.answered and _held(reply) is None
    )
    if unread and adapters.wanted(view.asked):
        parts.append(f"Not every replica was seen to hold the adapters: the list of {', '.join(unread)} could not be read.")
    return " ".join(parts)
