"""The parts of KubeAI's verdict: adapter hashes and its configuration."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.spec_strategies import json_values

from airflow_provider_llmserve.runtimes.kubeai import adapters, config


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("hf://test-repo/test-adapter", "579485db59"),
        ("s3://test-bucket/test-path", "54dcb9d8d5"),
        ("hf://jashing/tinyllama-colorist-lora", "985b56ffb"),
        ("hf://acme/lora-law-v1", "55d66ff66f"),  # seen on a pod of the real manager
        ("hf://acme/lora-law-v2", "5575fbb7c6"),
    ],
)
def test_the_hash_of_an_adapters_url(url: str, label: str) -> None:
    assert adapters.url_hash(url) == label


def test_requests_of_a_profile_are_multiplied() -> None:
    text = 'resourceProfiles: {gpu: {requests: {cpu: 500m, "nvidia.com/gpu": 1}}}\nmodelRollouts: {surge: 1}'
    system = config.of({"data": {"system.yaml": text}})
    assert system is not None
    assert system.surge == 1
    assert system.proxy_mode == "internal"
    assert system.amounts("gpu:4", "requests") == {"cpu": Decimal(2), "nvidia.com/gpu": Decimal(4)}
    assert system.amounts("none:1", "requests") == {}


@given(st.text(max_size=40) | st.sampled_from(["{", "a: [1", "resourceProfiles: 3", "- x"]))
def test_no_configuration_breaks_the_reading(text: str) -> None:
    config.of({"data": {"system.yaml": text}})


@given(json_values)
def test_no_config_map_breaks_the_reading(value: Any) -> None:
    config.of({"data": value})
    config.of({"data": {"system.yaml": value}})


@pytest.mark.parametrize(
    ("op", "path", "lost"),
    [
        ("add", "/spec/containers/0/env", True),
        ("replace", "/spec/containers/0/env", True),
        ("remove", "/spec/containers/0/env", True),
        ("replace", "/spec/containers", True),
        ("replace", "/spec", True),
        ("add", "/spec/containers/0/env/-", False),
        ("add", "/spec/containers/0/image", False),
        ("add", "/spec/containers/1/env", False),
        ("test", "/spec/containers/0/env", False),
    ],
)
def test_a_configuration_that_replaces_the_environment(op: str, path: str, lost: bool) -> None:
    patches = {"modelServerPods": {"jsonPatches": [{"op": op, "path": path, "value": []}]}}
    system = config.of({"data": {"system.yaml": json.dumps(patches)}})
    assert system is not None
    assert bool(system.env_patch) == lost
