"""The audio encoder: log-mel frames to hidden frames at 50 Hz (the shape of Whisper large-v3).

Knows: two convolutions, positions, transformer layers over packed items, frame counts.
Does not know: waveforms, how a mel is made, codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.config import AudioConfig
from omni.model.layers.whisper import PackedAttend, WhisperLayer, add_positions, sinusoids


class AudioEncoder(nn.Module):
    """``audio_tokenizer.audio_model`` of the checkpoint."""

    positional_embedding: Tensor

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        width = config.d_model
        self.stride = config.stride_size
        padding = config.kernel_size // 2
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, config.kernel_size, padding=padding)
        self.conv2 = nn.Conv1d(
            width, width, config.kernel_size, stride=self.stride, padding=padding
        )
        # persistent: the checkpoint's own rounding of the table counts
        self.register_buffer("positional_embedding", sinusoids(config.max_encoder_frames, width))
        self.layers = nn.ModuleList(
            WhisperLayer(width, config.encoder_attention_heads, config.encoder_ffn_dim)
            for _ in range(config.encoder_layers)
        )
        self.layer_norm = nn.LayerNorm(width)

    def output_length(self, frames: int) -> int:
        """Hidden frames of ``frames`` mel frames."""
        return (frames - 1) // self.stride + 1

    def forward(self, mels: Sequence[Tensor], batch_padding: bool = False) -> list[Tensor]:
        """Encode each mel by itself; attention never crosses items.

        Args:
            mels: ``(mel bins, frames)`` each, as many frames as are valid.
            batch_padding: what the published code does to mels that it runs together (those of
                one prompt, the pieces of a long recording): zero-pad all to the longest. The
                first convolution turns padding into gelu(bias), which the second one reads at
                the last hidden frame of a shorter mel with an odd number of frames. The rest of
                the padding is never read, so one zero frame gives the same numbers.

        Returns:
            ``(hidden frames, width)`` each.

        Raises:
            ValueError: a mel has no frames or more than the positions allow.
        """
        if not mels:
            return []
        longest = max(mel.shape[-1] for mel in mels)
        if min(mel.shape[-1] for mel in mels) < 1:
            raise ValueError("a mel has no frames")
        limit = self.positional_embedding.shape[0]
        if self.output_length(longest) > limit:
            raise ValueError(f"{longest} mel frames: {limit * self.stride} are the most at a time")
        hidden = [self._convolve(mel, batch_padding and mel.shape[-1] < longest) for mel in mels]
        lengths = [len(x) for x in hidden]
        x, attend = torch.cat(hidden), PackedAttend(lengths)
        for layer in self.layers:
            x = layer(x, attend)
        return list(self.layer_norm(x).split(lengths))

    def _convolve(self, mel: Tensor, padded: bool) -> Tensor:
        frames = self.output_length(mel.shape[-1])
        x = mel[None].to(self.conv1.weight)
        if padded:
            x = F.pad(x, (0, 1))
        x = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return add_positions(x[0, :, :frames].T, self.positional_embedding[:frames])
