"""Lines of a container's log: without their prefixes, and which of them tells why the program ended.

The last line is seldom that one: vLLM ends with the exception of the process that waited for the failed one, Python's
multiprocessing with warnings about leaked objects, uvicorn with its goodbye.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

LONGEST = 500
"""Characters of a quoted line."""
EXCERPT = 20
"""Lines of an excerpt."""
EXCERPT_LINE = 300
"""Characters of each of them."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PREFIX = re.compile(
    r"^(\([\w-]+ pid=\d+\) )?"  # vLLM's process
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d+ \d+ [\w.]+ )?"  # KServe: time, process, logger
    r"((DEBUG|INFO|WARNING|ERROR|CRITICAL):? +)?(\d\d-\d\d \d\d:\d\d:\d\d )?(\[[^\]\s]+:\d+\]( |$))?"
)
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(: .+|:)?$")
"""The line under a traceback's frames: a class, and mostly its words."""
_NAMED = re.compile(r"([A-Za-z_]\w*\.)*[A-Z]\w*(Error|Exception)(: .+|:)?$")
"""The same where no traceback stands above it."""
_CRASH = re.compile(
    r"panic: |fatal error: |thread '.*' (\(\d+\) )?panicked at |Fatal Python error: |terminate called |SIG[A-Z]{3,}: "
)
"""Go's, Rust's, C's and the interpreter's own last words."""
_SEVERE = re.compile(
    r"(?<![\w.])(ERROR|CRITICAL|FATAL)\b|(?i:^\s*((fatal )?error|failed|fatal)\b|\blevel=\"?(error|fatal)|\"level\":\s*\"(error|fatal))"
)
_CONSEQUENCE = re.compile(
    r"engine core initialization failed|workerproc initialization failed|see (root cause|stack trace)|EngineDeadError"
    r"|died unexpectedly|EngineCore encountered|^(SystemExit|KeyboardInterrupt|GeneratorExit)\b|CancelledError\b",
    re.IGNORECASE,
)
"""What a program says because another part of it failed."""
_NOISE = re.compile(
    r"resource_tracker|leaked \w+ objects|Warning: |^warnings?\.warn\(|\[shutdown\]|application (startup failed|shutdown)"
    r"|finished server process|shutting down|destroy_process_group|for debugging consider|compile with `torch|^\^+$|^~*\^+~*$"
    r"|^\[rank\d+\]|received signal|^goroutine \d|^\s*note: run with|stack backtrace",
    re.IGNORECASE,
)
_ACCESS = re.compile(r"\"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \S+ HTTP/[\d.]+\"")
"""A request that was served, as uvicorn, KServe and nginx log it: nothing about why the server ended."""
_HARMLESS = re.compile(r"Error (saving|retrieving) model info cache|^Exception ignored in")
"""What stands above the traceback of a fault that the program got over (vLLM: ``model_executor/models/registry.py``)."""
_AGAIN = re.compile(r"retrying in \d", re.IGNORECASE)
"""``Retrying in 8s [Retry 5/5].`` (huggingface_hub): the line before says what of."""
_OF_THE_ABOVE = "The above exception was the direct cause of the following exception"
_FRAME = re.compile(r"^(Traceback \(most recent call last\)|During handling of the above exception|" + _OF_THE_ABOVE + ")")


def without_colours(text: str) -> str:
    """The text without ANSI codes."""
    return _ANSI.sub("", text)


def tidy(line: str) -> str:
    """A log line without ANSI codes and without vLLM's prefix (process, level, time, source)."""
    return _bare(line.strip()).strip()


def last_line(text: str) -> str:
    """The last line of a log that says something, without colours and prefixes, at most 300 characters; empty where all it says
    is which requests were served."""
    lines = [tidy(line) for line in str(text or "").splitlines()]
    return next((line for line in reversed(lines) if line and not _ACCESS.search(line)), "")[:300]


@lru_cache(maxsize=64)
def without_harmless(text: str) -> str:
    """The log without the faults that the program got over, each from its line to the end of its traceback."""
    kept, state = [], ""
    for raw in text.splitlines():
        line = _bare(raw.rstrip())
        begins = line.strip().startswith("Traceback (most recent call last):")
        if _HARMLESS.search(line.strip()):
            state = "said"
        elif state == "said" and begins:
            state = "traceback"
        elif state == "traceback" and line and not line[0].isspace():
            state = "over"
        elif not (state == "traceback" or (state == "over" and line[:1].isspace())):
            state = ""
        if not state:
            kept.append(raw)
    return "\n".join(kept)


