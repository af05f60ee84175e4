"""Values from Airflow connections into Secrets that we own: never into another manifest, a record or a log."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any

from airflow_provider_llmserve.errors import AccessDenied, BadInput
from airflow_provider_llmserve.platforms.base import Want
from airflow_provider_llmserve.platforms.kubernetes.client import Client, Object
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.runtimes.kinds import SECRET
from airflow_provider_llmserve.runtimes.parts import Manifest
from airflow_provider_llmserve.runtimes.record import Record

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_AWS = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
    "region_name": "AWS_DEFAULT_REGION",
    "endpoint_url": "AWS_ENDPOINT_URL",
}


def environment(conn_type: str, login: str | None, password: str | None, extra: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that a connection stands for.

    ``aws``: login and password are the key pair, extras give token, region and endpoint. Any other: the password is
    ``HF_TOKEN``, and every extra a variable of its name in capitals.
    """
    if conn_type == "aws":
        named = {"aws_access_key_id": login, "aws_secret_access_key": password, **{k: v for k, v in extra.items() if v}}
        found = {variable: named.get(key) for key, variable in _AWS.items()}
    else:
        found = {"HF_TOKEN": password, **{k.upper(): v for k, v in extra.items()}}
    return {
        k: v if isinstance(v, str) else json.dumps(v)
        for k, v in found.items()
        if v not in (None, "") and _VARIABLE.fullmatch(k) is not None
    }


async def values(conn_ids: Sequence[str]) -> dict[str, str]:
    """The variables of these Airflow connections together, masked in every log from here on.

    Raises :class:`BadInput` naming a connection that does not exist, or that says nothing.
    """
    from airflow.providers.common.compat.connection import get_async_connection
    from airflow.sdk.exceptions import AirflowNotFoundException
    from airflow.sdk.log import mask_secret

    found: dict[str, str] = {}
    for conn_id in conn_ids:
        try:
            c = await get_async_connection(conn_id)
        except AirflowNotFoundException:
            raise BadInput(f"secrets: conn:{conn_id}", "there is no Airflow connection of that id") from None
        own = environment(c.conn_type or "", c.login, c.password, c.extra_dejson)
        if not own:
            raise BadInput(f"secrets: conn:{conn_id}", "the connection has neither a password nor extras to make variables of")
        for value in own.values():
            mask_secret(value)
        found.update(own)
    return found


async def for_want(client: Client, namespace: str, want: Want, record: Record | None) -> Manifest | None:
    """The Secret with the values of the want's connections; None where it names none. Writes nothing.

    One that stands is taken while its values are the connections'; else it is a new one under a new name, since a Secret that
    changes rolls no pod. What is put back after a failure (``record`` tells) has its own, with the values of then.
    Raises :class:`BadInput` like :func:`values`.
    """
    conn_ids = records.connections(want.spec)
    if not conn_ids:
        return None
    kept = record.previous if record is not None else None
    if kept is not None and (kept.spec, kept.stopped, kept.owner) == (want.spec, want.stopped, want.owner):
        standing = await _standing(client, namespace, kept.secret)
        if standing is not None:
            return _secret(kept.secret, dict(standing.get("data") or {}))
    found = await values(conn_ids)
    data = {k: base64.b64encode(v.encode()).decode() for k, v in sorted(found.items())}
    for name in (record.secret if record else "", kept.secret if kept else ""):
        standing = await _standing(client, namespace, name)
        if standing is not None and standing.get("data") == data:
            return _secret(name, data)
    return _secret(records.secret_name(want.name, token_hex(4)), data)


async def _standing(client: Client, namespace: str, name: str) -> Object | None:
    try:
        return await client.get(SECRET, namespace, name) if name else None
    except AccessDenied:
        return None  # named by the permission it lacks, before anything is written


def _secret(name: str, data: Mapping[str, str]) -> Manifest:
    """Immutable: what pods of one mark were given never changes."""
    metadata = {"name": name, "labels": dict(records.MANAGED_BY)}
    return {
        "apiVersion": "v1",
        "kind": SECRET.kind,
        "metadata": metadata,
        "type": "Opaque",
        "immutable": True,
        "data": dict(data),
    }
