"""Answers: the last step to Ready, once the objects look right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_llmserve.readiness.fields import items, mapping, moment, name_of, number
from airflow_provider_llmserve.readiness.observed import Object, Reply
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import Ask, State, Verdict
from airflow_provider_llmserve.runtimes.kubeai import adapters
from airflow_provider_llmserve.runtimes.kubeai.view import View, server_status, started_at

SWAP_SECONDS = 10
"""A changed URL shows its new label while the old weights still answer,
until the loader has removed them; see ``adapters.go``."""


def prove(view: View) -> Verdict:
    """Ready where every served name, and every pod where there are several, answered since the last change; else what to ask."""
    asks = _asks(view)
    replies = {ask: _latest(view, ask) for ask in asks}
    for ask, reply in replies.items():
        bad = _refuted(view, ask, reply, asks)
        if bad is not None:
            return bad
    swapping = _swapping(view)
    if swapping:
        return verdict(
            State.PROGRESSING,
            "adapter_old_weights",
            f"adapter {', '.join(swapping)} got a new URL under its old name; its label may be early",
            ask=asks,
        )
    open_asks = [ask for ask, reply in replies.items() if reply is None]
    if open_asks:
        names = ", ".join(a.name if not a.pod else f"pod {a.pod}" for a in open_asks)
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
        f"{len(view.current)} of {view.replicas} pods run what was asked for; answered: {', '.join(a.name for a in asks if not a.pod)}",
        detail=_rests_on(replies),
    )


def _asks(view: View) -> tuple[Ask, ...]:
    names = [view.name, *(adapters.request_name(view.name, a) for a in adapters.wanted(view.asked))]
    asks = [Ask(name) for name in names]
    # Through the gateway one pod answers, whichever it is. With several, each is asked what its server holds.
    if len(view.current) > 1 and (len(names) > 1 or view.spec.get("engine") == "OLlama"):
        asks += [Ask(view.name, name_of(p)) for p in view.current]
    return tuple(asks)


def _since(view: View, ask: Ask) -> datetime:
    """The last change that makes older answers worthless: our request, a start of a server process, a label of that adapter."""
    changes = [view.expected.applied_at, *(started_at(p) for p in view.current)]
    adapter = ask.name.removeprefix(f"{view.name}_")
    if adapter != ask.name:
        changes += [_labelled_at(p, adapter) for p in view.current]
    return max(t for t in changes if t is not None)


def _latest(view: View, ask: Ask) -> Reply | None:
    since = _since(view, ask)
    replies = (r for r in view.observed.replies if (r.name, r.pod) == (ask.name, ask.pod) and since <= r.at <= view.now)
    return max(replies, key=lambda r: r.at, default=None)


def _refuted(view: View, ask: Ask, reply: Reply | None, asks: tuple[Ask, ...]) -> Verdict | None:
    """What an answer says against Ready; None where it says nothing against it."""
    if reply is None:
        return None
    if ask.pod:
        return _pod_lacks(view, ask, reply, asks)
    if reply.answered:
        return None
    said = f"{ask.name}: {reply.in_words}"
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
    """Adapters whose URL changed under one name, and whose label has not stood long enough to be believed."""
    old = adapters.wanted(mapping(view.expected.before, "spec"))
    changed = [a for a, url in adapters.wanted(view.asked).items() if old.get(a, url) != url]
    settled = timedelta(seconds=SWAP_SECONDS)
    return [
        a
        for a in changed
        if any((t := _labelled_at(p, a)) is None or view.now - t < settled or t < view.expected.applied_at for p in view.current)
    ]


def _labelled_at(pod: Object, adapter: str) -> datetime | None:
    """When the adapter's label was last written, by the pod's managedFields."""
    key = f"f:{adapters.LABEL_PREFIX}{adapter}"
    times = [
        moment(entry, "time")
        for entry in items(pod, "metadata", "managedFields")
        if key in mapping(entry, "fieldsV1", "f:metadata", "f:labels")
    ]
    return max((t for t in times if t is not None), default=None)


def _answers_like_base(view: View, replies: Mapping[Ask, Reply | None]) -> str:
    """The request name of an adapter whose answer is the base's, where both carry log probabilities; else empty."""
    answers = {ask.name: _comparable(reply) for ask, reply in replies.items() if not ask.pod}
    base = answers.pop(view.name, None)
    return next((name for name, answer in answers.items() if base is not None and answer == base), "")


def _comparable(reply: Reply | None) -> Any:
    try:
        choice = json.loads(reply.text)["choices"][0] if reply is not None else {}
        return (choice.get("text"), choice["logprobs"]["token_logprobs"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _rests_on(replies: Mapping[Ask, Reply | None]) -> str:
    unasked = sorted(ask.pod for ask, reply in replies.items() if ask.pod and (reply is None or _held(reply) is None))
    if not unasked:
        return ""
    return (
        f"Not every replica was seen to hold the adapters: {', '.join(unasked)} could not be asked (needs the right to get "
        "pods/proxy). For these the verdict rests on the pod's labels and on the gateway's answers."
    )
