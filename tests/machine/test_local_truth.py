"""The local platform tells the truth about what runs: on a full disk, after kills at any moment, and from another place."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kube import until
from support.local_model import BASE, model_path, processes

from airflow_provider_llmserve.errors import Elsewhere, PlatformError, WaitTimeout
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.platforms.lifecycle import confirm, serve, target_of, teardown
from airflow_provider_llmserve.platforms.local import server as llama
from airflow_provider_llmserve.platforms.local.book import Book
from airflow_provider_llmserve.platforms.local.client import Client
from airflow_provider_llmserve.platforms.local.encoders import server as encoder
from airflow_provider_llmserve.platforms.local.paths import StateDir
from airflow_provider_llmserve.platforms.local.platform import LocalPlatform
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import KubeAIText

pytestmark = pytest.mark.machine

ONE = Owner(dag_id="tests", run_id="one", task_id="serve")
TWO = Owner(dag_id="tests", run_id="two", task_id="serve")


def want(name: str = "smol", owner: Owner = ONE, ttl: float | None = None, **fields: Any) -> Want:
    return Want(spec=KubeAIText.parse({"url": BASE, "model_name": name, **fields}), name=name, owner=owner, ttl=ttl)


def platform_in(folder: Path) -> LocalPlatform:
    return LocalPlatform(Settings(platform="local", state_dir=str(folder), threads=1))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder; no process of it outlives the test."""
    folder = tmp_path / "llmserve"
    yield folder
    left = processes(str(folder))
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A state folder on a disk of its own, of two megabytes."""
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False, capture_output=True).returncode:
        pytest.skip("a disk of its own needs the right to mount")
    try:
        yield disk / "state"
    finally:
        for pid in processes(str(disk)):
            os.kill(pid, signal.SIGKILL)
        until("nothing holds the disk", lambda: not processes(str(disk)))
        subprocess.run(["umount", "-l", disk], check=True)


def servers(folder: Path) -> list[int]:
    return processes(f"{folder}/logs/")


def supervisor(folder: Path) -> int:
    (pid,) = set(processes(str(folder))) - set(servers(folder))
    return pid


def fill(folder: Path) -> Path:
    """Take what is left of the disk."""
    full = folder / "full"
    with full.open("wb", buffering=0) as f:
        for size in (65536, 512, 1):
            while True:
                try:
                    f.write(b"x" * size)
                except OSError:
                    break
    return full


async def names(platform: LocalPlatform) -> list[str]:
    return sorted(run.name for run in await platform.runs())


async def test_on_a_full_disk_nothing_is_started_and_gone_means_gone(small: Path) -> None:
    platform = platform_in(small)
    await serve(platform, want("first"), timeout=120)
    running = servers(small)
    full = fill(small)

    with pytest.raises(PlatformError, match=r"(?s)cannot write .*runs\.json: No space left") as refused:
        await serve(platform, want("second"), timeout=30)
    assert refused.value.retryable
    standing = await platform.find(Target("first"))
    with pytest.raises(PlatformError, match="No space left"):
        await platform.apply(want("first", TWO, scaling={"replicas": 2, "max_replicas": 2}), replacing=standing)
    assert await platform.find(Target("first")) == standing
    assert servers(small) == running
    assert await names(platform) == ["first"] == [r.name for r in Book.read(StateDir(small).runs).runs]
    found = await platform.find(Target("first"))
    assert found is not None
    assert found.owner == ONE

    assert await teardown(platform, Target("first"), timeout=30)
    until("the server ended", lambda: not servers(small))
    assert not await teardown(platform, Target("first"), timeout=30)
    assert Book.read(StateDir(small).runs).runs == [], "so that no later supervisor brings it back"
    full.unlink()
    await serve(platform, want("second"), timeout=120)
    assert await teardown(platform, Target("second"), timeout=30)


async def test_who_asks_hears_of_what_runs_not_of_what_the_book_says(state: Path) -> None:
    """A supervisor whose book could not be rewritten, or was put back by somebody's backup."""
    platform = platform_in(state)
    await serve(platform, want(), timeout=120)
    book = StateDir(state).runs
    kept = book.read_text()
    book.write_text(json.dumps({"port": 0, "runs": []}))
    assert await names(platform) == ["smol"]
    assert await teardown(platform, Target("smol"), timeout=30)
    assert not servers(state)
    book.write_text(kept)
    assert await names(platform) == ["smol"], "a book alone is believed: its runs are served again by the next supervisor"
    assert await teardown(platform, Target("smol"), timeout=60)


