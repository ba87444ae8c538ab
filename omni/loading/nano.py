"""The embedded checkpoint: where it is, and random weights of its shape while it has none.

Knows: the folder that the program ships, the user's cache, how to draw weights whose speech is
audible and never loud. Does not know: loading (it goes the same way as for every checkpoint).
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from omni.shipped import ASSETS

if TYPE_CHECKING:
    from torch import Tensor

    from omni.model.omni import OmniForCausalLM
    from omni.model.vocoder.hift import HiFTVocoder

logger = logging.getLogger(__name__)

NANO_FOLDER = ASSETS / "nano"
DESCRIPTION_FILES = (
    "config.json",
    "generation_config.json",
    "vocoder_config.json",
    "tokenizer.json",
)
WEIGHTS_FILE = "model.safetensors"
VOCODER_FILE = "hift.safetensors"
APP_NAME = "baichuan-omni-webui"

RECIPE = 1  # raise it when the drawing below changes, so that caches are made again
SEED = 20
# Random weights know no end: a turn is kept to a few seconds.
UNTRAINED_LIMITS = {"text_tokens": 16, "audio_frames": 24, "rounds": 2}
SPEECH_RMS = 0.04  # of full scale, of untrained speech
PITCH = 160.0  # Hz, the middle of untrained pitch
PITCH_SPREAD = 20.0  # Hz
PROBE_FRAMES = 100  # of mel, from which the level is set


def nano_folder() -> Path:
    """The embedded checkpoint: the one that ships, else an untrained one, made at first use."""
    if (NANO_FOLDER / WEIGHTS_FILE).is_file():
        return NANO_FOLDER
    return untrained_folder(platformdirs.user_cache_path(APP_NAME))


def untrained_folder(cache: Path) -> Path:
    """The untrained checkpoint below ``cache``, made if it is not there.

    Two processes may make it at once: it appears in one piece. Where ``cache`` cannot be written,
    a temporary folder takes its place for as long as the process runs.
    """
    folder = cache / f"nano-untrained-{_key()}"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
    except OSError as error:
        logger.warning("cannot write to %s (%s): using a temporary folder", cache, error)
        return _temporary_folder()
    try:
        write_untrained(making)
        making.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


@functools.cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="nano-untrained-"))
    write_untrained(folder)
    return folder


def _key() -> str:
    """Changes with everything that the untrained checkpoint is made from."""
    digest = hashlib.sha256(f"{RECIPE} {SEED} {UNTRAINED_LIMITS}".encode())
    for name in DESCRIPTION_FILES:
        digest.update((NANO_FOLDER / name).read_bytes())
    return digest.hexdigest()[:12]


def write_untrained(folder: Path) -> None:
    """Write a complete checkpoint with weights drawn from a fixed seed into ``folder``."""
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model, vocoder = draw_model(), draw_vocoder()
    save_file(model.bfloat16().state_dict(), folder / WEIGHTS_FILE, {"format": "pt"})
    save_file(vocoder.state_dict(), folder / VOCODER_FILE)
    for name in DESCRIPTION_FILES:
        shutil.copyfile(NANO_FOLDER / name, folder / name)
    path = folder / "generation_config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["omni"] = {"trained": False, "limits": UNTRAINED_LIMITS}
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def draw_model() -> OmniForCausalLM:
    """The model with weights from torch's default generator."""
    import torch

    from omni.config import OmniConfig
    from omni.model.omni import OmniForCausalLM
    from omni.prompting.tokenizer import OmniTokenizer

    tokenizer = OmniTokenizer.from_folder(NANO_FOLDER)
    model = OmniForCausalLM(OmniConfig.from_pretrained(NANO_FOLDER))
    broken = [token for token in range(tokenizer.size) if "\ufffd" in tokenizer.piece(token)]
    with torch.no_grad():
        # Far apart enough that sound and text vary.
        for name, weight in model.named_parameters():
            if name.startswith("audio_head.heads.") and name.endswith(".weight"):
                weight.mul_(5)
        model.lm_head.weight.mul_(5)
        # Parts of a character score 0, in the middle: text is rarely unreadable.
        model.lm_head.weight[broken] = 0
    return model.eval()


def draw_vocoder() -> HiFTVocoder:
    """The vocoder with weights from torch's default generator: a soft, hoarse hum."""
    import torch
    from torch import nn

    from omni.config import VocoderConfig
    from omni.model.vocoder.hift import HiFTVocoder

    config = VocoderConfig.from_file(NANO_FOLDER / "vocoder_config.json")
    vocoder = HiFTVocoder(config).eval()
    harmonics = config.nb_harmonics + 1
    bins = config.istft_params.n_fft // 2 + 1
    with torch.no_grad():
        for module in vocoder.modules():
            kernel = getattr(module, "weight_v", getattr(module, "weight", None))
            if isinstance(kernel, nn.Parameter) and kernel.dim() == 3:
                kernel.normal_(0, 1 / math.sqrt(kernel[0].numel()))
                if hasattr(module, "weight_g"):
                    lengths = kernel.flatten(1).norm(dim=1)
                    gain: Tensor = module.weight_g  # type: ignore[assignment]
                    gain.copy_(lengths.view_as(gain))
        pitch = vocoder.f0_predictor.classifier
        pitch.bias.fill_(PITCH)
        pitch.weight.normal_(0, PITCH_SPREAD / math.sqrt(pitch.in_features))
        falling = 0.7 ** torch.arange(harmonics)
        vocoder.m_source.l_linear.weight.copy_(6 * falling[None])
        vocoder.conv_pre.weight_g.mul_(0.3)  # mostly the source, a little of the mel
        vocoder.conv_post.weight_g[:bins].mul_(0.08)  # steady: no bursts
        vocoder.conv_post.weight_g[bins:].mul_(0.25)
        vocoder.conv_post.bias[:bins] -= 0.6 * torch.arange(bins)  # soft highs
        _set_level(vocoder, bins)
    return vocoder


def _set_level(vocoder: HiFTVocoder, bins: int) -> None:
    """Shift the log magnitudes until speech has :data:`SPEECH_RMS` (the clamp makes it inexact)."""
    import torch

    mel = torch.randn(1, vocoder.config.in_channels, PROBE_FRAMES)
    for _ in range(3):
        rms = vocoder(mel).square().mean().sqrt()
        vocoder.conv_post.bias[:bins] += torch.log(SPEECH_RMS / rms)
