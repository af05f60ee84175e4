"""The parts of a pod that a HuggingFace-serve spec decides, shared by the Deployment and the InferenceService.

Everything here is a function of the spec, the profile and the connection alone: the same input gives the same pod template, so a
redeploy with nothing changed rolls nothing out. Nothing of the owner (dag, run, try) ever enters it.
"""

from __future__ import annotations

import math
from typing import Any

from airflow_provider_llmserve.runtimes.huggingface.path import MODEL_DIR, hub_path
from airflow_provider_llmserve.specs import HuggingFaceServe
from airflow_provider_llmserve.specs.pod import Volume
from airflow_provider_llmserve.specs.quantity import quantity

GPU = "nvidia.com/gpu"
HTTP_PORT = 8080
GRPC_PORT = 8081
HF_HOME = "/tmp/huggingface"
"""Where the image keeps downloads (baked into kserve/huggingfaceserver)."""
SHM_PER_GPU = 2**30
"""Bytes of /dev/shm for each of several GPUs: NCCL and the workers of tensor parallelism pass messages through it."""
EPHEMERAL_SIZE = "10Gi"
"""Size of an ephemeral volume that gives none, where ``resources.disk`` gives none either."""
HANDOVER_SECONDS = 10
"""How long a stopping pod goes on serving while the endpoints of its Service forget it: the server closes its port 0.1 s after
SIGTERM (without the pause 1 of 1,100 requests was refused in each update)."""
DRAIN_SECONDS = 50
"""How long its last requests may take after that."""
STARTUP_PERIOD = 2
"""Seconds between two looks at a server that starts: so late at most is it seen that it has."""


def gpus(spec: HuggingFaceServe) -> int:
    """GPUs of one replica."""
    return int(spec.resources.gpu or 0)


def resources(spec: HuggingFaceServe) -> dict[str, Any]:
    """Requests and limits of the server. Memory is limited to what was asked for plus ``/dev/shm``, which counts in it."""
    wanted = spec.resources
    requests: dict[str, str] = {}
    if wanted.cpu:
        requests["cpu"] = wanted.cpu
    if wanted.mem:
        requests["memory"] = memory(spec)
    if gpus(spec):
        requests[GPU] = str(gpus(spec))
    limits = {k: v for k, v in requests.items() if k != "cpu"}
    if wanted.disk and writable_model_volume(spec):
        requests["ephemeral-storage"] = wanted.disk
    return {k: v for k, v in (("requests", requests), ("limits", limits)) if v}


def memory(spec: HuggingFaceServe) -> str:
    """Memory of the server with its share of ``/dev/shm``."""
    mem = spec.resources.mem or "0"
    return mem if shm_bytes(spec) == 0 else f"{math.ceil(((quantity(mem) or 0) + shm_bytes(spec)) / 2**20)}Mi"


def shm_bytes(spec: HuggingFaceServe) -> int:
    """Bytes of ``/dev/shm`` of one replica; 0 with at most one GPU, where the container runtime's own 64 MiB do."""
    return gpus(spec) * SHM_PER_GPU if gpus(spec) > 1 else 0


def env(spec: HuggingFaceServe, **defaults: str) -> list[dict[str, Any]]:
    """Environment of the server: the spec's, and ``defaults`` for what it leaves out."""
    own = {e.name: e.value for e in spec.envs}
    merged = {**{k: v for k, v in defaults.items() if k not in own}, **own}
    return [{"name": k, "value": v} for k, v in merged.items()]


def env_from(*secrets: str | None) -> list[dict[str, Any]]:
    """Secrets whose keys become environment variables, each once and in this order."""
    return [{"secretRef": {"name": s}} for s in dict.fromkeys(secrets) if s]


def model_mount(spec: HuggingFaceServe) -> str:
    """Where the model (or the hub's cache) lies in the pod."""
    return HF_HOME if hub_path(spec.path) is not None else MODEL_DIR


def fetched_by_init(spec: HuggingFaceServe) -> bool:
    """Whether somebody must fetch the model before the server starts: not one on the hub, on a claim, or in the pod."""
    return _scheme(spec.path) not in ("", "pvc", "hf", "huggingface")


def model_volume_name(spec: HuggingFaceServe) -> str:
    """The volume that holds the model: one that the user mounts there, or ours."""
    return next((v.name for v in spec.volumes if v.mount_path.rstrip("/") == model_mount(spec)), "model")


def writable_model_volume(spec: HuggingFaceServe) -> bool:
    """Whether we make the volume that the model is fetched into; not for a claim, a path, or where the user mounts one there."""
    return _scheme(spec.path) not in ("", "pvc") and model_volume_name(spec) == "model"


