"""One row a fault: what is refused, and what is only said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.adapters import BASE, BASE_CONFIG, CONFIG, HIDDEN, KEYS, PREFIX, lora_tensors

from airflow_provider_llmserve.adapters.checks import Adapter, check
from airflow_provider_llmserve.adapters.safetensors import Tensor


def adapter(config=None, *, drop=(), add=(), zero=(), non_finite=(), files=(), rank=4, without=()):
    """A good adapter with something changed. ``add``: (name, shape[, dtype])."""
    shapes = {name: (t[1], t[0]) for name, t in lora_tensors(rank=rank).items() if name not in drop}
    shapes |= {name: (shape, dtype[0] if dtype else "F32") for name, shape, *dtype in add}
    tensors = tuple(Tensor(n, dtype, tuple(shape), 0, 0) for n, (shape, dtype) in shapes.items())
    values = {k: v for k, v in ({**CONFIG, "r": rank} | (config or {})).items() if k not in without}
    return Adapter(values, tensors, frozenset(zero), frozenset(non_finite), frozenset(files))


def q(half, layer=0, module="self_attn.q_proj"):
    return f"{PREFIX}.{layer}.{module}.lora_{half}.weight"


ALL_B = [n for n in lora_tensors() if "lora_B" in n]


def test_a_good_adapter_has_no_findings():
    findings = check(adapter(), base_model=f"hf://{BASE}", max_rank=16, base_config=BASE_CONFIG)
    assert findings.errors == ()
    assert findings.warnings == ()


def options(**config):
    return adapter(config)


ERRORS = [
    ("no peft_type", adapter(without=["peft_type"]), "peft_type is None"),
    ("another method", options(peft_type="IA3"), "only 'LORA' is served"),
    ("no r", adapter(without=["r"]), "r is missing"),
    ("no alpha", adapter(without=["lora_alpha"]), "lora_alpha is missing"),
    ("no targets", options(target_modules=[]), "target_modules is missing or empty"),
    ("negative rank", options(r=-4), "r is -4"),
    ("rank a text", options(r="4"), "r is '4'"),
    ("rank a bool", options(r=True), "r is True"),
    ("alpha a text", options(lora_alpha="16"), "lora_alpha is '16'"),
    ("alpha negative", options(lora_alpha=-1), "lora_alpha is -1"),
    ("rank pattern zero", options(rank_pattern={"q_proj": 0}), "rank_pattern is"),
    ("rank pattern a list", options(rank_pattern=[8]), "rank_pattern is"),
    ("DoRA", options(use_dora=True), "use_dora is set"),
    ("bias", options(bias="lora_only"), "bias is 'lora_only'"),
    ("lora bias", options(lora_bias=True), "lora_bias is set"),
    ("modules to save", options(modules_to_save=["lm_head"]), "modules_to_save is set"),
    ("pissa", options(init_lora_weights="pissa_niter_16"), "init_lora_weights is 'pissa_niter_16'"),
    ("olora", options(init_lora_weights="olora"), "changes the base's own weights"),
    ("layer replication", options(layer_replication=[[0, 2]]), "layer_replication is set"),
    ("aLoRA", options(alora_invocation_tokens=[1]), "alora_invocation_tokens is set"),
    ("QA-LoRA", options(use_qalora=True), "use_qalora is set"),
    ("BD-LoRA", options(use_bdlora={"nblocks": 2}), "use_bdlora is set"),
    ("token indices", options(trainable_token_indices=[3]), "trainable_token_indices is set"),
    ("target parameters", options(target_parameters=["experts.w1"]), "target_parameters is set"),
    ("Arrow", options(arrow_config={"top_k": 3}), "arrow_config is set"),
    ("KaSA", options(kasa_config={"beta": 1}), "kasa_config is set"),
    ("above any server", adapter(rank=1024), "rank 1024 is above 512"),
    ("no tensors", Adapter(CONFIG, ()), "nothing was trained"),
    ("a whole module's weight", adapter(add=[("base_model.model.lm_head.weight", (8, 8))]), "save_embedding_layers=False"),
    ("DoRA's vector", adapter(add=[(f"{PREFIX}.0.self_attn.q_proj.lora_magnitude_vector", (8,))]), "no LoRA pair's"),
    ("half a pair", adapter(drop=[q("B")]), "lora_A without lora_B or the reverse: model.layers.0.self_attn.q_proj"),
    ("other half", adapter(drop=[q("A")]), "lora_A without lora_B or the reverse"),
    ("halves that differ", adapter(add=[(q("B"), (HIDDEN, 8))]), "(lora_A 4, lora_B 8)"),
    ("rank not the config's", options(r=8), "(4, config [8])"),
    ("a vector", adapter(add=[(q("A"), (HIDDEN,))]), "not a matrix"),
    ("a convolution", adapter(add=[(q("A"), (4, HIDDEN, 1, 1))]), "not a matrix"),
    ("an empty matrix", adapter(add=[(q("A"), (4, 0))]), "not a matrix"),
    ("float64", adapter(add=[(q("A"), (4, HIDDEN), "F64")]), "dtype other than"),
    ("int8", adapter(add=[(q("A"), (4, HIDDEN), "I8")]), "(I8)"),
    ("outside its targets", options(target_modules=["q_proj"]), "not among target_modules: model.layers.0.self_attn.v_proj"),
    ("a suffix is no target", options(target_modules=["proj"]), "not among target_modules"),
    (
        "saved compiled",
        adapter(add=[(q("A", module="_orig_mod.q_proj"), (4, HIDDEN)), (q("B", module="_orig_mod.q_proj"), (HIDDEN, 4))]),
        "_orig_mod' of torch.compile",
    ),
    ("untrained", adapter(zero=ALL_B), "every lora_B is zero"),
    ("diverged", adapter(non_finite=[q("A")]), f"training diverged): {q('A')}"),
    (
        "more layers than the base",
        adapter(add=[(q("A", 30), (4, HIDDEN)), (q("B", 30), (HIDDEN, 4))]),
        "it has 30): model.layers.30.self_attn.q_proj",
    ),
    ("another base's inputs", adapter(add=[(q("A"), (4, 1024))]), "(1024 to 576, the base has 576 to 576)"),
    ("another base's outputs", adapter(add=[(q("B", module="self_attn.v_proj"), (576, 4))]), f"the base has {HIDDEN} to {KEYS}"),
]


@pytest.mark.parametrize(("subject", "finding"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_refused(subject, finding):
    findings = check(subject, base_model=BASE, base_config=BASE_CONFIG)
    assert [e for e in findings.errors if finding in e], findings.errors


@pytest.mark.parametrize(
    ("named", "declared", "finding"),
    [
        ("Qwen/Qwen3-0.6B", BASE, "was trained on 'Qwen/Qwen3-0.6B', not on"),
        (BASE, BASE + "-v2", "was trained on"),
        (BASE + "-v2", BASE, "was trained on"),
        ("SmolLM2-135M-Instruct", BASE, "was trained on"),
        ("s3://models/a", "s3://models/A", "was trained on"),
        ("", None, "names no base model; say which it is with base_model="),
        (None, None, "names no base model"),
        ("/home/a/model", None, "only a local folder as its base ('/home/a/model')"),
        ("out/run/model", None, "only a local folder"),
        ("./model", None, "only a local folder"),
        ("~/model", None, "only a local folder"),
        ("file:///m", None, "only a local folder"),
        ("C:\\model", None, "only a local folder"),
    ],
)
def test_another_base_or_none_is_refused(named, declared, finding):
    findings = check(options(base_model_name_or_path=named), base_model=declared)
    assert [e for e in findings.errors if finding in e], findings.errors


@pytest.mark.parametrize(
    ("named", "declared"),
    [
        (BASE, None),
        (BASE, BASE),
        (BASE, f"hf://{BASE}"),
        (BASE, f"huggingface://{BASE}/"),
        (f"https://huggingface.co/{BASE}", BASE),
        (BASE.lower(), BASE),
        ("gpt2", "hf://gpt2"),
        ("s3://models/a/", "s3://models/a"),
    ],
)
def test_the_same_base_in_other_words(named, declared):
    findings = check(options(base_model_name_or_path=named), base_model=declared)
    assert (findings.errors, findings.warnings) == ((), ())


MULTIMODAL = {"architectures": ["Gemma3ForConditionalGeneration"]}
WARNINGS = [
    ("base on the task's word", options(base_model_name_or_path="/home/a/model"), {}, f"the uploaded copy says {BASE!r}"),
    ("above vLLM's default", adapter(rank=20), {}, "'--max-lora-rank=32'"),
    ("rank pattern", options(rank_pattern={"v_proj": 8}), {}, "rank_pattern is ignored by older vLLM"),
    ("alpha pattern", options(alpha_pattern={"v_proj": 8}), {}, "alpha_pattern is ignored by older vLLM"),
    ("idle target", options(target_modules=["q_proj", "v_proj", "o_proj"]), {}, "without a tensor: o_proj"),
    (
        "vocabulary",
        adapter(
            {"target_modules": ["q_proj", "v_proj", "embed_tokens"]},
            add=[
                ("base_model.model.model.embed_tokens.lora_embedding_A", (4, 49152)),
                ("base_model.model.model.embed_tokens.lora_embedding_B", (HIDDEN, 4)),
            ],
        ),
        {},
        "adapts model.embed_tokens",
    ),
    ("template", adapter(files=["chat_template.jinja"]), {}, "chat_template.jinja is not uploaded"),
    ("tokens", adapter(files=["added_tokens.json"]), {}, "added_tokens.json is not uploaded"),
    ("multimodal", adapter(), {"base_config": MULTIMODAL}, "the base is multimodal"),
]


@pytest.mark.parametrize(("subject", "given", "finding"), [row[1:] for row in WARNINGS], ids=[row[0] for row in WARNINGS])
def test_said_but_taken(subject, given, finding):
    findings = check(subject, base_model=BASE, **given)
    assert findings.errors == ()
    assert [w for w in findings.warnings if finding in w], findings.warnings


def test_rank_against_the_servers():
    high = adapter({"rank_pattern": {"v_proj": 24}})
    assert check(high, max_rank=24).errors == ()
    (error,) = check(high, max_rank=16).errors
    assert error == "rank 24 is above the server's 16; serve with args ['--max-lora-rank=32']"


def test_ranks_of_the_pattern_are_taken():
    assert check(adapter({"r": 8, "rank_pattern": {"q_proj": 4, "v_proj": 4}})).errors == ()


def test_one_zero_b_is_no_fault():
    assert check(adapter(zero=ALL_B[:1])).errors == ()


def test_targets_as_an_expression_are_not_run():
    assert check(options(target_modules="(a+)+$")).errors == ()


def test_shapes_of_unknown_architectures_are_not_judged():
    assert check(adapter(add=[(q("A"), (4, 1024))]), base_config={**BASE_CONFIG, "model_type": "new"}).errors == ()


def test_every_fault_is_named_at_once():
    findings = check(adapter({"use_dora": True, "bias": "all", "base_model_name_or_path": "a/b"}, zero=ALL_B), base_model=BASE)
    assert len(findings.errors) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from([q("A"), q("B"), "x.lora_A.weight", "y.bias", "layers.999999999.q_proj.lora_A.weight"]) | st.text(
    max_size=9
)
tensors = st.lists(
    st.builds(
        Tensor, names, st.sampled_from(["F32", "I8"]), st.lists(st.integers(0, 9), max_size=3).map(tuple), st.just(0), st.just(0)
    ),
    max_size=4,
).map(tuple)


@given(
    st.dictionaries(st.sampled_from([*CONFIG, "alpha_pattern", "use_bdlora"]), json_values),
    tensors,
    st.none() | st.dictionaries(st.sampled_from([*BASE_CONFIG, "head_dim"]), json_values | st.just("llama")),
)
def test_total(config, given_tensors, base_config):
    check(Adapter({**CONFIG, **config}, given_tensors), base_model=BASE, max_rank=8, base_config=base_config)
