"""The command line of huggingfaceserver that fits a spec and the version of the image.

The server drops flags that it does not know, turns a switch on whatever value follows it, and lets ``auto`` choose a backend that
answers 500 to predictions; so every flag is checked here against the table of ``huggingface_cli_flags``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from airflow_provider_llmserve.runtimes.huggingface.flags import (
    FLAGS,
    PREDICT_TASKS,
    REFUSED,
    TASKS,
    VERSIONS,
    Flag,
    Version,
)
from airflow_provider_llmserve.specs import HuggingFaceServe


class CommandLine(NamedTuple):
    """``findings`` are reasons not to deploy; ``warnings`` are worth a line in the log."""

    args: list[str]
    warnings: list[str]
    findings: list[str]


class _Word(NamedTuple):
    """One flag of the user's ``args`` with its value (None: none given), and the tokens it came as; a stray word has no name."""

    name: str
    value: str | None
    tokens: tuple[str, ...]


def image_version(image: str) -> Version | None:
    """KServe's version in an image's tag (``v0.15.2-gpu`` is ``(0, 15)``), or None where the tag says none."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    match = re.match(r"v?(\d+)\.(\d+)(\.|-|$)", tag)
    return (int(match[1]), int(match[2])) if match else None


def backend_of(spec: HuggingFaceServe) -> str:
    """``auto``, ``huggingface`` or ``vllm``: as the spec says, and ``huggingface`` for tasks that only it can do."""
    asked = (spec.backend or "auto").lower()
    if asked == "auto" and spec.huggingface_task in (*PREDICT_TASKS, "text_embedding"):
        return "huggingface"
    return asked


def command_line(spec: HuggingFaceServe, version: Version | None) -> CommandLine:
    """The arguments of ``python -m huggingfaceserver`` for an image of ``version`` (None: its tag says none)."""
    warnings: list[str] = []
    row = _row(version, warnings)
    backend = backend_of(spec)
    findings = list(_bad_task(spec, row))
    words = _typed(spec, backend, row, findings, warnings)
    typed = {_setting(name): (name, value) for name, value in words}
    args = [_join(name, value) for name, value in words]
    for word in _parse(spec.args):
        problem = _bad_word(word, backend, row, typed, warnings)
        if problem:
            findings.append(f"args: {problem}")
        elif _setting(word.name) not in typed:
            args += word.tokens
    warnings += _lower_case(spec, backend)
    return CommandLine(args, warnings, findings)


def _row(version: Version | None, warnings: list[str]) -> Version:
    if version is not None and version in VERSIONS:
        return version
    row = VERSIONS[0] if version is not None and version < VERSIONS[0] else VERSIONS[-1]
    said = "says no KServe version" if version is None else f"is of KServe {_text(version)}, which is not known here"
    warnings.append(f"the image's tag {said}; its command line is written as for KServe {_text(row)}")
    return row


def _bad_task(spec: HuggingFaceServe, version: Version) -> Iterator[str]:
    task = spec.huggingface_task
    if task is not None and version < TASKS[task]:
        yield f"huggingface_task {task!r}: KServe {_text(version)} has no server for it; use an image of v{_text(TASKS[task])} or later"


def _typed(
    spec: HuggingFaceServe, backend: str, version: Version, findings: list[str], warnings: list[str]
) -> list[tuple[str, str | None]]:
    """Name and value (None: a switch) of every flag that the spec's own fields set, in the order of the table."""
    given = {**dict(spec), "backend": backend}
    words: list[tuple[str, str | None]] = []
    for flag in _rows_of_fields(version):
        value = given[flag.field]
        if not flag.sends(value):
            continue
        if flag.only_if_chosen and backend != flag.backend:
            continue
        problem = _unfit(flag, backend, version)
        if problem:
            findings.append(f"{flag.field}: {problem}")
        else:
            words.append((flag.name, None if flag.switch else flag.value(value)))
            if _unsure(flag, backend):
                warnings.append(f"{flag.field}: {_vllms(flag.name)}")
    return words


def _rows_of_fields(version: Version) -> Iterable[Flag]:
    """The rows that fields set: of several for one setting the last that the version knows."""
    rows: dict[str, Flag] = {}
    for flag in FLAGS:
        if flag.field and (flag.known_in(version) or _setting(flag.name) not in rows):
            rows[_setting(flag.name)] = flag
    return rows.values()


def _unfit(flag: Flag, backend: str, version: Version) -> str:
    if not flag.known_in(version):
        where = f"from v{_text(flag.since)} on" if version < flag.since else f"up to v{_text(flag.until)}"
        return f"KServe {_text(version)} ignores --{flag.name}; it works {where}: use such an image"
    if flag.backend == "huggingface" and backend == "vllm":
        return (
            f"--{flag.name} is a flag of the HuggingFace backend, and backend is VLLM; set backend HUGGINGFACE, or leave it out"
        )
    if flag.backend == "vllm" and backend == "huggingface":
        return f"--{flag.name} is a flag of vLLM, and the HuggingFace backend ignores it; set backend VLLM, or leave it out"
    return ""


