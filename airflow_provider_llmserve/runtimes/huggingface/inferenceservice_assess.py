"""The verdict about an InferenceService.

Ready is never believed by itself: it stays True while a change is not rendered yet, through a whole rollout, and for ten
minutes of a failing one. What is asked for must arrive in the Deployment's pod template, roll out in full, and answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from airflow_provider_llmserve.readiness.cause_table import Place
from airflow_provider_llmserve.readiness.causes import Cause, cause_in
from airflow_provider_llmserve.readiness.events import event_text, event_time, events_about
from airflow_provider_llmserve.readiness.fields import (
    at,
    condition,
    is_true,
    items,
    labels_of,
    mapping,
    moment,
    name_of,
    number,
    owned_by,
    text,
    uid_of,
)
from airflow_provider_llmserve.readiness.observed import Expected, Object, Observed
from airflow_provider_llmserve.readiness.pods import pod_ready, pod_stands
from airflow_provider_llmserve.readiness.reasons import REASONS, trouble_state, verdict
from airflow_provider_llmserve.readiness.rollout import rollout_complete, wanted_replicas
from airflow_provider_llmserve.readiness.state import Evidence, State, Verdict
from airflow_provider_llmserve.runtimes import managers
from airflow_provider_llmserve.runtimes.huggingface.kserve import (
    AUTOSCALER,
    DISABLE_AUTO_UPDATE,
    ISVC_LABEL,
    KNATIVE,
    MODE,
    STANDARD,
    STOP,
    STORAGE_SECRET,
    mode_of,
)
from airflow_provider_llmserve.runtimes.huggingface.workload import BEHIND_GRACE, CONTROLLER_GRACE, Subject, judge, model_name_in
from airflow_provider_llmserve.runtimes.mark import annotated
from airflow_provider_llmserve.runtimes.rules import Look, absence, first, identity

INVALID_GRACE = timedelta(seconds=30)
"""How long ``InvalidSpec`` may stand before it is final: it outlives its cause until the next reconcile, and a runtime may
be made."""

PARTS = (("spec",), *(("metadata", "annotations", key) for key in (MODE, AUTOSCALER, STOP, STORAGE_SECRET)))
"""What makes a pod, and what else we apply."""
_SYSTEM = "kserve"
"""Whose rows of ``readiness.cause_table`` say what the controller's words mean."""


@dataclass(frozen=True)
class _View(Look):
    @property
    def predictor(self) -> Object:
        return mapping(self.manifest, "spec", "predictor")

    @property
    def mode(self) -> str:
        return mode_of(text(self.manifest, "metadata", "annotations", MODE) or text(self.live, "status", "deploymentMode"))

    @property
    def stopped(self) -> bool:
        return text(self.manifest, "metadata", "annotations", STOP) == "true"

    @property
    def pods(self) -> list[Object]:
        """Pods whose containers may still run."""
        found = self.observed.of("Pod")
        return [p for p in found if labels_of(p).get(ISVC_LABEL) == self.name and pod_stands(p)]

    @property
    def serving(self) -> bool:
        return any(pod_ready(p) for p in self.pods)

    @cached_property
    def deployment(self) -> Object | None:
        """The Deployment that the controller made of the InferenceService; in Knative mode that of the newest revision."""
        revision = text(self.live, "status", "components", "predictor", "latestCreatedRevision")
        for one in self.observed.of("Deployment"):
            if self.mode == KNATIVE and revision and name_of(one) == f"{revision}-deployment":
                return one
            if self.mode != KNATIVE and name_of(one) == f"{self.name}-predictor" and self._is_parent(one):
                return one
        return None

    @property
    def rendered(self) -> bool:
        """The controller has put our mark, and so all of our change, into the Deployment's pod template.

        ``status.observedGeneration`` is no help: it is the Deployment's counter (kserve #6081).
        """
        return annotated(self.deployment or {}, "spec", "template", "metadata") == self.expected.mark

    @property
    def looked(self) -> bool:
        """The controller has written a status since our write, by the API server's own clock."""
        wrote = managers.written_at(self.live or {}, "status")
        return wrote is None or wrote >= self.written

    def _is_parent(self, deployment: Object) -> bool:
        uid = uid_of(self.live or {})
        return not uid or owned_by(deployment, uid)


