"""KubeAI's own configuration, as far as its ConfigMap can be read.

The chart writes it to the ConfigMap ``kubeai-config``, key ``system.yaml`` (``charts/kubeai/templates/configmap.yaml``). It is
the only place where a profile that does not exist can be seen: the manager says so in its log alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from airflow_provider_llmserve.specs.quantity import quantity

NAME = "kubeai-config"
KEY = "system.yaml"


@dataclass(frozen=True)
class SystemConfig:
    """What of the configuration decides about a Model. Keys are as in ``internal/config/system.go``."""

    resource_profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cache_profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    engines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    proxy_mode: str = "internal"
    surge: int = 0
    env_patch: str = ""
    """The first JSON patch of the configuration (``modelServerPods.jsonPatches``) that leaves nothing of a Model's ``env`` in its
    pods, as ``op path``: our mark is lost with it. Empty where none does."""

    def amounts(self, resource_profile: str, kind: str) -> dict[str, Decimal]:
        """What one pod of ``<profile>:<n>`` has of ``requests`` or ``limits``, in base units;
        empty where the profile is not known.

        The API server fills a request that is not given from its limit.
        """
        name, count = split_profile(resource_profile)
        profile = self.resource_profiles.get(name, {})
        rows = dict(_mapping(profile.get(kind)))
        if kind == "requests":
            rows = {**_mapping(profile.get("limits")), **rows}
        wanted = {key: quantity(value) for key, value in rows.items()}
        return {key: value * count for key, value in wanted.items() if value is not None}


def split_profile(resource_profile: str) -> tuple[str, int]:
    """``gpu:2`` as its name and its multiple (1 where that is no number)."""
    name, _, count = resource_profile.rpartition(":")
    return (name, int(count)) if name and count.isdecimal() else (resource_profile, 1)


def of(config_map: Mapping[str, Any] | None) -> SystemConfig | None:
    """The configuration in a ConfigMap, or None where it holds none that can be read."""
    text = _mapping((config_map or {}).get("data")).get(KEY)
    return _parse(text) if isinstance(text, str) else None


@lru_cache(maxsize=8)
def _parse(text: str) -> SystemConfig | None:
    import yaml

    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    if not isinstance(raw, dict):
        return None
    patches = _mapping(raw.get("modelServerPods")).get("jsonPatches")
    surge = _mapping(raw.get("modelRollouts")).get("surge")
    return SystemConfig(
        resource_profiles={str(k): _mapping(v) for k, v in _mapping(raw.get("resourceProfiles")).items()},
        cache_profiles={str(k): _mapping(v) for k, v in _mapping(raw.get("cacheProfiles")).items()},
        engines={str(k): _mapping(v) for k, v in _mapping(raw.get("modelServers")).items()},
        proxy_mode=str(_mapping(raw.get("proxy")).get("mode") or "internal"),
        surge=surge if isinstance(surge, int) else 0,
        env_patch=next(filter(None, map(_env_patch, patches if isinstance(patches, list) else ())), ""),
    )


_ENV = "/spec/containers/0/env"
"""Of a pod that KubeAI makes: its server is the first container."""


def _env_patch(patch: Any) -> str:
    """The patch in words, where it replaces, moves or removes the server's whole environment or what that is in (RFC 6902)."""
    op, path, source = (str(_mapping(patch).get(key) or "") for key in ("op", "path", "from"))
    inserts = op in ("add", "copy", "move") and path == "/spec/containers/0"  # before the server, not in its place
    if op in ("add", "replace", "remove", "copy", "move") and not inserts and f"{_ENV}/".startswith(f"{path}/"):
        return f"{op} {path}"
    return f"{op} from {source}" if op == "move" and f"{_ENV}/".startswith(f"{source}/") else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
