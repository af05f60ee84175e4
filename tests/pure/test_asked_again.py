"""What is asked again, and when: an answer is kept while the pods are the same and it is fresh, and the last look decides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from support.hf import ONE, spec

from airflow_provider_llmserve.platforms.base import ServingRun
from airflow_provider_llmserve.platforms.kubernetes import verdicts
from airflow_provider_llmserve.platforms.kubernetes.live import Live
from airflow_provider_llmserve.readiness.observed import Expected, Observed, Reply
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import Ask, State, Verdict
from airflow_provider_llmserve.runtimes.kinds import DEPLOYMENT
from airflow_provider_llmserve.runtimes.record import Record
from airflow_provider_llmserve.runtimes.record_home import IN_ANNOTATIONS
from airflow_provider_llmserve.settings import Settings

NAMES = [f"m_{i}" for i in range(11)]
SPEC = spec()
RECORD = Record(ONE, SPEC, runtime="eleven")


class Eleven:
    """A runtime whose models answer by eleven names; ``pods`` is what an answer rests on."""

    NAME, PRIMARY, RECORD = "eleven", DEPLOYMENT, IN_ANNOTATIONS
    pods = "these"

    def assess(self, expected: Expected, observed: Observed, now: datetime) -> Verdict:
        asks = [Ask(name, basis=self.pods) for name in NAMES]
        silent = [ask for ask in asks if (reply := observed.answer(ask)) is None or not reply.answered]
        return verdict(State.PROGRESSING if silent else State.READY, "not_asked" if silent else "proven", "", ask=asks)


class Servers:
    """Answers, but for the names that are ``silent``; ``then`` happens when they are asked."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.then: Any = lambda: None

    async def ask(self, runtime: Any, endpoint: Any, asks: Sequence[Ask]) -> list[Reply]:
        self.asked += [ask.name for ask in asks]
        self.then()
        return [Reply(ask, 0 if ask.name in self.silent else 200, datetime.now(timezone.utc)) for ask in asks]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    monkeypatch.setattr(verdicts, "ASK_PAUSE", 0.0)
    monkeypatch.setattr(verdicts.Watcher, "_endpoint", lambda *_: None)
    return Servers()


def watcher(servers: Servers, runtime: Eleven) -> Any:
    primary = {"kind": "Deployment", "metadata": {"name": "bert", "uid": "u", "annotations": {}}}
    stamped = IN_ANNOTATIONS.stamped(primary, RECORD)
    module: Any = runtime
    run = ServingRun("huggingfaceserve", "eleven", "bert", "u", owner=ONE, spec=SPEC, native=Live(module, stamped, RECORD))
    asker: Any = servers
    made = verdicts.Watcher(
        SimpleNamespace(now=lambda: datetime.now(timezone.utc)), asker, Settings(platform="kubernetes"), module, run
    )  # type: ignore[arg-type]
    snapshot = Observed((stamped,), frozenset({"Deployment"}))
    reflector: Any = SimpleNamespace(snapshot=lambda: snapshot, blind=lambda: "")
    return lambda: made._verdict(reflector)


async def test_one_silent_name_does_not_make_the_others_be_asked_again(servers: Servers) -> None:
    """cases: cluster/load_asks.py: eleven names, one of them silent, and each look asked all eleven."""
    servers.silent = {"m_3"}
    look = watcher(servers, Eleven())
    assert (await look()).state is State.PROGRESSING
    assert sorted(servers.asked) == sorted(NAMES)
    for _ in range(5):
        servers.asked.clear()
        assert (await look()).state is State.PROGRESSING
        assert servers.asked == ["m_3"]
    servers.silent.clear()
    assert (await look()).state is State.READY


async def test_an_answer_is_asked_for_again_when_it_has_grown_old(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    servers.silent = {"m_3"}
    look = watcher(servers, Eleven())
    await look()
    servers.asked.clear()
    monkeypatch.setattr(verdicts, "FRESH", timedelta(0))
    await look()
    assert sorted(servers.asked) == sorted(NAMES)


async def test_what_was_answered_by_pods_that_changed_meanwhile_is_asked_again(servers: Servers) -> None:
    """The verdict rests on a look after the answers."""
    runtime = Eleven()

    def restart() -> None:
        servers.then = lambda: None
        runtime.pods = "others"

    servers.then = restart
    assert (await watcher(servers, runtime)()).state is State.READY
    assert len(servers.asked) == 2 * len(NAMES)