def assess(expected: Expected, observed: Observed, now: datetime) -> Verdict:
    """Is what we applied in effect, and does it answer?"""
    view = _View(expected, observed, now)
    if not expected.present:
        return absence(view, view.pods)
    return first(RULES, view) or _settle(view)


def mark_in(primary: Object) -> str:
    """The mark among the predictor's annotations, which KServe copies into the pod template in both modes."""
    return annotated(primary, "spec", "predictor")


def _impossible(view: _View) -> Verdict | None:
    """What the object asks for and KServe never does, whatever its status says."""
    if view.mode not in (STANDARD, KNATIVE, "ModelMesh", ""):
        said = f"KServe does not know deployment mode {view.mode!r}"
        return _hopeless(view, "unknown_mode", said, view.proof(f"metadata.annotations[{MODE}]", view.mode))
    percent = at(view.predictor, "canaryTrafficPercent")
    if view.mode == STANDARD and percent is not None:
        said = f"canaryTrafficPercent {percent} has no effect in standard mode"
        return _hopeless(view, "canary_ignored", said, view.proof("spec.predictor.canaryTrafficPercent", str(percent)))
    return None


def _hopeless(
    view: _View, word: str, said: str, proof: Evidence, detail: str = "", fatal: bool = True, advice: str | None = None
) -> Verdict:
    return verdict(
        trouble_state(fatal=fatal, serving=view.serving),
        word,
        said,
        detail=detail,
        advice=advice,
        evidence=[proof],
        fatal=None if fatal == REASONS[word].impossible else fatal,
    )


def _stopped(view: _View) -> Verdict | None:
    if not view.stopped:
        return None
    if view.pods:
        return verdict(
            State.PROGRESSING, "stopping", f"{len(view.pods)} pods still run: {', '.join(name_of(p) for p in view.pods[:3])}"
        )
    # KServe 0.15 knows no such condition in standard mode, and leaves the Deployment there, at zero.
    at_zero = not condition(view.live or {}, "Stopped") and view.deployment is not None and _empty(view.deployment)
    if not at_zero and (not is_true(view.live or {}, "Stopped") or view.deployment is not None):
        return verdict(State.PROGRESSING, "stopping", "KServe has not taken the Deployment away yet")
    return verdict(State.SCALED_TO_ZERO, "stopped", "no pod runs, as asked")


def _empty(deployment: Object) -> bool:
    return wanted_replicas(deployment) == 0 and rollout_complete(deployment)


def _controller_says(view: _View) -> Verdict | None:
    """The controller's own refusal of the spec. It is believed while nothing of this spec was rendered."""
    if view.rendered and not _invalid(view):
        return None
    invalid = _invalid(view)
    if invalid is not None:
        reason = text(view.live, "status", "modelStatus", "lastFailureInfo", "reason")
        message = text(view.live, "status", "modelStatus", "lastFailureInfo", "message")
        proof = view.proof("status.modelStatus.lastFailureInfo", reason)
        said = f"the controller cannot render this spec: {reason}"
        not_found = _runtime_not_found(view)
        final = bool(not_found) or (view.looked and view.waited > INVALID_GRACE)
        return _hopeless(view, invalid.reason, said, proof, not_found or message, fatal=final, advice=invalid.advice)
    for where, source, message in _messages(view):
        cause = cause_in(where, "", message, _SYSTEM)
        if cause is not None:
            said, proof = "the controller cannot act on this spec", view.proof(source, message[:300])
            final = REASONS[cause.reason].impossible and view.looked
            return _hopeless(view, cause.reason, said, proof, message, fatal=final, advice=cause.advice)
    failed = next((c for c in items(view.live, "status", "conditions") if c.get("reason") == "ReconcileFailed"), None)
    if failed is not None and view.waited > CONTROLLER_GRACE:
        message = text(failed, "message")
        proof = view.proof(f"conditions[{text(failed, 'type')}]", message[:300])
        return _hopeless(view, "reconcile_failed", "the controller fails to act on this spec", proof, message, fatal=False)
    return None


