"""Who is answered next: requests that wait for a place on one of a run's servers.

llama.cpp computes one batch at a time and takes only requests of one adapter and one kind into it, those of its first busy slot;
under steady traffic for the base a request for an adapter is never taken (seen waiting 36 s, until the traffic ended). So a
server here works on one *group* at a time. Others of the group may pass those who wait for another, but only until the first of
them has waited for :data:`QUANTUM`: then the group is closed, and when its last request is done the next group has the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

QUANTUM = 0.5
"""Seconds for which a group may keep others waiting while requests of its own go on coming."""


class Seats(Protocol):
    """A server, as far as the line knows it."""

    group: Hashable
    in_flight: int

    @property
    def slots(self) -> int:
        """How many requests it works on at once."""
        ...


S = TypeVar("S", bound=Seats)


@dataclass(eq=False)
class Waiter(Generic[S]):
    """One request in the line."""

    group: Hashable
    adapter: str | None
    since: float
    place: asyncio.Future[S] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Line(Generic[S]):
    """The requests of one run that have no server yet, in the order of their coming."""

    def __init__(self) -> None:
        self._waiters: list[Waiter[S]] = []

    def __iter__(self) -> Iterator[Waiter[S]]:
        return iter(list(self._waiters))

    def join(self, waiter: Waiter[S]) -> None:
        """Stand at the end of the line."""
        self._waiters.append(waiter)

    def leave(self, waiter: Waiter[S]) -> None:
        """The caller went away before it had a server."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def seat(self, servers_for: Callable[[str | None], list[S]], now: float) -> None:
        """Give every waiter a server who may have one now. ``servers_for`` tells which servers have an adapter."""
        closed: set[int] = set()
        left = []
        for waiter in self._waiters:
            fit = servers_for(waiter.adapter)
            free = [
                s for s in fit if not s.in_flight or (s.group == waiter.group and s.in_flight < s.slots and id(s) not in closed)
            ]
            if free and not waiter.place.done():
                server = min(free, key=lambda s: s.in_flight)
                server.group = waiter.group
                server.in_flight += 1
                waiter.place.set_result(server)
                continue
            if fit and now - waiter.since >= QUANTUM:
                closed.add(id(min(fit, key=lambda s: s.in_flight)))
            if not waiter.place.done():
                left.append(waiter)
        self._waiters = left
