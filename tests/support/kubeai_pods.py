"""What KubeAI's manager makes of a Model: pods, cache claim and Jobs (``internal/modelcontroller``, v0.22.1),
as plain functions."""

from __future__ import annotations

import hashlib
import json
from typing import Any

Object = dict[str, Any]

SYSTEM: dict[str, Any] = {
    "secretNames": {"alibaba": "alibaba", "aws": "aws", "gcp": "gcp", "huggingface": "huggingface"},
    "modelServers": {
        "VLLM": {"images": {"default": "vllm/vllm-openai:v0.10.0", "cpu": "substratusai/vllm:v0.10.0-cpu"}},
        "OLlama": {"images": {"default": "ollama/ollama:0.12.3"}},
        "Infinity": {"images": {"default": "michaelf34/infinity:latest-cpu"}},
    },
    "modelLoading": {"image": "substratusai/kubeai-model-loader:v0.14.0"},
    "resourceProfiles": {
        "cpu": {"imageName": "cpu", "requests": {"cpu": 1, "memory": "2Gi"}},
        "gpu": {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 1}},
    },
    "cacheProfiles": {
        "shared": {"sharedFilesystem": {"storageClassName": "shared-nfs"}},
        "nostore": {"sharedFilesystem": {"storageClassName": "does-not-exist"}},
    },
    "modelAutoscaling": {"interval": "10s", "timeWindow": "10m", "stateConfigMapName": "kubeai-autoscaler-state"},
    "modelRollouts": {"surge": 1},
}
"""The configuration of the recorded histories."""


class ConfigError(Exception):
    """The manager says this in its log, backs off, and touches nothing else."""


def pod_for(model: Object, system: dict[str, Any]) -> Object:
    """The pod of a Model, without a name."""
    spec, name = model["spec"], model["metadata"]["name"]
    profile, count = _profile(spec, system)
    engine = spec["engine"]
    scheme, _, rest = spec["url"].partition("://")
    ref = rest.partition("?")[0]
    cached = f"/models/{name}-{model['metadata']['uid']}" if spec.get("cacheProfile") else ""
    image = spec.get("image") or _image(engine, profile, system)
    server: Object = {
        "name": "server",
        "image": image,
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {kind: _times(profile[kind], count) for kind in ("requests", "limits") if profile.get(kind)},
        "volumeMounts": [{"name": "dshm", "mountPath": "/dev/shm"}],
    }
    own = [{"name": k, "value": v} for k, v in sorted((spec.get("env") or {}).items())]
    arguments = list(spec.get("args") or [])
    volumes: list[Object] = [{"name": "dshm", "emptyDir": {"medium": "Memory"}}]
    if engine == "VLLM":
        weights = cached or {"s3": spec["url"], "pvc": "/model"}.get(scheme, ref)
        streamed = ["--load-format=runai_streamer"] if scheme == "s3" and not cached else []
        arguments = [f"--model={weights}", f"--served-model-name={name}", *streamed, *arguments]
        if spec.get("adapters"):
            arguments.append("--enable-lora")
            own.insert(0, {"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"})
    elif engine == "OLlama":
        own = [{"name": "OLLAMA_HOST", "value": "0.0.0.0:8000"}, {"name": "OLLAMA_KEEP_ALIVE", "value": "999999h"}, *own]
        script = f"/bin/ollama pull {ref} && /bin/ollama cp {ref} {name} && /bin/ollama run {name} hi"
        server["startupProbe"] = {"exec": {"command": ["bash", "-c", script]}, "timeoutSeconds": 10800}
    elif engine == "Infinity":
        arguments = ["v2", *arguments]
        own = [
            {"name": "INFINITY_MODEL_ID", "value": cached or ref},
            {"name": "INFINITY_SERVED_MODEL_NAME", "value": name},
            *own,
        ]
    server |= {"args": arguments, "env": own, "envFrom": list(spec.get("envFrom") or [])}
    if spec.get("files"):
        volumes.append({"name": "model-files", "configMap": {"name": f"model-{name}-files"}})
        for file in spec["files"]:
            mount = {
                "name": "model-files",
                "mountPath": file["path"],
                "subPath": file["path"].replace("/", "_"),
                "readOnly": True,
            }
            server["volumeMounts"].append(mount)
    containers = [server]
    if spec.get("adapters"):
        volumes.append({"name": "adapters", "emptyDir": {}})
        server["volumeMounts"].append({"name": "adapters", "mountPath": "/adapters", "readOnly": True})
        containers.append({"name": "loader", "image": system["modelLoading"]["image"], "command": ["sleep", "infinity"]})
    body: Object = {"containers": containers, "volumes": volumes}
    if spec.get("priorityClassName"):
        body["priorityClassName"] = spec["priorityClassName"]
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:10]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"model-{name}-{digest}-",
            "namespace": model["metadata"]["namespace"],
            "labels": {
                "app": "model",
                "model": name,
                "app.kubernetes.io/name": engine.lower(),
                "app.kubernetes.io/managed-by": "kubeai",
                "pod-hash": digest,
            },
            "annotations": {"model-pod-port": "8000"},
            "ownerReferences": [owner(model)],
        },
        "spec": body,
    }


