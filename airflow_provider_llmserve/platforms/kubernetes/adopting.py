"""Take somebody else's primary object over, and give it back where that failed."""

from __future__ import annotations

import logging
from dataclasses import replace

from airflow_provider_llmserve.errors import AccessDenied, Conflict
from airflow_provider_llmserve.platforms.kubernetes.beside import TRIES, Beside, version_of
from airflow_provider_llmserve.platforms.kubernetes.client import Client, Object
from airflow_provider_llmserve.platforms.kubernetes.live import Live
from airflow_provider_llmserve.runtimes import adoption, managers
from airflow_provider_llmserve.runtimes.base import Runtime
from airflow_provider_llmserve.runtimes.belonging import Belonging
from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP, MODEL
from airflow_provider_llmserve.runtimes.kubeai import config
from airflow_provider_llmserve.runtimes.parts import Manifest

log = logging.getLogger(__name__)


async def take_over(client: Client, namespace: str, live: Live) -> Live:
    """Make the former managers' fields of ``spec`` ours. No value changes, so nothing runs otherwise than before.

    Raises :class:`Conflict` where the object has changed since.
    """
    body = {"metadata": {**version_of(live.primary), "managedFields": adoption.managers_after(live.primary)}}
    name = live.primary["metadata"]["name"]
    taken = await client.patch(live.runtime.PRIMARY, namespace, name, body)
    return Live(live.runtime, taken, None, live.companion)


async def take_back(client: Client, namespace: str, live: Live) -> Live:
    """Make ours what others have set in what makes the pods, so that our next apply takes away what it does not ask for.

    Raises :class:`Conflict` where the object has changed since.
    """
    parts = live.runtime.PARTS
    found = managers.theirs(live.primary, parts)
    if not found:
        return live
    name = live.primary["metadata"]["name"]
    said = ", ".join(f"{path} (by {who})" for path, who in found)
    log.warning("%s %s: what another writer has set is taken back: %s", live.runtime.PRIMARY.kind, name, said)
    owned = adoption.managers_after(live.primary, parts, spared=managers.CONTROLLERS)
    body = {"metadata": {**version_of(live.primary), "managedFields": owned}}
    return replace(live, primary=await client.patch(live.runtime.PRIMARY, namespace, name, body))


async def announce(client: Client, namespace: str, runtime: Runtime, planned: Manifest, live: Object) -> None:
    """Say in the log what the adoption will change."""
    surge = await _surge(client, namespace) if runtime.PRIMARY == MODEL else None
    log.warning("%s", adoption.forecast(live, planned, surge=surge))


async def give_back(client: Client, namespace: str, failed: Live, before: Object) -> None:
    """Make an adopted object what it was before, fields' managers included, and take away what we made beside it."""
    kind, name = failed.runtime.PRIMARY, before["metadata"]["name"]
    beside = Beside(client, namespace, Belonging(kind, name))
    for attempt in range(TRIES):
        live = await client.get(kind, namespace, name)
        if live is None or live["metadata"]["uid"] != before["metadata"]["uid"]:
            return
        patch = adoption.back_to(live, before)
        patch["metadata"].update(version_of(live))
        try:
            again = await client.patch(kind, namespace, name, patch)
            managers = {"metadata": {**version_of(again), "managedFields": before["metadata"].get("managedFields") or []}}
            await client.patch(kind, namespace, name, managers)
            break
        except Conflict:
            if attempt == TRIES - 1:
                raise
    made = failed.record.others if failed.record else ()
    made += tuple((w.kind.api_version, w.kind.kind, w.name) for w in failed.runtime.RECORD.watched(name))
    await beside.prune(made)


async def _surge(client: Client, namespace: str) -> int | None:
    try:
        read = config.of(await client.get(CONFIG_MAP, namespace, config.NAME))
    except AccessDenied:
        return None
    return read.surge if read is not None else None
