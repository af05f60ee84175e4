"""The stand-in's cache: claim, Jobs that load and evict, finalizer (``internal/modelcontroller/cache.go``),
and the Jobs' pods."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from support.kubeai_pods import Object, cache_job, claim_for
from support.kubeai_world import MERGE, Api, ApiError, World, now_text

FINALIZER = "kubeai.org/cache-eviction"


class CacheWork:
    """The part of the manager that sees to caches."""

    api: Api
    world: World
    system: dict[str, Any]
    models: dict[str, Object]
    _core: str
    _models: str
    _jobs: str

    async def _cached(self, model: Object, status: Object) -> bool:
        claim = claim_for(model, self.system)
        path = f"{self._core}/persistentvolumeclaims/{claim['metadata']['name']}"
        status["cache"] = {"loaded": False, **(status.get("cache") or {})}
        live = await self.api.find(path) or await self.api.send("POST", f"{self._core}/persistentvolumeclaims", claim)
        if FINALIZER not in (model["metadata"].get("finalizers") or []):
            model["metadata"].setdefault("finalizers", []).append(FINALIZER)
            model.update(await self.api.send("PUT", f"{self._models}/{model['metadata']['name']}", model))
        key, uid = f"models.kubeai.org/{model['metadata']['name']}", model["metadata"]["uid"]
        job_path = f"{self._jobs}/load-cache-{model['metadata']['name']}"
        job = await self.api.find(job_path)
        loaded = json.loads((live["metadata"].get("annotations") or {}).get(key, "{}")).get("uid") == uid
        if not loaded:
            if job is None:
                await self.api.send("POST", self._jobs, cache_job(model, "load", self.system))
                return False
            if not _complete(job):
                return False
            mark = json.dumps({"uid": uid, "timestamp": now_text()})
            await self.api.send("PATCH", path, {"metadata": {"annotations": {key: mark}}}, MERGE)
        status["cache"] = {"loaded": loaded}
        if job is not None:
            await self._delete_job(job_path)
        return True

    async def _evict(self, model: Object) -> None:
        name = model["metadata"]["name"]
        claim = await self.api.find(f"{self._core}/persistentvolumeclaims/shared-model-cache-{model['spec']['cacheProfile']}")
        if FINALIZER in (model["metadata"].get("finalizers") or []) and claim is not None:
            job = await self.api.find(f"{self._jobs}/evict-cache-{name}")
            if job is None:
                await self.api.send("POST", self._jobs, cache_job(model, "evict", self.system))
                return
            if not _complete(job):
                return
        model["metadata"]["finalizers"] = [f for f in model["metadata"].get("finalizers") or [] if f != FINALIZER]
        await self.api.send("PUT", f"{self._models}/{name}", model)
        for verb in ("load", "evict"):
            await self._delete_job(f"{self._jobs}/{verb}-cache-{name}")

    async def _delete_job(self, path: str) -> None:
        with suppress(ApiError):
            await self.api.send("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"})

    async def _run_job_pod(self, pod: Object) -> None:
        """The loader's pod: it ends well after the download, or fails, as the Model's URL is there or not."""
        path, name = f"{self._core}/pods/{pod['metadata']['name']}", pod["metadata"]["labels"]["job-name"]
        await asyncio.sleep(self.world.download)
        model = self.models.get(name.partition("-cache-")[2], {})
        missing = model.get("spec", {}).get("url") in self.world.missing
        done = {
            "exitCode": int(missing),
            "reason": "Error" if missing else "Completed",
            "startedAt": now_text(),
            "finishedAt": now_text(),
        }
        container = {"name": "loader", "image": "", "imageID": "", "ready": False, "restartCount": 0}
        if missing:
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
            container |= {"restartCount": 5, "state": {"waiting": waiting}, "lastState": {"terminated": done}}
        else:
            container["state"] = {"terminated": done}
        status = {"phase": "Pending" if missing else "Succeeded", "containerStatuses": [container]}
        with suppress(ApiError):
            await self.api.send("PATCH", f"{path}/status", {"status": status}, MERGE)


def _complete(job: Object) -> bool:
    return any(c["type"] == "Complete" and c["status"] == "True" for c in job.get("status", {}).get("conditions") or [])
