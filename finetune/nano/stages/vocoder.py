"""Stage 2: the vocoder, from true mels and measured pitch to the waveform.

Knows: short crops, spectral losses at several resolutions.
Does not know: codes. Float32 throughout, as the vocoder runs.
Source of the losses: Yamamoto et al., Parallel WaveGAN (arXiv:1910.11480).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from finetune.nano.base.loop import Losses
from finetune.nano.speech import mel as target
from finetune.nano.speech.store import UtteranceStore
from omni.model.vocoder.hift import HiFTVocoder

FRAMES = 25  # 0.5 s
BATCH = 8
MEL_WEIGHT = 2.0
LOG_FLOOR = -8.0  # below it a magnitude is silence
RESOLUTIONS = ((2048, 480), (1024, 240), (512, 120), (256, 60))  # FFT size, hop


class VocoderStage:
    """Losses of the vocoder on random crops; the pitch predictor is left as it is."""

    def __init__(
        self,
        vocoder: HiFTVocoder,
        store: UtteranceStore,
        device: torch.device,
        batch: int = BATCH,
    ) -> None:
        self.vocoder, self.store, self.device, self.batch = vocoder, store, device, batch

    def losses(self, step: int) -> Losses:
        """Multi-resolution spectral loss plus log-mel L1."""
        wave, mel, pitch = self.store.wave_crops(step, self.batch, FRAMES, self.device)
        made = self.vocoder(mel.transpose(1, 2), f0=pitch)
        spectral = spectral_loss(made, wave)
        # Of the waves, not what the vocoder was given, which may be a mel that was decoded.
        found, wanted = (target.log_mel(side).clamp_min(LOG_FLOOR) for side in (made, wave))
        mel_l1 = F.l1_loss(found, wanted)
        return {"loss": spectral + MEL_WEIGHT * mel_l1, "spectral": spectral, "mel": mel_l1}


@torch.no_grad()
def match_level(vocoder: HiFTVocoder, pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Let the vocoder speak as loud as what it has learnt from; the gain, a factor.

    Spectral losses leave quiet what cannot be foretold. The last biases are log magnitudes, so that
    a shift of them is a gain.

    Args:
        pairs: decoded mels (frames, 80), and the true waves (samples,).
    """
    powers = [
        torch.stack([vocoder(mel.float().T[None])[0].square().mean(), wave.square().mean()])
        for mel, wave in pairs
    ]
    made, true = torch.stack(powers).mean(0)
    gain = (true / made).sqrt()
    bins = vocoder.config.istft_params.n_fft // 2 + 1
    vocoder.conv_post.bias[:bins] += gain.log()
    return gain.item()


def spectral_loss(made: Tensor, wave: Tensor) -> Tensor:
    """Spectral convergence plus log-magnitude L1, averaged over RESOLUTIONS.

    Both ``(batch, samples)``.
    """
    total = made.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft, device=wave.device)
        sides = [
            torch.stft(x, n_fft, hop, window=window, return_complex=True).abs()
            for x in (made, wave)
        ]
        found, wanted = sides
        convergence = torch.linalg.norm(wanted - found) / torch.linalg.norm(wanted).clamp_min(1e-3)
        log_found, log_wanted = (x.clamp_min(1e-5).log().clamp_min(LOG_FLOOR) for x in sides)
        logs = F.l1_loss(log_found, log_wanted)
        total = total + convergence + logs
    return total / len(RESOLUTIONS)
