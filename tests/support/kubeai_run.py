"""Words of the tests that deploy Models beside the stand-in for KubeAI's manager."""

from __future__ import annotations

from typing import Any

from support.cluster import Cluster
from support.kube import until

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.specs import KubeAIText

ONE = Owner(dag_id="d", run_id="r1", task_id="t", try_number=1, ti_id="one")
TWO = Owner(dag_id="d", run_id="r2", task_id="t", try_number=1, ti_id="two")
LAW = {"name": "law", "url": "hf://acme/lora-law"}
MED = {"name": "med", "url": "hf://acme/lora-med"}
BROKEN = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}
NOT_FOUND = 'rpc error: code = NotFound desc = failed to pull and unpack image "absent:1": failed to resolve reference: not found'


def spec(**fields: Any) -> KubeAIText:
    return KubeAIText.parse({"url": "hf://acme/base-7b", "model_name": "alpha", "args": ["--max-loras=4"], **fields})


def want(s: KubeAIText | None = None, owner: Owner = ONE, **fields: Any) -> Want:
    s = s or spec()
    return Want(spec=s, name=s.object_name, owner=owner, **fields)


def server_status(state: dict[str, Any], *, last: dict[str, Any] | None = None, restarts: int = 0) -> dict[str, Any]:
    """A pod's status whose container ``server`` is in that state."""
    server = {"name": "server", "image": "", "imageID": "", "ready": False, "restartCount": restarts, "state": state}
    return {**BROKEN, "containerStatuses": [{**server, "lastState": last or {}}]}


def ended(code: int, reason: str) -> dict[str, Any]:
    times = {"startedAt": "2026-11-23T22:21:27Z", "finishedAt": "2026-11-23T22:21:28Z"}
    return {"terminated": {"exitCode": code, "reason": reason, **times}}


def backed_off(code: int, reason: str) -> dict[str, Any]:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=server"}}
    return server_status(waiting, last=ended(code, reason), restarts=5)


FATES = {
    "absent:1": [
        (
            0.0,
            server_status(
                {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "absent:1": {NOT_FOUND}'}}
            ),
        )
    ],
    "crashing:1": [(0.0, backed_off(2, "Error"))],
    "greedy:1": [(0.0, backed_off(137, "OOMKilled"))],
    "slow:1": [],
}
"""Image to what becomes of its pods; ``slow:1`` runs and never gets ready."""


def model(cluster: Cluster, namespace: str, name: str = "alpha") -> dict[str, Any] | None:
    return cluster.admin.get(f"/apis/kubeai.org/v1/namespaces/{namespace}/models/{name}")


def pods(cluster: Cluster, namespace: str, name: str = "alpha") -> list[dict[str, Any]]:
    return cluster.admin.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=model%3D{name}")


def volume(cluster: Cluster, namespace: str) -> None:
    """A volume for the cache's claim, and a storage class's name for it to be bound by."""
    name = f"pv-{namespace}"
    claim = {"namespace": namespace, "name": "shared-model-cache-shared"}
    body = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "shared-nfs",
        "hostPath": {"path": "/tmp/none"},
        "claimRef": claim,
    }
    cluster.admin.create("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": body})
    until(f"volume {name}", lambda: cluster.admin.get(f"/api/v1/persistentvolumes/{name}"))
