"""Values from Airflow connections into a Secret that we own: never into a manifest, a record or a log."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_llmserve.errors import BadInput

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


def manifest(name: str, found: Mapping[str, str]) -> dict[str, Any]:
    """The Secret that holds them."""
    data = {k: base64.b64encode(v.encode()).decode() for k, v in sorted(found.items())}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": data}
