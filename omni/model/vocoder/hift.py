"""The HiFT vocoder: 80-bin mel at 50 frames a second to a 24 kHz waveform, float32.

Knows: the network (a neural source filter whose output is short Fourier frames, as published with
CosyVoice 2) on whole sequences, and that piecewise runs are :class:`VocoderStream`'s.
Does not know: where mels come from, files (:mod:`omni.model.vocoder.checkpoint`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.config import VocoderConfig
from omni.model.vocoder.layers import Conv1d, Istft, Layers, NormedKernel, ResBlock, Stft, UpConv1d
from omni.model.vocoder.source import F0Predictor, HarmonicSource, SourceNoise, samples_per_frame

if TYPE_CHECKING:
    from omni.model.vocoder.stream import VocoderStream

PRE_KERNEL = POST_KERNEL = 7
POST_SLOPE = 0.01  # of the leaky ReLU before the last convolution
MAX_MAGNITUDE = 100.0


class HiFTVocoder(nn.Module):
    """Mel spectrogram to waveform.

    Modules and parameters are named as in the published ``hift.pt``.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.samples_per_frame = samples_per_frame(config)
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

    def fold_weight_norm(self) -> HiFTVocoder:
        """Multiply the weight norm out: faster, the same sound, not for training. Returns self."""
        for module in self.modules():
            if isinstance(module, NormedKernel):
                module.fold()
        return self.requires_grad_(False)

    def stage_resblocks(self, stage: int) -> list[ResBlock]:
        """The parallel residual blocks of an upsampling stage; their mean is the output."""
        count = len(self.config.resblock_kernel_sizes)
        return list(self.resblocks)[stage * count : (stage + 1) * count]

    def forward(
        self,
        mel: Tensor,
        *,
        f0: Tensor | None = None,
        phase: Tensor | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The waveform ``(batch, frames * samples_per_frame)`` of ``(batch, mel bins, frames)``.

        Args:
            mel: natural logarithm of the mel spectrogram.
            f0: pitch in Hz, ``(batch, frames)``; predicted when None.
            phase: see :class:`SourceNoise`.
            noise: see :class:`SourceNoise`.
            generator: see :class:`SourceNoise`.
        """
        if not mel.shape[-1]:
            return mel.new_zeros(len(mel), 0)
        f0 = self.f0_predictor.precise()(mel) if f0 is None else f0
        draws = SourceNoise(self.config, len(mel), generator=generator, phase=phase, noise=noise)
        source, _ = self.m_source(f0, draws.phase, draws.frames(0, f0.shape[1]))
        return self.synthesize(self.spectrum(mel, source))

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

    def stream(
        self,
        *,
        generator: torch.Generator | None = None,
        phase: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> VocoderStream:
        """A new sequence whose frames come piece by piece; arguments as of :meth:`forward`."""
        from omni.model.vocoder.stream import VocoderStream

        draws = SourceNoise(self.config, generator=generator, phase=phase, noise=noise)
        return VocoderStream(self, draws)


def _source_down(in_channels: int, width: int, stride: int) -> Conv1d:
    """The excitation's frames at a stage's rate, ``stride`` times fewer."""
    kernel = 1 if stride == 1 else 2 * stride
    padding = 0 if stride == 1 else stride // 2
    return Conv1d(in_channels, width, kernel, stride=stride, padding=padding, norm=False)
