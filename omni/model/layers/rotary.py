"""Rotary positions (Su et al. 2021, RoFormer) in the rotate-half layout, of tokens and of patches.

Knows: angles, their cosines and sines, how they turn queries and keys. Nothing here is a module or
a buffer, so a model that was built on the meta device has nothing to fill in.
Does not know: attention, weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]  # cosines and sines, float32, (..., head_dim)
Grid = tuple[int, int]  # patches down, patches across

PATCH_THETA = 10_000.0


def rotation(angles: Tensor) -> Rotation:
    """Cosines and sines (..., head_dim) of ``angles`` (..., head_dim / 2)."""
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Turn ``x`` (..., head_dim); in float32, then back to its dtype."""
    cos, sin = by
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    return torch.addcmul(wide * cos, torch.cat((-second, first), dim=-1), sin).to(x.dtype)


class TokenAngles:
    """Angles of token positions; the frequencies are computed at first use on each device."""

    def __init__(self, head_dim: int, theta: float) -> None:
        self.head_dim = head_dim
        self.theta = theta
        self._frequencies: dict[torch.device, Tensor] = {}

    def frequencies(self, device: torch.device) -> Tensor:
        """theta^(-2i / head_dim), float32 (head_dim / 2,)."""
        if device not in self._frequencies:
            # Outside of inference mode, so that a model which answered once can still be trained.
            with torch.inference_mode(False):
                steps = torch.arange(0, self.head_dim, 2, dtype=torch.float32, device=device)
                self._frequencies[device] = 1.0 / self.theta ** (steps / self.head_dim)
        return self._frequencies[device]

    def __call__(self, position_ids: Tensor) -> Tensor:
        """float32 (batch, positions, head_dim / 2) for ``position_ids`` (batch, positions)."""
        return position_ids[..., None].float() * self.frequencies(position_ids.device)


def patch_positions(grids: Sequence[Grid], merge: int, device: torch.device) -> Tensor:
    """Row and column of every patch, int64 (patches, 2).

    The patches of a picture come in blocks of ``merge`` x ``merge``; the blocks, and the patches
    inside a block, row by row.
    """
    positions = []
    for height, width in grids:
        rows = torch.arange(height, device=device)[:, None].expand(height, width)
        columns = torch.arange(width, device=device)[None, :].expand(height, width)
        both = torch.stack((rows, columns), dim=-1)
        blocks = both.reshape(height // merge, merge, width // merge, merge, 2)
        positions.append(blocks.transpose(1, 2).reshape(-1, 2))
    return torch.cat(positions)


def patch_angles(positions: Tensor, head_dim: int) -> Tensor:
    """Angles of patches, float32 (patches, head_dim / 2): one half by row, one half by column.

    ``positions`` (patches, 2). The frequencies are 10000^(-2i / (head_dim / 2)).
    """
    half = head_dim // 2
    steps = torch.arange(0, half, 2, dtype=torch.float32, device=positions.device)
    frequencies = 1.0 / PATCH_THETA ** (steps / half)
    return (positions[..., None].float() * frequencies).flatten(1)
