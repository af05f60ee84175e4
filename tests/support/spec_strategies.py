"""Generated specs for property tests.

``kubeai_specs()`` and ``huggingface_specs()`` make valid specs, every field among them; ``raw_kubeai_specs()`` makes mappings
that may break any rule, for telling our verdict from the API server's.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
"""Anything that JSON can say (and NaN, which Python's reader takes)."""

# Short alphabets and samples: from_regex is slow to draw.
labels = st.text("abz019", min_size=1, max_size=6) | st.sampled_from(["a-b", "tuned-3f9a2c1d"])
_service_names = labels.map("s{}".format)
_variables = st.text("ABZ_", min_size=1, max_size=4)
_words = labels | st.sampled_from(["Org-1.5", "A_b", "x-"])
_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_counts = st.integers(1, 1000)
_quantities = st.sampled_from(["500m", "2", "16Gi", "0.5", "100k"])


def urls(*schemes: str) -> st.SearchStrategy[str]:
    """URLs of the given schemes."""
    return st.builds("{}://{}/{}".format, st.sampled_from(schemes), _words, _words)


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def adapters(*schemes: str) -> st.SearchStrategy[dict[str, Any]]:
    """One adapter, sometimes with what an upload says of it."""
    return st.fixed_dictionaries(
        {"name": labels, "url": urls(*schemes)},
        optional={"digest": st.sampled_from(["0" * 64, "f" * 64]), "rank": _counts, "size": st.integers(0, 2**40)},
    )


def _bounds(low: str, high: str, smallest: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(st.integers(smallest, 20), st.integers(1, 20)).map(lambda p: {low: min(p), high: max(*p, 1)}) | st.just({})


_load_balancing = _optional(
    strategy=st.sampled_from(["LeastLoad", "PrefixHash"]),
    prefix_hash=_optional(mean_load_factor=st.integers(100, 500), replication=_counts, prefix_char_length=_counts),
)
_scaling = st.builds(
    lambda bounds, rest: {**bounds, **rest},
    _bounds("min_replicas", "max_replicas", 0),
    _optional(
        replicas=_counts,
        autoscaling_disabled=st.booleans(),
        target_requests=_counts,
        scale_down_delay_seconds=st.integers(0, 10**6),
        load_balancing=_load_balancing,
    ),
)
_files = st.lists(
    st.fixed_dictionaries({"path": labels.map("/etc/{}".format), "content": _texts}),
    max_size=4,
    unique_by=lambda f: f["path"],
)
_kubeai_optional = {
    "model_name": _words.filter(lambda w: any(c.isalnum() for c in w)),
    "image": _words,
    "profile": labels,
    "processors": _counts,
    "args": st.lists(_texts, max_size=3),
    "env": st.dictionaries(_variables, _texts, max_size=3),
    "files": _files,
    "secrets": st.lists(labels, max_size=3, unique=True),
    "priority_class": labels,
    "scaling": _scaling,
}


@st.composite
def kubeai_mappings(draw: st.DrawFn) -> dict[str, Any]:
    """A valid ``kubeai-text`` spec as a user writes it: also legal for KubeAI itself, but for what vLLM allows of LoRA."""
    engine, schemes = draw(
        st.sampled_from([("VLLM", ("hf", "s3", "pvc")), ("OLlama", ("ollama",)), ("Infinity", ("hf",)), ("SGLang", ("hf",))])
    )
    spec: dict[str, Any] = draw(st.fixed_dictionaries({"url": urls(*schemes)}, optional=_kubeai_optional))
    spec["engine"] = draw(st.sampled_from([engine, engine.lower(), engine.upper()])) if engine != "SGLang" else engine
    features = ["TextEmbedding", "Reranking"] if engine == "Infinity" else ["TextGeneration", "TextEmbedding", "Reranking"]
    spec["features"] = draw(st.lists(st.sampled_from(features), min_size=1, max_size=3))
    if engine == "VLLM":
        spec["adapters"] = draw(st.lists(adapters("hf", "s3", "gs"), max_size=3, unique_by=lambda a: a["name"]))
    if not spec["url"].startswith(("pvc", "ollama")) and draw(st.booleans()):
        spec["cache_profile"] = draw(labels)
    return spec


def kubeai_specs() -> st.SearchStrategy[KubeAIText]:
    """Valid ``kubeai-text`` specs."""
    return kubeai_mappings().map(KubeAIText.parse)


def raw_kubeai_specs() -> st.SearchStrategy[dict[str, Any]]:
    """Mappings of ``kubeai-text`` fields that may break any rule of ours or of KubeAI's."""
    small = st.integers(-2, 5)
    wild_adapters = st.lists(
        st.fixed_dictionaries(
            {"name": labels | st.sampled_from(["a", "-a", "a-", "A", "a_b", "a" * 64]), "url": urls("hf", "s3", "pvc", "file")}
        ),
        max_size=3,
    )
    wild_files = st.lists(
        st.fixed_dictionaries(
            {
                "path": st.sampled_from(["/a", "/b", "a", "/a:b", "/" + "x" * 1024]),
                "content": st.sampled_from(["", "x" * 100_001]),
            }
        ),
        max_size=12,
    )
    wild_scaling = _optional(
        replicas=small,
        min_replicas=small,
        max_replicas=small,
        autoscaling_disabled=st.booleans(),
        target_requests=small,
        scale_down_delay_seconds=small,
        load_balancing=_optional(
            strategy=st.sampled_from(["LeastLoad", "PrefixHash", "RoundRobin"]),
            prefix_hash=_optional(mean_load_factor=st.integers(98, 102), replication=small, prefix_char_length=small),
        ),
    )
    return st.fixed_dictionaries(
        {"url": urls("hf", "pvc", "ollama", "s3", "gs", "oss", "file", "http")},
        optional={
            **_kubeai_optional,
            "model_name": st.sampled_from(["m", "a" * 40, "a" * 41, "A.b", "-"]),
            "engine": st.sampled_from(["VLLM", "OLlama", "Infinity", "FasterWhisper", "vllm", "SGLang", "VLM"]),
            "features": st.lists(
                st.sampled_from(["TextGeneration", "TextEmbedding", "Reranking", "SpeechToText", "Other"]), max_size=3
            ),
            "adapters": wild_adapters,
            "files": wild_files,
            "cache_profile": labels,
            "scaling": wild_scaling,
        },
    )


_volumes = st.lists(
    st.one_of(
        *(
            st.fixed_dictionaries(
                {
                    "volume_type": st.just(kind),
                    "name": labels,
                    "mount_path": labels.map("/mnt/{}".format),
                    "spec": spec,
                }
            )
            for kind, spec in (
                (
                    "persistent_volume_claim",
                    st.fixed_dictionaries({"size": _quantities}) | st.fixed_dictionaries({"claim_name": labels}),
                ),
                ("empty_dir", _optional(sizeLimit=_quantities)),
                ("ephemeral", _optional(size=_quantities, storage_class=labels)),
                ("shared_volume", _optional(claimName=labels, subPath=_words)),
                ("image", st.fixed_dictionaries({"image": _words})),
            )
        )
    ),
    max_size=3,
    unique_by=(lambda v: v["name"], lambda v: v["mount_path"]),
)
_huggingface_optional = {
    "model_name": _words,
    "image": _words,
    "huggingface_task": st.sampled_from(["text_generation", "TEXT_EMBEDDING", "fill_mask"]),
    "backend": st.sampled_from(["auto", "HUGGINGFACE"]),
    "dtype": st.sampled_from(["float16", "AUTO", "Half"]),
    "max_length": _counts,
    "tokenizer_revision": _words,
    "disable_lower_case": st.booleans(),
    "disable_special_tokens": st.booleans(),
    "trust_remote_code": st.booleans(),
    "tensor_input_names": st.lists(_words, max_size=2),
    "return_token_type_ids": st.booleans(),
    "return_probabilities": st.booleans(),
    "disable_log_requests": st.booleans(),
    "max_log_len": st.integers(0, 1000),
    "args": st.lists(_texts, max_size=3),
    "volumes": _volumes,
    "resources": _optional(cpu=_quantities | _counts, mem=_quantities, gpu=st.integers(0, 8), disk=_quantities),
    "envs": st.dictionaries(_variables, _texts, max_size=3),
    "secrets": st.lists(labels, max_size=3),
    "profile": _words,
    "node_selector": st.dictionaries(labels, labels, max_size=2),
    "tolerations": st.lists(st.fixed_dictionaries({"key": labels, "operator": st.just("Exists")}), max_size=2),
    "affinity": st.just({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}),
    "runtime_class": labels,
    "priority_class": labels,
    "startup_seconds": _counts,
    "service_account": labels,
    "registry_secret": labels,
    "storage_secret": labels,
}


@st.composite
def huggingface_mappings(draw: st.DrawFn) -> dict[str, Any]:
    """A valid ``huggingfaceserve`` spec as a user writes it."""
    spec = draw(st.fixed_dictionaries({"path": urls("hf", "huggingface", "s3", "gs", "https")}, optional=_huggingface_optional))
    if draw(st.booleans()):
        more = _optional(
            replicas=_counts,
            strategy=st.sampled_from(["surge", "in_place", "Recreate"]),
            service_type=st.sampled_from(["ClusterIP", "nodeport", "LoadBalancer"]),
            service_name=_service_names,
        )
        return {**spec, **draw(more)}
    spec["runtime"] = "inferenceservice"
    spec |= draw(_bounds("min_replicas", "max_replicas", 0))
    spec |= draw(_optional(scale_target=_counts, serving_runtime=labels))
    if draw(st.booleans()):
        spec["deployment_mode"] = draw(st.sampled_from(["Knative", "serverless"]))
        return spec | draw(
            _optional(canary_traffic_percent=st.integers(0, 100), scale_metric=st.sampled_from(["concurrency", "rps"]))
        )
    return spec | draw(_optional(deployment_mode=st.sampled_from(["Standard", "RawDeployment"]), scale_metric=st.just("cpu")))


def huggingface_specs() -> st.SearchStrategy[HuggingFaceServe]:
    """Valid ``huggingfaceserve`` specs."""
    return huggingface_mappings().map(HuggingFaceServe.parse)
