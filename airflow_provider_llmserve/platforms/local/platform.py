"""The local platform: this machine serves, with llama.cpp (or transformers) behind a gateway on 127.0.0.1, and no cluster.

A supervisor process holds servers and gateway; it is started with the first run, outlives the task, and ends with the last run.
This class resolves and checks what a run needs, and talks to the supervisor over its Unix socket.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone

from airflow_provider_llmserve.endpoint import Endpoint, Identity
from airflow_provider_llmserve.errors import BadInput, Conflict, NotOurs, StillThere, Superseded
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.place import Place
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.platforms.local import plan as plans
from airflow_provider_llmserve.platforms.local.assess import Snapshot, assess
from airflow_provider_llmserve.platforms.local.book import BookEntry
from airflow_provider_llmserve.platforms.local.client import Client
from airflow_provider_llmserve.platforms.local.paths import StateDir
from airflow_provider_llmserve.platforms.local.prepare import Prepared, prepare
from airflow_provider_llmserve.platforms.local.probe import ask_gateway
from airflow_provider_llmserve.readiness.state import Verdict
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.runtimes.record import Record
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText

log = logging.getLogger(__name__)


class LocalPlatform:
    """Serving runs on this machine."""

    name = "local"

    def __init__(self, settings: Settings):
        self._settings = settings
        self._dirs = StateDir.of(settings)
        self._client = Client(self._dirs, settings.port)
        self._prepared: dict[tuple[str, str], Prepared] = {}

    async def __aenter__(self) -> LocalPlatform:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def place(self) -> Place:
        return Place(platform=self.name, host=socket.gethostname(), state_dir=str(self._dirs.root.resolve()))

    async def runs(self) -> list[ServingRun]:
        return [_run(record) for record in await self._client.records()]

    async def give_back(self, run: ServingRun, before: ServingRun) -> None:
        raise NotOurs(f"{run.kind} {run.name}: nothing on this machine is anybody else's, so nothing can be given back")

    async def preflight(self, want: Want) -> list[str]:
        """Fetches and checks model and adapters, and the gateway's port. Raises :class:`MissingExtra`."""
        findings = (await self._prepare(want)).findings
        port = self._settings.port
        if port and want.spec.kind == KubeAIText.kind:
            running = await self._client.running()
            if running is None and not _port_free(port):
                findings = [
                    *findings,
                    f"port {port} is in use by another program; free it or set another port (or 0) on the connection",
                ]
            elif running is not None and running["port"] not in (0, port):
                findings = [
                    *findings,
                    f"the local gateway already runs on port {running['port']}; set that one (or 0) on the connection",
                ]
        return findings

    async def find(self, target: Target) -> ServingRun | None:
        record = await self._client.find(target.kind, target.name)
        return None if record is None else _run(record)

    async def apply(
        self, want: Want, *, replacing: ServingRun | None, on_applied: Callable[[ServingRun], None] = lambda _: None
    ) -> ServingRun:
        prepared = await self._prepare(want)
        self._prepared.clear()  # the next deployment looks at the files anew
        if prepared.plan is None:
            raise BadInput(f"{want.spec.kind} {want.name}", prepared.findings)
        ignored = plans.not_honoured(want.spec, prepared.plan.server.encoder)
        if ignored:
            log.warning("%s %s: without effect on the local platform: %s", want.spec.kind, want.name, ", ".join(ignored))
        if replacing is not None and await self._client.find(want.spec.kind, want.name) is None:
            raise Conflict(f"{want.spec.kind} {want.name} was deleted meanwhile")  # no supervisor is started to say so
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        record = Record(want.owner, want.spec, want.stopped, applied=now, ttl=want.ttl, runtime=plans.NAME)
        answer = await self._client.call(
            "apply",
            kind=want.spec.kind,
            name=want.name,
            record=records.write(record),
            plan=prepared.plan.model_dump(mode="json"),
            expect=f"{replacing.uid}/{replacing.version}" if replacing else "",
        )
        run = _run(BookEntry.model_validate(answer))
        on_applied(run)
        return run

    async def verdicts(self, run: ServingRun) -> AsyncIterator[Verdict]:
        """The verdict at each change of the supervisor's view, at least every five seconds."""
        async for seen in self._client.watch(run.kind, run.name):
            snapshot = Snapshot.model_validate(seen) if seen is not None else None
            yield assess(snapshot, name=run.name, uid=run.uid, version=int(run.version))

    async def wake(self, run: ServingRun) -> None:
        import aiohttp

        record: BookEntry = run.native
        async with aiohttp.ClientSession() as session:
            await ask_gateway(session, f"http://127.0.0.1:{record.port}", record.plan.served_name, record.plan.server)

    async def settle(self, run: ServingRun) -> None:
        if await self._client.find(run.kind, run.name) is None:
            return
        await self._client.call("settle", kind=run.kind, name=run.name, uid=run.uid, version=int(run.version))

    async def endpoint(self, run: ServingRun) -> Endpoint:
        record: BookEntry = run.native
        spec = run.spec
        assert spec is not None
        kubeai = spec if isinstance(spec, KubeAIText) else None
        hugging = spec if isinstance(spec, HuggingFaceServe) else None
        return plans.endpoint(
            record.plan,
            port=record.port,
            identity=Identity(
                **(await self.place()).model_dump(),
                kind=run.kind,
                runtime=run.runtime,
                name=run.name,
                uid=run.uid,
                spec_hash=spec.hash,
                owner=run.owner or Owner(),
            ),
            model_url=kubeai.url if kubeai else hugging.path if hugging else "",
            engine=kubeai.engine if kubeai else None,
            task=(hugging.huggingface_task or "text_generation") if hugging else None,
        )

    async def see_off(self, target: Target, *, timeout: float) -> None:
        """Nothing to wait for: the supervisor forgets a run when its servers have ended."""

    async def delete(self, run: ServingRun, *, timeout: float, force: bool = False) -> None:
        """End the run's servers, cutting running requests; with the last run the supervisor ends too."""
        if await self._client.find(run.kind, run.name) is None:
            return
        deadline = time.monotonic() + timeout
        what = f"{run.kind} {run.name}"
        try:
            call = self._client.call("delete", kind=run.kind, name=run.name, uid=run.uid, version=int(run.version))
            answer = await asyncio.wait_for(call, timeout)
        except Conflict as e:
            raise Superseded(str(e)) from None
        except asyncio.TimeoutError:
            raise StillThere(
                f"{what}: its servers did not end in {timeout:.0f} s; the log is {self._dirs.supervisor_log}"
            ) from None
        if answer["last"] and not await self._client.ended(deadline) and await self._client.running() is None:
            raise StillThere(f"{what} is gone, but the local supervisor did not end; its log is {self._dirs.supervisor_log}")

    async def _prepare(self, want: Want) -> Prepared:
        key = (want.name, want.spec.hash)
        if key not in self._prepared:
            self._prepared[key] = await asyncio.to_thread(prepare, want.spec, want.name, self._settings, self._dirs)
        return self._prepared[key]


def _run(record: BookEntry) -> ServingRun:
    known = record.known
    return ServingRun(
        kind=record.kind,
        runtime=plans.NAME,
        name=record.name,
        uid=record.uid,
        version=str(record.version),
        owner=known.owner,
        spec=known.spec,
        stopped=known.stopped,
        proven=known.proven,
        previous=known.previous,
        ttl=known.ttl,
        expires=known.expires,
        native=record,
    )


def _port_free(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
