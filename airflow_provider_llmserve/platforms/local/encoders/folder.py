"""A model's folder as transformers saves it: brought here, and checked before anything is started."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_llmserve.adapters.base_model import canonical
from airflow_provider_llmserve.adapters.safetensors import PREFIX, header_length, parse_header
from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.platforms.local.plan import EncoderSpec, LocalFile
from airflow_provider_llmserve.platforms.local.sources import Unfit, fetch

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"

_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
_FILES = (
    CONFIG, "model*.safetensors", INDEX, *_TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "merges.txt",
)  # fmt: skip
_PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
_TRUSTED = ("*.py", *_PICKLES)

_HEADS: Mapping[str, str] = {
    "ForSequenceClassification": "sequence_classification",
    "ForTokenClassification": "token_classification",
    "ForMaskedLM": "fill_mask",
}
_LIMITS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_sequence_length",
    "max_seq_length", "seq_len",
)  # fmt: skip
"""Where a config says how long a text may be: huggingfaceserver's list (kserve v0.20, ``_get_and_verify_max_len``)."""


def names_gguf(source: str) -> bool:
    """Whether ``source`` (already resolved) is llama.cpp's:
    a GGUF by its name, or a local folder with one and no model beside it."""
    parts = urlsplit(source)
    named = parse_qs(parts.query).get("file", [parts.path])[0]
    if named.endswith(".gguf"):
        return True
    if parts.scheme not in ("", "file"):
        return False
    folder = Path(parts.path).expanduser()
    return any(folder.glob("*.gguf")) and not (folder / CONFIG).exists()


def model_folder(source: str, *, cache: Path, trust_remote_code: bool) -> Path:
    """The folder that ``source`` (already resolved) names, downloaded where need be.
    Code and pickles are fetched only where trusted.

    Raises :class:`Unfit`.
    """
    patterns = (*_FILES, *_TRUSTED) if trust_remote_code else _FILES
    if urlsplit(source).scheme.lower() in ("hf", "huggingface"):
        return _from_hub(source, patterns)
    path = fetch(source, cache=cache, wanted=lambda name: any(fnmatchcase(name, p) for p in patterns))
    if not path.is_dir():
        raise Unfit(f"{source} is a file; a model's folder is wanted here, as save_pretrained writes it ({CONFIG}, {WEIGHTS}, …)")
    return path


def local_folder(folder: Path) -> LocalFile:
    """``folder`` with a mark that changes when one of its files is replaced."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    return LocalFile(path=str(folder), mark=digest([[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files])[:24])


def findings(folder: Path, encoder: EncoderSpec) -> list[str]:
    """What makes the folder unfit for the task, each with its remedy."""
    names = {p.name for p in folder.iterdir() if p.is_file()}
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        if not isinstance(config, dict):
            raise ValueError("no object")
    except FileNotFoundError:
        return [f"{folder} has no {CONFIG}: save the model with save_pretrained, or name the folder that holds it"]
    except ValueError as e:
        return [f"{folder / CONFIG} cannot be read: {e}"]
    return [
        *_architecture(config, encoder),
        *_weights(folder, names, trusted=encoder.trust_remote_code),
        *_tokenizer(folder, names),
        *_length(config, encoder),
    ]


def own_limit(config: Mapping[str, Any]) -> int | None:
    """The longest text in tokens that the model itself allows, None where its config does not say."""
    found = [config[key] for key in _LIMITS if isinstance(config.get(key), int)]
    return min(found, default=None)


def _architecture(config: Mapping[str, Any], encoder: EncoderSpec) -> Iterator[str]:
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else None
    if encoder.task != "text_embedding":
        does = next((task for end, task in _HEADS.items() if str(architecture).endswith(end)), None)
        if does != encoder.task:
            what = f"a {architecture}, which does {does}" if does else f"a {architecture}" if architecture else "of no named kind"
            wanted = next(end for end, task in _HEADS.items() if task == encoder.task)
            yield (
                f"{CONFIG}: the model is {what}; huggingface_task {encoder.task} needs one whose architecture ends in {wanted}: "
                "any other would answer by a head of random weights"
            )
    if config.get("auto_map") and not encoder.trust_remote_code:
        yield f"{CONFIG}: the model brings code of its own (auto_map); set trust_remote_code to run it, if you trust it"


def _weights(folder: Path, names: set[str], *, trusted: bool) -> Iterator[str]:
    if WEIGHTS in names:
        yield from _whole(folder / WEIGHTS)
    elif INDEX in names:
        try:
            shards = sorted(set(json.loads((folder / INDEX).read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as e:
            yield f"{INDEX} cannot be read: {e!r}"
            return
        for shard in shards:
            if shard in names:
                yield from _whole(folder / shard)
            else:
                yield f"{shard} is missing, which {INDEX} names"
    elif pickles := sorted(n for n in names if fnmatchcase(n, _PICKLES[0])):
        if not trusted:
            yield (
                f"{pickles[0]} is a pickle, which can run code when it is loaded: save the model as safetensors "
                "(save_pretrained does), or set trust_remote_code, if you trust it"
            )
    else:
        yield f"{folder} has no weights ({WEIGHTS}); a repository of pickles alone needs trust_remote_code, if you trust it"


def _whole(path: Path) -> Iterator[str]:
    try:
        size = path.stat().st_size
        with path.open("rb") as f:
            prefix = f.read(PREFIX)
            parse_header(f.read(header_length(prefix, size)), size)
    except BadInput as e:
        yield from (f"{path.name}: {one}" for one in e.findings)


def _tokenizer(folder: Path, names: set[str]) -> Iterator[str]:
    if names.isdisjoint(_TOKENIZERS):
        yield f"{folder} has no tokenizer ({_TOKENIZERS[0]}): save it into the same folder (tokenizer.save_pretrained)"


def _length(config: Mapping[str, Any], encoder: EncoderSpec) -> Iterator[str]:
    limit = own_limit(config)
    if encoder.max_length is not None and limit is not None and encoder.max_length > limit:
        yield f"max_length {encoder.max_length} is more than the model's own {limit}; leave it out or lower it"


def _from_hub(source: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, revision = canonical(source).partition("?")[0].partition(":")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(patterns)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as e:
        words = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise Unfit(f"hf://{repository} cannot be fetched: {words}") from e