@lru_cache(maxsize=64)
def excerpt(text: str, telling: str = "") -> tuple[str, ...]:
    """The lines that a person would look for, in their order, at most EXCERPT: the ``telling`` one, then exceptions, crashes and
    errors, then the last ones. Without frames of tracebacks, prefixes and repetitions."""
    found: dict[str, tuple[int, int]] = {}
    for i, raw in enumerate(without_harmless(str(text or "")).splitlines()):
        bare = _bare(raw.rstrip())
        line = bare.strip()[:EXCERPT_LINE]
        if not _says(line) or bare[0].isspace() or _FRAME.match(line) or line in found:
            continue
        severe = _NAMED.match(line) or _CRASH.match(line) or _SEVERE.search(without_colours(raw))
        found[line] = (0 if telling and telling.startswith(line) else 1 if severe else 2, i)
    best = sorted(found, key=lambda line: (found[line][0], -found[line][1]))[:EXCERPT]
    return tuple(sorted(best, key=lambda line: found[line][1]))


def latest_line(text: str) -> str:
    """What a program that still starts said last, at most EXCERPT_LINE characters: no access line, no frame, no noise. That it
    tries again is said with what it tries."""
    said = [_bare(raw.rstrip()) for raw in str(text or "").splitlines()]
    lines = [line for line in said if _says(line.strip()) and not line[0].isspace() and not _FRAME.match(line)]
    found = lines[-1:]
    if found and _AGAIN.match(found[0]):
        found = lines[-2:]
    return " ".join(line.strip() for line in found)[:EXCERPT_LINE]


def telling_line(text: str) -> str:
    """The line that tells why the program ended: its last exception that neither wraps another nor is the consequence of one,
    else its last crash or error, else the last line that is no noise; at most LONGEST characters, with the lines that continue
    it."""
    lines = without_harmless(str(text or "")).splitlines()
    told = list(_exceptions(lines))
    exceptions = [e for e, _ in told]
    own = [e for e, wraps in told if not wraps and not _CONSEQUENCE.search(e)]
    crashes = [_crash(lines, i) for i, line in enumerate(lines) if _CRASH.match(tidy(line))]
    severe = [tidy(line) for line in lines if _SEVERE.search(without_colours(line)) and _says(tidy(line))]
    quiet = [tidy(line) for line in lines if _says(tidy(line))]
    for found in (own, crashes, [s for s in severe if not _CONSEQUENCE.search(s)], exceptions, severe, quiet):
        if found:
            return found[-1][:LONGEST]
    return last_line(text)


def _bare(line: str) -> str:
    """Without colours and prefix; what the writer indented stays so."""
    return _PREFIX.sub("", without_colours(line), count=1)


def _says(line: str) -> bool:
    return bool(line) and not _NOISE.search(line) and not _ACCESS.search(line)


def _exceptions(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """In their order: the line below each traceback, and lines that look like one; with each, whether it was raised from the one
    before."""
    within, wraps, before = False, False, ""
    for i, raw in enumerate(lines):
        line = _bare(raw.rstrip())
        if line.strip().startswith("Traceback (most recent call last):"):
            within, wraps = True, before.startswith(_OF_THE_ABOVE)
        elif within and line and not line[0].isspace() and _EXCEPTION.match(line):
            yield _continued(line, lines[i + 1 :]), wraps
            within = False
        elif not within and _NAMED.match(line):
            yield _continued(line, lines[i + 1 :]), False
        before = line.strip() or before


def _continued(line: str, rest: list[str]) -> str:
    """With the indented lines below: pydantic says there what is wrong."""
    parts = [line.strip()]
    for raw in rest[:3]:
        more = _bare(raw.rstrip())
        if not more.strip() or not more[0].isspace() or more.strip().startswith(("File ", "Traceback")):
            break
        parts.append(more.strip())
    return " ".join(parts)


def _crash(lines: list[str], at: int) -> str:
    """With the line below where Rust says the words there."""
    said = tidy(lines[at])
    return f"{said} {tidy(lines[at + 1])}" if said.startswith("thread '") and at + 1 < len(lines) else said
