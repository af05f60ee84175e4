"""What a busy namespace costs a wait: 50 events a second about other things, and 50,000 that stand there.

Two last lines: ``verdicts_per_s=…`` (goal: at most 1), with a real API server and a KubeAI wait that idles while others make
50 events a second, and ``look_ms=…`` (goal: under 10), one look over 50,000 events, with the index that a snapshot makes once.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import aclosing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.cluster import Cluster, hook_for
from support.controlplane import MISSING, ControlPlane, find_binaries

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform
from airflow_provider_llmserve.readiness.observed import Expected, Observed
from airflow_provider_llmserve.runtimes import runtime_for
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

SPEC = KubeAIText.parse({"url": "hf://acme/base-7b", "model_name": "alpha"})
SECONDS, RATE, STANDING = 10.0, 50, 50_000


def event(i: int, namespace: str) -> dict[str, Any]:
    """An event about somebody else's pod."""
    about = {"kind": "Pod", "name": f"other-{i % 1000}", "namespace": namespace, "uid": f"x{i}"}
    stamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    more = {"message": "Readiness probe failed", "type": "Warning", "lastTimestamp": stamp, "firstTimestamp": stamp}
    return {
        "kind": "Event",
        "metadata": {"name": f"other-{i}.1"},
        "involvedObject": about,
        "reason": "Unhealthy",
        "count": 1,
        **more,
    }


async def verdicts_per_second(cluster: Cluster) -> float:
    """Of a wait for a Model that nobody acts on."""
    namespace = cluster.namespace()
    settings = Settings(platform="kubernetes", namespace=namespace)
    want = Want(spec=SPEC, name="alpha", owner=Owner(dag_id="d", run_id="r", task_id="t"))
    seen = 0
    async with KubernetesPlatform(settings, make_hook=hook_for(cluster.kubeconfig)) as platform:
        run = await platform.apply(want, replacing=None)

        async def count() -> None:
            nonlocal seen
            async with aclosing(platform.verdicts(run)) as verdicts:  # type: ignore[type-var]
                async for _ in verdicts:
                    seen += 1

        counting = asyncio.create_task(count())
        began, made = time.monotonic(), 0
        while time.monotonic() - began < SECONDS:
            path = f"/api/v1/namespaces/{namespace}/events"
            await asyncio.to_thread(cluster.admin.create, path, event(made, namespace))
            made += 1
            await asyncio.sleep(max(0.0, began + made / RATE - time.monotonic()))
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
    print(f"{made} events of others in {SECONDS:.0f} s, {seen} verdicts")
    return seen / SECONDS


def look_ms() -> float:
    """One look at a starting Model beside 50,000 events of others."""
    runtime, now = runtime_for(SPEC), datetime.now(timezone.utc)
    model = runtime.render(SPEC, name="alpha", namespace="ns", stopped=False, settings=Settings(platform="kubernetes"))[0]
    objects = (model, *(event(i, "ns") for i in range(STANDING)))
    expected = Expected(model, now, runtime.mark_in(model))
    took = []
    for _ in range(5):
        observed = Observed(objects, frozenset({"Model", "Pod", "Event", "Lease"}))
        began = time.perf_counter()
        runtime.assess(expected, observed, now)
        took.append(time.perf_counter() - began)
    return min(took) * 1000


def main() -> None:
    binaries = find_binaries()
    if binaries is None:
        sys.exit(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        plane = ControlPlane(binaries, Path(folder))
        plane.start()
        try:
            rate = asyncio.run(verdicts_per_second(Cluster(plane)))
        finally:
            plane.stop()
    print(f"verdicts_per_s={rate:.2f}")
    print(f"look_ms={look_ms():.1f}")


if __name__ == "__main__":
    main()
