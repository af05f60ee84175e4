"""Where serving runs live: the only code that does I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_llmserve.platforms.base import Platform
    from airflow_provider_llmserve.settings import Settings


def open_platform(settings: Settings) -> Platform:
    """The platform that ``settings`` names; nothing is connected before ``async with``."""
    if settings.platform == "local":
        from airflow_provider_llmserve.platforms.local.platform import LocalPlatform

        return LocalPlatform(settings)
    from airflow_provider_llmserve.platforms.kubernetes.platform import KubernetesPlatform

    return KubernetesPlatform(settings)
