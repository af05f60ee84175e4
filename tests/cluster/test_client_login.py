"""How the client logs in: what the provider's async hook does not do by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cluster import CRDS

from airflow_provider_llmserve.platforms.kubernetes import login

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("extra", "inside", "expected"),
    [
        ({}, True, True),
        ({}, False, None),
        ({"kube_config": "{}"}, True, None),
        ({"extra__kubernetes__kube_config_path": "/k"}, True, None),
        ({"in_cluster": True}, False, None),
    ],
    ids=["in a pod", "elsewhere", "kubeconfig in the connection", "old spelling", "named by the connection"],
)
async def test_a_connection_that_names_no_login_is_tried_in_the_cluster(
    extra: dict, inside: bool, expected: bool | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    if inside:
        token.write_text("t")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    else:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(login, "SERVICE_ACCOUNT_TOKEN", token)
    monkeypatch.setenv("AIRFLOW_CONN_K", json.dumps({"conn_type": "kubernetes", "extra": extra}))

    assert (await login.hook_of("k")).in_cluster is expected


async def test_disable_verify_ssl_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_K", json.dumps({"conn_type": "kubernetes", "extra": {"disable_verify_ssl": True}}))

    assert (await login.hook_of("k")).client_configuration.verify_ssl is False


def test_the_projects_model_crd_says_what_the_published_one_says() -> None:
    import yaml

    published = CRDS.parents[3] / "shared" / "testbed" / "crds" / "kubeai.org_models.yaml"
    if not published.parent.is_dir():
        pytest.skip("the published CRD is not at hand (../shared/testbed/crds)")
    theirs, ours = (yaml.safe_load(p.read_text())["spec"] for p in (published, CRDS / "kubeai.yaml"))

    assert plain(ours["versions"]) == plain(theirs["versions"])
    assert ours["names"] == theirs["names"]


def plain(value: object) -> object:
    """Without descriptions, and without an order where order says nothing."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if not (k == "description" and isinstance(v, str))}
    if isinstance(value, list):
        return sorted((plain(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return " ".join(value.split()) if isinstance(value, str) else value
