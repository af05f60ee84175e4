"""A serving run's whole life on a real kubelet: deployed, changed, stopped, resumed, taken back and taken down."""

from __future__ import annotations

import signal

import pytest
from support.hf import Namespace, want
from support.realnode.images import SERVER
from support.realnode.processes import signalled
from support.realnode.traffic import asking

from airflow_provider_llmserve.errors import ServingFailed, WaitTimeout
from airflow_provider_llmserve.platforms.base import Target
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.lifecycle import change, serve, teardown, wait_until_proven
from airflow_provider_llmserve.specs.changes import scaled
from airflow_provider_llmserve.specs.huggingface import HuggingFaceServe

pytestmark = pytest.mark.node

BERT = Target("bert")
BAD_FLAG = {"SAYS": "huggingfaceserver: error: unrecognized arguments: --nope", "EXITS": "2"}


def servers(ns: Namespace) -> list[str]:
    """Pods that are not on their way out."""
    return [p["metadata"]["name"] for p in ns.all("pods") if not p["metadata"].get("deletionTimestamp")]


async def test_no_request_fails_while_it_is_changed(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(image=SERVER), timeout=60)
    first = servers(ns)
    async with asking(platform.client, ns.name, "bert") as came:
        await serve(platform, want(image=SERVER, dtype="FLOAT32"), timeout=60)
        assert not set(first) & set(servers(ns))
        await change(platform, BERT, lambda spec, off: (scaled(spec, replicas=2), off), timeout=60)
        assert len(servers(ns)) == 2
        await change(platform, BERT, lambda spec, off: (scaled(spec, replicas=1), off), timeout=60)
        with pytest.raises(ServingFailed, match="invalid_flag"):
            await serve(platform, want(image=SERVER, envs=BAD_FLAG), timeout=60)
        run = await platform.find(BERT)
        assert run is not None
        assert isinstance(run.spec, HuggingFaceServe)
        assert run.spec.dtype == "FLOAT32", "the last good spec was put back"
        await wait_until_proven(platform, run, timeout=60)
    assert came.keys() == {"200"}, came
    assert came["200"] > 100


async def test_stopped_resumed_and_taken_down(platform: KubernetesPlatform, ns: Namespace) -> None:
    await serve(platform, want(image=SERVER), timeout=60)
    stopped = await change(platform, BERT, lambda spec, _: (spec, True), timeout=60)
    assert ns.all("pods") == [], "the pod object outlives its containers, and is waited for"
    assert not stopped.proven
    assert (await change(platform, BERT, lambda spec, _: (spec, False), timeout=60)).proven
    assert await teardown(platform, BERT, timeout=60)
    assert [ns.all(kind) for kind in ("pods", "deployments", "replicasets", "services")] == [[], [], [], []]


async def test_a_server_that_hangs_or_is_killed_is_not_ready(platform: KubernetesPlatform, ns: Namespace) -> None:
    """Its pod stays Ready until the probe has failed three times: whoever asks each pod knows better."""
    await serve(platform, want(image=SERVER, replicas=2), timeout=60)
    run = await platform.find(BERT)
    assert run is not None
    pod = ns.all("pods")[0]
    assert signalled(pod, signal.SIGSTOP) == 1
    with pytest.raises(WaitTimeout, match="not_answering"):
        await wait_until_proven(platform, run, timeout=12)
    signalled(pod, signal.SIGCONT)
    await wait_until_proven(platform, run, timeout=60)
    assert signalled(pod, signal.SIGKILL) == 1
    await wait_until_proven(platform, run, timeout=60)
    (restarted,) = (p for p in ns.all("pods") if p["metadata"]["uid"] == pod["metadata"]["uid"])
    assert restarted["status"]["containerStatuses"][0]["restartCount"] == 1, "Ready means the server that was started anew"
