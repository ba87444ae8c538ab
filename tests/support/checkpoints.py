"""Checkpoint folders for tests: random weights, the embedded tokenizer, any size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from omni.config import OmniConfig, VocoderConfig
from omni.loading.nano import NANO_FOLDER
from omni.model.omni import OmniForCausalLM
from omni.model.vocoder.hift import HiFTVocoder

# Changes to the embedded checkpoint's config.json that leave a model of under a million values.
TINY: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "audio_config": {
        "d_model": 64,
        "encoder_layers": 1,
        "encoder_attention_heads": 1,
        "encoder_ffn_dim": 64,
        "decoder_layers": 1,
        "decoder_attention_heads": 1,
        "decoder_ffn_dim": 64,
        "audio_head_transformer_layers": 1,
        "vq_config": {"codebook_sizes": [16, 8, 8, 8]},
    },
    "visual_config": {"depth": 1, "embed_dim": 32, "num_heads": 2, "hidden_size": 128},
    "video_config": {"depth": 1, "embed_dim": 32, "num_heads": 2, "hidden_size": 128},
    "flow_matching_config": {
        "prenet_in_dim": 64,
        "prenet_d_model": 32,
        "prenet_attention_heads": 1,
        "prenet_ffn_dim": 32,
        "prenet_nlayers": 1,
        "channels": [32],
        "num_mid_blocks": 1,
        "num_heads": 1,
        "diffusion_steps": 2,
    },
    "vocoder_config": {"channels": [8]},
}
TINY_VOCODER = {"base_channels": 16, "f0_predictor": {"cond_channels": 16}}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes``, dictionaries merged in depth."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = merged(old, value) if both else value
    return result


def write_checkpoint(
    folder: Path,
    changes: dict[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    omni: dict[str, Any] | None = None,
) -> Path:
    """A complete checkpoint of TINY's size with ``changes``; ``omni`` goes to its defaults."""
    folder.mkdir(parents=True, exist_ok=True)
    embedded = json.loads((NANO_FOLDER / "config.json").read_text(encoding="utf-8"))
    config = merged(merged(embedded, TINY), changes or {})
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shutil.copyfile(NANO_FOLDER / "tokenizer.json", folder / "tokenizer.json")
    generation = json.loads((NANO_FOLDER / "generation_config.json").read_text(encoding="utf-8"))
    generation["omni"] = omni or {}
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    save_file(random_tensors(config, dtype), folder / "model.safetensors", {"format": "pt"})
    write_vocoder(folder / "hift.pt")
    (folder / "vocoder_config.json").write_text(json.dumps(TINY_VOCODER), encoding="utf-8")
    return folder


def random_tensors(config: dict[str, Any], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Every tensor of the architecture: matrices normal, norms' scales one, the rest zero."""
    with torch.device("meta"):
        shapes = OmniForCausalLM(OmniConfig.from_dict(config)).state_dict()
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for name, meta in shapes.items():
        if meta.dim() > 1:
            tensor = torch.empty(meta.shape, dtype=dtype).normal_(0, 0.05, generator=random)
        else:
            fill = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            tensor = torch.full(meta.shape, fill, dtype=dtype)
        tensors[name] = tensor
    tensors["audio_head.heads.0.bias"][-1] = -10  # the end of audio: only limits end a piece
    return tensors


def write_vocoder(path: Path) -> None:
    """A vocoder of TINY_VOCODER's size, as the published file keeps it."""
    torch.manual_seed(0)
    torch.save(HiFTVocoder(VocoderConfig.from_dict(TINY_VOCODER)).state_dict(), path)
