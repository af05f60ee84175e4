"""Values of Airflow connections on a real API server: a rotated token rolls, and a failed update goes back to the one before."""

from __future__ import annotations

import base64
import json

import pytest
from support.answers import Answers
from support.hf import ONE, TWO, Namespace, want
from support.kube import until

from airflow_provider_llmserve.errors import LLMServeError
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import serve

pytestmark = pytest.mark.cluster


class Tokens:
    """The token that the connection has, and those that the cluster knows."""

    def __init__(self, ns: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ns = ns
        self._patch = monkeypatch

    def rotate(self, value: str) -> None:
        self._patch.setenv("AIRFLOW_CONN_HUB", json.dumps({"conn_type": "generic", "password": value}))

    def of_pods(self) -> str:
        """Of the Secret that the pods are given."""
        (source,) = (self._ns.get("deployments", "bert") or {})["spec"]["template"]["spec"]["containers"][0]["envFrom"]
        return self.all()[source["secretRef"]["name"]]

    def all(self) -> dict[str, str]:
        """Every Secret of ours, and the token in it."""
        found = {s["metadata"]["name"]: s for s in self._ns.all("secrets")}
        return {n: base64.b64decode(s["data"]["HF_TOKEN"]).decode() for n, s in found.items() if n.startswith("bert-llmserve-")}


@pytest.fixture
def tokens(ns: Namespace, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    made = Tokens(ns, monkeypatch)
    made.rotate("first")
    return made


async def test_a_rotated_token_rolls_and_the_same_one_does_not(
    hf_platform: KubernetesPlatform, ns: Namespace, model: Answers, tokens: Tokens
) -> None:
    await serve(hf_platform, want(secrets=["conn:hub"]), timeout=30)
    before = ns.pod_uids()
    await serve(hf_platform, want(TWO, secrets=["conn:hub"]), timeout=30)
    assert ns.pod_uids() == before
    tokens.rotate("second")
    await serve(hf_platform, want(secrets=["conn:hub"]), timeout=30)
    until("the pods with the old token are gone", lambda: not before & ns.pod_uids())
    assert list(tokens.all().values()) == ["second"], "the old one goes when the new one is proven"


async def test_a_failed_update_goes_back_to_the_token_of_before(
    hf_platform: KubernetesPlatform, ns: Namespace, model: Answers, tokens: Tokens
) -> None:
    await serve(hf_platform, want(secrets=["conn:hub"]), timeout=30)
    tokens.rotate("second, which the hub refuses")
    model.status = 500
    with pytest.raises(LLMServeError):
        await serve(hf_platform, want(TWO, secrets=["conn:hub"]), timeout=4)
    assert tokens.of_pods() == "first"
    assert list(tokens.all().values()) == ["first"]


async def test_a_refused_write_leaves_no_secret(
    hf_platform: KubernetesPlatform, ns: Namespace, model: Answers, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Client.apply

    async def refusing(self: Client, kind: object, *args: object, **more: object) -> object:
        if getattr(kind, "kind", "") == "Deployment" and not more.get("dry_run"):
            assert tokens.all(), "the Secret was written before: pods need it"
            raise LLMServeError("refused")
        return await apply(self, kind, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Client, "apply", refusing)
    with pytest.raises(LLMServeError, match="refused"):
        await hf_platform.apply(want(ONE, secrets=["conn:hub"]), replacing=None)
    assert tokens.all() == {}
