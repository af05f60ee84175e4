"""The kinds of Kubernetes objects that we read or write. A new one is a line here, and a word in :data:`KINDS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Kind:
    """One resource of the Kubernetes API. ``group`` is empty for core/v1; the plural is never guessed."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """As manifests spell it: ``apps/v1``, ``v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version


NAMESPACE = Kind("", "v1", "Namespace", "namespaces")
POD = Kind("", "v1", "Pod", "pods")
EVENT = Kind("", "v1", "Event", "events")
SERVICE = Kind("", "v1", "Service", "services")
SECRET = Kind("", "v1", "Secret", "secrets")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
PVC = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
RESOURCE_QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")
JOB = Kind("batch", "v1", "Job", "jobs")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
CRD = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
PRIORITY_CLASS = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses")
RUNTIME_CLASS = Kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses")
STORAGE_CLASS = Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses")
MODEL = Kind("kubeai.org", "v1", "Model", "models")
INFERENCE_SERVICE = Kind("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices")

KINDS: Mapping[tuple[str, str], Kind] = MappingProxyType(
    {
        (kind.api_version, kind.kind): kind
        for kind in (
            NAMESPACE,
            POD,
            EVENT,
            SERVICE,
            SECRET,
            CONFIG_MAP,
            PVC,
            SERVICE_ACCOUNT,
            RESOURCE_QUOTA,
            JOB,
            DEPLOYMENT,
            REPLICA_SET,
            LEASE,
            ENDPOINT_SLICE,
            CRD,
            MODEL,
            INFERENCE_SERVICE,
        )
    }
)
"""By apiVersion and kind, as a manifest names them."""
