"""Which namespace of which cluster this is."""

from __future__ import annotations

import logging

from airflow_provider_llmserve.errors import AccessDenied, NotFound
from airflow_provider_llmserve.place import Place
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.runtimes.kinds import NAMESPACE

log = logging.getLogger(__name__)


async def place_of(client: Client, namespace: str) -> Place:
    """The place, told apart by the namespace's uid where the login may read it (a Role may grant ``get`` on its own namespace).

    Raises :class:`NotFound` where there is no such namespace: nothing can be said of what once stood there.
    """
    try:
        found = await client.get(NAMESPACE, "", namespace)
    except AccessDenied as e:
        log.debug("two clusters with a namespace %s are not told apart: %s", namespace, e)
        return Place(platform="kubernetes", namespace=namespace)
    if found is None:
        raise NotFound(
            f"there is no namespace {namespace} on the cluster that the connection leads to; name another in the connection, or, if "
            "it was deleted, everything in it is gone with it",
            status=404,
        )
    return Place(platform="kubernetes", cluster=str(found["metadata"].get("uid") or ""), namespace=namespace)
