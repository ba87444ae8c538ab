"""Small adapters in peft's layout, with random values, for any model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

RANK = 2
# A weight of each kind that may be adapted, by the module's name and the way peft spells it.
LAYER = "model.layers.0.self_attn.W_pack"
SPELT = {
    "audio_head.transformer_layers.0.self_attention.out_proj": (
        "audio_head.transformer_layers.0.self_attention.base_layer.out_proj"
    )
}


def pairs(model: torch.nn.Module, rank: int = RANK, seed: int = 0) -> dict[str, Tensor]:
    """Both matrices for every linear layer of the language model and of the audio head."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, weight in model.named_parameters():
        module, _, last = name.rpartition(".")
        adapted = module.startswith(("model.layers.", "audio_head."))
        if weight.dim() != 2 or not adapted or last not in ("weight", "in_proj_weight"):
            continue
        key = f"base_model.model.{SPELT.get(module, module)}"
        for side, shape in (("A", (rank, weight.shape[1])), ("B", (weight.shape[0], rank))):
            values = torch.randn(shape, generator=generator) / shape[1] ** 0.5
            tensors[f"{key}.lora_{side}.weight"] = values
    return tensors


def write_adapter(
    folder: Path, tensors: Mapping[str, Tensor], rank: int = RANK, **config: Any
) -> Path:
    """The two files of an adapter."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder / "adapter_model.safetensors")
    values = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "bias": "none"} | config
    (folder / "adapter_config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder
