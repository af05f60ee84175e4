"""The verdict on a local run, of what the supervisor sees of it. Pure."""

from __future__ import annotations

from typing import Literal

from airflow_provider_llmserve.platforms.local.plan import Value
from airflow_provider_llmserve.readiness.causes import Cause, cause_in_log
from airflow_provider_llmserve.readiness.reasons import trouble_state, verdict
from airflow_provider_llmserve.readiness.state import Evidence, State, Verdict


class Fault(Value):
    """The last thing that went wrong with a run's servers."""

    what: Literal["start", "crash", "port", "probe"]
    text: str
    """The server's own words: the first error line of its log."""
    count: int = 1
    final: bool = False
    """Trying again cannot help."""
    at: str = ""


class Snapshot(Value):
    """What the supervisor sees of a run."""

    uid: str = ""
    version: int = 0
    owner: str = ""
    """Who deployed it last, in words."""
    deleting: bool = False
    stopped: bool = False
    asleep: bool = False
    """Scaled to zero because nobody asked."""
    wanted: int = 0
    ready: int = 0
    """Servers of the version asked for that answer."""
    old: int = 0
    """Servers of an earlier version that still answer."""
    ending: int = 0
    """Servers that finish their last requests."""
    proven: tuple[str, ...] = ()
    """Served names that were answered through the gateway by servers of this version."""
    inert: tuple[str, ...] = ()
    """Adapters whose answer is the base's, to the last digit."""
    names: tuple[str, ...] = ()
    fault: Fault | None = None
    port: int = 0


def assess(seen: Snapshot | None, *, name: str, uid: str, version: int) -> Verdict:
    """The verdict on version ``version`` of the run with ``uid``. First match wins; Ready only where every served name was
    answered."""
    if seen is None:
        return verdict(State.GONE, "disappeared", f"{name} does not exist any more")
    if seen.uid != uid or seen.version > version:
        return verdict(State.SUPERSEDED, "superseded", f"{name} was deployed anew by {seen.owner}")
    if seen.deleting:
        return verdict(State.DELETING, "deleting", f"{name} is being deleted")
    if seen.stopped and (seen.ready or seen.old or seen.ending):
        return verdict(
            State.PROGRESSING, "stopping", f"{name} is stopping; servers that finish their last requests: {seen.ending}"
        )
    if seen.stopped:
        return verdict(State.SCALED_TO_ZERO, "stopped", f"{name} is stopped; no server runs")
    if seen.fault and seen.fault.final:
        return _trouble(seen, seen.fault, name)
    if seen.asleep:
        return verdict(State.SCALED_TO_ZERO, "scaled_to_zero", f"{name} has no server running; the first request wakes it")
    if seen.ready < seen.wanted:
        if seen.fault:
            return _trouble(seen, seen.fault, name)
        if seen.old:
            summary = f"{_count(seen)}; {seen.old} of the version before go on serving"
            return verdict(State.PROGRESSING, "old_version_serves", summary)
        return verdict(State.PROGRESSING, "starting", _count(seen))
    unproven = [n for n in seen.names if n not in seen.proven]
    if unproven:
        summary = f"{_count(seen)}; not answered yet: {', '.join(unproven)}"
        word = "not_answering" if seen.fault else "not_asked"
        return verdict(State.PROGRESSING, word, summary, detail=seen.fault.text if seen.fault else "")
    summary = f"{_count(seen)}; answered through the gateway: {', '.join(seen.names)}"
    return verdict(State.READY, "proven", summary, detail=_remarks(seen))


def _count(seen: Snapshot) -> str:
    return f"{seen.ready} of {seen.wanted} servers are up"


def _remarks(seen: Snapshot) -> str:
    """What a Ready verdict should not hide."""
    remarks = []
    if seen.inert:
        remarks.append(f"Answers exactly as the base does: {', '.join(seen.inert)}.")
    if seen.fault and seen.fault.what == "crash":
        remarks.append(f"Servers that crashed and were restarted: {seen.fault.count}; the last one said: {seen.fault.text}")
    return " ".join(remarks)


def _trouble(seen: Snapshot, fault: Fault, name: str) -> Verdict:
    serving = bool(seen.old or seen.ready)
    summary = f"{_count(seen)}; failures so far: {fault.count}"
    if seen.old:
        summary += f"; {seen.old} of the version before go on serving"
    cause = _cause(fault)
    return verdict(
        trouble_state(fatal=fault.final, serving=serving),
        cause.reason,
        summary,
        detail=fault.text,
        advice=cause.advice,
        evidence=(Evidence(f"local server of {name}", "log", fault.text, fault.at),),
        fatal=fault.final,
    )


def _cause(fault: Fault) -> Cause:
    if fault.what == "port":
        return Cause("port_in_use", fault.text)
    if fault.what == "crash":
        return Cause("crash_loop" if fault.final else "container_restarting", fault.text)
    return cause_in_log(fault.text, "llama.cpp") or Cause("engine_start_failed", fault.text)
