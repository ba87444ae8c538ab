"""The vision tower (Qwen2-VL's, without merger) and the bridge to the language model.

Knows: flattened patches in merge order, their grids, attention within each picture.
Does not know: pixels, files, frames of a clip (a frame is a picture like any other).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.config import VisualConfig
from omni.libraries.hugging_face import ACT2FN
from omni.model.layers.linear import Linear, linear
from omni.model.layers.rotary import Grid, Rotation, patch_angles, patch_positions, rotate, rotation

Run = tuple[int, int]  # pictures in a row of one size: patches of one, how many
NORM_EPS = 1e-6


class PatchProjection(nn.Conv3d):
    """A convolution whose stride is its kernel, given the flattened patches: a matrix product."""

    def forward(self, input: Tensor) -> Tensor:  # the base class's argument name
        """(patches, channels * time * height * width) to (patches, width)."""
        return linear(input, self.weight.flatten(1))


class PatchEmbed(nn.Module):
    """Flattened patches to the tower's width."""

    def __init__(self, config: VisualConfig) -> None:
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = PatchProjection(
            config.in_channels, config.embed_dim, kernel, stride=kernel, bias=False
        )

    def forward(self, patches: Tensor) -> Tensor:
        """(patches, 1176) to (patches, embed_dim), in the tower's dtype."""
        return self.proj(patches.to(self.proj.weight.dtype))


class VisualAttention(nn.Module):
    """Full attention among the patches of each picture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor, rotary: Rotation, runs: Sequence[Run]) -> Tensor:
        """``x`` (patches, width), ``rotary`` (patches, head_dim) to (patches, width)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3)
        query, key = rotate(qkv[:2], rotary)
        return self.proj(torch.cat(_attend(query, key, qkv[2], runs)))


def _attend(query: Tensor, key: Tensor, value: Tensor, runs: Sequence[Run]) -> list[Tensor]:
    """(heads, patches, head_dim) to (patches of the run, width) of every run."""
    mixed = []
    start = 0
    for length, count in runs:
        end = start + length * count
        pictures = (
            tensor[:, start:end].unflatten(1, (count, length)).transpose(0, 1)
            for tensor in (query, key, value)
        )
        found = F.scaled_dot_product_attention(*pictures)  # (count, heads, length, head_dim)
        mixed.append(found.transpose(1, 2).flatten(2).flatten(0, 1))
        start = end
    return mixed


class VisualFeedForward(nn.Module):
    """Two linear layers."""

    def __init__(self, config: VisualConfig) -> None:
        super().__init__()
        self.fc1 = Linear(config.embed_dim, config.mlp_dim)
        self.fc2 = Linear(config.mlp_dim, config.embed_dim)
        self.act = ACT2FN[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same."""
        return self.fc2(self.act(self.fc1(x)))


class VisualBlock(nn.Module):
    """Attention and feed-forward, each on the normalized input and added to it."""

    def __init__(self, config: VisualConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.attn = VisualAttention(config.embed_dim, config.num_heads)
        self.mlp = VisualFeedForward(config)

    def forward(self, x: Tensor, rotary: Rotation, runs: Sequence[Run]) -> Tensor:
        """(patches, width) to the same."""
        x = x + self.attn(self.norm1(x), rotary, runs)
        return x + self.mlp(self.norm2(x))


class VisualTower(nn.Module):
    """Patches to features; no final norm and no merger."""

    def __init__(self, config: VisualConfig) -> None:
        super().__init__()
        self.merge = config.spatial_merge_size
        self.head_dim = config.embed_dim // config.num_heads
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(VisualBlock(config) for _ in range(config.depth))

    def forward(self, patches: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Features of pictures, one after the other, with no effect on each other.

        Args:
            patches: (sum of the grids' patches, 1176), in merge order.
            grids: patches down and across, of each picture.

        Returns:
            (patches, embed_dim).
        """
        x = self.patch_embed(patches)
        positions = patch_positions(grids, self.merge, x.device)
        rotary = rotation(patch_angles(positions, self.head_dim))
        # Neighbours of one size, such as the frames of a clip, share a call of attention.
        sizes = groupby(height * width for height, width in grids)
        runs = [(length, len(list(same))) for length, same in sizes]
        for block in self.blocks:
            x = block(x, rotary, runs)
        return x


class VisualBridge(nn.Module):
    """Each block of 2 x 2 patches to one row of the language model."""

    def __init__(self, config: VisualConfig, width: int) -> None:
        super().__init__()
        merged = config.merged_patches * config.embed_dim
        self.merged = merged
        self.ln_q = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.mlp = nn.Sequential(Linear(merged, merged), nn.GELU(), Linear(merged, width))

    def forward(self, features: Tensor) -> Tensor:
        """(patches, embed_dim) to (patches / 4, width)."""
        return self.mlp(self.ln_q(features).view(-1, self.merged))
