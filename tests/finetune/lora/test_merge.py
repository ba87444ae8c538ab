"""Adapters have peft's usual form, and are the same merged and beside any base."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from finetune.__main__ import main
from finetune.lora.losses import LossWeights, learning
from finetune.lora.merge import merge
from finetune.lora.options import LoraOptions
from finetune.lora.targets import trained_parameters, with_adapters
from finetune.lora.training import write_adapter
from omni.config import OmniConfig
from omni.errors import CheckpointError
from omni.loading.checkpoint import Checkpoint
from omni.model.omni import OmniForCausalLM
from tests.finetune.lora.conftest import loaded
from tests.support.checkpoints import write_checkpoint

FULL = LoraOptions(device="cpu", rank=4, audio_head=True, bridges=True)


def written_adapter(base: Path, folder: Path, options: LoraOptions = FULL) -> Path:
    """An adapter whose every value is drawn."""
    options = replace(options, model=str(base))
    _, model = loaded(options)
    torch.manual_seed(3)
    adapted = with_adapters(model, options, str(base))
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn_like(weight))
    write_adapter(adapted, folder)
    return folder


def scores(model: OmniForCausalLM) -> list[torch.Tensor]:
    """Of text, of frames, and the rows of a picture."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 100, (1, 12), generator=generator)
    codes = torch.randint(0, 8, (5, 4), generator=generator)
    features = torch.randn(8, model.config.visual.embed_dim, generator=generator)
    with torch.no_grad():
        hidden = model.hidden(model.embed(ids))
        rows = model.model.visual_bridge_model(features.to(hidden.dtype))
        return [model.lm_head(hidden), *model.audio_head(hidden[0, :5], codes), rows]


