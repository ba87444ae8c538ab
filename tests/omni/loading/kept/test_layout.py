"""The tensors that are written are those of bitsandbytes' layers, and transformers reads them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from omni.loading import load as loading
from omni.loading.checkpoint import Checkpoint
from omni.loading.kept.layout import few_bits, is_part
from omni.loading.quantization import is_quantized, stored_config
from tests.support.kept import DTYPES

KINDS = ("8bit", "4bit")


@pytest.mark.parametrize("bits", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_to_what_a_load_quantizes(source: Path, bits: str, dtype: str) -> None:
    """Under the names and with the values that ``state_dict`` gives, which is what is saved."""
    checkpoint = Checkpoint(source, "tiny")
    config = loading.read_config(checkpoint)
    model = loading.load_weights(checkpoint, config, DTYPES[dtype], {"": "cpu"}, bits)  # type: ignore[arg-type]
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ours: dict[str, Tensor] = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        if is_quantized(name, tensor.dim()):
            ours |= few_bits(name, tensor, bits, DTYPES[dtype], "cpu")  # type: ignore[arg-type]
    matrices = {name for name in ours if not is_part(name)}
    assert len(matrices) == 5 * config.num_hidden_layers
    expected = {
        name: tensor
        for name, tensor in saved.items()
        if any(name == m or (is_part(name) and name.startswith(m[:-6])) for m in matrices)
    }
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        assert ours[name].dtype == tensor.dtype and torch.equal(ours[name], tensor), name


class PlainConfig(PretrainedConfig):
    model_type = "plain"


class Plain(PreTrainedModel):
    """A model that knows nothing of ours."""

    config_class = PlainConfig

    def __init__(self, config: PlainConfig) -> None:
        super().__init__(config)
        self.up = nn.Linear(128, 64)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        pass


@pytest.mark.parametrize("bits", KINDS)
def test_plain_transformers_reads_a_layer(
    bits: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import BitsAndBytesConfig

    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(0)) / 8
    bias = torch.randn(64, generator=torch.Generator().manual_seed(1))
    x = torch.randn(3, 128, generator=torch.Generator().manual_seed(2))
    folders = tmp_path / "plain", tmp_path / "quantized"
    config = {"model_type": "plain", "architectures": ["Plain"]}
    tensors = {"up.weight": weight, "up.bias": bias}, few_bits(
        "up.weight", weight, bits, torch.float32, "cpu"  # type: ignore[arg-type]
    ) | {"up.bias": bias}  # fmt: skip
    for folder, values, kept in zip(folders, tensors, (False, True), strict=True):
        folder.mkdir()
        save_file(values, folder / "model.safetensors", {"format": "pt"})
        more = {"quantization_config": stored_config(bits, torch.float32)} if kept else {}  # type: ignore[arg-type]
        (folder / "config.json").write_text(json.dumps(config | more), encoding="utf-8")
    wanted = BitsAndBytesConfig(
        load_in_4bit=bits == "4bit",
        load_in_8bit=bits == "8bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=[],
    )
    with caplog.at_level(logging.WARNING):
        quantizing = Plain.from_pretrained(
            folders[0], quantization_config=wanted, device_map="cpu", dtype=torch.float32
        )
        reading = Plain.from_pretrained(folders[1], device_map="cpu", dtype=torch.float32)
    assert type(reading.up) is type(quantizing.up) and type(reading.up) is not nn.Linear
    with torch.inference_mode():
        want, have = quantizing.eval().up(x), reading.eval().up(x)
    assert torch.equal(want, have)
    assert 1e-4 < float((have - nn.functional.linear(x, weight, bias)).norm() / have.norm()) < 0.2
