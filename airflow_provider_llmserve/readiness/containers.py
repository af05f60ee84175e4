"""One container of a pod: its typed view, and why it ended or does not get ready."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_llmserve.readiness.causes import Cause, cause_in, cause_in_log
from airflow_provider_llmserve.readiness.events import event_text, event_time, events_about
from airflow_provider_llmserve.readiness.fields import condition, items, mapping, moment, name_of, number, text
from airflow_provider_llmserve.readiness.log_lines import excerpt, last_line, telling_line, without_harmless
from airflow_provider_llmserve.readiness.observed import Object, Observed
from airflow_provider_llmserve.readiness.reason_table import ADAPTER, FETCH
from airflow_provider_llmserve.readiness.reasons import REASONS

EXITS_OF_OUR_MAKING = 2
"""So many times a container must end before a cause that lies in what was asked for (a flag, a limit, the model) is final."""
EXITS_OF_THE_WORLD = 5
"""So many where the world may mend it meanwhile (a model uploaded late, a hub that comes back), or where no cause is known."""
_LOADING = re.compile(
    r"statuscode: 50\d|connection re(fused|set)|deadline exceeded|client\.timeout|\btimeout\b|timed out|\bEOF\b|: *$",
    re.IGNORECASE,
)
"""How the probes of a server that still loads fail; a command that is the probe has more to say (OLlama's pulls the model)."""
_RESET = timedelta(minutes=10)
# The kubelet forgets a container's back-off after it ran for twice the longest back-off
# (flowcontrol.Backoff, MaxContainerBackOff 5 min).
_SLACK = timedelta(seconds=10)
_OF_THE_SPEC = frozenset(("model_path_wrong", "s3_no_such_bucket"))
"""Of the words about fetching a model, those whose cause nobody is about to mend: the spec names what does not exist. (A key is
another thing: a model that is uploaded late was seen to come after three tries.)"""
_MENDABLE = frozenset(row.word for row in (*FETCH, *ADAPTER)) - _OF_THE_SPEC


@dataclass(frozen=True)
class Container:
    """A container's status beside its spec. ``last_exit`` is the newest ``terminated`` of state and lastState;
    empty where it ended well."""

    name: str
    init: bool
    spec: Mapping[str, Any]
    waiting: Mapping[str, Any]
    running: bool
    ready: bool
    restarts: int
    started_at: datetime | None
    last_exit: Mapping[str, Any]
    ended_now: bool
    field: str

    @property
    def exits(self) -> int:
        """How often it ended: once for each restart, and once more where it does not run now."""
        return self.restarts + (1 if self.last_exit and not self.running else 0)

    def describe_exit(self) -> str:
        """``ended 3 times, last with OOMKilled (137)``."""
        code, reason = self.last_exit.get("exitCode"), text(self.last_exit, "reason")
        how = f"{reason} ({code})" if reason and code is not None else reason or f"exit code {code}"
        return f"ended with {how}" if self.exits <= 1 else f"ended {self.exits} times, last with {how}"


def containers(pod: Object) -> list[Container]:
    """Init containers first, in the order of the spec, those without a status included."""
    found = []
    for init, spec_key, status_key in (
        (True, "initContainers", "initContainerStatuses"),
        (False, "containers", "containerStatuses"),
    ):
        specs = {text(c, "name"): c for c in items(pod, "spec", spec_key)}
        statuses = {text(c, "name"): c for c in items(pod, "status", status_key)}
        found += [
            _container(name, init, specs.get(name, {}), statuses.get(name, {}), status_key)
            for name in dict.fromkeys((*specs, *statuses))
        ]
    return found


def exit_trouble(pod: Object, one: Container, observed: Observed, now: datetime, system: str) -> tuple[Cause, bool] | None:
    """Why the container ended, and whether that is final; None where it has got over it."""
    ended = one.last_exit
    began, finished = moment(ended, "startedAt"), moment(ended, "finishedAt")
    # One that was never started (StartError) began in 1970, says the kubelet.
    lasted = finished - began if began and finished and began.year > 1970 else None
    if one.running and (one.ready or (lasted is not None and one.started_at and now - one.started_at > lasted + _SLACK)):
        return None  # it has outlived its last run
    cause = exit_cause(pod, one, observed, system)
    fatal = one.exits >= _enough_exits(cause, pod, one) and (lasted is None or lasted < _RESET)
    return cause, fatal


def _enough_exits(cause: Cause, pod: Object, one: Container) -> int:
    """How often it must end of that before it is final."""
    if cause.reason in ("container_restarting", "crash_loop") or not REASONS[cause.reason].impossible:
        return EXITS_OF_THE_WORLD
    if cause.reason == "s3_no_credentials":
        return EXITS_OF_THE_WORLD if _names_credentials(pod, one) else EXITS_OF_OUR_MAKING
    return EXITS_OF_THE_WORLD if cause.reason in _MENDABLE else EXITS_OF_OUR_MAKING


def _names_credentials(pod: Object, one: Container) -> bool:
    """Whether credentials may still come by what it names: a Secret whose keys are put right, an account that is given a role."""
    by_secret = any("secretRef" in source for source in items(one.spec, "envFrom")) or any(
        mapping(variable, "valueFrom", "secretKeyRef") for variable in items(one.spec, "env")
    )
    mounted = any("secret" in volume for volume in items(pod, "spec", "volumes"))
    return by_secret or mounted or text(pod, "spec", "serviceAccountName") not in ("", "default")


def doomed(pod: Object, one: Container, observed: Observed) -> tuple[Cause, bool] | None:
    """Why the kubelet is about to end this run of the container, by its own word, and whether that is final, as if it had ended:
    the process may take all its grace for that."""
    for event in events_about(observed, pod, "Killing"):
        at = event_time(event)
        if one.running and one.started_at is not None and at is not None and at > one.started_at:
            found = _told(event, one)
            if found:
                return found, one.restarts + 1 >= _enough_exits(found, pod, one) and at - one.started_at < _RESET
    return None


def _told(event: Object, one: Container) -> Cause | None:
    """What an event about its end says of this container; the hook's does not name it."""
    reason, said = text(event, "reason"), event_text(event)
    found = cause_in("event", reason, said)
    ours = reason != "Killing" or f"container {one.name} " in said.lower()
    return replace(found, line=said) if found and ours else None


def unready_cause(pod: Object, one: Container, observed: Observed, system: str) -> Cause | None:
    """Why a running container is not ready, where that can be told: a log that names a cause, or a probe that fails again."""
    for event in events_about(observed, pod, "Unhealthy"):
        found = cause_in("event", "Unhealthy", event_text(event), system) if system == "ollama" else None
        if found:
            return found
    for log in observed.logs:
        if log.pod == name_of(pod) and log.container == one.name and not log.previous:
            found = cause_in_log(log.text, system)
            if found:
                return found
    said = next((event_text(e) for e in events_about(observed, pod, "Unhealthy")), "")
    turned = moment(condition(pod, "Ready"), "lastTransitionTime")
    if turned and one.started_at and turned - one.started_at > timedelta(seconds=1):
        return Cause("readiness_failing", said)
    return Cause("readiness_failing", said) if said and not _LOADING.search(said) else None


def _container(name: str, init: bool, spec: Mapping[str, Any], status: Mapping[str, Any], field: str) -> Container:
    state, last = mapping(status, "state"), mapping(status, "lastState")
    now_ended = _failed(mapping(state, "terminated"), init)
    finished = init and number(state, "terminated", "exitCode") == 0 and "terminated" in state
    before = {} if finished else _failed(mapping(last, "terminated"), init)
    return Container(
        name=name,
        init=init,
        spec=spec,
        waiting=mapping(state, "waiting"),
        running="running" in state,
        ready=status.get("ready") is True or finished,
        restarts=number(status, "restartCount"),
        started_at=moment(state, "running", "startedAt"),
        last_exit=now_ended or before,
        ended_now=bool(now_ended),
        field=f"{field}[{name}]",
    )


def _failed(ended: Mapping[str, Any], init: bool) -> Mapping[str, Any]:
    """An init container that ended with 0 has done its work; a server that did has not."""
    return {} if init and number(ended, "exitCode") == 0 else ended


def exit_cause(pod: Object, one: Container, observed: Observed, system: str) -> Cause:
    """Why the container ended last: what its log or its termination message names, else its exit code, else the general word."""
    ended = one.last_exit
    reason, code, message = text(ended, "reason"), str(ended.get("exitCode", "")), text(ended, "message")
    if reason == "OOMKilled":
        # Said by the kernel; the log of a killed process says nothing about it.
        return Cause("out_of_memory", _last_words(pod, one, observed, last_line) or message)
    texts = [log.text for log in _logs(pod, one, observed)]
    for said in map(without_harmless, (*texts, message)):
        found = cause_in_log(said, system) or cause_in("termination", reason, said, system)
        if found:
            return found
    if code in ("0", "137", "143"):
        for event in events_about(observed, pod, "Killing", "FailedPostStartHook"):
            found = _told(event, one)
            if found:
                return found
    found = cause_in("terminated", reason, message, system) or cause_in("terminated", code, message, system)
    line = _last_words(pod, one, observed) or telling_line(message)
    if found:
        return replace(found, line=line)
    if one.init and system == "storage-initializer":
        return Cause("model_download_failed", line)
    return Cause("container_restarting" if one.exits <= 1 else "crash_loop", line)


def _logs(pod: Object, one: Container, observed: Observed) -> list[Any]:
    own = [log for log in observed.logs if log.pod == name_of(pod) and log.container == one.name]
    return sorted(own, key=lambda log: log.previous == one.ended_now)


def printed(pod: Object, one: Container, observed: Observed, telling: str) -> tuple[str, ...]:
    """Telling lines of its log, of the run that ended last first; of its termination message where no log was read."""
    texts = [log.text for log in _logs(pod, one, observed) if log.text.strip()] or [text(one.last_exit, "message")]
    return excerpt(texts[0], telling)


def _last_words(pod: Object, one: Container, observed: Observed, choose: Callable[[str], str] = telling_line) -> str:
    return next((line for log in _logs(pod, one, observed) if (line := choose(log.text))), "")
