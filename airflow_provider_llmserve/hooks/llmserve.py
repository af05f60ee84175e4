"""The ``llmserve`` connection: settings, and the platform they open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from pydantic import ValidationError

from airflow_provider_llmserve.errors import BadInput, LLMServeError
from airflow_provider_llmserve.registry import PLATFORMS
from airflow_provider_llmserve.settings import Settings

if TYPE_CHECKING:
    from airflow_provider_llmserve.platforms.base import Platform

_JSON_FIELDS = ("models", "profiles", "allowed_images")


class LLMServeHook(BaseHook):
    """Read an ``llmserve`` connection and open its platform.

    :param llmserve_conn_id: the connection's id.
    """

    conn_name_attr = "llmserve_conn_id"
    default_conn_name = "llmserve_default"
    conn_type = "llmserve"
    hook_name = "LLM serving"

    def __init__(self, llmserve_conn_id: str = default_conn_name, **kwargs: Any):
        super().__init__(**kwargs)
        self.llmserve_conn_id = llmserve_conn_id

    def settings(self) -> Settings:
        """The connection's settings. Raises :class:`BadInput` saying how to make the connection where there is none."""
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            connection = self.get_connection(self.llmserve_conn_id)
        except AirflowNotFoundException:
            raise BadInput(f"connection {self.llmserve_conn_id!r}", _how_to_connect(self.llmserve_conn_id)) from None
        if connection.conn_type != self.conn_type:
            raise BadInput(
                f"connection {self.llmserve_conn_id!r}", f"is of type {connection.conn_type!r}, not {self.conn_type!r}"
            )
        return settings_of(connection.extra_dejson, f"connection {self.llmserve_conn_id!r}")

    def platform(self) -> Platform:
        """The platform, to be opened with ``async with``."""
        from airflow_provider_llmserve.platforms import open_platform

        return open_platform(self.settings())

    def get_conn(self) -> Platform:
        """The platform: what a hook's connection is."""
        return self.platform()

    def test_connection(self) -> tuple[bool, str]:
        """Open the platform and look for a serving run that need not exist: proves login and the right to read."""
        from airflow_provider_llmserve.platforms.base import Target

        async def look() -> str:
            async with self.platform() as platform:
                await platform.find(Target(name="connection-test"))
                return platform.name

        try:
            return True, f"The {asyncio.run(look())} platform answers."
        except LLMServeError as e:
            return False, str(e)


def settings_of(extra: Mapping[str, Any], subject: str) -> Settings:
    """Settings from a connection's extra: empty values are left out, JSON text (as the form stores it) is read."""
    values: dict[str, Any] = {}
    for key, value in extra.items():
        if value is None or value == "":
            continue
        if key in _JSON_FIELDS and isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as e:
                raise BadInput(subject, f"{key}: no JSON ({e})") from None
        values[key] = value
    try:
        return Settings.model_validate(values)
    except ValidationError as e:
        raise BadInput(subject, [f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in e.errors()]) from None


def _how_to_connect(conn_id: str) -> str:
    ways = (f"    airflow connections add {conn_id} --conn-type llmserve --conn-extra '{row.example}'" for row in PLATFORMS)
    return "\n".join(["does not exist. Make it with one of", *ways])
