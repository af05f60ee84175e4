"""Serving runs on a Kubernetes cluster, by whichever runtime carries them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.place import Place
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.platforms.kubernetes import adopting, live, preflight, teardown, verdicts
from airflow_provider_llmserve.platforms.kubernetes.asking import Asker
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.login import hook_of
from airflow_provider_llmserve.platforms.kubernetes.placing import place_of
from airflow_provider_llmserve.platforms.kubernetes.writing import Writer
from airflow_provider_llmserve.readiness.observed import Observed
from airflow_provider_llmserve.readiness.state import Ask, Verdict
from airflow_provider_llmserve.runtimes import runtime, runtime_for
from airflow_provider_llmserve.runtimes.base import Telling
from airflow_provider_llmserve.runtimes.parts import Watched
from airflow_provider_llmserve.settings import Settings

log = logging.getLogger(__name__)


class KubernetesPlatform:
    """Implements :class:`~airflow_provider_llmserve.platforms.base.Platform` over the runtime modules.

    ``make_hook`` logs in by something else than the connection ``settings.kubernetes_conn_id`` (GKE's hook, say).
    """

    name = "kubernetes"

    def __init__(self, settings: Settings, *, make_hook: Callable[[], Any] | None = None) -> None:
        self.settings = settings
        self.client = Client(make_hook or (lambda: hook_of(settings.kubernetes_conn_id)))
        self._asker = Asker(self.client, settings)
        self._place: Place | None = None

    async def __aenter__(self) -> KubernetesPlatform:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._asker.close()
        await self.client.__aexit__(*exc)

    async def preflight(self, want: Want) -> list[str]:
        module = runtime_for(want.spec)
        found = await preflight.findings(self.client, self.settings, module, want)
        if want.adopt and not found:
            await preflight.announce(self.client, self.settings, module, want)
        if isinstance(module, Telling) and not found:
            for note in module.notes(want.spec, name=want.name, settings=self.settings):
                log.warning("%s %s: %s", want.spec.kind, want.name, note)
        return found

    async def find(self, target: Target) -> ServingRun | None:
        found = await live.find(self.client, self.settings.namespace, target)
        return found.run() if found is not None else None

    async def apply(
        self, want: Want, *, replacing: ServingRun | None, on_applied: Callable[[ServingRun], None] = lambda _: None
    ) -> ServingRun:
        writer = Writer(self.client, self.settings, runtime_for(want.spec))
        return (await writer.apply(want, replacing, on_applied)).run()

    async def give_back(self, run: ServingRun, before: ServingRun) -> None:
        await adopting.give_back(self.client, self.settings.namespace, run.native, before.native.primary)

    async def place(self) -> Place:
        if self._place is None:
            self._place = await place_of(self.client, self.settings.namespace)
        return self._place

    async def runs(self) -> list[ServingRun]:
        return [found.run() for found in await live.made_by_us(self.client, self.settings.namespace)]

    def verdicts(self, run: ServingRun) -> AsyncIterator[Verdict]:
        return verdicts.Watcher(self.client, self._asker, self.settings, runtime(run.runtime), run).verdicts()

    async def wake(self, run: ServingRun) -> None:
        made = await self._made(run)
        name = made.openai_service.model if made.openai_service else made.oip_model
        await self._asker.ask(runtime(run.runtime), made, [Ask(name or run.name)])

    async def settle(self, run: ServingRun) -> None:
        await Writer(self.client, self.settings, runtime(run.runtime)).settle(run)

    async def endpoint(self, run: ServingRun) -> Endpoint:
        made = await self._made(run)
        identity = made.identity.model_copy(update={"cluster": (await self.place()).cluster})
        return made.model_copy(update={"identity": identity})

    async def delete(self, run: ServingRun, *, timeout: float, force: bool = False) -> None:
        await teardown.delete(self.client, runtime(run.runtime), run, timeout=timeout, force=force)

    async def see_off(self, target: Target, *, timeout: float) -> None:
        await teardown.see_off(self.client, self.settings.namespace, target, timeout=timeout)

    async def _made(self, run: ServingRun) -> Endpoint:
        """Where it answers, as its objects say now."""
        module = runtime(run.runtime)
        return verdicts.endpoint(module, self.settings, run, await self._look(list(module.watched(run.name))))

    async def _look(self, watched: list[Watched]) -> Observed:
        """One snapshot of what must be readable."""
        required = [w for w in watched if w.required]
        fields = [f"metadata.name={w.name}" if w.name else "" for w in required]
        listings = await asyncio.gather(
            *(
                self.client.list(w.kind, self.settings.namespace, labels=w.labels, fields=f)
                for w, f in zip(required, fields, strict=True)
            )
        )
        return Observed(
            objects=tuple(o for listing in listings for o in listing.items), kinds=frozenset(w.kind.kind for w in required)
        )