def owner(model: Object) -> Object:
    return {
        "apiVersion": "kubeai.org/v1",
        "kind": "Model",
        "name": model["metadata"]["name"],
        "uid": model["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def claim_for(model: Object, system: dict[str, Any]) -> Object:
    """The claim that all Models of a cache profile share."""
    profile = model["spec"]["cacheProfile"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"shared-model-cache-{profile}", "namespace": model["metadata"]["namespace"]},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": system["cacheProfiles"][profile]["sharedFilesystem"]["storageClassName"],
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }


def cache_job(model: Object, verb: str, system: dict[str, Any]) -> Object:
    """``load-cache-<model>`` or ``evict-cache-<model>``."""
    name = f"{verb}-cache-{model['metadata']['name']}"
    claim = {"claimName": f"shared-model-cache-{model['spec']['cacheProfile']}"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": model["metadata"]["namespace"], "ownerReferences": [owner(model)]},
        "spec": {
            "ttlSecondsAfterFinished": 60,
            "template": {
                "metadata": {"annotations": {"testbed/ready-after": "never"}},
                "spec": {
                    "restartPolicy": "OnFailure",
                    "containers": [
                        {
                            "name": "loader",
                            "image": system["modelLoading"]["image"],
                            "volumeMounts": [{"name": "model", "mountPath": "/models"}],
                        }
                    ],
                    "volumes": [{"name": "model", "persistentVolumeClaim": claim}],
                },
            },
        },
    }


def failed_pulls(pod: Object, status: Object) -> list[Object]:
    """What a kubelet has said of each container that backs off from its image: it tried twice."""
    waiting = {c["name"]: (c["state"].get("waiting") or {}) for c in status.get("containerStatuses") or ()}
    told = {n: w["message"].partition(": ")[2] for n, w in waiting.items() if w.get("reason") == "ImagePullBackOff"}
    images = {c["name"]: c["image"] for c in pod["spec"]["containers"]}
    about = {k: pod["metadata"][k] for k in ("name", "namespace", "uid")}
    return [
        {
            "metadata": {"generateName": f"{about['name']}.", "namespace": about["namespace"]},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", **about},
            "type": "Warning",
            "reason": "Failed",
            "message": f'Failed to pull image "{images[name]}": {cause}',
            "count": 2,
        }
        for name, cause in told.items()
    ]


def check_config(model: Object, system: dict[str, Any]) -> None:
    """Raises :class:`ConfigError` with the manager's words for what its configuration lacks."""
    cache = model["spec"].get("cacheProfile")
    if cache and cache not in system["cacheProfiles"]:
        raise ConfigError(f'cache profile not found: "{cache}"')
    profile, _ = _profile(model["spec"], system)
    if not model["spec"].get("image"):
        _image(model["spec"]["engine"], profile, system)


def _profile(spec: Object, system: dict[str, Any]) -> tuple[dict[str, Any], int]:
    name, _, count = str(spec.get("resourceProfile") or "").partition(":")
    if not count.isdecimal():
        raise ConfigError(f'invalid resource profile: "{spec.get("resourceProfile")}", should match <name>:<multiple>')
    if name not in system["resourceProfiles"]:
        raise ConfigError(f'resource profile not found: "{name}"')
    return system["resourceProfiles"][name], int(count)


def _image(engine: str, profile: dict[str, Any], system: dict[str, Any]) -> str:
    images = system["modelServers"].get(engine, {}).get("images", {})
    image = images.get(profile.get("imageName", "default"), images.get("default"))
    if not image:
        raise ConfigError(f"no image for {engine}")
    return str(image)


def _times(amounts: dict[str, Any], count: int) -> dict[str, str]:
    """Quantities are small whole numbers with a suffix at most."""
    out = {}
    for key, value in amounts.items():
        digits = str(value).rstrip("kMGTi")
        out[key] = f"{int(digits) * count}{str(value)[len(digits) :]}"
    return out
