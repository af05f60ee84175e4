"""Verdicts on HuggingFace-serve beyond the recorded histories: what they leave out, and that no missing field raises."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from support.damage import FOREIGN, GONE, paths, put
from support.verdicts import ends

from airflow_provider_llmserve.readiness.observed import Expected, Observed, PodLog, Reply
from airflow_provider_llmserve.readiness.state import Ask, ReasonClass, State, Verdict
from airflow_provider_llmserve.replay.hearing import hear
from airflow_provider_llmserve.runtimes import runtime_for
from airflow_provider_llmserve.runtimes.huggingface.kserve import ISVC_LABEL, STOP
from airflow_provider_llmserve.runtimes.mark import ANNOTATION
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe

T0 = datetime(2026, 11, 23, 12, 0, 0, tzinfo=timezone.utc)
SETTINGS = Settings(platform="kubernetes", namespace="ns")
KINDS = frozenset({"Deployment", "ReplicaSet", "Pod", "Event", "InferenceService"})


def stamp(seconds: float) -> str:
    return (T0 + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


AFTER = T0 + timedelta(seconds=25)


def said(text: str = "{}", status: int = 200, pod: str = "", name: str = "bert", misfit: str = "") -> Reply:
    """What is answered to every question by that name, of that pod."""
    return Reply(Ask(name, pod), status, AFTER, text, misfit)


class World:
    """A serving run that is ready 20 s after it was asked for; tests change what they are about."""

    def __init__(self, runtime: str = "deployment", **fields: Any) -> None:
        spec = HuggingFaceServe.parse({"path": "hf://acme/bert", "model_name": "bert", "runtime": runtime, **fields})
        self.runtime = runtime_for(spec)
        self.manifest = self.runtime.render(spec, name="b", namespace="ns", stopped=False, settings=SETTINGS)[0]
        self.mark = self.runtime.mark_in(self.manifest)
        self.replicas = spec.replicas
        self.replies: list[Reply] = [said("hi")]
        self.isvc: dict[str, Any] | None = None
        if runtime == "inferenceservice":
            self._inferenceservice()
        else:
            self.deployment = copy.deepcopy(self.manifest)
        self.deployment["metadata"] |= {"uid": "d", "generation": 1}
        self.deployment["status"] = {
            "observedGeneration": 1,
            **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), self.replicas),
            "conditions": [
                {"type": "Available", "status": "True"},
                {"type": "Progressing", "status": "True", "lastUpdateTime": stamp(20)},
            ],
        }
        self.replica_set = {
            "kind": "ReplicaSet",
            "metadata": {"name": "b-1", "uid": "r", "ownerReferences": [{"uid": "d"}]},
            "spec": {"replicas": self.replicas, "template": copy.deepcopy(self.deployment["spec"]["template"])},
            "status": {"replicas": self.replicas},
        }
        self.pods = [self._pod(i) for i in range(self.replicas)]

    def _inferenceservice(self) -> None:
        self.isvc = copy.deepcopy(self.manifest)
        self.isvc["metadata"]["uid"] = "i"
        self.isvc["status"] = {
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Stopped", "status": "False"}],
            "modelStatus": {"transitionStatus": "UpToDate"},
            "deploymentMode": "Standard",
        }
        predictor = self.manifest["spec"]["predictor"]
        container = {k: v for k, v in predictor["model"].items() if k not in ("modelFormat", "args")}
        container |= {"name": "kserve-container", "args": ["--model_name=b", *predictor["model"]["args"]]}
        annotations = {**self.manifest["metadata"]["annotations"], **predictor["annotations"]}
        pod = {"volumes": predictor.get("volumes", []), "containers": [container]}
        template = {"metadata": {"annotations": annotations}, "spec": pod}
        self.deployment = {
            "kind": "Deployment",
            "metadata": {"name": "b-predictor", "ownerReferences": [{"uid": "i"}]},
            "spec": {"replicas": self.replicas, "template": template},
        }

    def _pod(self, i: int) -> dict[str, Any]:
        labels = {"app.kubernetes.io/instance": "b", ISVC_LABEL: "b"}
        return {
            "kind": "Pod",
            "metadata": {
                "name": f"b-1-{i}",
                "uid": f"p{i}",
                "labels": labels,
                "annotations": {ANNOTATION: self.mark},
                "ownerReferences": [{"uid": "r"}],
                "creationTimestamp": stamp(1),
            },
            "spec": {"containers": [{"name": "server", "image": "kserve/huggingfaceserver:v0.20.0"}]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": stamp(20)}],
                "containerStatuses": [{"name": "server", "ready": True, "state": {"running": {"startedAt": stamp(2)}}}],
            },
        }

    def objects(self) -> Iterator[dict[str, Any]]:
        for one in (self.isvc, self.deployment, self.replica_set, *self.pods):
            if one is not None:
                yield one

    def assess(self, at: float = 30, **expected: Any) -> Verdict:
        seen = Observed(objects=tuple(self.objects()), kinds=KINDS, replies=tuple(self.replies))
        what = Expected(**{"manifest": self.manifest, "applied_at": T0, "mark": self.mark, **expected})
        return hear(self.runtime.assess, what, seen, T0 + timedelta(seconds=at))


BOTH = pytest.mark.parametrize("runtime", ["deployment", "inferenceservice"])


@BOTH
def test_proven(runtime: str) -> None:
    world = World(runtime)
    found = world.assess()
    assert (found.state, found.reason) == (State.READY, "proven")
    assert found.evidence
    assert [ask.name for ask in found.ask] == ["bert"]


@BOTH
@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (said(pod="b-1-1"), "proven"),
        (said('User "u" cannot get resource "pods/proxy"', 403, "b-1-1"), "proven"),
        (said("api key missing", 403, "b-1-1"), "not_answering"),
        (said("no answer in 10 s", 0, "b-1-1"), "not_answering"),
        (said("<html>", pod="b-1-1", misfit="the answer is not a model's readiness"), "not_answering"),
        (None, "not_asked"),
    ],
)
def test_of_several_pods_each_is_asked(runtime: str, second: Reply | None, reason: str) -> None:
    """A Deployment of two was called Ready while one hung (recordings: node/real-one-of-two-hangs-noop)."""
    world = World(runtime, replicas=2)
    world.replies += [said(pod="b-1-0"), *([second] if second else [])]
    found = world.assess()
    assert [(ask.name, ask.pod) for ask in found.ask] == [("bert", ""), ("bert", "b-1-0"), ("bert", "b-1-1")]
    assert found.reason == reason
    assert ("b-1-1" in found.detail and "pods/proxy" in found.detail) == (second is not None and second.forbidden)
    if reason == "not_answering":
        assert (found.state, "pod b-1-1" in found.summary) == (State.DEGRADED, True)


@BOTH
def test_never_ready_without_an_answer(runtime: str) -> None:
    world = World(runtime)
    world.replies = []
    assert world.assess().reason == "not_asked"
    assert [a.name for a in world.assess().ask] == ["bert"]
    world.replies = [said(name="other")]
    assert world.assess().reason == "not_asked"
    world.replies = [said("refused", 0)]
    assert (world.assess().state, world.assess().reason) == (State.PROGRESSING, "not_answering")


@BOTH
def test_a_restarted_container_must_answer_again(runtime: str) -> None:
    """Whatever the worker's clock says: the answer was of another run of the container."""
    world = World(runtime)
    asked = world.assess().ask
    seen = Observed(objects=tuple(world.objects()), kinds=KINDS)
    what = Expected(world.manifest, T0, world.mark)
    answers = [Reply(ask, 200, T0 + timedelta(hours=1)) for ask in asked]
    assert world.runtime.assess(what, seen.with_replies(*answers), AFTER).state is State.READY
    world.pods[0]["status"]["containerStatuses"][0] |= {"restartCount": 1}
    seen = Observed(objects=tuple(world.objects()), kinds=KINDS)
    assert world.runtime.assess(what, seen.with_replies(*answers), AFTER).reason == "not_asked"


