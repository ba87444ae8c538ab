"""Training of the residual quantizer: straight-through gradients, running averages, restarts.

Knows: k-means starts, exponential moving averages of the codebooks, entries that nobody uses.
Does not know: the encoder and the decoder around it.
Source: van den Oord et al., VQ-VAE (arXiv:1711.00937); Zeghidour et al., SoundStream
(arXiv:2107.03312).
"""

from __future__ import annotations

import torch
from torch import Tensor

from omni.model.audio.rvq import AudioBridge, VectorQuantizer

DECAY = 0.99
DEAD_USES = 0.3  # an entry used less often than this in the running average is replaced
KMEANS_ROUNDS = 12


class QuantizerTrainer:
    """Moves a bridge's codebooks while the rest learns by gradients."""

    def __init__(self, bridge: AudioBridge, seed: int = 0) -> None:
        self.bridge = bridge
        self.generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def start(self, latents: Tensor) -> None:
        """K-means of every level, on what the levels before leave of ``latents (n, latent)``."""
        rest = latents.float()
        for level in self.bridge.levels:
            book = level.codebook
            book.embed.copy_(self._kmeans(rest, len(book.embed)))
            book.embed_avg.copy_(book.embed)
            book.cluster_size.fill_(1.0)
            rest = rest - level.decode(level.encode(rest))

    def quantize(self, latents: Tensor, levels: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized latents with a straight-through gradient, and the commitment loss.

        In the middle the same with the coarse codebook alone.

        ``latents (n, latent)``; ``levels``: only the first so many codebooks (a dropout of the
        fine ones). The codebooks move.
        """
        wide = latents.float()
        rest, total = wide.detach(), torch.zeros_like(wide)
        entries: list[Tensor] = []
        commitment = wide.new_zeros(())
        for level in self.bridge.levels[:levels]:
            with torch.no_grad():
                codes = level.encode(rest)
                entry = level.decode(codes)
                self._move(level, rest, codes)
            commitment = commitment + (wide - total - entry).square().mean()
            entries.append(entry)
            total, rest = total + entry, rest - entry
        whole, coarse = (wide + (side - wide).detach() for side in (total, entries[0]))
        return whole, coarse, commitment / len(self.bridge.levels)

    def _move(self, level: VectorQuantizer, rest: Tensor, codes: Tensor) -> None:
        book = level.codebook
        counts = torch.bincount(codes, minlength=len(book.embed)).float()
        sums = torch.zeros_like(book.embed).index_add_(0, codes, rest)
        book.cluster_size.mul_(DECAY).add_(counts, alpha=1 - DECAY)
        book.embed_avg.mul_(DECAY).add_(sums, alpha=1 - DECAY)
        sizes = book.cluster_size.clamp_min(1e-3)[:, None]
        book.embed.copy_(book.embed_avg / sizes)
        dead = (book.cluster_size < DEAD_USES / 10 * len(codes) / len(book.embed)).nonzero()[:, 0]
        if len(dead):
            fresh = rest[self._sample(len(rest), len(dead)).to(rest.device)]
            book.embed[dead] = fresh
            book.cluster_size[dead] = 1.0
            book.embed_avg[dead] = fresh

    def _kmeans(self, points: Tensor, entries: int) -> Tensor:
        centres = points[self._sample(len(points), entries).to(points.device)].clone()
        for _ in range(KMEANS_ROUNDS):
            nearest = torch.cdist(points, centres).argmin(1)
            counts = torch.bincount(nearest, minlength=entries).float()[:, None]
            sums = torch.zeros_like(centres).index_add_(0, nearest, points)
            fresh = points[self._sample(len(points), entries).to(points.device)]
            centres = torch.where(counts > 0, sums / counts.clamp_min(1), fresh)
        return centres

    def _sample(self, total: int, wanted: int) -> Tensor:
        return torch.randint(total, (wanted,), generator=self.generator)
