"""The prenet: hidden frames of the audio decoder to the mean mel that guides the flow.

Knows: an input network, causal layers with RMS norms and no positions, and how they go on while
more frames come.
Does not know: codes, noise, the flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omni.config import FlowConfig
from omni.model.layers.linear import Linear
from omni.model.layers.whisper import CausalAttend, RMSNorm, WhisperLayer, sinusoids
from omni.model.streaming import Stream


class Prenet(nn.Module):
    """``prenet`` of the flow matching decoder."""

    positional_embedding: Tensor

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        if config.prenet_target_mel_length_scale_ratio != 1:
            raise ValueError("the prenet keeps the number of frames: a ratio of 1 is supported")
        if config.prenet_activation_function != "gelu":
            raise ValueError(f"unknown activation {config.prenet_activation_function!r}")
        width = config.prenet_d_model
        self.in_mlp = nn.Sequential(
            Linear(config.prenet_in_dim, 4 * width), nn.SiLU(), Linear(4 * width, width)
        )
        # in the checkpoint, read by nothing
        positions = sinusoids(config.prenet_max_source_positions, width)
        self.register_buffer("positional_embedding", positions)
        self.transformer_layers = nn.ModuleList(
            WhisperLayer(width, config.prenet_attention_heads, config.prenet_ffn_dim, rms=True)
            for _ in range(config.prenet_nlayers)
        )
        self.final_norm = RMSNorm(width)
        self.out_proj = Linear(width, config.prenet_out_dim, bias=False)

    def forward(self, hidden: Tensor, attends: list[CausalAttend] | None = None) -> Tensor:
        """``(batch, frames, prenet_in_dim)`` to the mean mel ``(batch, frames, mel bins)``.

        Args:
            attends: the memory of each layer, where the frames continue earlier ones.
        """
        x = self.in_mlp(hidden)
        for i, layer in enumerate(self.transformer_layers):
            x = layer(x, attends[i] if attends else CausalAttend())
        return self.out_proj(self.final_norm(x))


@dataclass
class PrenetState:
    """``attends``: the frames that each layer remembers."""

    attends: list[CausalAttend]


class PrenetStream(Stream[Tensor, Tensor, PrenetState]):
    """Hidden frames ``(1, frames, prenet_in_dim)`` to the mean mel ``(1, frames, mel bins)``.

    Every frame is final at once, and equals that of :meth:`Prenet.forward` for every cut.
    """

    def __init__(self, prenet: Prenet) -> None:
        self.prenet = prenet
        super().__init__()

    def new_state(self) -> PrenetState:
        """No frame was taken."""
        return PrenetState([CausalAttend(keep=True) for _ in self.prenet.transformer_layers])

    @torch.inference_mode(False)
    @torch.no_grad()
    def advance(self, piece: Tensor | None, last: bool) -> Tensor:
        """The mean mel of the frames that came."""
        if piece is None or not piece.shape[1]:
            weight = self.prenet.out_proj.weight
            return weight.new_empty(1, 0, weight.shape[0])
        return self.prenet(piece, self.state.attends)
