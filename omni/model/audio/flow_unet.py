"""The flow estimator: the velocity of the mel at one time of the flow (a Matcha-style UNet).

Knows: causal convolutions, residual blocks, transformer blocks with the 100-frame mask, the time
embedding, and the memory with which frames can follow frames that are done.
Does not know: the solver, guidance, noise, codes.
The UNet has one resolution, so "down" and "up" are names of the checkpoint only.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.config import FlowConfig
from omni.model.layers.whisper import GrowingPair

BLOCK_FRAMES = 100  # a frame sees its own block of 2 s to the end, and everything before it


class UNetMemory:
    """What the estimator keeps of the frames before, at one step of the solver.

    Keys and values of each attention, the last inputs of each causal convolution. Set ``commit``
    before a call: how many of its frames stay (those after them are computed again later).

    Args:
        context: frames that attention can look back at; None: all.
    """

    def __init__(self, context: int | None = None) -> None:
        self.context = context
        self.frames = 0
        self.commit = 0
        self._convs: dict[int, Tensor] = {}
        self._pairs: dict[int, GrowingPair] = {}

    def left(self, index: int, x: Tensor, frames: int) -> Tensor:
        """``x (batch, frames, channels)`` behind the ``frames`` inputs that came before it."""
        past = self._convs.get(index)
        if past is None:
            past = x.new_zeros(x.shape[0], frames, x.shape[2])
        x = torch.cat((past, x), dim=1)
        if self.commit:
            self._convs[index] = x[:, self.commit : self.commit + frames].clone()
        return x

    def keys_and_values(self, index: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Those of all frames so far, ``(batch, frames, heads, head_dim)``."""
        pair = self._pairs.setdefault(index, GrowingPair(self.context))
        return pair.write(key, value, self.commit)

    def advance(self) -> None:
        """The call is over: count the frames of it that stay."""
        self.frames += self.commit


class CausalConv(nn.Conv1d):
    """A convolution over ``(batch, frames, channels)`` that sees no later frame."""

    def __init__(self, channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__(channels, out_channels, kernel)
        self.index = 0  # which convolution of the UNet this is, in its memory

    def forward(self, x: Tensor, memory: UNetMemory | None = None) -> Tensor:
        """``(batch, frames, channels)`` to ``(batch, frames, out_channels)``."""
        left = self.kernel_size[0] - 1
        x = F.pad(x, (0, 0, left, 0)) if memory is None else memory.left(self.index, x, left)
        # a matrix product over windows: channels stay last, and in bf16 it is many times faster
        # than the convolution on a CPU
        windows = x.unfold(1, left + 1, 1).flatten(2)
        return F.linear(windows, self.weight.flatten(1), self.bias)


class PointwiseConv(nn.Conv1d):
    """A convolution of one frame: a matrix product over ``(batch, frames, channels)``."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, frames, channels)`` to ``(batch, frames, out_channels)``."""
        return F.linear(x, self.weight[:, :, 0], self.bias)


class ConvBlock(nn.Module):
    """Causal convolution, layer norm over the channels, Mish."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.ModuleDict(
            {"0": CausalConv(channels, out_channels), "2": nn.LayerNorm(out_channels)}
        )

    def forward(self, x: Tensor, mask: Tensor | None, memory: UNetMemory | None) -> Tensor:
        """``(batch, frames, channels)`` to ``(batch, frames, out_channels)``."""
        x = F.mish(self.block["2"](self.block["0"](_masked(x, mask), memory)))
        return _masked(x, mask)


class ResBlock(nn.Module):
    """Two convolution blocks with the time in between, around a pointwise convolution."""

    def __init__(self, channels: int, out_channels: int, time_width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_width, out_channels))
        self.block1 = ConvBlock(channels, out_channels)
        self.block2 = ConvBlock(out_channels, out_channels)
        self.res_conv = PointwiseConv(channels, out_channels)

    def forward(
        self, x: Tensor, time: Tensor, mask: Tensor | None, memory: UNetMemory | None
    ) -> Tensor:
        """``x (batch, frames, channels)``, ``time (1, time_width)``."""
        hidden = self.block1(x, mask, memory) + self.mlp(time)[:, None]
        return self.block2(hidden, mask, memory) + self.res_conv(_masked(x, mask))


class CrossFrameAttention(nn.Module):
    """Multi-head attention with the names of diffusers' ``attn1``."""

    def __init__(self, channels: int, heads: int, head_dim: int) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads = heads
        self.index = 0  # which attention of the UNet this is, in its memory
        self.to_q = nn.Linear(channels, inner, bias=False)
        self.to_k = nn.Linear(channels, inner, bias=False)
        self.to_v = nn.Linear(channels, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, channels)])

    def forward(self, x: Tensor, seen: Tensor | None, memory: UNetMemory | None) -> Tensor:
        """``(batch, frames, channels)`` to the same shape; ``seen`` as in :func:`seen_frames`."""
        query, key, value = (
            proj(x).unflatten(-1, (self.heads, -1)) for proj in (self.to_q, self.to_k, self.to_v)
        )
        if memory is not None:
            key, value = memory.keys_and_values(self.index, key, value)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return self.to_out[0](out.transpose(1, 2).flatten(-2))


