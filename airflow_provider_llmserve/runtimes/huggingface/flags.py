"""The command-line flags of ``python -m huggingfaceserver`` by KServe version: facts, read from the ``add_argument`` calls
of the tagged sources of github.com/kserve/kserve (v0.13.1, v0.14.1, v0.15.2, v0.16.0, v0.17.1, v0.18.1, v0.19.0, v0.20.0) and
of the ``kserve`` 0.21.0 wheel.

``MAIN`` is ``python/huggingfaceserver/huggingfaceserver/__main__.py``, ``SERVER`` is ``python/kserve/kserve/model_server.py``.
The server drops a flag that it does not know without a word (``parse_known_args``),
so a flag that is not in its row is never sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_llmserve.runtimes.huggingface.path import hub_model, hub_revision, model_dir

Version = tuple[int, int]

VERSIONS: tuple[Version, ...] = ((0, 13), (0, 14), (0, 15), (0, 16), (0, 17), (0, 18), (0, 19), (0, 20), (0, 21))
"""Versions whose flags are known."""

NEWEST_TAG: dict[Version, str] = {
    (0, 13): "v0.13.1",
    (0, 14): "v0.14.1",
    (0, 15): "v0.15.2",
    (0, 16): "v0.16.0",
    (0, 17): "v0.17.1",
    (0, 18): "v0.18.1",
    (0, 19): "v0.19.0",
    (0, 20): "v0.20.0",
}
"""The newest published image tag of each version."""

MAIN = "python/huggingfaceserver/huggingfaceserver/__main__.py"
SERVER = "python/kserve/kserve/model_server.py"
VLLM = "vllm/engine/arg_utils.py"


@dataclass(frozen=True)
class Flag:
    """One flag. ``since`` is the first version that acts on it, ``backend`` the one that does where the other ignores it.

    A row with a ``field`` sends it: a new field of a spec that becomes a flag is the field and its row here, and a flag of vLLM's
    own says ``backend="vllm"``. ``also`` are other spellings of the same setting, on any backend that takes them; a conflict
    between two of them is one.
    """

    name: str
    since: Version = VERSIONS[0]
    until: Version = VERSIONS[-1]
    backend: Literal["any", "huggingface", "vllm"] = "any"
    switch: bool = False
    field: str = ""
    """The field of our spec that sets it."""
    value: Callable[[Any], str | None] = str
    """What is sent of the field's value, where it is no switch; None or empty: nothing."""
    only_if_chosen: bool = False
    """Sent where its backend is sure to serve, and left out elsewhere without a finding: the field says more than the flag."""
    newer: str = ""
    """The flag of newer versions for the same setting, a row below, which is sent in its place where the version knows it."""
    also: tuple[str, ...] = ()
    source: str = MAIN

    def known_in(self, version: Version) -> bool:
        """Whether huggingfaceserver of that version takes it."""
        return self.since <= version <= self.until

    def sends(self, given: Any) -> bool:
        """Whether a field with this value makes the flag appear: 0 does, nothing and a switch that is off do not."""
        return given is not None and given is not False and (self.switch or bool(self.value(given)))


