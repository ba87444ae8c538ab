"""An audio tokenizer of a few thousand weights, for tests of behaviour rather than numbers."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from omni.config import OmniConfig
from omni.model.audio.audio_tokenizer import AudioTokenizer

CODEBOOKS = (11, 7, 5)


def tiny_config() -> OmniConfig:
    """Sizes that differ from each other, so that a mix-up of two of them fails."""
    return OmniConfig(
        audio_config={
            "d_model": 24,
            "encoder_layers": 2,
            "encoder_attention_heads": 3,
            "encoder_ffn_dim": 40,
            "decoder_layers": 2,
            "decoder_attention_heads": 2,
            "decoder_ffn_dim": 36,
            "num_mel_bins": 16,
            "vq_config": {"codebook_sizes": list(CODEBOOKS)},
        },
        flow_matching_config={
            "prenet_in_dim": 24,
            "prenet_out_dim": 10,
            "prenet_d_model": 20,
            "prenet_attention_heads": 2,
            "prenet_ffn_dim": 28,
            "prenet_nlayers": 2,
            "prenet_max_source_positions": 50,
            "in_channels": 10,
            "channels": [16],
            "attention_head_dim": 6,
            "num_heads": 3,
            "n_blocks": 1,
            "num_mid_blocks": 1,
            "diffusion_steps": 3,
        },
        vocoder_config={"channels": [8, 8], "num_mel_bins": 10},
    )


@cache
def tiny_tokenizer(dtype: torch.dtype = torch.float32) -> AudioTokenizer:
    """Random weights, the same ones every time: do not change them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AudioTokenizer(tiny_config()).eval().to(dtype)


def random_codes(count: int, seed: int = 0) -> Tensor:
    """Codes ``(count, codebooks)``; the first of fewer are the first of more."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(count, len(CODEBOOKS), generator=generator, dtype=torch.float64)
    return (uniform * torch.tensor(CODEBOOKS)).long()


def random_mel(frames: int, seed: int = 0) -> Tensor:
    """A log-mel ``(mel bins, frames)``."""
    return torch.randn(16, frames, generator=torch.Generator().manual_seed(seed))
