"""Until when the caller waits: one moment for all that is done on its behalf, however deep the request that is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone

_UNTIL: ContextVar[datetime | None] = ContextVar("until", default=None)


@contextmanager
def until(deadline: datetime) -> Iterator[None]:
    """Within it, and in tasks begun there, nothing is tried again after ``deadline``; an inner one counts instead of an outer."""
    token = _UNTIL.set(deadline)
    try:
        yield
    finally:
        _UNTIL.reset(token)


def seconds_left() -> float:
    """Seconds until then: 0 where it has passed, infinite where nobody set one."""
    deadline = _UNTIL.get()
    return float("inf") if deadline is None else max((deadline - datetime.now(timezone.utc)).total_seconds(), 0.0)
