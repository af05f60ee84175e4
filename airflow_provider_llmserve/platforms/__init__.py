"""Where serving runs live: the only code that does I/O."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from airflow_provider_llmserve import registry

if TYPE_CHECKING:
    from airflow_provider_llmserve.platforms.base import Platform
    from airflow_provider_llmserve.settings import Settings


def open_platform(settings: Settings) -> Platform:
    """The platform that ``settings`` names; nothing is connected before ``async with``."""
    row = next(row for row in registry.PLATFORMS if row.name == settings.platform)
    module, _, made_by = row.opens.partition(":")
    return cast("Platform", getattr(import_module(f"{__name__}.{module}"), made_by)(settings))