class GeluProjection(nn.Module):
    """A linear layer and the exact GELU."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., channels)`` to ``(..., out_channels)``."""
        return F.gelu(self.proj(x))


class FeedForward(nn.Module):
    """The feed-forward part, with the names of diffusers' ``ff``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 4 * channels
        self.net = nn.Sequential(
            GeluProjection(channels, wide), nn.Identity(), nn.Linear(wide, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(..., channels)`` to the same shape."""
        return self.net(x)


class TransformerBlock(nn.Module):
    """``x += attention(norm1(x)); x += feed_forward(norm3(x))``."""

    def __init__(self, config: FlowConfig, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = CrossFrameAttention(channels, config.num_heads, config.attention_head_dim)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, seen: Tensor | None, memory: UNetMemory | None) -> Tensor:
        """``(batch, frames, channels)`` to the same shape."""
        x = x + self.attn1(self.norm1(x), seen, memory)
        return x + self.ff(self.norm3(x))


class Stage(nn.ModuleList):
    """A residual block, transformer blocks and perhaps a convolution for :meth:`convolve`."""

    def __init__(
        self, config: FlowConfig, channels: int, time_width: int, conv: CausalConv | None = None
    ) -> None:
        width = config.channels[0]
        blocks = (TransformerBlock(config, width) for _ in range(config.n_blocks))
        parts = [ResBlock(channels, width, time_width), nn.ModuleList(blocks)]
        super().__init__(parts if conv is None else [*parts, conv])

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        mask: Tensor | None,
        seen: Tensor | None,
        memory: UNetMemory | None,
    ) -> Tensor:
        """``(batch, frames, channels)`` to ``(batch, frames, width)``, without the convolution."""
        x = self[0](x, time, mask, memory)
        for block in self[1].children():
            x = block(x, seen, memory)
        return x

    def convolve(self, x: Tensor, mask: Tensor | None, memory: UNetMemory | None) -> Tensor:
        """The convolution after the blocks, ``(batch, frames, width)`` to the same shape."""
        return self[2](_masked(x, mask), memory)


