"""The HiFT vocoder: 80-bin mel at 50 frames a second to a 24 kHz waveform, float32.

Knows: from a mel to samples, whole or by a stream.
Does not know: where mels come from, files (:mod:`omni.model.vocoder.checkpoint`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from omni.model.vocoder.network import HiFTNetwork
from omni.model.vocoder.source import SourceNoise
from omni.model.vocoder.stream import VocoderStream


class HiFTVocoder(HiFTNetwork):
    """Mel spectrogram to waveform."""

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

    def stream(
        self,
        *,
        generator: torch.Generator | None = None,
        phase: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> VocoderStream:
        """A new sequence whose frames come piece by piece; arguments as of :meth:`forward`."""

        def draws() -> SourceNoise:
            """Phases and noise of one sequence."""
            return SourceNoise(self.config, generator=generator, phase=phase, noise=noise)

        return VocoderStream(self, draws)
