"""Watches and requests that go wrong: each case is one that published clients get wrong, or that ends other people's waits."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.cluster import hook_for
from support.fake_api import HOLD, FakeApi, config_map, fake_api, until_async

from airflow_provider_llmserve.errors import AccessDenied, Unavailable
from airflow_provider_llmserve.platforms.base import ServingRun
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.reflector import Reflector
from airflow_provider_llmserve.platforms.kubernetes.teardown import delete
from airflow_provider_llmserve.runtimes import runtime
from airflow_provider_llmserve.runtimes.kinds import CONFIG_MAP
from airflow_provider_llmserve.runtimes.parts import Watched

pytestmark = pytest.mark.cluster


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with fake_api() as a:
        yield a


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[Client]:
    async with Client(hook_for(api.kubeconfig())) as c:
        yield c


def reflector(client: Client, *, required: bool = True) -> Reflector:
    return Reflector(client, "ns", [Watched(CONFIG_MAP, required=required)])


def data(r: Reflector, name: str) -> Any:
    return (r.snapshot().get("ConfigMap", name) or {}).get("data")


def changed(name: str, version: int, **data: str) -> dict[str, Any]:
    return {"type": "MODIFIED", "object": config_map(name, version, **data)}


async def test_a_closed_stream_is_not_an_answer_and_is_resumed(api: FakeApi, client: Client) -> None:
    api.put("x", a="1")
    api.on_watch = [[], [changed("x", 3, a="2")], [HOLD]]
    async with reflector(client) as r:
        await until_async("the change is seen", lambda: data(r, "x") == {"a": "2"})
        await until_async("the watch goes on", lambda: len(api.requests) == 4)

    assert api.requests == ["list", "watch 2", "watch 2", "watch 3"], "one list, and each watch from where the last one ended"


async def test_a_watch_is_resumed_from_its_last_bookmark(api: FakeApi, client: Client) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {"resourceVersion": "9"}}}
    api.on_watch = [[bookmark], [HOLD]]
    async with reflector(client):
        await until_async("the watch goes on", lambda: len(api.requests) == 3)
    assert api.requests == ["list", "watch 1", "watch 9"]


async def test_a_watch_that_is_refused_for_load_stays_away_as_long_as_it_is_asked_to(
    api: FakeApi, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cases: cluster/watch429.py: seven lists and seven watches in 20 s, for a Retry-After that nobody read."""
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    api.put("x", a="1")
    api.headers = {"Retry-After": "7"}
    api.on_watch = [(429, "too many requests"), (503, "etcd leader changed"), [HOLD]]
    monkeypatch.setattr("airflow_provider_llmserve.platforms.kubernetes.reflector.asyncio.sleep", note)
    async with reflector(client) as r:
        while len(api.requests) < 4 or r.blind():
            await asyncio.wait({asyncio.ensure_future(asyncio.to_thread(lambda: None))})
        assert data(r, "x") == {"a": "1"}
    assert api.requests == ["list", "watch 2", "watch 2", "watch 2"]
    assert all(pause >= 7 for pause in pauses[:2])


@pytest.mark.parametrize("how", ["event", "status"])
async def test_a_410_begins_again_from_a_new_list_and_not_without_pause(api: FakeApi, client: Client, how: str) -> None:
    gone = (410, "too old resource version: 1 (7)")
    event = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": gone[1]}}
    api.on_watch = [gone if how == "status" else [event] for _ in range(3)]
    async with reflector(client) as r:
        api.put("x", a="1")
        await until_async("the object is seen", lambda: data(r, "x"))
        await until_async("the watch goes on", lambda: len(api.requests) == 8)

        assert api.requests[1] == "watch 1"
        assert set(api.requests[3::2]) == {"watch 2"}, "never the stale version again"
        assert not r.blind()


async def test_what_went_while_nobody_could_tell_is_gone(api: FakeApi, client: Client) -> None:
    api.put("x", a="1")
    api.on_watch = [(410, "too old resource version")]
    async with reflector(client) as r:
        assert data(r, "x") == {"a": "1"}
        api.objects.clear()
        await until_async("x is gone", lambda: data(r, "x") is None)


async def test_deleted_without_status_is_gone(api: FakeApi, client: Client) -> None:
    api.put("x", a="1")
    api.on_watch = [[{"type": "DELETED", "object": {"metadata": {"name": "x", "uid": "uid-x"}}}, HOLD]]
    async with reflector(client) as r:
        await until_async("x is gone", lambda: data(r, "x") is None)

        assert api.requests == ["list", "watch 2"], "the event alone tells it"
        assert r.snapshot().kinds == {"ConfigMap"}


