"""The root-mean-square norm of the language model and the audio head, with a short way for one row.

Knows: one norm. Does not know: who is normalized.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class RMSNorm(nn.RMSNorm):
    """Root-mean-square norm over the last dimension, in float32 (arXiv:1910.07467).

    On the CPU, where torch computes it in nine operations, one row takes three: a frame of speech
    is normalized some seventy times, and each operation costs as much as its arithmetic.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same."""
        if x.device.type != "cpu" or x.numel() != x.shape[-1] or torch.is_grad_enabled():
            return super().forward(x)
        wide = x.float()
        row = wide.reshape(-1)
        assert self.eps is not None
        scale = 1.0 / math.sqrt(float(torch.dot(row, row)) / len(row) + self.eps)
        return (wide * scale).to(x.dtype) * self.weight
