"""The embedded checkpoint under training: its sizes, and its parts before they are one file.

Knows: assets/nano, how a fresh model of its sizes is made, how the finished one is written.
Does not know: losses, data.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from omni.config import OmniConfig, VocoderConfig
from omni.loading.nano import DESCRIPTION_FILES, NANO_FOLDER, VOCODER_FILE, WEIGHTS_FILE
from omni.model.omni import OmniForCausalLM
from omni.model.vocoder.hift import HiFTVocoder
from omni.model.vocoder.layers import NormedKernel, UpConv1d
from omni.prompting.tokenizer import OmniTokenizer

# Of a fresh vocoder's layers, by a part of their names: a log-mel is about 6 in size, and a
# residual branch begins small.
_GAINS = {"conv_pre": 0.15, "convs2": 0.3, "conv_post": 0.1}
# How the trained checkpoint is used, see omni.loading.defaults: it knows one right answer, in few
# words.
DEFAULTS: dict[str, Any] = {
    "options": {
        "first_text": {"greedy": True},
        "next_text": {"greedy": True},
        "text_only": {"greedy": True},
        "audio": {"temperature": 0.6, "top_k": 20, "max_new": 150},
    },
    "limits": {"text_tokens": 80, "audio_frames": 150, "rounds": 6, "repetition_penalty": 1.0},
    "scripts": ["LATIN", "CJK"],
}
EMBEDDING_STD = 0.1
MATRIX_GAIN = 0.7  # of a fresh matrix; the published 0.02 suits layers twenty times as wide
EAR_GAIN = 3.5  # of the first convolutions: what is heard must stand out from its positions
_START_LOG_MAGNITUDE = -3.0
# Of the layers that take the excitation in, whose frames are about a fifth in size: what enters
# small is never learnt to be used, and the voice stays a whisper without pitch.
_SOURCE_GAIN = 5.0


def nano_config() -> OmniConfig:
    """The configuration in assets/nano."""
    return OmniConfig.from_pretrained(NANO_FOLDER)


def nano_tokenizer() -> OmniTokenizer:
    """The tokenizer in assets/nano."""
    return OmniTokenizer.from_folder(NANO_FOLDER)


def fresh_model(seed: int) -> OmniForCausalLM:
    """The whole model with random weights, of a size that suits narrow layers."""
    torch.manual_seed(seed)
    model = OmniForCausalLM(nano_config())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() < 2 or ".codebook." in name:
                continue
            if "embed" in name and "patch_embed" not in name:
                weight.normal_(0, EMBEDDING_STD)
            else:
                gain = EAR_GAIN if ".audio_model.conv" in name else MATRIX_GAIN
                weight.normal_(0, gain / math.sqrt(weight[0].numel()))
    return model


def fresh_vocoder(seed: int) -> HiFTVocoder:
    """The vocoder with random weights, weight norm not folded."""
    torch.manual_seed(seed)
    vocoder = HiFTVocoder(VocoderConfig.from_file(NANO_FOLDER / "vocoder_config.json"))
    unit_gain(vocoder)
    return vocoder


@torch.no_grad()
def unit_gain(vocoder: HiFTVocoder) -> None:
    """Weights with which every layer keeps the size of its input; the output is soft.

    HiFi-GAN's usual ones, a hundredth in size, need thousands of steps to let anything through.
    """
    for name, module in vocoder.named_modules():
        if not isinstance(module, NormedKernel) or module.folded:
            continue
        kernel = module.weight_v
        inputs = kernel[0].numel()
        if isinstance(module, UpConv1d):
            inputs = kernel.shape[0] * kernel.shape[2] // module.stride
        gain = next((gain for part, gain in _GAINS.items() if part in name), 1.0)
        kernel.normal_(0, gain / math.sqrt(inputs))
        module.weight_g.copy_(kernel.flatten(1).norm(dim=1).view_as(module.weight_g))
    for down in vocoder.source_downs:
        down.weight.normal_(0, _SOURCE_GAIN / math.sqrt(down.weight[0].numel()))
    source = vocoder.m_source
    source.l_linear.weight.fill_(1 / source.harmonics)
    source.l_linear.bias.zero_()
    bins = vocoder.config.istft_params.n_fft // 2 + 1
    vocoder.conv_post.bias[:bins] = _START_LOG_MAGNITUDE


def load_checkpoint(
    folder: Path, model: OmniForCausalLM | None = None, vocoder: HiFTVocoder | None = None
) -> None:
    """Give the parts the weights of a checkpoint of their sizes, in their own dtype."""
    for part, file in ((model, WEIGHTS_FILE), (vocoder, VOCODER_FILE)):
        if part is not None:
            part.load_state_dict(load_file(folder / file))


def write_checkpoint(model: OmniForCausalLM, vocoder: HiFTVocoder, folder: Path) -> None:
    """A complete trained checkpoint in ``folder``: bfloat16, the vocoder too half as large."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE, {"format": "pt"})
    vocoder_state = {name: tensor.half() for name, tensor in vocoder.state_dict().items()}
    save_file(vocoder_state, folder / VOCODER_FILE)
    for name in DESCRIPTION_FILES:
        if folder.resolve() != NANO_FOLDER.resolve():
            shutil.copyfile(NANO_FOLDER / name, folder / name)
    path = folder / "generation_config.json"
    values = json.loads(path.read_text(encoding="utf-8")) | {"omni": DEFAULTS}
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
