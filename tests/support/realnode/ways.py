"""Every way in which a pod does not start or does not stay, as a pod of one container, and the word for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from support.realnode.images import AS_ROOT, SERVER
from support.realnode.registry import HOST

Pod = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """A pod's spec, the word for what becomes of it, and the words that are right until that shows."""

    pod: Pod
    word: str
    before: tuple[str, ...] = ()


def pod(image: str = SERVER, *, spec: Pod | None = None, env: dict[str, str] | None = None, **server: Any) -> Pod:
    """The spec of a pod whose server has these fields."""
    variables = [{"name": k, "value": v} for k, v in (env or {}).items()]
    container = {"name": "server", "image": image, "imagePullPolicy": "IfNotPresent", "env": variables, **server}
    least = {"terminationGracePeriodSeconds": 1, "enableServiceLinks": False, "automountServiceAccountToken": False}
    return {**least, "containers": [container], **(spec or {})}


def shell(script: str, **more: Any) -> Pod:
    return pod(command=["sh", "-c", script], **more)


def volume(**source: Any) -> Pod:
    mounts = [{"name": "v", "mountPath": "/v"}]
    return pod(spec={"volumes": [{"name": "v", **source}]}, volumeMounts=mounts)


def variable(source: str, name: str, key: str) -> Pod:
    made = pod()
    made["containers"][0]["env"] = [{"name": "X", "valueFrom": {source: {"name": name, "key": key}}}]
    return made


