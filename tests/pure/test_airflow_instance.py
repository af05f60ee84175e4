"""The id of an Airflow: set by its config, or made once and kept."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import Variable
from airflow.sdk.execution_time import task_runner

from airflow_provider_llmserve.operators._instance import airflow_instance


class Variables(dict[str, str]):
    """Airflow's Variables, which may be away: then a look says *none*, as Airflow's does, and a listing fails."""

    away = False

    def get(self, key: str, default: Any = None) -> Any:
        return default if self.away else super().get(key, default)

    def listed(self, prefix: str = "") -> Any:
        if self.away:
            raise ConnectionError("no answer")
        return [k for k in self if k.startswith(prefix)]

    def set(self, key: str, value: str, description: str = "") -> None:
        self[key] = value


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    stored = Variables()
    for verb, by in (("get", stored.get), ("keys", stored.listed), ("set", stored.set)):
        monkeypatch.setattr(Variable, verb, by)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", object(), raising=False)
    return stored


def test_it_is_made_once_and_kept(variables: Variables) -> None:
    first = airflow_instance()
    assert first
    assert airflow_instance() == first == variables["llmserve_instance"]


def test_the_config_decides(variables: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LLMSERVE__INSTANCE", "prod")
    assert airflow_instance() == "prod"
    assert variables == {}


def test_an_id_that_cannot_be_read_is_not_made_anew(variables: Variables) -> None:
    first = airflow_instance()
    variables.away = True
    with pytest.raises(ConnectionError):
        airflow_instance()
    assert variables["llmserve_instance"] == first


def test_an_operator_called_by_hand_has_none() -> None:
    assert airflow_instance() == ""
