"""What cluster tests ask of their cluster: namespaces, nodes, restricted logins, routes to servers on loopback."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from support.controlplane import ControlPlane
from support.kube import Kube, until

CRDS = Path(__file__).parent / "crds"


class Cluster:
    """A control plane with the project's CRDs in it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.admin: Kube = plane.admin
        self.kubeconfig = plane.kubeconfig("admin-token")
        """The administrator's login."""
        for file in sorted(CRDS.glob("*.yaml")):
            self.install(yaml.safe_load(file.read_text()))

    def install(self, crd: dict[str, Any]) -> None:
        """Create a CRD and wait until it is served."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        self.admin.create(path, crd)

        def established() -> bool:
            live = self.admin.get(f"{path}/{crd['metadata']['name']}") or {}
            return any(
                c["type"] == "Established" and c["status"] == "True" for c in (live.get("status", {}).get("conditions") or ())
            )

        until(f"CRD {crd['metadata']['name']} established", established)

    def namespace(self) -> str:
        """A new namespace, ready for pods (with its default service account)."""
        name = f"t-{uuid.uuid4().hex[:10]}"
        self.admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
        until(f"default service account of {name}", lambda: self.admin.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"))
        return name

    def node(self, *, gpus: int = 0, labels: dict[str, str] | None = None) -> str:
        """A node that kwok plays, Ready when this returns; delete it after the test where its GPUs would matter to others."""
        name = f"n-{uuid.uuid4().hex[:8]}"
        room = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"}
        if gpus:
            room["nvidia.com/gpu"] = str(gpus)
        self.admin.create(
            "/api/v1/nodes",
            {
                "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": labels or {}},
                "status": {"allocatable": room, "capacity": room},
            },
        )

        def ready() -> bool:
            live = self.admin.get(f"/api/v1/nodes/{name}") or {}
            conditions = live.get("status", {}).get("conditions") or ()
            tainted = bool(live.get("spec", {}).get("taints"))
            return not tainted and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        until(f"node {name} ready", ready)
        if gpus:
            self._scheduler_gives(name, room["nvidia.com/gpu"])
        return name

    def _scheduler_gives(self, node: str, gpus: str) -> None:
        """Wait until the scheduler places a pod on the node's GPUs and they are free again: once it was seen to miss them."""
        pods = "/api/v1/namespaces/default/pods"
        terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
        resources = {"limits": {"nvidia.com/gpu": gpus}}
        container = {"name": "c", "image": "x", "resources": resources}
        tries = iter(range(1000))

        def placed() -> bool:
            name = f"probe-{node}-{next(tries)}"
            self.admin.create(
                pods, {"metadata": {"name": name}, "spec": {"containers": [container], "affinity": affinity, "tolerations": []}}
            )
            try:
                until("the probe was looked at", lambda: self._looked_at(f"{pods}/{name}"))
                return bool((self.admin.get(f"{pods}/{name}") or {}).get("spec", {}).get("nodeName"))
            finally:
                self.admin.delete(f"{pods}/{name}", gracePeriodSeconds=0)
                until("the probe is gone", lambda: self.admin.get(f"{pods}/{name}") is None)

        until(f"GPUs of {node} can be had", placed)

    def _looked_at(self, path: str) -> bool:
        pod = self.admin.get(path) or {}
        return bool(pod.get("spec", {}).get("nodeName") or pod.get("status", {}).get("conditions"))

    def remove_node(self, name: str) -> None:
        self.admin.delete(f"/api/v1/nodes/{name}")

    def user(
        self, namespace: str, rules: Sequence[dict[str, Any]], *, everywhere: Sequence[dict[str, Any]] = ()
    ) -> dict[str, Any]:
        """The kubeconfig of a service account that may do in ``namespace`` what the RBAC ``rules`` say, and nothing else.

        ``everywhere`` are rules on cluster-scoped objects.
        """
        name = f"u-{uuid.uuid4().hex[:8]}"
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.admin.create(accounts, {"metadata": {"name": name}})
        for kind, path, granted in (("Role", rbac, rules), ("ClusterRole", rbac.partition("/namespaces")[0], everywhere)):
            if granted:
                self._grant(kind, path, name, namespace, granted)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        token = self.admin.create(f"{accounts}/{name}/token", request)["status"]["token"]
        return self.plane.kubeconfig(token, namespace)

    def _grant(self, kind: str, path: str, name: str, namespace: str, rules: Sequence[dict[str, Any]]) -> None:
        self.admin.create(f"{path}/{kind.lower()}s", {"metadata": {"name": name}, "rules": list(rules)})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }
        self.admin.create(f"{path}/{kind.lower()}bindings", binding)

    def route(self, target: str, port: int) -> None:
        """Lead what the API server dials at ``target`` (``host:port``, or ``*:port``) to a server on loopback."""
        self.plane.egress.routes[target] = port

    def route_pod(self, namespace: str, pod: str, pod_port: int, port: int) -> None:
        """Lead one pod's port to a server on loopback, as soon as the pod has an address."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        address = until(f"address of pod {pod}", lambda: (self.admin.get(path) or {}).get("status", {}).get("podIP"))
        self.route(f"{address}:{pod_port}", port)


def hook_for(kubeconfig: dict[str, Any]) -> Callable[[], Any]:
    """Makes the cncf provider's hook for a kubeconfig, without an Airflow connection."""

    def make() -> Any:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

        return AsyncKubernetesHook(conn_id=None, config_dict=kubeconfig)

    return make
