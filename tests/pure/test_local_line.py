"""Turns between groups of requests, without servers and clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_llmserve.platforms.local.line import QUANTUM, Line, Waiter


@dataclass(eq=False)
class Server:
    slots: int = 2
    in_flight: int = 0
    group: Hashable = None


def join(line: Line[Server], adapter: str | None, now: float) -> Waiter[Server]:
    waiter: Waiter[Server] = Waiter(group=adapter, adapter=adapter, since=now)
    line.join(waiter)
    return waiter


def seated(*waiters: Waiter[Server]) -> list[bool]:
    return [w.place.done() for w in waiters]


async def test_a_server_takes_one_group_at_a_time_up_to_its_slots():
    line, server = Line[Server](), Server()
    waiters = [join(line, a, 0) for a in (None, "a", None, None)]
    line.seat(lambda _: [server], 0)
    assert seated(*waiters) == [True, False, True, False]


async def test_who_waits_for_another_group_is_passed_only_for_a_while():
    line, server = Line[Server](), Server()
    first, other, late = join(line, None, 0), join(line, "a", 0), join(line, None, 0.1)
    line.seat(lambda _: [server], 0.1)
    assert seated(first, other, late) == [True, False, True]
    server.in_flight -= 1
    later = join(line, None, 0.2)
    line.seat(lambda _: [server], QUANTUM)
    assert seated(other, later) == [False, False], "closed: the other has waited long enough"
    server.in_flight -= 1
    line.seat(lambda _: [server], QUANTUM)
    assert seated(other, later) == [True, False]
    assert server.group == "a"


async def test_the_least_loaded_server_answers():
    line, busy, idle = Line[Server](), Server(in_flight=1, group=None), Server()
    waiter = join(line, None, 0)
    line.seat(lambda _: [busy, idle], 0)
    assert waiter.place.result() is idle


async def test_only_servers_with_the_adapter():
    line, without, having = Line[Server](), Server(), Server(in_flight=2, group="a")
    waiter = join(line, "a", 0)
    line.seat(lambda a: [having] if a else [without, having], 0)
    assert not waiter.place.done()
    having.in_flight -= 1
    line.seat(lambda a: [having] if a else [without, having], 0)
    assert waiter.place.result() is having


async def test_who_left_gets_no_place():
    line, server = Line[Server](), Server()
    waiter = join(line, None, 0)
    line.leave(waiter)
    line.seat(lambda _: [server], 0)
    assert server.in_flight == 0


@settings(max_examples=60)
@given(st.lists(st.sampled_from([None, "a", "b"]), min_size=1, max_size=30), st.integers(1, 3), st.integers(1, 3), st.data())
def test_everybody_is_served_and_no_batch_is_mixed(groups: list[str | None], slots: int, count: int, data: st.DataObject):
    async def run() -> None:
        line, servers, now = Line[Server](), [Server(slots) for _ in range(count)], 0.0
        coming, waiting, running = list(groups), [], []
        steps = 0
        while coming or waiting or running:
            steps += 1
            assert steps < 50 * len(groups)
            now += 0.3
            # A steady stream: new ones come before old ones are done.
            if coming:
                waiting.append(join(line, coming.pop(0), now))
            line.seat(lambda _: servers, now)
            running += [w for w in waiting if w.place.done()]
            waiting = [w for w in waiting if not w.place.done()]
            for server in servers:
                assert server.in_flight <= slots
                assert {w.group for w in running if w.place.result() is server} <= {server.group}
            if running and (not coming or data.draw(st.booleans())):
                running.pop(0).place.result().in_flight -= 1

    asyncio.run(run())
