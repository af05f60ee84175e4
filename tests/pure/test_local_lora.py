"""PEFT → GGUF: names, the order of rows, scales, and what does not fit."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.local_model import HEADS, KEY_HEADS, LAYERS, SIZES, random_pairs, write_adapter

from airflow_provider_llmserve.platforms.local.gguf_file import Header, NotWhole, read_header
from airflow_provider_llmserve.platforms.local.lora import convert, gguf_name, misfits, permuted, read_tensors, scale_of, values

BASE = Header(
    {"general.architecture": "llama", "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KEY_HEADS},
    {
        name: sizes
        for layer in range(LAYERS)
        for module, sizes in SIZES.items()
        if (name := gguf_name(f"model.layers.{layer}.{module}")) is not None
    },
)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("model.layers.0.self_attn.q_proj", "blk.0.attn_q.weight"),
        ("model.layers.29.self_attn.o_proj", "blk.29.attn_output.weight"),
        ("model.layers.3.mlp.gate_proj", "blk.3.ffn_gate.weight"),
        ("model.layers.3.mlp.down_proj", "blk.3.ffn_down.weight"),
        ("model.embed_tokens", None),
        ("lm_head", None),
        ("model.layers.3.mlp.router", None),
        ("model.layers.x.mlp.up_proj", None),
    ],
)
def test_names(module: str, name: str | None):
    assert gguf_name(module) == name


def test_rows_of_a_head_are_interleaved():
    """Two heads of four rows: each head's halves (0 1 | 2 3) become 0 2 1 3, as convert_hf_to_gguf permutes q and k."""
    b = np.arange(8, dtype=np.float32).reshape(8, 1)
    assert permuted(b, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4))
def test_the_permutation_loses_no_row_and_stays_within_heads(heads: int, half: int, rank: int):
    rows = heads * half * 2
    b = np.arange(rows * rank, dtype=np.float32).reshape(rows, rank)
    out = permuted(b, heads)
    assert sorted(map(tuple, out)) == sorted(map(tuple, b))
    for h in range(heads):
        head = slice(h * half * 2, (h + 1) * half * 2)
        assert {r[0] for r in out[head]} == {r[0] for r in b[head]}


@pytest.mark.parametrize(
    ("config", "module", "rank", "scale"),
    [
        ({"lora_alpha": 16}, "model.layers.0.mlp.up_proj", 8, 2.0),
        ({"lora_alpha": 16, "use_rslora": True}, "model.layers.0.mlp.up_proj", 16, 4.0),
        ({"lora_alpha": 16, "alpha_pattern": {"up_proj": 4}}, "model.layers.0.mlp.up_proj", 8, 0.5),
        ({"lora_alpha": 16, "alpha_pattern": {"up_proj": 4}}, "model.layers.0.mlp.gate_proj", 8, 2.0),
        ({"lora_alpha": 16, "alpha_pattern": {r"layers\.1\.mlp\.up_proj": 4}}, "model.layers.0.mlp.up_proj", 8, 2.0),
    ],
)
def test_scales(config: dict[str, object], module: str, rank: int, scale: float):
    assert scale_of(config, module, rank) == pytest.approx(scale)


def test_a_converted_adapter_holds_the_folded_and_permuted_weights(tmp_path: Path):
    tensors = random_pairs(3, 0.1, layers=[0, 29])
    folder = write_adapter(tmp_path / "a", tensors, lora_alpha=12)
    raw, found = read_tensors(folder / "adapter_model.safetensors")
    assert misfits(found, BASE) == []
    convert(raw, found, {"lora_alpha": 12, "r": 4}, BASE, tmp_path / "a.gguf")
    header = read_header(tmp_path / "a.gguf")
    assert header.kind == "adapter"
    assert header.metadata["adapter.type"] == "lora"
    assert header.metadata["adapter.lora.alpha"] == 0
    assert len(header.shapes) == len(tensors)
    data = _tensors(tmp_path / "a.gguf")
    stem = "base_model.model.model.layers.29."
    np.testing.assert_array_equal(data["blk.29.ffn_up.weight.lora_a"], tensors[stem + "mlp.up_proj.lora_A.weight"])
    np.testing.assert_allclose(data["blk.29.ffn_up.weight.lora_b"], 3 * tensors[stem + "mlp.up_proj.lora_B.weight"], rtol=1e-6)
    for module, name, heads in (("q", "attn_q", HEADS), ("k", "attn_k", KEY_HEADS)):
        b = tensors[f"{stem}self_attn.{module}_proj.lora_B.weight"]
        np.testing.assert_allclose(data[f"blk.29.{name}.weight.lora_b"], permuted(3 * b, heads), rtol=1e-6)


def _tensors(path: Path) -> dict[str, np.ndarray]:
    import gguf

    return {t.name: t.data for t in gguf.GGUFReader(path).tensors}


def test_half_precision_is_widened(tmp_path: Path):
    from airflow_provider_llmserve.adapters.safetensors import Tensor

    numbers = np.array([1.5, -2.0, 0.0, 3.25], "<f4")
    bf16 = (numbers.view("<u4") >> 16).astype("<u2").tobytes()
    assert values(bf16, Tensor("t", "BF16", (2, 2), 0, 8)).ravel().tolist() == numbers.tolist()
    assert values(numbers.astype("<f2").tobytes(), Tensor("t", "F16", (4,), 0, 8)).tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("rename", "why"),
    [
        (("layers.0.", "layers.30."), "does not have"),
        (("mlp.up_proj", "mlp.router"), "cannot adapt"),
        (("mlp.up_proj", "mlp.down_proj"), "sizes of another base"),
    ],
)
def test_what_does_not_fit_the_base(tmp_path: Path, rename: tuple[str, str], why: str):
    tensors = {k: v for k, v in random_pairs(3, 0.1, layers=[0]).items() if "up_proj" in k}
    folder = write_adapter(tmp_path, {k.replace(*rename): v for k, v in tensors.items()})
    (finding,) = misfits(read_tensors(folder / "adapter_model.safetensors")[1], BASE)
    assert why in finding


def test_other_architectures_are_refused():
    (finding,) = misfits([], Header({"general.architecture": "qwen3"}))
    assert "'qwen3'" in finding


@given(st.data())
def test_a_cut_or_changed_header_never_raises_anything_but_not_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    raw = bytearray(_small_gguf(tmp_path_factory))
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        raw[data.draw(st.integers(0, min(len(raw) - 1, 300)))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    path.write_bytes(raw)
    with contextlib.suppress(NotWhole):
        read_header(path)


_SMALL: list[bytes] = []


def _small_gguf(tmp: pytest.TempPathFactory) -> bytes:
    if not _SMALL:
        folder = write_adapter(tmp.mktemp("small"), random_pairs(3, 0.1, layers=[0], rank=1), rank=1)
        raw, tensors = read_tensors(folder / "adapter_model.safetensors")
        convert(raw, tensors, {"lora_alpha": 1}, BASE, folder / "a.gguf")
        _SMALL.append((folder / "a.gguf").read_bytes())
    return _SMALL[0]