@BOTH
def test_another_deployment_of_that_name(runtime: str) -> None:
    world = World(runtime)
    uid = "i" if runtime == "inferenceservice" else "d"
    assert world.assess(uid=uid).state is State.READY
    assert world.assess(uid="older").state is State.SUPERSEDED


@BOTH
def test_gone_and_deleted_by_somebody_else(runtime: str) -> None:
    world = World(runtime)
    live = world.isvc if runtime == "inferenceservice" else world.deployment
    assert live is not None
    live["metadata"]["deletionTimestamp"] = stamp(20)
    assert (world.assess().state, world.assess().reason) == (State.DELETING, "disappeared")
    live["metadata"]["name"] = "another"
    assert world.assess(at=5).reason == "not_applied"
    assert (world.assess().state, world.assess().reason) == (State.GONE, "disappeared")


@BOTH
def test_deletion_is_done_when_the_pods_are_gone(runtime: str) -> None:
    world = World(runtime)
    live = world.isvc if runtime == "inferenceservice" else world.deployment
    assert live is not None
    live["metadata"] |= {"deletionTimestamp": stamp(1), "finalizers": ["inferenceservice.finalizers"]}
    assert world.assess(present=False).reason == "deleting"
    assert world.assess(present=False, at=100).reason == "finalizer_stuck"
    live["metadata"]["name"] = "another"
    assert (world.assess(present=False).state, "b-1-0" in world.assess(present=False).summary) == (State.DELETING, True)
    world.pods[0]["status"]["phase"] = "Succeeded"
    assert world.assess(present=False).state is State.GONE