def _invalid(view: _View) -> Cause | None:
    """What ``InvalidSpec`` means; None where the status does not say so. ``lastFailureInfo`` alone outlives a corrected spec."""
    status = mapping(view.live, "status", "modelStatus")
    if text(status, "transitionStatus") != "InvalidSpec":
        return None
    reason, message = (text(status, "lastFailureInfo", key) for key in ("reason", "message"))
    return cause_in("model", reason, message, _SYSTEM) or Cause("spec_invalid", message)


def _runtime_not_found(view: _View) -> str:
    """The event since our request that says that the very runtime which we name does not exist; it comes before or after the
    status."""
    runtime = text(view.predictor, "model", "runtime")
    return next((m for _, _, m in _messages(view) if runtime and m.endswith(f"with the name: {runtime}")), "")


def _messages(view: _View) -> Iterator[tuple[Place, str, str]]:
    """Conditions, then events since our request: in a healthy run events of these reasons occur too, so their words decide.

    Until the controller has looked, its conditions speak of the spec before ours; a failure that stays the same is not written
    again, so after a minute they count, but as what may pass."""
    current = view.looked or view.waited > BEHIND_GRACE
    for one in items(view.live, "status", "conditions"):
        if current and one.get("status") != "True" and text(one, "message"):
            yield "condition", f"conditions[{text(one, 'type')}]", text(one, "message")
    for event in events_about(view.observed, view.live or {}, "InternalError", "ServerlessModeRejected"):
        since = event_time(event)
        if since is None or since >= view.written:
            yield "event", f"Event {text(event, 'reason')}", event_text(event)


def _nothing_made(view: _View) -> Verdict | None:
    if view.deployment is not None:
        return None
    if not items(view.live, "status", "conditions") and view.waited > CONTROLLER_GRACE:
        said = f"no controller has acted on InferenceService {view.name} for {view.waited.total_seconds():.0f} s"
        return verdict(State.UNMANAGED, "controller_not_running", said, evidence=[view.proof("status", "empty")])
    return verdict(State.PROGRESSING, "starting", "the controller has not made the Deployment yet")


def _not_rendered(view: _View) -> Verdict | None:
    if view.rendered:
        return None
    where = f"Deployment {name_of(view.deployment or {})}"
    seen = Evidence(where, "spec.template.metadata.annotations", annotated(view.deployment or {}, "spec", "template", "metadata"))
    held = text(view.live, "metadata", "annotations", DISABLE_AUTO_UPDATE) == "true"
    if held and is_true(view.live or {}, "Ready"):
        proof = view.proof(f"metadata.annotations[{DISABLE_AUTO_UPDATE}]", "true")
        return _hopeless(view, "auto_update_disabled", "KServe skips this update", proof)
    if view.waited <= BEHIND_GRACE:
        return verdict(State.PROGRESSING, "controller_behind", "the controller has not rendered our change yet", evidence=[seen])
    if _touched(view):
        return _hopeless(view, "mark_lost", f"KServe has changed {where} since, without our mark", seen)
    return verdict(State.UNMANAGED, "controller_not_running", "the controller has not rendered our change", evidence=[seen])


def _given_up(view: _View) -> Verdict | None:
    """Knative takes a revision that never became ready to zero after its progress deadline: that is no zero by design."""
    status = mapping(view.live, "status", "components", "predictor")
    newest = text(status, "latestCreatedRevision")
    never = view.mode == KNATIVE and newest and text(status, "latestReadyRevision") != newest
    if not never or wanted_replicas(view.deployment or {}) > 0:
        return None
    unready = next((c for c in items(view.live, "status", "conditions") if c.get("status") == "False" and text(c, "message")), {})
    proof = view.proof("status.components.predictor.latestReadyRevision", text(status, "latestReadyRevision") or "none")
    said = f"Knative has taken revision {newest} to zero, which never became ready"
    return _hopeless(view, "revision_failed", said, proof, text(unready, "message"))