def _unsure(flag: Flag, backend: str) -> bool:
    """The flag is vLLM's alone, and the server chooses the backend."""
    return flag.backend == "vllm" and backend == "auto"


def _vllms(name: str) -> str:
    return f"--{name} is vLLM's; should the server choose the HuggingFace backend, it ignores it (set backend VLLM)"


def _parse(args: Sequence[str]) -> Iterator[_Word]:
    """The user's arguments as flags with values.
    A word after ``--flag`` is its value unless it is a flag itself or the flag a switch."""
    i = 0
    while i < len(args):
        token = args[i]
        i += 1
        if not token.startswith("--") or token == "--":
            yield _Word("", token, (token,))
            continue
        name, has_value, value = token[2:].partition("=")
        if has_value:
            yield _Word(name, value, (token,))
        elif i < len(args) and not args[i].startswith("--"):
            yield _Word(name, args[i], (token, args[i]))
            i += 1
        else:
            yield _Word(name, None, (token,))


def _bad_word(word: _Word, backend: str, version: Version, typed: dict[str, tuple[str, str | None]], warnings: list[str]) -> str:
    if not word.name:
        return f"stray word {word.value!r}: it belongs to no flag, and the server would drop it"
    plain = word.name.replace("-", "_")
    if plain in REFUSED:
        return f"--{word.name}: {REFUSED[plain]}"
    standing = typed.get(_setting(word.name))
    flag = _known(word.name)
    if standing is not None:
        owner = flag.field if flag else ""
        if standing[1] != word.value:
            return (
                f"--{word.name} says {_said(word.value)}, and the spec's {owner or standing[0]} makes it {_said(standing[1])}; "
                f"set the field {owner or standing[0]} alone"
            )
        return ""
    if flag is not None and (word.name == flag.name or word.name in flag.also):
        return _bad_known(word, flag, backend, version, warnings)
    return _bad_unknown(word, flag, backend, warnings)


def _bad_known(word: _Word, flag: Flag, backend: str, version: Version, warnings: list[str]) -> str:
    if flag.field in ("path", "backend", "huggingface_task"):
        return f'--{word.name}: set the field "{flag.field}"'
    if flag.switch and word.value is not None:
        return f"--{word.name} {word.value}: a switch takes no value, and {word.value!r} would turn it on; pass it alone or leave it out"
    if not flag.switch and word.value is None:
        return f"--{word.name} needs a value"
    if word.name != flag.name and "-" in word.name and backend == "huggingface":
        return f"--{word.name}: the HuggingFace backend ignores this spelling; write --{flag.name}"
    if word.name == "max_log_len" and backend != "huggingface":
        return "--max_log_len: vLLM ignores this spelling; write --max-log-len"
    if _unsure(flag, backend):
        warnings.append(f"args: {_vllms(word.name)}")
    return _unfit(flag, backend, version)


def _bad_unknown(word: _Word, flag: Flag | None, backend: str, warnings: list[str]) -> str:
    """A flag that is not KServe's in this spelling: vLLM's own, where vLLM may be the backend."""
    if flag is not None and backend != "vllm":
        return f"--{word.name}: the server ignores this spelling; write --{flag.name}"
    if backend == "huggingface":
        return f"--{word.name}: the HuggingFace backend does not know it and would ignore it (a flag of vLLM?); leave it out"
    if "_" in word.name:
        return f"--{word.name}: neither KServe nor vLLM takes it, and it would be ignored; vLLM's flags have dashes: --{word.name.replace('_', '-')}"
    if backend == "auto":
        warnings.append(f"args: {_vllms(word.name)}")
    if word.name == "tensor-parallel-size":
        warnings.append("args: --tensor-parallel-size has no effect: the server uses all GPUs of the pod")
    return ""


def _lower_case(spec: HuggingFaceServe, backend: str) -> list[str]:
    told = spec.disable_lower_case is not None or "uncased" in spec.path.lower()
    if told or backend != "huggingface" or spec.huggingface_task not in (*PREDICT_TASKS, "text_embedding"):
        return []
    return [
        "the server lower-cases every text before tokenising, also for a cased model, which then answers wrongly; "
        "set disable_lower_case: true for a cased model, false to say that it is uncased"
    ]


def _known(name: str) -> Flag | None:
    """The table's flag of that name in any spelling."""
    plain = name.replace("-", "_")
    exact = next((f for f in FLAGS if f.name == name), None)
    return exact or next((f for f in FLAGS if plain in (s.replace("-", "_") for s in (f.name, *f.also))), None)


def _setting(name: str) -> str:
    """One word for all spellings of a setting."""
    flag = _known(name)
    return (flag.newer or flag.name if flag else name).replace("-", "_")


def _join(name: str, value: str | None) -> str:
    return f"--{name}" if value is None else f"--{name}={value}"


def _said(value: str | None) -> str:
    return "on" if value is None else repr(value)


def _text(version: Version) -> str:
    return ".".join(map(str, version))