@BOTH
def test_what_admission_makes_of_our_pods_is_ours(runtime: str) -> None:
    """Autopilot rounds requests, Kyverno rewrites the registry, a policy adds a toleration: the mark stays
    (cases: cluster/hf_pure.py A and E, more_pure.py E)."""
    world = World(runtime)
    template = world.deployment["spec"]["template"]
    template["spec"]["containers"][0] |= {
        "image": "mirror/huggingfaceserver@sha256:0",
        "resources": {"requests": {"cpu": "1250m"}},
    }
    template["spec"]["containers"][0].pop("readinessProbe")
    template["spec"]["tolerations"] = [{"operator": "Exists"}]
    world.replica_set["spec"]["template"] = copy.deepcopy(template)
    assert world.assess().state is State.READY


@BOTH
def test_a_pod_without_the_mark_of_its_template(runtime: str) -> None:
    world = World(runtime, replicas=2)
    world.pods[1]["metadata"]["annotations"] = {}
    found = world.assess()
    assert (found.state, found.reason, ends(found)) == (State.DEGRADED, "mark_lost", True)
    assert "b-1-1" in found.summary


def test_answers_of_pods_that_are_not_ours_prove_nothing() -> None:
    """A copied Deployment under the labels that the Service selects (cases: cluster/hf_pure.py G)."""
    world = World()
    stray = world._pod(7)
    stray["metadata"] |= {"ownerReferences": [{"uid": "another"}], "labels": dict(world.pods[0]["metadata"]["labels"])}
    stray["metadata"]["labels"]["app.kubernetes.io/name"] = "huggingfaceserve"
    service = {
        "kind": "Service",
        "metadata": {"name": "b"},
        "spec": {"selector": world.manifest["spec"]["selector"]["matchLabels"]},
    }
    whole = [world.deployment, world.replica_set, *world.pods, service]

    world.objects = lambda: iter([*whole, stray])  # type: ignore[method-assign]
    assert (world.assess().reason, "b-1-7" in world.assess().summary) == ("foreign_backend", True)
    stray["metadata"]["deletionTimestamp"] = stamp(29)
    assert world.assess().state is State.READY
    world.objects = lambda: iter(whole)  # type: ignore[method-assign]
    assert world.assess().state is State.READY
    service["spec"] = {"selector": {"app": "theirs"}}
    assert (world.assess().reason, "Service b selects other pods" in world.assess().summary) == ("foreign_backend", True)


def test_nobody_acts_on_a_new_deployment() -> None:
    world = World()
    world.deployment["status"] = {}
    world.pods = []
    assert world.assess(at=2).reason == "controller_behind"
    assert (world.assess(at=8).state, world.assess(at=8).reason) == (State.UNMANAGED, "controller_not_running")


def test_stopped() -> None:
    world = World()
    world.manifest["spec"]["replicas"] = world.deployment["spec"]["replicas"] = 0
    assert world.assess().reason == "stopping"
    world.pods = []
    world.deployment["status"] = {"observedGeneration": 1}
    found = world.assess()
    assert (found.state, found.reason, found.reason_class) == (State.SCALED_TO_ZERO, "stopped", ReasonClass.STOPPED)


def test_old_pods_and_surplus_are_not_ready() -> None:
    world = World()
    old = copy.deepcopy(world.replica_set)
    old["metadata"] |= {"name": "b-0", "uid": "r0"}
    old["spec"]["template"]["spec"]["containers"][0]["args"] = ["--model_name=bert"]
    stray = world._pod(7)
    stray["metadata"]["ownerReferences"] = [{"uid": "r0"}]
    world.objects = lambda: iter([world.deployment, world.replica_set, old, *world.pods, stray])  # type: ignore[method-assign]
    assert world.assess().reason == "old_pod_still_serves"