def _touched(view: _View) -> bool:
    """Somebody has written the Deployment's template since our write: KServe, which rendered it without our mark."""
    entries = items(view.deployment, "metadata", "managedFields")
    times = [moment(e, "time") for e in entries if mapping(e, "fieldsV1", "f:spec", "f:template")]
    return any(t is not None and t > view.written for t in times)


RULES: Sequence[Callable[[_View], Verdict | None]] = (
    *identity(PARTS, mark_in),
    _impossible,
    _stopped,
    _controller_says,
    _nothing_made,
    _not_rendered,
    _given_up,
)
"""First match wins; where none does, the Deployment that KServe made is what was asked for, and is judged."""


def _settle(view: _View) -> Verdict:
    deployment = view.deployment or {}
    low, high = number(view.predictor, "minReplicas"), number(view.predictor, "maxReplicas")
    scaled = text(view.manifest, "metadata", "annotations", AUTOSCALER) not in ("none", "external") or view.mode == KNATIVE
    wanted = number(deployment, "spec", "replicas") if at(deployment, "spec", "replicas") is not None else 1
    if view.mode == STANDARD and not _within(wanted, low, high, scaled):
        said = f"the Deployment is set to {wanted} replicas, asked for are {low}" + (f" to {high}" if high > low else "")
        return verdict(State.PROGRESSING, "pods_missing" if wanted < low else "surplus_pod", said)
    container = _first_container(view, deployment)
    subject = Subject(
        model=model_name_in(container, view.name),
        applied_at=view.expected.applied_at,
        mark=view.expected.mark,
        enough=max(low, 1) if scaled and wanted else None,
        zero_word="scaled_to_zero",
    )
    found = judge(subject, deployment, view.observed, view.now)
    if found.state is not State.READY:
        return found
    if not scaled and not is_true(view.live or {}, "Ready"):
        unready = condition(view.live or {}, "Ready")
        said = f"the pods answer, but KServe does not call it Ready: {text(unready, 'reason') or 'no condition'}"
        return verdict(State.PROGRESSING, "controller_behind", said, detail=text(unready, "message"), ask=found.ask)
    shifted = _traffic(view)
    if shifted:
        return verdict(State.PROGRESSING, "old_version_serves", shifted, ask=found.ask)
    if view.mode == STANDARD and low == 0 and scaled and "minReplicas" in view.predictor:
        return verdict(State.READY, "min_replicas_raised", found.summary, evidence=found.evidence, ask=found.ask)
    return found


def _traffic(view: _View) -> str:
    """What is wrong with Knative's split of the traffic; empty where it is as asked, or in standard mode."""
    if view.mode != KNATIVE:
        return ""
    status = mapping(view.live, "status", "components", "predictor")
    newest = text(status, "latestCreatedRevision")
    if text(status, "latestReadyRevision") not in ("", newest):
        return f"revision {newest} is not the ready one yet"
    asked = at(view.predictor, "canaryTrafficPercent")
    shares = {text(t, "revisionName"): number(t, "percent") for t in items(status, "traffic") if "percent" in t}
    # Without a revision that was rolled out before, KServe sends everything to the newest, whatever the percentage.
    wanted = 100 if asked is None or len(shares) < 2 else asked
    if shares and shares.get(newest, 0) != wanted:
        return f"revision {newest} has {shares.get(newest, 0)} % of the traffic, {wanted} % are asked for"
    return ""


def _within(wanted: int, low: int, high: int, scaled: bool) -> bool:
    if not scaled:
        return wanted == low
    return max(low, 1) <= wanted <= max(high, low, 1)


def _first_container(view: _View, deployment: Object) -> Object:
    return next(iter(items(deployment, "spec", "template", "spec", "containers")), mapping(view.predictor, "model"))
