"""What PEFT itself writes: taken where servers take it, refused where they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.adapters import BASE

from airflow_provider_llmserve.adapters.handover import read_handover
from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.platforms.upload import upload_adapter

pytestmark = [
    pytest.mark.machine,
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),  # what PEFT thinks of adapters that we refuse
]

TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 64,
}


@pytest.fixture(scope="module")
def libraries():
    return tuple(pytest.importorskip(name, reason="needs the train extra") for name in ("torch", "transformers", "peft"))


@pytest.fixture
def train(libraries, tmp_path):
    """A function that saves a LoRA of a tiny llama, its B matrices away from zero, and returns its folder."""
    torch, transformers, peft = libraries

    def trained(*, dtype=None, sizes=None, **options):
        torch.manual_seed(1)
        config = transformers.LlamaConfig(**{**TINY, **(sizes or {})})
        base = tmp_path / "base"
        base.mkdir(exist_ok=True)
        config.save_pretrained(base)
        model = transformers.LlamaForCausalLM(config)
        model.name_or_path = str(base)
        model = peft.get_peft_model(
            model, peft.LoraConfig(task_type="CAUSAL_LM", **{"r": 4, "target_modules": "all-linear", **options})
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name or "lora_embedding_A" in name:
                    parameter.normal_(std=0.02)
        if dtype:
            model = model.to(getattr(torch, dtype))
        model.save_pretrained(tmp_path / "tuned")
        return tmp_path / "tuned"

    return trained


def upload(folder):
    return upload_adapter(read_handover(str(folder), base_model=f"hf://{BASE}"), f"file://{folder.parent}/store")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "bfloat16"},
        {"dtype": "float16"},
        {"use_rslora": True},
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": r".*\.(q|v)_proj"},
        {"rank_pattern": {"q_proj": 8}, "alpha_pattern": {"q_proj": 16}},
        {"layers_to_transform": [1], "target_modules": ["q_proj"]},
        {"init_lora_weights": "gaussian"},
    ],
    ids=str,
)
def test_taken(train, options):
    folder = train(**options)
    done = upload(folder)
    published = Path(done.url.removeprefix("file://"))
    assert json.loads((published / "adapter_config.json").read_text())["base_model_name_or_path"] == BASE
    assert (published / "adapter_model.safetensors").read_bytes() == (folder / "adapter_model.safetensors").read_bytes()
    assert done.rank == max(4, *options.get("rank_pattern", {}).values(), 0)


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"use_dora": True}, "use_dora is set"),
        ({"bias": "lora_only"}, "bias is 'lora_only'"),
        ({"lora_bias": True}, "lora_bias is set"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is set"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights is 'olora'"),
        ({"target_modules": ["embed_tokens", "q_proj"]}, "save_embedding_layers=False"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices is set"),
    ],
    ids=str,
)
def test_refused(train, options, finding):
    if not options.get("modules_to_save"):
        options = {"target_modules": ["q_proj", "v_proj"], **options}
    with pytest.raises(BadInput, match=finding):
        upload(train(**options))


def test_weights_of_another_base_are_told_by_their_sizes(train, tmp_path):
    folder = train()
    config = tmp_path / "base" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_key_value_heads": 4}))
    with pytest.raises(BadInput, match="sizes of another base model"):
        upload(folder)


def test_the_hubs_cache_knows_the_base(train, tmp_path, monkeypatch):
    """No network: only what was downloaded before is compared."""
    hub = pytest.importorskip("huggingface_hub")
    folder = train()
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": BASE}))
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert upload(folder)
    cached = tmp_path / "hub" / f"models--{BASE.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("c0ffee")
    (cached / "snapshots" / "c0ffee").mkdir(parents=True)
    (cached / "snapshots" / "c0ffee" / "config.json").write_text(json.dumps({**TINY, "model_type": "llama", "hidden_size": 48}))
    with pytest.raises(BadInput, match="sizes of another base model"):
        upload(folder)