def test_several_pods_say_how_many_and_which() -> None:
    world = World(replicas=3)
    for pod in world.pods[1:]:
        pod["status"] = {
            "phase": "Pending",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                    "lastTransitionTime": stamp(1),
                }
            ],
        }
    found = world.assess()
    assert (found.state, found.reason) == (State.DEGRADED, "unschedulable_gpu")
    assert "2 of 3" in found.summary
    assert "b-1-1, b-1-2" in found.summary
    assert found.reason_class is ReasonClass.WAITING
    assert world.assess(at=400).reason_class is ReasonClass.IMPOSSIBLE


def test_an_unrendered_inference_service_is_never_ready() -> None:
    world = World("inferenceservice")
    world.deployment["spec"]["template"]["metadata"]["annotations"][ANNOTATION] = "older"
    assert world.assess().reason == "controller_behind"
    assert world.assess(at=100).reason == "controller_not_running"
    wrote = {"manager": "manager", "time": stamp(30), "fieldsV1": {"f:spec": {"f:template": {"f:spec": {}}}}}
    world.deployment["metadata"]["managedFields"] = [wrote]
    assert world.assess(at=100).reason == "mark_lost"
    wrote["time"] = stamp(-30)
    assert world.assess(at=100).reason == "controller_not_running"
    assert world.isvc is not None
    world.isvc["metadata"]["annotations"]["serving.kserve.io/disable-auto-update"] = "true"
    found = world.assess()
    assert (found.state, found.reason) == (State.DEGRADED, "auto_update_disabled")