def volumes(spec: HuggingFaceServe, *, name: str, by_kserve: bool = False) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes of the pod, and mounts of the server. KServe brings the volume of a fetched model and ``/dev/shm`` itself."""
    made: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    hub = hub_path(spec.path) is not None
    if writable_model_volume(spec) and (hub or not by_kserve):
        size = {"sizeLimit": spec.resources.disk} if spec.resources.disk else {}
        made.append({"name": "model", "emptyDir": size})
        mounts.append({"name": "model", "mountPath": model_mount(spec), **({} if hub else {"readOnly": True})})
    if _scheme(spec.path) == "pvc" and not by_kserve:
        claim, _, folder = spec.path.partition("://")[2].partition("/")
        made.append({"name": "model", "persistentVolumeClaim": {"claimName": claim}})
        below = {"subPath": folder.strip("/")} if folder.strip("/") else {}
        mounts.append({"name": "model", "mountPath": MODEL_DIR, "readOnly": True, **below})
    if shm_bytes(spec) and not by_kserve and "/dev/shm" not in {v.mount_path for v in spec.volumes}:
        made.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shm_bytes(spec) // 2**20}Mi"}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    for volume in spec.volumes:
        made.append({"name": volume.name, **_source(volume, name, spec.resources.disk)})
        below = {"subPath": volume.spec["subPath"]} if volume.spec.get("subPath") else {}
        mounts.append({"name": volume.name, "mountPath": volume.mount_path, **below})
    return made, mounts


def claims(spec: HuggingFaceServe, *, name: str) -> list[dict[str, Any]]:
    """The claims to make, without kind: one for each ``persistent_volume_claim`` that gives a size instead of an existing
    claim."""
    return [
        {"metadata": {"name": claim_of(v, name)}, "spec": _claim_spec(v, v.spec["size"])}
        for v in spec.volumes
        if v.volume_type == "persistent_volume_claim" and "size" in v.spec
    ]


def claim_of(volume: Volume, name: str) -> str:
    """The claim that a volume stands on: the one it names, the volume's own name (shared), or one of ours."""
    if "claimName" in volume.spec:
        return volume.spec["claimName"]
    return volume.name if volume.volume_type == "shared_volume" else f"{name}-{volume.name}"


def _source(volume: Volume, name: str, disk: str | None) -> dict[str, Any]:
    match volume.volume_type:
        case "persistent_volume_claim" | "shared_volume":
            return {"persistentVolumeClaim": {"claimName": claim_of(volume, name)}}
        case "empty_dir":
            return {"emptyDir": {k: volume.spec[k] for k in ("sizeLimit", "medium") if volume.spec.get(k)}}
        case "image":
            return {"image": {"reference": volume.spec["image"], "pullPolicy": "IfNotPresent"}}
        case "ephemeral":
            size = volume.spec.get("size") or disk or EPHEMERAL_SIZE
            return {"ephemeral": {"volumeClaimTemplate": {"spec": _claim_spec(volume, size)}}}


def _claim_spec(volume: Volume, size: str) -> dict[str, Any]:
    storage_class = volume.spec.get("storageClass")
    return {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        **({"storageClassName": storage_class} if storage_class else {}),
    }


def placement(spec: HuggingFaceServe) -> dict[str, Any]:
    """The pod's fields that say where it may run, under which account, and with which pull secret."""
    fields: dict[str, Any] = {
        "nodeSelector": dict(spec.node_selector),
        "tolerations": [dict(t) for t in spec.tolerations],
        "affinity": spec.affinity,
        "runtimeClassName": spec.runtime_class,
        "priorityClassName": spec.priority_class,
        "serviceAccountName": spec.service_account,
        "imagePullSecrets": [{"name": spec.registry_secret}] if spec.registry_secret else [],
    }
    return {k: v for k, v in fields.items() if v}


def probes(model_name: str, startup_seconds: int) -> dict[str, Any]:
    """Probes on the model's own path: ``/v2/health/ready`` stays 200 after an engine crash (kserve #6259).

    Prediction blocks the server's event loop, so a probe of a busy server waits for the batch before it (1.75 s seen for a
    batch of 2 s): the time limits are far above that, and only minutes without an answer restart the container. Nobody asks a
    server that starts, so its probe has no longer limit than its period: the tries last ``startup_seconds``, answered or not.
    """
    tries = math.ceil(startup_seconds / STARTUP_PERIOD)
    rhythm = {
        "startupProbe": {"periodSeconds": STARTUP_PERIOD, "timeoutSeconds": STARTUP_PERIOD, "failureThreshold": tries},
        "readinessProbe": {"periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 3},
        "livenessProbe": {"periodSeconds": 30, "timeoutSeconds": 30, "failureThreshold": 5},
    }
    path = f"/v2/models/{model_name}/ready"
    return {probe: {"httpGet": {"path": path, "port": HTTP_PORT}, **numbers} for probe, numbers in rhythm.items()}


def handover() -> dict[str, Any]:
    """The server's ``lifecycle``: it serves on while its address is being forgotten."""
    return {"preStop": {"exec": {"command": ["sleep", str(HANDOVER_SECONDS)]}}}


def ending() -> dict[str, Any]:
    """The pod's fields that decide how it ends.

    A process with PID 1 hears no SIGTERM that it has no handler for (pid_namespaces(7)), and Python sets none while it loads:
    a pod that was not ready yet lived out its whole grace. In a shared namespace PID 1 is the pod's pause container, and SIGTERM
    ends the server at once; KServe does the same for models from images.
    """
    return {"terminationGracePeriodSeconds": HANDOVER_SECONDS + DRAIN_SECONDS, "shareProcessNamespace": True}


def strategy_of(spec: HuggingFaceServe) -> str:
    """The spec's strategy, or its default.

    With several replicas on GPUs the default is ``in_place``: it needs no spare GPU, and the other replicas go on serving.
    Everywhere else ``surge``: no moment without a server. One replica on a GPU then needs a second GPU for the time of a
    rollout; a pool without one is named as a deadlock, with this remedy.
    """
    if spec.strategy:
        return spec.strategy
    return "in_place" if gpus(spec) and (spec.replicas or 1) > 1 else "surge"


def rollout_strategy(spec: HuggingFaceServe) -> dict[str, Any]:
    """The Deployment's ``strategy``."""
    if strategy_of(spec) == "recreate":
        return {"type": "Recreate"}
    surge, unavailable = (1, 0) if strategy_of(spec) == "surge" else (0, 1)
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def container_security() -> dict[str, Any]:
    """No new privileges, no capabilities."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod_security() -> dict[str, Any]:
    """The images run as user 1000; ``fsGroup`` lets that user write the volumes."""
    return {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _scheme(path: str) -> str:
    return path.partition("://")[0].lower() if "://" in path else ""
