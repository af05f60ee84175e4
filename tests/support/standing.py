"""A platform on which an endpoint stands, for tests that ask a server of their own: what the endpoint names is there, until a
test says otherwise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from support.memory_platform import MemoryPlatform

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.hooks.llmserve import LLMServeHook
from airflow_provider_llmserve.platforms.base import ServingRun


def stands(monkeypatch: Any, value: Any) -> MemoryPlatform:
    """Let the endpoint's connection lead to a platform in memory that holds just what it names."""
    i = Endpoint.of(value).identity
    spec: Any = SimpleNamespace(hash=i.spec_hash)
    run = ServingRun(kind=i.kind, runtime=i.runtime, name=i.name, uid=i.uid, owner=i.owner, spec=spec)
    platform = MemoryPlatform(here=i.place, standing={i.name: run})
    monkeypatch.setattr(LLMServeHook, "platform", lambda _: platform)
    return platform