async def test_events_are_followed_and_bookmarks_are_none(api: FakeApi, client: Client) -> None:
    added = {"type": "ADDED", "object": config_map("x", 3, a="1")}
    bookmark = {"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {"resourceVersion": "9"}}}
    api.on_watch = [[added, bookmark, changed("x", 10, a="2"), HOLD]]
    async with reflector(client) as r:
        await until_async("the change is seen", lambda: data(r, "x") == {"a": "2"})

        assert len(r.snapshot().objects) == 1
        assert api.requests == ["list", "watch 1"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_in_mid_wait_is_borne_until_it_passes(api: FakeApi, client: Client, status: int) -> None:
    api.put("x", a="1")
    api.on_watch = [(status, "no")]
    api.on_list = []
    async with reflector(client) as r:
        api.on_list += [(status, "no")] * 2
        await until_async("it says that it cannot see", r.blind)
        assert data(r, "x") == {"a": "1"}, "what was seen stays, under that reserve"
        api.put("x", a="2")
        await until_async("it sees again", lambda: not r.blind() and data(r, "x") == {"a": "2"})


async def test_what_may_be_missed_and_may_not_be_read_is_left_out(api: FakeApi, client: Client) -> None:
    api.on_list = [(403, 'configmaps is forbidden: User "u" cannot list resource "configmaps"')]
    async with reflector(client, required=False) as r:
        assert not r.blind()
        assert r.snapshot().kinds == frozenset()


async def test_a_server_that_closes_every_stream_is_not_asked_without_pause(
    api: FakeApi, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            await asyncio.Event().wait()

    api.on_watch = [[] for _ in range(20)]
    monkeypatch.setattr("airflow_provider_llmserve.platforms.kubernetes.reflector.asyncio.sleep", note)
    async with reflector(client):
        while len(pauses) < 6:
            await asyncio.wait({asyncio.ensure_future(asyncio.to_thread(lambda: None))})

    assert pauses[5] > pauses[0]
    assert len(api.requests) == 7


async def test_a_request_waits_as_long_as_the_server_asks(api: FakeApi, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("airflow_provider_llmserve.platforms.kubernetes.client.asyncio.sleep", note)
    api.headers = {"Retry-After": "7"}
    api.on_any = [(429, "slow down"), (503, "shutting down"), (500, "failed calling webhook: connection refused")]
    await client.list(CONFIG_MAP, "ns")

    assert pauses == [7.0, 7.0, 7.0]
    assert len(api.requests) == 4


async def test_a_deletion_does_not_try_longer_than_its_caller_waits(api: FakeApi, client: Client) -> None:
    """A killed task has five seconds; the client alone would go on for minutes."""
    api.headers = {"Retry-After": "30"}
    api.on_any = [(503, "starting")] * 50
    run = ServingRun(kind="kubeai-text", runtime="kubeai", name="m", uid="u", namespace="ns")
    deleting = asyncio.ensure_future(delete(client, runtime("kubeai"), run, timeout=0.3, force=False))
    done, _ = await asyncio.wait({deleting}, timeout=15)
    deleting.cancel()

    assert done
    with pytest.raises(Unavailable, match="kubeai-text m: the API server did not answer in time"):
        await deleting


async def test_a_server_that_stays_away_is_unavailable_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(seconds: float) -> None:
        pass

    monkeypatch.setattr("airflow_provider_llmserve.platforms.kubernetes.client.asyncio.sleep", at_once)
    async with Client(hook_for(FakeApi(port=1).kubeconfig())) as nobody:
        with pytest.raises(Unavailable, match="get ConfigMap ns/x: no answer from the API server"):
            await nobody.get(CONFIG_MAP, "ns", "x")


async def test_a_short_lived_token_is_fetched_anew_when_it_is_refused(api: FakeApi, tmp_path: Path) -> None:
    token, plugin = tmp_path / "token", tmp_path / "plugin"
    credential = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}'
    plugin.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\nprintf '{credential}' \"$(cat {token})\"\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    token.write_text("first")
    api.tokens = {"first"}
    async with Client(hook_for(api.kubeconfig(**user))) as c:
        for _ in range(3):
            await c.list(CONFIG_MAP, "ns")
        assert (tmp_path / "runs").read_text().count("run") == 1, "the plugin does not run for every request"
        token.write_text("second")
        api.tokens = {"second"}
        await c.list(CONFIG_MAP, "ns")
        assert (tmp_path / "runs").read_text().count("run") == 2
        api.tokens = {"third"}
        with pytest.raises(AccessDenied):
            await c.list(CONFIG_MAP, "ns")


async def test_a_login_that_cannot_be_made_is_named() -> None:
    def broken() -> Any:
        raise FileNotFoundError("/nowhere/kubeconfig")

    async with Client(broken) as c:
        with pytest.raises(AccessDenied, match=r"cannot log in.*/nowhere/kubeconfig.*Check the kubernetes connection"):
            await c.get(CONFIG_MAP, "ns", "x")
