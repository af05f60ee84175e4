"""A webhook that nobody serves: the API server answers 500 to every write, at once or after the webhook's own time limit.

It was named nowhere, and a deploy with a time limit of 35 s ended after 83 s, without a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Callable, Iterator

import pytest
from support.cluster import Cluster
from support.hf import Namespace, want
from support.kube import until

from airflow_provider_llmserve.errors import Unavailable
from airflow_provider_llmserve.platforms.kubernetes import client as clients
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import serve

pytestmark = pytest.mark.cluster

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
MUCH_TOO_LONG = 60
"""Seconds: seven tries of 10 s each take more."""


@pytest.fixture
def webhook(cluster: Cluster, ns: Namespace) -> Iterator[Callable[[str], str]]:
    """Puts a webhook at that URL before the namespace's Deployments, and returns its path when it is asked."""
    made: list[str] = []

    def put(url: str) -> str:
        name = f"w-{uuid.uuid4().hex[:8]}.example.com"
        rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}
        hook = {
            "name": name,
            "clientConfig": {"url": url},
            "rules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 10,
        }
        cluster.admin.create(CONFIGURATIONS, {"metadata": {"name": name}, "webhooks": [hook]})
        made.append(f"{CONFIGURATIONS}/{name}")
        return made[-1]

    yield put
    for path in made:
        if cluster.admin.get(path) is not None:
            cluster.admin.delete(path)


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a listener that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"


def refused(ns: Namespace) -> bool:
    """Whether the API server asks the webhook by now."""
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    body = {"metadata": {"name": "probe"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pod}}
    return ns.cluster.admin.request("POST", ns.path("deployments") + "?dryRun=All", body).status_code == 500


@pytest.mark.parametrize("how", ["refused", "silent"])
async def test_a_hung_webhook_is_named_and_does_not_outlast_the_time_limit(
    hf_platform: KubernetesPlatform,
    ns: Namespace,
    webhook: Callable[[str], str],
    silent: str,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    webhook("https://127.0.0.1:1/" if how == "refused" else silent)
    await asyncio.to_thread(until, "the webhook is asked", lambda: refused(ns), 40)
    with pytest.raises(Unavailable) as caught:
        await asyncio.wait_for(serve(hf_platform, want(), timeout=12 if how == "silent" else 2), MUCH_TOO_LONG)
    assert "webhook_down" in str(caught.value)
    assert "Check that webhook's pods" in str(caught.value)
    if how == "refused":
        said = [r for r in caplog.records if r.levelno == logging.WARNING and "webhook_down" in r.message]
        assert said, "what is waited for is said while it is"
    assert ns.all("deployments") == []
    assert [c for c in ns.all("configmaps") if c["metadata"]["name"].startswith("bert")] == []


async def test_a_webhook_that_comes_back_in_time_was_only_waited_for(
    hf_platform: KubernetesPlatform,
    ns: Namespace,
    webhook: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = webhook("https://127.0.0.1:1/")
    await asyncio.to_thread(until, "the webhook is asked", lambda: refused(ns), 40)
    pauses = clients.asyncio.sleep

    async def mended(seconds: float) -> None:
        """What the first pause between two tries brings."""
        monkeypatch.setattr(clients.asyncio, "sleep", pauses)
        ns.cluster.admin.delete(path)
        await asyncio.to_thread(until, "the webhook is not asked any more", lambda: not refused(ns), 40)

    monkeypatch.setattr(clients.asyncio, "sleep", mended)
    endpoint = await serve(hf_platform, want(), timeout=60)
    assert endpoint.proven
