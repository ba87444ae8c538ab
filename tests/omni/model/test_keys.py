"""The published tensor names and shapes, all of them, and strict loading and saving."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from omni.config import OmniConfig
from omni.model.omni import OmniForCausalLM
from tests.support.golden_set import GoldenSet
from tests.support.root import DATA

KEYS = DATA / "keys_full.json.gz"
Expected = dict[str, tuple[list[int], str]]


def published(part: str) -> Expected:
    """Name -> (shape, "param" or "buffer") of the published "model" or "vocoder"."""
    with gzip.open(KEYS, "rt", encoding="utf-8") as file:
        return {name: (shape, kind) for name, (shape, kind) in json.load(file)[part].items()}


def tensors_of(module: torch.nn.Module) -> Expected:
    """The same of a module's state dict."""
    parameters = {name for name, _ in module.named_parameters()}
    return {
        name: (list(tensor.shape), "param" if name in parameters else "buffer")
        for name, tensor in module.state_dict().items()
    }


def test_the_fixture_is_the_published_list() -> None:
    assert len(published("model")) == 2413
    assert len(published("vocoder")) == 328


def test_the_default_configuration_has_exactly_the_published_tensors() -> None:
    with torch.device("meta"):
        model = OmniForCausalLM(OmniConfig())
    have, want = tensors_of(model), published("model")
    assert have.keys() == want.keys()
    assert have == want


def test_every_buffer_is_in_the_checkpoint() -> None:
    """A buffer that is not would be garbage after from_pretrained, which builds on meta."""
    with torch.device("meta"):
        model = OmniForCausalLM(OmniConfig())
    assert {name for name, _ in model.named_buffers()} <= model.state_dict().keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_checkpoint_loads_unchanged(golden: GoldenSet, dtype: torch.dtype) -> None:
    model, info = OmniForCausalLM.from_pretrained(
        golden.checkpoint, dtype=dtype, output_loading_info=True
    )
    assert not any(info.values()), info
    stored = load_file(golden.checkpoint / "model.safetensors")
    loaded = model.state_dict()
    assert loaded.keys() == stored.keys()
    for name, tensor in stored.items():
        assert loaded[name].dtype == dtype
        assert torch.equal(loaded[name], tensor.to(dtype)), name


def test_save_pretrained_round_trip(golden: GoldenSet, tmp_path: Path) -> None:
    model = OmniForCausalLM.from_pretrained(golden.checkpoint, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    again, info = OmniForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    assert again.dtype == torch.bfloat16  # as saved, without being asked
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert set(load_file(tmp_path / "model.safetensors")) == set(model.state_dict())


def test_the_published_configuration_is_kept(golden: GoldenSet, tmp_path: Path) -> None:
    """Every key of the file survives loading and saving; the dtype's key has a new name."""
    OmniConfig.from_pretrained(golden.checkpoint).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for key, value in golden.config.items():
        if key in ("transformers_version", "_name_or_path"):
            continue
        assert saved["dtype" if key == "torch_dtype" else key] == value, key


def test_a_partial_configuration_is_completed() -> None:
    config = OmniConfig(audio_config={"d_model": 64, "vq_config": {"codebook_sizes": [8, 4]}})
    assert config.audio.codebook_sizes == (8, 4)
    assert config.audio_config["vq_config"] == {"enable": True, "codebook_sizes": [8, 4]}
    assert config.audio.encoder_layers == OmniConfig().audio.encoder_layers
    assert config.audio.latent_dim == 64 * config.audio.avg_pooler


def test_unrelated_keys_of_the_visual_configuration_mean_nothing() -> None:
    config = OmniConfig(visual_config={"num_hidden_layers": 12, "intermediate_size": 3072})
    assert config.visual == OmniConfig().visual
    assert config.visual_config["intermediate_size"] == 3072