def probe(kind: str, **env: str) -> Pod:
    """A probe that gives up after two seconds."""
    asks = {"httpGet": {"path": "/v2/models/model/ready", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2}
    made = pod(env=env)
    made["containers"][0][f"{kind}Probe"] = asks
    return made


def limits(**amounts: str) -> Pod:
    return {"resources": {"limits": {k.replace("_", "-"): v for k, v in amounts.items()}}}


NOT_ROOT = {"securityContext": {"runAsNonRoot": True}}

PULLS: dict[str, tuple[Pod, str]] = {
    "absent": (pod(f"{HOST}/ml/nothere:1"), "image_not_found"),
    "no-such-digest": (pod(f"{HOST}/ml/x@sha256:{'0' * 64}"), "image_not_found"),
    "denied": (pod(f"{HOST}/ml/denied:1"), "image_pull_denied"),
    "wants-a-password": (pod(f"{HOST}/ml/basic:1"), "image_pull_denied"),
    "forbidden": (pod(f"{HOST}/ml/forbidden:1"), "image_pull_denied"),
    "limited": (pod(f"{HOST}/ml/limited:1"), "registry_rate_limited"),
    "broken": (pod(f"{HOST}/ml/broken:1"), "image_pull_failed"),
    "no-registry": (pod("elsewhere.test/ml/server:1"), "registry_unreachable"),
    "bad-name": (pod(f"{HOST}/ML/Bad:1"), "image_name_invalid"),
    "never-pulled": (pod("llms.test/absent:1", imagePullPolicy="Never"), "image_not_on_node"),
    "no-pull-secret": (
        pod(f"{HOST}/ml/denied:1", spec={"imagePullSecrets": [{"name": "nope"}]}),
        "image_pull_secret_missing",
    ),
    "image-volume": (volume(image={"reference": f"{HOST}/ml/nothere:1"}), "image_not_found"),
}

MAKES: dict[str, tuple[Pod, str]] = {
    "no-secret": (variable("secretKeyRef", "nope", "k"), "secret_missing"),
    "no-key": (variable("secretKeyRef", "has", "nope"), "secret_missing"),
    "no-config-map": (variable("configMapKeyRef", "nope", "k"), "config_map_missing"),
    "no-secret-volume": (volume(secret={"secretName": "nope"}), "secret_missing"),
    "no-key-volume": (volume(secret={"secretName": "has", "items": [{"key": "nope", "path": "k"}]}), "secret_missing"),
    "no-config-map-volume": (volume(configMap={"name": "nope"}), "config_map_missing"),
    "no-config-key-volume": (
        volume(configMap={"name": "kube-root-ca.crt", "items": [{"key": "nope", "path": "k"}]}),
        "config_map_missing",
    ),
    "no-folder": (volume(hostPath={"path": "/no/such", "type": "Directory"}), "volume_not_mounted"),
    "no-driver": (volume(csi={"driver": "s3.csi.example.com"}), "volume_not_mounted"),
    "no-claim": (volume(persistentVolumeClaim={"claimName": "nope"}), "pvc_missing"),
    "no-command": (pod(command=["/no/such/thing"]), "command_not_found"),
    "not-in-path": (pod(command=["huggingfaceserver"]), "command_not_found"),
    "no-program": (pod(command=["/etc/passwd"]), "command_not_found"),
    "no-workdir": (pod(workingDir="/etc/passwd"), "container_create_failed"),
    "root-image": (pod(AS_ROOT, spec=NOT_ROOT), "runs_as_root"),
    "root-by-number": (pod(securityContext={"runAsUser": 0, "runAsNonRoot": True}), "runs_as_root"),
    "no-seccomp": (
        pod(spec={"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "no.json"}}}),
        "container_create_failed",
    ),
    "no-apparmor": (pod(spec={"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}), "pod_rejected"),
    "sysctl": (pod(spec={"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}}), "pod_rejected"),
    "no-room": (pod(**limits(cpu="9000")), "unschedulable_cpu"),
    "no-memory": (pod(**limits(memory="9Ti")), "unschedulable_memory"),
    "no-disk": (pod(**limits(ephemeral_storage="900Ti")), "unschedulable_disk"),
    "no-gpu": (pod(resources={"limits": {"nvidia.com/gpu": "1"}}), "unschedulable_gpu"),
    "no-node": (pod(spec={"nodeSelector": {"pool": "none"}}), "unschedulable_node_selector"),
    "tiny-memory": (pod(**limits(memory="64Ki")), "out_of_memory"),
}

DIES: dict[str, tuple[Pod, str]] = {
    "ends-well": (shell("exit 0"), "crash_loop"),
    "ends-badly": (shell("echo no such thing as a free launch >&2; exit 3"), "crash_loop"),
    "no-such-program": (shell("nosuchcmd"), "command_not_found"),
    "segmentation-fault": (shell("exit 139"), "crashed"),
    "illegal-instruction": (shell("exit 132"), "cpu_too_old"),
    "read-only": (shell("echo x > /home/user/x", securityContext={"readOnlyRootFilesystem": True}), "cache_not_writable"),
    "eats": (pod(env={"EATS": "400"}, **limits(memory="80Mi")), "out_of_memory"),
    "writes": (pod(env={"WRITES": "64"}, **limits(ephemeral_storage="8Mi")), "evicted_disk_limit"),
    "never-up": (probe("startup", READY_AFTER="3600"), "startup_probe_failed"),
    "goes-deaf": (probe("liveness", READY_AFTER="3600"), "liveness_killed"),
    "hook-fails": (pod(lifecycle={"postStart": {"exec": {"command": ["false"]}}}), "start_hook_failed"),
    "init-fails": (
        pod(spec={"initContainers": [{"name": "fetch", "image": SERVER, "command": ["sh", "-c", "exit 4"]}]}),
        "crash_loop",
    ),
    "flag": (
        pod(env={"SAYS": "api_server.py: error: unrecognized arguments: --max-modle-len=9", "EXITS": "2"}),
        "invalid_flag",
    ),
}

_EARLY = ("container_restarting", "crash_loop", "pod_not_started", "unschedulable_taint", "readiness_failing")
"""Before a log was read, a status written, or the node's taints taken away."""

WAYS = {name: Way(pod, word, _EARLY) for name, (pod, word) in {**PULLS, **MAKES, **DIES}.items()}