def test_mode_annotation_is_read_with_its_aliases() -> None:
    world = World("inferenceservice")
    world.manifest["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "RawDeployment"
    assert world.assess().state is State.READY


def test_stopped_by_somebody_else_is_superseded() -> None:
    world = World("inferenceservice")
    assert world.isvc is not None
    world.isvc["metadata"]["annotations"][STOP] = "true"
    stop = {"f:metadata": {"f:annotations": {".": {}, f"f:{STOP}": {}}}}
    world.isvc["metadata"]["managedFields"] = [{"manager": "kubectl-annotate", "operation": "Update", "fieldsV1": stop}]
    assert world.assess().state is State.SUPERSEDED


def test_a_stopped_inference_service_is_at_zero_when_its_pods_are_gone() -> None:
    world = World("inferenceservice")
    assert world.isvc is not None
    world.manifest["metadata"]["annotations"][STOP] = world.isvc["metadata"]["annotations"][STOP] = "true"
    world.isvc["status"] = {"conditions": [{"type": "Stopped", "status": "True"}]}
    assert world.assess().reason == "stopping"
    world.pods = []
    assert world.assess().reason == "stopping", "the Deployment is still there"
    world.deployment["metadata"]["name"] = "another"
    found = world.assess()
    assert (found.state, found.reason, found.reason_class) == (State.SCALED_TO_ZERO, "stopped", ReasonClass.STOPPED)


def test_kserve_0_15_stops_by_a_deployment_at_zero_and_says_nothing() -> None:
    """It knows no condition Stopped in standard mode: a stop never ended (cases: cluster/hf_pure.py C)."""
    world = World("inferenceservice")
    assert world.isvc is not None
    world.manifest["metadata"]["annotations"][STOP] = world.isvc["metadata"]["annotations"][STOP] = "true"
    world.isvc["status"] = {"conditions": [{"type": "Ready", "status": "True"}], "deploymentMode": "RawDeployment"}
    world.pods = []
    assert world.assess().reason == "stopping", "the Deployment still asks for a pod"
    world.deployment["spec"]["replicas"] = 0
    world.deployment["status"] = {"observedGeneration": 1}
    assert (world.assess().state, world.assess().reason) == (State.SCALED_TO_ZERO, "stopped")
    world.isvc["status"]["conditions"].append({"type": "Stopped", "status": "False"})
    assert world.assess().reason == "stopping", "a newer KServe says when it is"


def test_invalid_spec_is_final_only_when_it_lasts() -> None:
    world = World("inferenceservice")
    assert world.isvc is not None
    world.isvc["status"]["modelStatus"] = {
        "transitionStatus": "InvalidSpec",
        "lastFailureInfo": {"reason": "NoSupportingRuntime", "message": "No runtime found"},
    }
    assert world.assess(at=10).reason_class is ReasonClass.WAITING
    assert world.assess(at=40).reason_class is ReasonClass.IMPOSSIBLE
    assert world.assess(at=40).reason == "no_matching_runtime"
    world.isvc["status"]["modelStatus"]["transitionStatus"] = "UpToDate"
    assert world.assess().state is State.READY, "lastFailureInfo outlives a corrected spec"


@pytest.mark.parametrize(("named", "at", "settled"), [("mine", 1, True), ("another", 1, False), ("mine", -60, False)])
def test_a_runtime_that_the_controller_does_not_find_is_final_at_once(named: str, at: float, settled: bool) -> None:
    world = World("inferenceservice", serving_runtime="mine")
    assert world.isvc is not None
    said = {"reason": "RuntimeNotRecognized", "message": "Waiting for runtime to become available"}
    world.isvc["status"]["modelStatus"] = {"transitionStatus": "InvalidSpec", "lastFailureInfo": said}
    world.pods.append(
        {
            "kind": "Event",
            "metadata": {"name": "b.1"},
            "involvedObject": {"kind": "InferenceService", "name": "b"},
            "reason": "InternalError",
            "message": f"No ServingRuntimes or ClusterServingRuntimes with the name: {named}",
            "lastTimestamp": stamp(at),
        }
    )
    found = world.assess(at=2)
    assert (found.reason, ends(found)) == ("unknown_runtime", settled)
    assert ("with the name: mine" in found.detail) == settled


def test_autoscaled_is_proven_between_its_bounds() -> None:
    world = World("inferenceservice", min_replicas=1, max_replicas=3)
    assert world.assess().state is State.READY
    world.replies.append(said(pod="b-1-0"))
    world.deployment["spec"]["replicas"] = world.replica_set["spec"]["replicas"] = 3
    assert world.isvc is not None
    world.isvc["status"]["conditions"][0]["status"] = "False"
    assert world.assess().state is State.READY, "KServe turns Ready off while replicas are added"
    world.deployment["spec"]["replicas"] = 4
    assert world.assess().reason == "surplus_pod"


def test_knative_follows_the_newest_revision() -> None:
    world = World("inferenceservice", deployment_mode="Knative", min_replicas=0)
    assert world.isvc is not None
    predictor = {"latestCreatedRevision": "b-predictor-00002"}
    world.isvc["status"] |= {"deploymentMode": "Knative", "components": {"predictor": predictor}}
    assert world.assess().reason == "starting", "the Deployment of another revision is no proof"
    world.deployment["metadata"]["name"] = "b-predictor-00002-deployment"
    assert world.assess().state is State.READY
    world.deployment["spec"]["replicas"] = 0
    world.deployment["status"] = {"observedGeneration": 1}
    world.pods = []
    world.isvc["status"]["conditions"].append({"type": "PredictorReady", "status": "False", "message": "Revision failed: x"})
    found = world.assess()
    assert (found.state, found.reason, found.detail) == (State.FAILED, "revision_failed", "Revision failed: x"), (
        "Knative takes a revision that never became ready to zero (cases: cluster/hf_pure.py B)"
    )
    predictor["latestReadyRevision"] = "b-predictor-00002"
    found = world.assess()
    assert (found.state, found.reason) == (State.SCALED_TO_ZERO, "scaled_to_zero")


def test_knative_traffic_must_be_as_asked() -> None:
    world = World("inferenceservice", deployment_mode="Knative", canary_traffic_percent=10)
    assert world.isvc is not None
    world.deployment["metadata"]["name"] = "b-2-deployment"
    predictor = {"latestCreatedRevision": "b-2", "latestReadyRevision": "b-1"}
    world.isvc["status"] |= {"deploymentMode": "Knative", "components": {"predictor": predictor}}
    assert "not the ready one" in world.assess().summary
    predictor |= {
        "latestReadyRevision": "b-2",
        "traffic": [{"revisionName": "b-1", "percent": 100}, {"revisionName": "b-2", "percent": 0}],
    }
    assert "10 % are asked for" in world.assess().summary
    predictor["traffic"] = [{"revisionName": "b-1", "percent": 90}, {"revisionName": "b-2", "percent": 10}]
    assert world.assess().state is State.READY
    predictor["traffic"] = [{"revisionName": "b-2", "percent": 100}]
    assert world.assess().state is State.READY, "nothing was rolled out before"


def test_figures_of_the_deployment_must_agree() -> None:
    world = World()
    world.deployment["status"]["availableReplicas"] = 0
    assert world.assess().reason == "starting"


@BOTH
def test_what_a_starting_server_waits_for_is_said(runtime: str) -> None:
    world = World(runtime)
    status = world.pods[0]["status"]
    status["conditions"][0] |= {"status": "False", "lastTransitionTime": stamp(2)}
    status["containerStatuses"][0] |= {"ready": False}
    seen = Observed(
        tuple(world.objects()), KINDS, logs=(PodLog("b-1-0", "server", "Error retrieving file list, retrying 1 of 2"),)
    )
    found = world.runtime.assess(Expected(world.manifest, T0, world.mark), seen, AFTER)
    assert (found.state, found.reason) == (State.PROGRESSING, "starting")
    assert "b-1-0 says: Error retrieving file list" in found.detail


def test_a_pod_that_still_ends_is_not_zero() -> None:
    world = World()
    world.manifest["spec"]["replicas"] = world.deployment["spec"]["replicas"] = 0
    world.deployment["status"] = {"observedGeneration": 1}
    world.pods[0]["metadata"]["deletionTimestamp"] = stamp(29)
    assert world.assess().reason == "stopping"


def test_a_surge_pod_that_waits_for_the_old_ones_gpu_is_a_deadlock() -> None:
    world = World()
    old = copy.deepcopy(world.replica_set)
    old["metadata"] |= {"name": "b-0", "uid": "r0"}
    old["spec"]["template"]["spec"]["containers"][0]["args"] = ["--model_name=bert"]
    holder = world._pod(7)
    holder["metadata"]["ownerReferences"] = [{"uid": "r0"}]
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    world.pods[0]["status"] = {"phase": "Pending", "conditions": [{**scheduled, "lastTransitionTime": stamp(1)}]}
    world.objects = lambda: iter([world.deployment, world.replica_set, old, *world.pods, holder])  # type: ignore[method-assign]
    found = world.assess()
    assert (found.state, found.reason) == (State.DEGRADED, "rollout_deadlock")
    assert "in_place" in found.advice
    ending = {**world._pod(8), "metadata": {**holder["metadata"], "name": "b-0-8", "uid": "p8", "deletionTimestamp": stamp(25)}}
    world.objects = lambda: iter([world.deployment, world.replica_set, old, *world.pods, holder, ending])  # type: ignore[method-assign]
    assert world.assess().reason == "unschedulable_gpu", "a pod that is still ending holds the room, not the one that serves"


@pytest.mark.parametrize(("looked", "at", "final"), [(None, 40, True), (5, 40, True), (-5, 40, False), (-5, 400, False)])
def test_a_refusal_of_the_spec_before_is_not_final_until_the_controller_has_looked(
    looked: float | None, at: float, final: bool
) -> None:
    """The controller restarts, and has not seen the corrected spec yet (cases: cluster/more_pure.py C)."""
    world = World("inferenceservice")
    assert world.isvc is not None
    world.isvc["status"]["modelStatus"] = {
        "transitionStatus": "InvalidSpec",
        "lastFailureInfo": {"reason": "NoSupportingRuntime", "message": "No runtime found"},
    }
    if looked is not None:
        world.isvc["metadata"]["managedFields"] = [{"manager": "manager", "subresource": "status", "time": stamp(looked)}]
    found = world.assess(at=at)
    assert (found.reason, ends(found)) == ("no_matching_runtime", final)


def test_a_condition_of_the_spec_before_is_not_believed_at_the_first_look() -> None:
    """cases: cluster/more_pure.py D."""
    world = World("inferenceservice")
    assert world.isvc is not None
    world.deployment["spec"]["template"]["metadata"]["annotations"][ANNOTATION] = "older"
    said = "fails to reconcile predictor: StorageURI not supported: foo://x"
    world.isvc["status"]["conditions"] = [{"type": "PredictorReady", "status": "False", "message": said}]
    status = {"manager": "manager", "subresource": "status", "time": stamp(-30)}
    world.isvc["metadata"]["managedFields"] = [status]
    assert world.assess(at=1).reason == "controller_behind"
    status["time"] = stamp(1)
    assert (world.assess(at=2).reason, ends(world.assess(at=2))) == ("storage_scheme_unknown", True)


@BOTH
def test_no_missing_or_foreign_field_raises_or_makes_it_ready(runtime: str) -> None:
    world = World(runtime)
    world.replies = []
    whole = list(world.objects())
    for which, one in enumerate(whole):
        for path, new in product(paths(one), (GONE, *FOREIGN)):
            objects = [*whole[:which], put(one, path, new), *whole[which + 1 :]]
            world.objects = lambda objects=objects: iter(objects)  # type: ignore[misc]
            assert world.assess().state is not State.READY, (path, new)
            world.assess(present=False)