# One row a line, in the order of the command line.
# fmt: off
FLAGS: tuple[Flag, ...] = (
    Flag("model_name", field="model_name", source=SERVER),
    Flag("model_id", field="path", value=hub_model),
    Flag("model_revision", field="path", value=hub_revision, also=("revision",)),
    Flag("model_dir", field="path", value=model_dir),
    Flag("backend", field="backend"),
    # Registered only where the HuggingFace backend was chosen, from 0.15 on; before, vLLM's own --task clashed (#4076).
    Flag("task", backend="huggingface", field="huggingface_task", only_if_chosen=True),
    Flag("dtype", field="dtype", value=str.lower),
    # Still an alias of max_model_len in 0.20 ("to be deprecated").
    Flag("max_length", field="max_length", newer="max_model_len"),
    Flag("max_model_len", since=(0, 14), field="max_length", also=("max-model-len",)),
    Flag("tokenizer_revision", field="tokenizer_revision", also=("tokenizer-revision",)),
    Flag("trust_remote_code", switch=True, field="trust_remote_code", also=("trust-remote-code",)),
    Flag("disable_lower_case", backend="huggingface", switch=True, field="disable_lower_case"),
    Flag("disable_special_tokens", backend="huggingface", switch=True, field="disable_special_tokens"),
    Flag("tensor_input_names", backend="huggingface", field="tensor_input_names", value=",".join),
    Flag("return_token_type_ids", backend="huggingface", switch=True, field="return_token_type_ids"),
    # Parsed but not passed to the model before 0.15 (#3958).
    Flag("return_probabilities", since=(0, 15), backend="huggingface", switch=True, field="return_probabilities"),
    Flag("disable_log_requests", since=(0, 14), switch=True, field="disable_log_requests"),
    # The HuggingFace backend takes both spellings, vLLM the one with dashes.
    Flag("max-log-len", since=(0, 14), field="max_log_len", also=("max_log_len",)),

    Flag("return_raw_logits", since=(0, 16), backend="huggingface", switch=True),
    Flag("return_offsets_mapping", since=(0, 18), backend="huggingface", switch=True),
    Flag("http_port", source=SERVER),
    Flag("grpc_port", source=SERVER),
    Flag("workers", source=SERVER),
    Flag("max_threads", source=SERVER),
    Flag("max_asyncio_workers", source=SERVER),
    Flag("enable_grpc", source=SERVER),
    Flag("enable_docs_url", source=SERVER),
    Flag("enable_latency_logging", source=SERVER),
    Flag("configure_logging", source=SERVER),
    Flag("log_config_file", source=SERVER),
    Flag("access_log_format", source=SERVER),
    Flag("event-loop", since=(0, 17), source=SERVER),
    Flag("timeout-keep-alive", since=(0, 18), source=SERVER),
    Flag("predictor_host", source=SERVER),
    Flag("protocol", source=SERVER),
    Flag("predictor_protocol", source=SERVER),
    Flag("predictor_use_ssl", source=SERVER),
    Flag("predictor_request_timeout_seconds", source=SERVER),
    Flag("predictor_request_retries", since=(0, 15), source=SERVER),
    Flag("enable_predictor_health_check", since=(0, 15), switch=True, source=SERVER),
    Flag("grpc_max_send_message_length", since=(0, 14), source=SERVER),
    Flag("grpc_max_receive_message_length", since=(0, 14), source=SERVER),
    Flag("ssl_certfile", since=(0, 21), source=SERVER),
    Flag("ssl_keyfile", since=(0, 21), source=SERVER),
)
# fmt: on

TASKS: dict[str, Version] = {
    "sequence_classification": (0, 13),
    "token_classification": (0, 13),
    "fill_mask": (0, 13),
    "text_generation": (0, 13),
    "text2text_generation": (0, 13),
    "text_embedding": (0, 14),
}
"""Tasks of a spec, and the first version that does (``huggingfaceserver/task.py``)."""

PREDICT_TASKS = frozenset({"sequence_classification", "token_classification", "fill_mask"})
"""Tasks that only the HuggingFace backend answers: vLLM may be chosen by ``auto`` and then answers 500 to every predict."""

REFUSED: dict[str, str] = {
    "http_port": "the probes and the Service expect port 8080; leave it out",
    "grpc_port": "the Service expects port 8081; leave it out",
    "workers": "several workers neither serve nor exit with a generative model; use replicas",
    "ssl_certfile": "the server would listen on 8443, where nothing looks for it; end TLS in front of the Service",
    "ssl_keyfile": "the server would listen on 8443, where nothing looks for it; end TLS in front of the Service",
    "model": 'the server takes it for an abbreviation of four flags and exits; set the field "path"',
    "served_model_name": 'set the field "model_name"',
    "enable_lora": "HuggingFace-serve serves no adapters; deploy them with KubeAI-text",
    "lora_modules": "HuggingFace-serve serves no adapters; deploy them with KubeAI-text",
}
"""Flags that would break the serving run, by their name with underscores, with what to do instead."""
