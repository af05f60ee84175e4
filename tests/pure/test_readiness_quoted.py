"""Whatever the cluster says of a pod that does not go on stands in its trouble; of a log, the line that tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_llmserve.readiness.causes import cause_in, cause_in_log
from airflow_provider_llmserve.readiness.log_lines import excerpt, latest_line, telling_line, without_harmless
from airflow_provider_llmserve.readiness.observed import Observed, PodLog
from airflow_provider_llmserve.readiness.pods import diagnose_pod, said_last, trouble_verdict

NOW = datetime(2026, 1, 1, 0, 20, tzinfo=timezone.utc)
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    run()\n    ^^^^^\n'
ENGINE = "(EngineCore pid=23) ERROR 11-25 08:50:33 [core.py:1510] "
NOISE = (
    "/usr/lib/python3.12/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: There appear to be 1 leaked "
    "shared_memory objects to clean up at shutdown\n  warnings.warn(\n"
)
GOODBYE = f"{TRACEBACK}RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}\n{NOISE}"

Look = tuple[dict[str, Any], tuple[dict[str, Any], ...], str]


def pod(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    containers = [{"name": "server", "image": "vllm/vllm-openai:v0.20.0"}]
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}, "status": status}


def event(reason: str) -> Callable[[str], Look]:
    def look(said: str) -> Look:
        about = {"kind": "Pod", "name": "p", "uid": "u"}
        told = {"kind": "Event", "metadata": {"name": "e"}, "type": "Warning", "reason": reason, "message": said}
        waits = {"containerStatuses": [{"name": "server", "state": {"waiting": {"reason": "ContainerCreating"}}}]}
        return pod({"phase": "Pending", **waits}), ({**told, "involvedObject": about},), ""

    return look


def waiting(reason: str, statuses: str = "containerStatuses") -> Callable[[str], Look]:
    return lambda said: (
        pod({"phase": "Pending", statuses: [{"name": "server", "state": {"waiting": {"reason": reason, "message": said}}}]}),
        (),
        "",
    )


def condition(kind: str, reason: str) -> Callable[[str], Look]:
    return lambda said: (pod({"conditions": [{"type": kind, "status": "False", "reason": reason, "message": said}]}), (), "")


def terminated(reason: str, statuses: str = "containerStatuses", log: str = "") -> Callable[[str], Look]:
    def look(said: str) -> Look:
        ended = {"exitCode": 1, "reason": reason, "message": said}
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
        return (
            pod({statuses: [{"name": "server", "restartCount": 7, "state": state, "lastState": {"terminated": ended}}]}),
            (),
            log,
        )

    return look


def printed(log: str) -> Callable[[str], Look]:
    """A log in which ``@`` stands for the text."""

    def look(said: str) -> Look:
        ended = {"restartCount": 7, "state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}
        return pod({"containerStatuses": [{"name": "server", **ended}]}), (), log.replace("@", said)

    return look


PLACES: dict[str, Callable[[str], Look]] = {
    "sandbox": event("FailedCreatePodSandBox"),
    "mount": event("FailedMount"),
    "attach": event("FailedAttachVolume"),
    "block-volume": event("FailedMapVolume"),
    "dynamic-resources": event("FailedPrepareDynamicResources"),
    "network": event("NetworkNotReady"),
    "another-warning": event("SomethingNew"),
    "create": waiting("CreateContainerError"),
    "config": waiting("CreateContainerConfigError"),
    "run": waiting("RunContainerError"),
    "pull": waiting("ImagePullBackOff"),
    "sandbox-changed": waiting("SomethingNew"),
    "init-create": waiting("CreateContainerError", "initContainerStatuses"),
    "init-new": waiting("SomethingNew", "initContainerStatuses"),
    "back-off": waiting("CrashLoopBackOff"),
    "creating": waiting("ContainerCreating"),
    "unscheduled": condition("PodScheduled", "Unschedulable"),
    "unscheduled-new": condition("PodScheduled", "SomethingNew"),
    "scheduler-error": condition("PodScheduled", "SchedulerError"),
    "gated": condition("PodScheduled", "SchedulingGated"),
    "readiness-gate": condition("Ready", "ReadinessGatesNotReady"),
    "unready-new": condition("Ready", "SomethingNew"),
    "dead": lambda said: (pod({"phase": "Failed", "reason": "SomethingNew", "message": said}), (), ""),
    "dead-by-reason": lambda said: (pod({"phase": "Failed", "reason": said}), (), ""),
    "rejected": lambda said: (pod({"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": said}), (), ""),
    "pending": lambda said: (pod({"phase": "Pending", "reason": "SomethingNew", "message": said}), (), ""),
    "termination": terminated("Error"),
    "termination-beside-a-log": terminated("Error", log="Starting\nBye"),
    "init-termination": terminated("Error", "initContainerStatuses"),
    "out-of-memory": terminated("OOMKilled", log="Starting"),
    "traceback": printed(f"Starting\n{TRACEBACK}acme.errors.Askew: @\n{NOISE}"),
    "last-words": printed("Starting\n@"),
    "engine": printed("\n".join(ENGINE + x for x in f"{TRACEBACK}ValueError: @".splitlines()) + f"\n{GOODBYE}"),
    "during-handling": printed(
        f"{TRACEBACK}KeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\n{TRACEBACK}OSError: @"
    ),
    "pydantic": printed(f"{TRACEBACK}pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n  @\n"),
    "ignored": printed(
        f"{TRACEBACK}ValueError: @\nException ignored in: <function f at 0x1>\n{TRACEBACK}AttributeError: 'NoneType'"
    ),
    "uvicorn": printed(f"ERROR:    {TRACEBACK}ImportError: @\n\nERROR:    Application startup failed. Exiting."),
    "go": printed("panic: @\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:7 +0x1d\nexit status 2"),
    "rust": printed("thread 'main' panicked at src/main.rs:4:5:\n@\nnote: run with `RUST_BACKTRACE=1` environment variable"),
    "level": printed("INFO: starting\nERROR: @\nINFO: shutting down"),
}


def told(place: str, said: str) -> str:
    one, events, log = PLACES[place](said)
    logs = (PodLog("p", "server", log, previous=True),) if log else ()
    trouble = diagnose_pod(one, Observed((one, *events), logs=logs), NOW)
    assert trouble is not None, "dropped"
    return " ".join((trouble.detail, *(e.value for e in trouble.evidence)))


@pytest.mark.parametrize("place", PLACES)
@given(words=st.text("abcdefghijklmnoprstuvwz ABC/:'\"=-.()0123456789", min_size=1, max_size=200))
def test_any_text_is_quoted(place: str, words: str) -> None:
    said = f"q {words} y"
    assume(cause_in("log", "", said) is None)  # of a text that is known the word says enough
    assert said in told(place, said)


@pytest.mark.parametrize("place", PLACES)
def test_a_long_text_is_cut(place: str) -> None:
    said = "q" + "yq" * 5000
    one, events, log = PLACES[place](said)
    trouble = diagnose_pod(one, Observed((one, *events), logs=(PodLog("p", "server", log, True),)), NOW)
    assert trouble is not None
    assert "qyqyqyqyq" in trouble.detail + trouble.evidence[0].value
    assert len(trouble.detail + trouble.evidence[0].value) <= 2000


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", ""),
        ("one\n\n  two \x1b[0m\n\n", "two"),
        (GOODBYE, "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"),
        (f"{TRACEBACK}KeyboardInterrupt\nINFO: shutting down", "KeyboardInterrupt"),
        (f"{TRACEBACK}AssertionError\n", "AssertionError"),
        ('Started\nINFO:     10.0.0.1:4242 - "GET /v2/models/m/ready HTTP/1.1" 200 OK\n', "Started"),
        ('INFO:     10.0.0.1:4242 - "GET /v2/models/m/ready HTTP/1.1" 200 OK\n', ""),
        ("usage: serve [-h]\nserve: error: unrecognized arguments: --x\n", "serve: error: unrecognized arguments: --x"),
        ("fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:", "fatal error: all goroutines are asleep - deadlock!"),
        ('time=x level=error msg="no space"\nbye', 'time=x level=error msg="no space"'),
    ],
)  # fmt: skip
def test_the_telling_line(log: str, line: str) -> None:
    assert telling_line(log) == line


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("weights-missing", "RuntimeError: Cannot find any model weights with"),
        ("weights-truncated", "SafetensorError: Error while deserializing header"),
        ("kv-cache-too-small", "larger than the available KV cache memory"),
    ],
)
def test_the_telling_line_of_real_logs(name: str, says: str) -> None:
    """Whole logs of vLLM 0.32.0; the cause stands at line 103 of 221, say."""
    log = (Path(__file__).parent / "cases" / "vllm" / f"{name}.log").read_text()
    assert says in telling_line(log)
    told = excerpt(log, telling_line(log))
    assert 5 < len(told) <= 20
    assert any(says in line for line in told)
    assert not any(line.startswith(("Traceback", "File ", "^")) for line in told)


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", ""),
        ("(APIServer pid=1) ERROR 11-25 08:50:33 [repo.py:1] Error retrieving file list: timed out, retrying 1 of 2", "Error retrieving file list: timed out, retrying 1 of 2"),
        ("'no route' thrown while requesting HEAD https://huggingface.co/m\nRetrying in 8s [Retry 5/5].", "'no route' thrown while requesting HEAD https://huggingface.co/m Retrying in 8s [Retry 5/5]."),
        ('Loading weights: 12%\nINFO: 1.2.3.4:5 - "GET /health HTTP/1.1" 503 Service Unavailable', "Loading weights: 12%"),
        (f"Loading\n{TRACEBACK}", "Loading"),
        ("x" * 1000, "x" * 300),
    ],
)  # fmt: skip
def test_what_a_server_that_starts_says_last(log: str, line: str) -> None:
    assert latest_line(log) == line


@pytest.mark.parametrize(("ready", "previous", "says"), [(False, False, "p says: Loading"), (True, False, ""), (False, True, "")])
def test_what_a_starting_server_waits_for_is_of_this_run(ready: bool, previous: bool, says: str) -> None:
    running = {"name": "server", "ready": ready, "state": {"running": {"startedAt": "2026-01-01T00:00:10Z"}}}
    one = pod({"containerStatuses": [running]})
    assert said_last([one], Observed((one,), logs=(PodLog("p", "server", "Loading", previous),))) == says


def behind_two_wrappers(cause: str) -> str:
    """As the real huggingfaceserver 0.20.0 with vLLM 0.24 wrote it: the cause above two exceptions that wrap it, below a fault
    that it got over, and the parent's goodbye after all of them."""
    saved = f"Error saving model info cache.\n{TRACEBACK}PermissionError: [Errno 13] Permission denied: '/.cache'"
    above = "\n\nThe above exception was the direct cause of the following exception:\n\n"
    wrapped = f"{TRACEBACK}{cause}{above}{TRACEBACK}acme.Outer: loading failed{above}{TRACEBACK}RuntimeError: worker 0 failed"
    engine = "\n".join(ENGINE + line for line in f"{saved}\n{wrapped}".splitlines())
    starts = "\n".join(f"INFO 11-25 08:50:{i:02} [api_server.py:1] starting, step {i}" for i in range(60))
    return f"{starts}\n{engine}\n{GOODBYE}" + "\n".join(f"Loading step {i}" for i in range(150))


