"""The Whisper transformer layer, shared by the audio encoder, the audio decoder and the prenet.

Knows: one layer (attention and feed-forward, each behind a norm), the ways a layer can attend
(inside packed items, or causally with or without a cache), sinusoidal positions.
Does not know: convolutions, codes, mels, who stacks the layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.model.layers.linear import Linear

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Query, key and value ``(..., frames, heads, head_dim)`` to the attended values, same shape."""


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last dimension, in float32 (arXiv:1910.07467)."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """``(..., width)`` to the same shape and dtype."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return wide.to(x.dtype) * self.weight


class PackedAttend:
    """Full attention inside each item of a packed sequence, none across items.

    No mask is built, so no row can be fully masked; items of one length share a single call.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = [n for n in lengths if n > 0]

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``(sum of lengths, heads, head_dim)`` each."""
        if not self.lengths:
            return torch.zeros_like(query)
        if len(set(self.lengths)) == 1:
            shape = (len(self.lengths), self.lengths[0], *query.shape[1:])
            out = _attend(query.view(shape), key.view(shape), value.view(shape))
            return out.reshape(query.shape)
        parts = zip(*(x.split(self.lengths) for x in (query, key, value)), strict=True)
        return torch.cat([_attend(*(x[None] for x in part))[0] for part in parts])


class CausalAttend:
    """Every frame sees itself and the frames before it, those of earlier calls included.

    One object serves one layer. Without a cache (``keep=False``) it has no memory.
    """

    def __init__(self, keep: bool = False) -> None:
        self.keep = keep
        self.past: GrowingPair | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``(batch, new frames, heads, head_dim)`` each."""
        if not self.keep:
            return _attend(query, key, value, causal=True)
        if self.past is None:
            self.past = GrowingPair()
        frames = self.past.frames
        key, value = self.past.write(key, value, commit=key.shape[1])
        if frames == 0 or query.shape[1] == 1:
            return _attend(query, key, value, causal=frames == 0 and query.shape[1] > 1)
        seen = torch.ones(query.shape[1], key.shape[1], dtype=torch.bool, device=query.device)
        return _attend(query, key, value, mask=seen.tril(frames))


class GrowingPair:
    """Keys and values ``(batch, frames, heads, head_dim)`` of the frames so far.

    Args:
        context: frames that are kept at most, the last ones; None: all.
    """

    room = 128  # frames by which the buffers grow, so that most calls copy nothing old

    def __init__(self, context: int | None = None) -> None:
        self.context = context
        self.frames = 0
        self.buffers: list[Tensor] = []

    def write(self, key: Tensor, value: Tensor, commit: int) -> tuple[Tensor, Tensor]:
        """Everything kept followed by the new frames; the first ``commit`` new ones stay.

        The returned tensors are views that the next call may overwrite.
        """
        drop = 0 if self.context is None else max(0, self.frames - self.context)
        start = self.frames - drop
        end = start + key.shape[1]
        if drop or not self.buffers or self.buffers[0].shape[1] < end:
            self._make_room(key, value, drop, end)
        for buffer, new in zip(self.buffers, (key, value), strict=True):
            buffer[:, start:end] = new
        self.frames = start + commit
        return self.buffers[0][:, :end], self.buffers[1][:, :end]

    def _make_room(self, key: Tensor, value: Tensor, drop: int, end: int) -> None:
        """New buffers for ``end`` frames and more, without the first ``drop`` old ones."""
        room = -(-end // self.room) * self.room
        grown = [x.new_empty(x.shape[0], room, *x.shape[2:]) for x in (key, value)]
        if self.buffers:
            for new, old in zip(grown, self.buffers, strict=True):
                new[:, : self.frames - drop] = old[:, drop : self.frames]
        self.buffers = grown


class SelfAttention(nn.Module):
    """Multi-head attention with Whisper's names; the key projection has no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads = heads
        self.k_proj = Linear(width, width, bias=False)
        self.v_proj = Linear(width, width)
        self.q_proj = Linear(width, width)
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        """``(..., frames, width)`` to the same shape."""
        query, key, value = (
            proj(x).unflatten(-1, (self.heads, -1))
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(attend(query, key, value).flatten(-2))


class WhisperLayer(nn.Module):
    """``x += attention(norm(x)); x += fc2(gelu(fc1(norm(x))))`` (exact GELU).

    Args:
        rms: RMS norms (the prenet) in place of layer norms.
    """

    def __init__(self, width: int, heads: int, ffn: int, rms: bool = False) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.self_attn_layer_norm = RMSNorm(width) if rms else nn.LayerNorm(width)
        self.fc1 = Linear(width, ffn)
        self.fc2 = Linear(ffn, width)
        self.final_layer_norm = RMSNorm(width) if rms else nn.LayerNorm(width)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        """``(..., frames, width)`` to the same shape."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), attend)
        x = x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))
        if x.dtype == torch.float16:  # float16 overflows where the published bf16 does not
            limit = torch.finfo(x.dtype).max - 1000
            x = x.clamp(-limit, limit)
        return x


def sinusoids(positions: int, width: int) -> Tensor:
    """Whisper's position table ``(positions, width)``: sines, then cosines (arXiv:1706.03762)."""
    half = width // 2
    rates = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half))
    angles = torch.arange(positions)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def add_positions(x: Tensor, table: Tensor) -> Tensor:
    """``x (..., frames, width)`` plus a table ``(frames, width)``, summed in float32."""
    return (x.float() + table.float()).to(x.dtype)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Scaled dot-product attention over ``(batch, frames, heads, head_dim)``."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    return out.transpose(1, 2)
