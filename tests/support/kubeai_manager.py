"""A stand-in for KubeAI's manager (v0.22.1) on a real API server: controller, gateway and autoscaler, with kwok as kubelet.

It does what ``internal/modelcontroller`` does, in the same order and with the same flaws: one worker, a status that is one pass
behind, terminating and dead pods counted, adapters loaded one after the other, labels before weights when a URL changes. The
recorded histories say whether it is right (``tests/cluster/test_kubeai_standin.py``).
"""

from __future__ import annotations

import asyncio
import copy
import json
import math
from collections import Counter, deque
from contextlib import suppress
from typing import Any

from support.cluster import Cluster
from support.kubeai_cache import CacheWork
from support.kubeai_pods import SYSTEM, ConfigError, Object, check_config, failed_pulls, pod_for
from support.kubeai_serving import Gateway, ModelServer, Site, pod_site
from support.kubeai_world import MERGE, Api, ApiError, World, now_text

from airflow_provider_llmserve.runtimes.kubeai.adapters import LABEL_PREFIX, url_hash


class KubeAI(CacheWork):
    """``async with KubeAI(cluster, namespace):`` a manager for that namespace, with its ConfigMap, leases and gateway."""

    def __init__(
        self, cluster: Cluster, namespace: str, *, system: dict[str, Any] | None = None, world: World | None = None
    ) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.system, self.world = copy.deepcopy(system or SYSTEM), world or World()
        self.log: list[str] = []
        self.models: dict[str, Object] = {}
        self.pods: dict[str, Object] = {}
        self.servers: dict[str, ModelServer] = {}
        self.gateway = Gateway(lambda: self.models, self._endpoints, self._wake)
        self._sites: dict[str, Site] = {}
        self._restarts: Counter[str] = Counter()
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._jobs_run: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loads: dict[str, deque[int]] = {}
        self._lower_since: Counter[str] = Counter()
        self._core = f"/api/v1/namespaces/{namespace}"
        self._models = f"/apis/kubeai.org/v1/namespaces/{namespace}/models"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"

    async def __aenter__(self) -> KubeAI:
        self.api = Api(self.cluster)
        text = json.dumps(self.system)
        config = {"metadata": {"name": "kubeai-config"}, "data": {"system.yaml": text}}
        await self.api.send("POST", f"{self._core}/configmaps", config)
        await self.gateway.site.start()
        await self._expose()
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()
        for site in (self.gateway.site, *self._sites.values()):
            await site.stop()
        await self.api.close()

    async def start(self) -> None:
        """Begin to lead."""
        for work in (
            self._lead(),
            self._watch_models(),
            self._watch_pods(),
            self._watch_owned(self._jobs),
            self._work(),
            self._autoscale(),
        ):
            self._spawn(work)

    async def stop(self) -> None:
        """Die: leases are not given back, and nothing acts any more. The gateway and the pods go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _expose(self) -> None:
        """The manager's pod and Service, as the chart makes them; the API server's proxy leads only to addresses of real pods."""
        labels = {"app.kubernetes.io/name": "kubeai"}
        container = {"name": "kubeai", "image": "substratusai/kubeai:v0.22.1", "ports": [{"name": "http", "containerPort": 8000}]}
        pod = {"metadata": {"name": "kubeai", "labels": labels}, "spec": {"containers": [container]}}
        port = {"name": "http", "port": 80, "targetPort": 8000}
        await self.api.send("POST", f"{self._core}/pods", pod)
        service = {"metadata": {"name": "kubeai"}, "spec": {"selector": labels, "ports": [port]}}
        await self.api.send("POST", f"{self._core}/services", service)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Watching and working

    async def _watch_models(self) -> None:
        async for event, model in self.api.watch(self._models):
            name = model["metadata"]["name"]
            if event == "DELETED":
                self.models.pop(name, None)
            else:
                self.models[name] = model
            self._enqueue(name)

    async def _watch_pods(self) -> None:
        async for event, pod in self.api.watch(f"{self._core}/pods"):
            name, labels = pod["metadata"]["name"], pod["metadata"].get("labels") or {}
            if event == "DELETED":
                self.pods.pop(name, None)
            else:
                await self._seen(pod)
            for reference in pod["metadata"].get("ownerReferences") or []:
                if reference["kind"] == "Model":
                    self._enqueue(reference["name"])
            if "job-name" in labels and _scheduled(pod) and name not in self._jobs_run:
                self._jobs_run.add(name)
                self._spawn(self._run_job_pod(pod))

    async def _watch_owned(self, path: str) -> None:
        async for _, item in self.api.watch(path):
            for reference in item["metadata"].get("ownerReferences") or []:
                if reference["kind"] == "Model":
                    self._enqueue(reference["name"])

    async def _seen(self, pod: Object) -> None:
        name, labels = pod["metadata"]["name"], pod["metadata"].get("labels") or {}
        known = name in self.pods
        self.pods[name] = pod
        address = pod.get("status", {}).get("podIP")
        if name == "kubeai" and address:
            self.cluster.route(f"{address}:8000", self.gateway.site.port)
        if "pod-hash" not in labels:
            return
        if not known and name not in self.servers:
            image = pod["spec"]["containers"][0]["image"]
            model = labels["model"]
            self.servers[name] = self.world.server(name, model, image, has_model=model not in self.world.without_model)
            self._sites[name] = pod_site(self.servers[name])
            await self._sites[name].start()
            if image in self.world.fates:
                self._spawn(self._play(pod, self.world.fates[image]))
        if address:
            self.cluster.route(f"{address}:8000", self._sites[name].port)
        restarts = next(
            (c["restartCount"] for c in pod.get("status", {}).get("containerStatuses") or [] if c["name"] == "server"), 0
        )
        if restarts > self._restarts[name]:
            self._restarts[name] = restarts
            self.servers[name].adapters.clear()

    def _enqueue(self, name: str) -> None:
        if name not in self._queued:
            self._queued.add(name)
            self._queue.put_nowait(name)

    async def _work(self) -> None:
        """One worker for all Models; errors back off by themselves, from 5 ms, doubling."""
        while True:
            name = await self._queue.get()
            self._queued.discard(name)
            try:
                await self._reconcile(name)
                self._failures.pop(name, None)
            except (ApiError, ConfigError, LoadError) as e:
                self._say(name, str(e), e.printed if isinstance(e, LoadError) else "")
                self._failures[name] += 1
                asyncio.get_running_loop().call_later(min(0.005 * 2 ** self._failures[name], 60), self._enqueue, name)

    def _say(self, name: str, error: str, printed: str) -> None:
        """One failed look at a Model, as controller-runtime's logger writes it; before it, raw, what the loader printed."""
        self.log.append(f"{name}: {error}")
        about = {"controller": "model", "controllerKind": "Model", "namespace": self.namespace, "name": name, "error": error}
        lines = [printed] if printed else []
        lines += [f"{now_text()[:19]}Z\tERROR\tReconciler error\t{json.dumps(about)}", "sigs.k8s.io/controller-runtime/…"]
        with self.cluster.plane.manager_log.open("a") as log:
            log.writelines(f"{now_text()} stdout F {line}\n" for line in lines)

    # The controller

    async def _reconcile(self, name: str) -> None:
        model = await self.api.find(f"{self._models}/{name}")
        if model is None:
            return
        status: Object = {**(model.get("status") or {})}
        try:
            await self._act(model, status)
        finally:
            if "deletionTimestamp" not in model["metadata"]:
                status.setdefault("replicas", {"all": 0, "ready": 0})
                with suppress(ApiError):
                    await self.api.send("PATCH", f"{self._models}/{name}/status?fieldManager=manager", {"status": status}, MERGE)

    async def _act(self, model: Object, status: Object) -> None:
        name = model["metadata"]["name"]
        await self._mark(model)
        check_config(model, self.system)
        if "deletionTimestamp" in model["metadata"]:
            for pod in await self._pods_of(name):
                await self._delete_pod(pod)
            if model["spec"].get("cacheProfile"):
                await self._evict(model)
            return
        if model["spec"].get("cacheProfile") and not await self._cached(model, status):
            return
        pods = await self._pods_of(name)
        status["replicas"] = {"all": len(pods), "ready": sum(_ready(p) for p in pods)}
        remaining, acted = await self._plan(model, pods)
        try:
            if model["spec"].get("engine") == "VLLM":
                await self._adapters(model, remaining)
        finally:
            if acted:
                await asyncio.sleep(self.world.pause)

    async def _mark(self, model: Object) -> None:
        """Feature labels, and the number of replicas brought within the bounds."""
        metadata, spec = model["metadata"], model["spec"]
        labels = dict(metadata.get("labels") or {})
        wanted = {f"features.kubeai.org/{f}": "true" for f in spec["features"]}
        kept = {k: v for k, v in labels.items() if not k.startswith("features.kubeai.org/")}
        change = {**kept, **wanted} != labels
        metadata["labels"] = {**kept, **wanted}
        if not spec.get("autoscalingDisabled"):
            least, most, now = spec.get("minReplicas", 0), spec.get("maxReplicas"), spec.get("replicas")
            bounded = least if now is None or now < least else min(now, most) if most is not None else now
            change = change or bounded != now
            spec["replicas"] = bounded
        if change:
            spec.setdefault("owner", "")
            spec.setdefault("minReplicas", 0)
            model.update(await self.api.send("PUT", f"{self._models}/{metadata['name']}?fieldManager=kubeai-manager", model))

    async def _pods_of(self, name: str) -> list[Object]:
        return list((await self.api.send("GET", f"{self._core}/pods?labelSelector=model%3D{name}"))["items"])

    async def _plan(self, model: Object, pods: list[Object]) -> tuple[list[Object], bool]:
        """``pod_plan.go``: terminating and dead pods count; not-ready pods of another hash go at once, ready ones one a pass."""
        fresh = pod_for(model, self.system)
        digest = fresh["metadata"]["labels"]["pod-hash"]
        surge = self.system["modelRollouts"]["surge"]
        pods = sorted(pods, key=lambda p: (_ready(p), _scheduled(p), _hash(p) == digest))
        stale = [p for p in pods if _hash(p) != digest]
        wanted = model["spec"].get("replicas") or 0
        wanted += surge if stale else 0
        create = max(wanted - len(pods), 0)
        doomed = pods[: max(len(pods) - wanted, 0)]
        ready, remade = sum(_ready(p) for p in pods), 0
        for pod in stale:
            if _ready(pod) and ready != wanted:
                continue
            if pod not in doomed:
                doomed.append(pod)
            if remade < len(stale) - surge:
                create, remade = create + 1, remade + 1
            if _ready(pod):
                break
        for pod in doomed:
            await self._delete_pod(pod)
        for _ in range(create):
            await self._create_pod(fresh)
        return [p for p in pods if p not in doomed], bool(doomed or create)

    async def _create_pod(self, pod: Object) -> None:
        annotations = dict(pod["metadata"]["annotations"])
        never = pod["spec"]["containers"][0]["image"] in self.world.fates
        annotations["testbed/ready-after"] = "never" if never else f"{self.world.ready_after}s"
        if len(pod["spec"]["containers"]) > 1:
            annotations["testbed/gone-after"] = f"{self.world.grace}s"
        made = {**pod, "metadata": {**pod["metadata"], "annotations": annotations}}
        await self.api.send("POST", f"{self._core}/pods?fieldManager=kubeai-manager", made)

    async def _delete_pod(self, pod: Object) -> None:
        with suppress(ApiError):
            await self.api.send("DELETE", f"{self._core}/pods/{pod['metadata']['name']}")

    async def _adapters(self, model: Object, pods: list[Object]) -> None:
        """``adapters.go``: one pod after the other, one adapter after the other, label last."""
        wanted = {a["name"]: a["url"] for a in model["spec"].get("adapters") or []}
        for pod in pods:
            labels = pod["metadata"].get("labels") or {}
            has = {k.removeprefix(LABEL_PREFIX): v for k, v in labels.items() if k.startswith(LABEL_PREFIX)}
            ensure = [(n, u) for n, u in wanted.items() if has.get(n) != url_hash(u)]
            remove = [n for n in has if n not in wanted or has[n] != url_hash(wanted[n])]
            if not ensure and not remove:
                continue
            statuses = pod.get("status", {}).get("containerStatuses") or []
            if not any(c["name"] == "loader" and c["ready"] for c in statuses):
                return
            server = self.servers[pod["metadata"]["name"]]
            for name, url in ensure:
                await asyncio.sleep(self.world.download)
                if url in self.world.missing:
                    raise LoadError(
                        f'reconciling adapters: exec adapter load for pod "{self.namespace}/{server.pod}": exec adapter load: '
                        "streaming: command terminated with exit code 1",
                        printed=f"huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. Repository Not Found for {url}",
                    )
                server.files[name] = url
                if url in self.world.refused:
                    raise LoadError(
                        f'reconciling adapters: load vllm adapter "{name}": unexpected status code: 500: Call to '
                        "add_lora method failed: Worker failed with error 'LoRA rank 64 is greater than max_lora_rank 16.'"
                    )
                server.adapters.setdefault(name, url)  # "already loaded" is ignored: the old weights stay
                await self._label(pod, name, url_hash(url))
            for name in remove:
                await asyncio.sleep(self.world.removal)
                server.files.pop(name, None)
                server.adapters.pop(name, None)
                await self._label(pod, name, None)

    async def _label(self, pod: Object, adapter: str, value: str | None) -> None:
        patch = {"metadata": {"labels": {f"{LABEL_PREFIX}{adapter}": value}}}
        path = f"{self._core}/pods/{pod['metadata']['name']}?fieldManager=manager"
        await self.api.send("PATCH", path, patch, MERGE)

    # What a kubelet would do, beyond kwok

    async def _play(self, pod: Object, fate: list[tuple[float, Object]]) -> None:
        for delay, status in fate:
            await asyncio.sleep(delay)
            with suppress(ApiError):
                for event in failed_pulls(pod, status):
                    await self.api.send("POST", f"{self._core}/events", event)
                await self.api.send("PATCH", f"{self._core}/pods/{pod['metadata']['name']}/status", {"status": status}, MERGE)

    # Gateway, leader election, autoscaler

    def _endpoints(self, model: str, adapter: str) -> list[ModelServer]:
        found = []
        for name, pod in self.pods.items():
            labels = pod["metadata"].get("labels") or {}
            routed = not adapter or f"{LABEL_PREFIX}{adapter}" in labels
            if labels.get("model") == model and name in self.servers and _ready(pod) and routed:
                found.append(self.servers[name])
        return found

    async def _wake(self, name: str) -> None:
        spec = self.models[name]["spec"]
        if not spec.get("autoscalingDisabled") and not spec.get("replicas"):
            await self.api.send("PATCH", f"{self._models}/{name}/scale?fieldManager=manager", {"spec": {"replicas": 1}}, MERGE)

    async def _lead(self) -> None:
        """Renews both leases."""
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        while True:
            for name in ("cc6bca10.substratus.ai", "kubeai.org"):
                spec = {
                    "holderIdentity": "kubeai_1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                    "leaseDurationSeconds": self.world.lease,
                    "renewTime": now_text(),
                }
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
                with suppress(ApiError):
                    kind = "application/apply-patch+yaml"
                    await self.api.send("PATCH", f"{leases}/{name}?fieldManager=kubeai&force=true", lease, kind)
            await asyncio.sleep(min(2, self.world.lease / 3))

    async def _autoscale(self) -> None:
        """Mean of the requests in flight over the window, by the Model's own name alone; down after the delay."""
        every = _seconds(self.system["modelAutoscaling"]["interval"])
        window = max(int(_seconds(self.system["modelAutoscaling"]["timeWindow"]) / every), 1)
        while True:
            await asyncio.sleep(every)
            for name, model in list(self.models.items()):
                spec = model["spec"]
                loads = self._loads.setdefault(name, deque(maxlen=window))
                loads.append(self.gateway.active[name])
                if spec.get("autoscalingDisabled") or "replicas" not in spec:
                    continue
                wanted = math.ceil(sum(loads) / len(loads) / spec["targetRequests"])
                wanted = max(wanted, spec.get("minReplicas", 0))
                wanted = min(wanted, spec.get("maxReplicas", wanted))
                if wanted >= spec["replicas"]:
                    self._lower_since[name] = 0
                else:
                    self._lower_since[name] += 1
                    if self._lower_since[name] < math.ceil(spec["scaleDownDelaySeconds"] / every):
                        continue
                if wanted != spec["replicas"]:
                    with suppress(ApiError):
                        await self.api.send(
                            "PATCH", f"{self._models}/{name}/scale?fieldManager=manager", {"spec": {"replicas": wanted}}, MERGE
                        )


class LoadError(Exception):
    """An adapter did not load; the manager says so in its log alone. ``printed`` is what the loader wrote."""

    def __init__(self, error: str, printed: str = "") -> None:
        self.printed = printed
        super().__init__(error)


def _ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions") or [])


def _scheduled(pod: Object) -> bool:
    return bool(pod.get("spec", {}).get("nodeName"))


def _hash(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get("pod-hash", ""))


def _seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]
