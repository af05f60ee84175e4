"""For generated specs ours accepts exactly what the API server's dry run accepts of the rendered objects, both directions.

``LLMSERVE_FUZZ`` says how many (default 2,000).
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from support.cluster import Cluster

from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.runtimes.huggingface import deployment
from airflow_provider_llmserve.runtimes.parts import Facts
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe
from airflow_provider_llmserve.specs.pod import Env, Resources, Volume

pytestmark = pytest.mark.cluster

EXAMPLES = int(os.environ.get("LLMSERVE_FUZZ", "2000"))
PATHS = {"Deployment": "apis/apps/v1/namespaces/{}/deployments", "Service": "api/v1/namespaces/{}/services"}
PATHS["PersistentVolumeClaim"] = "api/v1/namespaces/{}/persistentvolumeclaims"

# Only what the API server has an opinion about is wild: it does not look at the names of Secrets and accounts, say.
good_names = st.sampled_from(["a", "bert", "b-2", "z9"])
wild_names = good_names | st.sampled_from(["A", "a_b", "-a", "a-", "a.b", "x" * 63, "x" * 64, "7b"])
wild_keys = st.sampled_from(["zone", "example.com/zone", "", "a b", "-x", "x/y/z", "X_1", "k" * 64])
wild_values = st.sampled_from(["", "a", "A.b_c", "-a", "a b", "v" * 64])
wild_quantities = st.sampled_from(["1", "500m", "2Gi", "0.5", "0", "16", "1Gi", "100k"])
tolerations = st.fixed_dictionaries(
    {},
    optional={
        "key": wild_keys,
        "operator": st.sampled_from(["Exists", "Equal", "equal", ""]),
        "value": wild_values,
        "effect": st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule", "Never", ""]),
        "tolerationSeconds": st.integers(-1, 5),
    },
)


def volume(kind: str, spec: dict[str, st.SearchStrategy[str]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "volume_type": st.just(kind),
            "name": wild_names,
            "mount_path": st.sampled_from(["/a", "/b", "/a/b", "/mnt/models", "/dev/shm"]),
            "spec": st.fixed_dictionaries(spec, optional={"subPath": st.sampled_from(["a", "a/b", "../a", "/a"])}),
        }
    )


volumes = st.one_of(
    volume("persistent_volume_claim", {"size": wild_quantities}),
    volume("persistent_volume_claim", {"claimName": wild_names}),
    volume("empty_dir", {"sizeLimit": wild_quantities, "medium": st.sampled_from(["", "Memory", "Disk"])}),
    volume("ephemeral", {"size": wild_quantities, "storageClass": wild_names}),
    volume("shared_volume", {}),
    volume("image", {"image": st.sampled_from(["registry.example.com/x:1", "x"])}),
)
fields = st.fixed_dictionaries(
    {"path": st.sampled_from(["hf://org/m", "s3://bucket/m", "pvc://claim/m"])},
    optional={
        "image": st.just("x:v0.20.0"),
        "volumes": st.lists(volumes, max_size=2),
        "resources": st.fixed_dictionaries(
            {},
            optional={
                "cpu": wild_quantities,
                "mem": wild_quantities,
                "gpu": st.sampled_from(["0", "1", "2"]),
                "disk": wild_quantities,
            },
        ),
        "envs": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["A", "A.b-C", "", "A=B"]), "value": wild_values}),
            max_size=2,
            unique_by=lambda e: e["name"],
        ),
        "secrets": st.lists(good_names, max_size=2),
        "node_selector": st.dictionaries(wild_keys, wild_values, max_size=2),
        "tolerations": st.lists(tolerations, max_size=2),
        "service_name": st.sampled_from(["front", "A", "-a", "x" * 63, "y" * 64]),
        "service_type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
        "service_account": good_names,
        "registry_secret": good_names,
        "storage_secret": good_names,
        "priority_class": wild_names,
        "runtime_class": wild_names,
        "startup_seconds": st.sampled_from([1, 5, 3600, 2**31 - 1]),
        "strategy": st.sampled_from(["surge", "in_place", "recreate"]),
    },
)


def unchecked(raw: dict[str, Any]) -> HuggingFaceServe:
    """The spec as if nothing of it had been checked."""
    values = dict(raw)
    values["volumes"] = tuple(Volume.model_construct(**v) for v in raw.get("volumes", ()))
    values["envs"] = tuple(Env.model_construct(**e) for e in raw.get("envs", ()))
    values["resources"] = Resources.model_construct(**raw.get("resources", {}))
    for key in ("secrets", "tolerations"):
        values[key] = tuple(raw.get(key, ()))
    return HuggingFaceServe.model_construct(**{"model_name": "m", **values})


def our_findings(raw: dict[str, Any], name: str, connection: Settings) -> list[str]:
    try:
        spec = HuggingFaceServe.parse({"model_name": "m", **raw})
    except BadInput as e:
        return list(e.findings)
    return deployment.findings(spec, name=name, settings=connection, facts=Facts())


def api_findings(cluster: Cluster, raw: dict[str, Any], name: str, connection: Settings) -> list[str]:
    """What the API server says to each rendered object, without storing it."""
    found = []
    for manifest in deployment.render(
        unchecked(raw), name=name, namespace=connection.namespace, stopped=False, settings=connection
    ):
        path = PATHS[manifest["kind"]].format(connection.namespace)
        response = cluster.admin.request("POST", f"/{path}?dryRun=All&fieldValidation=Strict", manifest)
        if not response.ok:
            found.append(f"{manifest['kind']}: {response.json()['message']}")
    return found


@pytest.fixture(scope="module")
def connection(cluster: Cluster) -> Settings:
    return Settings(platform="kubernetes", namespace=cluster.namespace())


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(raw=fields, name=good_names | st.sampled_from(["A", "a_b", "-a", "a-", "a.b", "w" * 63, "v" * 64]))
def test_ours_accepts_what_the_api_server_accepts(cluster: Cluster, connection: Settings, raw: dict[str, Any], name: str) -> None:
    ours, theirs = our_findings(raw, name, connection), api_findings(cluster, raw, name, connection)
    note(f"ours: {ours}")
    note(f"API server: {theirs}")
    assert bool(ours) == bool(theirs)
