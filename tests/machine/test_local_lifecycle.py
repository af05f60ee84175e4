"""Runs on this machine from deployment to teardown, under load and with processes killed."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from support.local_model import BASE, environment, model_path, processes, random_pairs, write_adapter

from airflow_provider_llmserve.endpoint import Endpoint
from airflow_provider_llmserve.errors import BadInput, Conflict, ServingFailed, Superseded
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms import lifecycle
from airflow_provider_llmserve.platforms.base import ServingRun, Target, Want
from airflow_provider_llmserve.platforms.local.paths import StateDir
from airflow_provider_llmserve.platforms.local.platform import LocalPlatform
from airflow_provider_llmserve.readiness.state import State, Verdict
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText
from airflow_provider_llmserve.specs.smoke import parse_smoke

pytestmark = pytest.mark.machine

OWNER = Owner(dag_id="tests", run_id="lifecycle", task_id="serve")
QUESTION: Any = [{"role": "user", "content": "Name a colour."}]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(platform="local", state_dir=str(tmp_path / "llmserve"), threads=1)


@pytest.fixture
def platform(settings: Settings) -> LocalPlatform:
    return LocalPlatform(settings)


@pytest.fixture
def dirs(settings: Settings) -> StateDir:
    return StateDir.of(settings)


@pytest.fixture(autouse=True)
async def nothing_left(platform: LocalPlatform, dirs: StateDir) -> AsyncIterator[None]:
    """After every test: no process, no socket, no port of it."""
    yield
    for name in ("smol", "second"):
        run = await platform.find(Target(name=name))
        if run is not None:
            await platform.delete(run, timeout=30)
    assert processes(str(dirs.root)) == []
    assert list(dirs.sockets.glob("*.sock")) == []


def spec(**fields: Any) -> KubeAIText:
    return KubeAIText.parse({"url": BASE, "model_name": "smol", **fields})


def want(of: KubeAIText, owner: Owner = OWNER, name: str = "smol", **more: Any) -> Want:
    return Want(spec=of, name=name, owner=owner, **more)


async def serve(platform: LocalPlatform, of: KubeAIText, **more: Any) -> Endpoint:
    return await lifecycle.serve(platform, want(of, **more), timeout=120)


async def until(condition: Callable[[], Awaitable[Any] | Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.05)


async def verdict(platform: LocalPlatform, run: ServingRun, good: Callable[[Verdict], bool]) -> Verdict:
    async def look() -> Verdict:
        async for seen in platform.verdicts(run):
            if good(seen):
                return seen
        raise AssertionError

    return await asyncio.wait_for(look(), 60)


def adapter(folder: Path, name: str, seed: int) -> dict[str, str]:
    return {"name": name, "url": write_adapter(folder / name, random_pairs(seed, 0.05)).as_uri()}


def servers(dirs: StateDir) -> set[int]:
    return set(processes(f"{dirs.root}/logs/"))


def supervisor(dirs: StateDir) -> int:
    (pid,) = set(processes(str(dirs.root))) - servers(dirs)
    return pid


@asynccontextmanager
async def load(endpoint: Endpoint) -> AsyncIterator[list[Any]]:
    """Requests of all kinds without a pause; yields what became of each."""
    outcomes: list[Any] = []
    stop = asyncio.Event()

    async def ask(client: openai.AsyncOpenAI, i: int) -> None:
        while not stop.is_set():
            try:
                if i % 2:
                    stream = await client.chat.completions.create(model="smol", messages=QUESTION, max_tokens=2, stream=True)
                    assert [c async for c in stream][-1].choices[0].finish_reason
                else:
                    await client.chat.completions.create(model="smol", messages=QUESTION, max_tokens=2)
                outcomes.append(True)
            except Exception as e:
                outcomes.append(e)

    async with endpoint.async_openai(max_retries=0, timeout=60) as client:
        tasks = [asyncio.create_task(ask(client, i)) for i in range(4)]
        try:
            await until(lambda: len(outcomes) > 3)
            yield outcomes
            so_far = len(outcomes)
            await until(lambda: len(outcomes) > so_far + 3)
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def test_the_same_want_twice_changes_nothing(platform: LocalPlatform, dirs: StateDir):
    first = await serve(platform, spec())
    before, run = servers(dirs), await platform.find(Target(name="smol"))
    assert run is not None
    assert await serve(platform, spec()) == first
    again = await platform.find(Target(name="smol"))
    assert again == run
    # Another owner is another writer, who finds the servers good as they are.
    theirs = Owner(dag_id="tests", run_id="later", task_id="serve")
    other = await serve(platform, spec(), owner=theirs)
    assert other.identity.owner == theirs
    assert other.identity.uid == first.identity.uid
    assert servers(dirs) == before
    # The first task instance no longer owns it.
    assert await lifecycle.teardown(platform, lifecycle.target_of(first), timeout=30) is False
    assert servers(dirs) == before
    assert await lifecycle.teardown(platform, lifecycle.target_of(other), timeout=30) is True
    assert await lifecycle.teardown(platform, lifecycle.target_of(other), timeout=30) is False


async def test_attach_redeploy_and_detach_under_load_fail_no_request(platform: LocalPlatform, dirs: StateDir, tmp_path: Path):
    endpoint = await serve(platform, spec())
    first = servers(dirs)
    async with load(endpoint) as outcomes:
        attached = await serve(platform, spec(adapters=[adapter(tmp_path, "red", 1)]))
        assert attached.openai_service is not None
        assert attached.openai_service.base_url == endpoint.openai_service.base_url  # type: ignore[union-attr]
        async with attached.async_openai(max_retries=0) as client:
            red = await client.chat.completions.create(model="smol_red", messages=QUESTION, max_tokens=4)
        assert red.model == "smol_red"
        assert not first & servers(dirs) or await until(lambda: not first & servers(dirs))
        await serve(platform, spec(adapters=[adapter(tmp_path, "blue", 2)], scaling={"replicas": 2}))
        assert len(await until(lambda: servers(dirs) if len(servers(dirs)) == 2 else None)) == 2
        async with attached.async_openai(max_retries=0) as client:
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(model="smol_red", messages=QUESTION, max_tokens=4)
        await serve(platform, spec())
        await until(lambda: len(servers(dirs)) == 1)
    assert [o for o in outcomes if o is not True] == []


async def test_a_wrong_reference_answer_takes_the_deployment_back(platform: LocalPlatform) -> None:
    france = {"prompt": "The capital of France is"}
    served = await lifecycle.serve(platform, want(spec()), timeout=120, smoke=parse_smoke([{**france, "contains": "Paris"}]))
    assert served.proven
    wrong = parse_smoke([{**france, "contains": "Berlin"}])
    with pytest.raises(ServingFailed, match="which must contain 'Berlin'"):
        await lifecycle.serve(platform, want(spec(args=["--ctx-size=512"])), timeout=120, smoke=wrong)
    standing = await platform.find(Target(name="smol"))
    assert standing is not None
    assert (standing.spec, standing.proven) == (spec(), True)


async def test_scaling_leaves_the_running_server_alone(platform: LocalPlatform, dirs: StateDir):
    await serve(platform, spec())
    (one,) = servers(dirs)
    await serve(platform, spec(scaling={"replicas": 2}))
    assert one in servers(dirs)
    assert len(servers(dirs)) == 2


async def test_a_wait_wakes_what_is_at_zero(platform: LocalPlatform) -> None:
    await serve(platform, spec(scaling={"min_replicas": 0, "scale_down_delay_seconds": 1}))
    run = await platform.find(Target(name="smol"))
    assert run is not None
    await verdict(platform, run, lambda a: a.at_zero)
    said = await lifecycle.wait_until_proven(platform, run, timeout=60, at_zero="wake")
    assert said.state is State.READY


async def test_zero_when_idle_and_a_request_wakes_it(platform: LocalPlatform, dirs: StateDir):
    endpoint = await serve(platform, spec(scaling={"min_replicas": 0, "scale_down_delay_seconds": 1}))
    run = await platform.find(Target(name="smol"))
    assert run is not None
    asleep = await verdict(platform, run, lambda a: a.state is State.SCALED_TO_ZERO)
    assert asleep.reason == "scaled_to_zero"
    await until(lambda: not servers(dirs))
    async with endpoint.async_openai(max_retries=0) as client:
        answers = await asyncio.gather(
            *(client.chat.completions.create(model="smol", messages=QUESTION, max_tokens=2) for _ in range(3))
        )
    assert len(answers) == 3


async def test_stopped_and_resumed(platform: LocalPlatform, dirs: StateDir):
    endpoint = await serve(platform, spec())
    target = lifecycle.target_of(endpoint)
    await lifecycle.change(platform, target, lambda s, _: (s, True), timeout=30, wait=False)
    run = await platform.find(target)
    assert run is not None
    assert (await verdict(platform, run, lambda a: a.state is State.SCALED_TO_ZERO)).reason == "stopped"
    assert servers(dirs) == set()
    async with endpoint.async_openai(max_retries=0) as client:
        with pytest.raises(openai.InternalServerError, match="resume it"):
            await client.chat.completions.create(model="smol", messages=QUESTION)
    await lifecycle.change(platform, target, lambda s, _: (s, False), timeout=60)
    assert len(servers(dirs)) == 1


async def test_a_killed_server_is_replaced_and_reported(platform: LocalPlatform, dirs: StateDir):
    endpoint = await serve(platform, spec(scaling={"replicas": 2}))
    run = await platform.find(Target(name="smol"))
    assert run is not None
    before = servers(dirs)
    async with load(endpoint) as outcomes:
        os.kill(min(before), signal.SIGKILL)
        degraded = await verdict(platform, run, lambda a: a.state is not State.READY)
        assert (degraded.state, degraded.reason) == (State.DEGRADED, "container_restarting")
        healed = await verdict(platform, run, lambda a: a.state is State.READY)
        assert "SIGKILL" in healed.detail
    # What was being streamed from the killed server is cut; nothing else fails.
    assert all(isinstance(o, openai.APIError | type(None)) or o is True or "peer closed" in str(o) for o in outcomes)
    assert len([o for o in outcomes if o is not True]) <= 2
    assert len(servers(dirs)) == 2
    assert servers(dirs) != before


async def test_a_killed_supervisor_takes_its_servers_along_and_the_next_call_restores_all(
    platform: LocalPlatform, dirs: StateDir, tmp_path: Path
):
    endpoint = await serve(platform, spec(adapters=[adapter(tmp_path, "red", 1)]))
    second = await serve(platform, spec(model_name="second"), name="second")
    os.kill(supervisor(dirs), signal.SIGKILL)
    await until(lambda: not processes(str(dirs.root)))
    run = await LocalPlatform(Settings(platform="local", state_dir=str(dirs.root))).find(Target(name="smol"))
    assert run is not None
    await verdict(platform, run, lambda a: a.state is State.READY)
    for one in (endpoint, second):
        async with one.async_openai(max_retries=0) as client:
            for name in one.served_names():
                assert (await client.chat.completions.create(model=name, messages=QUESTION, max_tokens=2)).model == name
    assert await lifecycle.teardown(platform, lifecycle.target_of(second), timeout=30)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_teardown_ends_running_requests_with_an_error(platform: LocalPlatform, stream: bool):
    endpoint = await serve(platform, spec())
    await serve(platform, spec(model_name="second"), name="second")  # keeps the gateway open
    run = await platform.find(Target(name="smol"))
    assert run is not None

    async def ask(client: openai.AsyncOpenAI, started: asyncio.Event) -> None:
        options: Any = {"model": "smol", "prompt": "1 2 3", "max_tokens": 1500, "extra_body": {"ignore_eos": True}}
        if not stream:
            started.set()
            await client.completions.create(**options)
            return
        async for _ in await client.completions.create(**options, stream=True):
            started.set()

    async with endpoint.async_openai(max_retries=0, timeout=60) as client:
        started = asyncio.Event()
        asking = asyncio.create_task(ask(client, started))
        await started.wait()
        await platform.delete(run, timeout=30)
        with pytest.raises(Exception) as e:  # noqa: PT011 (httpx's or openai's, as the moment has it)
            await asking
    assert not isinstance(e.value, openai.APITimeoutError)


async def test_two_tasks_start_one_supervisor(platform: LocalPlatform, settings: Settings, dirs: StateDir):
    await asyncio.gather(serve(platform, spec()), serve(LocalPlatform(settings), spec(model_name="second"), name="second"))
    assert supervisor(dirs)
    assert len(servers(dirs)) == 2


async def test_only_its_owner_reaches_control_and_state(platform: LocalPlatform, dirs: StateDir, tmp_path: Path):
    (tmp_path / "llmserve").mkdir(mode=0o755)
    endpoint = await serve(platform, spec())
    for folder in (dirs.root, dirs.sockets, dirs.logs, dirs.cache):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for file in (dirs.control, dirs.runs, dirs.supervisor_log):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    listening = _listening_addresses()
    assert listening[int(endpoint.service.url.rpartition(":")[2])] == "0100007F", "loopback only"


def _listening_addresses() -> dict[int, str]:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(r[1].split(":")[1], 16): r[1].split(":")[0] for r in rows if r[3] == "0A"}


async def test_a_task_environment_does_not_live_on(platform: LocalPlatform, dirs: StateDir, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_SECRET", "s3://key:hunter2@")
    await serve(platform, spec())
    found = processes(str(dirs.root))
    assert len(found) == 2
    assert not any("hunter2" in environment(pid) for pid in found)


async def test_an_update_that_cannot_start_leaves_the_version_before(
    platform: LocalPlatform, dirs: StateDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    endpoint = await serve(platform, spec())
    before = servers(dirs)
    # As a file that passes every check and that llama.cpp refuses all the same.
    monkeypatch.setattr("airflow_provider_llmserve.platforms.local.prepare._gguf_adapter", lambda path, base: path)
    bad = tmp_path / "model-as-adapter.gguf"
    bad.symlink_to(model_path())
    with pytest.raises(Exception, match=r"general\.type") as e:
        await serve(platform, spec(adapters=[{"name": "bad", "url": bad.as_uri()}]))
    assert "earlier" in str(e.value) or "before" in str(e.value)
    assert before & servers(dirs) == before
    run = await platform.find(Target(name="smol"))
    assert run is not None
    assert run.spec == spec(), "the last good spec was put back"
    await verdict(platform, run, lambda a: a.state is State.READY)
    async with endpoint.async_openai(max_retries=0) as client:
        assert await client.chat.completions.create(model="smol", messages=QUESTION, max_tokens=2)


async def test_who_comes_second_conflicts_and_who_waited_is_superseded(platform: LocalPlatform):
    await serve(platform, spec())
    run = await platform.find(Target(name="smol"))
    theirs = want(spec(scaling={"replicas": 2}), owner=Owner(dag_id="theirs"))
    await platform.apply(theirs, replacing=run)
    with pytest.raises(Conflict, match="theirs"):
        await platform.apply(want(spec(scaling={"min_replicas": 0})), replacing=run)
    with pytest.raises(Conflict):
        await platform.apply(want(spec(model_name="second"), name="second"), replacing=run)
    assert run is not None
    with pytest.raises(Superseded, match="theirs"):
        await lifecycle.wait_until_proven(platform, run, timeout=30)


async def test_bad_files_are_findings_before_anything_starts(platform: LocalPlatform, dirs: StateDir, tmp_path: Path):
    whole = model_path().read_bytes()
    files = {
        "truncated.gguf": (whole[:-1000], "truncated: tensor"),
        "header.gguf": (whole[:1000], "truncated within its header"),
        "garbage.gguf": (b"GARB" + whole[4:100], "no GGUF file"),
        "pointer.gguf": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        "empty.gguf": (b"", "empty"),
    }
    for name, (content, why) in files.items():
        (tmp_path / name).write_bytes(content)
        (finding,) = await platform.preflight(want(spec(url=(tmp_path / name).as_uri())))
        assert why in finding
        assert name in finding
    (finding,) = await platform.preflight(want(spec(url="file:///nowhere/x.gguf")))
    assert "does not exist" in finding
    other = write_adapter(tmp_path / "other", random_pairs(1, 0.05), base_model_name_or_path="meta-llama/Llama-3.2-1B")
    short = write_adapter(tmp_path / "short", {k: v[:, : v.shape[1] // 2] for k, v in random_pairs(1, 0.05, [0]).items()}, rank=2)
    findings = await platform.preflight(
        want(spec(adapters=[{"name": "other", "url": other.as_uri()}, {"name": "short", "url": short.as_uri()}]))
    )
    assert any("adapter other: was trained on meta-llama/Llama-3.2-1B" in f for f in findings), findings
    assert any("adapter short: " in f for f in findings), findings
    with pytest.raises(BadInput):
        await serve(platform, spec(url="file:///nowhere/x.gguf"))
    assert processes(str(dirs.root)) == []


async def test_a_port_in_use_is_a_finding(settings: Settings):
    listener = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    platform = LocalPlatform(settings.model_copy(update={"port": port}))
    async with listener:
        (finding,) = await platform.preflight(want(spec()))
    assert f"port {port} is in use" in finding
    assert await platform.preflight(want(spec())) == []


async def test_a_standalone_model_that_is_not_ready_says_503_to_probes(platform: LocalPlatform) -> None:
    alone = HuggingFaceServe.parse({"path": BASE.replace("hf://", "huggingface://"), "model_name": "smol"})
    endpoint = await lifecycle.serve(platform, Want(spec=alone, name="smol", owner=OWNER), timeout=120)
    probe = f"{endpoint.service.url}/v2/models/smol/ready"
    async with aiohttp.ClientSession() as session:
        async with session.get(probe) as ready:
            assert ready.status == 200
        await lifecycle.change(platform, lifecycle.target_of(endpoint), lambda s, _: (s, True), timeout=30)
        async with session.get(probe) as stopped:
            assert stopped.status == 503
