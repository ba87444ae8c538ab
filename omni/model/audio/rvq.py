"""The audio bridge: hidden frames to codes and codes back to vectors (residual quantization).

Knows: pooling P hidden frames into one latent, nearest entries codebook by codebook, the sum of
entries. Distances are float32 whatever the dtype of the weights.
Does not know: mels, the language model, how codebooks are trained.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.config import AudioConfig


class Codebook(nn.Module):
    """Entries ``embed`` (K, latent); the other two are the training's running averages."""

    def __init__(self, entries: int, latent: int) -> None:
        super().__init__()
        # moved by running averages, never by a gradient
        self.cluster_size = nn.Parameter(torch.zeros(entries), requires_grad=False)
        self.embed_avg = nn.Parameter(torch.randn(entries, latent), requires_grad=False)
        self.embed = nn.Parameter(self.embed_avg.detach().clone(), requires_grad=False)


class VectorQuantizer(nn.Module):
    """One level of the residual quantizer."""

    def __init__(self, entries: int, latent: int) -> None:
        super().__init__()
        self.codebook = Codebook(entries, latent)

    def distances(self, x: Tensor) -> Tensor:
        """Euclidean distances ``(n, K)`` of ``x (n, latent)``, float32."""
        with torch.autocast(x.device.type, enabled=False):
            x, entries = x.float(), self.codebook.embed.float()
            squares = x.square().sum(1, keepdim=True) + entries.square().sum(1) - 2 * x @ entries.T
        return squares.clamp_min(0).sqrt()

    def encode(self, x: Tensor) -> Tensor:
        """The nearest entry ``(n,)`` of ``x (n, latent)``; the lowest index where two tie."""
        return self.distances(x).argmin(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Entries ``(n, latent)`` of ``codes (n,)``, float32."""
        return F.embedding(codes, self.codebook.embed).float()


class AudioBridge(nn.Module):
    """``audio_tokenizer.audio_bridge_model`` of the checkpoint."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.pool, width, latent = config.avg_pooler, config.d_model, config.latent_dim
        self.gate_proj = nn.Conv1d(width, latent, self.pool, stride=self.pool, bias=False)
        self.up_proj = nn.Conv1d(width, latent, self.pool, stride=self.pool, bias=False)
        self.down_proj = nn.Linear(latent, latent, bias=False)
        self.layer_norm = nn.LayerNorm(latent)
        self.proj_decoder = nn.Linear(latent, width)
        self.vq_list = nn.ModuleList(
            VectorQuantizer(size, latent) for size in config.codebook_sizes
        )

    @property
    def levels(self) -> list[VectorQuantizer]:
        """The quantizers, coarse to fine."""
        return [cast(VectorQuantizer, level) for level in self.vq_list]

    def code_length(self, hidden_frames: int) -> int:
        """Codes of ``hidden_frames``: whole groups only."""
        return hidden_frames // self.pool

    def latents(self, hidden: Tensor) -> Tensor:
        """Pool hidden frames ``(batch, frames, width)`` to ``(batch, ceil(frames / P), latent)``.

        The frames are zero-padded to a multiple of P; the row that mixes in padding is not one of
        the :meth:`code_length` rows that become codes.
        """
        hidden = F.pad(hidden, (0, 0, 0, -hidden.shape[1] % self.pool))
        x = hidden.transpose(1, 2)
        mixed = (F.silu(self.gate_proj(x)) * self.up_proj(x)).transpose(1, 2)
        return self.layer_norm(self.down_proj(mixed) + hidden.reshape(mixed.shape))

    def quantize(self, latents: Tensor) -> Tensor:
        """Codes int64 ``(n, codebooks)`` of ``latents (n, latent)``.

        What a level leaves over is rounded to the dtype of ``latents`` before the next one, as
        the published bf16 run does.
        """
        rest, codes = latents, []
        for level in self.levels:
            codes.append(level.encode(rest))
            rest = (rest.float() - level.decode(codes[-1])).to(latents.dtype)
        return torch.stack(codes, dim=-1)

    def encode(self, hidden: Tensor) -> Tensor:
        """Codes int64 ``(frames // P, codebooks)`` of one item ``(frames, width)``."""
        latents = self.latents(hidden[None])[0]
        return self.quantize(latents[: self.code_length(len(hidden))])

    def recover(self, codes: Tensor) -> Tensor:
        """The sum of entries, float32 ``(..., latent)``, of ``codes (..., codebooks)``."""
        entries = [
            level.decode(part) for level, part in zip(self.levels, codes.unbind(-1), strict=True)
        ]
        total = entries.pop()
        while entries:  # from the last codebook to the first, as the published code sums them
            total = total + entries.pop()
        return total

    def decode(self, codes: Tensor) -> Tensor:
        """Audio embeddings ``(..., width)`` of ``codes (..., codebooks)``."""
        return self.proj_decoder(self.recover(codes).to(self.proj_decoder.weight.dtype))
