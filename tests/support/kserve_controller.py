"""A stand-in for KServe's controller and its webhooks (v0.20.0, standard mode) on a real API server.

It makes of an InferenceService what the recorded histories show that the real one makes
(``tests/cluster/test_hf_kserve_standin.py`` compares them), with its flaws: a status copied from the Deployment one look late,
Ready that stays True while a change is not rolled out, ``-gpu`` appended to every tag, a stop that clears the status, an update
skipped under ``disable-auto-update``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from support.cluster import Cluster

Object = dict[str, Any]

ISVC = "serving.kserve.io/inferenceservice"
MODES = {"RawDeployment": "Standard", "Serverless": "Knative"}
RUNTIMES = ("kserve-huggingfaceserver",)
RUNTIME_IMAGE = "kserve/huggingfaceserver:v0.20.0"
SCHEMES = ("gs", "s3", "pvc", "file", "https", "http", "hdfs", "webhdfs", "oci", "oci+native", "hf")
FINALIZER = "inferenceservice.finalizers"
_NOT_COPIED = (
    "modelFormat",
    "kubectl.kubernetes.io/last-applied-configuration",
    "internal.serving.kserve.io/storage-initializer-sourceuri",
)
_POD_FIELDS = (
    "nodeSelector",
    "tolerations",
    "affinity",
    "runtimeClassName",
    "priorityClassName",
    "serviceAccountName",
    "imagePullSecrets",
    "terminationGracePeriodSeconds",
    "shareProcessNamespace",
)
_CONTAINER_FIELDS = ("envFrom", "resources", "volumeMounts", "readinessProbe", "livenessProbe", "startupProbe", "lifecycle")
_PERIOD = 0.05


class KServe:
    """``with KServe(cluster, namespace):`` a controller for that namespace, in a thread of its own."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.kube, self.namespace = cluster.admin, namespace
        self._isvcs = f"/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices"
        self._deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self._services = f"/api/v1/namespaces/{namespace}/services"
        self._events = f"/api/v1/namespaces/{namespace}/events"
        self._stop = threading.Event()
        self._paused = threading.Event()
        self._said: set[tuple[str, str]] = set()
        self._thread = threading.Thread(target=self._work, name="kserve", daemon=True)
        self.failures: list[str] = []

    def __enter__(self) -> KServe:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def pause(self) -> None:
        """Act on nothing until :meth:`resume`, as a controller without its lease."""
        self._paused.set()

    def resume(self) -> None:
        self._paused.clear()

    def _work(self) -> None:
        while not self._stop.wait(_PERIOD):
            if self._paused.is_set():
                continue
            try:
                isvcs = self.kube.items(self._isvcs)
            except AssertionError as e:  # a new kind's storage is not ready yet, say (429): the next look tries again
                self.failures.append(str(e)[:500])
                continue
            for isvc in isvcs:
                try:
                    self._reconcile({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", **isvc})
                except AssertionError as e:  # a conflict, say
                    self.failures.append(str(e)[:500])

    def _reconcile(self, isvc: Object) -> None:
        name, annotations = isvc["metadata"]["name"], isvc["metadata"].get("annotations") or {}
        if isvc["metadata"].get("deletionTimestamp"):
            self._remove_workload(name)
            self.kube.merge(f"{self._isvcs}/{name}", {"metadata": {"finalizers": None}})
            return
        if self._default(isvc):
            return
        status = isvc.get("status") or {}
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
        if annotations.get("serving.kserve.io/disable-auto-update") == "true" and ready:
            return
        if annotations.get("serving.kserve.io/stop") == "true":
            self._remove_workload(name)
            self._set_status(isvc, _stopped())
            return
        refusal = self._refusal(isvc)
        if refusal is not None:
            reason, message, new_status = refusal
            self._event(isvc, reason, message)
            self._set_status(isvc, new_status)
            return
        before = self.kube.get(f"{self._deployments}/{name}-predictor")
        self._render(isvc, before)
        # The reconcile that writes the Deployment copies the status that it read before (deployment_reconciler.go).
        self._set_status(isvc, _status(isvc, before))

    def _default(self, isvc: Object) -> bool:
        """What the webhook would have done before the object was stored. True where something was written."""
        metadata, annotations = isvc["metadata"], isvc["metadata"].get("annotations") or {}
        mode = annotations.get("serving.kserve.io/deploymentMode", "Standard")
        wanted = {"serving.kserve.io/deploymentMode": MODES.get(mode, mode), "modelFormat": _model(isvc)["modelFormat"]["name"]}
        changed = {k: v for k, v in wanted.items() if annotations.get(k) != v}
        if not changed and FINALIZER in (metadata.get("finalizers") or ()):
            return False
        body = {"metadata": {"annotations": changed, "finalizers": [FINALIZER]}}
        self.kube.merge(f"{self._isvcs}/{metadata['name']}", body)
        return True

    def _refusal(self, isvc: Object) -> tuple[str, str, Object] | None:
        metadata, model = isvc["metadata"], _model(isvc)
        mode = metadata["annotations"]["serving.kserve.io/deploymentMode"]
        unknown = [{"type": t, "status": "Unknown"} for t in ("IngressReady", "PredictorReady", "Ready")]
        if mode == "Knative":
            text = "It is not possible to use Knative deployment mode when Knative Services are not available"
            return "ServerlessModeRejected", text, {"conditions": unknown, "deploymentMode": "Knative"}
        runtime = model.get("runtime")
        if runtime is not None and runtime not in RUNTIMES:
            text = f"No ServingRuntimes or ClusterServingRuntimes with the name: {runtime}"
            kept = (isvc.get("status") or {}).get("conditions") or unknown
            return "InternalError", text, {"conditions": kept, "modelStatus": _invalid("RuntimeNotRecognized")}
        if model["modelFormat"]["name"] != "huggingface":
            text = f"no runtime found to support predictor with model type: {{{model['modelFormat']['name']} <nil>}}"
            return "InternalError", text, {"conditions": unknown, "modelStatus": _invalid("NoSupportingRuntime")}
        scheme = model.get("storageUri", "").partition("://")[0]
        if scheme and scheme not in SCHEMES:
            text = (
                f"StorageURI not supported: storageUri, must be one of: […]. StorageUri [{model['storageUri']}] is not supported"
            )
            return "InternalError", text, {"conditions": unknown}
        host = f"{metadata['name']}-predictor-{self.namespace}"
        if mode != "Standard" or len(host) > 63:
            why = (
                f'failed creating host name: invalid domain name "{host}.example.com"'
                if mode == "Standard"
                else f"unsupported deployment mode for workload: {mode}"
            )
            text = f"fails to create NewRawKubeReconciler for predictor: {why}"
            failed = [
                {"type": t, "status": "False", "reason": "ReconcileFailed", "message": text} for t in ("PredictorReady", "Ready")
            ]
            return "InternalError", text, {"conditions": [unknown[0], *failed]}
        return None

    def _render(self, isvc: Object, before: Object | None) -> None:
        deployment = render(isvc, before)
        path = f"{self._deployments}/{deployment['metadata']['name']}"
        if before is None:
            self.kube.create(self._deployments, deployment)
        elif not _covers(before, deployment):
            self._put(path, {**deployment, "metadata": {**before["metadata"], **deployment["metadata"]}})
        if self.kube.get(f"{self._services}/{deployment['metadata']['name']}") is None:
            self.kube.create(self._services, service(isvc))

    def _remove_workload(self, name: str) -> None:
        for path in (self._deployments, self._services):
            if self.kube.get(f"{path}/{name}-predictor") is not None:
                self.kube.delete(f"{path}/{name}-predictor", propagationPolicy="Background")

    def _set_status(self, isvc: Object, status: Object) -> None:
        if (isvc.get("status") or {}) != status:
            path = f"{self._isvcs}/{isvc['metadata']['name']}/status"
            self._put(path, {**isvc, "status": status})

    def _put(self, path: str, body: Object) -> None:
        response = self.kube.request("PUT", path, body)
        assert response.ok, f"PUT {path}: {response.status_code} {response.text}"

    def _event(self, isvc: Object, reason: str, message: str) -> None:
        uid, name = isvc["metadata"]["uid"], isvc["metadata"]["name"]
        if (uid, message) in self._said:
            return
        self._said.add((uid, message))
        about = {"apiVersion": isvc["apiVersion"], "kind": isvc["kind"], "name": name, "namespace": self.namespace, "uid": uid}
        body = {
            "metadata": {"generateName": f"{name}."},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": "Warning",
        }
        self.kube.create(self._events, body)


def render(isvc: Object, before: Object | None = None) -> Object:
    """The Deployment that the controller makes of an InferenceService; the HPA's replicas are kept within its bounds."""
    metadata, predictor, model = isvc["metadata"], isvc["spec"]["predictor"], _model(isvc)
    name = metadata["name"]
    container: Object = {
        "name": "kserve-container",
        "image": _image(model),
        "args": [f"--model_name={name}", *model.get("args", ())],
        "env": [
            {"name": "LMCACHE_USE_EXPERIMENTAL", "value": "True"},
            *model.get("env", ()),
            {"name": "INFERENCE_SERVICE_NAME", "value": name},
        ],
        **{k: model[k] for k in _CONTAINER_FIELDS if k in model},
        "securityContext": {
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
        },
    }
    container["volumeMounts"] = [{"name": "devshm", "mountPath": "/dev/shm"}, *container.get("volumeMounts", ())]
    container.setdefault(
        "readinessProbe", {"tcpSocket": {"port": 8080}, "timeoutSeconds": 1, "periodSeconds": 10, "failureThreshold": 3}
    )
    pod = {
        "volumes": [{"name": "devshm", "emptyDir": {"medium": "Memory"}}, *predictor.get("volumes", ())],
        "containers": [container],
        **{k: predictor[k] for k in _POD_FIELDS if k in predictor},
    }
    labels = _labels(isvc)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"{name}-predictor",
            "namespace": metadata.get("namespace"),
            "labels": labels,
            "annotations": dict(_annotations(isvc)),
            "ownerReferences": [_owner(isvc)],
        },
        "spec": {
            "replicas": _replicas(isvc, before),
            "selector": {"matchLabels": {"app": f"isvc.{name}-predictor"}},
            "template": {"metadata": {"labels": labels, "annotations": dict(_annotations(isvc))}, "spec": pod},
            "strategy": predictor.get("deploymentStrategy")
            or {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
    }


def service(isvc: Object) -> Object:
    """The predictor's Service."""
    name = f"{isvc['metadata']['name']}-predictor"
    ports = [{"name": name, "protocol": "TCP", "port": 80, "targetPort": 8080}]
    return {
        "metadata": {
            "name": name,
            "labels": _labels(isvc),
            "annotations": dict(_annotations(isvc)),
            "ownerReferences": [_owner(isvc)],
        },
        "spec": {"ports": ports, "selector": {"app": f"isvc.{name}"}, "type": "ClusterIP"},
    }


def _model(isvc: Object) -> Object:
    model: Object = isvc["spec"]["predictor"]["model"]
    return model


def _image(model: Object) -> str:
    image = model.get("image", RUNTIME_IMAGE)
    gpus = (model.get("resources") or {}).get("limits", {}).get("nvidia.com/gpu")
    return f"{image}-gpu" if gpus and "@" not in image and not image.endswith("-gpu") else image


def _labels(isvc: Object) -> dict[str, str]:
    name = isvc["metadata"]["name"]
    own = isvc["metadata"].get("labels") or {}
    return {"app": f"isvc.{name}-predictor", **own, "component": "predictor", ISVC: name}


def _annotations(isvc: Object) -> Iterator[tuple[str, str]]:
    for key, value in (isvc["metadata"].get("annotations") or {}).items():
        if key not in _NOT_COPIED:
            yield key, value
    yield from (isvc["spec"]["predictor"].get("annotations") or {}).items()
    yield from (("prometheus.kserve.io/path", "/metrics"), ("prometheus.kserve.io/port", "8080"))
    if "storageUri" in _model(isvc):
        yield "internal.serving.kserve.io/storage-initializer-sourceuri", _model(isvc)["storageUri"]


def _owner(isvc: Object) -> Object:
    flags = {"controller": True, "blockOwnerDeletion": True}
    return {
        "apiVersion": isvc["apiVersion"],
        "kind": isvc["kind"],
        "name": isvc["metadata"]["name"],
        "uid": isvc["metadata"].get("uid"),
        **flags,
    }


def _replicas(isvc: Object, before: Object | None) -> int:
    predictor, annotations = isvc["spec"]["predictor"], isvc["metadata"].get("annotations") or {}
    low, high = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 1)
    if annotations.get("serving.kserve.io/autoscalerClass") == "none":
        return int(low)
    standing = before["spec"]["replicas"] if before else 1
    return int(max(low, 1, min(standing, max(high, low, 1))))


def _covers(live: Any, wanted: Any) -> bool:
    """Everything wanted is in the live object; defaults of the API server may be there too."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(_covers(live.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(_covers, live, wanted))
    return bool(live == wanted)


def _status(isvc: Object, deployment: Object | None) -> Object:
    """PropagateRawStatus: conditions and observedGeneration of the Deployment as it was read."""
    name, namespace = isvc["metadata"]["name"], isvc["metadata"]["namespace"]
    seen = (deployment or {}).get("status") or {}
    conditions = {c["type"]: c for c in seen.get("conditions") or ()}
    available, progressing = conditions.get("Available"), conditions.get("Progressing")
    if progressing and progressing["status"] == "False":
        state, why = "False", progressing
    elif available and available["status"] == "True":
        state, why = "True", progressing or available
    else:
        state, why = ("False", available) if available else ("Unknown", progressing) if progressing else ("False", None)
    said = {"reason": why["reason"], "message": why.get("message", "")} if why else {}
    loaded = (
        {"activeModelState": "Loaded", "targetModelState": "Loaded"}
        if state == "True"
        else {"activeModelState": "", "targetModelState": "Pending"}
    )
    status: Object = {
        "conditions": [
            {"type": "IngressReady", "status": "True"},
            {"type": "PredictorReady", "status": state, **said},
            {"type": "Ready", "status": state, **({} if state == "True" else said)},
            {"type": "Stopped", "status": "False", "severity": "Info"},
        ],
        "modelStatus": {"states": loaded, "transitionStatus": "UpToDate" if state == "True" else "InProgress"},
        "deploymentMode": "Standard",
        "address": {"url": f"http://{name}-predictor.{namespace}.svc.cluster.local"},
        "url": f"http://{name}-{namespace}.example.com",
    }
    if "observedGeneration" in seen:
        status["observedGeneration"] = seen["observedGeneration"]
    return status


def _stopped() -> Object:
    off = [{"type": t, "status": "False", "reason": "Stopped"} for t in ("PredictorReady", "Ready")]
    return {
        "conditions": [*off, {"type": "Stopped", "status": "True"}],
        "modelStatus": {"transitionStatus": ""},
        "deploymentMode": "Standard",
    }


def _invalid(reason: str) -> Object:
    return {
        "transitionStatus": "InvalidSpec",
        "lastFailureInfo": {"reason": reason, "message": "Waiting for runtime to become available"},
    }
