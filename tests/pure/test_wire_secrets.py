"""Which environment variables an Airflow connection stands for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.platforms.kubernetes.secrets import environment


@pytest.mark.parametrize(
    ("conn_type", "login", "password", "extra", "expected"),
    [
        ("generic", None, "hf_x", {}, {"HF_TOKEN": "hf_x"}),
        ("generic", "me", "hf_x", {"hf_endpoint": "https://hub"}, {"HF_TOKEN": "hf_x", "HF_ENDPOINT": "https://hub"}),
        ("generic", None, None, {"retries": 3, "bad-name": "x", "empty": ""}, {"RETRIES": "3"}),
        (
            "aws",
            "AKIA",
            "secret",
            {"region_name": "eu-south-1", "endpoint_url": "http://minio", "role_arn": "ignored"},
            {
                "AWS_ACCESS_KEY_ID": "AKIA",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "eu-south-1",
                "AWS_ENDPOINT_URL": "http://minio",
            },
        ),
        (
            "aws",
            None,
            None,
            {"aws_access_key_id": "A", "aws_secret_access_key": "S"},
            {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"},
        ),
        ("generic", None, None, {}, {}),
    ],
)
def test_variables(conn_type, login, password, extra, expected) -> None:
    assert environment(conn_type, login, password, extra) == expected


@given(
    st.sampled_from(["aws", "generic", ""]),
    st.none() | st.text(),
    st.dictionaries(st.text(max_size=9), st.none() | st.text() | st.integers() | st.lists(st.integers())),
)
def test_every_connection_gives_names_and_texts(conn_type, password, extra) -> None:
    for name, value in environment(conn_type, None, password, extra).items():
        assert re.fullmatch(r"[A-Z_][A-Z0-9_]*", name)
        assert isinstance(value, str)
