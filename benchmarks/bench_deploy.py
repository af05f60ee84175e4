"""What a deploy costs the API server, and what a redeploy with nothing changed writes.

A real control plane (as in the cluster tests) with the stand-in for KubeAI's manager; the requests of the platform are counted at
its client. Two last lines: ``apply_calls=…``, requests of one first deploy up to its write (preflight, find, apply; the wait is
a watch), and ``noop_writes=…``, writes of a redeploy of the same spec (goal 0;
dry runs write nothing), with the generation unchanged.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.cluster import Cluster, hook_for
from support.controlplane import MISSING, ControlPlane, find_binaries
from support.kubeai_manager import KubeAI

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Target, Want
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.platforms.kubernetes.wire import Answer, Request
from airflow_provider_llmserve.platforms.lifecycle import serve
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

SPEC = KubeAIText.parse(
    {"url": "hf://acme/base-7b", "model_name": "alpha", "adapters": [{"name": "law", "url": "hf://acme/law"}]}
)


class Counted:
    """Counts a client's requests by method, and those that write."""

    def __init__(self, platform: KubernetesPlatform) -> None:
        self.calls: Counter[str] = Counter()
        self.writes: list[str] = []
        once = platform.client._once

        async def counted(req: Request, timeout: float) -> Answer:
            self.calls[req.method] += 1
            dry = "dryRun" in str(req.query) or "accessreviews" in req.path or "/proxy/" in req.path
            if req.method != "GET" and not dry:
                self.writes.append(f"{req.method} {req.path}")
            return await once(req, timeout)

        platform.client._once = counted  # type: ignore[method-assign]


async def measure(cluster: Cluster) -> tuple[int, int]:
    namespace = cluster.namespace()
    settings = Settings(platform="kubernetes", namespace=namespace, access="api-server")
    want = Want(spec=SPEC, name="alpha", owner=Owner(dag_id="d", run_id="r", task_id="t"))
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as platform, KubeAI(cluster, namespace):
        await platform.find(Target("alpha"))  # logs in, and imports what that takes
        first = Counted(platform)
        await serve(platform, want, timeout=60, wait=False)
        calls = first.calls.total()
        print(f"first deploy, up to its write: {dict(first.calls)}; written: {', '.join(first.writes)}")
        await serve(platform, want, timeout=60)
        generation = await _generation(platform)
        again = Counted(platform)
        await serve(platform, want, timeout=60)
        print(f"the same again, with the wait: {dict(again.calls)}; written: {', '.join(again.writes) or 'nothing'}")
        assert await _generation(platform) == generation, "the redeploy changed the generation"
    return calls, len(again.writes)


async def _generation(platform: KubernetesPlatform) -> int:
    run = await platform.find(Target("alpha"))
    assert run is not None
    return int(run.native.primary["metadata"]["generation"])


def main() -> None:
    binaries = find_binaries()
    if binaries is None:
        sys.exit(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        plane = ControlPlane(binaries, Path(folder))
        plane.start()
        try:
            cluster = Cluster(plane)
            cluster.node()
            calls, writes = asyncio.run(measure(cluster))
        finally:
            plane.stop()
    print(f"apply_calls={calls}")
    print(f"noop_writes={writes}")


if __name__ == "__main__":
    main()
