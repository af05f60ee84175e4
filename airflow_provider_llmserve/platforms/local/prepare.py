"""From a spec to a plan: every file found, checked and (an adapter) converted. Nothing is started here."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_llmserve.adapters.base_model import same_base
from airflow_provider_llmserve.adapters.checks import Adapter as AdapterContent
from airflow_provider_llmserve.adapters.checks import check
from airflow_provider_llmserve.adapters.peft import CONFIG, WEIGHTS, base_of, folder_findings, parse_config
from airflow_provider_llmserve.errors import BadInput, MissingExtra
from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.platforms.local.encoders.folder import findings as folder_contents
from airflow_provider_llmserve.platforms.local.encoders.folder import local_folder, model_folder, names_gguf
from airflow_provider_llmserve.platforms.local.gguf_file import Header, NotWhole, read_header
from airflow_provider_llmserve.platforms.local.lora import convert, misfits, read_tensors
from airflow_provider_llmserve.platforms.local.paths import StateDir
from airflow_provider_llmserve.platforms.local.plan import (
    ENCODER_TASKS,
    TEXT_TASKS,
    EncoderTask,
    LocalAdapter,
    LocalPlan,
    encoder_findings,
    encoder_of,
    plan,
)
from airflow_provider_llmserve.platforms.local.sources import Unfit, adapter_files, local_file, model_file, resolve
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import Adapter, HuggingFaceServe, KubeAIText, ServeSpec

REQUIRED = ("xllamacpp", "aiohttp", "gguf", "numpy")
"""Modules of the ``local`` extra."""
REQUIRED_BY_ENCODERS = ("torch", "transformers", "aiohttp")
"""Modules of the ``local-hf`` extra."""


@dataclass
class Prepared:
    """A plan, or the findings that stand against it."""

    plan: LocalPlan | None = None
    findings: list[str] = field(default_factory=list)


def prepare(spec: ServeSpec, name: str, settings: Settings, dirs: StateDir) -> Prepared:
    """Fetch, check and convert whatever ``spec`` names. Blocks. Raises :class:`MissingExtra`."""
    if isinstance(spec, HuggingFaceServe) and (task := _encoder_task(spec, settings)):
        return _prepare_encoder(spec, task, name, settings, dirs)
    _require(REQUIRED, "the local platform", "local")
    result = Prepared(findings=_not_here(spec))
    if result.findings:
        return result
    dirs.make()
    url = spec.url if isinstance(spec, KubeAIText) else spec.path  # type: ignore[attr-defined]
    try:
        model = model_file(resolve(url, settings.models), cache=dirs.cache)
        header = _model_header(model)
    except Unfit as e:
        result.findings.append(str(e))
        return result
    adapters = []
    for adapter in spec.adapters if isinstance(spec, KubeAIText) else ():
        try:
            adapters.append(_adapter(adapter, url, header, settings, dirs))
        except Unfit as e:
            result.findings.append(f"adapter {adapter.name}: {e}")
        except BadInput as e:
            result.findings += [f"adapter {adapter.name}: {f}" for f in e.findings]
    if not result.findings:
        result.plan = plan(spec, name, model=local_file(model), adapters=tuple(adapters), threads=settings.threads)
    return result


def _require(modules: Sequence[str], what: str, extra: str) -> None:
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise MissingExtra(f"{what} ({', '.join(missing)} not installed)", extra)


def _encoder_task(spec: HuggingFaceServe, settings: Settings) -> EncoderTask | None:
    """The task that transformers serves; None where llama.cpp does: text, and embeddings where the model is a GGUF."""
    task = next((t for t in ENCODER_TASKS if t == spec.huggingface_task), None)
    return None if task == "text_embedding" and names_gguf(resolve(spec.path, settings.models)) else task


def _prepare_encoder(spec: HuggingFaceServe, task: EncoderTask, name: str, settings: Settings, dirs: StateDir) -> Prepared:
    _require(REQUIRED_BY_ENCODERS, f"huggingface_task {task} on the local platform", "local-hf")
    encoder = encoder_of(spec, task)
    result = Prepared(findings=encoder_findings(spec, task))
    dirs.make()
    try:
        source = resolve(spec.path, settings.models)
        folder = model_folder(source, cache=dirs.cache, trust_remote_code=spec.trust_remote_code)
        result.findings += folder_contents(folder, encoder)
    except Unfit as e:
        result.findings.append(str(e))
    if not result.findings:
        result.plan = plan(spec, name, model=local_folder(folder), encoder=encoder, threads=settings.threads)
    return result


def _not_here(spec: ServeSpec) -> list[str]:
    """What the local platform cannot serve at all."""
    if isinstance(spec, HuggingFaceServe) and (spec.huggingface_task or "text_generation") not in TEXT_TASKS:
        served = ", ".join(dict.fromkeys((*TEXT_TASKS, *ENCODER_TASKS)))
        return [f"huggingface_task {spec.huggingface_task} is not served locally ({served} are); use the kubernetes platform"]
    if isinstance(spec, KubeAIText) and "Reranking" in spec.features:
        return ["feature Reranking is not served locally; use the kubernetes platform, or leave it out"]
    return []


def _model_header(path: Path) -> Header:
    try:
        header = read_header(path)
    except NotWhole as e:
        raise Unfit(f"{path}: {e}") from None
    except OSError as e:
        raise Unfit(f"{path}: {e.strerror or e}") from None
    if header.kind != "model" or not header.shapes:
        raise Unfit(f"{path}: a GGUF of type {header.kind!r} with {len(header.shapes)} tensors is no model")
    return header


def _adapter(adapter: Adapter, base_url: str, base: Header, settings: Settings, dirs: StateDir) -> LocalAdapter:
    path = adapter_files(resolve(adapter.url, settings.models), cache=dirs.cache)
    if path.is_file():
        path = _gguf_adapter(path, base)
        found = local_file(path)
    else:
        found = local_file(_converted(path, base_url, base, dirs))
    return LocalAdapter(name=adapter.name, path=found.path, mark=found.mark)


def _gguf_adapter(path: Path, base: Header) -> Path:
    try:
        header = read_header(path)
    except NotWhole as e:
        raise Unfit(f"{path}: {e}") from None
    if header.kind != "adapter":
        raise Unfit(f"{path} is a GGUF of type {header.kind!r}, not an adapter")
    if header.architecture != base.architecture:
        raise Unfit(f"{path} adapts architecture {header.architecture!r}, the base model is {base.architecture!r}")
    return path


def _converted(folder: Path, base_url: str, base: Header, dirs: StateDir) -> Path:
    """The GGUF made of a PEFT folder, from the cache where the same content was converted before."""
    names = {p.name for p in folder.iterdir()}
    missing = folder_findings(names)
    if missing:
        raise Unfit("; ".join(missing))
    config_raw = (folder / CONFIG).read_bytes()
    config = parse_config(config_raw)
    raw, tensors = read_tensors(folder / WEIGHTS)
    trained_on = base_of(config)
    hub = base_url.startswith(("hf://", "huggingface://"))
    if trained_on and hub and not same_base(trained_on, base_url.partition("?")[0]):
        raise Unfit(f"was trained on {trained_on}, but {base_url} is served: it would answer nonsense there")
    content = AdapterContent(config=config, tensors=tuple(tensors))
    findings = [*check(content, base_model=trained_on or base_url).errors, *misfits(tensors, base)]
    if findings:
        raise BadInput(str(folder), findings)
    import hashlib

    heads = [base.number("attention.head_count"), base.number("attention.head_count_kv")]
    key = digest([hashlib.sha256(raw).hexdigest(), hashlib.sha256(config_raw).hexdigest(), base.architecture, heads])
    out = dirs.cache / f"lora-{key[:24]}.gguf"
    if not out.exists():
        handle, part = tempfile.mkstemp(dir=dirs.cache, prefix=".part-", suffix=".gguf")
        os.close(handle)
        try:
            convert(raw, tensors, config, base, Path(part))
            os.replace(part, out)
        finally:
            Path(part).unlink(missing_ok=True)
    return out