def test_the_innermost_cause_behind_two_wrappers() -> None:
    log = behind_two_wrappers("acme.Misaligned: tensor 7 is askew")
    general = cause_in_log(log, "huggingfaceserver")
    assert general is not None
    assert (general.reason, general.line) == ("engine_start_failed", "acme.Misaligned: tensor 7 is askew")
    assert telling_line(log) == "acme.Misaligned: tensor 7 is askew"
    known = cause_in_log(behind_two_wrappers("ValueError: 4 is larger than the available KV cache memory"), "huggingfaceserver")
    assert known is not None
    assert known.reason == "kv_cache_too_small", "that the cache of model infos was not writable kept it from nothing"
    refused = cause_in_log(behind_two_wrappers("OSError: [Errno 13] Permission denied: '/mnt/models'"), "huggingfaceserver")
    assert refused is not None
    assert (refused.reason, "/mnt/models" in refused.line) == ("cache_not_writable", True)
    told = excerpt(log, telling_line(log))
    assert len(told) == 20
    assert "acme.Misaligned: tensor 7 is askew" in told
    assert not any("model info cache" in line or "/.cache" in line for line in told)


def test_a_failed_pods_log_is_in_the_error() -> None:
    """on_failure="rollback" deletes the pod, and with it the log that the advice speaks of."""
    one, events, log = PLACES["engine"]("tensor 7 is askew")
    trouble = diagnose_pod(one, Observed((one, *events), logs=(PodLog("p", "server", log, True),)), NOW)
    assert trouble is not None
    said = trouble_verdict(trouble, serving=False)
    assert "ValueError: tensor 7 is askew" in said.log
    assert "  ValueError: tensor 7 is askew" in said.report().splitlines()
    assert said.report().startswith(said.text())
    assert "in part" not in said.text(), "what is logged while it is waited for stays short"


@given(
    st.lists(
        st.sampled_from([TRACEBACK, GOODBYE, ENGINE, "thread 'x' panicked at y", "\x1b[31m", "ValueError", "  indented"])
        | st.text()
    )
)
def test_no_log_raises(parts: list[str]) -> None:
    log = "\n".join(parts)
    assert len(telling_line(log)) <= 500
    assert len(excerpt(log)) <= 20
    assert len(without_harmless(log)) <= len(log)
