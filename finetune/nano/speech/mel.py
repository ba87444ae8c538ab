"""The mel that speech is decoded to: 24 kHz, 80 bins, 50 frames a second, natural logarithm.

Knows: the target of the audio decoder, the flow and the vocoder. Does not know: the 16 kHz log-mel
that the audio encoder hears (:mod:`omni.media.mel`), models, files.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

RATE = 24_000  # Hz
HOP = 480  # samples: 20 ms
N_FFT = 1920
BINS = 80
F_MAX = 8_000.0  # Hz
FLOOR = 1e-5


@lru_cache(maxsize=4)
def filters(n_fft: int = N_FFT, bins: int = BINS, f_max: float = F_MAX) -> Tensor:
    """Slaney mel filters, float32 (n_fft // 2 + 1, bins)."""
    bank = mel_filter_bank(
        num_frequency_bins=n_fft // 2 + 1,
        num_mel_filters=bins,
        min_frequency=0.0,
        max_frequency=f_max,
        sampling_rate=RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank).float()


def log_mel(wave: Tensor) -> Tensor:
    """Natural-log mel (..., samples // HOP, BINS) of ``wave`` (..., samples) in [-1, 1].

    Frame i is centred on the middle of the i-th hop.
    """
    pad = (N_FFT - HOP) // 2
    padded = F.pad(wave.reshape(-1, 1, wave.shape[-1]), (pad, pad), mode="reflect")[:, 0]
    window = torch.hann_window(N_FFT, device=wave.device)
    spectrum = torch.stft(
        padded, N_FFT, HOP, window=window, center=False, return_complex=True
    ).abs()
    mel = (spectrum.transpose(1, 2) @ filters().to(wave.device)).clamp_min(FLOOR).log()
    return mel.reshape(*wave.shape[:-1], *mel.shape[1:])
