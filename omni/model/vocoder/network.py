"""The HiFT vocoder's layers and how they are wired, for whole sequences.

Knows: the network (a neural source filter whose output is short Fourier frames, as published with
CosyVoice 2), its names in the published file.
Does not know: pitch and noise of a sequence, pieces (:mod:`omni.model.vocoder.stream`).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from omni.config import VocoderConfig
from omni.model.vocoder.base import VocoderModel
from omni.model.vocoder.layers import Conv1d, Istft, Layers, NormedKernel, ResBlock, Stft, UpConv1d
from omni.model.vocoder.source import F0Predictor, HarmonicSource

PRE_KERNEL = POST_KERNEL = 7
POST_SLOPE = 0.01  # of the leaky ReLU before the last convolution
MAX_MAGNITUDE = 100.0


class HiFTNetwork(VocoderModel):
    """Modules and parameters, named as in the published ``hift.pt``."""

    config_class = VocoderConfig
    landmark = "conv_pre.bias"  # in every spelling of weight norm

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.samples_per_frame = config.samples_per_frame
        n_fft, hop = config.istft_params.n_fft, config.istft_params.hop_len
        widths = [config.base_channels >> stage for stage in range(len(config.upsample_rates) + 1)]

        self.m_source = HarmonicSource(config)
        self.conv_pre = Conv1d(config.in_channels, widths[0], PRE_KERNEL)
        self.ups = Layers[UpConv1d](
            UpConv1d(before, after, kernel, rate)
            for before, after, kernel, rate in zip(
                widths,
                widths[1:],
                config.upsample_kernel_sizes,
                config.upsample_rates,
                strict=False,
            )
        )
        self.source_downs = Layers[Conv1d](
            _source_down(n_fft + 2, width, math.prod(config.upsample_rates[stage + 1 :]))
            for stage, width in enumerate(widths[1:])
        )
        self.source_resblocks = Layers[ResBlock](
            ResBlock(width, kernel, dilations)
            for width, kernel, dilations in zip(
                widths[1:],
                config.source_resblock_kernel_sizes,
                config.source_resblock_dilation_sizes,
                strict=True,
            )
        )
        self.resblocks = Layers[ResBlock](
            ResBlock(width, kernel, dilations)
            for width in widths[1:]
            for kernel, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            )
        )
        self.conv_post = Conv1d(widths[-1], n_fft + 2, POST_KERNEL)
        self.f0_predictor = F0Predictor(config.f0_predictor)
        self.stft = Stft(n_fft, hop)
        self.istft = Istft(n_fft, hop)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.conv_pre.bias.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.conv_pre.bias.dtype

    def fold_weight_norm(self) -> Self:
        """Multiply the weight norm out: faster, the same sound, not for training. Returns self."""
        for module in self.modules():
            if isinstance(module, NormedKernel):
                module.fold()
        return self.requires_grad_(False)

    def for_inference(self) -> Self:
        """With the weight norm multiplied out."""
        return self.fold_weight_norm()

    def adapt(self, names: Collection[str]) -> None:
        """Without weight norm, if it was multiplied out before saving."""
        if "conv_pre.weight" in names:
            self.fold_weight_norm()

    def stage_resblocks(self, stage: int) -> list[ResBlock]:
        """The parallel residual blocks of an upsampling stage; their mean is the output."""
        count = len(self.config.resblock_kernel_sizes)
        return list(self.resblocks)[stage * count : (stage + 1) * count]

    def spectrum(self, mel: Tensor, source: Tensor) -> Tensor:
        """The network's output ``(batch, n_fft + 2, samples // hop + 1)``: log magnitude, phase.

        Args:
            mel: ``(batch, mel bins, frames)``.
            source: the excitation ``(batch, 1, frames * samples_per_frame)``.
        """
        excitation = self.stft(source)
        x = self.conv_pre(mel)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, self.config.lrelu_slope))
            if stage == len(self.ups) - 1:
                # The centred transform has one frame more than there are hops.
                x = F.pad(x, (1, 0), mode="reflect")
            x = x + self.source_resblocks[stage](self.source_downs[stage](excitation))
            blocks = self.stage_resblocks(stage)
            x = sum(block(x) for block in blocks) / len(blocks)
        return self.conv_post(F.leaky_relu(x, POST_SLOPE))

    def synthesize(self, spectrum: Tensor) -> Tensor:
        """The last step: ``(batch, n_fft + 2, n)`` to samples ``(batch, (n - 1) * hop)``."""
        return self.limit(self.istft(self.polar(spectrum)))

    def polar(self, spectrum: Tensor) -> Tensor:
        """The network's output as the inverse transform's input, ``(batch, n_fft + 3, n)``."""
        log_magnitude, phase = spectrum.chunk(2, dim=1)
        return self.istft.frames(log_magnitude.exp().clamp(max=MAX_MAGNITUDE), phase.sin())

    def limit(self, wave: Tensor) -> Tensor:
        """Samples cut at +-``audio_limit``."""
        return wave.clamp(-self.config.audio_limit, self.config.audio_limit)


def _source_down(in_channels: int, width: int, stride: int) -> Conv1d:
    """The excitation's frames at a stage's rate, ``stride`` times fewer."""
    kernel = 1 if stride == 1 else 2 * stride
    padding = 0 if stride == 1 else stride // 2
    return Conv1d(in_channels, width, kernel, stride=stride, padding=padding, norm=False)