@pytest.mark.parametrize("moment", ["while a server loads", "while one serves", "while it deletes"])
async def test_a_killed_supervisor_takes_its_servers_along_and_loses_no_run(state: Path, moment: str) -> None:
    platform = platform_in(state)
    keep = await serve(platform, want("keep"), timeout=120)
    base = keep.openai_service.base_url if keep.openai_service else ""
    other: asyncio.Task[Any] | None = None
    if moment != "while one serves":
        before = set(servers(state))
        other = asyncio.create_task(serve(platform, want("other"), timeout=120))
        await asyncio.to_thread(until, "another server starts", lambda: set(servers(state)) - before)
        if moment == "while it deletes":
            other.cancel()
    killed = set(servers(state))
    os.kill(supervisor(state), signal.SIGKILL)
    await asyncio.to_thread(until, "its servers ended too", lambda: not killed & set(servers(state)), 10)
    if other is not None:
        await asyncio.wait({other})
        assert await teardown(platform, Target("other"), timeout=60) in (True, False)
    again = await serve(platform, want("keep"), timeout=120)
    assert again.openai_service is not None
    assert (again.identity.uid, again.openai_service.base_url) == (keep.identity.uid, base)
    assert await names(platform) == ["keep"]
    assert await teardown(platform, target_of(again), timeout=60)


def test_a_server_ends_when_its_input_closes(tmp_path: Path) -> None:
    """What the kernel does when the supervisor is killed.
    With whoever reads what it says gone too, and with that pipe still open."""
    for reader_is_gone in (False, True):
        launch = llama.Launch(
            str(model_path()), [], str(tmp_path / "s.sock"), "m", embedding=False, slots=1, slot_context=512, threads=1
        )
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", llama.__name__, "m"]
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as server:
            assert server.stdin
            assert server.stdout
            server.stdin.write(launch.to_line())
            server.stdin.close()
            if reader_is_gone:
                server.stdout.close()
            try:
                server.wait(timeout=60)
            finally:
                server.kill()


BUSY = "import ctypes; from airflow_provider_llmserve.platforms.local import leash; leash.tie(); print('up', flush=True); ctypes.PyDLL(None).sleep(60)"
"""A library's call that holds the interpreter's lock, as one that loads a model may."""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
def test_one_that_is_deaf_ends_with_its_parent_all_the_same() -> None:
    parent = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {BUSY!r}], stdin=subprocess.PIPE); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        said = {running.stdout.readline().strip(), running.stdout.readline().strip()}
        (pid,) = said - {"up"}
        running.kill()
    until("the child ended", lambda: not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text(), 10)


def test_both_kinds_of_server_are_tied() -> None:
    for module in (llama, encoder):
        assert "    leash.tie()\n" in Path(module.__file__).read_text().partition("def main()")[2].partition("_load(")[0]


async def test_another_state_folder_or_host_is_another_place(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = platform_in(state)
    endpoint = await serve(platform, want(), timeout=120)
    with pytest.raises(Elsewhere, match=f"(?s){state}.*{tmp_path / 'other'}"):
        await teardown(platform_in(tmp_path / "other"), target_of(endpoint), timeout=5)
    link = tmp_path / "link"
    link.symlink_to(state)
    await confirm(platform_in(link), target_of(endpoint))  # the same folder by another name
    monkeypatch.setattr("socket.gethostname", lambda: "another-worker")
    with pytest.raises(Elsewhere, match="host another-worker"):
        await teardown(platform, target_of(endpoint), timeout=5)
    assert servers(state)
    monkeypatch.undo()
    elsewhere = endpoint.identity.model_copy(update={"platform": "kubernetes", "namespace": "n"})
    with pytest.raises(Elsewhere, match="kubernetes, namespace n"):
        await teardown(platform, target_of(endpoint.model_copy(update={"identity": elsewhere})), timeout=5)
    assert await teardown(platform, target_of(endpoint), timeout=30)


async def test_what_was_deployed_without_a_wait_is_put_back_and_a_ttl_is_kept(state: Path) -> None:
    platform = platform_in(state)
    told: list[ServingRun] = []
    await serve(platform, want(ttl=90), timeout=5, wait=False, on_applied=told.append)
    (standing,) = await platform.runs()
    assert [r.uid for r in told] == [standing.uid]
    assert standing.expires is not None
    assert standing.ttl == 90
    # The proof may have come by now: the supervisor records it by itself.
    with pytest.raises(WaitTimeout, match="was put back"):
        await serve(platform, want(owner=TWO, args=["--max-model-len=256"]), timeout=0.01)
    (now,) = await platform.runs()
    assert (now.spec, now.owner, now.ttl) == (standing.spec, ONE, 90)
    assert await teardown(platform, Target("smol"), timeout=60)


def test_a_run_whose_spec_a_later_version_wrote_is_still_known(tmp_path: Path) -> None:
    plan = {"protocol": "kubeai", "served_name": "m", "server": {"model": {"path": "/m.gguf", "mark": "x"}}}
    record = {"owner": '{"dag_id":"d"}', "spec": '{"kind":"kubeai-text","spec":{"later":1}}', "later": "1"}
    entry = {"kind": "kubeai-text", "name": "m", "uid": "u", "record": record, "plan": plan}
    (tmp_path / "runs.json").write_text(json.dumps({"port": 5, "runs": [entry]}))
    (one,) = Book.read(tmp_path / "runs.json").runs
    assert (one.known.owner.dag_id, one.known.spec, one.known.proven) == ("d", None, True)
    assert one.after(None) == one


async def test_without_a_supervisor_nothing_is_started_by_a_look(state: Path) -> None:
    assert await names(platform_in(state)) == []
    assert await Client(StateDir(state)).find("", "smol") is None
    assert os.listdir(state.parent) == []