def test_merged_and_beside_give_the_same(tiny: Path, tmp_path: Path) -> None:
    adapter = written_adapter(tiny, tmp_path / "adapter")
    _, base = loaded(replace(FULL, model=str(tiny)))
    plain = scores(base)
    beside = scores(PeftModel.from_pretrained(base, str(adapter)).get_base_model())
    out = merge(str(adapter), tmp_path / "merged", str(tiny))
    _, model = loaded(replace(FULL, model=str(out)))
    merged = scores(model)
    for one, other, without in zip(beside, merged, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        assert (one - without).abs().max() > 1e-2
    # Everything that a checkpoint has, under the same names.
    assert {p.name for p in out.iterdir()} == {p.name for p in tiny.iterdir()}
    assert Checkpoint(out, "").tensors == Checkpoint(tiny, "").tensors


def test_a_merged_folder_keeps_its_number_format_and_its_shards(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base", dtype=torch.bfloat16)
    tensors = load_file(base / "model.safetensors")
    names = sorted(tensors)
    halves = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, some in halves.items():
        save_file({name: tensors[name] for name in some}, base / file, {"format": "pt"})
    weight_map = {name: file for file, some in halves.items() for name in some}
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (base / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    (base / "model.safetensors").unlink()
    adapter = written_adapter(base, tmp_path / "adapter")
    out = merge(str(adapter), tmp_path / "merged")  # the adapter knows its checkpoint
    assert Checkpoint(out, "").tensors == Checkpoint(base, "").tensors
    changed = {
        name
        for file in halves
        for name, weight in load_file(out / file).items()
        if not torch.equal(weight, tensors[name])
    }
    places = ("model.layers.", "audio_head.", "model.visual_bridge_model.")
    assert all(name.startswith(places) for name in changed)
    assert sum(name.endswith("W_pack.weight") for name in changed) == 2
    wide = merge(str(adapter), tmp_path / "wide", dtype=torch.float32)
    kinds = {info.dtype for info in Checkpoint(wide, "").tensors.values()}
    assert kinds == {"F32"}


def test_only_the_published_names_are_adapted(tiny: Path) -> None:
    _, model = loaded(replace(FULL, model=str(tiny)))
    adapted = with_adapters(model, replace(FULL, bridges=False), "tiny")
    names = {
        name.removeprefix("base_model.model.").replace(".base_layer", "").split(".lora_")[0]
        for name, weight in adapted.named_parameters()
        if weight.requires_grad
    }
    layer = "model.layers.0."
    assert {name for name in names if name.startswith(layer)} == {
        layer + end
        for end in (
            "self_attn.W_pack",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        )
    }
    head = {name for name in names if name.startswith("audio_head.")}
    assert "audio_head.transformer_layers.0.linear1" in head
    assert "audio_head.transformer_layers.0.self_attention" in head
    assert all(name.startswith(("model.layers.", "audio_head.")) for name in names)


def test_the_published_model_gets_as_many_values_as_counted() -> None:
    with torch.device("meta"):
        model = OmniForCausalLM(OmniConfig())
        adapted = with_adapters(model, LoraOptions(rank=16), "published")
    assert trained_parameters(adapted) == 16 * 82_944 * 28


def test_an_adapter_of_another_size_is_refused(tiny: Path, tmp_path: Path) -> None:
    adapter = written_adapter(tiny, tmp_path / "adapter")
    other = write_checkpoint(tmp_path / "other", {"intermediate_size": 256})
    with pytest.raises(CheckpointError) as caught:
        merge(str(adapter), tmp_path / "merged", str(other))
    assert caught.value.code == "adapter-mismatch"
    assert not (tmp_path / "merged").exists()
    assert not list(tmp_path.glob(".merged*"))


def test_merging_says_what_is_wrong(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", "--adapter", str(tiny), "--out", str(tmp_path / "m")]) == 1
    assert "adapter_config.json" in capsys.readouterr().err
    adapter = written_adapter(tiny, tmp_path / "adapter")
    assert main(["merge", "--adapter", str(adapter), "--out", str(tiny)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main(["merge", "--adapter", str(adapter), "--out", str(tmp_path / "m")]) == 0
    assert "python app.py --model" in capsys.readouterr().err


def test_an_adapter_learns_and_works_on_a_base_in_four_bits(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    base = write_checkpoint(tmp_path / "base")
    adapter = written_adapter(base, tmp_path / "adapter")
    options = replace(FULL, model=str(base), quantization="4bit")
    _, quantized = loaded(options)
    kinds = {type(m).__name__ for m in quantized.model.layers.modules()}
    assert "Linear4bit" in kinds
    plain = scores(quantized)
    model = PeftModel.from_pretrained(quantized, str(adapter))
    adapted = scores(model.get_base_model())
    _, precise = loaded(replace(options, quantization="none"))
    wanted = scores(PeftModel.from_pretrained(precise, str(adapter)).get_base_model())
    for one, other, without in zip(adapted, wanted, plain, strict=True):
        # Far nearer to the adapter on the precise base than to the quantized base without it.
        assert (one - other).norm() < 0.5 * (without - other).norm()


def test_gradients_reach_the_adapters_through_four_bits(tiny: Path) -> None:
    pytest.importorskip("bitsandbytes")
    options = replace(FULL, model=str(tiny), quantization="4bit", bridges=False)
    _, model = loaded(options)
    torch.manual_seed(0)
    adapted = with_adapters(learning(model, LossWeights()), options, "tiny").train()
    ids = torch.randint(0, 100, (2, 10), generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros(0, 4, dtype=torch.long)
    features = torch.zeros(0, model.config.visual.embed_dim)
    batch = (ids, ids.roll(-1, 1), nothing, torch.zeros(0, dtype=torch.long), nothing)
    held = torch.zeros(2, dtype=torch.bool)
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=5e-2)
    values = []
    for _ in range(12):
        loss = adapted(*batch, features, features, held)["loss"]
        values.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert values[-1] < 0.9 * values[0]


def test_an_adapter_is_plain_safetensors(tiny: Path, tmp_path: Path) -> None:
    adapter = written_adapter(tiny, tmp_path / "adapter")
    assert {path.name for path in adapter.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
    }
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        names = list(file.keys())
    assert "base_model.model.model.layers.0.self_attn.W_pack.lora_A.weight" in names
