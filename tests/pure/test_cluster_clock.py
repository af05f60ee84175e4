"""The cluster's time, told by the API server's answers, however wrong the worker's clock is."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from airflow_provider_llmserve.platforms.kubernetes.clock import ClusterClock

NOW = datetime.now(timezone.utc)


@pytest.mark.parametrize("ahead", [-86400, -90, -1, 0, 1, 300])
def test_it_is_as_far_ahead_as_the_answers_say(ahead: float) -> None:
    clock = ClusterClock()
    theirs = NOW + timedelta(seconds=ahead)
    clock.hear(format_datetime(theirs), NOW - timedelta(seconds=0.2), NOW)
    off = clock.now() - (datetime.now(timezone.utc) + timedelta(seconds=ahead))
    assert abs(off) < timedelta(seconds=2)


def test_it_does_not_jump_with_every_answer() -> None:
    clock = ClusterClock()
    clock.hear(format_datetime(NOW + timedelta(seconds=100)), NOW, NOW)
    first = clock.now() - datetime.now(timezone.utc)
    clock.hear(format_datetime(NOW + timedelta(seconds=101)), NOW, NOW)
    assert abs((clock.now() - datetime.now(timezone.utc)) - first) < timedelta(seconds=0.1)


@pytest.mark.parametrize("date", ["", "now", "Wed", "2026-11-25T12:00:00Z", "Wed, 99 Nov 2026 12:00:00 GMT"])
def test_what_is_no_date_says_nothing(date: str) -> None:
    clock = ClusterClock()
    clock.hear(date, NOW, NOW)
    assert abs(clock.now() - datetime.now(timezone.utc)) < timedelta(seconds=1)
