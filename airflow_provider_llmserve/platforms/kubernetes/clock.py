"""The cluster's time, as its API server's answers tell it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

ROUGH = timedelta(seconds=2)
"""Below this two readings agree: the header counts whole seconds, and an answer takes its time."""


class ClusterClock:
    """Conditions and events carry the cluster's times, and a worker's clock may be far off them: so a verdict is given by the
    cluster's. Until the API server has answered once it is our own."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def hear(self, date: str, asked: datetime, answered: datetime) -> None:
        """One answer: its ``Date`` header, and when it was asked for and came, by our own clock. What is no date says nothing."""
        try:
            said = parsedate_to_datetime(date)
        except (TypeError, ValueError):
            return
        if said.tzinfo is None:
            said = said.replace(tzinfo=timezone.utc)
        ahead = said + timedelta(seconds=0.5) - (asked + (answered - asked) / 2)
        if abs(ahead - self._ahead) > ROUGH:
            self._ahead = ahead

    def now(self) -> datetime:
        """The cluster's time now."""
        return datetime.now(timezone.utc) + self._ahead