class TimeEmbedding(nn.Module):
    """Sinusoids of ``1000 t``, then two linear layers."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.waves = width // 2
        self.linear_1 = nn.Linear(width, out_width)
        self.linear_2 = nn.Linear(out_width, out_width)

    def forward(self, t: Tensor) -> Tensor:
        """Times ``()`` or ``(n,)`` float32 in 0..1 to ``(n, out_width)``."""
        steps = torch.arange(self.waves, device=t.device, dtype=torch.float32)
        rates = torch.exp(-math.log(10_000) / (self.waves - 1) * steps)
        angles = 1000 * t.float().reshape(-1, 1) * rates
        x = torch.cat((angles.sin(), angles.cos()), dim=-1).to(self.linear_1.weight.dtype)
        return self.linear_2(F.silu(self.linear_1(x)))


class FlowUNet(nn.Module):
    """``conditional_decoder`` of the flow matching decoder."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        _check(config)
        mel, width = config.in_channels, config.channels[0]
        time_width = 4 * width
        self.time_mlp = TimeEmbedding(2 * mel, time_width)

        def conv() -> CausalConv:
            """One that leaves width and length as they are."""
            return CausalConv(width, width)

        self.down_blocks = nn.ModuleList([Stage(config, 2 * mel, time_width, conv())])
        self.mid_blocks = nn.ModuleList(
            Stage(config, width, time_width) for _ in range(config.num_mid_blocks)
        )
        self.up_blocks = nn.ModuleList([Stage(config, 2 * width, time_width, conv())])
        self.final_block = ConvBlock(width, width)
        self.final_proj = PointwiseConv(width, mel)
        for kind in (CausalConv, CrossFrameAttention):
            for i, module in enumerate(m for m in self.modules() if isinstance(m, kind)):
                module.index = i

    def forward(
        self,
        x: Tensor,
        mu: Tensor,
        t: Tensor,
        lengths: Tensor | None = None,
        memory: UNetMemory | None = None,
    ) -> Tensor:
        """The velocity at time ``t``, zero beyond each length.

        Args:
            x: the mel at time ``t``, ``(batch, frames, mel bins)``.
            mu: the mean mel, or zeros for the branch without guidance, same shape.
            t: float32, 0 to 1, one for all.
            lengths: valid frames of each item ``(batch,)``; None: all.
            memory: of the frames before these (one stream, no padding).
        """
        if memory is None:
            seen = seen_frames(x.shape[1], lengths, x.device)
        elif memory.frames // BLOCK_FRAMES == (memory.frames + x.shape[1] - 1) // BLOCK_FRAMES:
            seen = None  # frames of one block see each other and everything before
        else:
            raise ValueError("with a memory, a call is inside one block of frames")
        mask = None
        if lengths is not None:
            mask = torch.arange(x.shape[1], device=x.device)[:, None] < lengths[:, None, None]
        time = self.time_mlp(t)
        x = torch.cat((x, mu), dim=-1)
        down, up = (cast(Stage, blocks[0]) for blocks in (self.down_blocks, self.up_blocks))
        x = skip = down(x, time, mask, seen, memory)
        x = down.convolve(x, mask, memory)
        for stage in self.mid_blocks:
            x = stage(x, time, mask, seen, memory)
        x = up(torch.cat((x, skip), dim=-1), time, mask, seen, memory)
        x = up.convolve(x, mask, memory)
        x = self.final_block(x, mask, memory)
        x = _masked(self.final_proj(_masked(x, mask)), mask)
        if memory is not None:
            memory.advance()
        return x


def seen_frames(frames: int, lengths: Tensor | None, device: torch.device) -> Tensor | None:
    """Which frames see which, the block mask and the padding together.

    Returns:
        bool ``(batch or 1, 1, frames or 1, frames)``, or None where all see all.
    """
    seen = None
    positions = torch.arange(frames, device=device)
    if frames > BLOCK_FRAMES:
        block = positions // BLOCK_FRAMES
        seen = (block[None] <= block[:, None])[None, None]
    if lengths is not None:
        # an empty item would see nothing: it sees the first frame, and is masked afterwards
        valid = (positions < lengths.clamp_min(1)[:, None])[:, None, None]
        seen = valid if seen is None else seen & valid
    return seen


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _check(config: FlowConfig) -> None:
    if len(config.channels) != 1:
        raise ValueError(f"channels {config.channels}: one resolution is supported")
    if config.act_fn != "gelu":
        raise ValueError(f"unknown activation {config.act_fn!r}")
    if config.spk_emb_dim:
        raise ValueError("speaker embeddings are not supported: the codes carry the voice")
